//! Small typed values: CSeq, Replaces, Session-Expires, Instance-Utilization.

use super::scan::{Params, decimal, is_lws, is_token, trim};
use crate::method::Method;
use memchr::memchr;

/// A CSeq value (RFC 3261 section 20.16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// The sequence number, below 2^31.
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl CSeq {
    /// Reads a header value; `None` for a number of 2^31 or more.
    pub fn parse(value: &[u8]) -> Option<CSeq> {
        CSeq::parse_any(value).filter(|cseq| cseq.number < 1 << 31)
    }

    /// Reads a header value; a number that is too large stays so (`u32::MAX` at most).
    pub(crate) fn parse_any(value: &[u8]) -> Option<CSeq> {
        let value = trim(value);
        let (digits, method) = value.split_at(value.iter().position(|b| is_lws(*b))?);
        let (number, method) = (decimal(digits)?, trim(method));
        let name = std::str::from_utf8(method)
            .ok()
            .filter(|_| is_token(method))?;
        Some(CSeq {
            number,
            method: Method::from_name(name),
        })
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
    /// A parameter of our own, said by the agent to a node: the INVITE is a transfer, so the
    /// dialog behind the named one is to be replaced, and the named one ends as RFC 3891 says. It
    /// is not the move of a call whose node died (spec: D32).
    pub transfer: bool,
}

impl Replaces {
    /// Reads a header value; `None` unless it has a Call-ID and both tags, each once. A list of
    /// two values is none either: RFC 3891 section 3 allows one.
    pub fn parse(value: &[u8]) -> Option<Replaces> {
        let value = trim(value);
        // A Call-ID may hold quotes and brackets, but no semicolon and no comma.
        let (call_id, params) = value.split_at(memchr(b';', value)?);
        let call_id = std::str::from_utf8(trim(call_id))
            .ok()
            .filter(|id| is_call_id(id))?;
        let (mut to_tag, mut from_tag) = (None, None);
        let (mut early_only, mut transfer) = (false, false);
        for param in Params(params) {
            let tag = if param.is("to-tag") {
                &mut to_tag
            } else if param.is("from-tag") {
                &mut from_tag
            } else {
                early_only |= param.is("early-only");
                transfer |= param.is("transfer");
                continue;
            };
            let token = param.value.filter(|v| is_token(v))?;
            if tag.replace(std::str::from_utf8(token).ok()?).is_some() {
                return None;
            }
        }
        Some(Replaces {
            call_id: call_id.into(),
            to_tag: to_tag?.into(),
            from_tag: from_tag?.into(),
            early_only,
            transfer,
        })
    }

    /// The header value.
    pub fn to_value(&self) -> String {
        let early = if self.early_only { ";early-only" } else { "" };
        let transfer = if self.transfer { ";transfer" } else { "" };
        let Replaces {
            call_id,
            to_tag,
            from_tag,
            ..
        } = self;
        format!("{call_id};to-tag={to_tag};from-tag={from_tag}{early}{transfer}")
    }
}

fn is_call_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b > b' ' && b != 0x7f && b != b',')
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
    /// Reads a header value; a number over `u32` reads as `u32::MAX`, an unknown refresher as
    /// none.
    pub fn parse(value: &[u8]) -> Option<SessionExpires> {
        let (seconds, params) = value.split_at(memchr(b';', value).unwrap_or(value.len()));
        let refresher = Params(params).find(|p| p.is("refresher")).map(|p| p.text());
        let refresher_is_uac = match refresher {
            Some(who) if who.eq_ignore_ascii_case("uac") => Some(true),
            Some(who) if who.eq_ignore_ascii_case("uas") => Some(false),
            _ => None,
        };
        Some(SessionExpires {
            seconds: decimal(trim(seconds))?,
            refresher_is_uac,
        })
    }
}

/// An Instance-Utilization value: how loaded a node says it is, in percent (spec: D22, D33).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceUtilization(pub u8);

impl InstanceUtilization {
    /// Reads a header value: an integer in `0..=100`, nothing else.
    pub fn parse(value: &[u8]) -> Option<InstanceUtilization> {
        let percent = u8::try_from(decimal(trim(value))?).ok()?;
        (percent <= 100).then_some(InstanceUtilization(percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cseq_bears_white_space_and_ends_below_2_to_31() {
        let cseq = CSeq::parse(b" 0009\r\n  INVITE ").unwrap();
        assert_eq!((cseq.number, cseq.method), (9, Method::Invite));
        assert_eq!(
            CSeq::parse(b"1 invite").unwrap().method,
            Method::Other("invite".into())
        );
        assert_eq!(
            CSeq::parse(b"2147483647 BYE").unwrap().number,
            2_147_483_647
        );
        for bad in [
            "2147483648 BYE",
            "99999999999999 BYE",
            "1",
            "1BYE",
            "-1 BYE",
            "x BYE",
            "1 B YE",
        ] {
            assert!(CSeq::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    // spec: D24, D26
    #[test]
    fn replaces_is_read_in_any_order_and_only_when_whole() {
        let read =
            Replaces::parse(b" a-b@\"<h>[x]:?{} ; From-Tag = f ;x=\"1;2\"; to-tag=t;early-only");
        let read = read.unwrap();
        assert_eq!(&*read.call_id, "a-b@\"<h>[x]:?{}");
        assert_eq!(
            (&*read.to_tag, &*read.from_tag, read.early_only),
            ("t", "f", true)
        );
        assert!(!read.transfer);
        assert_eq!(
            Replaces::parse(read.to_value().as_bytes()),
            Some(read.clone())
        );
        let transfer = Replaces {
            transfer: true,
            ..read
        };
        assert_eq!(
            Replaces::parse(transfer.to_value().as_bytes()),
            Some(transfer)
        );
        for bad in [
            "a",
            "a;to-tag=1",
            "a;from-tag=1",
            "a;to-tag=1;to-tag=1;from-tag=2",
            ";to-tag=1;from-tag=2",
            "a;to-tag=;from-tag=2",
            "a;to-tag;from-tag=2",
            "a b;to-tag=1;from-tag=2",
            "a;to-tag=1;from-tag=2, b;to-tag=1;from-tag=2",
        ] {
            assert!(Replaces::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn session_expires_tells_who_refreshes() {
        let read =
            |v: &str| SessionExpires::parse(v.as_bytes()).map(|s| (s.seconds, s.refresher_is_uac));
        assert_eq!(read("1800"), Some((1800, None)));
        assert_eq!(read("90 ; Refresher = UAC"), Some((90, Some(true))));
        assert_eq!(read("90;x;refresher=uas"), Some((90, Some(false))));
        assert_eq!(read("90;refresher=me"), Some((90, None)));
        assert_eq!((read(""), read("x"), read("-1")), (None, None, None));
    }

    // spec: D22
    #[test]
    fn utilization_is_a_percentage_or_nothing() {
        let read = |v: &str| InstanceUtilization::parse(v.as_bytes()).map(|u| u.0);
        assert_eq!(
            (read("0"), read(" 42 "), read("100")),
            (Some(0), Some(42), Some(100))
        );
        for bad in ["101", "-1", "", "5.5", "50%", "300", "99999999999"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
