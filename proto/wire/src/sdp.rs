//! SDP (RFC 8866) read into positions and edited line by line: what an edit does not touch stays
//! as it was, byte for byte. Offer/answer arithmetic of RFC 3264.

use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};

/// Which way a stream flows, as its own side sees it (RFC 3264 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// We send only.
    SendOnly,
    /// We receive only.
    RecvOnly,
    /// Nothing flows; RTCP does.
    Inactive,
}

impl Direction {
    /// The same stream as the other side sees it.
    pub fn reversed(self) -> Direction {
        todo!()
    }
    /// What is left of `self` where the peer, in its own words, answered `peer`.
    pub fn narrowed_by(self, _peer: Direction) -> Direction {
        todo!()
    }
    /// The attribute name: `sendrecv` ...
    pub fn as_str(self) -> &'static str {
        todo!()
    }
    /// Whether this side sends.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }
    /// Whether this side receives.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }
}

/// Why a session description cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SDP line {line}: {what}")]
pub struct SdpError {
    /// The line, from 1.
    pub line: usize,
    /// What was expected.
    pub what: &'static str,
}

/// One media stream as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video` ...
    pub kind: Box<str>,
    /// The port; 0 means refused or removed.
    pub port: u16,
    /// `RTP/AVP`, `RTP/SAVP` ...
    pub proto: Box<str>,
    /// The formats in order (payload numbers for RTP).
    pub formats: Vec<Box<str>>,
    /// The connection address, from the m-section or the session level; `None` for a host name.
    pub address: Option<IpAddr>,
    /// Where RTCP goes: a=rtcp (RFC 3605), the same port with rtcp-mux, else port + 1.
    pub rtcp: Option<SocketAddr>,
    /// Whether a=rtcp-mux is there (RFC 5761).
    pub mux: bool,
    /// The direction; sendrecv where nothing is said. A zero address (RFC 2543 hold) reads as
    /// sendonly narrowed accordingly.
    pub direction: Direction,
    /// a=ptime, milliseconds.
    pub ptime: Option<u16>,
}

impl Media {
    /// Where RTP goes, if the stream is alive and its address is a usable unicast one.
    pub fn rtp_addr(&self) -> Option<SocketAddr> {
        todo!()
    }
    /// The RTP clock rate of the first format (a=rtpmap, else RFC 3551's table, else 8000).
    pub fn clock_rate(&self) -> u32 {
        todo!()
    }
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
    media: Vec<Media>,
}

impl Sdp {
    /// Reads it. Tolerates bare LF, a missing last line break, Latin-1, unknown lines; refuses
    /// what cannot be relayed rightly (no v=, no c= for a live stream, bad m-line).
    pub fn parse(_bytes: Bytes) -> Result<Sdp, SdpError> {
        todo!()
    }
    /// The description as it stands.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
    /// The streams, in order, refused ones included.
    pub fn media(&self) -> &[Media] {
        &self.media
    }
    /// Puts `anchors[i]` in place of the i-th live stream's address: c= lines, the m-line's port,
    /// a=rtcp; ICE candidates and the like, which would lead past the relay, are removed. The
    /// o= line's address stays. A `None` or missing anchor sets port 0. Everything else stays
    /// byte for byte.
    #[must_use]
    pub fn anchored(&self, _anchors: &[Option<Anchor>]) -> Sdp {
        todo!()
    }
    /// Replaces the o= line's session id and version (and its address), for a description that
    /// stands in a new dialog of ours.
    #[must_use]
    pub fn with_origin(&self, _session: u64, _version: u64, _address: IpAddr) -> Sdp {
        todo!()
    }
    /// Sets the direction of stream `index`.
    #[must_use]
    pub fn with_direction(&self, _index: usize, _direction: Direction) -> Sdp {
        todo!()
    }
    /// Keeps of stream `index` only the formats in `keep` (in this description's order), with
    /// their rtpmap, fmtp and rtcp-fb lines.
    #[must_use]
    pub fn with_formats(&self, _index: usize, _keep: &[Box<str>]) -> Sdp {
        todo!()
    }
    /// What is in use after offer and answer, described from `self`'s side: `self` is our last
    /// description, `peer` the other's; formats are those the answer kept, direction is ours
    /// narrowed by the peer's, streams refused by either have port 0 (spec: X24a).
    #[must_use]
    pub fn in_use(&self, _peer: &Sdp) -> Sdp {
        todo!()
    }
    /// The answer that accepts this offer as it is: same formats and payload numbers, directions
    /// reversed, at `anchors` (spec: X31a).
    #[must_use]
    pub fn mirrored(&self, _anchors: &[Option<Anchor>], _session: u64) -> Sdp {
        todo!()
    }
}
