//! The network: delay, loss, order, duplicates, and which ways are cut.

use super::draw::Draw;
use super::host::{AGENT, CALLEE, HostId, NODES, STORE};
use super::plan::{Party, Plan, What};
use holdline_wire::Time;
use holdline_wire::machine::LocalFault;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The way between any two hosts.
#[derive(Debug)]
pub struct Network {
    draw: Draw,
    loss: u64,
    duplicates: u64,
    reorder: bool,
    span: (Duration, Duration),
    last: BTreeMap<(HostId, HostId), Time>,
}

impl Network {
    /// As the plan has it.
    pub fn new(plan: &Plan) -> Network {
        Network {
            draw: Draw::new(plan.seed, 2),
            loss: plan.network.loss,
            duplicates: plan.network.duplicates,
            reorder: plan.network.reorder,
            span: plan.network.delay,
            last: BTreeMap::new(),
        }
    }

    /// When the copies of a datagram arrive; none where it is lost, as so many more in a thousand
    /// are on this way.
    pub fn arrivals(&mut self, now: Time, from: HostId, to: HostId, more_loss: u64) -> Vec<Time> {
        if self.draw.chance(self.loss + more_loss) {
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
        self.draw.between(self.span.0, self.span.1)
    }
}

/// Where a party is.
pub fn host_of(party: Party) -> HostId {
    match party {
        Party::Agent => AGENT,
        Party::Node(n) => NODES + n,
        Party::Callee => CALLEE,
        Party::Store => STORE,
    }
}

/// The ways that are closed or bad just now.
#[derive(Debug, Default)]
pub struct Links {
    cut: BTreeSet<HostId>,
    closed: BTreeSet<(HostId, HostId)>,
    lossy: BTreeMap<(HostId, HostId), u64>,
    /// What the agent sends to these does not leave its machine, and what it is told.
    unsent: BTreeMap<Option<HostId>, Option<LocalFault>>,
    /// Whether the store fails.
    pub store_down: bool,
}

impl Links {
    /// As these troubles leave them.
    pub fn of(troubles: impl Iterator<Item = What>) -> Links {
        let mut links = Links::default();
        for what in troubles {
            match what {
                What::Cut(node) => drop(links.cut.insert(NODES + node)),
                What::Deaf(from, to) => drop(links.closed.insert((host_of(from), host_of(to)))),
                What::Parted(one, other) => {
                    let (one, other) = (host_of(one), host_of(other));
                    links.closed.extend([(one, other), (other, one)]);
                }
                What::Lossy(from, to, loss) => {
                    *links.lossy.entry((host_of(from), host_of(to))).or_default() += loss;
                }
                What::StoreDown => links.store_down = true,
                What::Unsent(told, node) => {
                    links.unsent.insert(node.map(|node| NODES + node), told);
                }
                What::Unplugged => drop(links.cut.insert(AGENT)),
                What::Killed(_) | What::AgentKilled | What::Paused(_) | What::Drained(_) => {}
            }
        }
        links
    }

    /// Whether the host has no link at all.
    pub fn is_cut(&self, host: HostId) -> bool {
        self.cut.contains(&host)
    }

    /// Whether what leaves `from` for `to` gets out.
    pub fn leaves(&self, from: HostId, to: HostId) -> bool {
        let sent = self.unsent(from, to).is_none();
        sent && !self.is_cut(from) && !self.closed.contains(&(from, to))
    }

    /// Whether what `from` sends to `to` stays on its machine, and what it is told.
    pub fn unsent(&self, from: HostId, to: HostId) -> Option<Option<LocalFault>> {
        let one = self.unsent.get(&Some(to));
        let told = one.or_else(|| self.unsent.get(&None));
        told.copied().filter(|_| from == AGENT)
    }

    /// Whether what comes from `from` gets in at `to`.
    pub fn enters(&self, from: HostId, to: HostId) -> bool {
        !self.is_cut(to) && !self.closed.contains(&(from, to))
    }

    /// Both.
    pub fn open(&self, from: HostId, to: HostId) -> bool {
        self.leaves(from, to) && self.enters(from, to)
    }

    /// How many more datagrams in a thousand are lost on this way.
    pub fn loss(&self, from: HostId, to: HostId) -> u64 {
        self.lossy.get(&(from, to)).copied().unwrap_or(0)
    }
}
