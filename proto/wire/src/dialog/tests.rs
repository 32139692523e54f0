//! Both sides of a dialog, with the messages as text.

use super::*;
use bytes::Bytes;

const TWO_PROXIES: &str = "Record-Route: <sip:192.0.2.20;lr>, <sip:p1.example.com;lr;x=1>\r\n";

fn flow() -> TransportKey {
    let addr = |text: &str| text.parse().expect("an address");
    TransportKey::udp(addr("192.0.2.1:5060"), addr("192.0.2.9:5060"))
}

fn parse(text: String) -> Message {
    Message::parse(Bytes::from(text)).expect("a message")
}

fn invite_with(to_tag: &str, extra: &str) -> Message {
    parse(format!(
        "INVITE sip:bob@192.0.2.9 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKi;rport\r\n\
         Max-Forwards: 70\r\n\
         From: \"Alice\" <sip:alice@example.com>;tag=alice-tag\r\n\
         To: <sip:bob@example.com>{to_tag}\r\n\
         Call-ID: call@alice\r\n\
         CSeq: 100 INVITE\r\n\
         {extra}Content-Length: 0\r\n\r\n"
    ))
}

fn answer_with(status: u16, extra: &str) -> Message {
    parse(format!(
        "SIP/2.0 {status} Text\r\n\
         Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKi;rport=5060\r\n\
         From: \"Alice\" <sip:alice@example.com>;tag=alice-tag\r\n\
         To: <sip:bob@example.com>;tag=bob-tag\r\n\
         Call-ID: call@alice\r\n\
         CSeq: 100 INVITE\r\n\
         {extra}Content-Length: 0\r\n\r\n"
    ))
}

/// Alice's side.
fn uac(extra: &str) -> Dialog {
    let answer = answer_with(
        200,
        &format!("Contact: <sip:bob@192.0.2.30:5080>\r\n{extra}"),
    );
    Dialog::uac(&invite_with("", ""), &answer, flow()).expect("a dialog")
}

/// Bob's side.
fn uas(extra: &str) -> Dialog {
    let invite = invite_with("", &format!("Contact: <sip:alice@192.0.2.31>\r\n{extra}"));
    Dialog::uas(&invite, "bob-tag", flow()).expect("a dialog")
}

fn built(builder: Builder) -> Message {
    Message::parse(builder.finish(None).expect("a printable request")).expect("a request")
}

fn send(dialog: &mut Dialog, method: Method) -> Message {
    built(dialog.request(&method, "z9hG4bKnew"))
}

/// A request from Bob to Alice inside the dialog.
fn from_bob(method: &str, seq: u32, extra: &str) -> Message {
    parse(format!(
        "{method} sip:alice@192.0.2.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.30;branch=z9hG4bK{seq};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:bob@example.com>;tag=bob-tag\r\n\
         To: <sip:alice@example.com>;tag=alice-tag\r\n\
         Call-ID: call@alice\r\n\
         CSeq: {seq} {method}\r\n\
         {extra}Content-Length: 0\r\n\r\n"
    ))
}

fn routes_of(message: &Message) -> Vec<String> {
    let routes = message.list(Name::Route).into_iter();
    routes
        .map(|route| String::from_utf8_lossy(route).into_owned())
        .collect()
}

#[test]
fn both_sides_see_one_dialog_with_their_tags_swapped() {
    let (alice, bob) = (uac(""), uas(""));
    assert_eq!(alice.id.call_id, bob.id.call_id);
    assert_eq!(
        (&*alice.id.local_tag, &*alice.id.remote_tag),
        ("alice-tag", "bob-tag")
    );
    assert_eq!(
        (&*bob.id.local_tag, &*bob.id.remote_tag),
        ("bob-tag", "alice-tag")
    );
    assert_eq!((alice.local_seq, alice.remote_seq), (100, None));
    assert_eq!((bob.local_seq, bob.remote_seq), (0, Some(100)));
    assert_eq!((&alice.local, &alice.remote), (&bob.remote, &bob.local));
    assert_eq!(&*alice.remote_target, "sip:bob@192.0.2.30:5080");
    assert_eq!(&*bob.remote_target, "sip:alice@192.0.2.31");
    assert_eq!(DialogId::of_request(&from_bob("BYE", 1, "")), alice.id);
}

