//! The call flows of RFC 3665, 3515, 5626, 4916 and 3327: ordinary messages, all taken.

use crate::testdata;
use holdline_wire::build::Builder;
use holdline_wire::header::{Name, NameAddr};
use holdline_wire::message::{Message, ParseError};
use holdline_wire::uri::SipUri;

#[test]
fn every_message_of_the_call_flows_is_taken() {
    let Some(folder) = testdata::folder("flows") else {
        return;
    };
    let (mut messages, mut without_via) = (0, 0);
    for (path, bytes) in testdata::files(&folder, "") {
        if path.ends_with("LICENSE") {
            continue;
        }
        let message = match Message::parse(bytes.clone()) {
            Err(ParseError::Garbage(_)) => {
                without_via += 1;
                with_via(&path, &bytes)
            }
            parsed => parsed.unwrap_or_else(|error| panic!("{path}: {error}")),
        };
        messages += 1;
        let lists = [
            Name::Route,
            Name::RecordRoute,
            Name::Contact,
            Name::Other("Path"),
        ];
        let addresses = lists.into_iter().flat_map(|name| message.list(name));
        for address in addresses.filter(|address| *address != b"*") {
            let address = NameAddr::parse(address).unwrap_or_else(|| panic!("{path}"));
            let is_sip = !address.uri.starts_with("mailto:");
            assert_eq!(
                SipUri::parse(address.uri).is_some(),
                is_sip,
                "{path}: {}",
                address.uri
            );
        }
        let typed = message.text(Name::ContentType).as_deref() == Some("application/sdp");
        let sdp = (typed && !message.body().is_empty()).then(|| message.body());
        assert_eq!(message.sdp(), sdp, "{path}");
        if message.is_request() {
            let source = "192.0.2.1:5060".parse().unwrap();
            let response = Builder::response(&message, source, 200, b"", Some("t"));
            let response = Message::parse(response.finish(None).unwrap()).unwrap();
            assert_eq!(response.cseq(), message.cseq(), "{path}");
            assert_eq!(response.call_id(), message.call_id(), "{path}");
        }
    }
    assert_eq!((messages, without_via), (253, 11));
}

/// Some of RFC 5626's messages are printed there without their Via: unusable until it is back.
fn with_via(path: &str, bytes: &[u8]) -> Message {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(path.contains("rfc5626") && !text.contains("Via:"), "{path}");
    let (start_line, rest) = text.split_once("\r\n").unwrap();
    let whole = format!("{start_line}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\n{rest}");
    Message::parse(whole.into()).unwrap_or_else(|error| panic!("{path}: {error}"))
}
