//! The lexical ground that all header views stand on (RFC 3261 section 25.1): white space with
//! its folds, quoted strings, comments, lists and parameters, over bytes.

use memchr::{memchr, memchr2};

/// White space inside a header value; CR and LF stand there only as parts of folds.
pub(crate) const fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether `byte` may stand in a token.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"-.!%*_+`'~";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};

/// Whether `bytes` is a token.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| is_token_byte(*b))
}

/// `value` without the white space at its end.
pub(crate) fn trim_end(mut value: &[u8]) -> &[u8] {
    while let [rest @ .., last] = value
        && is_lws(*last)
    {
        value = rest;
    }
    value
}

/// `value` without the white space at its start.
pub(crate) fn trim_start(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && is_lws(*first)
    {
        value = rest;
    }
    value
}

/// `value` without the white space around it.
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    trim_end(trim_start(value))
}

/// The longest run of token bytes that `value` starts with, and the rest; `None` if it is empty.
pub(crate) fn take_token(value: &[u8]) -> Option<(&str, &[u8])> {
    let end = value
        .iter()
        .position(|b| !is_token_byte(*b))
        .unwrap_or(value.len());
    let (token, rest) = value.split_at(end);
    (end > 0).then_some((std::str::from_utf8(token).ok()?, rest))
}

/// The index after the quoted string that starts at `start`; `None` if it never ends.
pub(crate) fn after_quoted(value: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr2(b'"', b'\\', value.get(at..)?)?;
        if value[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The index after the comment that starts at `start`; `None` if it never ends.
fn after_comment(value: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut depth) = (start, 0usize);
    while at < value.len() {
        match value[at] {
            b'\\' => at += 1,
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// `value` without the quotes around it; quoted pairs inside stay as written.
pub(crate) fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

/// The members of a comma-separated list, trimmed, empty ones left out. Commas inside quotes,
/// angle brackets and (where `comments`) parentheses do not split. What never closes does not
/// open: a lone quote, bracket or parenthesis is an ordinary character.
#[derive(Clone, Debug)]
pub(crate) struct Members<'a> {
    rest: &'a [u8],
    // Which openers still count: one that proved unclosed is given up for the rest of the value,
    // which keeps the scan linear.
    quotes: bool,
    angles: bool,
    comments: bool,
}

impl<'a> Members<'a> {
    pub(crate) fn new(value: &'a [u8], comments: bool) -> Members<'a> {
        Members {
            rest: value,
            quotes: true,
            angles: true,
            comments,
        }
    }

    /// Where the member at the start of `rest` ends.
    fn end(&mut self) -> usize {
        let value = self.rest;
        // Without a comma there is one member, whatever else is in it.
        if memchr(b',', value).is_none() {
            return value.len();
        }
        let mut at = 0;
        while at < value.len() {
            let (opener, after) = match value[at] {
                b',' => return at,
                b'"' if self.quotes => (&mut self.quotes, after_quoted(value, at)),
                b'<' if self.angles => (
                    &mut self.angles,
                    memchr(b'>', &value[at..]).map(|n| at + n + 1),
                ),
                b'(' if self.comments => (&mut self.comments, after_comment(value, at)),
                _ => {
                    at += 1;
                    continue;
                }
            };
            *opener = after.is_some();
            at = after.unwrap_or(at + 1);
        }
        value.len()
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (member, rest) = self.rest.split_at(self.end());
            self.rest = rest.get(1..).unwrap_or_default();
            let member = trim(member);
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

/// One `;name=value` as it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Param<'a> {
    /// All between two semicolons, trimmed.
    pub(crate) raw: &'a [u8],
    /// The name, trimmed; empty for `;;`.
    pub(crate) name: &'a [u8],
    /// The value, trimmed, quotes included; `None` without `=`.
    pub(crate) value: Option<&'a [u8]>,
}

impl<'a> Param<'a> {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value without its quotes; empty where there is none or where it is not UTF-8.
    pub(crate) fn text(&self) -> &'a str {
        std::str::from_utf8(unquote(self.value.unwrap_or_default())).unwrap_or_default()
    }
}

/// The parameters of a value, from its first `;` on.
#[derive(Clone, Debug)]
pub(crate) struct Params<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Params<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        let rest = self.0;
        let rest = match rest {
            [] => return None,
            [b';', rest @ ..] => rest,
            rest => rest,
        };
        let mut end = 0;
        loop {
            match memchr2(b';', b'"', &rest[end..]) {
                None => end = rest.len(),
                Some(n) if rest[end + n] == b';' => end += n,
                Some(n) => match after_quoted(rest, end + n) {
                    Some(after) => {
                        end = after;
                        continue;
                    }
                    None => end = rest.len(),
                },
            }
            break;
        }
        let (raw, rest) = rest.split_at(end);
        self.0 = rest;
        let raw = trim(raw);
        let (name, value) = match memchr(b'=', raw) {
            Some(at) => (trim_end(&raw[..at]), Some(trim_start(&raw[at + 1..]))),
            None => (raw, None),
        };
        Some(Param { raw, name, value })
    }
}

/// A decimal number: digits only. What is over `u32` reads as `u32::MAX`.
pub(crate) fn decimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u32, |n, d| {
        n.checked_mul(10)
            .and_then(|n| n.checked_add(u32::from(d - b'0')))
            .unwrap_or(u32::MAX)
    }))
}

/// A port number: digits only, at most 65535.
pub(crate) fn port(digits: &[u8]) -> Option<u16> {
    u16::try_from(decimal(digits)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(value: &str, comments: bool) -> Vec<&str> {
        Members::new(value.as_bytes(), comments)
            .map(|m| std::str::from_utf8(m).unwrap())
            .collect()
    }

    #[test]
    fn a_list_splits_at_top_level_commas_only() {
        assert_eq!(members("a , b,,c", false), ["a", "b", "c"]);
        assert_eq!(
            members(r#""x, \" y" <sip:a,b@h>;p="1,2", z"#, false).len(),
            2
        );
        assert_eq!(members("a (b, c), d", true), ["a (b, c)", "d"]);
        assert_eq!(members("tel:(1, tel:2", false), ["tel:(1", "tel:2"]);
        assert_eq!(members("\"a, b", false), ["\"a", "b"]);
        assert_eq!(members("<a, (b", true), ["<a", "(b"]);
        assert!(members(" , ,", false).is_empty());
    }

    #[test]
    fn parameters_bear_white_space_quotes_and_empty_ones() {
        let value = b";  tag = 1;;Q=\"a;\\\"b\" ;lr;x=";
        let all: Vec<_> = Params(value).map(|p| (p.name, p.text())).collect();
        assert_eq!(
            all,
            [
                (&b"tag"[..], "1"),
                (b"", ""),
                (b"Q", "a;\\\"b"),
                (b"lr", ""),
                (b"x", ""),
            ]
        );
    }

    #[test]
    fn numbers_saturate_and_ports_do_not() {
        assert_eq!(decimal(b"0009"), Some(9));
        assert_eq!(decimal(b"36893488147419103232"), Some(u32::MAX));
        assert_eq!(
            (decimal(b""), decimal(b"-1"), decimal(b"1a")),
            (None, None, None)
        );
        assert_eq!((port(b"65535"), port(b"65536")), (Some(65535), None));
    }
}
