//! Whose refusal it is (spec: X53). What this node refuses by itself it marks, so that the agent
//! asks another one and spares this one. What the far end refuses is passed on without a mark: it
//! would say the same to any node.

use crate::core::marks::{mark, refused_with};
use crate::core::{Event, NodeCore};
use bytes::Bytes;
use holdline_b2bua::CallKey;
use holdline_leg::{Passage, Signal, State};
use holdline_relay::Side;
use holdline_wire::Time;
use holdline_wire::header::InstanceRefusal;

/// Headers as a passage carries them.
type Headers = Vec<(Bytes, Bytes)>;

impl NodeCore {
    /// Ends a call from our side: `status` upstream where it is not answered yet, marked as our
    /// own; BYE or CANCEL elsewhere, each with a Reason (RFC 3326).
    pub(super) fn fail(&mut self, now: Time, key: CallKey, status: u16, why: &str) {
        self.fail_for(now, key, status, InstanceRefusal::Other, why);
    }

    /// Likewise, where the mark says more.
    pub(super) fn fail_for(
        &mut self,
        now: Time,
        key: CallKey,
        status: u16,
        cause: InstanceRefusal,
        why: &str,
    ) {
        self.end_both(now, key, status, reason(status, why), vec![mark(cause)]);
    }

    /// Likewise, where the cause is another status than the one that goes upstream.
    pub(super) fn fail_because(
        &mut self,
        now: Time,
        key: CallKey,
        status: u16,
        cause: u16,
        why: &str,
    ) {
        let mark = vec![mark(InstanceRefusal::Other)];
        self.end_both(now, key, status, reason(cause, why), mark);
    }

    /// Nothing came from the far end: another node may reach it.
    pub(super) fn far_end_silent(&mut self, now: Time, key: CallKey, status: u16) {
        let (cause, why) = match status {
            408 => (InstanceRefusal::Timeout, "the far end does not answer"),
            _ => (InstanceRefusal::Unreachable, "the far end is unreachable"),
        };
        self.fail_for(now, key, status, cause, why);
    }

    /// The far end cannot have its call moved just now: the agent may ask again, at the time that
    /// it says if it does. A 503 goes on as 500, since it is not this node that is unavailable.
    pub(super) fn far_end_refused(
        &mut self,
        now: Time,
        key: CallKey,
        status: u16,
        passage: &Passage,
    ) {
        let later = passage.header(b"Retry-After");
        let later = later.map(|value| (Bytes::from_static(b"Retry-After"), value.clone()));
        let told = if status == 503 { 500 } else { status };
        let why = reason(status, &refused_with(status));
        self.end_both(now, key, told, why, later.into_iter().collect());
    }

    /// Ends both legs with this Reason; what a refusal upstream says beside is in `more`.
    fn end_both(&mut self, now: Time, key: CallKey, status: u16, why: Passage, more: Headers) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        call.held.clear();
        if let State::Incoming(_) = call.near.state() {
            let event = match call.takeover {
                Some(_) => Event::ClaimRefused {
                    call: call.number,
                    status,
                },
                None => Event::Refused { status },
            };
            let mut passage = why.clone();
            passage.headers.extend(more);
            let refusal = Signal::refuse(status, passage);
            call.near.apply(&mut self.env.ctx(now, Side::Near), refusal);
            self.env.event(event);
        } else {
            call.near.end(&mut self.env.ctx(now, Side::Near), &why);
        }
        if let Some(far) = &mut call.far {
            far.end(&mut self.env.ctx(now, Side::Far), &why);
        }
        self.pump(now, key);
    }
}

fn reason(cause: u16, why: &str) -> Passage {
    Passage::reason(&format!("SIP;cause={cause};text=\"{why}\""))
}
