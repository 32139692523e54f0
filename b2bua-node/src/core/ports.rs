//! Media ports: what is kept for the calls of other nodes, whether a call fits, and what becomes
//! of one whose port could not be opened, most often since another socket has it (spec: X51).

use crate::core::call::{Call, Phase};
use crate::core::{Event, NodeCore};
use bytes::Bytes;
use holdline_b2bua::CallKey;
use holdline_leg::{Passage, Signal};
use holdline_relay::{Report, Side, StreamId};
use holdline_wire::Time;
use holdline_wire::header::InstanceRefusal;
use std::net::SocketAddr;

/// Ports of one call that may turn out to be another socket's before it is given up.
const REFUSED_MAX: u8 = 8;
impl NodeCore {
    /// Pairs that other sockets had when the program started: they are not given out for a while.
    pub fn leave_out(&mut self, pairs: &[u16]) {
        self.env.streams.leave_out(pairs);
    }

    /// The relay's report.
    pub(super) fn media(&mut self, now: Time, report: Report) {
        self.env.streams.note(&report);
        match report {
            Report::BindFailed {
                stream,
                side,
                local,
                errno,
            } => self.port_refused(now, (stream, side), local, errno),
            Report::Heard { .. } | Report::Quiet { .. } => self.sound(now, &report),
            Report::Left { .. }
            | Report::Removed { .. }
            | Report::Tick(_)
            | Report::Refused { .. } => {}
        }
    }

    fn port_refused(
        &mut self,
        now: Time,
        (stream, side): (StreamId, Side),
        local: SocketAddr,
        errno: i32,
    ) {
        self.env.event(Event::BindFailed { local, errno });
        let Some(key) = self.env.streams.call_of(stream) else {
            return;
        };
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        // A late word about a port that was given up already.
        if !call.session.holds(stream, side, local.port()) {
            return;
        }
        call.refused_ports = call.refused_ports.saturating_add(1);
        if call.refused_ports <= REFUSED_MAX && self.mend(now, key, stream, side) {
            return;
        }
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        match call.phase {
            Phase::Refused(_) | Phase::Leaving => {}
            // Only what was being asked for is missing: the call goes on without it.
            Phase::Up | Phase::Keeping if !call.session.is_agreed(stream) => {}
            // The far end may have replaced its dialog already, and would tell any other node that
            // it is over: the call goes on, and the agent hears in the 2xx that it must leave.
            Phase::Replacing | Phase::Keeping if side == Side::Far && call.takeover.is_some() => {
                if let Some(takeover) = &mut call.takeover {
                    takeover.deaf = true;
                }
            }
            _ => {
                let cause = InstanceRefusal::NoPort;
                self.fail_for(now, key, 503, cause, "no media port");
            }
        }
    }

    /// Gives the stream another port where nobody, or only the agent in a 183, was told of the
    /// first; whether that was so.
    fn mend(&mut self, now: Time, key: CallKey, stream: StreamId, side: Side) -> bool {
        let Some(call) = self.calls.get_mut(key) else {
            return false;
        };
        let mends = match call.phase {
            Phase::Claiming => true,
            Phase::Setup if call.unplaced.is_some() => true,
            Phase::Setup | Phase::Up => call.session.is_untold(stream, side),
            Phase::Replacing => side == Side::Near,
            Phase::Refused(_) | Phase::Keeping | Phase::Leaving => false,
        };
        let (ports, out) = (&mut self.env.streams.ports, &mut self.env.streams.commands);
        let mended = mends && call.session.mend(ports, out, stream, side).is_ok();
        self.env.flush_relay(key);
        if mended && let Some(answer) = self.calls.get_mut(key).and_then(|call| call.say_again()) {
            self.apply(now, key, Side::Near, answer);
        }
        mended
    }
}

impl Call {
    /// Puts the ports of now into what has not left yet; a 183 that has left is said again.
    fn say_again(&mut self) -> Option<Signal> {
        if let Some(unplaced) = &mut self.unplaced
            && let Some(offer) = self.session.offer_again()
        {
            unplaced.setup.passage.set_sdp(offer);
        }
        let takeover = self.takeover.as_mut()?;
        let (answer, offer) = self.session.mirror_again()?;
        (takeover.answer, takeover.offer) = (answer.clone(), offer);
        (self.phase == Phase::Replacing).then(|| Signal::Progress {
            status: 183,
            reason: Bytes::new(),
            passage: Passage::new(Vec::new(), Some(answer)),
        })
    }
}
