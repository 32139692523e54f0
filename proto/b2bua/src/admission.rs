//! Which requests are served, and what the others are told.

use bytes::Bytes;
use holdline_leg::Passage;
use holdline_relay::Side;
use holdline_wire::header::{Name, Replaces};
use holdline_wire::{Message, Method};

/// The methods that a call may have.
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, REFER, NOTIFY, MESSAGE";
/// The extensions that a request may require. No leg sends PRACK, so 100rel is not there.
const SUPPORTED: [&str; 2] = ["replaces", "timer"];
/// The descriptions that are read.
const ACCEPT: &str = "application/sdp";
/// Seconds after which a refused caller may try again.
const RETRY_AFTER: u32 = 5;
/// The same for a request in a dialog that another node just takes over: its own peer repeats it.
const MOVED_ON: u32 = 1;

/// How a request is answered that no leg answers: a status and the headers that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code; 200 where nothing is refused.
    pub status: u16,
    /// In their order.
    pub headers: Vec<(Name<'static>, String)>,
}

impl Refusal {
    /// The status and nothing else.
    pub fn bare(status: u16) -> Refusal {
        Refusal {
            status,
            headers: Vec::new(),
        }
    }

    /// 503, and to come again in a few seconds (RFC 3261 21.5.4).
    pub fn later() -> Refusal {
        Refusal::after(503, RETRY_AFTER)
    }

    /// To come again after `seconds` (RFC 3261 20.33).
    pub fn after(status: u16, seconds: u32) -> Refusal {
        Refusal::bare(status).and(Name::RetryAfter, seconds.to_string())
    }

    /// The headers for a leg's own answer.
    pub fn passage(&self) -> Passage {
        let headers = self.headers.iter().map(|(name, value)| {
            let name = Bytes::from_static(name.as_str().as_bytes());
            (name, Bytes::copy_from_slice(value.as_bytes()))
        });
        Passage::new(headers.collect(), None)
    }

    /// One header more.
    #[must_use]
    pub fn and(mut self, name: Name<'static>, value: String) -> Refusal {
        self.headers.push((name, value));
        self
    }
}

/// Whether a request outside any dialog asks only for what we can give (RFC 3261 8.2.2).
///
/// # Errors
/// 416 for a scheme, 420 with `Unsupported` for an extension that we do not know.
pub fn served(request: &Message) -> Result<(), Refusal> {
    if !request.has_known_scheme() {
        return Err(Refusal::bare(416));
    }
    let is_unknown = |token: &&[u8]| {
        let is = |known: &&str| token.eq_ignore_ascii_case(known.as_bytes());
        !SUPPORTED.iter().any(is)
    };
    let required = request.list(Name::Require);
    let unknown: Vec<_> = required
        .into_iter()
        .filter(is_unknown)
        .map(String::from_utf8_lossy)
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Refusal::bare(420).and(Name::Unsupported, unknown.join(", ")))
}

/// The Max-Forwards for the next hop of an INVITE that is served (RFC 3261 16.3).
///
/// # Errors
/// As [`served`], which comes first (8.2); then 483 or 400 for its Max-Forwards.
pub fn hops(invite: &Message) -> Result<u32, Refusal> {
    served(invite)?;
    invite.forwards_left().map_err(Refusal::bare)
}

/// The dialog that an INVITE wants to replace, if any.
///
/// # Errors
/// 400 for more than one Replaces and for a malformed one (RFC 3891 section 3).
pub fn replaces(invite: &Message) -> Result<Option<Replaces>, Refusal> {
    let mut fields = invite.fields().filter(|field| field.name == Name::Replaces);
    let Some(field) = fields.next() else {
        return Ok(None);
    };
    let parsed = Replaces::parse(field.value).filter(|_| fields.next().is_none());
    parsed.map(Some).ok_or(Refusal::bare(400))
}

/// What OPTIONS is answered by who takes calls: what there is (RFC 3261 11.2). Who takes none just
/// now tells it what an INVITE would be told.
pub fn options(takes_calls: bool) -> Refusal {
    if !takes_calls {
        return Refusal::later();
    }
    Refusal::bare(200)
        .and(Name::Allow, ALLOW.to_owned())
        .and(Name::Other("Accept"), ACCEPT.to_owned())
        .and(Name::Supported, SUPPORTED.join(", "))
}

