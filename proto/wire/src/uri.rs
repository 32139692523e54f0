//! SIP and SIPS URIs as views (RFC 3261 section 19.1); other schemes stay opaque.

use crate::header::scan::port;
use crate::header::{checked_uri, ip_literal, split_host};
use memchr::{memchr, memchr2};
use std::net::{IpAddr, SocketAddr};

/// A `sip:` or `sips:` URI, each part as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SipUri<'a> {
    /// Whether the scheme is `sips`.
    pub secure: bool,
    /// The user part, with password if any, without `@`.
    pub user: Option<&'a str>,
    /// The host as written (an IPv6 reference keeps its brackets).
    pub host: &'a str,
    /// The port.
    pub port: Option<u16>,
    /// The URI parameters from the first `;` on.
    pub params: &'a str,
    /// The embedded headers after `?`.
    pub headers: &'a str,
}

impl<'a> SipUri<'a> {
    /// Reads a SIP or SIPS URI; any other scheme or a malformed one gives `None`. The user part
    /// ends at the first `@`: it may hold `;` and `?`, but no bare `@`.
    pub fn parse(uri: &'a str) -> Option<SipUri<'a>> {
        let (scheme, rest) = uri.split_at(uri.find(':')?);
        let secure = scheme.eq_ignore_ascii_case("sips");
        if !secure && !scheme.eq_ignore_ascii_case("sip") {
            return None;
        }
        checked_uri(uri.as_bytes())?;
        let rest = &rest[1..];
        let (user, rest) = match memchr(b'@', rest.as_bytes()) {
            Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
            None => (None, rest),
        };
        if user.is_some_and(str::is_empty) {
            return None;
        }
        let tail = memchr2(b';', b'?', rest.as_bytes()).unwrap_or(rest.len());
        let (host_port, tail) = rest.split_at(tail);
        let (host, after) = split_host(host_port.as_bytes())?;
        let port = match after {
            [] => None,
            [b':', digits @ ..] => Some(port(digits)?),
            _ => return None,
        };
        let (params, headers) = tail.split_once('?').unwrap_or((tail, ""));
        Some(SipUri {
            secure,
            user,
            host,
            port,
            params,
            headers,
        })
    }

    /// A URI parameter, whatever the case of its name: `Some("")` where it has no value.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.split(';').skip(1).find_map(|param| {
            let (this, value) = param.split_once('=').unwrap_or((param, ""));
            this.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The first embedded header called `name`, whatever its case, with its escapes undone
    /// (RFC 3261 section 19.1.1): a Replaces in a Refer-To, for example. A broken escape gives
    /// `None`.
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        let value = self.headers.split('&').find_map(|header| {
            let (this, value) = header.split_once('=')?;
            (unescape(this)?.eq_ignore_ascii_case(name.as_bytes())).then_some(value)
        })?;
        unescape(value)
    }

    /// The host where it is an IP address.
    pub fn ip(&self) -> Option<IpAddr> {
        // RFC 5118 section 4.10: the grammar of RFC 3261 made some write three colons.
        ip_literal(self.host).or_else(|| ip_literal(&self.host.replacen(":::", "::", 1)))
    }

    /// The address of an IP-literal URI (maddr first), default port 5060 (5061 for sips and for
    /// `transport=tls`, RFC 3263 section 4.2).
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let ip = match self.param("maddr") {
            Some(maddr) => ip_literal(maddr)?,
            None => self.ip()?,
        };
        let tls = |transport: &str| transport.eq_ignore_ascii_case("tls");
        let secure = self.secure || self.param("transport").is_some_and(tls);
        Some(SocketAddr::new(
            ip,
            self.port.unwrap_or(if secure { 5061 } else { 5060 }),
        ))
    }
}

/// `text` with each `%HH` as its byte; `None` where an escape is broken.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            byte => byte,
        });
    }
    Some(plain)
}

