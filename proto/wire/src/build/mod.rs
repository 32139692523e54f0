//! Printing of messages: what we originate, and what we pass on byte for byte.
//! CR and LF in a value are refused, so nothing can inject a header.

mod phrase;
mod response;

use crate::header::scan::is_token;
use crate::header::{Kind, Name, kind_of};
use crate::message::{MAX_MESSAGE, Message};
use crate::method::Method;
use crate::uri::host;
use bytes::Bytes;
use memchr::{memchr2, memchr3};
use std::fmt::Display;
use std::io::Write;

pub use phrase::reason_phrase;

/// Why a message could not be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A name or value holds CR, LF or NUL, or what else would end its part of a line: a space
    /// in a Request-URI, a character that no header name has.
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
        Body {
            content_type: Bytes::from_static(b"application/sdp"),
            bytes,
        }
    }
}

/// The Via value of a request that leaves by `key`: `SIP/2.0/UDP sent_by;branch=...;rport`.
pub fn via_value(key: &crate::TransportKey, branch: &str) -> String {
    let protocol = key.protocol.via_name();
    let (ip, port) = (host(key.local.ip()), key.local.port());
    format!("SIP/2.0/{protocol} {ip}:{port};branch={branch};rport")
}

/// A message under construction; the first error is kept and told by `finish`.
///
/// Content-Type and Content-Length are `finish`'s: adding one in another way adds nothing.
#[derive(Clone, Debug)]
pub struct Builder {
    buf: Vec<u8>,
    error: Option<BuildError>,
}

impl Builder {
    fn empty() -> Builder {
        Builder {
            buf: Vec::with_capacity(1024),
            error: None,
        }
    }

    /// A request line.
    pub fn request(method: &Method, uri: &str) -> Builder {
        let mut builder = Builder::empty();
        let clean = |b: &u8| *b > b' ' && *b != 0x7f;
        if !is_token(method.as_str().as_bytes())
            || uri.is_empty()
            || !uri.as_bytes().iter().all(clean)
        {
            builder.error = Some(BuildError::LineBreak);
        }
        builder.put(method.as_str().as_bytes());
        builder.put(b" ");
        builder.put(uri.as_bytes());
        builder.put(b" SIP/2.0\r\n");
        builder
    }

    /// Adds a header of our own.
    #[must_use]
    pub fn header(mut self, name: Name<'_>, value: impl Display) -> Builder {
        if !self.start_header(name.as_str().as_bytes()) {
            return self;
        }
        let start = self.buf.len();
        // Writing to a vector fails only where the value's own Display does.
        if write!(self.buf, "{value}").is_err()
            || memchr3(b'\r', b'\n', 0, &self.buf[start..]).is_some()
        {
            self.fail();
        }
        self.put(b"\r\n");
        self
    }

    /// Adds a header as it stood in a parsed message; folds in the value stay, a bare CR or LF
    /// is an error.
    #[must_use]
    pub fn raw(mut self, name: &[u8], value: &[u8]) -> Builder {
        if self.start_header(name) {
            self.put_folded(value);
            self.put(b"\r\n");
        }
        self
    }

    /// Adds every header field called `name` as it stands in `message`.
    #[must_use]
    pub fn copy(self, name: Name<'_>, message: &Message) -> Builder {
        message.values(name).fold(self, |builder, value| {
            builder.raw(name.as_str().as_bytes(), value)
        })
    }

    /// Adds the Record-Route fields of `request`, as a response that makes a dialog must
    /// (RFC 3261 section 12.1.1).
    #[must_use]
    pub fn record_routes(self, request: &Message) -> Builder {
        self.copy(Name::RecordRoute, request)
    }

    /// Adds the Via of a new request: `SIP/2.0/UDP sent_by;branch=...;rport`.
    #[must_use]
    pub fn via(self, key: &crate::TransportKey, branch: &str) -> Builder {
        self.header(Name::Via, via_value(key, branch))
    }

    /// Ends the header with Content-Type and Content-Length and adds the body.
    pub fn finish(mut self, body: Option<&Body>) -> Result<Bytes, BuildError> {
        let bytes: &[u8] = body.map_or(b"", |body| &body.bytes);
        if let Some(body) = body {
            self.put(b"Content-Type: ");
            self.put_folded(&body.content_type);
            self.put(b"\r\n");
        }
        // Writing to a vector cannot fail.
        let _ = write!(self.buf, "Content-Length: {}\r\n\r\n", bytes.len());
        self.put(bytes);
        match self.error {
            Some(error) => Err(error),
            None if self.buf.len() > MAX_MESSAGE => Err(BuildError::TooLong),
            None => Ok(Bytes::from(self.buf)),
        }
    }

    /// Starts a header line; says whether there is one to go on with.
    fn start_header(&mut self, name: &[u8]) -> bool {
        if !is_token(name) {
            self.fail();
            return false;
        }
        let kind = kind_of(name);
        if kind == Kind::ContentLength as u8 || kind == Kind::ContentType as u8 {
            return false;
        }
        self.put(name);
        self.put(b": ");
        true
    }

    /// Adds a value in which every line break must be a fold.
    fn put_folded(&mut self, value: &[u8]) {
        let mut at = 0;
        while let Some(found) = memchr2(b'\r', b'\n', &value[at..]) {
            at += found;
            let fold = value[at..].strip_prefix(b"\r").unwrap_or(&value[at..]);
            if !matches!(fold, [b'\n', b' ' | b'\t', ..]) {
                return self.fail();
            }
            at = value.len() - fold.len() + 1;
        }
        self.put(value);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    fn fail(&mut self) {
        self.error.get_or_insert(BuildError::LineBreak);
    }
}

#[cfg(test)]
mod tests;
