//! What calls left behind on nodes that were held for dead. Should such a node live after all, it
//! is told: its dialogs end, and what it still calls is taken back (spec: X26, X28).

use crate::cluster::{NodeId, NodeState};
use crate::core::call::FarLeg;
use crate::core::env::{Env, MOVED_HEADERS};
use crate::core::event::Event;
use crate::core::keys::Owner;
use holdline_b2bua::{decline, say_bye};
use holdline_leg::State;
use holdline_wire::dialog::Dialog;
use holdline_wire::header::Name;
use holdline_wire::transaction::Layer;
use holdline_wire::{Message, Time, TransportKey};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// What is remembered at most, of all nodes.
const KEPT_MAX: usize = 20_000;
/// For how long. A node that was away for longer has long given up what rang (timer C), and its
/// other calls find by themselves that nobody is there.
const KEPT_FOR: Duration = Duration::from_secs(3600);
/// The Reason (RFC 3326) of a BYE in a dialog whose call was given up: the node ends it at the far
/// end too.
const LOST: &str = "SIP;cause=503;text=\"failover failed\"";
/// The Reason of a CANCEL, by which a phone shows no missed call.
const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

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

impl FarLeg {
    /// What the node at `address` gets a BYE for, should it live when the call has moved.
    pub fn left(&self, address: Option<SocketAddr>) -> Option<Left> {
        let dialog = self.leg.dialog().filter(|_| !self.disowned)?;
        self.leaves(address, Remains::Moved(dialog.clone()))
    }

    /// What it gets a CANCEL for, should it live: an INVITE that it has not answered.
    pub fn unanswered(&self, address: Option<SocketAddr>, layer: &Layer<Owner>) -> Option<Left> {
        let (State::Calling(client) | State::Cancelling(client)) = self.leg.state() else {
            return None;
        };
        let invite = layer.request_by(client)?.clone();
        self.leaves(address, Remains::Attempt(invite))
    }

    fn leaves(&self, address: Option<SocketAddr>, what: Remains) -> Option<Left> {
        Some(Left {
            address: address?,
            incarnation: self.incarnation.clone(),
            what,
        })
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
    told: BTreeMap<u64, (Time, Left)>,
    next: u64,
}

impl Leftovers {
    /// Keeps one more; true where the oldest had to give way, though its time was not over.
    fn keep(&mut self, now: Time, since: Time, left: Left) -> bool {
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
    fn has(&self, address: SocketAddr) -> bool {
        self.kept.contains_key(&address)
    }

    fn take(&mut self, address: SocketAddr) -> VecDeque<(Time, Left)> {
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

impl Env {
    /// A call left its node. If that lives, it is told at once; otherwise when it shows that it
    /// lived all the time.
    pub fn leave(&mut self, now: Time, left: Left) {
        let address = left.address;
        self.keep_left(now, now, left);
        let node = self.cluster.node_at(address);
        let state = node.and_then(|node| self.cluster.state(node));
        if matches!(state, Some(NodeState::Alive | NodeState::Draining)) {
            self.tell_left(now, address);
        }
    }

    fn keep_left(&mut self, now: Time, since: Time, left: Left) {
        if self.left.keep(now, since, left) {
            let what = "what calls left on nodes that were held for dead";
            self.event(Event::Forgotten { what });
        }
    }

    /// `node` answers: it hears of all that calls left there. What an earlier incarnation knew is
    /// gone with it.
    pub fn hang_up_left(&mut self, now: Time, node: NodeId) {
        let address = self.cluster.address(node);
        if let Some(address) = address.filter(|address| self.left.has(*address)) {
            self.tell_left(now, address);
        }
    }

    fn tell_left(&mut self, now: Time, address: SocketAddr) {
        let node = self.cluster.node_at(address);
        let living = node.and_then(|node| self.cluster.incarnation(node));
        let living = living.map(Box::<str>::from);
        for (since, left) in self.left.take(address) {
            let gone = living.is_some() && left.incarnation.is_some() && living != left.incarnation;
            if !gone && now.since(since) < KEPT_FOR {
                self.tell_of(now, since, left);
            }
        }
    }

    fn tell_of(&mut self, now: Time, since: Time, mut left: Left) {
        self.left.next += 1;
        let number = self.left.next;
        let flow = self.flow(left.address);
        let told = match &mut left.what {
            Remains::Moved(dialog) => say_bye(
                &mut self.ctx(now),
                dialog,
                &MOVED_HEADERS,
                Owner::Left(number),
            ),
            Remains::Lost(dialog) => {
                let lost = [(Name::Reason, LOST)];
                say_bye(&mut self.ctx(now), dialog, &lost, Owner::Left(number))
            }
            Remains::Attempt(invite) => {
                let reason = [("Reason", ELSEWHERE)];
                let owner = Owner::Left(number);
                self.layer.recall(now, flow, invite.clone(), owner, &reason);
                true
            }
        };
        if told {
            self.left.told.insert(number, (since, left));
        }
    }

    /// What a node said of something that was left there.
    pub fn left_answered(&mut self, now: Time, number: u64, said: &Message, from: TransportKey) {
        if said.status() < 200 {
            return;
        }
        let told = self.left.told.remove(&number);
        if let Some((_, left)) = &told
            && let Some(node) = self.cluster.node_at(left.address)
        {
            self.cluster.room_may_be(node);
        }
        // The far end had answered before the CANCEL came (RFC 3261 9.1): ACK and BYE.
        if let Some((_, left)) = told
            && let Remains::Attempt(invite) = &left.what
        {
            let reason = [(Name::Reason, ELSEWHERE)];
            decline(
                &mut self.ctx(now),
                invite,
                said,
                from,
                &reason,
                Owner::Nobody,
            );
        }
    }

    /// It said nothing: it is told again when it answers the next time. Not of an INVITE: it does
    /// not know that, or it would have refused it.
    pub fn left_unanswered(&mut self, now: Time, number: u64) {
        if let Some((since, left)) = self.left.told.remove(&number)
            && !matches!(left.what, Remains::Attempt(_))
        {
            self.keep_left(now, since, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