/// Writes `ip` as a URI host: an IPv6 address in brackets.
pub fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str) -> (Option<&str>, &str, Option<u16>, &str, &str) {
        let uri = SipUri::parse(uri).unwrap_or_else(|| panic!("{uri}"));
        (uri.user, uri.host, uri.port, uri.params, uri.headers)
    }

    #[test]
    fn each_part_is_found_whatever_the_user_holds() {
        assert_eq!(parts("sip:h"), (None, "h", None, "", ""));
        assert_eq!(
            parts("SIPS:john.doe:p;w?x@[2001:db8::1]:5070;lr?A=b"),
            (
                Some("john.doe:p;w?x"),
                "[2001:db8::1]",
                Some(5070),
                ";lr",
                "A=b"
            )
        );
        assert_eq!(
            parts("sip:user;par=u%40example.net@example.com"),
            (
                Some("user;par=u%40example.net"),
                "example.com",
                None,
                "",
                ""
            )
        );
        assert_eq!(
            parts("sip:b@h?Replaces=a@b"),
            (Some("b"), "h", None, "", "Replaces=a@b")
        );
        assert_eq!(parts("sip:h;a=[?b=;"), (None, "h", None, ";a=[", "b=;"));
    }

    #[test]
    fn what_is_no_sip_uri_is_refused() {
        for uri in [
            "",
            "tel:+1",
            "sip",
            "sip:",
            "sip:@h",
            "sip:a@",
            "sip:a@h:",
            "sip:a@h:x",
            "sip:a@h:65536",
            "sip:2001:db8::10",
            "sip:a@[::1",
            "sip:a@[]",
            "sip:a@[::1]x",
            "sip:a b@h",
            "sip:a@h\r\n",
            "sip:a@<h>",
            "sip:;lr",
            "sip:a@b@c",
            "urn:service:sos",
        ] {
            assert_eq!(SipUri::parse(uri), None, "{uri}");
        }
    }

    #[test]
    fn parameters_and_embedded_headers_are_looked_up() {
        let uri = "sip:a@h;Transport=TCP;lr?Replaces=x%40y%3Bto-tag%3D1&subject=Hi%20you&bad=%4";
        let uri = SipUri::parse(uri).unwrap();
        assert_eq!(
            (uri.param("transport"), uri.param("LR"), uri.param("x")),
            (Some("TCP"), Some(""), None)
        );
        assert_eq!(
            uri.header("replaces").as_deref(),
            Some(&b"x@y;to-tag=1"[..])
        );
        assert_eq!(uri.header("Subject").as_deref(), Some(&b"Hi you"[..]));
        assert_eq!((uri.header("bad"), uri.header("none")), (None, None));
    }

    #[test]
    fn an_ip_literal_gives_a_socket_address() {
        let at = |uri: &str| {
            SipUri::parse(uri)
                .unwrap()
                .socket_addr()
                .map(|a| a.to_string())
        };
        assert_eq!(at("sip:192.0.2.1").as_deref(), Some("192.0.2.1:5060"));
        assert_eq!(at("sips:192.0.2.1").as_deref(), Some("192.0.2.1:5061"));
        assert_eq!(
            at("sip:192.0.2.1;transport=TLS").as_deref(),
            Some("192.0.2.1:5061")
        );
        assert_eq!(at("sip:x@[::1]:9").as_deref(), Some("[::1]:9"));
        assert_eq!(
            at("sip:h;maddr=192.0.2.9").as_deref(),
            Some("192.0.2.9:5060")
        );
        assert_eq!(
            at("sip:[2001:db8:::192.0.2.1]").as_deref(),
            Some("[2001:db8::c000:201]:5060")
        );
        assert_eq!((at("sip:h"), at("sip:192.0.2.1;maddr=h")), (None, None));
        assert_eq!(host("::1".parse().unwrap()), "[::1]");
        assert_eq!(host("192.0.2.1".parse().unwrap()), "192.0.2.1");
    }
}
