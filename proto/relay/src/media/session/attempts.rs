//! The attempts to move a call: the one under way, and those before it that may still be answered
//! and so keep their far ports. Each is named by the session id of its offer.

use crate::command::StreamId;
use crate::media::pool::Ports;

/// The far port of each stream.
pub(super) type FarPorts = Vec<(StreamId, u16)>;

/// The attempts of one call.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// The one under way.
    current: Option<u64>,
    /// Whether it may still be answered.
    awaited: bool,
    /// Those before it that may.
    parked: Vec<Parked>,
}

#[derive(Debug)]
struct Parked {
    session: u64,
    ports: FarPorts,
}

impl Attempts {
    /// Whether one is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.current.is_some()
    }

    /// Whether the one under way may still be answered, and so needs its ports.
    pub(super) fn is_awaited(&self) -> bool {
        self.current.is_some() && self.awaited
    }

    /// Another one begins, by the ports `fresh`. The ports that it leaves are kept where they may
    /// still be answered, else free.
    pub(super) fn begin(
        &mut self,
        session: u64,
        ports: &mut Ports,
        left: FarPorts,
        fresh: &[(StreamId, u16)],
    ) {
        match self.current.filter(|_| self.awaited) {
            Some(session) => {
                left.iter().for_each(|(_, port)| ports.leave(*port));
                self.park(session, left);
            }
            None => free(left.into_iter().filter(|old| !fresh.contains(old)), ports),
        }
        (self.current, self.awaited) = (Some(session), true);
    }

    /// Takes the ports of one before that is in charge again.
    pub(super) fn take(&mut self, session: u64) -> Option<FarPorts> {
        let mut parked = self.parked.iter();
        let index = parked.position(|parked| parked.session == session)?;
        Some(self.parked.swap_remove(index).ports)
    }

    /// The one before is in charge again; the one that was keeps its ports.
    pub(super) fn go_back(&mut self, session: u64, left: FarPorts) {
        let before = self.current.replace(session).unwrap_or_default();
        self.awaited = true;
        self.park(before, left);
    }

    fn park(&mut self, session: u64, ports: FarPorts) {
        self.parked.push(Parked { session, ports });
    }

    /// Only the `live` ones may still be answered: the ports of the others before this one are
    /// free.
    pub(super) fn keep(&mut self, ports: &mut Ports, live: impl Fn(u64) -> bool) {
        self.awaited = self.current.is_some_and(&live);
        let is_over = |parked: &mut Parked| !live(parked.session);
        for parked in self.parked.extract_if(.., is_over) {
            free(parked.ports, ports);
        }
    }

    /// None is under way any more, and none can be answered.
    pub(super) fn end(&mut self, ports: &mut Ports) {
        (self.current, self.awaited) = (None, false);
        for parked in self.parked.drain(..) {
            free(parked.ports, ports);
        }
    }
}

fn free(far: impl IntoIterator<Item = (StreamId, u16)>, ports: &mut Ports) {
    far.into_iter().for_each(|(_, port)| ports.put(port));
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: X24 X51
    #[test]
    fn an_attempt_keeps_its_ports_while_it_may_be_answered() {
        let mut ports = Ports::new(20_000, 20_009);
        let mut attempts = Attempts::default();
        let far = |ports: &mut Ports| vec![(StreamId(1), ports.take().unwrap())];
        let (first, second, third) = (far(&mut ports), far(&mut ports), far(&mut ports));
        attempts.begin(1, &mut ports, first, &second);
        assert!(attempts.is_under_way() && attempts.is_awaited());
        assert_eq!(ports.usage().0, 2, "before the first attempt is none");
        attempts.begin(2, &mut ports, second.clone(), &third);
        assert_eq!(ports.usage().0, 2, "the first one may be answered");
        assert_eq!(attempts.take(1), Some(second.clone()));
        assert_eq!(attempts.take(1), None);
        attempts.go_back(1, third);
        attempts.keep(&mut ports, |session| session == 1);
        assert_eq!(ports.usage().0, 1);
        attempts.keep(&mut ports, |_| false);
        assert!(attempts.is_under_way() && !attempts.is_awaited());
        let fourth = far(&mut ports);
        attempts.begin(4, &mut ports, second, &fourth);
        assert_eq!(ports.usage().0, 1, "nobody answers the first one any more");
        attempts.end(&mut ports);
        assert!(!attempts.is_under_way());
    }
}
