//! Printing of messages: what we originate, and what we pass on byte for byte.
//! CR and LF in a value are refused, so nothing can inject a header.

use crate::header::Name;
use crate::message::Message;
use crate::method::Method;
use bytes::Bytes;
use std::fmt::Display;
use std::net::SocketAddr;

/// Why a message could not be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A name or value holds CR, LF or NUL.
    #[error("a line break in a header")]
    LineBreak,
    /// Longer than [`crate::message::MAX_MESSAGE`].
    #[error("message too long")]
    TooLong,
}

/// A body and its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The Content-Type as written.
    pub content_type: Bytes,
    /// The body.
    pub bytes: Bytes,
}

impl Body {
    /// An application/sdp body.
    pub fn sdp(bytes: Bytes) -> Body {
        Body { content_type: Bytes::from_static(b"application/sdp"), bytes }
    }
}

/// A message under construction; the first error is kept and told by `finish`.
#[derive(Clone, Debug)]
pub struct Builder {
    buf: Vec<u8>,
    error: Option<BuildError>,
}

impl Builder {
    /// A request line.
    pub fn request(_method: &Method, _uri: &str) -> Builder {
        todo!()
    }
    /// A response to `request` that came from `source`: status line, every Via (received and
    /// rport filled in the topmost, RFC 3581), From, To (with `to_tag` where it has none yet),
    /// Call-ID, CSeq, Timestamp for 100. `reason` empty: the standard phrase.
    pub fn response(
        _request: &Message,
        _source: SocketAddr,
        _status: u16,
        _reason: &[u8],
        _to_tag: Option<&str>,
    ) -> Builder {
        todo!()
    }
    /// Adds a header of our own.
    #[must_use]
    pub fn header(self, _name: Name<'_>, _value: impl Display) -> Builder {
        todo!()
    }
    /// Adds a header as it stood in a parsed message; folds in the value stay, a bare CR or LF
    /// is an error.
    #[must_use]
    pub fn raw(self, _name: &[u8], _value: &[u8]) -> Builder {
        todo!()
    }
    /// Adds the Via of a new request: `SIP/2.0/UDP sent_by;branch=...;rport`.
    #[must_use]
    pub fn via(self, _key: &crate::TransportKey, _branch: &str) -> Builder {
        todo!()
    }
    /// Ends the header with Content-Type and Content-Length and adds the body.
    pub fn finish(self, _body: Option<&Body>) -> Result<Bytes, BuildError> {
        todo!()
    }
}

/// The standard reason phrase of `status`.
pub fn reason_phrase(_status: u16) -> &'static str {
    todo!()
}
