//! Responses to requests that no leg answers, in a transaction and without one.

use crate::admission::Refusal;
use bytes::Bytes;
use holdline_leg::{Ctx, Stamp};
use holdline_wire::build::Builder;
use holdline_wire::route::response_destination;
use holdline_wire::token::Tokens;
use holdline_wire::transaction::ServerId;
use holdline_wire::{Message, Method, TransportKey};
use std::hash::{DefaultHasher, Hasher};

/// Answers a request in its transaction, marked as `ctx` says.
pub fn answer<O: Copy>(ctx: &mut Ctx<'_, O>, server: ServerId, refusal: &Refusal) {
    let tag = ctx.tokens.tag();
    let Some((request, from)) = ctx.layer.request_of(server) else {
        return;
    };
    let builder = Builder::response(request, from.remote, refusal.status, b"", Some(&tag));
    if let Ok(bytes) = write(ctx.stamp.mark(builder), refusal) {
        ctx.layer.respond(ctx.now, server, refusal.status, bytes);
    }
}

fn write(
    mut response: Builder,
    refusal: &Refusal,
) -> Result<Bytes, holdline_wire::build::BuildError> {
    for (name, value) in &refusal.headers {
        response = response.header(*name, value);
    }
    response.finish(None)
}

/// Answers requests that are too broken for a transaction. A repeated one gets the same response,
/// its To tag included (RFC 3261 8.2.7), though nothing is remembered of it: the tag is a hash.
#[derive(Debug)]
pub struct Stateless {
    secret: String,
}

impl Stateless {
    /// With a secret that follows from the core's seed, by which nobody else can tell a tag before;
    /// not one of the tokens that this mints, which others see.
    pub fn new(seed: [u8; 32]) -> Stateless {
        Stateless {
            secret: Tokens::new(seed.map(|byte| !byte)).call_id(),
        }
    }

    /// The response to `request`, which came by `from`, and where it goes (RFC 3261 18.2.2). An ACK
    /// gets none.
    pub fn answer(
        &self,
        stamp: &Stamp,
        request: &Message,
        from: TransportKey,
        refusal: &Refusal,
        reason: &str,
    ) -> Option<(TransportKey, Bytes)> {
        if *request.method() == Method::Ack {
            return None;
        }
        let (tag, reason) = (self.tag(request), reason.as_bytes());
        let builder = Builder::response(request, from.remote, refusal.status, reason, Some(&tag));
        let bytes = write(stamp.mark(builder), refusal).ok()?;
        Some((response_destination(request, from), bytes))
    }

    /// 128 bits.
    fn tag(&self, request: &Message) -> String {
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write(self.secret.as_bytes());
            hasher.write_u8(salt);
            hasher.write(request.bytes());
            hasher.finish()
        };
        format!("{:016x}{:016x}", half(0), half(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdline_wire::header::Name;

    fn stray(branch: &str, rport: &str) -> Message {
        let text = format!(
            "BYE sip:b@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch={branch}{rport}\r\n\
             From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:b@127.0.0.1>\r\nCall-ID: c\r\n\
             CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(text.into_bytes().into()).expect("a message")
    }

    #[test]
    fn a_broken_request_is_answered_the_same_each_time_where_its_via_says() {
        let stateless = Stateless::new([1; 32]);
        let stamp = Stamp {
            contact: "<sip:127.0.0.2>".into(),
            on_responses: vec![(Name::InstanceUtilization, "7".to_owned())],
        };
        let at = |text: &str| text.parse().expect("an address");
        let from = TransportKey::udp(at("127.0.0.2:5060"), at("127.0.0.1:4000"));
        let refusal = Refusal::bare(400);
        let answer = |request: &Message| {
            let answer = stateless.answer(&stamp, request, from, &refusal, "Bad");
            let (to, bytes) = answer.expect("an answer");
            (to.remote.port(), bytes)
        };
        let (port, bytes) = answer(&stray("z9hG4bK1", ""));
        assert_eq!(answer(&stray("z9hG4bK1", "")), (port, bytes.clone()));
        assert_eq!((port, answer(&stray("z9hG4bK1", ";rport")).0), (5070, 4000));
        let read = |bytes| Message::parse(bytes).expect("a response");
        let (one, other) = (read(bytes), read(answer(&stray("z9hG4bK2", "")).1));
        assert_eq!(one.text(Name::InstanceUtilization).as_deref(), Some("7"));
        assert!(one.to_tag().is_some_and(|tag| tag.len() == 32));
        assert_ne!(one.to_tag(), other.to_tag());
    }
}
