//! The framer and the index of header positions over one buffer (RFC 3261 section 7).
//!
//! A [`Message`] never changes: what is passed on is copied out of it byte for byte.

use crate::header::{CSeq, Name, NameAddr, Via};
use crate::method::Method;
use bytes::Bytes;

/// The longest message taken from a datagram or stream, in bytes.
pub const MAX_MESSAGE: usize = 65_535;
/// The most header fields a message may have.
pub const MAX_HEADERS: usize = 256;

/// Why bytes are no message that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Not SIP, or so broken that no answer can be made; `0` says what was expected.
    #[error("not a SIP message: {0}")]
    Garbage(&'static str),
    /// A request that is wrong but whose Via, From, To, Call-ID and CSeq serve for an answer.
    #[error("refused with {status}: {reason}")]
    Refuse {
        /// The status to answer with: 400, 505, 513 ...
        status: u16,
        /// What is wrong, safe to put on the wire as a reason phrase.
        reason: &'static str,
        /// The request as far as it could be read.
        request: Box<Message>,
    },
    /// Only CR LF: a keep-alive (RFC 5626 section 3.5.1).
    #[error("keep-alive")]
    KeepAlive,
}

/// A parsed request or response: one buffer and the positions in it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Message {
    // private: buffer, start line, Arc<[header slots]>, body range, parsed CSeq/method
    bytes: Bytes,
}

/// One header field as it stands in the message.
#[derive(Clone, Copy, Debug)]
pub struct HeaderField<'a> {
    /// Which header, compact forms resolved.
    pub name: Name<'a>,
    /// The name as written.
    pub raw_name: &'a [u8],
    /// The value as written, without the white space around it; folds are still in it.
    pub value: &'a [u8],
}

impl Message {
    /// Reads one message from a datagram. Bytes past Content-Length are cut off; a body shorter
    /// than Content-Length is refused with 400. After `Ok`, the mandatory headers (Via, From, To,
    /// Call-ID, CSeq; RFC 3261 section 8.1.1) are there and well formed, so their getters cannot
    /// fail. Leading CR LF, folded lines, `Subject : x` and compact names are understood.
    pub fn parse(_bytes: Bytes) -> Result<Message, ParseError> {
        todo!()
    }
    /// The whole message as received.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        todo!()
    }
    /// The request's method, or for a response the method of its CSeq.
    pub fn method(&self) -> &Method {
        todo!()
    }
    /// The Request-URI as written; empty for a response.
    pub fn request_uri(&self) -> &str {
        todo!()
    }
    /// The status code, 100..=699; 0 for a request.
    pub fn status(&self) -> u16 {
        todo!()
    }
    /// The reason phrase of a response, as written (may be empty, may be any bytes).
    pub fn reason(&self) -> &[u8] {
        todo!()
    }
    /// All header fields in order.
    pub fn fields(&self) -> impl Iterator<Item = HeaderField<'_>> {
        std::iter::empty()
    }
    /// The value of the first header called `name`.
    pub fn header(&self, _name: Name<'_>) -> Option<&[u8]> {
        todo!()
    }
    /// The first header called `name`, unfolded (a fold becomes one space), where it is UTF-8.
    pub fn text(&self, _name: Name<'_>) -> Option<String> {
        todo!()
    }
    /// All members of a comma-separated list header, over all its header fields, in order
    /// (Via, Route, Record-Route, Contact, Supported, Require ...), each trimmed.
    pub fn list(&self, _name: Name<'_>) -> Vec<&[u8]> {
        todo!()
    }
    /// Whether a token list (Supported, Require, Allow) holds `token`, whatever its case.
    pub fn has_token(&self, _name: Name<'_>, _token: &str) -> bool {
        todo!()
    }
    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        todo!()
    }
    /// The CSeq.
    pub fn cseq(&self) -> &CSeq {
        todo!()
    }
    /// The From header.
    pub fn from(&self) -> NameAddr<'_> {
        todo!()
    }
    /// The To header.
    pub fn to(&self) -> NameAddr<'_> {
        todo!()
    }
    /// The From tag; empty where there is none (RFC 2543 peers).
    pub fn from_tag(&self) -> &str {
        todo!()
    }
    /// The To tag, if any.
    pub fn to_tag(&self) -> Option<&str> {
        todo!()
    }
    /// The topmost Via.
    pub fn top_via(&self) -> Via<'_> {
        todo!()
    }
    /// The first Contact's address, if there is one (`*` gives none).
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        todo!()
    }
    /// The body, without copying; empty where there is none.
    pub fn body(&self) -> Bytes {
        todo!()
    }
    /// The body where Content-Type is application/sdp (or, for a multipart body, its SDP part).
    pub fn sdp(&self) -> Option<Bytes> {
        todo!()
    }
}
