//! Addresses: From, To, Contact, Route, Refer-To and their kin (RFC 3261 sections 20.10, 25.1).

use super::scan::{Params, after_quoted, is_lws, trim};
use memchr::{memchr, memchr2};

/// A name-addr or addr-spec with its header parameters (From, To, Contact, Route, Refer-To ...).
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes included; may be any bytes.
    pub display: &'a [u8],
    /// The URI, without angle brackets.
    pub uri: &'a str,
    /// The header parameters as written, from the first `;` on.
    pub params: &'a [u8],
}

impl<'a> NameAddr<'a> {
    /// Reads one value (not a list). Without angle brackets, all after the first `;` are header
    /// parameters, and a `?` is refused: RFC 3261 section 20.10 wants brackets there.
    pub fn parse(value: &'a [u8]) -> Option<NameAddr<'a>> {
        let value = trim(value);
        let open = if value.first() == Some(&b'"') {
            let after = after_quoted(value, 0)?;
            let gap = value[after..].iter().position(|b| !is_lws(*b))?;
            (value[after + gap] == b'<').then_some(after + gap)?
        } else {
            match memchr(b'<', value) {
                Some(open) if !(has_scheme(value) && is_bare(&value[..open])) => open,
                _ => return NameAddr::bare(value),
            }
        };
        let close = open + memchr(b'>', &value[open..])?;
        let params = trim(&value[close + 1..]);
        if !matches!(params.first(), None | Some(b';')) {
            return None;
        }
        let uri = uri(trim(&value[open + 1..close]))?;
        Some(NameAddr {
            display: trim(&value[..open]),
            uri,
            params,
        })
    }

    /// An addr-spec without brackets.
    fn bare(value: &'a [u8]) -> Option<NameAddr<'a>> {
        let (address, params) = value.split_at(memchr(b';', value).unwrap_or(value.len()));
        let uri = uri(trim(address))?;
        (!uri.contains('?')).then_some(NameAddr {
            display: b"",
            uri,
            params,
        })
    }

    /// A header parameter by its name, whatever its case: `Some("")` where it has no value. A
    /// quoted value comes without its quotes, quoted pairs in it as written; one that is not
    /// UTF-8 reads as absent.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        let param = Params(self.params).find(|p| p.is(name))?;
        std::str::from_utf8(super::scan::unquote(param.value.unwrap_or_default())).ok()
    }

    /// The tag; none where it is empty.
    pub fn tag(&self) -> Option<&'a str> {
        self.param("tag").filter(|tag| !tag.is_empty())
    }

    /// The values of all tag parameters, unquoted; empty where one has no value.
    pub(crate) fn tags(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let tags = Params(self.params).filter(|param| param.is("tag"));
        tags.map(|param| super::scan::unquote(param.value.unwrap_or_default()))
    }

    /// Whether a quoted value in the parameters never ends: what is written behind it would be a
    /// part of it.
    pub(crate) fn is_open(&self) -> bool {
        let mut at = 0;
        while let Some(quote) = memchr(b'"', &self.params[at..]) {
            match after_quoted(self.params, at + quote) {
                Some(after) => at = after,
                None => return true,
            }
        }
        false
    }

    /// `display <uri>` without any parameter, for the From or To of a new request.
    pub fn without_params(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(self.display.len() + self.uri.len() + 3);
        if !self.display.is_empty() {
            value.extend_from_slice(self.display);
            value.push(b' ');
        }
        value.push(b'<');
        value.extend_from_slice(self.uri.as_bytes());
        value.push(b'>');
        value
    }
}

/// Whether `<` comes only after what cannot stand in a display name: it is then in a parameter.
fn is_bare(before: &[u8]) -> bool {
    memchr2(b';', b'"', before).is_some()
}

/// Whether `value` starts with a URI scheme and its colon.
fn has_scheme(value: &[u8]) -> bool {
    let end = value
        .iter()
        .position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')))
        .unwrap_or(value.len());
    value.first().is_some_and(u8::is_ascii_alphabetic) && value.get(end) == Some(&b':')
}

/// What may stand in a URI; bytes past ASCII are left to those who wrote them.
static URI_BYTE: [bool; 256] = {
    let mut table = [true; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = !matches!(byte as u8, 0..=b' ' | 0x7f | b'<' | b'>' | b'"');
        byte += 1;
    }
    table
};

/// Checks a URI of any scheme: a scheme, something after it, no white space, no delimiter.
pub(crate) fn uri(uri: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(uri).ok()?;
    let clean = uri.iter().all(|b| URI_BYTE[usize::from(*b)]);
    let rest = memchr(b':', uri).and_then(|colon| uri.get(colon + 1..));
    let rest = rest.is_some_and(|rest| !rest.is_empty());
    (clean && has_scheme(uri) && rest).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_address_is_read() {
        let cases: &[(&str, &str, &str, Option<&str>)] = &[
            (
                r#""q \" uoted" <sip:a@b>;tag=x"#,
                r#""q \" uoted""#,
                "sip:a@b",
                Some("x"),
            ),
            ("sip:a@b;tag=x", "", "sip:a@b", Some("x")),
            ("< sip:b@h >", "", "sip:b@h", None),
            ("Name <tel:+1>", "Name", "tel:+1", None),
            ("<sip:a@b> ;  tag = 1", "", "sip:a@b", Some("1")),
            ("sip:a@b;x=\"<;>\" ; TAG=2", "", "sip:a@b", Some("2")),
            (
                "caller<sip:a@b;tag=no>;tag=yes",
                "caller",
                "sip:a@b;tag=no",
                Some("yes"),
            ),
            ("\"a<b>c\" <sip:x@y>", "\"a<b>c\"", "sip:x@y", None),
            ("Bell, A \"J\" <sip:x@y>", "Bell, A \"J\"", "sip:x@y", None),
            (
                "\r\n <sip:x@y>\r\n ;\r\n tag\t=\r\n z",
                "",
                "sip:x@y",
                Some("z"),
            ),
            (
                "<urn:service:sos>;tag=\"q\"",
                "",
                "urn:service:sos",
                Some("q"),
            ),
            ("<sip:a@b?Replaces=x>", "", "sip:a@b?Replaces=x", None),
        ];
        for (value, display, uri, tag) in cases {
            let read = NameAddr::parse(value.as_bytes()).unwrap_or_else(|| panic!("{value}"));
            assert_eq!(
                (read.display, read.uri, read.tag()),
                (display.as_bytes(), *uri, *tag)
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for value in [
            "",
            "*",
            "<>",
            "sip:",
            "bob",
            "<sip:a@b",
            "\"open <sip:a@b>",
            "\"x\" sip:a@b",
            "<sip:a@b> tag=1",
            "<sip:a b@c>",
            "sip:a@b?Route=x",
            "<sip:a@b>>;x",
            "1:x",
        ] {
            assert!(NameAddr::parse(value.as_bytes()).is_none(), "{value}");
        }
    }

    #[test]
    fn parameters_are_dropped_for_a_new_request() {
        let read = NameAddr::parse(b"\"A\" <sip:a@b;x>;tag=1").unwrap();
        assert_eq!(read.without_params(), b"\"A\" <sip:a@b;x>");
        assert_eq!(
            NameAddr::parse(b"sip:a@b;tag=1").unwrap().without_params(),
            b"<sip:a@b>"
        );
        assert_eq!(read.param("missing"), None);
    }
}
