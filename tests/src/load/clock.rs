//! The clocks: one origin for the user agents, the marks and the report.

use holdline_wire::Time;
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Two clocks read within this time count as read at once.
const TOGETHER: Duration = Duration::from_micros(10);
const TRIES: usize = 5;

/// Reads CLOCK_MONOTONIC and CLOCK_REALTIME; [`Time`] counts from its making.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Duration,
}

/// One moment on both clocks, nanoseconds as the kernel counts them.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Stamp {
    /// CLOCK_REALTIME.
    pub realtime_ns: u64,
    /// CLOCK_MONOTONIC.
    pub monotonic_ns: u64,
}

fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Default for Clock {
    fn default() -> Clock {
        Clock {
            origin: read(ClockId::CLOCK_MONOTONIC),
        }
    }
}

impl Clock {
    /// Now, since the clock was made.
    pub fn now(&self) -> Time {
        Time::from_nanos(nanos(
            read(ClockId::CLOCK_MONOTONIC).saturating_sub(self.origin),
        ))
    }

    /// The moment `stamp`, since the clock was made.
    pub fn at(&self, stamp: &Stamp) -> Time {
        Time::from_nanos(stamp.monotonic_ns.saturating_sub(nanos(self.origin)))
    }

    /// Now on both clocks. Who is interrupted between the two reads tries again.
    pub fn stamp(&self) -> Stamp {
        let mut best = (Duration::MAX, Duration::ZERO, Duration::ZERO);
        for _ in 0..TRIES {
            let before = read(ClockId::CLOCK_MONOTONIC);
            let realtime = read(ClockId::CLOCK_REALTIME);
            let took = read(ClockId::CLOCK_MONOTONIC).saturating_sub(before);
            if took < best.0 {
                best = (took, realtime, before + took / 2);
            }
            if took < TOGETHER {
                break;
            }
        }
        Stamp {
            realtime_ns: nanos(best.1),
            monotonic_ns: nanos(best.2),
        }
    }
}
