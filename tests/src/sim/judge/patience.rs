//! How long things may take in a storm: what the network, the downstream UA and troubles add.

use super::excuses::touches;
use crate::sim::plan::{Party, Trouble, What};
use crate::sim::world::World;
use holdline_wire::Time;
use std::time::Duration;

impl World {
    /// How long a call may take to recover: 2 s (spec: D1), what the network's delay adds to
    /// RTT + 1.5 s and to the messages of a move, and where much is lost, repetitions of an
    /// INVITE after 0.5, 1 and 2 s (RFC 3261 17.1.1.2).
    pub(super) fn patience(&self) -> Duration {
        let network = &self.plan.network;
        let repeated = match network.loss {
            0..=4 => Duration::ZERO,
            5..=19 => Duration::from_millis(1500),
            _ => Duration::from_millis(4000),
        };
        // A node that hears nothing may speak on: that clears it for 3 s (spec: D34).
        let deaf = |trouble: &Trouble| {
            matches!(
                trouble.what,
                What::Deaf(Party::Agent, _) | What::Unsent(_, Some(_))
            )
        };
        let speaks = match self.plan.troubles.iter().any(deaf) {
            true => Duration::from_millis(3000),
            false => Duration::ZERO,
        };
        Duration::from_secs(2) + network.delay.1 * 8 + repeated + speaks + self.in_turn()
    }

    /// How much longer it takes where the downstream UA bears few at a time: one after the other, and one
    /// whose answer is lost holds the others up for 2 s.
    pub(super) fn in_turn(&self) -> Duration {
        let calls = u32::try_from(self.plan.calls.len()).unwrap_or(u32::MAX);
        let delays = self.plan.network.delay.1 * 4 + self.plan.far_end.delay;
        let each = delays + self.plan.store_delay;
        match self.plan.far_end.server {
            Some(_) => each * calls + Duration::from_secs(3),
            None => Duration::ZERO,
        }
    }

    /// How much longer a move may take since its node and the downstream UA were parted: what they ask of each
    /// other is repeated after so long again as that lasted (RFC 3261 17.1.1.2), a response every 4 s.
    pub(super) fn still_repeated(&self, node: Option<usize>) -> Duration {
        let parts = |trouble: &&Trouble| match trouble.what {
            What::Deaf(one, other) | What::Parted(one, other) => {
                let met = node.is_some_and(|node| touches(trouble, node));
                met && [one, other].contains(&Party::Callee)
            }
            _ => false,
        };
        let most = Duration::from_secs(4);
        let troubles = self.plan.troubles.iter().filter(parts);
        let of_late = troubles.filter(|trouble| {
            let until = trouble.until();
            trouble.at <= self.now && self.now <= until + most + self.patience()
        });
        let lasted = of_late.filter_map(|trouble| trouble.lasts).max();
        lasted.unwrap_or_default().min(most)
    }

    /// Until when a trouble may be news to the agent: one that ended while it stood still, or its own network
    /// let nothing out or in, shows afterwards.
    pub(super) fn noticed_until(&self, trouble: &Trouble) -> Time {
        let deaf = |trouble: &&Trouble| match trouble.what {
            What::Unsent(_, None) | What::Unplugged => true,
            what => what == What::Paused(Party::Agent),
        };
        let outages: Vec<&Trouble> = self.plan.troubles.iter().filter(deaf).collect();
        let mut until = trouble.until();
        // One may begin before the other ends.
        for _ in 0..outages.len() {
            let under_way = |own: &&&Trouble| own.at <= until && until <= own.until();
            let ends = outages.iter().filter(under_way).map(|own| own.until());
            until = ends.max().unwrap_or(until);
        }
        until
    }
}
