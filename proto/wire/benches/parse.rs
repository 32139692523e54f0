//! What reading and answering a message costs: `cargo bench -p holdline-wire`.

use bytes::Bytes;
use holdline_wire::build::{Body, Builder};
use holdline_wire::header::Name;
use holdline_wire::message::Message;
use std::hint::black_box;

/// A carrier's INVITE of about 1.2 kB.
fn invite() -> Bytes {
    Bytes::from_static(include_bytes!("invite.sip"))
}

/// Prints the nanoseconds that one call of `work` takes: the best of many short runs,
/// so that a busy machine tells the same as an idle one.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn measure(name: &str, mut work: impl FnMut()) {
    const CALLS: u32 = 500;
    let best = (0..1_000)
        .map(|_| {
            let start = std::time::Instant::now();
            (0..CALLS).for_each(|_| work());
            start.elapsed().as_nanos() / u128::from(CALLS)
        })
        .min();
    println!("{name}: {} ns", best.unwrap_or_default());
}

fn main() {
    let bytes = invite();
    println!("an INVITE of {} bytes", bytes.len());
    measure("parse", || {
        drop(black_box(Message::parse(black_box(bytes.clone()))))
    });
    let fresh = bytes.to_vec();
    measure("parse what was just received", || {
        drop(black_box(Message::parse(Bytes::from(black_box(
            fresh.clone(),
        )))));
    });
    let message = Message::parse(bytes.clone()).expect("it is well formed");
    measure("identifiers", || {
        black_box((
            message.call_id(),
            message.from_tag(),
            message.to_tag(),
            message.top_via(),
        ));
    });
    let source = "192.0.2.20:5060".parse().expect("it is an address");
    measure("respond 180", || {
        drop(black_box(
            Builder::response(&message, source, 180, b"", Some("tag")).finish(None),
        ));
    });
    let body = Body::sdp(message.body());
    measure("copy with another Call-ID", || {
        let start = Builder::request(message.method(), message.request_uri());
        let copy = message
            .fields()
            .fold(start, |builder, field| match field.name {
                Name::CallId => builder.header(field.name, "another"),
                _ => builder.raw(field.raw_name, field.value),
            });
        drop(black_box(copy.finish(Some(&body))));
    });
}
