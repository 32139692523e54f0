//! Via (RFC 3261 section 20.42, RFC 3581).

use super::scan::{Params, port, take_token, trim, trim_start};
use memchr::memchr;
use std::net::IpAddr;

/// One Via value (RFC 3261 section 20.42).
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// `UDP`, `TCP`, `TLS` ... as written.
    pub transport: &'a str,
    /// The sent-by host as written (an IPv6 reference keeps its brackets).
    pub host: &'a str,
    /// The sent-by port.
    pub port: Option<u16>,
    /// The branch; empty where there is none.
    pub branch: &'a str,
    /// The received parameter.
    pub received: Option<IpAddr>,
    /// rport: absent, present and empty, or filled (RFC 3581).
    pub rport: Option<Option<u16>>,
}

/// A Via value and what only its printing and its judging need.
pub(crate) struct Scanned<'a> {
    pub(crate) via: Via<'a>,
    /// The parameters, from the first `;` on: the tail of the value.
    pub(crate) params: &'a [u8],
    /// Whether no parameter was empty (RFC 4475 section 3.1.2.1).
    pub(crate) clean: bool,
}

impl<'a> Via<'a> {
    /// Reads one value (not a list). White space may stand around the slashes; empty parameters
    /// are passed over.
    pub fn parse(value: &'a [u8]) -> Option<Via<'a>> {
        Some(scan(value)?.via)
    }

    /// The sent-by host where it is an IP address.
    pub fn ip(&self) -> Option<IpAddr> {
        ip_literal(self.host)
    }
}

/// An IP address, an IPv6 one with or without brackets.
pub(crate) fn ip_literal(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse().ok()
}

pub(crate) fn scan(value: &[u8]) -> Option<Scanned<'_>> {
    let (_protocol, rest) = take_token(trim(value))?;
    let (_version, rest) = take_token(trim_start(after_slash(rest)?))?;
    let (transport, rest) = take_token(trim_start(after_slash(rest)?))?;
    let sent_by = trim_start(rest);
    if sent_by.len() == rest.len() {
        return None;
    }
    let (host, rest) = split_host(sent_by)?;
    let mut rest = trim_start(rest);
    let mut sent_port = None;
    if let [b':', after @ ..] = rest {
        let after = trim_start(after);
        let end = after
            .iter()
            .position(|b| !b.is_ascii_digit())
            .unwrap_or(after.len());
        sent_port = Some(port(&after[..end])?);
        rest = trim_start(&after[end..]);
    }
    if !matches!(rest.first(), None | Some(b';' | b'(')) {
        return None;
    }
    let params = &rest[memchr(b';', rest).unwrap_or(rest.len())..];
    let mut via = Via {
        transport,
        host,
        port: sent_port,
        branch: "",
        received: None,
        rport: None,
    };
    let mut clean = true;
    for param in Params(params) {
        clean &= !param.name.is_empty();
        if param.is("branch") {
            via.branch = first_word(param.text());
        } else if param.is("received") {
            via.received = ip_literal(first_word(param.text()));
        } else if param.is("rport") {
            via.rport = Some(port(first_word(param.text()).as_bytes()));
        }
    }
    Some(Scanned { via, params, clean })
}

fn after_slash(value: &[u8]) -> Option<&[u8]> {
    trim_start(value).strip_prefix(b"/")
}

/// What stands before white space or a comment (RFC 2543 allowed one at the end).
fn first_word(text: &str) -> &str {
    let end = text
        .find([' ', '\t', '\r', '\n', '('])
        .unwrap_or(text.len());
    &text[..end]
}

/// A host name, IPv4 address or bracketed IPv6 reference, and what follows it.
pub(crate) fn split_host(value: &[u8]) -> Option<(&str, &[u8])> {
    let end = if value.first() == Some(&b'[') {
        let close = memchr(b']', value)?;
        let inner = &value[1..close];
        let legal = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
        (inner.contains(&b':') && inner.iter().all(legal)).then_some(close + 1)?
    } else {
        let legal = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        value.iter().position(|b| !legal(b)).unwrap_or(value.len())
    };
    let (host, rest) = value.split_at(end);
    (end > 0).then_some((std::str::from_utf8(host).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_and_folds_may_stand_around_everything() {
        let via = Via::parse(b"SIP  / 2.0\r\n  / TCP     spindle.example.com : 5070  ;\r\n branch  =   z9hG4bK9/ik:8 ; rport").unwrap();
        assert_eq!(
            (via.transport, via.host, via.port),
            ("TCP", "spindle.example.com", Some(5070))
        );
        assert_eq!((via.branch, via.rport), ("z9hG4bK9/ik:8", Some(None)));
        assert_eq!(via.received, None);
    }

    #[test]
    fn ipv6_is_read_with_and_without_brackets() {
        for received in ["2001:db8::9:255", "[2001:db8::9:255]"] {
            let value = format!("SIP/2.0/UDP [2001:db8::9:1]:6050;received={received};rport=99");
            let via = Via::parse(value.as_bytes()).unwrap();
            assert_eq!((via.host, via.port), ("[2001:db8::9:1]", Some(6050)));
            assert_eq!(via.ip(), "2001:db8::9:1".parse().ok());
            assert_eq!(via.received, "2001:db8::9:255".parse().ok());
            assert_eq!(via.rport, Some(Some(99)));
        }
    }

    #[test]
    fn a_comment_ends_a_value_and_empty_parameters_are_noticed() {
        let via = Via::parse(b"SIP/2.0/UDP h;branch=x (Acme server)").unwrap();
        assert_eq!(via.branch, "x");
        assert!(!scan(b"SIP/2.0/UDP 192.0.2.15;;").unwrap().clean);
        assert!(scan(b"SIP/2.0/UDP 192.0.2.15;lr").unwrap().clean);
    }

    #[test]
    fn what_is_no_via_is_refused() {
        for value in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0 h",
            "SIP/2.0/UDPh",
            "SIP/2.0/UDP 2001:db8::1",
            "SIP/2.0/UDP h:",
            "SIP/2.0/UDP h:70000",
            "SIP/2.0/UDP h x",
            "SIP/2.0/UDP ;branch=1",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP []",
        ] {
            assert!(Via::parse(value.as_bytes()).is_none(), "{value}");
        }
    }
}
