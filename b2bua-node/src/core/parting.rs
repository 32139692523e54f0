//! The agent hangs up. The downstream UA is told first, and the agent's BYE is answered when that
//! has said that it knows: a node that is killed in between has not answered, so that the agent
//! lets another one end the call, which the store still has (spec: X27).

use crate::core::NodeCore;
use crate::core::call::{Call, Phase};
use crate::core::keys::Timer;
use holdline_b2bua::CallKey;
use holdline_leg::Passage;
use holdline_relay::Side;
use holdline_wire::header::{InstanceBye, Name};
use holdline_wire::transaction::ServerId;
use holdline_wire::{Message, Time, TransportKey};

impl NodeCore {
    /// Tells the downstream UA of the agent's BYE, which waits; false where it need not.
    pub(super) fn part(
        &mut self,
        now: Time,
        key: CallKey,
        server: ServerId,
        bye: &Message,
    ) -> bool {
        let Some(call) = self.calls.get_mut(key) else {
            return false;
        };
        let reason = Passage::reason_of(bye);
        let known = call.near.dialog().and_then(|dialog| dialog.remote_seq);
        let in_order = known.is_none_or(|known| bye.cseq().number > known);
        if call.phase != Phase::Up || call.parting.is_some() || !in_order {
            return false;
        }
        let Some(far) = call.far.as_mut().filter(|far| far.is_up()) else {
            return false;
        };
        far.end(&mut self.env.ctx(now, Side::Far), &reason);
        call.parting = Some((server, bye.clone()));
        let patience = self.env.config.waits.parting;
        self.env.timers.set(Timer::Parting(key), now + patience);
        true
    }

    /// Whether `bye`, in the upstream dialog of a call, is the agent's word that the call lives on
    /// elsewhere: it comes from the trunk that made the dialog, and says so in our own header. What
    /// a Reason says is for people (spec: X28).
    pub(super) fn says_moved(&self, key: CallKey, bye: &Message, from: TransportKey) -> bool {
        let said = bye.header(Name::InstanceBye).and_then(InstanceBye::parse);
        let of_the_trunk =
            |call: &Call| call.phase == Phase::Up && *call.trunk == from.remote.ip().to_string();
        said == Some(InstanceBye::Moved) && self.calls.get(key).is_some_and(|c| of_the_trunk(c))
    }

    /// The downstream UA knows, or does not say so in time: the agent's BYE takes its course.
    pub(super) fn parted(&mut self, now: Time, key: CallKey) {
        self.env.timers.cancel(Timer::Parting(key));
        let call = self.calls.get_mut(key);
        if let Some((server, bye)) = call.and_then(|call| call.parting.take()) {
            self.with_leg(now, key, Side::Near, |leg, ctx| {
                leg.on_request(ctx, server, &bye, None);
            });
        }
    }
}
