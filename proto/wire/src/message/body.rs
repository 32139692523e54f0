//! Finding the SDP in a body, also inside a multipart one (RFC 2046 section 5.1, RFC 5621).

use super::lines::line;
use crate::header::scan::{Params, is_lws, trim, unquote};
use crate::header::{Kind, kind_of};
use memchr::{memchr, memmem};

/// How deep multipart bodies may nest.
const MAX_DEPTH: u8 = 3;

/// The SDP in `body`, which is of type `content_type`.
pub(super) fn sdp<'a>(content_type: &[u8], body: &'a [u8]) -> Option<&'a [u8]> {
    within(content_type, body, MAX_DEPTH)
}

fn within<'a>(content_type: &[u8], body: &'a [u8], depth: u8) -> Option<&'a [u8]> {
    let params = memchr(b';', content_type).unwrap_or(content_type.len());
    let (media_type, params) = content_type.split_at(params);
    let media_type = trim(media_type);
    if media_type.eq_ignore_ascii_case(b"application/sdp") {
        return Some(body).filter(|body| !body.is_empty());
    }
    let is_multipart = media_type
        .get(..10)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"));
    if !is_multipart || depth == 0 {
        return None;
    }
    let boundary = unquote(Params(params).find(|param| param.is("boundary"))?.value?);
    if boundary.is_empty() {
        return None;
    }
    let delimiter = [b"--", boundary].concat();
    Parts {
        rest: body,
        delimiter: &delimiter,
    }
    .find_map(|part| {
        let (content_type, body) = split_part(part)?;
        within(content_type, body, depth - 1)
    })
}

/// The parts of a multipart body, each with its own header.
struct Parts<'a, 'b> {
    rest: &'a [u8],
    delimiter: &'b [u8],
}

impl<'a> Parts<'a, '_> {
    /// Where the next delimiter line starts in `data`, and where the text after it starts.
    fn delimiter(&self, data: &'a [u8]) -> Option<(usize, usize)> {
        // A line that goes on otherwise has another boundary, of which ours is the start.
        let ends = |rest: &[u8]| rest.starts_with(b"--") || rest.first().is_none_or(|b| is_lws(*b));
        memmem::find_iter(data, self.delimiter)
            .map(|at| (at, at + self.delimiter.len()))
            .find(|(at, after)| (*at == 0 || data[at - 1] == b'\n') && ends(&data[*after..]))
    }
}

impl<'a> Iterator for Parts<'a, '_> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (_, after) = self.delimiter(self.rest)?;
        let tail = &self.rest[after..];
        if tail.starts_with(b"--") {
            return None;
        }
        let part = &tail[memchr(b'\n', tail)? + 1..];
        let (end, _) = self.delimiter(part)?;
        self.rest = &part[end..];
        let part = &part[..end];
        let part = part.strip_suffix(b"\n").unwrap_or(part);
        Some(part.strip_suffix(b"\r").unwrap_or(part))
    }
}

/// A part's Content-Type and its content; `None` without a Content-Type.
fn split_part(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut content_type = None;
    let mut at = 0;
    loop {
        let line = line(part, at, true).ok()?;
        at = line.next;
        let text = &part[line.start..line.end];
        if text.is_empty() {
            return Some((content_type?, &part[at..]));
        }
        let Some(colon) = memchr(b':', text) else {
            continue;
        };
        if kind_of(trim(&text[..colon])) == Kind::ContentType as u8 {
            content_type = Some(trim(&text[colon + 1..]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdp_part_of_a_multipart_body_is_found() {
        let body = b"preamble\r\n--b=1\r\nContent-Type: text/plain\r\n\r\n--b=1x\r\n--b=1 \r\n\
            Content-Disposition: session\r\nc: Application/SDP\r\n\r\nv=0\r\n\r\n--b=1--\r\n";
        assert_eq!(
            sdp(b"multipart/mixed ; Boundary=\"b=1\"", body),
            Some(&b"v=0\r\n"[..])
        );
        assert_eq!(sdp(b"multipart/mixed;boundary=other", body), None);
        assert_eq!(sdp(b"multipart/mixed", body), None);
    }

    #[test]
    fn nesting_is_followed_and_bounded() {
        let mut body = b"v=0\r\n".to_vec();
        let mut content_type = "application/sdp".to_owned();
        for depth in 0..5 {
            let inner = [
                format!("--{depth}\r\nContent-Type: {content_type}\r\n\r\n").as_bytes(),
                &body,
            ]
            .concat();
            body = [&inner[..], format!("\r\n--{depth}--").as_bytes()].concat();
            content_type = format!("multipart/mixed;boundary={depth}");
            let found = sdp(content_type.as_bytes(), &body);
            assert_eq!(found.is_some(), depth < 3, "{depth}");
        }
    }

    #[test]
    fn parameters_of_the_type_do_not_matter_and_an_empty_body_is_none() {
        assert_eq!(
            sdp(b"application/sdp;charset=utf-8", b"v=0"),
            Some(&b"v=0"[..])
        );
        assert_eq!(sdp(b"application/sdp", b""), None);
        assert_eq!(sdp(b"text/plain", b"v=0"), None);
    }
}
