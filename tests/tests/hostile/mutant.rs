//! Mutants of valid in-dialog messages: right identifiers, and nearly everything else that a peer
//! could get wrong or do on purpose.
//!
//! What such a peer may rightfully do to its call is left out by construction ([`harms_rightly`]):
//! end it, change its media or its address, or count its requests up past the real peer's.

use crate::victim::Victim;
use bytes::Bytes;
use holdline_wire::header::Name;
use holdline_wire::sdp::Sdp;
use holdline_wire::token::Tokens;
use holdline_wire::{Message, Method};
use std::net::SocketAddr;

/// The start of every branch of ours; the mutant's number follows.
pub const BRANCH: &str = "z9hG4bKmutant";
/// The longest datagram of ours, bytes.
const MAX_DATAGRAM: usize = 60_000;

/// Methods that go through to the other end, in turn with the offers and the rest.
const METHODS: [&str; 14] = [
    "INFO",
    "MESSAGE",
    "OPTIONS",
    "NOTIFY",
    "REFER",
    "SUBSCRIBE",
    "PUBLISH",
    "PRACK",
    "UPDATE",
    "INVITE",
    "ACK",
    "CANCEL",
    "BYE",
    "X-odd.Method~",
];
/// Headers that are put in, doubled or given a nasty value.
const NAMES: [&str; 22] = [
    "Via",
    "v",
    "From",
    "To",
    "t",
    "Call-ID",
    "i",
    "CSeq",
    "Max-Forwards",
    "Content-Length",
    "l",
    "Content-Type",
    "Route",
    "Record-Route",
    "Require",
    "Supported",
    "Replaces",
    "Refer-To",
    "Instance-Utilization",
    "P-Asserted-Identity",
    "X-Unknown",
    "User-Agent",
];
const VALUES: [&[u8]; 24] = [
    b"",
    b" ",
    b",",
    b";",
    b"\"",
    b"\"open",
    b"<",
    b"<sip:",
    b"0",
    b"-1",
    b"4294967296",
    b"\0",
    b"\xff\xfe",
    b"\xc3\xa4 \xe2\x98\x83",
    b"a\r\n folded",
    b"(",
    b"*",
    b"sip:a@b;tag=",
    b"<sip:h;lr>, <sip:[::1];transport=tcp>",
    b"SIP/2.0/UDP h;branch=z9hG4bK1, SIP/2.0/TCP i",
    b"100rel, nothing",
    b"x;to-tag=1;from-tag=2",
    b"<sip:x?Replaces=a%3Bto-tag%3D1%0d%0a>",
    b"multipart/mixed;boundary=b",
];
const BODIES: [&[u8]; 6] = [
    b"Signal=5\r\nDuration=160\r\n",
    b"v=0\r\n",
    b"\0\0\0\0",
    b"--b\r\n\r\n--b--\r\n",
    b"{}",
    b"<?xml version=\"1.0\"?><a/>",
];
/// Lines that make of a description one that nobody can answer.
const NO_SDP: [&str; 5] = [
    "m=audio RTP/AVP 0\r\n",
    "m=audio 70000 RTP/AVP 0\r\n",
    "c=IN IP4\r\nm=audio 9 RTP/AVP 8\r\n",
    "m=\u{e4} 1 RTP/AVP 0\r\n",
    "m=audio 1/ RTP/AVP\r\n",
];

/// A message before it is written.
struct Draft {
    start: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    length: Option<Vec<u8>>,
    body: Vec<u8>,
}

impl Draft {
    fn add(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.headers.push((name.into(), value.into()));
    }

    fn write(&self) -> Vec<u8> {
        let mut bytes = self.start.clone();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
        }
        let length = self.length.clone();
        let length = length.unwrap_or_else(|| self.body.len().to_string().into_bytes());
        bytes.extend_from_slice(b"\r\nContent-Length: ");
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Makes them, the same from the same seed.
pub struct Mutants {
    random: Tokens,
    number: usize,
}

impl Mutants {
    pub fn new(seed: [u8; 32]) -> Mutants {
        let random = Tokens::new(seed);
        Mutants { random, number: 0 }
    }

