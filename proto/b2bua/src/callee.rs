//! Whom a Request-URI calls.

use holdline_wire::uri::SipUri;
use std::fmt::Display;

/// Whom a call is for, wherever it goes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callee {
    /// The user part of a SIP URI, or the whole subscriber part of a tel URI with its parameters
    /// (RFC 3261 19.1.6): it is called at the next hop's address. Empty where there is none.
    User(Box<str>),
    /// Any other URI, such as `urn:service:sos` (RFC 5031): it is the whole of the Request-URI
    /// wherever the call goes.
    Uri(Box<str>),
}

impl Callee {
    /// Whom `uri` calls; schemes are read in any case (RFC 3986 3.1).
    pub fn of(uri: &str) -> Callee {
        if let Some(sip) = SipUri::parse(uri) {
            return Callee::User(sip.user.unwrap_or_default().into());
        }
        let (scheme, rest) = uri.split_once(':').unwrap_or(("", uri));
        // A number with a host in it would lead the call there.
        if scheme.eq_ignore_ascii_case("tel") && !rest.contains('@') && !rest.starts_with(';') {
            return Callee::User(escaped(rest));
        }
        if ["sip", "sips", "tel"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known))
        {
            return Callee::User(Box::default());
        }
        Callee::Uri(uri.into())
    }

    /// The user part, or the URI.
    pub fn as_str(&self) -> &str {
        match self {
            Callee::User(name) | Callee::Uri(name) => name,
        }
    }

    /// The user, where a SIP URI can name it.
    pub fn user(&self) -> Option<&str> {
        match self {
            Callee::User(user) => Some(&**user).filter(|user| !user.is_empty()),
            Callee::Uri(_) => None,
        }
    }

    /// The Request-URI for the next hop at `host`.
    pub fn at(&self, host: impl Display) -> Box<str> {
        match self {
            Callee::Uri(uri) => uri.clone(),
            Callee::User(user) if user.is_empty() => format!("sip:{host}").into(),
            Callee::User(user) => format!("sip:{user}@{host}").into(),
        }
    }
}

/// A subscriber part as a SIP user: what a tel URI may have and a user may not is escaped, above all
/// the colon, behind which a password would stand (RFC 3261 25.1, RFC 3966 section 3).
fn escaped(subscriber: &str) -> Box<str> {
    subscriber
        .replace(':', "%3A")
        .replace('[', "%5B")
        .replace(']', "%5D")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: X24a, X23
    #[test]
    fn whom_a_uri_calls_is_called_at_the_next_hop_too() {
        for (uri, next) in [
            ("sip:+49@192.0.2.1;user=phone", "sip:+49@h"),
            ("SIPS:a;b=c@host", "sip:a;b=c@h"),
            ("sip:192.0.2.1:5060", "sip:h"),
            ("tel:+49;phone-context=x", "sip:+49;phone-context=x@h"),
            ("TEL:112", "sip:112@h"),
            ("tel:+49;x=a:[b]", "sip:+49;x=a%3A%5Bb%5D@h"),
            ("tel:;phone-context=x", "sip:h"),
            ("tel:112@elsewhere", "sip:h"),
            ("urn:service:sos", "urn:service:sos"),
            ("URN:service:sos.fire", "URN:service:sos.fire"),
        ] {
            assert_eq!(&*Callee::of(uri).at("h"), next, "{uri}");
        }
        assert_eq!(Callee::of("tel:112").user(), Some("112"));
        assert_eq!(Callee::of("sip:h").user(), None);
        assert_eq!(Callee::of("urn:service:sos").user(), None);
    }
}
