//! The call flows of RFC 3665, 3515, 5626, 4916 and 3327: ordinary messages, all taken.

use crate::testdata;
use holdline_wire::Message;
use holdline_wire::build::Builder;
use holdline_wire::header::{Name, NameAddr};
use holdline_wire::uri::SipUri;

#[test]
fn every_message_of_the_call_flows_is_taken() {
    let Some(folder) = testdata::folder("flows") else {
        return;
    };
    let mut messages = 0;
    for (path, bytes) in testdata::files(&folder, "") {
        if path.ends_with("LICENSE") {
            continue;
        }
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(error) => panic!("{path}: {error}"),
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
        // Some of the bodies lack their `v=` line.
        let looks_so = [&b"v=0"[..], b"o="].iter().any(|start| message.body().starts_with(start));
        assert_eq!(message.sdp().is_some(), looks_so, "{path}");
        if message.is_request() {
            let source = "192.0.2.1:5060".parse().unwrap();
            let response = Builder::response(&message, source, 200, b"", Some("t"));
            let response = Message::parse(response.finish(None).unwrap()).unwrap();
            assert_eq!(response.cseq(), message.cseq(), "{path}");
            assert_eq!(response.call_id(), message.call_id(), "{path}");
        }
    }
    assert_eq!(messages, 253);
}