// spec: D24
#[test]
fn replaces_names_the_receivers_tag_as_to_tag_whoever_placed_the_call() {
    // Alice's side moves: the INVITE with Replaces goes to Bob, who called himself bob-tag.
    let to_bob = uac("").id.replaces_for_peer();
    assert_eq!(
        (&*to_bob.to_tag, &*to_bob.from_tag),
        ("bob-tag", "alice-tag")
    );
    // Bob's side moves the same call, which he had received.
    let to_alice = uas("").id.replaces_for_peer();
    assert_eq!(
        (&*to_alice.to_tag, &*to_alice.from_tag),
        ("alice-tag", "bob-tag")
    );
    assert_eq!((&*to_bob.call_id, to_bob.early_only), ("call@alice", false));
    assert_eq!(to_bob.call_id, to_alice.call_id);
}

#[test]
fn a_request_of_the_uac_goes_through_the_record_route_reversed() {
    let mut alice = uac(TWO_PROXIES);
    let bye = send(&mut alice, Method::Bye);
    assert_eq!(bye.request_uri(), "sip:bob@192.0.2.30:5080");
    assert_eq!(
        routes_of(&bye),
        ["<sip:p1.example.com;lr;x=1>", "<sip:192.0.2.20;lr>"]
    );
    assert_eq!((bye.cseq().number, bye.method()), (101, &Method::Bye));
    assert_eq!(
        bye.header(Name::From),
        Some(&b"\"Alice\" <sip:alice@example.com>;tag=alice-tag"[..])
    );
    assert_eq!(
        bye.header(Name::To),
        Some(&b"<sip:bob@example.com>;tag=bob-tag"[..])
    );
    assert_eq!(
        (bye.call_id(), bye.top_via().branch),
        ("call@alice", "z9hG4bKnew")
    );
    assert_eq!(bye.header(Name::MaxForwards), Some(&b"70"[..]));
    // p1 is no IP literal: the flow decides.
    assert_eq!(alice.next_hop(), flow());
}

#[test]
fn a_request_of_the_uas_goes_through_the_record_route_in_order() {
    let mut bob = uas(TWO_PROXIES);
    let bye = send(&mut bob, Method::Bye);
    assert_eq!(bye.request_uri(), "sip:alice@192.0.2.31");
    assert_eq!(
        routes_of(&bye),
        ["<sip:192.0.2.20;lr>", "<sip:p1.example.com;lr;x=1>"]
    );
    assert_eq!(
        (bye.cseq().number, bye.from_tag(), bye.to_tag()),
        (1, "bob-tag", Some("alice-tag"))
    );
    assert_eq!(
        bob.next_hop().remote,
        "192.0.2.20:5060".parse().expect("an address")
    );
}

#[test]
fn folded_record_routes_become_one_line_each() {
    let bob = uas("Record-Route: <sip:192.0.2.20;lr>\r\n ;x=1,\r\n\t<sip:192.0.2.21;lr>\r\n");
    let routes: Vec<&str> = bob.route_set.iter().map(|route| &**route).collect();
    assert_eq!(routes, ["<sip:192.0.2.20;lr> ;x=1", "<sip:192.0.2.21;lr>"]);
}

#[test]
fn a_strict_router_takes_the_place_of_the_request_uri() {
    let mut bob =
        uas("Record-Route: <sip:192.0.2.20:5070;method=INVITE;user=phone?a=b>, <sip:p2;lr>\r\n");
    let bye = send(&mut bob, Method::Bye);
    assert_eq!(bye.request_uri(), "sip:192.0.2.20:5070;user=phone");
    assert_eq!(routes_of(&bye), ["<sip:p2;lr>", "<sip:alice@192.0.2.31>"]);
    assert_eq!(
        bob.next_hop().remote,
        "192.0.2.20:5070".parse().expect("an address")
    );
    let ack = built(bob.ack(1, "z9hG4bKack"));
    assert_eq!(ack.request_uri(), bye.request_uri());
}

