//! Whether the indexes of the core agree with its calls.

use crate::core::AgentCore;
use crate::core::call::Phase;
use crate::core::keys::{Owner, Timer};
use holdline_wire::Time;
use std::collections::BTreeSet;

impl AgentCore {
    /// Every index holds exactly what the calls say, and nothing is left undone.
    pub(super) fn check(&self) {
        let env = &self.env;
        let (mut legs, mut booked, mut attempts, mut streams) = (0, 0, 0, 0);
        for (key, call) in &self.calls {
            assert_eq!(env.invites.get(&call.kept.server), Some(&key), "INVITE");
            let near = env.tags.leg(call.near.local_tag());
            assert_eq!(near, Some(Owner::Near(key)), "near tag");
            for far in call.far.iter().chain(&call.others) {
                let own = Some(Owner::Far(key, far.epoch));
                assert_eq!(env.tags.leg(far.leg.local_tag()), own, "far tag");
                legs += 1;
            }
            if let Some(far) = &call.far {
                assert!(env.by_node[&far.node].contains(&key), "by node");
                booked += 1;
            }
            for far in &call.others {
                let attempt = (key, far.epoch);
                assert!(env.attempts[&far.node].contains(&attempt), "attempts");
                attempts += 1;
            }
            for stream in call.media.streams() {
                assert_eq!(env.streams.call_of(stream), Some(key), "stream");
                streams += 1;
            }
        }
        let all = |sets: usize, calls: usize, what: &str| assert_eq!(sets, calls, "{what}");
        all(env.invites.len(), self.calls.len(), "INVITEs");
        all(
            env.tags.len(),
            self.calls.len() + legs + env.tags.count_ended(),
            "tags",
        );
        all(
            env.by_node.values().map(|calls| calls.len()).sum(),
            booked,
            "booked",
        );
        all(
            env.attempts.values().map(|set| set.len()).sum(),
            attempts,
            "attempts",
        );
        all(env.streams.len(), streams, "streams");
        // Six timers a call, one a far leg, one for all far ends.
        let timers = 1 + self.calls.len() * 6 + legs;
        assert!(env.timers.len() <= timers, "timers");
        assert!(env.aging.len() <= 2 * self.calls.len() + 64, "aging");
        // Nothing is forgotten: a call without a node waits for one.
        let mut timers = env.timers.clone();
        let timers = std::iter::from_fn(|| timers.pop(Time::NEVER));
        let waiting: BTreeSet<Timer> = timers.collect();
        for (key, call) in &self.calls {
            let waits = waiting.contains(&Timer::Launch(key));
            let moving = matches!(call.phase, Phase::Moving(_) | Phase::Setup(_));
            assert!(call.far.is_some() || waits || !moving, "forgotten");
            assert!(waits || !env.pacing.stands(key), "in line");
        }
        assert!(env.pacing.len() <= self.calls.len(), "line");
        assert!(
            env.touched.is_empty() && env.streams.commands.is_empty(),
            "undone"
        );
    }

    /// Nothing of any call is left but what is known of nodes.
    pub(super) fn assert_no_trace(&self) {
        self.check();
        assert_eq!(self.live_calls(), 0, "calls");
        assert_eq!(self.ports_in_use(), 0, "ports");
        assert_eq!(self.transactions(), (0, 0), "transactions");
        assert_eq!(self.dialogs(), 0, "tags");
        assert!(self.env.timers.is_empty(), "timers");
        assert!(self.env.aging.is_empty(), "aging");
        assert_eq!(self.env.turns.poll_deadline(), None, "turns");
        assert_eq!(self.env.tags.poll_deadline(), None, "ended dialogs");
        assert_eq!(self.failovers.moving(), 0, "moving");
        assert!(self.env.pacing.is_empty(), "pacing");
    }
}
