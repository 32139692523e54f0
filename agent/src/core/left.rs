//! What calls left behind on nodes that were held for dead. Should such a node live after all, it
//! is told: its dialogs end, and what it still calls is taken back (spec: X26, X28).

use holdline_wire::dialog::Dialog;
use holdline_wire::{Message, Time};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// What is remembered at most, of all nodes.
const KEPT_MAX: usize = 20_000;
/// For how long. A node that was away for longer has long given up what rang (timer C), and its
/// other calls find by themselves that nobody is there.
pub const KEPT_FOR: Duration = Duration::from_secs(3600);

/// What a call left behind on a node.
#[derive(Clone, Debug)]
pub struct Left {
    /// The node's: it outlives the node's place in the trunk document.
    pub address: SocketAddr,
    /// That of the process which knew it.
    pub incarnation: Option<Box<str>>,
    pub what: Remains,
}

/// What that is.
#[derive(Clone, Debug)]
pub enum Remains {
    /// The dialog of a call that lives on elsewhere, so that its far end must not hear of it.
    Moved(Dialog),
    /// The dialog of a call that was given up: the node ends it at the far end too.
    Lost(Dialog),
    /// The INVITE of a call that is set up elsewhere, or whose caller has left.
    Attempt(Message),
}

impl Left {
    /// The same of a call that was given up.
    pub fn given_up(self) -> Left {
        let what = match self.what {
            Remains::Moved(dialog) => Remains::Lost(dialog),
            what => what,
        };
        Left { what, ..self }
    }
}

/// What was left on all nodes.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// By the nodes' addresses, with the times since when.
    kept: BTreeMap<SocketAddr, VecDeque<(Time, Left)>>,
    /// How many are kept.
    count: usize,
    /// What nodes were told and have not answered yet.
    pub told: BTreeMap<u64, (Time, Left)>,
    pub next: u64,
}

impl Leftovers {
    /// Keeps one more; true where the oldest had to give way, though its time was not over.
    pub fn keep(&mut self, now: Time, since: Time, left: Left) -> bool {
        if self.count >= KEPT_MAX {
            self.expire(now);
        }
        let full = self.count >= KEPT_MAX;
        if full {
            self.drop_oldest();
        }
        self.count += 1;
        let kept = self.kept.entry(left.address).or_default();
        kept.push_back((since, left));
        full
    }

    fn drop_oldest(&mut self) {
        let first = |(address, kept): (&SocketAddr, &VecDeque<(Time, Left)>)| {
            Some((kept.front()?.0, *address))
        };
        let oldest = self.kept.iter().filter_map(first).min();
        let kept = oldest.and_then(|(_, address)| self.kept.get_mut(&address));
        if kept.is_some_and(|kept| kept.pop_front().is_some()) {
            self.count -= 1;
        }
    }

    /// Whether anything is kept for the node at `address`.
    pub fn has(&self, address: SocketAddr) -> bool {
        self.kept.contains_key(&address)
    }

    pub fn take(&mut self, address: SocketAddr) -> VecDeque<(Time, Left)> {
        let taken = self.kept.remove(&address).unwrap_or_default();
        self.count -= taken.len();
        taken
    }

    /// Forgets what is too old.
    pub fn expire(&mut self, now: Time) {
        for kept in self.kept.values_mut() {
            let before = kept.len();
            kept.retain(|(since, _)| now.since(*since) < KEPT_FOR);
            self.count -= before - kept.len();
        }
        self.kept.retain(|_, kept| !kept.is_empty());
    }

    /// How many are kept, and how many nodes were told of.
    #[cfg(test)]
    pub fn len(&self) -> (usize, usize) {
        (self.count, self.told.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdline_wire::TransportKey;
    use holdline_wire::dialog::DialogId;

    fn left(node: u8) -> Left {
        let address = SocketAddr::from(([127, 0, 0, node], 5060));
        let name = || "x".into();
        let id = DialogId {
            call_id: name(),
            local_tag: name(),
            remote_tag: name(),
        };
        let dialog = Dialog {
            id,
            local: Box::default(),
            remote: Box::default(),
            remote_target: name(),
            route_set: Vec::new(),
            local_seq: 1,
            remote_seq: None,
            flow: TransportKey::udp(address, address),
        };
        Left {
            address,
            incarnation: None,
            what: Remains::Moved(dialog),
        }
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    // spec: X56
    #[test]
    fn what_is_old_makes_room_for_what_is_new() {
        let mut all = Leftovers::default();
        for _ in 0..KEPT_MAX {
            assert!(!all.keep(at(0), at(0), left(1)));
        }
        // An hour later those of then are nothing any more.
        assert!(!all.keep(at(3600), at(3600), left(2)));
        assert_eq!(all.len(), (1, 0));
        for _ in 1..KEPT_MAX {
            assert!(!all.keep(at(3601), at(3601), left(1)));
        }
        // Full within an hour: the oldest gives way, and that is told.
        assert!(all.keep(at(3602), at(3602), left(3)));
        assert_eq!(all.len(), (KEPT_MAX, 0));
        let (oldest, newest) = (left(2).address, left(3).address);
        assert_eq!((all.take(oldest).len(), all.take(newest).len()), (0, 1));
    }
}
