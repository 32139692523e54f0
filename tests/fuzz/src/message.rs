//! A datagram as a SIP message: every getter, what is built from it, and what is answered to it.

use crate::{lines, memory, views};
use bytes::Bytes;
use holdline_wire::build::{Body, BuildError, Builder};
use holdline_wire::dialog::Dialog;
use holdline_wire::header::{Name, NameAddr};
use holdline_wire::message::{MAX_MESSAGE, Message, ParseError, frame};
use holdline_wire::uri::SipUri;
use holdline_wire::{Method, TransportKey};

/// What reading may hold beside the datagram: the index, which has a bound of its own, and an
/// unknown method's name.
fn index_bytes(datagram: &[u8]) -> usize {
    16 * 1024 + datagram.len()
}

/// A message that only a limit on length keeps from being built may be this much shorter.
const NEAR_THE_LIMIT: usize = MAX_MESSAGE - 1024;

/// The properties of one datagram.
pub fn check(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    frames_agree(&bytes);
    match memory::within(index_bytes(data), || Message::parse(bytes)) {
        Ok(message) => {
            getters(&message);
            reads_the_same(&message);
            rebuilt(&message);
            if message.is_request() {
                answered(&message);
            }
            in_dialog(&message);
        }
        Err(ParseError::Refuse {
            request, status, ..
        }) => {
            assert!(matches!(status, 400 | 505));
            answered(&request);
        }
        Err(ParseError::Garbage(_) | ParseError::KeepAlive) => {}
    }
}

/// Stream and datagram end a message at the same byte: nothing is smuggled in between.
fn frames_agree(bytes: &Bytes) {
    let Ok(Some(length)) = frame(bytes) else {
        return;
    };
    if let Ok(message) = Message::parse(bytes.slice(..length)) {
        assert!(bytes[..length].ends_with(message.bytes()));
        if bytes.len() <= MAX_MESSAGE {
            let rest = Message::parse(bytes.clone()).expect("what follows changes nothing");
            assert_eq!(rest.bytes(), message.bytes());
        }
    }
}

/// What was taken keeps the promises of its getters.
fn getters(message: &Message) {
    assert!(!message.call_id().is_empty() && !message.top_via().host.is_empty());
    assert!(!message.from().uri.is_empty() && !message.to().uri.is_empty());
    assert!(message.cseq().number < 1 << 31);
    assert_eq!(message.is_request(), message.status() == 0);
    assert_eq!(message.is_request(), !message.request_uri().is_empty());
    assert!(message.bytes().ends_with(&message.body()));
    if let Some(sdp) = message.sdp() {
        assert!(sdp.len() <= message.body().len());
    }
    let _ = (message.max_forwards(), message.reason());
    let _ = message.contact().map(|contact| contact.without_params());
    for field in message.fields() {
        assert_eq!(field.name, Name::resolve(field.name.as_str()));
        let text = message.text(field.name).unwrap_or_default();
        assert!(!text.contains(['\r', '\n']), "{text:?}");
        for value in message.list(field.name) {
            views::check(value);
        }
    }
}

/// What was read once reads the same again.
fn reads_the_same(message: &Message) {
    let again = Message::parse(message.bytes().clone()).expect("it could be read before");
    assert_eq!(again.bytes(), message.bytes());
    assert_eq!(again.fields().count(), message.fields().count());
    assert_eq!(again.cseq(), message.cseq());
}

fn is_of_the_body(name: Name<'_>) -> bool {
    matches!(name, Name::ContentLength | Name::ContentType)
}

