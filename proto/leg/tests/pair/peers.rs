//! A caller and a callee made by hand, message by message.

use crate::b2bua::{B2bua, CALLEE, CALLER, addr};
use bytes::Bytes;
use holdline_wire::build::{Body, Builder};
use holdline_wire::dialog::Dialog;
use holdline_wire::header::Name;
use holdline_wire::{Message, Method, TransportKey};

pub const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
pub const ANSWER: &str = "v=0\r\no=- 2 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n";

/// The B2BUA between the two, and what each has got.
pub struct Scene {
    pub us: B2bua,
    /// The caller's dialog, once it is answered.
    pub caller: Option<Dialog>,
    /// The callee's.
    pub callee: Option<Dialog>,
    branch: u32,
}

pub fn body(sdp: &str) -> Option<Body> {
    (!sdp.is_empty()).then(|| Body::sdp(sdp.to_owned().into()))
}

/// The INVITE that opens the call, with more header lines.
pub fn invite(headers: &str, sdp: &str) -> String {
    let content = match sdp {
        "" => String::new(),
        _ => "Content-Type: application/sdp\r\n".to_owned(),
    };
    format!(
        "INVITE sip:bob@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bKinv\r\n\
         From: Alice <sip:alice@a.example>;tag=alice\r\nTo: <sip:bob@b.example>\r\n\
         Call-ID: call\r\nCSeq: 1 INVITE\r\nContact: <sip:alice@{CALLER}>\r\n{headers}{content}\
         Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
}

impl Scene {
    /// No call yet.
    pub fn empty() -> Scene {
        Scene {
            us: B2bua::new(1),
            caller: None,
            callee: None,
            branch: 0,
        }
    }

    /// A call that the callee has got.
    pub fn calling(headers: &str, sdp: &str) -> (Scene, Message) {
        let mut scene = Scene::empty();
        scene.caller_sends(invite(headers, sdp).into_bytes());
        let got = scene.at_caller();
        assert_eq!(got[0].status(), 100);
        let invite = scene.one_at_callee();
        assert_eq!(*invite.method(), Method::Invite);
        scene.callee = Dialog::uas(&invite, "bob", flow(CALLEE));
        (scene, invite)
    }

    /// A call that is up, both ACKs included.
    pub fn up() -> Scene {
        let (mut scene, invite) = Scene::calling("", OFFER);
        scene.respond(&invite, 200, "bob", "", ANSWER);
        assert_eq!(*scene.one_at_callee().method(), Method::Ack);
        let answer = scene.one_at_caller();
        scene.learn(&answer);
        scene.ack(1, "");
        scene
    }

    /// The caller makes its dialog of `answer`.
    pub fn learn(&mut self, answer: &Message) {
        let invite = Message::parse(invite("", OFFER).into()).unwrap();
        self.caller = Dialog::uac(&invite, answer, flow(CALLER));
    }

    pub fn caller_sends(&mut self, bytes: Vec<u8>) {
        self.us.receive(addr(CALLER), bytes.into());
    }

    fn branch(&mut self) -> String {
        self.branch += 1;
        format!("z9hG4bK{}", self.branch)
    }

    /// The callee answers with that tag and more header lines.
    pub fn respond(&mut self, to: &Message, status: u16, tag: &str, more: &str, sdp: &str) {
        let bytes = response(to, status, tag, more, sdp);
        self.us.receive(addr(CALLEE), bytes.into());
    }

    /// The caller answers.
    pub fn caller_responds(&mut self, to: &Message, status: u16, sdp: &str) {
        let bytes = response(to, status, "alice", "", sdp);
        self.us.receive(addr(CALLER), bytes.into());
    }

    /// A request of the callee (or the caller) inside its dialog. It comes back.
    pub fn request(&mut self, from_callee: bool, method: Method, sdp: &str) -> Message {
        let branch = self.branch();
        let (dialog, who) = match from_callee {
            true => (self.callee.as_mut(), CALLEE),
            false => (self.caller.as_mut(), CALLER),
        };
        let mut builder = dialog.expect("a dialog").request(&method, &branch);
        builder = builder.header(Name::Contact, format_args!("<sip:{who}>"));
        let bytes = builder.finish(body(sdp).as_ref()).unwrap();
        self.us.receive(addr(who), bytes.clone());
        Message::parse(bytes).unwrap()
    }

    /// A request of the caller with a header line more, and its answer.
    pub fn request_with(&mut self, method: Method, header: &str) -> Message {
        let plain = self.raw_request(method, "text/plain", b"x");
        let (line, rest) = plain.split_at(plain.iter().position(|b| *b == b'\n').unwrap() + 1);
        self.caller_sends([line, header.as_bytes(), rest].concat());
        self.one_at_caller()
    }

    /// A request of the caller's dialog with any body.
    pub fn raw_request(&mut self, method: Method, content_type: &str, body: &[u8]) -> Bytes {
        let branch = self.branch();
        let body = Body {
            content_type: content_type.to_owned().into(),
            bytes: body.to_vec().into(),
        };
        let builder = self.caller.as_mut().unwrap().request(&method, &branch);
        builder.finish(Some(&body)).unwrap()
    }

    /// The caller's ACK.
    pub fn ack(&mut self, number: u32, sdp: &str) {
        let branch = self.branch();
        let ack = self.caller.as_ref().unwrap().ack(number, &branch);
        let bytes = ack.finish(body(sdp).as_ref()).unwrap();
        self.us.receive(addr(CALLER), bytes);
    }

    /// The caller's CANCEL of `invite`, by the same branch.
    pub fn cancel(&mut self, invite: &Message) {
        self.caller_sends(cancel_of(invite));
    }

    pub fn cancel_from_callee(&mut self, invite: &Message) {
        self.us.receive(addr(CALLEE), cancel_of(invite).into());
    }

    fn take(&mut self, who: &str) -> Vec<Message> {
        let who = addr(who);
        let (theirs, rest) = self.us.sent.drain(..).partition(|(to, _)| *to == who);
        self.us.sent = rest;
        theirs.into_iter().map(|(_, message)| message).collect()
    }

    pub fn at_caller(&mut self) -> Vec<Message> {
        self.take(CALLER)
    }

    pub fn at_callee(&mut self) -> Vec<Message> {
        self.take(CALLEE)
    }

    pub fn one_at_caller(&mut self) -> Message {
        one(self.at_caller())
    }

    pub fn one_at_callee(&mut self) -> Message {
        one(self.at_callee())
    }

    /// The statuses and methods that the callee got.
    pub fn told_callee(&mut self) -> Vec<String> {
        self.at_callee().iter().map(name).collect()
    }

    pub fn told_caller(&mut self) -> Vec<String> {
        self.at_caller().iter().map(name).collect()
    }
}

fn cancel_of(invite: &Message) -> Vec<u8> {
    let text = String::from_utf8(invite.bytes().to_vec()).unwrap();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let kept: Vec<&str> = head
        .lines()
        .filter(|line| !line.starts_with("Content-") && !line.starts_with("Contact"))
        .collect();
    (kept.join("\r\n").replace("INVITE", "CANCEL") + "\r\n\r\n").into_bytes()
}

fn response(to: &Message, status: u16, tag: &str, more: &str, sdp: &str) -> Vec<u8> {
    let builder = Builder::response(to, addr("127.0.0.1:5060"), status, b"", Some(tag));
    let plain = builder.finish(body(sdp).as_ref()).unwrap();
    let (line, rest) = plain.split_at(plain.iter().position(|b| *b == b'\n').unwrap() + 1);
    let contact = match status {
        300.. => String::new(),
        _ if tag == "alice" => format!("Contact: <sip:{CALLER}>\r\n"),
        _ => format!("Contact: <sip:{CALLEE}>\r\n"),
    };
    [line, contact.as_bytes(), more.as_bytes(), rest].concat()
}

fn flow(of: &str) -> TransportKey {
    TransportKey::udp(addr(of), addr("127.0.0.1:5060"))
}

fn one(mut messages: Vec<Message>) -> Message {
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

fn name(message: &Message) -> String {
    match message.is_request() {
        true => message.method().to_string(),
        false => format!("{} {}", message.status(), message.cseq().method),
    }
}
