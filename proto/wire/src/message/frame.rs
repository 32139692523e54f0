//! Where messages end in a stream.

use super::lines::{NoLine, line};
use super::{MAX_HEADERS, MAX_MESSAGE, ParseError};
use crate::header::scan::{decimal, trim, trim_end};
use crate::header::{Kind, kind_of};
use memchr::memchr;

/// The length of the first message in a stream's buffer (RFC 3261 section 18.3), CR LF before it
/// included; `None` while it is incomplete. Two CR LF with no message yet are a keep-alive of
/// their own (RFC 5626 section 3.5.1).
///
/// An error means that the stream is out of step and must be closed: no usable Content-Length,
/// or a message over [`MAX_MESSAGE`].
pub fn frame(buffer: &[u8]) -> Result<Option<usize>, ParseError> {
    if buffer.starts_with(b"\r\n\r\n") {
        return Ok(Some(4));
    }
    let blank = buffer
        .iter()
        .take_while(|b| matches!(b, b'\r' | b'\n'))
        .count();
    let too_long = ParseError::Garbage("at most 65535 bytes");
    let message = &buffer[blank..];
    let mut length: Option<u32> = None;
    let (mut at, mut lines) = (0, 0);
    loop {
        let line = match line(message, at, at > 0) {
            // What comes next may be a fold of this line.
            Ok(line) if line.next == message.len() && line.end > line.start => return Ok(None),
            Ok(line) => line,
            Err(NoLine::Cut) if buffer.len() > MAX_MESSAGE => return Err(too_long),
            Err(NoLine::Cut) => return Ok(None),
            Err(NoLine::BareCr) => return Err(ParseError::Garbage("CR LF")),
        };
        if line.end == line.start {
            at = line.next;
            break;
        }
        lines += 1;
        if lines > MAX_HEADERS + 1 {
            return Err(ParseError::Garbage("at most 256 headers"));
        }
        if let Some(value) = content_length(&message[line.start..line.end]) {
            let value = decimal(value).ok_or(ParseError::Garbage("a numeric Content-Length"))?;
            if length.replace(value).is_some_and(|other| other != value) {
                return Err(ParseError::Garbage("one Content-Length"));
            }
        }
        at = line.next;
    }
    let body = length.ok_or(ParseError::Garbage("a Content-Length"))?;
    let total = usize::try_from(body)
        .ok()
        .and_then(|body| body.checked_add(blank + at));
    match total {
        Some(total) if total <= MAX_MESSAGE => Ok((total <= buffer.len()).then_some(total)),
        _ => Err(too_long),
    }
}

/// The value where `line` is a Content-Length header.
fn content_length(line: &[u8]) -> Option<&[u8]> {
    let colon = memchr(b':', line)?;
    let is_it = kind_of(trim_end(&line[..colon])) == Kind::ContentLength as u8;
    is_it.then(|| trim(&line[colon + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &str, body: &str) -> Vec<u8> {
        format!("OPTIONS sip:h SIP/2.0\r\n{headers}\r\n{body}").into_bytes()
    }

    #[test]
    fn a_stream_is_cut_where_the_message_ends_and_not_before() {
        let whole = message("Via: x\r\nL : \r\n 5\r\n", "hello");
        let mut stream = whole.clone();
        stream.extend_from_slice(b"\r\n\r\nNEXT");
        assert_eq!(frame(&stream).unwrap(), Some(whole.len()));
        for cut in 0..whole.len() {
            assert_eq!(frame(&whole[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(frame(&stream[whole.len()..]).unwrap(), Some(4));
        let spaced = [b"\r\n", &whole[..]].concat();
        assert_eq!(frame(&spaced).unwrap(), Some(spaced.len()));
    }

    #[test]
    fn a_stream_out_of_step_is_closed() {
        for headers in [
            "Via: x\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: x\r\n",
            "l: 99999999999\r\n",
            "Content-Length: 5\r\nl: 6\r\n",
            "Content-Length: 5, 5\r\n",
            "a\rb: c\r\nl: 0\r\n",
            "l: 70000\r\n",
        ] {
            assert!(frame(&message(headers, "hello")).is_err(), "{headers}");
        }
        let same = message("Content-Length: 5\r\nl: 05\r\n", "hello");
        assert_eq!(frame(&same).unwrap(), Some(same.len()));
        let endless = message(&"x: y\r\n".repeat(300), "");
        assert!(frame(&endless).is_err());
        assert!(frame(&vec![b'x'; MAX_MESSAGE + 1]).is_err());
    }
}
