//! Which media ports are free. Pairs: RTP on the even port, RTCP on the odd one after it
//! (RFC 3550 section 11).

use crate::command::StreamId;
use holdline_wire::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// How long a freed pair waits at most for the relay's word that its sockets are closed
/// ([`Ports::closed`]): the word may be lost with the thread, the pair must not.
const REST: Duration = Duration::from_secs(5);
/// How long a pair that another socket has is left alone.
const ASIDE: Duration = Duration::from_secs(60);

/// What a pair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Used,
    /// In use by a call that could not open it.
    Bad,
    /// A move left it, and keeps it for an attempt that may still be answered.
    Left,
    /// The same, and its sockets are closed.
    Shut,
    /// Given back at this time; its sockets may still be open.
    Resting(Time),
    /// Another socket had it at this time.
    Aside(Time),
}

/// The port pairs of one program and the numbers of its streams. A freed pair is given out again
/// once its sockets are closed, which is done by another thread, and then the last of all: late
/// packets for its last call find nobody for as long as possible (spec: X51).
#[derive(Debug)]
pub struct Ports {
    first: u16,
    states: Vec<State>,
    /// In the order in which they are given out. This line and the next two may name a pair that
    /// has become something else: its state decides.
    free: VecDeque<u16>,
    resting: VecDeque<u16>,
    aside: VecDeque<u16>,
    count: Count,
    now: Time,
    next_stream: u64,
}

/// How many pairs are what.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    free: usize,
    resting: usize,
    aside: usize,
}

impl Ports {
    /// The pairs within `first..=last`.
    pub fn new(first: u16, last: u16) -> Ports {
        let even = u32::from(first).next_multiple_of(2);
        let free: VecDeque<u16> = (even..u32::from(last))
            .step_by(2)
            .filter_map(|port| u16::try_from(port).ok())
            .collect();
        Ports {
            first: free.front().copied().unwrap_or(first),
            states: vec![State::Free; free.len()],
            count: Count {
                free: free.len(),
                ..Count::default()
            },
            free,
            resting: VecDeque::new(),
            aside: VecDeque::new(),
            now: Time::ZERO,
            next_stream: 1,
        }
    }

    /// The time is `now`: pairs that have rested or were left alone for long enough are free.
    pub fn pass(&mut self, now: Time) {
        self.now = now;
        while let Some(&port) = self.resting.front() {
            match self.state(port) {
                Some(State::Resting(since)) if now.since(since) < REST => break,
                Some(State::Resting(_)) => self.free_again(port),
                _ => {}
            }
            self.resting.pop_front();
        }
        while let Some(&port) = self.aside.front() {
            match self.state(port) {
                Some(State::Aside(since)) if now.since(since) < ASIDE => break,
                Some(State::Aside(_)) => self.free_again(port),
                _ => {}
            }
            self.aside.pop_front();
        }
    }

    /// Takes a pair, named by its even port.
    pub fn take(&mut self) -> Option<u16> {
        while let Some(port) = self.free.pop_front() {
            if self.state(port) == Some(State::Free) {
                self.set(port, State::Used);
                return Some(port);
            }
        }
        None
    }

    /// Gives a pair back of which the relay was never told.
    pub(super) fn untake(&mut self, port: u16) {
        if self.state(port) == Some(State::Used) {
            self.set(port, State::Free);
            self.free.push_front(port);
        }
    }

    /// Gives a pair back whose sockets the relay was told to close.
    pub fn put(&mut self, port: u16) {
        match self.state(port) {
            Some(State::Shut) => self.free_again(port),
            Some(State::Bad) => self.leave_out(port),
            Some(State::Used | State::Left) => {
                self.set(port, State::Resting(self.now));
                self.resting.push_back(port);
            }
            _ => {}
        }
    }

    /// A move closes the pair's sockets and keeps the pair.
    pub(super) fn leave(&mut self, port: u16) {
        if self.state(port) == Some(State::Used) {
            self.set(port, State::Left);
        }
    }

    /// A call returns to a pair that it had left.
    pub(super) fn back(&mut self, port: u16) {
        if let Some(State::Left | State::Shut) = self.state(port) {
            self.set(port, State::Used);
        }
    }

    /// The relay has closed the pair's sockets.
    pub fn closed(&mut self, port: u16) {
        match self.state(port) {
            Some(State::Resting(_)) => self.free_again(port),
            Some(State::Left) => self.set(port, State::Shut),
            _ => {}
        }
    }

    /// Another socket has one of the pair's ports: it is not given out for a while.
    pub fn taken_by_another(&mut self, port: u16) {
        match self.state(port) {
            Some(State::Used | State::Left | State::Shut) => self.set(port, State::Bad),
            Some(State::Free | State::Resting(_)) => self.leave_out(port),
            _ => {}
        }
    }

    /// Whether a call that has the pair could open it, as far as is known.
    pub(super) fn is_sound(&self, port: u16) -> bool {
        self.state(port).is_some_and(|state| state != State::Bad)
    }

