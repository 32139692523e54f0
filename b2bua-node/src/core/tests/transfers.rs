//! Attended transfers: another dialog of the calling server takes the place of one of ours.

use super::*;
use holdline_wire::header::{NameAddr, Replaces};
use holdline_wire::uri::SipUri;

/// What the agent says to replace the downstream dialog of `up`.
fn transfer_of(up: &Up) -> String {
    up.replaces().replace("\r\n", ";transfer\r\n")
}

fn refer_to(value: &str) -> String {
    let escaped = value
        .replace(';', "%3B")
        .replace('=', "%3D")
        .replace('@', "%40");
    format!("<sip:127.0.0.11:5060?Replaces={escaped}>")
}

fn referred(refer: &Message) -> (String, Replaces) {
    let address = NameAddr::parse(refer.header(Name::ReferTo).unwrap()).unwrap();
    let uri = SipUri::parse(address.uri).unwrap();
    let replaces = Replaces::parse(&uri.header("Replaces").unwrap()).unwrap();
    let target = address.uri.split('?').next().unwrap();
    (target.to_owned(), replaces)
}

// spec: D32
#[test]
fn a_transfer_replaces_the_downstream_dialog_and_ends_the_old_call() {
    let mut node = Bench::new();
    let mut up = node.establish("c1");
    node.agent_sends(invite("t1", &transfer_of(&up), OFFER));
    node.agent_gets("100");
    let down = node.ua_gets("INVITE");
    let named = Replaces::parse(down.header(Name::Replaces).unwrap()).unwrap();
    let ua = &up.ua.id;
    assert_eq!(
        (&named.call_id, &named.to_tag, &named.from_tag),
        (&ua.call_id, &ua.local_tag, &ua.remote_tag)
    );
    assert!(!named.transfer, "a word between agent and node");
    assert_eq!(down.list(Name::Require), [b"replaces"]);
    let target = "sip:2001@127.0.0.1:5091";
    assert_eq!(
        down.request_uri(),
        target,
        "its Contact, and who was called"
    );
    // Unlike a failover call, nothing is answered before the downstream UA has done so.
    node.quiet();
    node.ua_responds(&down, 200, Some(ANSWER));
    node.ua_gets("ACK");
    let ok = node.agent_gets("200");
    let first = Message::parse(invite("t1", &transfer_of(&up), OFFER)).unwrap();
    let flow = TransportKey::udp(addr(AGENT), node.address);
    let mut agent = Dialog::uac(&first, &ok, flow).unwrap();
    node.agent_acks(&agent, 1);
    // RFC 3891 section 3: the UA ends the dialog that was replaced, and that is told upstream.
    node.ua_requests(&mut up.ua, Method::Bye);
    node.ua_gets("200");
    let bye = node.agent_gets("BYE");
    assert_eq!(bye.call_id(), &*up.agent.id.call_id);
    node.agent_sends(response(&bye, 200, "agent", AGENT, None));
    node.pass(ms(10));
    assert_eq!(node.store.borrow().live(), 1, "the new call is kept");
    node.agent_hangs_up(&mut agent);
    node.no_leaks();
}

// spec: D32
#[test]
fn a_transfer_that_fits_no_call_of_this_node_is_refused() {
    let mut node = Bench::new();
    let up = node.establish("c1");
    let right = transfer_of(&up);
    let cases = [
        (right.replace("from-tag=", "from-tag=x"), "481"),
        (right.replace("\r\n", ";early-only\r\n"), "486"),
        ([&right[..], &right].concat(), "400"),
    ];
    for (n, (extra, status)) in cases.into_iter().enumerate() {
        node.agent_sends(invite(&format!("t{n}"), &extra, OFFER));
        node.agent_gets(status);
        node.quiet();
    }
    let other = invite("t9", &right, OFFER);
    node.receive("127.0.0.2:5070", other);
    node.agent_gets("403");
    node.quiet();
}

