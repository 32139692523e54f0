//! SDP (RFC 8866) read into positions and edited line by line: what an edit does not touch stays
//! as it was, byte for byte. Offer/answer arithmetic of RFC 3264.
//!
//! Every edit works on the lines of one buffer and reads its own result back, so that a
//! description always agrees with its bytes. Names of attributes are compared without regard to
//! case: what a sloppy endpoint means must not lead media past the relay.

mod anchor;
mod answer;
mod direction;
mod edit;
mod media;
mod parse;
#[cfg(test)]
mod tests;

pub use direction::Direction;
pub use media::{Codec, Media};

use bytes::Bytes;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

/// The longest description that is read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;
/// The most streams a description may have.
pub const MAX_STREAMS: usize = 64;
/// The most formats a stream may list: RTP has 128 payload numbers (RFC 3550 section 5.1).
pub const MAX_FORMATS: usize = 128;

/// Why a session description cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SDP line {line}: expected {what}")]
pub struct SdpError {
    /// The line, from 1.
    pub line: usize,
    /// What was expected.
    pub what: &'static str,
}

/// What a relay puts in place of a stream's own address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The relay's RTP address; RTCP is the port after it, or the same with mux.
    pub rtp: SocketAddr,
}

/// A session description with the positions of its lines.
#[derive(Clone, Debug)]
pub struct Sdp {
    bytes: Bytes,
    /// Shared by copies.
    parts: Arc<Parts>,
    /// The direction at session level; sendrecv where nothing is said.
    direction: Direction,
}

/// What a description consists of.
#[derive(Clone, Debug, Default)]
struct Parts {
    media: Vec<Media>,
    lines: Vec<Line>,
    /// The lines of each stream, its m-line first.
    sections: Vec<Range<usize>>,
}

/// Where a line stands: its text, and the end of its line break.
#[derive(Clone, Copy, Debug)]
struct Line {
    start: usize,
    end: usize,
    next: usize,
}

impl Sdp {
    /// The description as it stands.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The streams, in order, refused ones included.
    pub fn media(&self) -> &[Media] {
        &self.parts.media
    }

    /// The lines before the first stream.
    fn session(&self) -> Range<usize> {
        0..self
            .parts
            .sections
            .first()
            .map_or(self.parts.lines.len(), |first| first.start)
    }

    /// The text of a line, without its line break.
    fn text(&self, line: usize) -> &[u8] {
        let Line { start, end, .. } = self.parts.lines[line];
        &self.bytes[start..end]
    }
}
