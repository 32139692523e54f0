//! What a refusal says of whose it is (spec: X53).

use crate::core::settings::Far503;
use bytes::Bytes;
use holdline_b2bua::Refusal;
use holdline_leg::Signal;
use holdline_relay::Side;
use holdline_wire::header::{InstanceRefusal, Name};

/// A final response of our own towards the agent says that it is, and as good as it can why.
pub(super) fn marked(side: Side, refusal: Refusal) -> Refusal {
    let told = |(name, _): &(Name<'_>, String)| *name == Name::InstanceRefusal;
    if side == Side::Far || refusal.status < 300 || refusal.headers.iter().any(told) {
        return refusal;
    }
    let other = InstanceRefusal::Other.as_str().to_owned();
    refusal.and(Name::InstanceRefusal, other)
}

/// The mark as a passage carries it.
pub(super) fn mark(cause: InstanceRefusal) -> (Bytes, Bytes) {
    let name = Name::InstanceRefusal.as_str();
    let value = cause.as_str();
    (
        Bytes::from_static(name.as_bytes()),
        Bytes::from_static(value.as_bytes()),
    )
}

/// What the agent hears where the far end says 503, to a new call or in one.
pub(super) fn for_agent(far_503: Far503, signal: &mut Signal) {
    if let (
        Far503::Convert,
        Signal::Refuse {
            status,
            reason,
            passage,
        }
        | Signal::Reply {
            status,
            reason,
            passage,
            ..
        },
    ) = (far_503, signal)
        && *status == 503
    {
        *status = 500;
        *reason = Bytes::new();
        *passage = std::mem::take(passage).of_unavailable();
    }
}

/// What a Reason says of the far end's refusal.
pub(super) fn refused_with(status: u16) -> String {
    format!("downstream refused with {status}")
}
