mod answer;
mod edit;
mod parse;
mod properties;

use super::{Anchor, Sdp};

/// Reads a text whose lines end in CRLF, given with LF.
fn sdp(text: &str) -> Sdp {
    Sdp::parse(text.replace('\n', "\r\n").into_bytes().into()).expect(text)
}

/// The text of a description, with LF.
fn text(sdp: &Sdp) -> String {
    String::from_utf8_lossy(sdp.bytes()).replace("\r\n", "\n")
}

/// The start of a description at 192.0.2.1, then `more`.
fn session(more: &str) -> String {
    format!("v=0\no=alice 11 12 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n{more}")
}

/// An anchor at `address`.
fn at(address: &str) -> Option<Anchor> {
    Some(Anchor {
        rtp: address.parse().expect(address),
    })
}