/// Any other request outside a dialog: nothing is routed for it (RFC 3261 8.2.1, 12.2.2).
pub fn unrouted(method: &Method) -> Refusal {
    if method.needs_dialog() {
        return Refusal::bare(481);
    }
    Refusal::bare(405).and(Name::Allow, ALLOW.to_owned())
}

/// A request in a dialog, or a CANCEL, that no leg knows; `ended` is the side whose dialog it was
/// until a while ago, where it was one, and `cancels` whether its INVITE is known.
///
/// The dialog of a call that moved away is ours to end, and nobody else hears (spec: X28); towards
/// the far end a 481 to anything else would end the call that another node just takes over.
pub fn stray(method: &Method, ended: Option<Side>, cancels: bool) -> Refusal {
    match (method, ended) {
        (Method::Bye, Some(_)) => Refusal::bare(200),
        // RFC 3261 9.2: it is matched by its transaction.
        (Method::Cancel, _) if cancels => Refusal::bare(200),
        (Method::Bye | Method::Cancel, _) => Refusal::bare(481),
        (_, Some(Side::Far)) => Refusal::after(500, MOVED_ON),
        (_, Some(Side::Near) | None) => Refusal::bare(481),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite(uri: &str, headers: &str) -> Message {
        let text = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1\r\n\
             From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:b@127.0.0.1>\r\nCall-ID: c\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:a@127.0.0.1:5070>\r\n{headers}\
             Content-Length: 0\r\n\r\n"
        );
        Message::parse(text.into_bytes().into()).expect("a message")
    }

    #[test]
    fn what_we_do_not_know_is_refused_before_its_hops_are_counted() {
        let hops_of = |uri, headers| hops(&invite(uri, headers));
        let unknown = "Require: 100rel, TIMER\r\nMax-Forwards: 0\r\n";
        let unsupported = Refusal::bare(420).and(Name::Unsupported, "100rel".to_owned());
        assert_eq!(hops_of("sip:b@127.0.0.1", unknown), Err(unsupported));
        let known = "Require: Replaces,timer\r\nMax-Forwards: 9\r\n";
        assert_eq!(hops_of("sip:b@127.0.0.1", known), Ok(8));
        assert_eq!(hops_of("http://b", unknown), Err(Refusal::bare(416)));
        let none_left = "Max-Forwards: 0\r\n";
        assert_eq!(
            hops_of("sip:b@127.0.0.1", none_left),
            Err(Refusal::bare(483))
        );
        let many = "Max-Forwards: 300\r\n";
        assert_eq!(hops_of("sip:b@127.0.0.1", many), Ok(254));
    }

    #[test]
    fn one_dialog_is_replaced_or_none() {
        let one = "Replaces: x;to-tag=1;from-tag=2\r\n";
        let two = one.repeat(2);
        let named = |headers| replaces(&invite("sip:b@127.0.0.1", headers));
        assert_eq!(named(""), Ok(None));
        assert!(named(one).is_ok_and(|named| named.is_some()));
        assert_eq!(named(&two), Err(Refusal::bare(400)));
        assert_eq!(named("Replaces: x;to-tag=1\r\n"), Err(Refusal::bare(400)));
    }

    // spec: D34
    #[test]
    fn who_takes_no_calls_tells_options_what_it_would_tell_an_invite() {
        assert_eq!(options(false), Refusal::later());
        assert_eq!(
            Refusal::later().headers,
            [(Name::RetryAfter, "5".to_owned())]
        );
        let names = options(true).headers.into_iter().map(|(name, _)| name);
        assert!(names.eq([Name::Allow, Name::Other("Accept"), Name::Supported]));
        assert_eq!(unrouted(&Method::Bye), Refusal::bare(481));
        assert_eq!(unrouted(&Method::Message).status, 405);
    }

    // spec: X28
    #[test]
    fn a_dialog_that_has_ended_is_answered_by_side_and_method() {
        let status = |method, ended, cancels| stray(&method, ended, cancels).status;
        for ended in [None, Some(Side::Near), Some(Side::Far)] {
            let bye = if ended.is_some() { 200 } else { 481 };
            assert_eq!(status(Method::Bye, ended, false), bye);
            assert_eq!(status(Method::Cancel, ended, true), 200);
            assert_eq!(status(Method::Cancel, ended, false), 481);
        }
        assert_eq!(status(Method::Info, Some(Side::Near), false), 481);
        assert_eq!(status(Method::Info, None, false), 481);
        assert_eq!(
            stray(&Method::Info, Some(Side::Far), false),
            Refusal::after(500, 1)
        );
    }
}
