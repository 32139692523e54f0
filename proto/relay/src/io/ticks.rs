//! When a thread makes its next regular report.

use holdline_wire::Time;
use std::time::Duration;

/// How soon after a refusal the next one is: whether anything else is heard of the group decides.
const AFTER_REFUSAL: Duration = Duration::from_millis(4);

/// The ticks of one thread.
#[derive(Debug)]
pub(super) struct Ticks {
    /// Time between two; none where nobody reads them.
    every: Option<Duration>,
    /// Whether they stop while there is no stream: an idle program sleeps.
    pauses: bool,
    due: Option<Time>,
}

impl Ticks {
    /// None is due before [`Ticks::begin`].
    pub(super) fn new(every: Option<Duration>, pauses: bool) -> Ticks {
        Ticks {
            every,
            pauses,
            due: None,
        }
    }

    /// The thread begins, without a stream.
    pub(super) fn begin(&mut self, now: Time) {
        if !self.pauses {
            self.resume(now);
        }
    }

    /// There is a stream: a pause, if it was one, is over.
    pub(super) fn resume(&mut self, now: Time) {
        self.due = self.due.or(self.from(now));
    }

    /// Something was refused.
    pub(super) fn hurry(&mut self, now: Time) {
        self.due = self.due.map(|due| due.min(now + AFTER_REFUSAL));
    }

    /// When the next one is.
    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }

    /// The one that was due is made at `now`; whether there is a stream.
    pub(super) fn made(&mut self, now: Time, has_stream: bool) {
        let due = self.due.take();
        if self.pauses && !has_stream {
            return;
        }
        let next = due.and_then(|due| self.from(due));
        // After a long turn the ticks that were missed are not made up for.
        self.due = next.filter(|next| *next > now).or(self.from(now));
    }

    fn from(&self, time: Time) -> Option<Time> {
        Some(time + self.every?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn ticks_keep_their_rhythm_and_are_not_made_up_for() {
        let mut ticks = Ticks::new(Some(Duration::from_millis(10)), true);
        ticks.begin(at(1));
        assert_eq!(ticks.due(), None, "there is no stream");
        ticks.resume(at(5));
        ticks.resume(at(6));
        assert_eq!(ticks.due(), Some(at(15)));
        ticks.made(at(17), true);
        assert_eq!(ticks.due(), Some(at(25)));
        ticks.made(at(48), true);
        assert_eq!(ticks.due(), Some(at(58)));
        ticks.hurry(at(50));
        assert_eq!(ticks.due(), Some(at(54)));
        ticks.hurry(at(52));
        assert_eq!(ticks.due(), Some(at(54)));
        ticks.made(at(54), false);
        assert_eq!(ticks.due(), None);
    }

    #[test]
    fn one_of_several_threads_never_pauses_and_nobody_need_listen() {
        let mut ticks = Ticks::new(Some(Duration::from_millis(10)), false);
        ticks.begin(at(1));
        ticks.made(at(11), false);
        assert_eq!(ticks.due(), Some(at(21)));
        let mut ticks = Ticks::new(None, false);
        ticks.begin(at(1));
        ticks.resume(at(2));
        ticks.hurry(at(3));
        assert_eq!(ticks.due(), None);
    }
}
