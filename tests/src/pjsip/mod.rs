//! Real endpoints: the scripts of `tests/endpoints` as child processes.
//!
//! An [`Endpoint`] is a PJSIP user agent, a [`Trace`] watches RTP on the loopback interface, and
//! [`tones`] finds tones in what an endpoint recorded. Times are seconds of CLOCK_MONOTONIC
//! ([`now`]), so that all of them and the test compare.

mod endpoint;
mod event;
mod python;
mod script;
mod tones;
mod trace;

pub use endpoint::{Endpoint, Setup};
pub use event::Event;
pub use python::python;
pub use script::Script;
pub use tones::{Run, Tones, tones};
pub use trace::{ClockStep, Flow, Gap, Step, Trace};

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// What goes wrong, in words.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Seconds of CLOCK_MONOTONIC, the clock of the scripts' events.
pub fn now() -> f64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    now.unwrap_or_default().as_secs_f64()
}

/// Sleeps until that moment of CLOCK_MONOTONIC.
pub fn sleep_until(moment: f64) {
    if let Ok(left) = Duration::try_from_secs_f64(moment - now()) {
        std::thread::sleep(left);
    }
}
