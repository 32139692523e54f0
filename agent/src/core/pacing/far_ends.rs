//! How many INVITEs with Replaces a far end owes a final answer at a time, over all nodes
//! (spec: X57). Some 40 at once deadlock an Asterisk for good, and two may cross; the nodes' own
//! windows do not bound that, since a node answers 183 by itself.
//!
//! The bound is hard: neither the end of a move's window nor another attempt of the same call
//! passes it. A call whose far end is full waits in that far end's own line.
//!
//! An attempt keeps its place until its final answer comes, whatever becomes of the call, since
//! nobody knows how far it has got. It does so for [`OWED_MAX`] at most, or one that never ends
//! (its answer lost, its node hung) would stop the move of all other calls: by then a far end
//! that works has long answered, and at one more each two seconds there are never more than 16
//! during the 32 s for which a node asks (RFC 3261, timer B). Where its node died it keeps it for
//! [`OWED_BY_THE_DEAD`] from the moment that it left: the node may have sent its Replaces, which
//! waits for the store for at most half of that.

use super::position::{Attempt, Position};
use crate::cluster::NodeId;
use holdline_b2bua::CallKey;
use holdline_wire::Time;
use holdline_wire::header::InstanceFarEnd;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// How long an attempt without a final answer keeps its place.
const OWED_MAX: Duration = Duration::from_secs(2);
/// The same where its node is held for dead.
const OWED_BY_THE_DEAD: Duration = Duration::from_secs(1);
/// What a far end owes at first, where nothing is known of it.
const FIRST: usize = 8;
/// The most that it gets, one more with each quick answer.
const MOST: usize = 32;
/// An answer is quick within twice the time of the quickest and this.
const QUICK: Duration = Duration::from_millis(30);
/// Far ends that are told apart at most; the calls of others count as those of unknown ones.
const FAR_ENDS_MAX: usize = 4096;

/// Names a far end, for its calls. By default it is unknown: the node did not say, as nodes of
/// another make do not. All those calls share one place, the trunk's: they may have one far end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FarEndId(u32);

/// By what rule it is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    /// The operator's number, or one for an Asterisk.
    Fixed(usize),
    /// [`FIRST`] at first, more with each quick answer.
    Grows,
}

impl Rule {
    fn of(told: &InstanceFarEnd) -> Rule {
        let asterisk = |product: &str| product.to_ascii_lowercase().contains("asterisk");
        match (told.replaces, &told.product) {
            (Some(most), _) => Rule::Fixed(usize::try_from(most).unwrap_or(usize::MAX).max(1)),
            (None, Some(product)) if asterisk(product) => Rule::Fixed(1),
            _ => Rule::Grows,
        }
    }

    fn first(self) -> usize {
        match self {
            Rule::Fixed(most) => most,
            Rule::Grows => FIRST,
        }
    }
}

/// For people: who it is, and how many it is asked at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FarEndTold {
    /// Its SIP address; `None` where no node told it.
    pub address: Option<SocketAddr>,
    /// What it says of itself.
    pub product: Option<Box<str>>,
    /// INVITEs with Replaces at a time.
    pub at_a_time: usize,
    /// Calls that wait for it.
    pub waiting: usize,
}

#[derive(Debug)]
struct FarEnd {
    address: Option<SocketAddr>,
    product: Option<Box<str>>,
    rule: Rule,
    /// Calls that it is the far end of.
    calls: usize,
    window: usize,
    quickest: Duration,
    /// Attempts without a final answer.
    owed: usize,
    /// Its calls in the common line.
    ready: usize,
    /// Its calls that wait until it owes less.
    parked: BTreeMap<Position, CallKey>,
    /// That calls wait too long was told of this wait.
    told: bool,
}

impl FarEnd {
    fn new(rule: Rule, told: Option<&InstanceFarEnd>) -> FarEnd {
        FarEnd {
            address: told.map(|told| told.address),
            product: told.and_then(|told| told.product.clone()),
            rule,
            calls: 0,
            window: rule.first(),
            quickest: Duration::MAX,
            owed: 0,
            ready: 0,
            parked: BTreeMap::new(),
            told: false,
        }
    }

