//! Everything that happened in a world, in order: as a hash always, as lines where asked.

use crate::ua::CallNumber;
use holdline_wire::Time;
use std::fmt::Write;

/// The record of one run.
#[derive(Debug)]
pub struct Transcript {
    hash: u64,
    entries: u64,
    lines: Option<Vec<Line>>,
}

/// One line, with the call that it is about where that is known.
#[derive(Clone, Debug)]
pub struct Line {
    /// When.
    pub at: Time,
    /// The call.
    pub call: Option<CallNumber>,
    /// What.
    pub text: String,
}

impl Transcript {
    /// An empty one; `keep` keeps the lines beside the hash.
    pub fn new(keep: bool) -> Transcript {
        Transcript {
            hash: 0xcbf2_9ce4_8422_2325,
            entries: 0,
            lines: keep.then(Vec::new),
        }
    }

    /// Notes one event: who, what, and its bytes (a datagram, an operation). `show` writes the
    /// bytes for a person and is called only where lines are kept.
    pub fn note(
        &mut self,
        at: Time,
        call: Option<CallNumber>,
        head: &str,
        bytes: &[u8],
        show: impl FnOnce(&[u8]) -> String,
    ) {
        self.entries += 1;
        self.mix(&at.as_nanos().to_le_bytes());
        self.mix(head.as_bytes());
        self.mix(bytes);
        if let Some(lines) = &mut self.lines {
            let mut text = head.to_owned();
            let shown = show(bytes);
            if !shown.is_empty() {
                let _ = write!(text, " {shown}");
            }
            lines.push(Line { at, call, text });
        }
    }

    /// FNV-1a over words of eight bytes.
    fn mix(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.hash = (self.hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x0000_0100_0000_01b3);
            self.hash ^= self.hash >> 29;
        }
        for byte in rest {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.hash = (self.hash ^ bytes.len() as u64).wrapping_mul(0x0000_0100_0000_01b3);
    }

    /// The hash of all entries so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many entries there are.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Whether lines are kept.
    pub fn keeps_lines(&self) -> bool {
        self.lines.is_some()
    }

    /// The lines, if they were kept.
    pub fn lines(&self) -> &[Line] {
        self.lines.as_deref().unwrap_or_default()
    }
}

/// The number in the first `call-N` of a message, which both ends write into their URIs.
pub fn call_in(bytes: &[u8]) -> Option<CallNumber> {
    let at = bytes.windows(5).position(|window| window == b"call-")?;
    let digits: &[u8] = &bytes[at + 5..];
    let end = digits
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

/// A SIP message in one line: start line, CSeq, Call-ID, tags, Replaces, Reason, direction.
pub fn brief(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let mut out = lines.next().unwrap_or_default().to_owned();
    let mut media = None;
    for line in lines {
        let shown = [
            "CSeq:",
            "Call-ID:",
            "From:",
            "To:",
            "Replaces:",
            "Reason:",
            "Retry-After:",
        ];
        if shown.iter().any(|name| line.starts_with(name)) {
            let _ = write!(out, " | {line}");
        }
        if let Some(port) = line.strip_prefix("m=audio ") {
            media = port.split(' ').next().map(str::to_owned);
        }
        if line.starts_with("a=send") || line.starts_with("a=recv") || line == "a=inactive" {
            let _ = write!(out, " | sdp {} {line}", media.as_deref().unwrap_or("?"));
        }
    }
    out
}
