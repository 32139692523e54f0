//! Which calls wait to leave a dead node, in which order, and what each survivor bears
//! (spec: D25, X23): a call leaves when a node has room for one more INVITE that it owes an answer.

mod far_ends;
mod position;
mod window;

pub use far_ends::{FarEndId, FarEndTold};
pub use position::{Attempt, Rank};
pub use window::Bounds;

use crate::cluster::NodeId;
use far_ends::FarEnds;
use holdline_b2bua::CallKey;
use holdline_wire::Time;
use holdline_wire::token::Tokens;
use holdline_wire::transaction::Timers;
use position::Position;
use std::collections::BTreeMap;
use std::time::Duration;
use window::Window;

/// An INVITE that its node owes an answer counts against the window for no longer than this: what
/// became of it is known by then.
const OWED_MAX: Duration = Duration::from_secs(2);

/// The time that a node is guessed to need for each INVITE that it owes an answer.
const ANSWERED_IN: Duration = Duration::from_millis(1);

/// The least time between two calls that leave because they have waited long enough.
const APART: Duration = Duration::from_millis(1);

/// Where a call stands, and the far end that its INVITE with Replaces is for.
#[derive(Clone, Copy, Debug)]
struct Standing {
    place: Position,
    far: Option<FarEndId>,
}

/// A node that calls move to, and its weight.
pub type Home = (NodeId, u64);

#[derive(Debug)]
struct Target {
    window: Window,
    /// INVITEs without any answer yet, and when they left.
    owed: BTreeMap<(CallKey, u32), Time>,
    /// Where its share of the calls begins: random, so that small moves are spread too.
    start: u64,
    /// How many calls it got.
    served: u64,
}

/// The line of waiting calls and the windows of the nodes that they go to. Nothing of a move is
/// kept once it is over.
#[derive(Debug, Default)]
pub struct Pacing {
    /// Those that leave as soon as a node has room; those whose far end is full wait apart, so that
    /// nobody has to look past them.
    line: BTreeMap<Position, CallKey>,
    places: BTreeMap<CallKey, Standing>,
    next: u64,
    pub far_ends: FarEnds,
    targets: BTreeMap<NodeId, Target>,
    /// Something happened that may let a call leave.
    stirred: bool,
    /// The latest time that was given to a call that waits for its next attempt.
    latest: Time,
}

impl Pacing {
    /// Puts a call into the line; one that is there keeps its place. Its INVITE asks `far` to
    /// replace a dialog, or nobody.
    pub fn line_up(&mut self, rank: Rank, key: CallKey, far: Option<FarEndId>) {
        if !self.places.contains_key(&key) {
            let place = (rank, self.next);
            self.next += 1;
            self.line.insert(place, key);
            self.places.insert(key, Standing { place, far });
            far.into_iter().for_each(|far| self.far_ends.ready(far));
        }
        self.stirred = true;
    }

    /// Whether the far end of a call in the line owes as much as it may.
    pub fn is_held(&self, key: CallKey) -> bool {
        let far = self.places.get(&key).and_then(|standing| standing.far);
        far.is_some_and(|far| self.far_ends.is_full(far))
    }

    /// The call waits for its far end.
    pub fn park(&mut self, key: CallKey) {
        if let Some(&Standing {
            place,
            far: Some(far),
        }) = self.places.get(&key)
            && self.line.remove(&place).is_some()
        {
            self.far_ends.park(far, place, key);
        }
    }

    /// A far end owes less, or one of its calls has left the line: others of it may follow.
    fn recall(&mut self, far: FarEndId) {
        while let Some((place, key)) = self.far_ends.recall(far) {
            self.line.insert(place, key);
            self.stirred = true;
        }
    }

    /// The far end's final answer came.
    pub fn final_answer(&mut self, now: Time, attempt: Attempt, accepted: bool) {
        let far = self.far_ends.answered(now, attempt, accepted);
        far.into_iter().for_each(|far| self.recall(far));
    }

    /// It will never come.
    pub fn no_final_answer(&mut self, attempt: Attempt) {
        let far = self.far_ends.release(attempt);
        far.into_iter().for_each(|far| self.recall(far));
    }