    fn is_full(&self) -> bool {
        self.owed >= self.window
    }

    fn is_at_rest(&self) -> bool {
        self.owed == 0 && self.ready == 0 && self.parked.is_empty()
    }

    fn answered(&mut self, took: Duration) {
        self.quickest = self.quickest.min(took);
        let quick = took <= self.quickest.saturating_mul(2).saturating_add(QUICK);
        if self.rule == Rule::Grows && quick {
            self.window = (self.window + 1).min(MOST);
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Owed {
    far: FarEndId,
    node: NodeId,
    sent: Time,
    until: Time,
}

/// The far ends of all calls. Of a move nothing is kept once it is over.
#[derive(Debug)]
pub struct FarEnds {
    ends: BTreeMap<FarEndId, FarEnd>,
    ids: BTreeMap<(SocketAddr, Rule), FarEndId>,
    next: u32,
    owed: BTreeMap<Attempt, Owed>,
    until: BTreeSet<(Time, Attempt)>,
}

impl Default for FarEnds {
    fn default() -> FarEnds {
        let unknown = (FarEndId::default(), FarEnd::new(Rule::Grows, None));
        FarEnds {
            ends: [unknown].into(),
            ids: BTreeMap::new(),
            next: 0,
            owed: BTreeMap::new(),
            until: BTreeSet::new(),
        }
    }
}

impl FarEnds {
    /// A node told the far end of a call, so far that of `before`.
    pub fn seat(&mut self, before: FarEndId, told: &InstanceFarEnd) -> FarEndId {
        let identity = (told.address, Rule::of(told));
        let id = match self.ids.get(&identity) {
            Some(&id) => id,
            None if self.ids.len() >= FAR_ENDS_MAX => FarEndId::default(),
            None => {
                self.next += 1;
                let id = FarEndId(self.next);
                self.ids.insert(identity, id);
                self.ends.insert(id, FarEnd::new(identity.1, Some(told)));
                id
            }
        };
        if id != before {
            self.end(id).calls += 1;
            self.unseat(before);
        }
        id
    }

    /// A call of this far end is over.
    pub fn unseat(&mut self, far: FarEndId) {
        let end = self.end(far);
        end.calls = end.calls.saturating_sub(1);
        self.tidy(far);
    }

    /// The unknown one in place of one that is gone, which no call names.
    fn end(&mut self, far: FarEndId) -> &mut FarEnd {
        let known = if self.ends.contains_key(&far) {
            far
        } else {
            FarEndId::default()
        };
        let unknown = || FarEnd::new(Rule::Grows, None);
        self.ends.entry(known).or_insert_with(unknown)
    }

    fn tidy(&mut self, far: FarEndId) {
        let Some(end) = self.ends.get_mut(&far).filter(|end| end.is_at_rest()) else {
            return;
        };
        end.window = end.rule.first();
        end.quickest = Duration::MAX;
        end.told = false;
        if let Some(address) = end.address.filter(|_| end.calls == 0) {
            self.ids.remove(&(address, end.rule));
            self.ends.remove(&far);
        }
    }

    /// Whether it owes as much as it may.
    pub fn is_full(&self, far: FarEndId) -> bool {
        self.ends.get(&far).is_some_and(FarEnd::is_full)
    }

    /// An INVITE with Replaces left for it, through `node`.
    pub fn sent(&mut self, now: Time, far: FarEndId, node: NodeId, attempt: Attempt) {
        let until = now + OWED_MAX;
        let owed = Owed {
            far,
            node,
            sent: now,
            until,
        };
        self.end(far).owed += 1;
        self.owed.insert(attempt, owed);
        self.until.insert((until, attempt));
    }

    /// The final answer of an attempt came, accepted or not; its far end, if it counted there.
    pub fn answered(&mut self, now: Time, attempt: Attempt, accepted: bool) -> Option<FarEndId> {
        let sent = self.owed.get(&attempt)?.sent;
        let far = self.release(attempt)?;
        if accepted {
            self.end(far).answered(now.since(sent));
        }
        Some(far)
    }

    /// None will come, or it does not matter any more.
    pub fn release(&mut self, attempt: Attempt) -> Option<FarEndId> {
        let owed = self.owed.remove(&attempt)?;
        self.until.remove(&(owed.until, attempt));
        let end = self.end(owed.far);
        end.owed = end.owed.saturating_sub(1);
        Some(owed.far)
    }

    /// The node is held for dead: its attempts do not keep their places for long.
    pub fn node_died(&mut self, node: NodeId) {
        let theirs = self.owed.iter_mut().filter(|(_, owed)| owed.node == node);
        for (attempt, owed) in theirs {
            self.until.remove(&(owed.until, *attempt));
            owed.until = owed.until.min(owed.sent + OWED_BY_THE_DEAD);
            self.until.insert((owed.until, *attempt));
        }
    }

    /// When the next place is given up.
    pub fn next(&self) -> Option<Time> {
        self.until.first().map(|(at, _)| *at)
    }

    /// Gives up a place whose time is over; whose it was.
    pub fn expire(&mut self, now: Time) -> Option<FarEndId> {
        let (at, attempt) = *self.until.first()?;
        (at <= now).then(|| self.release(attempt)).flatten()
    }

    /// A call of it stands in the common line.
    pub fn ready(&mut self, far: FarEndId) {
        self.end(far).ready += 1;
    }

    /// It stands there no more.
    pub fn unready(&mut self, far: FarEndId) {
        let end = self.end(far);
        end.ready = end.ready.saturating_sub(1);
    }

    /// A call goes from the common line to the far end's own.
    pub fn park(&mut self, far: FarEndId, place: Position, key: CallKey) {
        self.unready(far);
        self.end(far).parked.insert(place, key);
    }

    /// It stands there no more.
    pub fn unpark(&mut self, far: FarEndId, place: Position) {
        self.end(far).parked.remove(&place);
    }

    /// The first of its own line, which goes back to the common one, where it has room for more
    /// than stand there. The move may be over with it.
    pub fn recall(&mut self, far: FarEndId) -> Option<(Position, CallKey)> {
        let end = self.end(far);
        if end.owed + end.ready >= end.window {
            return None;
        }
        let first = end.parked.pop_first();
        match first {
            Some(_) => end.ready += 1,
            None => self.tidy(far),
        }
        first
    }

    /// Who it is, and whether this is the first time in this wait that one asks.
    pub fn tell(&mut self, far: FarEndId) -> (FarEndTold, bool) {
        let end = self.end(far);
        let first = !std::mem::replace(&mut end.told, true);
        let told = FarEndTold {
            address: end.address,
            product: end.product.clone(),
            at_a_time: end.window,
            waiting: end.parked.len() + end.ready,
        };
        (told, first)
    }

    /// Whether nothing is left of any move or call.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        let unknown = self.ends.get(&FarEndId::default());
        let rests = unknown.is_some_and(FarEnd::is_at_rest);
        self.ends.len() == 1 && rests && self.owed.is_empty() && self.until.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    fn told(product: &str, replaces: Option<u32>) -> InstanceFarEnd {
        let address = "10.0.0.3:5060".parse().unwrap();
        InstanceFarEnd::new(address, Some(product.as_bytes()), replaces)
    }

    fn attempts(count: u32) -> Vec<Attempt> {
        let mut calls = slotmap::SlotMap::<CallKey, ()>::with_key();
        (0..count).map(|n| (calls.insert(()), n)).collect()
    }

    /// How many it takes at a time.
    fn fill(ends: &mut FarEnds, far: FarEndId, now: Time, attempts: &[Attempt]) -> usize {
        let room = |ends: &FarEnds| !ends.is_full(far);
        attempts
            .iter()
            .take_while(|attempt| {
                let has = room(ends);
                if has {
                    ends.sent(now, far, NodeId(1), **attempt);
                }
                has
            })
            .count()
    }

    // spec: X57
    #[test]
    fn an_asterisk_gets_one_the_operators_number_counts_and_others_get_eight() {
        for (product, replaces, expected) in [
            ("Asterisk PBX 22.1.0", None, 1),
            ("FPBX-16(asterisk 18)", None, 1),
            ("Asterisk PBX 22.1.0", Some(3), 3),
            ("phone", Some(1), 1),
            ("phone", Some(0), 1),
            ("FreeSWITCH", None, 8),
        ] {
            let mut ends = FarEnds::default();
            let far = ends.seat(FarEndId::default(), &told(product, replaces));
            let got = fill(&mut ends, far, at(0), &attempts(40));
            assert_eq!(got, expected, "{product} {replaces:?}");
        }
        let mut ends = FarEnds::default();
        let unknown = FarEndId::default();
        assert_eq!(fill(&mut ends, unknown, at(0), &attempts(40)), 8);
    }

    // spec: X57
    #[test]
    fn quick_answers_widen_it_to_32_and_slow_ones_do_not() {
        let mut ends = FarEnds::default();
        let far = ends.seat(FarEndId::default(), &told("phone", None));
        let all = attempts(100);
        ends.sent(at(0), far, NodeId(1), all[99]);
        let mut sent = all.iter();
        for round in 0..60 {
            let attempt = sent.next().unwrap();
            ends.sent(at(round * 10), far, NodeId(1), *attempt);
            ends.answered(at(round * 10 + 5), *attempt, true);
        }
        assert_eq!(fill(&mut ends, far, at(600), &all[60..99]) + 1, 32);
        let mut slow = FarEnds::default();
        let far = slow.seat(FarEndId::default(), &told("phone", None));
        slow.sent(at(0), far, NodeId(1), all[0]);
        slow.sent(at(0), far, NodeId(1), all[1]);
        slow.answered(at(5), all[1], true);
        for (n, attempt) in (0..).zip(&all[2..20]) {
            slow.sent(at(n * 100), far, NodeId(1), *attempt);
            slow.answered(at(n * 100 + 41), *attempt, true);
        }
        assert_eq!(fill(&mut slow, far, at(3000), &all[20..]) + 1, 9);
    }

    // spec: X57
    #[test]
    fn an_attempt_without_an_answer_gives_up_its_place_sooner_where_its_node_died() {
        let mut ends = FarEnds::default();
        let far = ends.seat(FarEndId::default(), &told("Asterisk", None));
        let all = attempts(2);
        ends.sent(at(0), far, NodeId(1), all[0]);
        assert_eq!(ends.next(), Some(at(2000)));
        assert_eq!(ends.expire(at(1999)), None);
        ends.node_died(NodeId(2));
        assert_eq!(ends.next(), Some(at(2000)));
        ends.node_died(NodeId(1));
        assert_eq!(ends.expire(at(999)), None);
        assert!(ends.is_full(far));
        assert_eq!(ends.expire(at(1000)), Some(far));
        assert!(!ends.is_full(far));
        // What comes after all changes nothing.
        assert_eq!(ends.answered(at(1500), all[0], true), None);
    }

    // spec: X57
    #[test]
    fn nothing_is_kept_of_a_far_end_without_calls_and_there_are_not_too_many() {
        let mut ends = FarEnds::default();
        let unknown = FarEndId::default();
        let far = ends.seat(unknown, &told("phone", None));
        assert_eq!(
            ends.seat(far, &told("other phone", None)),
            far,
            "by its rule"
        );
        let pbx = ends.seat(far, &told("Asterisk", None));
        assert_ne!(pbx, far);
        ends.sent(at(0), pbx, NodeId(1), attempts(1)[0]);
        ends.unseat(pbx);
        assert!(!ends.is_empty());
        ends.expire(at(2000));
        assert_eq!(ends.recall(pbx), None);
        assert!(ends.is_empty());
        for port in 1..=5000 {
            let address = SocketAddr::from(([10, 0, 0, 3], port));
            let told = InstanceFarEnd::new(address, None, None);
            let far = ends.seat(unknown, &told);
            assert_eq!(far == unknown, usize::from(port) > FAR_ENDS_MAX);
        }
    }
}
