//! A dialog record: one layout, and no text that could end a header.

use crate::{lines, memory};
use holdline_wire::dialog::Dialog;
use holdline_wire::message::Message;
use holdline_wire::record::{DialogRecord, MAX_RECORD, MAX_ROUTES, MAX_TEXT};
use holdline_wire::{Method, TransportKey};

/// The properties of one record.
pub fn check(bytes: &[u8]) {
    // The texts themselves, and a list of routes.
    let limit = 4 * 1024 + bytes.len();
    let Ok(record) = memory::within(limit, || DialogRecord::decode(bytes)) else {
        return;
    };
    assert_eq!(record.encode(), bytes, "there is one way to write a record");
    assert_eq!(record.check(), Ok(()));
    assert!(bytes.len() <= MAX_RECORD && record.route_set.len() <= MAX_ROUTES);
    assert!(record.local.len() <= MAX_TEXT && record.remote_target.len() <= MAX_TEXT);
    ends_its_dialog(record);
}

/// What a survivor sends in a recorded dialog is one request, with no header but its own.
fn ends_its_dialog(record: DialogRecord) {
    let local = "192.0.2.1:5060".parse().expect("an address");
    let mut dialog = Dialog {
        id: record.downstream,
        local: record.local,
        remote: record.remote,
        remote_target: record.remote_target,
        route_set: record.route_set,
        local_seq: record.first_cseq,
        remote_seq: None,
        flow: TransportKey {
            protocol: record.protocol,
            ..TransportKey::udp(local, record.address)
        },
    };
    let _ = dialog.next_hop();
    let Ok(bye) = dialog.request(&Method::Bye, "z9hG4bKours").finish(None) else {
        return;
    };
    // Request line, Via, Max-Forwards, From, To, Call-ID, CSeq, Content-Length, the routes.
    assert_eq!(lines(&bye), 8 + dialog.route_set.len());
    let _ = Message::parse(bye);
}