#[test]
fn each_request_takes_the_next_cseq_and_an_ack_that_of_its_invite() {
    let mut alice = uac("");
    assert_eq!(send(&mut alice, Method::Invite).cseq().number, 101);
    assert_eq!(send(&mut alice, Method::Info).cseq().number, 102);
    let ack = built(alice.ack(101, "z9hG4bKack"));
    assert_eq!((ack.cseq().number, ack.method()), (101, &Method::Ack));
    assert_eq!(alice.local_seq, 102);
}

#[test]
fn a_lower_cseq_is_refused_and_changes_nothing() {
    let mut alice = uac("");
    assert_eq!(alice.accept(&from_bob("INFO", 50, "")), Ok(()));
    // Only a lower number is out of order.
    assert_eq!(alice.accept(&from_bob("INFO", 50, "")), Ok(()));
    let moved = "Contact: <sip:bob@192.0.2.66>\r\n";
    let refused = alice
        .accept(&from_bob("INVITE", 49, moved))
        .expect_err("out of order");
    assert_eq!(refused.status, 500);
    assert_eq!(
        (alice.remote_seq, &*alice.remote_target),
        (Some(50), "sip:bob@192.0.2.30:5080")
    );
    assert_eq!(alice.accept(&from_bob("BYE", 4000, "")), Ok(()));
    // The ACK of an INVITE that came before an INFO.
    assert_eq!(alice.accept(&from_bob("ACK", 50, "")), Ok(()));
    assert_eq!(alice.remote_seq, Some(4000));
}

#[test]
fn only_a_target_refresh_moves_the_remote_target() {
    let moved = "Contact: <sip:bob@192.0.2.66:5099>\r\n";
    for method in ["INVITE", "UPDATE", "SUBSCRIBE", "REFER", "NOTIFY"] {
        let mut alice = uac("");
        alice.accept(&from_bob(method, 1, moved)).expect("in order");
        assert_eq!(&*alice.remote_target, "sip:bob@192.0.2.66:5099", "{method}");
        assert_eq!(alice.next_hop().remote.port(), 5099);
    }
    for method in ["INFO", "BYE", "OPTIONS"] {
        let mut alice = uac("");
        alice.accept(&from_bob(method, 1, moved)).expect("in order");
        assert_eq!(&*alice.remote_target, "sip:bob@192.0.2.30:5080", "{method}");
    }
    for (status, port) in [(180, 5080), (200, 5099), (302, 5080)] {
        let mut alice = uac("");
        alice.refresh(&answer_with(status, moved));
        assert_eq!(alice.next_hop().remote.port(), port, "{status}");
    }
}

#[test]
fn a_contact_that_is_no_sip_uri_is_not_taken() {
    for contact in [
        "Contact: *\r\n",
        "Contact: <tel:+123>\r\n",
        "Contact: <sip:a@h^>\r\n",
    ] {
        let mut alice = uac("");
        alice
            .accept(&from_bob("INVITE", 1, contact))
            .expect("in order");
        assert_eq!(&*alice.remote_target, "sip:bob@192.0.2.30:5080");
        let invite = invite_with("", contact);
        assert!(Dialog::uas(&invite, "t", flow()).is_none());
    }
}

#[test]
fn what_may_not_stand_in_a_request_uri_is_left_out() {
    for (contact, uri) in [
        (
            "sip:a;b?c@h:5080;transport=udp?X=y",
            "sip:a;b?c@h:5080;transport=udp",
        ),
        ("sip:a@h;Method=BYE;ob?", "sip:a@h;ob"),
        ("sips:[2001:db8::1]", "sips:[2001:db8::1]"),
    ] {
        let mut bob = uas("");
        bob.remote_target = contact.into();
        assert_eq!(send(&mut bob, Method::Bye).request_uri(), uri);
    }
}

#[test]
fn a_dialog_needs_its_parts() {
    assert!(
        Dialog::uas(&invite_with("", ""), "bob-tag", flow()).is_none(),
        "no Contact"
    );
    let no_tag = answer_with(180, "").bytes().clone();
    let no_tag = String::from_utf8_lossy(&no_tag).replace(";tag=bob-tag", "");
    assert!(Dialog::uac(&invite_with("", ""), &parse(no_tag), flow()).is_none());
    // A provisional response may lack the Contact.
    let early = Dialog::uac(&invite_with("", ""), &answer_with(183, ""), flow());
    assert_eq!(
        &*early.expect("an early dialog").remote_target,
        "sip:bob@192.0.2.9"
    );
    let route = "<sip:192.0.2.20;lr>";
    let endless = format!("Record-Route: {}\r\n", vec![route; 71].join(","));
    assert!(Dialog::uac(&invite_with("", ""), &answer_with(200, &endless), flow()).is_none());
}

