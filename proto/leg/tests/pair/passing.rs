//! What passes through, byte for byte.

use crate::b2bua::{CALLEE, Half, addr};
use crate::peers::{OFFER, Scene, invite};
use holdline_corpus::{others, torture};
use holdline_leg::Passage;
use holdline_wire::build::Builder;
use holdline_wire::header::Name;
use holdline_wire::{Message, Method};

fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.bytes()).into_owned()
}

#[test]
fn unknown_headers_pass_as_they_stand() {
    let odd = b"X-Foo:  first\r\n\t second \r\nx: 1800;refresher=uac\r\nk: timer,replaces\r\n\
        X-Name: J\xfcrgen\r\nAllow: INVITE,PRACK\r\nContent-Disposition: session\r\n";
    let whole = invite("@@", OFFER).into_bytes();
    let at = whole.windows(2).position(|two| two == b"@@").unwrap();
    let bytes = [&whole[..at], odd, &whole[at + 2..]].concat();
    let passage = Passage::of(&Message::parse(bytes.clone().into()).unwrap());
    let mut scene = Scene::empty();
    scene.caller_sends(bytes);
    let got = scene.one_at_callee();
    let wanted: [&[u8]; 6] = [
        b"X-Foo: first\r\n\t second\r\n",
        b"\r\nx: 1800;refresher=uac\r\nk: timer,replaces\r\nX-Name: J\xfcrgen\r\n",
        b"Allow: INVITE,PRACK\r\n",
        b"Content-Disposition: session\r\n",
        b"Max-Forwards: 69\r\n",
        OFFER.as_bytes(),
    ];
    for part in wanted {
        let found = got.bytes().windows(part.len()).any(|bytes| bytes == part);
        assert!(
            found,
            "{:?} in {}",
            String::from_utf8_lossy(part),
            text(&got)
        );
    }
    assert_eq!(Passage::of(&got), passage);
    // Nothing of the caller's dialog is known to the callee (spec: X40).
    assert_ne!((got.call_id(), got.from_tag()), ("call", "alice"));
    assert_eq!(got.contact().unwrap().uri, "sip:127.0.0.1:5060");
}

#[test]
fn any_body_passes() {
    let mut scene = Scene::up();
    let body: Vec<u8> = (0..=255).collect();
    let bytes = scene.raw_request(Method::Info, "application/x-odd;a=\"b\"", &body);
    scene.us.receive(addr(crate::b2bua::CALLER), bytes);
    let got = scene.one_at_callee();
    assert_eq!(got.body(), body);
    assert_eq!(
        got.header(Name::ContentType),
        Some(&b"application/x-odd;a=\"b\""[..])
    );
}

#[test]
fn a_description_inside_a_multipart_body_is_replaced_in_place() {
    let body = format!(
        "--b\r\nContent-Type: application/sdp\r\n\r\n{OFFER}\r\n--b\r\n\
         Content-Type: application/isup\r\n\r\n\u{1}\u{2}\r\n--b--\r\n"
    );
    let mut scene = Scene::up();
    let bytes = scene.raw_request(
        Method::Invite,
        "multipart/mixed;boundary=b",
        body.as_bytes(),
    );
    let mut passage = Passage::of(&Message::parse(bytes).unwrap());
    assert_eq!(passage.sdp().unwrap(), OFFER);
    passage.set_sdp("v=0\r\n".into());
    let changed = passage.body.as_ref().unwrap();
    assert_eq!(changed.bytes, body.replace(OFFER, "v=0\r\n"));
    assert_eq!(changed.content_type, "multipart/mixed;boundary=b");
    assert_eq!(passage.sdp().unwrap(), "v=0\r\n");
}

#[test]
fn tokens_of_reliable_responses_are_taken_out() {
    for (given, left) in [
        ("Supported: 100rel\r\n", None),
        (
            "Supported: timer , 100REL,replaces\r\n",
            Some("timer, replaces"),
        ),
        ("Supported:\r\n", Some("")),
        ("k: a,b\r\n", Some("a,b")),
    ] {
        let (_, got) = Scene::calling(given, OFFER);
        let value = got.text(Name::Supported);
        assert_eq!(value.as_deref(), left, "{given}");
    }
    let (mut scene, invite) = Scene::calling("", OFFER);
    scene.respond(&invite, 183, "bob", "Require: 100rel\r\nRSeq: 1\r\n", OFFER);
    let got = scene.one_at_caller();
    assert!(got.header(Name::Require).is_none() && got.header(Name::RSeq).is_none());
}

// spec: D22
#[test]
fn what_belongs_to_one_hop_stays_there() {
    let (mut scene, invite) = Scene::calling("Replaces: a;to-tag=b;from-tag=c\r\n", OFFER);
    assert!(invite.header(Name::Replaces).is_none());
    scene.respond(
        &invite,
        180,
        "bob",
        "Instance-Utilization: 7\r\nServer: x\r\n",
        "",
    );
    let got = scene.one_at_caller();
    assert!(got.header(Name::InstanceUtilization).is_none());
    assert_eq!(got.text(Name::Server).as_deref(), Some("x"));
    assert_eq!(got.contact().unwrap().uri, "sip:127.0.0.1:5060");
}

#[test]
fn the_reason_of_a_bye_passes() {
    let mut scene = Scene::up();
    scene.us.end(Half::Near, "Q.850;cause=16");
    assert_eq!(
        scene.one_at_caller().text(Name::Reason).as_deref(),
        Some("Q.850;cause=16")
    );
    scene.us.end(Half::Near, "Q.850;cause=17");
    assert!(scene.at_caller().is_empty(), "one BYE is enough");
    assert_eq!(
        scene.us.far.as_ref().unwrap().flow().unwrap().remote,
        addr(CALLEE)
    );
}

/// Every message of our torture corpus, and of the RFCs' call flows, keeps what is not a leg's own.
#[test]
fn the_flows_of_the_rfcs_pass_unchanged() {
    let own = torture().into_iter();
    let mut all: Vec<_> = own.map(|own| (own.name, own.bytes)).collect();
    all.extend(others::files("flows", ".sip"));
    let mut seen = 0;
    for (path, bytes) in all {
        let Ok(message) = Message::parse(bytes.into()) else {
            continue;
        };
        let passage = Passage::of(&message);
        let mut builder = Builder::request(message.method(), "sip:them");
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            builder = builder.copy(name, &message);
        }
        let sent = passage.write(builder).finish(passage.body.as_ref());
        let got = Message::parse(sent.unwrap()).unwrap();
        let redirected = matches!(message.status(), 300..=399);
        if !redirected {
            assert_eq!(Passage::of(&got), passage, "{path:?}");
        }
        assert_eq!(
            (got.body(), got.sdp()),
            (message.body(), message.sdp()),
            "{path:?}"
        );
        seen += 1;
    }
    assert!(seen > 50, "{seen} messages");
}