/// A message with another's headers has these headers, byte for byte, and no more.
fn rebuilt(message: &Message) {
    let copy = || message.fields().filter(|f| !is_of_the_body(f.name));
    let mut builder = if message.is_request() {
        Builder::request(message.method(), message.request_uri())
    } else {
        Builder::request(&Method::Options, "sip:h")
    };
    for field in copy() {
        builder = builder.raw(field.raw_name, field.value);
    }
    let body = Body {
        content_type: Bytes::from_static(b"x/y"),
        bytes: message.body(),
    };
    let built = match builder.finish(Some(&body)) {
        Ok(built) => built,
        Err(BuildError::TooLong) if message.bytes().len() > NEAR_THE_LIMIT => return,
        Err(error) => panic!("what was read cannot be written: {error}"),
    };
    // Start line, Content-Type, Content-Length.
    assert_eq!(lines(&built), copy().count() + 3);
    match Message::parse(built) {
        Ok(again) => {
            let read = again.fields().filter(|f| !is_of_the_body(f.name));
            for (old, new) in copy().zip(read) {
                assert_eq!((old.raw_name, old.value), (new.raw_name, new.value));
            }
            assert_eq!(again.body(), message.body());
            assert_eq!(again.call_id(), message.call_id());
        }
        // Two headers more than there may be; a response's CSeq names another method.
        Err(_) if message.fields().count() >= 254 || !message.is_request() => {}
        Err(error) => panic!("what was written cannot be read: {error}"),
    }
}

/// Whatever asks for an answer gets one, with nothing in it but what belongs there.
fn answered(request: &Message) {
    let source = "[2001:db8::7]:4321".parse().expect("an address");
    let answer = Builder::response(request, source, 400, b"", Some("ours"));
    let answer = match answer.finish(None) {
        Ok(answer) => answer,
        Err(BuildError::TooLong) if request.bytes().len() > NEAR_THE_LIMIT => return,
        Err(error) => panic!("no answer can be made: {error}"),
    };
    let copied = [Name::Via, Name::From, Name::CallId, Name::CSeq];
    let copied = copied.map(|name| request.values(name).count());
    // Status line, To, Content-Length.
    assert_eq!(lines(&answer), copied.iter().sum::<usize>() + 3);
    if let Ok(read) = Message::parse(answer) {
        assert_eq!(read.status(), 400);
        assert_eq!(read.call_id(), request.call_id());
        assert_eq!(read.from_tag(), request.from_tag());
        assert_eq!(read.to_tag(), Some(request.to_tag().unwrap_or("ours")));
    }
}

/// A dialog that the message makes can be ended: our BYE is one message, for that dialog.
fn in_dialog(message: &Message) {
    let at = |text: &str| text.parse().expect("an address");
    let flow = TransportKey::udp(at("192.0.2.1:5060"), at("192.0.2.2:5060"));
    let dialog = if message.is_request() {
        Dialog::uas(message, "ours", flow)
    } else {
        Dialog::uac(&our_invite(), message, flow)
    };
    let Some(mut dialog) = dialog else {
        return;
    };
    let _ = dialog.next_hop();
    // A strict router takes the place of the remote target (RFC 3261 section 12.2.1.1).
    let first = dialog.route_set.first();
    let first = first.and_then(|route| NameAddr::parse(route.as_bytes()));
    let first = first.and_then(|route| SipUri::parse(route.uri));
    let strict = first.is_some_and(|uri| uri.param("lr").is_none());
    let bye = match dialog.request(&Method::Bye, "z9hG4bKours").finish(None) {
        Ok(bye) => bye,
        Err(BuildError::TooLong) if message.bytes().len() > NEAR_THE_LIMIT / 2 => return,
        Err(error) => panic!("a dialog that cannot be ended: {error}"),
    };
    // Request line, Via, Max-Forwards, From, To, Call-ID, CSeq, Content-Length, the routes.
    assert_eq!(lines(&bye), 8 + dialog.route_set.len());
    let read = Message::parse(bye).expect("our own BYE can be read");
    assert_eq!(read.from_tag(), &*dialog.id.local_tag);
    assert_eq!(read.to_tag().unwrap_or_default(), &*dialog.id.remote_tag);
    assert_eq!(read.call_id(), &*dialog.id.call_id);
    if !strict {
        // What may not stand there is left out: headers, `method`, parameters without a name.
        let (ours, target) = (read.request_uri(), &*dialog.remote_target);
        let mut named = ours.split(';').filter(|part| !part.is_empty());
        let is_there = |part: &str| target.split(';').any(|own| own.starts_with(part));
        assert!(named.all(is_there), "{ours} of {target}");
    }
}

fn our_invite() -> Message {
    let invite = "INVITE sip:x@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
                  From: <sip:a@192.0.2.1>;tag=ours\r\nTo: <sip:x@192.0.2.2>\r\n\
                  Call-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
    Message::parse(Bytes::from_static(invite.as_bytes())).expect("our own INVITE")
}