/// A peer of RFC 2543 may send no tag: its absence is the tag (RFC 3261 12.1.1).
#[test]
fn a_missing_from_tag_stays_missing() {
    let text = invite_with("", "Contact: <sip:alice@192.0.2.31>\r\n")
        .bytes()
        .clone();
    let text = String::from_utf8_lossy(&text).replace(";tag=alice-tag", "");
    let mut bob = Dialog::uas(&parse(text), "bob-tag", flow()).expect("a dialog");
    let bye = send(&mut bob, Method::Bye);
    assert_eq!(
        bye.header(Name::To),
        Some(&b"\"Alice\" <sip:alice@example.com>"[..])
    );
}

#[test]
fn the_next_hop_of_an_ipv6_literal() {
    let addr = |text: &str| text.parse().expect("an address");
    let flow = TransportKey::udp(addr("[2001:db8::1]:5060"), addr("[2001:db8::9]:5060"));
    let answer = answer_with(200, "Contact: <sip:bob@[2001:db8::30]:5080>\r\n");
    let mut alice = Dialog::uac(&invite_with("", ""), &answer, flow).expect("a dialog");
    assert_eq!(alice.next_hop(), flow.to(addr("[2001:db8::30]:5080")));
    let bye = send(&mut alice, Method::Bye);
    assert_eq!(bye.request_uri(), "sip:bob@[2001:db8::30]:5080");
    assert_eq!(bye.top_via().host, "[2001:db8::1]");
    alice.route_set = vec!["<sip:[2001:db8::20];lr>".into()];
    assert_eq!(alice.next_hop().remote, addr("[2001:db8::20]:5060"));
    // An address of the other family cannot be reached by this flow.
    alice.route_set = vec!["<sip:192.0.2.20;lr>".into()];
    assert_eq!(alice.next_hop(), flow);
}

/// Whatever a peer puts into its INVITE: what the dialog then prints is a request of the same
/// dialog, or is refused by the builder.
#[test]
fn no_mutation_of_an_invite_breaks_what_the_dialog_prints() {
    let extra = "Contact: \"A\" <sip:alice@192.0.2.31;x=1?h=v>;q=1\r\n\
                 Record-Route: \"P\" <sip:192.0.2.20:5070;method=BYE?a=b>;z,\r\n <sip:p2;lr>\r\n";
    let original = invite_with("", extra).bytes().to_vec();
    let mut random = crate::token::Tokens::new([3; 32]);
    let spice = b"\r\n \t;,<>\"\\@?=:[]%\0\xff\x80zA0";
    let (mut dialogs, mut printed) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = original.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            let with = spice[random.below(spice.len() as u64) as usize];
            match random.below(3) {
                0 => bytes[at] = with,
                1 => bytes.insert(at, with),
                _ => drop(bytes.remove(at)),
            }
        }
        let Ok(invite) = Message::parse(bytes.into()) else {
            continue;
        };
        let Some(mut dialog) = Dialog::uas(&invite, "bob-tag", flow()) else {
            continue;
        };
        dialogs += 1;
        dialog.next_hop();
        let Ok(bytes) = dialog.request(&Method::Bye, "z9hG4bKnew").finish(None) else {
            continue;
        };
        printed += 1;
        let bye = Message::parse(bytes.clone()).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&bytes));
        });
        assert_eq!(bye.call_id(), invite.call_id());
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(
            (bye.from_tag(), bye.method()),
            ("bob-tag", &Method::Bye),
            "{text}"
        );
        assert_eq!(
            bye.to_tag().unwrap_or_default(),
            invite.from_tag(),
            "{text}"
        );
    }
    assert!(
        dialogs > 5_000 && printed > 5_000,
        "{dialogs} dialogs, {printed} printed"
    );
}
