//! Takes callers out of texts: user parts of SIP URIs, `tel:` numbers and E.164 numbers keep
//! their last two digits at most.

/// The schemes whose next characters say who somebody is.
const SCHEMES: [&[u8]; 3] = [b"sips", b"sip", b"tel"];
/// A user part with fewer digits than this keeps none of them.
const MIN_DIGITS: usize = 4;
/// Digits after a `+` that make a phone number (E.164 has up to 15).
const MIN_E164: usize = 7;

/// A user part or a number with all but its last two digits taken away: `…42`.
pub fn redact_user(user: &str) -> String {
    let mut redacted = String::new();
    push_user(&mut redacted, user.as_bytes());
    redacted
}

/// A text with every user part of a SIP URI, every `tel:` number and every number with a `+`
/// redacted. A SIP URI without `@` keeps its host only where that looks like one. Percent-encoded
/// URIs (in the headers of another URI) are found as well.
pub fn redact(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut redacted = String::with_capacity(text.len());
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        let Some((start, end)) = secret_at(bytes, at) else {
            at += 1;
            continue;
        };
        redacted.push_str(&text[copied..start]);
        push_user(&mut redacted, &bytes[start..end]);
        copied = end;
        // At least one byte on, also past an empty user part.
        at = end.max(at + 1);
    }
    redacted.push_str(&text[copied..]);
    redacted
}

fn push_user(into: &mut String, user: &[u8]) {
    // Neither a password nor parameters belong to the number.
    let number = user
        .iter()
        .position(|b| matches!(b, b':' | b';'))
        .map_or(user, |i| &user[..i]);
    let digits: Vec<u8> = number.iter().copied().filter(u8::is_ascii_digit).collect();
    into.push('…');
    if digits.len() >= MIN_DIGITS {
        into.extend(digits[digits.len() - 2..].iter().map(|d| char::from(*d)));
    }
}

/// The secret that begins with the scheme or the `+` at `at`: from where to where. What comes
/// before a scheme does not matter: an escape (`\n`, `%3C`) looks like a letter. Both ends lie
/// beside ASCII bytes, so they are character boundaries.
fn secret_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    if bytes[at] == b'+' {
        let digits = bytes[at + 1..]
            .iter()
            .take_while(|b| is_number(**b))
            .count();
        let number = &bytes[at..at + 1 + digits];
        let enough = number.iter().filter(|b| b.is_ascii_digit()).count() >= MIN_E164;
        return enough.then_some((at, at + 1 + digits));
    }
    let rest = &bytes[at..];
    let scheme = SCHEMES.iter().find(|s| {
        rest.get(..s.len())
            .is_some_and(|r| r.eq_ignore_ascii_case(s))
            && colon(&rest[s.len()..]).is_some()
    })?;
    let start = at + scheme.len() + colon(&rest[scheme.len()..])?;
    let token = &bytes[start..start + token_length(&bytes[start..])];
    let first = *token.first()?;
    if *scheme == b"tel" {
        let is_number = is_number(first) || matches!(first, b'+' | b'*' | b'#' | b'%');
        return is_number.then_some((start, start + number_length(token)));
    }
    // The last one: what an odd user part holds, or a list of URIs, is redacted as a whole.
    let user = (0..token.len()).rev().find(|&i| is_at(&token[i..]));
    match user {
        Some(length) => Some((start, start + length)),
        None if looks_like_host(token) => None,
        None => Some((start, start + number_length(token))),
    }
}

fn colon(rest: &[u8]) -> Option<usize> {
    match rest {
        [b':', ..] => Some(1),
        [b'%', b'3', b'a' | b'A', ..] => Some(3),
        _ => None,
    }
}

fn is_at(rest: &[u8]) -> bool {
    matches!(rest, [b'@', ..] | [b'%', b'4', b'0', ..])
}

fn is_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'(' | b')')
}

/// How far a URI can reach: to white space, a quote or a bracket, each as it is or escaped. A
/// backslash that escapes nothing of these is part of a broken user part.
fn token_length(bytes: &[u8]) -> usize {
    let ends = |(i, b): (usize, &u8)| match b {
        b'<' | b'>' | b'"' | b'\'' => true,
        b'\\' => matches!(bytes.get(i + 1), Some(b'"' | b'n' | b'r' | b't')),
        b => b.is_ascii_whitespace(),
    };
    bytes
        .iter()
        .enumerate()
        .position(ends)
        .unwrap_or(bytes.len())
}

/// A token up to its parameters.
fn number_length(token: &[u8]) -> usize {
    let ends = |b: &u8| matches!(b, b';' | b'?' | b',' | b'&');
    token.iter().position(ends).unwrap_or(token.len())
}

