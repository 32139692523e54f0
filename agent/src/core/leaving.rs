//! Nodes that live after all are told what calls left there: see [`super::left`].

use crate::cluster::{NodeId, NodeState};
use crate::core::env::{Env, MOVED_HEADERS};
use crate::core::event::Event;
use crate::core::keys::Owner;
use crate::core::left::{KEPT_FOR, Left, Remains};
use holdline_b2bua::{decline, say_bye};
use holdline_wire::header::Name;
use holdline_wire::{Message, Time, TransportKey};
use std::net::SocketAddr;

/// The Reason (RFC 3326) of a BYE in a dialog whose call was given up: the node ends it at the far
/// end too.
const LOST: &str = "SIP;cause=503;text=\"failover failed\"";
/// The Reason of a CANCEL, by which a phone shows no missed call.
const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

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
