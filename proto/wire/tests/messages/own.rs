//! Our own corpus: messages of today's trunks, each with what the parser must find in it.

use crate::testdata;
use holdline_wire::header::{InstanceUtilization, Name, NameAddr, Replaces, SessionExpires};
use holdline_wire::message::{Message, frame};
use holdline_wire::uri::SipUri;

fn message(name: &str) -> Message {
    let all = testdata::own();
    let (_, bytes) = all
        .iter()
        .find(|(path, _)| testdata::stem(path) == name)
        .unwrap();
    Message::parse(bytes.clone()).unwrap()
}

#[test]
fn every_message_is_taken_and_framed_by_its_length() {
    for (path, bytes) in testdata::own() {
        let message =
            Message::parse(bytes.clone()).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(message.bytes(), &bytes, "{path}");
        assert_eq!(frame(&bytes).unwrap(), Some(bytes.len()), "{path}");
    }
}

// spec: X24a
#[test]
fn an_invite_of_a_carrier_trunk_says_who_is_talking() {
    let invite = message("trunk-invite");
    let identities = invite.list(Name::PAssertedIdentity);
    let uris: Vec<&str> = identities
        .iter()
        .filter_map(|id| NameAddr::parse(id))
        .map(|id| id.uri)
        .collect();
    assert_eq!(
        uris,
        [
            "sip:+4930123456@carrier.example;user=phone",
            "tel:+4930123456"
        ]
    );
    for name in [
        Name::Privacy,
        Name::Diversion,
        Name::HistoryInfo,
        Name::SessionId,
        Name::PChargingVector,
    ] {
        assert!(invite.header(name).is_some(), "{name}");
    }
    assert_eq!(invite.list(Name::HistoryInfo).len(), 2);
    let timer = invite
        .header(Name::SessionExpires)
        .and_then(SessionExpires::parse)
        .unwrap();
    assert_eq!((timer.seconds, timer.refresher_is_uac), (1800, Some(true)));
    assert!(invite.sdp().unwrap().starts_with(b"v=0\r\n"));
}

// spec: D26
#[test]
fn a_refer_names_the_dialog_that_it_moves() {
    let refer = message("moving-refer");
    let target = NameAddr::parse(refer.header(Name::ReferTo).unwrap()).unwrap();
    let target = SipUri::parse(target.uri).unwrap();
    assert_eq!(target.socket_addr(), "192.0.2.12:5060".parse().ok());
    let replaces = Replaces::parse(&target.header("Replaces").unwrap()).unwrap();
    assert_eq!(&*replaces.call_id, refer.call_id());
    assert_eq!(
        (&*replaces.to_tag, &*replaces.from_tag),
        (refer.from_tag(), refer.to_tag().unwrap())
    );
}

// spec: D22
#[test]
fn an_options_answer_tells_the_load() {
    let answer = message("options-answer");
    let load = answer
        .header(Name::InstanceUtilization)
        .and_then(InstanceUtilization::parse);
    assert_eq!(load, Some(InstanceUtilization(37)));
    assert!(answer.header(Name::InstanceIncarnation).is_some());
}

#[test]
fn a_multipart_body_gives_up_its_sdp() {
    let invite = message("emergency-multipart");
    assert_eq!(invite.request_uri(), "urn:service:sos");
    assert!(invite.sdp().unwrap().ends_with(b"a=sendrecv\r\n"));
    assert_eq!(invite.list(Name::Geolocation).len(), 1);
}
