//! The states and timers of RFC 3261 section 17 in virtual time. What a layer does is compared as
//! a transcript: one line an output, with the millisecond at which it came.

mod client_invite;
mod client_other;
mod lossy;
mod matching;
mod server_invite;
mod server_other;

use super::{ClientId, Event, Layer, Limits, Output, ServerId, Timers};
use crate::header::Name;
use crate::message::Message;
use crate::time::Time;
use crate::transport::{Flow, Protocol, TransportKey};
use bytes::Bytes;
use std::time::Duration;

fn udp() -> TransportKey {
    let addr = |text: &str| text.parse().expect("an address");
    TransportKey::udp(addr("192.0.2.1:5060"), addr("192.0.2.2:5060"))
}

fn tcp() -> TransportKey {
    TransportKey {
        protocol: Protocol::Tcp,
        flow: Flow::Stream(7),
        ..udp()
    }
}

fn parse(text: impl Into<String>) -> Message {
    Message::parse(Bytes::from(text.into())).expect("a message")
}

/// A request with every mandatory header; `extra` lines end in CR LF.
fn request_with(method: &str, branch: &str, extra: &str) -> String {
    format!(
        "{method} sip:bob@192.0.2.2 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch};rport\r\n\
         Max-Forwards: 70\r\n\
         From: \"A\" <sip:alice@example.com>;tag=fromtag\r\n\
         To: <sip:bob@example.com>\r\n\
         Call-ID: call-1\r\n\
         CSeq: 7 {method}\r\n\
         {extra}\
         Content-Length: 0\r\n\r\n"
    )
}

fn request(method: &str, branch: &str) -> String {
    request_with(method, branch, "")
}

/// The response to `request(method, branch)`.
fn response(status: u16, method: &str, branch: &str) -> String {
    format!(
        "SIP/2.0 {status} Text\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch};rport=5060\r\n\
         From: \"A\" <sip:alice@example.com>;tag=fromtag\r\n\
         To: <sip:bob@example.com>;tag=totag\r\n\
         Call-ID: call-1\r\n\
         CSeq: 7 {method}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// One layer, its clock, and everything it has put out.
struct Rig {
    layer: Layer<u32>,
    key: TransportKey,
    now: Time,
    /// The bytes last sent.
    sent: Bytes,
    /// The last request told.
    server: ServerId,
    /// What the last CANCEL told cancels.
    cancels: Option<ServerId>,
}

impl Rig {
    fn new(key: TransportKey) -> Rig {
        let layer = Layer::new(Timers::default());
        let server = ServerId(u64::MAX);
        Rig {
            layer,
            key,
            now: Time::ZERO,
            sent: Bytes::new(),
            server,
            cancels: None,
        }
    }

    fn send(&mut self, text: String) -> ClientId {
        self.layer.request(self.now, self.key, text.into(), 1, None)
    }

    /// Takes a message and tells what followed.
    fn take(&mut self, text: String) -> Vec<String> {
        self.layer.receive(self.now, self.key, parse(text));
        self.lines()
    }

    fn respond(&mut self, status: u16, method: &str, branch: &str) -> Vec<String> {
        let text = response(status, method, branch);
        self.layer
            .respond(self.now, self.server, status, text.into());
        self.lines()
    }

    /// Everything put out since the last look.
    fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(output) = self.layer.poll_output() {
            lines.push(self.line(output));
        }
        lines
    }

    fn line(&mut self, output: Output<u32>) -> String {
        match output {
            Output::Send(to, bytes) => {
                assert_eq!(to.protocol, self.key.protocol);
                let message = Message::parse(bytes.clone()).expect("a message of ours");
                self.sent = bytes;
                format!("send {}", what(&message))
            }
            Output::Event(Event::Request {
                server,
                message,
                cancels,
                ..
            }) => {
                (self.server, self.cancels) = (server, cancels);
                format!("request {}", what(&message))
            }
            Output::Event(Event::Ack { .. }) => "ack".into(),
            Output::Event(Event::Response { owner, message, .. }) => {
                assert_eq!(owner, 1);
                format!("told {}", what(&message))
            }
            Output::Event(Event::Timeout {
                transport: true, ..
            }) => "transport failed".into(),
            Output::Event(Event::Timeout { .. }) => "timeout".into(),
            Output::Event(Event::NoAck { server, .. }) => {
                assert_eq!(server, self.server);
                "no ack".into()
            }
            Output::Event(Event::Stray { message, .. }) => format!("stray {}", what(&message)),
        }
    }

    /// Lets time pass until `millis` after the start, timer by timer.
    fn until(&mut self, millis: u64) -> Vec<String> {
        let end = Time::ZERO + Duration::from_millis(millis);
        let mut lines = Vec::new();
        while let Some(due) = self.layer.poll_deadline().filter(|due| *due <= end) {
            self.now = due;
            self.layer.handle_deadline(due);
            let at = due.as_nanos() / 1_000_000;
            lines.extend(self.lines().into_iter().map(|line| format!("{at} {line}")));
        }
        self.now = end;
        lines
    }

    /// Nothing is left: no transaction, no timer, no output.
    fn assert_empty(&mut self) {
        assert_eq!(self.layer.len(), (0, 0));
        assert!(self.layer.is_empty());
        assert_eq!(self.layer.poll_deadline(), None);
        assert_eq!(self.lines(), [""; 0]);
        self.layer.assert_no_trace();
    }
}

fn what(message: &Message) -> String {
    match message.is_request() {
        true => message.method().to_string(),
        false => message.status().to_string(),
    }
}

fn at(times: &[u64], line: &str) -> Vec<String> {
    times.iter().map(|time| format!("{time} {line}")).collect()
}
