//! What a response takes from its request (RFC 3261 section 8.2.6, RFC 3581 section 4).

use super::{Builder, reason_phrase};
use crate::header::scan::{Members, Params};
use crate::header::{Name, NameAddr, scan_via};
use crate::message::Message;
use memchr::memchr3;
use std::io::Write;
use std::net::SocketAddr;

impl Builder {
    /// A response to `request` that came from `source`: status line, every Via (received and
    /// rport filled in the topmost, RFC 3581), From, To (with `to_tag` where it has none yet),
    /// Call-ID, CSeq, Timestamp for 100. `reason` empty: the standard phrase. Record-Route is
    /// not copied: see [`Builder::record_routes`].
    pub fn response(
        request: &Message,
        source: SocketAddr,
        status: u16,
        reason: &[u8],
        to_tag: Option<&str>,
    ) -> Builder {
        let mut builder = Builder::empty();
        status_line(&mut builder, status, reason);
        for (nth, via) in request.values(Name::Via).enumerate() {
            builder = if nth == 0 {
                topmost_via(builder, via, source)
            } else {
                builder.raw(b"Via", via)
            };
        }
        builder = to(builder.copy(Name::From, request), request, to_tag);
        builder = builder
            .copy(Name::CallId, request)
            .copy(Name::CSeq, request);
        if status == 100 {
            builder.copy(Name::Timestamp, request)
        } else {
            builder
        }
    }
}

fn status_line(builder: &mut Builder, status: u16, reason: &[u8]) {
    let reason = if reason.is_empty() {
        reason_phrase(status).as_bytes()
    } else {
        reason
    };
    if memchr3(b'\r', b'\n', 0, reason).is_some() {
        builder.fail();
    }
    // Writing to a vector cannot fail.
    let _ = write!(builder.buf, "SIP/2.0 {status:03} ");
    builder.put(reason);
    builder.put(b"\r\n");
}

/// The first Via field: its first member says where the request came from, the rest stays.
fn topmost_via(builder: Builder, field: &[u8], source: SocketAddr) -> Builder {
    let scanned = Members::new(field, true)
        .next()
        .and_then(|top| Some((top, scan_via(top)?)));
    let Some((top, scanned)) = scanned else {
        return builder.raw(b"Via", field);
    };
    let (via, params) = (scanned.via, scanned.params);
    // Both are pieces of `field`; empty members before the topmost do not come back.
    let before = &top[..top.len() - params.len()];
    let after = &field[top.as_ptr().addr() - field.as_ptr().addr() + top.len()..];
    let ip = source.ip().to_canonical();
    let mut value = Vec::with_capacity(field.len() + 64);
    value.extend_from_slice(before);
    for param in Params(params) {
        if param.is("received") || param.raw.is_empty() {
            continue;
        }
        value.push(b';');
        if param.is("rport") {
            // Writing to a vector cannot fail.
            let _ = write!(value, "rport={}", source.port());
        } else {
            value.extend_from_slice(param.raw);
        }
    }
    if via.rport.is_some() || via.ip().map(|sent_by| sent_by.to_canonical()) != Some(ip) {
        let _ = write!(value, ";received={ip}");
    }
    value.extend_from_slice(after);
    builder.raw(b"Via", &value)
}

fn to(builder: Builder, request: &Message, to_tag: Option<&str>) -> Builder {
    let Some(value) = request.header(Name::To) else {
        return builder;
    };
    let address = NameAddr::parse(value);
    // Also one that cannot be read: a second tag would not be found behind it.
    let tagged = address.is_some_and(|to| to.tags().next().is_some());
    // Behind an open quote nothing would be found; the request is refused for it.
    let open = address.filter(|to| !tagged && to.is_open());
    let closed = open.map(|to| to.without_params());
    let value = closed.as_deref().unwrap_or(value);
    match to_tag.filter(|_| !tagged) {
        Some(tag) => builder.raw(b"To", &[value, b";tag=", tag.as_bytes()].concat()),
        None => builder.raw(b"To", value),
    }
}
