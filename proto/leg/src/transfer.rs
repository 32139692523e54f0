//! Attended transfers across a B2BUA: the dialog that a REFER names (RFC 3515, and the Replaces
//! embedded in its Refer-To, RFC 3891 section 4) is ours on one side and another one on the other.

use crate::passage::Passage;
use holdline_wire::header::{NameAddr, Replaces};
use holdline_wire::uri::SipUri;
use std::fmt::Write;

/// Where a transferred party is sent: the dialog's peer, and the dialog as that peer knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referred {
    /// The peer's Contact URI.
    pub target: Box<str>,
    /// The dialog.
    pub replaces: Replaces,
}

/// The dialog that the Refer-To of `passage` names; `None` where it names none (a blind transfer)
/// or where there is not exactly one Refer-To (RFC 3515 section 2.4.1).
pub fn referred(passage: &Passage) -> Option<Replaces> {
    let value = &passage.headers[refer_to(passage)?].1;
    let uri = NameAddr::parse(value)?.uri;
    Replaces::parse(&SipUri::parse(uri)?.header("Replaces")?)
}

/// Lets the Refer-To of `passage` name `elsewhere`. What else it says (display name, other
/// embedded headers, parameters after the URI) stays.
pub fn refer_elsewhere(passage: &mut Passage, elsewhere: &Referred) {
    let Some(index) = refer_to(passage) else {
        return;
    };
    let value = passage.headers[index].1.clone();
    let Some(address) = NameAddr::parse(&value) else {
        return;
    };
    let Some(uri) = SipUri::parse(address.uri) else {
        return;
    };
    // A Contact has no headers; one that has them all the same must not add any to ours.
    let target = elsewhere.target.split('?').next().unwrap_or_default();
    let mut text = format!("<{target}?Replaces=");
    escape(&mut text, &elsewhere.replaces.to_value());
    for header in uri.headers.split('&') {
        let name = header.split('=').next().unwrap_or_default();
        if !name.is_empty() && !name.eq_ignore_ascii_case("Replaces") {
            text.push('&');
            text.push_str(header);
        }
    }
    text.push('>');
    let mut whole = address.display.to_vec();
    if !whole.is_empty() {
        whole.push(b' ');
    }
    whole.extend_from_slice(text.as_bytes());
    whole.extend_from_slice(address.params);
    passage.headers[index].1 = whole.into();
}

/// The one Refer-To, in its long or its compact form.
fn refer_to(passage: &Passage) -> Option<usize> {
    let is_it =
        |name: &[u8]| name.eq_ignore_ascii_case(b"Refer-To") || name.eq_ignore_ascii_case(b"r");
    let mut found = (0..passage.headers.len()).filter(|index| is_it(&passage.headers[*index].0));
    let index = found.next()?;
    found.next().is_none().then_some(index)
}

/// Writes a header value into a URI: everything but the unreserved characters as `%HH`
/// (RFC 3261 section 25.1).
fn escape(text: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn passage(refer_to: &[&'static str]) -> Passage {
        let headers = refer_to
            .iter()
            .map(|value| (Bytes::from("Refer-To"), Bytes::from(*value)));
        Passage::new(headers.collect(), None)
    }

    fn elsewhere() -> Referred {
        Referred {
            target: "sip:bob@192.0.2.7:5070;transport=udp".into(),
            replaces: Replaces::parse(b"new@here;to-tag=a+b;from-tag=c").unwrap_or_else(|| {
                unreachable!("a whole value");
            }),
        }
    }

    // spec: D32
    #[test]
    fn the_named_dialog_is_exchanged_and_the_rest_stays() {
        let mut refer = passage(&[
            "\"Bob\" <sip:bob@pbx.example;user=phone?Require=replaces&Replaces=1%402%3Bto-tag%3Dx%3Bfrom-tag%3Dy>;x=1",
        ]);
        let named = referred(&refer).map(|named| (named.call_id, named.to_tag, named.from_tag));
        assert_eq!(named, Some(("1@2".into(), "x".into(), "y".into())));
        refer_elsewhere(&mut refer, &elsewhere());
        assert_eq!(
            refer.headers[0].1,
            "\"Bob\" <sip:bob@192.0.2.7:5070;transport=udp?Replaces=new%40here%3Bto-tag%3Da%2Bb\
             %3Bfrom-tag%3Dc&Require=replaces>;x=1"
        );
        assert_eq!(referred(&refer), Some(elsewhere().replaces));
    }

    #[test]
    fn what_names_no_dialog_or_is_no_single_one_names_none() {
        for values in [
            &["<sip:bob@pbx.example>"][..],
            &["<tel:+4930123>"],
            &["<sip:b@h?Replaces=no-tags>"],
            &["<sip:b@h?Replaces=bad%>"],
            &[],
            &["<sip:b@h?Replaces=1%3Bto-tag%3Dx%3Bfrom-tag%3Dy>"; 2],
        ] {
            assert_eq!(referred(&passage(values)), None, "{values:?}");
        }
        let mut two = passage(&["<sip:a@b>", "<sip:c@d>"]);
        let before = two.clone();
        refer_elsewhere(&mut two, &elsewhere());
        assert_eq!(two, before);
    }
}
