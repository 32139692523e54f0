//! What passes through a B2BUA: every header that is not the leg's own business, and the body,
//! both byte for byte.

use bytes::Bytes;
use holdline_wire::Message;
use holdline_wire::build::{Body, Builder};
use holdline_wire::header::{Name, is_ours};
use holdline_wire::message::HeaderField;

/// Headers and body that travel from leg to leg.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// Names and values as they stood, in order.
    pub headers: Vec<(Bytes, Bytes)>,
    /// The body.
    pub body: Option<Body>,
    /// Where in `body` the session description stands (all of it, or one part of a multipart).
    sdp: Option<(usize, usize)>,
}

/// Headers that belong to one leg alone: those that form its dialog and its transactions, the
/// hop-by-hop ones, those that agent and node alone exchange, and those that a B2BUA answers for by
/// itself.
fn is_own(field: &HeaderField<'_>) -> bool {
    let own = matches!(
        field.name,
        Name::Via
            | Name::From
            | Name::To
            | Name::CallId
            | Name::CSeq
            | Name::Contact
            | Name::MaxForwards
            | Name::Route
            | Name::RecordRoute
            | Name::ContentType
            | Name::ContentLength
            | Name::RSeq
            | Name::RAck
            | Name::Timestamp
            | Name::Replaces
    );
    own || is_ours(field.raw_name)
}

impl Passage {
    /// What of `message` travels on. Reliable provisional responses (RFC 3262) end here: the
    /// `100rel` token is taken out of Supported and Require, since neither leg sends PRACK.
    pub fn of(message: &Message) -> Passage {
        let whole = message.bytes();
        // There a Contact says where else to ask (RFC 3261 8.1.3.4, 21.4.23), not who we are.
        let redirects = matches!(message.status(), 300..=399 | 485);
        // Nearly half of a message's headers are its leg's own.
        let mut headers = Vec::with_capacity(message.fields().count() / 2 + 1);
        for field in message.fields() {
            if is_own(&field) && !(redirects && field.name == Name::Contact) {
                continue;
            }
            let name = whole.slice_ref(field.raw_name);
            let value = whole.slice_ref(field.value);
            if matches!(field.name, Name::Supported | Name::Require) {
                headers.extend(without_token(value, "100rel").map(|kept| (name, kept)));
            } else {
                headers.push((name, value));
            }
        }
        Passage {
            headers,
            ..Passage::body_of(message)
        }
    }

    /// Only the Reason headers of `message` (RFC 3326), for the other leg's BYE or CANCEL.
    pub fn reason_of(message: &Message) -> Passage {
        let whole = message.bytes();
        let headers = message
            .fields()
            .filter(|field| field.name == Name::Reason)
            .map(|field| {
                (
                    whole.slice_ref(field.raw_name),
                    whole.slice_ref(field.value),
                )
            })
            .collect();
        Passage {
            headers,
            ..Passage::default()
        }
    }

    /// The SIP status that a Reason header tells as the cause (RFC 3326).
    pub fn cause(&self) -> Option<u16> {
        let reasons = self.headers.iter();
        let mut reasons = reasons.filter(|(name, _)| name.eq_ignore_ascii_case(b"Reason"));
        reasons.find_map(|(_, value)| {
            let text = std::str::from_utf8(value).ok()?;
            let mut parts = text.split(';').map(str::trim);
            let is_sip = parts.next()?.eq_ignore_ascii_case("SIP");
            let cause = parts.find_map(|part| part.strip_prefix("cause="))?;
            cause.trim().parse().ok().filter(|_| is_sip)
        })
    }

    /// A Reason header of our own.
    pub fn reason(value: &str) -> Passage {
        let header = (
            Bytes::from_static(b"Reason"),
            Bytes::copy_from_slice(value.as_bytes()),
        );
        Passage {
            headers: vec![header],
            ..Passage::default()
        }
    }

    /// Headers of our own choice, and a session description where there is one.
    pub fn new(headers: Vec<(Bytes, Bytes)>, sdp: Option<Bytes>) -> Passage {
        let span = sdp.as_ref().map(|sdp| (0, sdp.len()));
        Passage {
            headers,
            body: sdp.map(Body::sdp),
            sdp: span,
        }
    }

    fn body_of(message: &Message) -> Passage {
        let bytes = message.body();
        if bytes.is_empty() {
            return Passage::default();
        }
        let content_type = match message.header(Name::ContentType) {
            Some(value) => message.bytes().slice_ref(value),
            None => Bytes::from_static(b"application/octet-stream"),
        };
        let sdp = message.sdp().map(|sdp| {
            // Both are slices of one buffer: their distance is the position.
            let start = (sdp.as_ptr() as usize).saturating_sub(bytes.as_ptr() as usize);
            (start, start + sdp.len())
        });
        let sdp = sdp.filter(|(_, end)| *end <= bytes.len());
        Passage {
            headers: Vec::new(),
            body: Some(Body {
                content_type,
                bytes,
            }),
            sdp,
        }
    }

    /// The session description in the body.
    pub fn sdp(&self) -> Option<Bytes> {
        let (start, end) = self.sdp?;
        Some(self.body.as_ref()?.bytes.slice(start..end))
    }

    /// Puts `sdp` where the session description stood; without one it becomes the whole body.
    pub fn set_sdp(&mut self, sdp: Bytes) {
        match (&mut self.body, self.sdp) {
            (Some(body), Some((start, end))) => {
                let mut bytes = Vec::with_capacity(body.bytes.len() + sdp.len());
                bytes.extend_from_slice(&body.bytes[..start]);
                bytes.extend_from_slice(&sdp);
                bytes.extend_from_slice(&body.bytes[end..]);
                self.sdp = Some((start, start + sdp.len()));
                body.bytes = bytes.into();
            }
            _ => {
                self.sdp = Some((0, sdp.len()));
                self.body = Some(Body::sdp(sdp));
            }
        }
    }

    /// Writes the headers.
    pub fn write(&self, mut builder: Builder) -> Builder {
        for (name, value) in &self.headers {
            builder = builder.raw(name, value);
        }
        builder
    }
}

/// The token list `value` without `token`, as it stood where it does not hold it; `None` where
/// nothing is left.
fn without_token(value: Bytes, token: &str) -> Option<Bytes> {
    let is_it = |member: &[u8]| member.trim_ascii().eq_ignore_ascii_case(token.as_bytes());
    let members = || value.split(|byte| *byte == b',');
    if !members().any(is_it) {
        return Some(value);
    }
    let kept: Vec<&[u8]> = members()
        .filter(|member| !is_it(member))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
        .collect();
    (!kept.is_empty()).then(|| Bytes::from(kept.join(&b", "[..])))
}