/// The downstream UA does not want it: the call that was to be replaced lives on.
// spec: D32
#[test]
fn a_transfer_that_is_refused_downstream_changes_nothing() {
    let mut node = Bench::new();
    let mut up = node.establish("c1");
    node.agent_sends(invite("t1", &transfer_of(&up), OFFER));
    node.agent_gets("100");
    let down = node.ua_gets("INVITE");
    node.ua_responds(&down, 420, None);
    node.ua_gets("ACK");
    node.agent_gets("420");
    node.agent_requests(&mut up.agent, Method::Info, &[]);
    let info = node.ua_gets("INFO");
    node.ua_responds(&info, 200, None);
    node.agent_gets("200");
    assert_eq!(node.store.borrow().live(), 1);
}

// spec: D32
#[test]
fn a_refer_names_the_dialog_of_the_other_side() {
    let mut node = Bench::new();
    let mut first = node.establish("c1");
    let second = node.establish("c2");
    let named = refer_to(&second.agent.id.replaces_for_peer().to_value());
    node.agent_requests(&mut first.agent, Method::Refer, &[(Name::ReferTo, &named)]);
    let refer = node.ua_gets("REFER");
    let (target, there) = referred(&refer);
    assert_eq!(target, "sip:127.0.0.1:5091");
    let ua = &second.ua.id;
    assert_eq!(
        (&there.call_id, &there.to_tag, &there.from_tag),
        (&ua.call_id, &ua.local_tag, &ua.remote_tag)
    );
    node.ua_responds(&refer, 202, None);
    node.agent_gets("202");

    let named = refer_to(&second.ua.id.replaces_for_peer().to_value());
    let branch = node.branch();
    let extra = [(Name::ReferTo, &*named)];
    node.ua_sends(in_dialog(
        &mut first.ua,
        &Method::Refer,
        &branch,
        &extra,
        None,
    ));
    let (target, there) = referred(&node.agent_gets("REFER"));
    assert_eq!(target, "sip:127.0.0.1:5070");
    let agent = &second.agent.id;
    assert_eq!(
        (&there.call_id, &there.to_tag, &there.from_tag),
        (&agent.call_id, &agent.local_tag, &agent.remote_tag)
    );
}

/// The call that a REFER names is another node's: the store knows it.
// spec: D32
#[test]
fn a_refer_finds_the_dialog_of_another_node() {
    let mut other = Bench::new();
    let second = other.establish("c2");
    let mut node = Bench::at("127.0.0.12:5060", "bbbbbbbbbbbbbbbb", other.store.clone());
    let mut first = node.establish("c1");
    let named = refer_to(&second.agent.id.replaces_for_peer().to_value());
    let mut refer = |node: &mut Bench| {
        node.agent_requests(&mut first.agent, Method::Refer, &[(Name::ReferTo, &named)]);
    };
    refer(&mut node);
    let got = node.ua_gets("REFER");
    assert_eq!(referred(&got).1.to_tag, second.ua.id.local_tag);
    node.ua_responds(&got, 202, None);
    node.agent_gets("202");

    // Without the store's word it goes as it is: the one who reads it says so.
    node.mode = StoreMode::Down;
    refer(&mut node);
    let got = node.ua_gets("REFER");
    assert_eq!(got.text(Name::ReferTo).as_deref(), Some(&*named));
    node.ua_responds(&got, 202, None);
    node.agent_gets("202");

    // A call that is hung up meanwhile leaves nothing behind.
    node.mode = StoreMode::Slow;
    refer(&mut node);
    node.quiet();
    node.agent_requests(&mut first.agent, Method::Bye, &[]);
    node.mode = StoreMode::Prompt;
    node.serve_store();
    node.agent_gets("481");
    let bye = node.ua_gets("BYE");
    node.ua_responds(&bye, 200, None);
    node.agent_gets("200");
    node.quiet();
}
