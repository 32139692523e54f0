//! The framer and the index of header positions over one buffer (RFC 3261 section 7).
//!
//! A [`Message`] never changes: what is passed on is copied out of it byte for byte.

mod body;
mod frame;
mod index;
mod lines;
mod positions;

use crate::header::scan::{Members, decimal};
use crate::header::{CSeq, Name, NameAddr, UNKNOWN, Via, name_of};
use crate::method::Method;
use bytes::Bytes;
use positions::{Index, Slot, Start};
use std::sync::Arc;

pub use frame::frame;

/// The longest message taken from a datagram or stream, in bytes.
pub const MAX_MESSAGE: usize = 65_535;
/// What counts as Max-Forwards where a request has none (RFC 3261 section 8.1.1.6).
const MAX_FORWARDS: u32 = 70;
/// The most header fields a message may have.
pub const MAX_HEADERS: usize = 256;

/// Why bytes are no message that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Not SIP, or so broken that no answer can be made; `0` says what was expected. Every
    /// response that cannot be used comes here too.
    #[error("not a SIP message: {0}")]
    Garbage(&'static str),
    /// A request that is wrong but whose Via, From, To, Call-ID and CSeq serve for an answer.
    /// (An ACK is never answered, whatever is wrong with it.)
    #[error("refused with {status}: {reason}")]
    Refuse {
        /// The status to answer with: 400 or 505.
        status: u16,
        /// What is wrong, safe to put on the wire as a reason phrase.
        reason: &'static str,
        /// The request as far as it could be read: a From or To that is no address has an empty
        /// URI, a CSeq without a number has 0, one whose number is too large has that number or
        /// `u32::MAX`.
        request: Box<Message>,
    },
    /// Only CR LF: a keep-alive (RFC 5626 section 3.5.1).
    #[error("keep-alive")]
    KeepAlive,
}

