//! By which Request-URI a far end finds the dialog that is to be replaced (spec: X24a). Its remote
//! target is the right one (RFC 3261 section 12.2.1.1), but many look its user up, as for a new
//! call, before they read Replaces: the user that was called first is one that they know.

use holdline_b2bua::Callee;
use holdline_wire::uri::SipUri;

/// The Request-URIs for the far end whose remote target is `target`, in the order in which they are
/// tried: `called` is the Request-URI of the agent, which repeats the first one's user.
pub(super) fn forms(target: &str, called: &str) -> (Box<str>, Option<Box<str>>) {
    let plain: Box<str> = target.into();
    let Some(own) = SipUri::parse(target) else {
        return (plain, None);
    };
    let called = Callee::of(called);
    match (own.user, called.user()) {
        (None, Some(user)) => (with_user(target, user), Some(plain)),
        (Some(own), Some(user)) if own != user => {
            let other = with_user(target, user);
            (plain, Some(other))
        }
        _ => (plain, None),
    }
}

/// `uri` with this user: host, port and parameters stay.
fn with_user(uri: &str, user: &str) -> Box<str> {
    let (scheme, rest) = uri.split_once(':').unwrap_or(("sip", uri));
    let host = rest.split_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}:{user}@{host}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: X24a
    #[test]
    fn a_target_without_user_gets_the_called_one_and_keeps_all_else() {
        let called = "sip:+4930123;phone-context=x@10.0.0.9:5060";
        let user = "+4930123;phone-context=x";
        for (host, params) in [
            ("10.0.0.3:5091", ""),
            ("[2001:db8::3]:5091", ";transport=udp;lr;x=a@b"),
            ("far.example", ";ob"),
        ] {
            let params = params.replace('@', "%40");
            let target = format!("sips:{host}{params}");
            let (first, other) = forms(&target, called);
            assert_eq!(&*first, format!("sips:{user}@{host}{params}"));
            assert_eq!(other.as_deref(), Some(&*target));
        }
    }

    // spec: X24a
    #[test]
    fn a_user_of_its_own_goes_first_and_what_is_no_other_form_is_none() {
        let (target, called) = ("sip:trunk@10.0.0.3;ob", "sip:2001@10.0.0.9");
        let (first, other) = forms(target, called);
        assert_eq!(&*first, target);
        assert_eq!(other.as_deref(), Some("sip:2001@10.0.0.3;ob"));
        for (target, called) in [
            ("sip:2001@10.0.0.3", "sip:2001@10.0.0.9"),
            ("sip:10.0.0.3", "sip:10.0.0.9"),
            ("sip:10.0.0.3", "urn:service:sos"),
            ("sip:trunk@10.0.0.3", "sip:10.0.0.9"),
            ("tel:+4930123", "sip:2001@10.0.0.9"),
        ] {
            assert_eq!(forms(target, called), (target.into(), None));
        }
        let (first, _) = forms("sip:10.0.0.3", "tel:+4930123");
        assert_eq!(&*first, "sip:+4930123@10.0.0.3");
    }
}
