//! SIP and SIPS URIs as views (RFC 3261 section 19.1); other schemes stay opaque.

use std::net::IpAddr;
use std::net::SocketAddr;

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
    /// Reads a SIP or SIPS URI; any other scheme or a malformed one gives `None`.
    pub fn parse(_uri: &'a str) -> Option<SipUri<'a>> {
        todo!()
    }
    /// A URI parameter, whatever the case of its name: `Some("")` where it has no value.
    pub fn param(&self, _name: &str) -> Option<&'a str> {
        todo!()
    }
    /// The host where it is an IP address.
    pub fn ip(&self) -> Option<IpAddr> {
        todo!()
    }
    /// The address of an IP-literal URI (maddr first), default port 5060 (5061 for sips).
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        todo!()
    }
}

/// Writes `ip` as a URI host: an IPv6 address in brackets.
pub fn host(_ip: IpAddr) -> String {
    todo!()
}