    /// How many pairs are in use, and how many there are.
    pub fn usage(&self) -> (usize, usize) {
        let Count {
            free,
            resting,
            aside,
        } = self.count;
        let total = self.states.len();
        (total - free - resting - aside, total)
    }

    /// How many pairs can be taken now.
    pub fn available(&self) -> usize {
        self.count.free
    }

    /// How many pairs there are that no other socket has.
    pub fn usable(&self) -> usize {
        self.states.len() - self.count.aside
    }

    /// A stream number that was never used.
    pub fn stream(&mut self) -> StreamId {
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        id
    }

    fn index(&self, port: u16) -> Option<usize> {
        let offset = port.checked_sub(self.first)?;
        let index = usize::from(offset / 2);
        (offset.is_multiple_of(2) && index < self.states.len()).then_some(index)
    }

    fn state(&self, port: u16) -> Option<State> {
        self.index(port).map(|index| self.states[index])
    }

    fn free_again(&mut self, port: u16) {
        self.set(port, State::Free);
        self.free.push_back(port);
    }

    fn leave_out(&mut self, port: u16) {
        self.set(port, State::Aside(self.now));
        self.aside.push_back(port);
    }

    fn set(&mut self, port: u16, state: State) {
        if let Some(index) = self.index(port) {
            let before = std::mem::replace(&mut self.states[index], state);
            if let Some(count) = self.count.of(before) {
                *count -= 1;
            }
            if let Some(count) = self.count.of(state) {
                *count += 1;
            }
        }
    }
}

impl Count {
    fn of(&mut self, state: State) -> Option<&mut usize> {
        match state {
            State::Free => Some(&mut self.free),
            State::Resting(_) => Some(&mut self.resting),
            State::Aside(_) => Some(&mut self.aside),
            State::Used | State::Bad | State::Left | State::Shut => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn all(ports: &mut Ports) -> Vec<u16> {
        std::iter::from_fn(|| ports.take()).collect()
    }

    #[test]
    fn pairs_are_even_and_come_back_last() {
        let mut ports = Ports::new(20_001, 20_009);
        assert_eq!(all(&mut ports), [20_002, 20_004, 20_006, 20_008]);
        assert_eq!(ports.usage(), (4, 4));
        ports.put(20_006);
        ports.put(20_002);
        ports.closed(20_002);
        ports.closed(20_006);
        assert_eq!(all(&mut ports), [20_002, 20_006]);
        assert_ne!(ports.stream(), ports.stream());
        for stranger in [20_000, 20_003, 20_010, 0, 65_535] {
            ports.put(stranger);
            ports.closed(stranger);
            ports.taken_by_another(stranger);
        }
        assert_eq!((ports.usage(), ports.take()), ((4, 4), None));
    }

    // spec: X51
    #[test]
    fn a_freed_pair_is_given_out_when_its_sockets_are_closed_and_no_sooner() {
        let mut ports = Ports::new(20_000, 20_001);
        let port = ports.take().unwrap();
        ports.put(port);
        assert_eq!((ports.usage(), ports.take()), ((0, 1), None));
        ports.closed(port);
        assert_eq!(ports.take(), Some(port));
        // The word was lost: it is not waited for for ever.
        ports.pass(at(1));
        ports.put(port);
        ports.pass(at(5));
        assert_eq!(ports.take(), None);
        ports.pass(at(6));
        assert_eq!(ports.take(), Some(port));
        // One of which the relay never heard is free at once.
        ports.untake(port);
        assert_eq!(ports.available(), 1);
    }

    // spec: X51
    #[test]
    fn a_pair_that_a_move_keeps_is_not_free_when_its_sockets_are_closed() {
        let mut ports = Ports::new(20_000, 20_003);
        let (kept, other) = (ports.take().unwrap(), ports.take().unwrap());
        ports.leave(kept);
        ports.closed(kept);
        assert_eq!((ports.usage(), ports.take()), ((2, 2), None));
        ports.put(kept);
        assert_eq!(ports.take(), Some(kept), "it was closed before");
        ports.leave(other);
        ports.back(other);
        // The word about the first closing comes after it was opened again.
        ports.closed(other);
        ports.put(other);
        assert_eq!(ports.take(), None);
    }

    // spec: X51
    #[test]
    fn a_pair_that_another_socket_has_is_left_alone_for_a_while() {
        let mut ports = Ports::new(20_000, 20_005);
        // Known from the start.
        ports.taken_by_another(20_002);
        assert_eq!((ports.available(), ports.usable()), (2, 2));
        let used = ports.take().unwrap();
        ports.taken_by_another(used);
        assert!(!ports.is_sound(used));
        assert_eq!((ports.usage(), ports.take()), ((1, 3), Some(20_004)));
        ports.put(used);
        ports.closed(used);
        assert_eq!((ports.usage(), ports.take()), ((1, 3), None));
        ports.pass(at(59));
        assert_eq!(ports.take(), None);
        ports.pass(at(60));
        assert_eq!(all(&mut ports), [20_002, used]);
        assert!(ports.is_sound(used));
    }
}
