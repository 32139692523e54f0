//! How densely the packets of all streams of a node come, so that a few milliseconds without any
//! can mean something.

use holdline_wire::Time;
use std::time::Duration;

/// The rate is that of the last whole stretch of this length.
const STRETCH: Duration = Duration::from_millis(100);

/// How many packets come in a time, and how long the pauses between two of them usually are.
#[derive(Clone, Debug, Default)]
pub(super) struct Rhythm {
    /// Where the stretch began that is being counted, and what came since.
    begun: Option<Time>,
    packets: u32,
    /// Packets a second in the stretch before; zero before the first is over.
    rate: f64,
    /// The longest pause of a tick, smoothed, and its mean deviation (as in RFC 6298 section 2).
    pause: Duration,
    spread: Duration,
}

impl Rhythm {
    /// So many packets came in a tick, the newest at `newest`, `pause` the longest time without one.
    pub fn heard(&mut self, newest: Time, packets: u32, pause: Duration) {
        let begun = *self.begun.get_or_insert(newest);
        self.packets = self.packets.saturating_add(packets);
        let length = newest.since(begun);
        if length >= STRETCH {
            self.rate = f64::from(self.packets) / length.as_secs_f64();
            (self.begun, self.packets) = (Some(newest), 0);
        }
        self.spread = (self.spread * 7 + self.pause.abs_diff(pause)) / 8;
        self.pause = (self.pause * 7 + pause) / 8;
    }

    /// How many packets should have come in a `silence`; none if it is no longer than a pause that
    /// is not unusual.
    pub fn missing(&self, silence: Duration) -> u32 {
        if silence <= self.pause + self.spread * 4 {
            return 0;
        }
        // Saturates where a silence is absurdly long.
        (self.rate * silence.as_secs_f64()) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn after(ticks: u64, packets: u32, pause: impl Fn(u64) -> Duration) -> Rhythm {
        let mut rhythm = Rhythm::default();
        for n in 1..=ticks {
            rhythm.heard(Time::ZERO + ms(10 * n), packets, pause(n));
        }
        rhythm
    }

    // spec: X20
    #[test]
    fn packets_are_missed_by_the_rate_that_they_had() {
        let rhythm = after(100, 35, |_| Duration::from_micros(600));
        let missing: Vec<_> = [0, 1, 4, 40].map(|n| rhythm.missing(ms(n))).into();
        assert_eq!(missing, [0, 3, 14, 140]);
        assert_eq!(after(5, 35, |_| ms(1)).missing(ms(40)), 0, "too young");
    }

    // spec: X20
    #[test]
    fn packets_that_come_in_bursts_are_not_missed_between_two() {
        let rhythm = after(100, 35, |_| ms(9));
        assert_eq!((rhythm.missing(ms(9)), rhythm.missing(ms(12))), (0, 42));
        let uneven = after(100, 35, |n| ms(if n % 2 == 0 { 1 } else { 9 }));
        assert_eq!(uneven.missing(ms(12)), 0);
    }
}
