//! Media ports: whether a new call fits, and what becomes of a call one of whose ports could not
//! be opened, most often since another socket has it (spec: X51).

use crate::core::AgentCore;
use crate::core::call::{Call, Phase};
use crate::core::env::Env;
use crate::core::event::Event;
use crate::core::keys::Timer;
use holdline_b2bua::CallKey;
use holdline_leg::Passage;
use holdline_relay::{Side, StreamId};
use holdline_wire::Time;
use std::net::SocketAddr;

/// Ports of one call that may turn out to be another socket's before it is given up.
const REFUSED_MAX: u8 = 8;
/// Why an INVITE is cancelled that another one follows (RFC 3326).
const OTHER_PORT: &str = "SIP;cause=200;text=\"Called again with another media port\"";

impl AgentCore {
    /// Pairs that other sockets had when the program started: they are not given out for a while.
    pub fn leave_out(&mut self, pairs: &[u16]) {
        self.env.streams.leave_out(pairs);
    }

    /// The relay could not open a port.
    pub(super) fn on_bind_failed(
        &mut self,
        now: Time,
        (stream, side): (StreamId, Side),
        local: SocketAddr,
        errno: i32,
    ) {
        self.env.event(Event::PortRefused { local, errno });
        let Some(key) = self.env.streams.call_of(stream) else {
            return;
        };
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        // A late word about an attempt that is no longer in charge says nothing about the one
        // that is.
        if !call.media.holds(stream, side, local.port()) {
            return;
        }
        self.env.touched.insert(key);
        call.refused_ports = call.refused_ports.saturating_add(1);
        let again = call.refused_ports <= REFUSED_MAX;
        if again && call.mend(&mut self.env, stream, side) {
            return;
        }
        let agreed = call.media.is_agreed(stream);
        let moves = !self.env.settings.moving.dry_run;
        match (&call.phase, side) {
            (Phase::Over, _) => {}
            (Phase::Setup(_), Side::Far) if again => self.place_with_other_ports(now, key),
            // The attempt goes on, since its node may have replaced the far leg already and a
            // second node would find it gone: the call moves once more when that has answered.
            (Phase::Moving(_), Side::Far) => call.unopened = Some((stream, local.port())),
            // Only what was being asked for is missing: the call goes on without it.
            (Phase::Up | Phase::Moving(_), _) if !agreed => {}
            (Phase::Up, Side::Far) if again && moves => self.move_alone(now, key),
            (Phase::Moving(_), Side::Near) => self.lose(now, key, 503),
            _ => call.fail(&mut self.env, now, 503),
        }
    }

    /// The call is up on its new node, which was offered a port that could not be opened, or could
    /// not open its own towards the far end: it moves once more, and the new node knows what from.
    pub(super) fn leave_unopened(&mut self, now: Time, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let unopened = call.unopened.take();
        let half = call
            .far
            .as_mut()
            .is_some_and(|far| std::mem::take(&mut far.deaf));
        call.refused_ports = call.refused_ports.saturating_add(half.into());
        let deaf = unopened.is_some_and(|(stream, port)| {
            call.media.is_agreed(stream) && call.media.holds(stream, Side::Far, port)
        });
        if (deaf || half) && matches!(call.phase, Phase::Up) && call.refused_ports <= REFUSED_MAX {
            self.move_alone(now, key);
        }
    }

    /// The call's INVITE named a port that is another socket's: it is cancelled, and the call
    /// placed once more. To the caller it rings on.
    fn place_with_other_ports(&mut self, now: Time, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let env = &mut self.env;
        if let Some(mut far) = call.far.take() {
            let node = far.node;
            far.leg.end(&mut env.ctx(now), &Passage::reason(OTHER_PORT));
            call.set_aside(env, now, far);
            env.book(key, Some(node), None);
            call.outlive_others(env, now);
        }
        if let Some(placing) = &mut call.kept.setup {
            placing.told.before += 1;
        }
        // Where no node is left for it, it rings on for so long.
        let patience = self.env.settings.moving.hold;
        self.env.timers.set(Timer::HoldOver(key), now + patience);
        self.place(now, key);
    }
}

impl Call {
    /// Gives the stream another port where nobody was told of the first; whether that was so.
    fn mend(&mut self, env: &mut Env, stream: StreamId, side: Side) -> bool {
        let mended = self.media.is_untold(stream, side)
            && self
                .media
                .mend(
                    &mut env.streams.ports,
                    &mut env.streams.commands,
                    stream,
                    side,
                )
                .is_ok();
        env.flush_relay(self.key);
        mended
    }
}