    /// Attempts without a final answer give up their places after a while.
    pub fn far_ends_due(&mut self, now: Time) {
        while let Some(far) = self.far_ends.expire(now) {
            self.recall(far);
        }
    }

    /// Takes a call out of the line; whether it was there.
    pub fn leave(&mut self, key: CallKey) -> bool {
        let Some(Standing { place, far }) = self.places.remove(&key) else {
            return false;
        };
        let ready = self.line.remove(&place).is_some();
        if let Some(far) = far {
            if ready {
                self.far_ends.unready(far);
            } else {
                self.far_ends.unpark(far, place);
            }
            self.recall(far);
        }
        true
    }

    /// When a call that waits for its next attempt leaves at the latest: not all at once where all
    /// began to wait at once.
    pub fn latest(&mut self, at: Time) -> Time {
        self.latest = at.max(self.latest + APART);
        self.latest
    }

    /// The first call behind `place`, or the very first.
    pub fn behind(&self, place: Option<Position>) -> Option<(Position, CallKey)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = place.map_or(Unbounded, Excluded);
        let mut behind = self.line.range((from, Unbounded));
        behind.next().map(|(&place, &key)| (place, key))
    }

    /// A node lives again, or something else changed for those who wait.
    pub fn stir(&mut self) {
        self.stirred = true;
    }

    /// Whether something happened since the last time that may let a call leave.
    pub fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred) && !self.line.is_empty()
    }

    /// Whether one of `homes` bears one more INVITE.
    pub fn has_room(&mut self, now: Time, homes: &[Home], bounds: &Bounds) -> bool {
        homes
            .iter()
            .any(|&(node, _)| self.node_has_room(now, node, bounds))
    }

    fn node_has_room(&mut self, now: Time, node: NodeId, bounds: &Bounds) -> bool {
        let Some(target) = self.targets.get_mut(&node) else {
            return bounds.first > 0;
        };
        if target.owed.len() < target.window.size() {
            return true;
        }
        target.owed.retain(|_, sent| now.since(*sent) < OWED_MAX);
        target.owed.len() < target.window.size()
    }

    /// The node among `homes` whose turn it is: those with room first, and of them each as often
    /// as its weight says, evenly interleaved (spec: X23).
    pub fn choose(
        &mut self,
        now: Time,
        homes: &[Home],
        tokens: &mut Tokens,
        bounds: &Bounds,
    ) -> Option<NodeId> {
        let mut turn = None;
        for &(node, weight) in homes {
            let full = !self.node_has_room(now, node, bounds);
            let target = self.targets.entry(node).or_insert_with(|| Target {
                window: Window::new(bounds),
                owed: BTreeMap::new(),
                start: tokens.below(1 << 20),
                served: 0,
            });
            // The n-th call of a node stands at (n + a random start) / weight on one line.
            let at = ((target.served << 20) + target.start) / weight.max(1);
            if turn.is_none_or(|first| (full, at, node) < first) {
                turn = Some((full, at, node));
            }
        }
        turn.map(|(_, _, node)| node)
    }

    /// The INVITE of a call left for `node`.
    pub fn sent(&mut self, now: Time, node: NodeId, key: CallKey, epoch: u32) {
        if let Some(target) = self.targets.get_mut(&node) {
            target.owed.insert((key, epoch), now);
            target.served += 1;
        }
    }

    /// The first answer came, `refused` for want of room or not.
    pub fn answered(
        &mut self,
        now: Time,
        node: NodeId,
        attempt: (CallKey, u32),
        refused: bool,
        bounds: &Bounds,
    ) {
        let Some(target) = self.targets.get_mut(&node) else {
            return;
        };
        if let Some(sent) = target.owed.remove(&attempt) {
            let took = now.since(sent);
            if refused {
                target.window.overloaded(now, took);
            } else {
                target.window.answered(now, took, bounds);
            }
            self.settle();
        }
    }

    /// Nothing came for as long as `patience`.
    pub fn unanswered(
        &mut self,
        now: Time,
        node: NodeId,
        attempt: (CallKey, u32),
        patience: Duration,
    ) {
        if let Some(target) = self.targets.get_mut(&node)
            && target.owed.remove(&attempt).is_some()
        {
            target.window.overloaded(now, patience);
            self.settle();
        }
    }

    /// What became of the INVITE does not matter any more.
    pub fn forget(&mut self, node: NodeId, attempt: (CallKey, u32)) {
        if let Some(target) = self.targets.get_mut(&node)
            && target.owed.remove(&attempt).is_some()
        {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.stirred = true;
        self.tidy();
    }

    /// A node was chosen, and its INVITE could not leave.
    pub fn tidy(&mut self) {
        if self.places.is_empty() {
            self.targets.retain(|_, target| !target.owed.is_empty());
        }
    }

    /// How long answers of `node` take of late; zero where none is known.
    pub fn answer_time(&self, node: NodeId) -> Duration {
        let target = self.targets.get(&node);
        target.map_or(Duration::ZERO, |target| target.window.answer_time())
    }

    /// The timers of an INVITE to `node`: a survivor that is slow while all calls of another come
    /// upon it is not sent everything twice. Before its first answer that is guessed from how many
    /// it owes.
    pub fn timers(&self, node: NodeId, timers: Timers) -> Timers {
        let most = Timers::default().t1.max(timers.t1);
        let owed = self
            .targets
            .get(&node)
            .map_or(0, |target| target.owed.len());
        let waits = ANSWERED_IN * u32::try_from(owed).unwrap_or(u32::MAX);
        let t1 = (self.answer_time(node) * 2)
            .max(waits)
            .min(most)
            .max(timers.t1);
        Timers { t1, ..timers }
    }

    /// How many calls wait.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether a call waits.
    #[cfg(test)]
    pub fn stands(&self, key: CallKey) -> bool {
        self.places.contains_key(&key)
    }

    /// Whether nothing is left.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
            && self.places.is_empty()
            && self.targets.is_empty()
            && self.far_ends.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        first: 4,
        most: 64,
        slow: Duration::from_millis(30),
    };

    fn keys(count: usize) -> Vec<CallKey> {
        let mut calls = slotmap::SlotMap::<CallKey, ()>::with_key();
        (0..count).map(|_| calls.insert(())).collect()
    }

    fn send(pacing: &mut Pacing, homes: &[Home], key: CallKey) -> NodeId {
        let mut tokens = Tokens::new([3; 32]);
        let node = pacing.choose(Time::ZERO, homes, &mut tokens, &BOUNDS);
        let node = node.expect("a home");
        pacing.sent(Time::ZERO, node, key, 1);
        node
    }

    // spec: X23
    #[test]
    fn shares_follow_the_weights_in_every_part_of_the_move() {
        let homes = [(NodeId(1), 50), (NodeId(2), 25), (NodeId(3), 1)];
        let mut pacing = Pacing::default();
        let mut got = Vec::new();
        for key in keys(300) {
            let node = send(&mut pacing, &homes, key);
            pacing.answered(Time::ZERO, node, (key, 1), false, &BOUNDS);
            pacing.line_up(Rank::Up, key, None);
            got.push(node);
        }
        let share = |part: &[NodeId], n| part.iter().filter(|id| **id == NodeId(n)).count();
        assert!((195..=199).contains(&share(&got, 1)), "{}", share(&got, 1));
        assert!((97..=100).contains(&share(&got, 2)), "{}", share(&got, 2));
        let even = |part: &[NodeId]| (18..=21).contains(&share(part, 1));
        assert!(got.chunks(30).all(even), "{got:?}");
    }

    // spec: X23
    #[test]
    fn a_node_that_owes_answers_gets_no_more_while_another_has_room() {
        let homes = [(NodeId(1), 90), (NodeId(2), 10)];
        let mut pacing = Pacing::default();
        let keys = keys(9);
        let mut counts = BTreeMap::new();
        for &key in &keys[..8] {
            assert!(pacing.has_room(Time::ZERO, &homes, &BOUNDS));
            *counts.entry(send(&mut pacing, &homes, key)).or_insert(0) += 1;
        }
        assert_eq!(counts[&NodeId(1)], 4, "{counts:?}");
        assert!(!pacing.has_room(Time::ZERO, &homes, &BOUNDS));
        pacing.answered(Time::ZERO, NodeId(2), (keys[8], 1), false, &BOUNDS);
        assert!(!pacing.has_room(Time::ZERO, &homes, &BOUNDS), "not its own");
        assert!(pacing.has_room(Time::ZERO + OWED_MAX, &homes, &BOUNDS));
    }

    // spec: X23
    #[test]
    fn emergencies_leave_first_and_each_call_stands_in_line_once() {
        let mut pacing = Pacing::default();
        let keys = keys(4);
        pacing.line_up(Rank::Up, keys[0], None);
        pacing.line_up(Rank::Again, keys[1], None);
        pacing.line_up(Rank::Emergency, keys[2], None);
        pacing.line_up(Rank::Emergency, keys[0], None);
        let mut order = Vec::new();
        while let Some((_, key)) = pacing.behind(None) {
            order.push(key);
            assert!(pacing.leave(key) && !pacing.leave(key));
        }
        assert_eq!(order, [keys[2], keys[1], keys[0]]);
    }

    /// Who leaves, in order, until all that are left wait for their far ends.
    fn leave_all(pacing: &mut Pacing, now: Time, epoch: u32) -> Vec<CallKey> {
        let mut left = Vec::new();
        while let Some((_, key)) = pacing.behind(None) {
            if pacing.is_held(key) {
                pacing.park(key);
                continue;
            }
            let far = pacing.places[&key].far;
            pacing.leave(key);
            if let Some(far) = far {
                pacing.far_ends.sent(now, far, NodeId(1), (key, epoch));
            }
            left.push(key);
        }
        left
    }

    /// A thousand calls of one far end stand before those of another.
    // spec: X57
    #[test]
    fn calls_of_a_full_far_end_stand_in_nobodys_way_and_leave_in_order() {
        let mut pacing = Pacing::default();
        let far = |pacing: &mut Pacing, address: &str, product: &[u8]| {
            let address = address.parse().unwrap();
            let told = holdline_wire::header::InstanceFarEnd::new(address, Some(product), None);
            pacing.far_ends.seat(FarEndId::default(), &told)
        };
        let pbx = far(&mut pacing, "10.0.0.3:5060", b"Asterisk");
        let phones = far(&mut pacing, "10.0.0.4:5060", b"phone");
        let keys = keys(1004);
        for &key in &keys[..1000] {
            pacing.line_up(Rank::Up, key, Some(pbx));
        }
        pacing.line_up(Rank::Up, keys[1000], Some(phones));
        pacing.line_up(Rank::Setup, keys[1001], None);
        let now = Time::ZERO;
        assert_eq!(
            leave_all(&mut pacing, now, 1),
            [keys[0], keys[1000], keys[1001]]
        );
        // An emergency call that comes later goes first; one that hung up is passed over.
        pacing.line_up(Rank::Emergency, keys[1002], Some(pbx));
        assert!(leave_all(&mut pacing, now, 1).is_empty());
        pacing.final_answer(now, (keys[0], 1), true);
        assert_eq!(leave_all(&mut pacing, now, 1), [keys[1002]]);
        pacing.leave(keys[1]);
        pacing.final_answer(now, (keys[1002], 1), false);
        assert!(pacing.take_stirred());
        assert_eq!(leave_all(&mut pacing, now, 1), [keys[2]]);
        // The one that was called back to the line hangs up: the next one follows.
        pacing.final_answer(now, (keys[2], 1), true);
        pacing.leave(keys[3]);
        assert_eq!(leave_all(&mut pacing, now, 1), [keys[4]]);
        // Its answer is lost.
        pacing.far_ends_due(now + Duration::from_secs(2));
        assert_eq!(leave_all(&mut pacing, now, 1), [keys[5]]);
    }

    // spec: X23
    #[test]
    fn nothing_is_kept_of_a_move_that_is_over() {
        let homes = [(NodeId(1), 1), (NodeId(2), 1)];
        let mut pacing = Pacing::default();
        let keys = keys(3);
        let nodes: Vec<_> = keys
            .iter()
            .map(|&key| send(&mut pacing, &homes, key))
            .collect();
        pacing.answered(Time::ZERO, nodes[0], (keys[0], 1), true, &BOUNDS);
        pacing.unanswered(Time::ZERO, nodes[1], (keys[1], 1), BOUNDS.slow);
        assert!(!pacing.is_empty());
        pacing.forget(nodes[2], (keys[2], 1));
        assert!(pacing.is_empty());
    }
}
