//! The 503 of a peer that is not ours to pass on (RFC 3261 section 16.7): whoever gets one sends
//! nothing more for a while to the one who said it, and the next one upstream would take us for that.

use crate::passage::Passage;
use bytes::Bytes;

/// What a 503 becomes.
const REASON: &[u8] = b"SIP;cause=503;text=\"Service Unavailable\"";

impl Passage {
    /// What of a 503 travels on with the 500 that it becomes: a Reason (RFC 3326) in place of the
    /// status, whatever other protocols (Q.850) gave for theirs, and no Retry-After.
    #[must_use]
    pub fn of_unavailable(mut self) -> Passage {
        let is = |name: &Bytes, known: &[u8]| name.eq_ignore_ascii_case(known);
        let name = Bytes::from_static(b"Reason");
        let mut headers = vec![(name, Bytes::from_static(REASON))];
        for (name, value) in self.headers {
            if is(&name, b"Reason") {
                let kept = values(&value).filter(|one| !is_sip(one));
                headers.extend(kept.map(|one| (name.clone(), value.slice_ref(one))));
            } else if !is(&name, b"Retry-After") {
                headers.push((name, value));
            }
        }
        self.headers = headers;
        self
    }

    /// The value of its first header `name`.
    pub fn header(&self, name: &[u8]) -> Option<&Bytes> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }
}

/// The values of a comma-separated list; commas in quoted strings do not count.
fn values(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let ends = move |byte: &u8| {
        let plain = !std::mem::take(&mut escaped);
        match byte {
            b'\\' if quoted && plain => escaped = true,
            b'"' if plain => quoted = !quoted,
            _ => {}
        }
        *byte == b',' && !quoted
    };
    list.split(ends).map(<[u8]>::trim_ascii)
}

/// Whether a Reason value is about SIP's own status; an empty one says nothing either.
fn is_sip(reason: &[u8]) -> bool {
    let protocol = reason
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    let protocol = protocol.trim_ascii();
    protocol.is_empty() || protocol.eq_ignore_ascii_case(b"SIP")
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: X53
    #[test]
    fn a_503_goes_on_as_a_reason_beside_those_of_other_protocols() {
        let header = |name: &'static str, value: &'static str| (name.into(), value.into());
        let refusal = Passage::new(
            vec![
                header("Server", "carrier"),
                header("retry-after", "30"),
                header(
                    "Reason",
                    "SIP;cause=503;text=\"a, b\\\"\", Q.850;cause=34;text=\"no, circuit\"",
                ),
                header("reason", "Preemption;cause=1"),
            ],
            None,
        );
        let told = refusal.of_unavailable();
        let told: Vec<(&[u8], &[u8])> =
            told.headers.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        let expected: [(&[u8], &[u8]); 4] = [
            (b"Reason", REASON),
            (b"Server", b"carrier"),
            (b"Reason", b"Q.850;cause=34;text=\"no, circuit\""),
            (b"reason", b"Preemption;cause=1"),
        ];
        assert_eq!(told, expected);
    }
}