/// An IP address, `localhost` or a dotted name: nothing that names a person.
fn looks_like_host(token: &[u8]) -> bool {
    let end = |b: &u8| matches!(b, b';' | b'?' | b',' | b'/' | b'&');
    let host = token.iter().position(end).map_or(token, |i| &token[..i]);
    let Ok(host) = std::str::from_utf8(host) else {
        return false;
    };
    let host = host.trim_end_matches(['.', ')', ':']);
    if let Ok(address) = host.parse::<std::net::SocketAddr>() {
        return !address.ip().is_unspecified() || host.contains('.');
    }
    if host.starts_with('[') {
        return true;
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    let label =
        |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok()
        || (name.contains('.')
            && name.split('.').all(label)
            && name
                .rsplit('.')
                .next()
                .is_some_and(|l| l.bytes().any(|b| b.is_ascii_alphabetic())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_part_keeps_two_digits_at_most() {
        for (user, redacted) in [
            ("alice", "…"),
            ("+4930123456", "…56"),
            ("1001", "…01"),
            ("42", "…"),
            ("bob:123456", "…"),
            ("030-12345;phone-context=+49", "…45"),
            ("", "…"),
        ] {
            assert_eq!(redact_user(user), redacted);
        }
    }

    #[test]
    fn uris_inside_texts_are_redacted_and_hosts_stay() {
        for (text, redacted) in [
            ("sip:+493012342@host", "sip:…42@host"),
            (
                "To: \"x\" <SIPS:alice@example.org>;tag=1",
                "To: \"x\" <SIPS:…@example.org>;tag=1",
            ),
            ("sip:bob:secret99@h", "sip:…@h"),
            ("a sip:127.0.0.1:5060 b", "a sip:127.0.0.1:5060 b"),
            ("<sip:[2001:db8::1]:5060;lr>", "<sip:[2001:db8::1]:5060;lr>"),
            ("sip:proxy.example.org;lr, x", "sip:proxy.example.org;lr, x"),
            ("sip:bob", "sip:…"),
            ("sip:4930123456;x", "sip:…56;x"),
            ("tel:+49-30-1234567;ext=1", "tel:…67;ext=1"),
            ("tel:110", "tel:…"),
            ("called +4930123456, twice", "called …56, twice"),
            (
                "rtt +25 ms, hotel: 5, over sip: yes",
                "rtt +25 ms, hotel: 5, over sip: yes",
            ),
            ("sip:a@h1,sip:b@h2", "sip:…@h2"),
            ("<sip:h.org?From=%3Csip%3Aalice%40x%3E>", "<sip:…%40x%3E>"),
            ("From=%3Csip%3Aalice%40x%3E", "From=%3Csip%3A…%40x%3E"),
            ("sip:@h sip:", "sip:…@h sip:"),
            ("sip:müller@h ü", "sip:…@h ü"),
            ("sip: ü", "sip: ü"),
            ("", ""),
        ] {
            assert_eq!(redact(text), redacted, "{text}");
        }
    }

    #[test]
    fn no_user_part_leaks_from_any_surrounding() {
        let users = [
            "secretuser",
            "secret;user",
            "secret?user=1",
            "%73secret",
            "secret@user",
            "sécret",
            "x\\secret",
        ];
        let before = [
            "",
            " ",
            "<",
            "\"",
            ",",
            "=",
            "(",
            "[",
            "%3C",
            "{\"uri\":\"",
            "\\n",
            "ü",
            "@",
        ];
        let after = [
            "",
            ">",
            ";lr",
            "\"}",
            " x",
            "?Replaces=a%40b",
            ",",
            "ü",
            "\\r\\n",
        ];
        for scheme in ["sip:", "sips:", "SIP:", "Sip%3a", "sip%3A"] {
            for user in users {
                for (b, a) in before
                    .iter()
                    .flat_map(|b| after.iter().map(move |a| (b, a)))
                {
                    let text = format!("{b}{scheme}{user}@host{a}");
                    let redacted = redact(&text);
                    assert!(!redacted.contains("cret"), "{text} gives {redacted}");
                }
            }
        }
    }

    #[test]
    fn any_text_can_be_redacted() {
        let parts = [
            "sip:",
            "tel:",
            "sips%3A",
            "@",
            "%40",
            "<",
            ">",
            "\\",
            "\"",
            "ü",
            "…",
            "+49",
            "1234567",
            ";",
            ":",
            " ",
            "a.b",
            "%",
            "[",
            "]",
            "127.0.0.1",
            "@",
        ];
        let mut random = holdline_wire::token::Tokens::new([3; 32]);
        for _ in 0..20_000 {
            let text: String = (0..random.below(12))
                .map(|_| parts[random.below(parts.len() as u64) as usize])
                .collect();
            let once = redact(&text);
            let digits = |t: &str| t.bytes().filter(u8::is_ascii_digit).count();
            assert!(digits(&once) <= digits(&text), "{text} gives {once}");
        }
    }
}
