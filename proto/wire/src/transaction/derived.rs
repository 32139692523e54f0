//! The two requests that the layer makes out of an INVITE: the ACK for a final response other
//! than 2xx (RFC 3261 17.1.1.3) and CANCEL (RFC 3261 9.1).

use crate::build::Builder;
use crate::header::Name;
use crate::message::Message;
use crate::method::Method;
use bytes::Bytes;

/// The ACK for `response`, a final one other than 2xx; its To carries the peer's tag. `None`
/// where the response makes it too long to send.
pub(super) fn ack(invite: &Message, response: &Message) -> Option<Bytes> {
    let to = response.header(Name::To)?;
    start(invite, &Method::Ack, to)?.finish(None).ok()
}

/// The CANCEL for `invite` with `extra` headers (Reason); those are left out if they cannot be
/// printed.
pub(super) fn cancel(invite: &Message, extra: &[(&str, &str)]) -> Option<Bytes> {
    let plain = start(invite, &Method::Cancel, invite.header(Name::To)?)?;
    let with_extra = extra.iter().fold(plain.clone(), |builder, (name, value)| {
        builder.raw(name.as_bytes(), value.as_bytes())
    });
    with_extra.finish(None).or_else(|_| plain.finish(None)).ok()
}

/// What both have in common: the INVITE's Request-URI, its topmost Via alone, its routes, From,
/// Call-ID and the number of its CSeq.
fn start(invite: &Message, method: &Method, to: &[u8]) -> Option<Builder> {
    let via = invite.list(Name::Via).into_iter().next()?;
    let mut builder = Builder::request(method, invite.request_uri()).raw(b"Via", via);
    for field in invite.fields().filter(|field| field.name == Name::Route) {
        builder = builder.raw(b"Route", field.value);
    }
    let number = invite.cseq().number;
    let builder = builder
        .header(Name::MaxForwards, 70)
        .raw(b"From", invite.header(Name::From)?)
        .raw(b"To", to)
        .raw(b"Call-ID", invite.call_id().as_bytes())
        .raw(b"CSeq", format!("{number} {method}").as_bytes());
    Some(builder)
}
