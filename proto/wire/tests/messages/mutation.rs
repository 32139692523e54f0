//! Seeded mutations of all messages at hand: the parser never panics, whatever it takes keeps
//! the promises of its getters, and what is printed reads the same again.

use crate::testdata;
use bytes::Bytes;
use holdline_wire::Method;
use holdline_wire::build::{Body, Builder};
use holdline_wire::header::{
    CSeq, InstanceUtilization, Name, NameAddr, Replaces, SessionExpires, Via,
};
use holdline_wire::message::{Message, ParseError, frame};
use holdline_wire::token::Tokens;
use holdline_wire::uri::SipUri;

const ROUNDS: usize = 30_000;

/// Pieces that mean something to some parser.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n ",
    b"\0",
    b"\"",
    b"\\",
    b"<",
    b">",
    b";",
    b",",
    b"(",
    b")",
    b":",
    b"@",
    b"?",
    b"=",
    b"%",
    b"[",
    b"]",
    b"/",
    b" ",
    b"\t",
    b"\xff",
    b"\xc3",
    b"Via: ",
    b"l: 1\r\n",
    b"SIP/2.0",
    b"sip:",
    b"tag=",
    b"99999999999",
    b"-1",
    b"--",
    b"multipart/mixed;boundary=b",
];

fn seeds() -> Vec<Bytes> {
    let mut seeds: Vec<Bytes> = testdata::own()
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect();
    let torture = holdline_corpus::torture().into_iter();
    seeds.extend(torture.map(|message| Bytes::from(message.bytes)));
    for (folder, suffix) in [
        ("rfc4475", ".dat"),
        ("rfc5118/wire", ""),
        ("flows/rfc3665", ""),
    ] {
        let Some(folder) = testdata::folder(folder) else {
            continue;
        };
        seeds.extend(
            testdata::files(&folder, suffix)
                .into_iter()
                .map(|(_, bytes)| bytes),
        );
    }
    seeds
}

fn below(random: &mut Tokens, bound: usize) -> usize {
    random.below(bound as u64) as usize
}

/// One to four changes: a byte, a cut, a piece put in, a stretch doubled or taken from another.
fn mutate(random: &mut Tokens, seeds: &[Bytes]) -> Vec<u8> {
    let mut bytes = seeds[below(random, seeds.len())].to_vec();
    for _ in 0..=below(random, 4) {
        let at = below(random, bytes.len() + 1);
        let end = (at + below(random, 40)).min(bytes.len());
        match below(random, 6) {
            0 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            1 => drop(bytes.drain(at..end)),
            2 => bytes.truncate(at),
            3 => {
                let stretch = bytes[at..end].to_vec();
                bytes.splice(at..at, stretch);
            }
            4 => {
                let other = &seeds[below(random, seeds.len())];
                let from = below(random, other.len());
                let to = (from + below(random, 80)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            _ => {
                let piece = PIECES[below(random, PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
    bytes
}

/// Calls every getter and every view; keeps what must hold.
fn exercise(message: &Message) {
    assert!(!message.call_id().is_empty() && !message.top_via().host.is_empty());
    assert!(!message.from().uri.is_empty() && !message.to().uri.is_empty());
    assert!(message.cseq().number < 1 << 31);
    let _ = (
        message.method(),
        message.request_uri(),
        message.reason(),
        message.from_tag(),
    );
    let _ = (
        message.contact(),
        message.body(),
        message.sdp(),
        message.max_forwards(),
    );
    for field in message.fields() {
        assert_eq!(field.name, Name::resolve(field.name.as_str()));
        let _ = message.text(field.name);
        for value in message.list(field.name) {
            if let Some(address) = NameAddr::parse(value) {
                let _ = (address.tag(), address.without_params());
                let _ = SipUri::parse(address.uri).map(|uri| (uri.socket_addr(), uri.header("x")));
            }
            let _ = (
                Via::parse(value),
                Replaces::parse(value),
                CSeq::parse(value),
            );
            let _ = (
                SessionExpires::parse(value),
                InstanceUtilization::parse(value),
            );
        }
    }
}

/// A response to whatever was taken or refused, unless that grows too long, is a message.
fn answer(request: &Message) {
    let source = "[2001:db8::7]:4321".parse().unwrap();
    let response = Builder::response(request, source, 400, b"", Some("tag"));
    assert!(response.finish(None).is_ok());
}

/// Stream and parser see the end of a message at the same byte: nothing is smuggled between.
fn frames_agree(bytes: &Bytes) {
    let Ok(Some(length)) = frame(bytes) else {
        return;
    };
    if let Ok(message) = Message::parse(bytes.slice(..length)) {
        assert!(bytes[..length].ends_with(message.bytes()));
        let rest = Message::parse(bytes.clone()).expect("what follows a message changes nothing");
        assert_eq!(rest.bytes(), message.bytes());
    }
}

#[test]
fn mutated_messages_never_panic_and_what_is_taken_can_be_used() {
    let (seeds, mut random) = (seeds(), Tokens::new(*b"mutations of messages, first run"));
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..ROUNDS {
        let bytes = Bytes::from(mutate(&mut random, &seeds));
        frames_agree(&bytes);
        match Message::parse(bytes) {
            Ok(message) => {
                taken += 1;
                exercise(&message);
                if message.is_request() {
                    answer(&message);
                }
                let again = Message::parse(message.bytes().clone()).unwrap();
                assert_eq!(again.fields().count(), message.fields().count());
            }
            Err(ParseError::Refuse { request, .. }) => {
                refused += 1;
                answer(&request);
            }
            Err(_) => {}
        }
    }
    // The mutations are neither harmless nor hopeless.
    assert!(
        taken > ROUNDS / 10 && refused > ROUNDS / 50,
        "{taken} taken, {refused} refused"
    );
}

#[test]
fn what_is_printed_reads_the_same_again() {
    let mut random = Tokens::new(*b"round trips of messages, run one");
    for round in 0..2_000u32 {
        let (call_id, tag, branch) = (random.call_id(), random.tag(), random.branch());
        let number = random.number() >> 1;
        let noise: String = (0..below(&mut random, 60))
            .map(|_| char::from(b' ' + random.below(95) as u8))
            .collect();
        let body = vec![random.below(256) as u8; below(&mut random, 300)];
        let body = Body {
            content_type: Bytes::from_static(b"x/y"),
            bytes: body.into(),
        };
        let bytes = Builder::request(&Method::Info, "sip:b@h;x=1")
            .header(Name::Via, format_args!("SIP/2.0/UDP h;branch={branch}"))
            .header(
                Name::From,
                format_args!("\"A, \\\" <b>\" <sip:a@h>;tag={tag}"),
            )
            .header(Name::To, "<sip:b@h>")
            .header(Name::CallId, &call_id)
            .header(Name::CSeq, format_args!("{number} INFO"))
            .header(Name::Other("X-Noise"), &noise)
            .finish(Some(&body))
            .unwrap();
        let read = Message::parse(bytes.clone()).unwrap_or_else(|e| panic!("{round}: {e}"));
        assert_eq!(read.bytes(), &bytes);
        assert_eq!((read.call_id(), read.from_tag()), (&*call_id, &*tag));
        assert_eq!(
            (read.top_via().branch, read.cseq().number),
            (&*branch, number)
        );
        assert_eq!(
            read.header(Name::Other("x-noise")),
            Some(noise.trim().as_bytes())
        );
        assert_eq!(read.body(), body.bytes);
    }
}