/// A parsed request or response: one buffer and the positions in it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Bytes,
    index: Arc<Index>,
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
    /// The whole message as received, without CR LF before it and bytes after its body.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.index.start, Start::Request { .. })
    }

    /// The request's method, or for a response the method of its CSeq.
    pub fn method(&self) -> &Method {
        match &self.index.start {
            Start::Request { method, .. } => method.as_ref().unwrap_or(&self.index.cseq.method),
            Start::Response { .. } => &self.index.cseq.method,
        }
    }

    /// The Request-URI as written; empty for a response.
    pub fn request_uri(&self) -> &str {
        match self.index.start {
            Start::Request { uri, .. } => self.str_at(uri.of(&self.bytes)),
            Start::Response { .. } => "",
        }
    }

    /// Whether the Request-URI is of a kind that a SIP element serves: `sip`, `sips`, `tel`, and
    /// `urn` for services like `urn:service:sos` (RFC 5031). Others get 416 (RFC 3261 8.2.2.1).
    pub fn has_known_scheme(&self) -> bool {
        let scheme = self.request_uri().split(':').next().unwrap_or_default();
        let known = ["sip", "sips", "tel", "urn"];
        known.iter().any(|known| scheme.eq_ignore_ascii_case(known))
    }

    /// The status code, 100..=699; 0 for a request.
    pub fn status(&self) -> u16 {
        match self.index.start {
            Start::Request { .. } => 0,
            Start::Response { status, .. } => status,
        }
    }

    /// The reason phrase of a response, as written (may be empty, may be any bytes).
    pub fn reason(&self) -> &[u8] {
        match self.index.start {
            Start::Request { .. } => b"",
            Start::Response { reason, .. } => reason.of(&self.bytes),
        }
    }

    /// All header fields in order.
    pub fn fields(&self) -> impl Iterator<Item = HeaderField<'_>> {
        self.index.slots.iter().map(|slot| {
            let raw_name = slot.name.of(&self.bytes);
            let name = name_of(slot.kind).unwrap_or_else(|| Name::Other(self.str_at(raw_name)));
            HeaderField {
                name,
                raw_name,
                value: slot.value.of(&self.bytes),
            }
        })
    }

    /// The value of the first header called `name`.
    pub fn header(&self, name: Name<'_>) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// The values of all header fields called `name`, in order, not split at commas.
    pub fn values<'n>(&self, name: Name<'n>) -> impl Iterator<Item = &[u8]> + use<'_, 'n> {
        let kind = name.kind();
        let is_it = move |slot: &&Slot| {
            let spelt = || slot.name.of(&self.bytes);
            slot.kind == kind
                && (kind != UNKNOWN || spelt().eq_ignore_ascii_case(name.as_str().as_bytes()))
        };
        self.index
            .slots
            .iter()
            .filter(is_it)
            .map(|slot| slot.value.of(&self.bytes))
    }

    /// The first header called `name`, unfolded (a fold becomes one space), where it is UTF-8.
    pub fn text(&self, name: Name<'_>) -> Option<String> {
        let text = std::str::from_utf8(self.header(name)?).ok()?;
        if !text.contains('\n') {
            return Some(text.to_owned());
        }
        let lines: Vec<&str> = text
            .split('\n')
            .map(|line| line.trim_matches([' ', '\t', '\r']))
            .collect();
        Some(lines.join(" "))
    }

    /// All members of a comma-separated list header, over all its header fields, in order
    /// (Via, Route, Record-Route, Contact, Supported, Require ...), each trimmed.
    pub fn list(&self, name: Name<'_>) -> Vec<&[u8]> {
        self.members(name).collect()
    }

    /// Whether a token list (Supported, Require, Allow) holds `token`, whatever its case.
    pub fn has_token(&self, name: Name<'_>, token: &str) -> bool {
        self.members(name)
            .any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
    }

    fn members<'n>(&self, name: Name<'n>) -> impl Iterator<Item = &[u8]> + use<'_, 'n> {
        let comments = !name.holds_addresses();
        self.values(name)
            .flat_map(move |value| Members::new(value, comments))
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        self.str_at(self.value_at(self.index.call_id))
    }

    /// The CSeq.
    pub fn cseq(&self) -> &CSeq {
        &self.index.cseq
    }

    /// Max-Forwards; `None` where it is missing or no number.
    pub fn max_forwards(&self) -> Option<u32> {
        decimal(self.header(Name::MaxForwards)?)
    }

    /// The Max-Forwards that the next hop is to get: one less, 70 where there is none.
    ///
    /// # Errors
    ///
    /// The status to refuse the request with: 483 where it may go no further, 400 where the value
    /// is no number (RFC 3261 sections 8.1.1.6 and 16.3).
    pub fn forwards_left(&self) -> Result<u32, u16> {
        let Some(value) = self.header(Name::MaxForwards) else {
            return Ok(MAX_FORWARDS);
        };
        match decimal(value) {
            Some(0) => Err(483),
            Some(left) => Ok(left.min(255) - 1),
            None => Err(400),
        }
    }

    /// The From header.
    pub fn from(&self) -> NameAddr<'_> {
        self.address_at(self.index.from)
    }

    /// The To header.
    pub fn to(&self) -> NameAddr<'_> {
        self.address_at(self.index.to)
    }

    /// The From tag; empty where there is none (RFC 2543 peers).
    pub fn from_tag(&self) -> &str {
        self.from().tag().unwrap_or_default()
    }

    /// The To tag, if any.
    pub fn to_tag(&self) -> Option<&str> {
        self.to().tag()
    }

    /// The topmost Via.
    pub fn top_via(&self) -> Via<'_> {
        let member = Members::new(self.value_at(self.index.via), true).next();
        // The parser took no message without it.
        member.and_then(Via::parse).unwrap_or(Via {
            transport: "",
            host: "",
            port: None,
            branch: "",
            received: None,
            rport: None,
        })
    }

    /// The first Contact's address, if there is one (`*` gives none).
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.members(Name::Contact).next()?)
    }

    /// The body, without copying; empty where there is none.
    pub fn body(&self) -> Bytes {
        self.bytes.slice(usize::from(self.index.body)..)
    }

    /// The body where Content-Type is application/sdp (or, for a multipart body, its SDP part).
    pub fn sdp(&self) -> Option<Bytes> {
        let body = self.bytes.get(usize::from(self.index.body)..)?;
        let sdp = body::sdp(self.header(Name::ContentType)?, body)?;
        Some(self.bytes.slice_ref(sdp))
    }

    fn value_at(&self, slot: u16) -> &[u8] {
        self.index
            .slots
            .get(usize::from(slot))
            .map_or(&[], |slot| slot.value.of(&self.bytes))
    }

    fn address_at(&self, slot: u16) -> NameAddr<'_> {
        NameAddr::parse(self.value_at(slot)).unwrap_or(NameAddr {
            display: b"",
            uri: "",
            params: b"",
        })
    }

    fn str_at<'a>(&self, bytes: &'a [u8]) -> &'a str {
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
