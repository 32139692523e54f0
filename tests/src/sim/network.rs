//! The network: delay, loss, order, duplicates.

use super::draw::Draw;
use super::host::HostId;
use super::plan::Plan;
use holdline_wire::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// The way between any two hosts.
#[derive(Debug)]
pub struct Network {
    draw: Draw,
    loss: u64,
    duplicates: u64,
    reorder: bool,
    last: BTreeMap<(HostId, HostId), Time>,
}

impl Network {
    /// As the plan has it.
    pub fn new(plan: &Plan) -> Network {
        Network {
            draw: Draw::new(plan.seed, 2),
            loss: plan.loss,
            duplicates: plan.duplicates,
            reorder: plan.reorder,
            last: BTreeMap::new(),
        }
    }

    /// When the copies of a datagram arrive; none where it is lost.
    pub fn arrivals(&mut self, now: Time, from: HostId, to: HostId) -> Vec<Time> {
        if self.draw.chance(self.loss) {
            return Vec::new();
        }
        let copies = if self.draw.chance(self.duplicates) {
            2
        } else {
            1
        };
        (0..copies).map(|_| self.arrival(now, from, to)).collect()
    }

    fn arrival(&mut self, now: Time, from: HostId, to: HostId) -> Time {
        let mut at = now + self.delay();
        let last = self.last.entry((from, to)).or_default();
        if !self.reorder {
            at = at.max(*last);
        }
        *last = at.max(*last);
        at
    }

    /// One way, one datagram.
    pub fn delay(&mut self) -> Duration {
        self.draw.ms(5, 20)
    }
}
