//! Header names and typed views over header values.

use crate::method::Method;
use std::net::IpAddr;

/// A header name, compact forms resolved, whatever its case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Name<'a> {
    Via,
    From,
    To,
    CallId,
    CSeq,
    Contact,
    MaxForwards,
    Route,
    RecordRoute,
    ContentType,
    ContentLength,
    ContentDisposition,
    Supported,
    Require,
    ProxyRequire,
    Allow,
    Unsupported,
    Replaces,
    ReferTo,
    ReferredBy,
    Reason,
    RetryAfter,
    SessionExpires,
    MinSe,
    RSeq,
    RAck,
    Timestamp,
    Warning,
    Date,
    Server,
    UserAgent,
    PAssertedIdentity,
    Privacy,
    Diversion,
    HistoryInfo,
    SessionId,
    PChargingVector,
    Geolocation,
    ResourcePriority,
    Priority,
    Identity,
    Authorization,
    ProxyAuthorization,
    InstanceUtilization,
    /// Our own: the incarnation that a node drew at its start (spec: X39).
    InstanceIncarnation,
    /// Any other name, as written.
    Other(&'a str),
}

impl<'a> Name<'a> {
    /// The canonical spelling on the wire.
    pub fn as_str(&self) -> &'a str {
        todo!()
    }
}

/// A CSeq value (RFC 3261 section 20.16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// The sequence number, below 2^31.
    pub number: u32,
    /// The method.
    pub method: Method,
}

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
    /// Reads one value (not a list).
    pub fn parse(_value: &'a [u8]) -> Option<NameAddr<'a>> {
        todo!()
    }
    /// A header parameter by its name, whatever its case: `Some("")` where it has no value.
    pub fn param(&self, _name: &str) -> Option<&'a str> {
        todo!()
    }
    /// The tag.
    pub fn tag(&self) -> Option<&'a str> {
        todo!()
    }
    /// `display <uri>` without any parameter, for the From or To of a new request.
    pub fn without_params(&self) -> Vec<u8> {
        todo!()
    }
}

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

impl<'a> Via<'a> {
    /// Reads one value (not a list).
    pub fn parse(_value: &'a [u8]) -> Option<Via<'a>> {
        todo!()
    }
}

/// A Replaces value (RFC 3891 section 6.1). `to_tag` is the tag of the one who receives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replaces {
    /// The Call-ID of the dialog to replace.
    pub call_id: Box<str>,
    /// The receiver's tag.
    pub to_tag: Box<str>,
    /// The other one's tag.
    pub from_tag: Box<str>,
    /// Only an early dialog may be replaced.
    pub early_only: bool,
}

impl Replaces {
    /// Reads a header value; `None` unless it has a Call-ID and both tags, each once.
    pub fn parse(_value: &[u8]) -> Option<Replaces> {
        todo!()
    }
    /// The header value.
    pub fn to_value(&self) -> String {
        todo!()
    }
}

/// A Session-Expires value (RFC 4028 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// The interval, seconds.
    pub seconds: u32,
    /// Who refreshes: `Some(true)` the UAC, `Some(false)` the UAS.
    pub refresher_is_uac: Option<bool>,
}

impl SessionExpires {
    /// Reads a header value.
    pub fn parse(_value: &[u8]) -> Option<SessionExpires> {
        todo!()
    }
}