    /// The next mutant of `victim`'s messages, whose answers go to `via`.
    pub fn next(&mut self, victim: &Victim, via: SocketAddr) -> Vec<u8> {
        let number = self.number;
        self.number += 1;
        loop {
            let mut draft = self.valid(victim, via, number);
            for _ in 0..self.below(4) {
                self.mutate(&mut draft);
            }
            let mut bytes = draft.write();
            if self.below(8) == 0 {
                self.damage(&mut bytes);
            }
            if bytes.len() <= MAX_DATAGRAM && !harms_rightly(victim, &bytes) {
                return bytes;
            }
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// A message that is in order, or of the kind that never may be: BYE with a wrong identifier.
    fn valid(&mut self, victim: &Victim, via: SocketAddr, number: usize) -> Draft {
        let method = self.pick(&METHODS);
        let is_answer = self.below(16) == 0;
        let start = match is_answer {
            true => format!("SIP/2.0 {} Mutant", 100 + self.below(600)),
            false => format!("{method} sip:call@{} SIP/2.0", victim.to),
        };
        let mut draft = Draft {
            start: start.into_bytes(),
            headers: Vec::new(),
            length: None,
            body: Vec::new(),
        };
        draft.add(
            "Via",
            format!("SIP/2.0/UDP {via};branch={BRANCH}{number};rport"),
        );
        draft.add("Max-Forwards", "70");
        draft.add("From", victim.from_value.clone());
        draft.add("To", victim.to_value.clone());
        draft.add("Call-ID", victim.call_id.clone());
        draft.add("CSeq", format!("{} {method}", victim.cseq));
        if let Some(contact) = &victim.contact {
            draft.add("Contact", format!("<{contact}>"));
        }
        match method {
            "INVITE" | "UPDATE" => self.offer(victim, &mut draft),
            "REFER" => draft.add("Refer-To", "<sip:elsewhere@192.0.2.7>"),
            "NOTIFY" | "SUBSCRIBE" => draft.add("Event", "x-mutant"),
            "BYE" => self.spoil_identifiers(&mut draft),
            _ => {}
        }
        if draft.body.is_empty() && self.below(3) == 0 {
            draft.body = self.pick(&BODIES).to_vec();
            draft.add("Content-Type", "application/x-mutant");
        }
        draft
    }

    /// The description in use, or one that cannot be read.
    fn offer(&mut self, victim: &Victim, draft: &mut Draft) {
        let broken = self.below(3) == 0;
        draft.body = match &victim.sdp {
            Some(sdp) if !broken => sdp.to_vec(),
            _ => format!("v=0\r\ns=-\r\n{}", self.pick(&NO_SDP)).into_bytes(),
        };
        draft.add("Content-Type", "application/sdp");
    }

    /// One letter of Call-ID or tags is another.
    fn spoil_identifiers(&mut self, draft: &mut Draft) {
        let at = 2 + self.below(3);
        if let Some(last) = draft.headers[at].1.last_mut() {
            *last = if *last == b'0' { b'1' } else { b'0' };
        }
    }

    fn mutate(&mut self, draft: &mut Draft) {
        let at = self.below(draft.headers.len());
        match self.below(10) {
            0 => draft.headers[at].1 = self.pick(&VALUES).to_vec(),
            1 => drop(draft.headers.remove(at)),
            2 => draft.headers.push(draft.headers[at].clone()),
            3 => draft.headers.rotate_left(at),
            4 => self.spoil_identifiers_of(draft, at),
            5 => draft.length = Some(self.length()),
            6 => self.grow(draft),
            7 => {
                let value = draft.headers[at].1.clone();
                let cut = self.below(value.len() + 1);
                draft.headers[at].1 = [&value[..cut], b"\r\n\t", &value[cut..]].concat();
            }
            _ => {
                let (name, value) = (self.pick(&NAMES), self.pick(&VALUES));
                draft.headers.insert(at, (name.into(), value.to_vec()));
            }
        }
    }

    fn spoil_identifiers_of(&mut self, draft: &mut Draft, at: usize) {
        let value = &mut draft.headers[at].1;
        if !value.is_empty() {
            let letter = self.random.below(value.len() as u64) as usize;
            value[letter] = self.random.below(256) as u8;
        }
    }

    fn length(&mut self) -> Vec<u8> {
        let lengths: [&[u8]; 7] = [b"0", b"1", b"-1", b"99999", b"4294967297", b"x", b""];
        self.pick(&lengths).to_vec()
    }

    /// Many headers, or one that is long.
    fn grow(&mut self, draft: &mut Draft) {
        match self.below(12) {
            0 => draft.add("X-Giant", vec![b'g'; 30_000]),
            1 => (0..300).for_each(|n| draft.add(&format!("X-{n}"), "y")),
            2 => (0..60).for_each(|n| draft.add("Route", format!("<sip:r{n}@192.0.2.7;lr>"))),
            _ => draft.add("Subject", vec![b's'; 400]),
        }
    }

    /// Bytes changed without regard to what they mean.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        match self.below(4) {
            0 => bytes.truncate(at),
            1 => bytes[at] = self.random.below(256) as u8,
            2 => {
                let end = (at + self.below(200)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => bytes.insert(at, b"\r\n: ;\0"[self.random.below(6) as usize]),
        }
    }
}

/// Whether the message, taken at its word, rightfully ends the call or changes it, or asks for a
/// new one.
fn harms_rightly(victim: &Victim, bytes: &[u8]) -> bool {
    let Ok(message) = Message::parse(Bytes::copy_from_slice(bytes)) else {
        return false;
    };
    if !message.is_request() {
        return false;
    }
    let method = message.method();
    if message.to_tag().is_none() {
        return *method == Method::Invite;
    }
    let names = message.call_id() == victim.call_id
        && victim
            .from_value
            .ends_with(&format!("tag={}", message.from_tag()))
        && victim
            .to_value
            .ends_with(&format!("tag={}", message.to_tag().unwrap_or_default()));
    if !names || message.cseq().number < victim.cseq {
        return false;
    }
    let ends = *method == Method::Bye;
    let overtakes = message.cseq().number > victim.cseq;
    let contact = message.contact().map(|contact| contact.uri);
    let moves = contact.is_some() && contact != victim.contact.as_deref();
    ends || overtakes || moves || changes_media(victim, &message)
}

/// Whether it offers another session than the one in use, or asks for an offer that nobody would
/// answer.
fn changes_media(victim: &Victim, message: &Message) -> bool {
    if !matches!(message.method(), Method::Invite | Method::Update) {
        return false;
    }
    let other = match message.sdp() {
        Some(sdp) => Sdp::parse(sdp.clone()).is_ok() && Some(&sdp) != victim.sdp.as_ref(),
        None => *message.method() == Method::Invite,
    };
    other || message.header(Name::SessionExpires).is_some()
}
