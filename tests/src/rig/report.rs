//! What a rig reads of the load generator's report.

use serde::Deserialize;
use std::time::{Duration, SystemTime};

/// The time of one packet.
const FRAME: Duration = Duration::from_millis(20);

/// The report; see [`crate::load::Report`] for what each member means.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// Calls placed.
    pub placed: usize,
    /// Calls that were up at both ends.
    pub answered: usize,
    /// Calls that moved.
    pub moved: usize,
    /// Calls kept.
    pub kept: usize,
    /// Calls placed and not kept.
    pub lost: usize,
    /// The largest gaps of moved calls, the worse direction.
    pub gap_moved: Gaps,
    /// Those of the others.
    pub gap_unmoved: Gaps,
    /// Packets with another call's mark.
    pub crosstalk: u64,
    /// The faults.
    pub faults: Vec<Fault>,
    /// Whether gaps may be the tool's own.
    pub tool_was_late: bool,
    /// How late it was: before the first fault, after it ...
    pub lateness: Vec<Lateness>,
    /// The steps at the end, each with the calls that passed it.
    pub steps: Vec<(String, usize)>,
    /// Whether a gap was longer than allowed.
    pub gap_exceeded: bool,
    /// Each call.
    pub calls: Vec<Call>,
}

/// Percentiles of gaps, milliseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Gaps {
    /// How many calls.
    pub count: usize,
    /// Half are at most this.
    pub p50_ms: f64,
    /// 99 % are.
    pub p99_ms: f64,
    /// All are.
    pub max_ms: f64,
}

/// When a fault was caused, on the tool's clock and by the calendar.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Fault {
    /// Since the tool's start.
    pub started_ns: u64,
    /// Since 1970.
    pub started_realtime_ns: u64,
}

/// A call.
#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    /// Its number.
    pub call: u32,
    /// Whether it was kept.
    pub kept: bool,
    /// Why not.
    pub faults: Vec<String>,
    /// Whether it moved.
    pub moved: bool,
    /// How often the callee saw it move.
    pub moves: Vec<serde_json::Value>,
    /// The largest gap of the worse direction, milliseconds.
    pub gap_ms: f64,
    /// What the caller heard.
    pub caller_heard: Option<Hearing>,
    /// What the callee heard.
    pub callee_heard: Option<Hearing>,
}

/// What a listener heard.
#[derive(Clone, Debug, Deserialize)]
pub struct Hearing {
    /// Before the first fault, after it, after the second ...
    pub windows: Vec<Stretch>,
}

/// One stretch between faults.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Stretch {
    /// The largest gap.
    pub largest_gap_ns: u64,
    /// The first silence that a packet or more is missing in.
    pub first_pause: Option<Pause>,
}

/// A silence, since the tool's start.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Pause {
    /// The packet before it.
    pub from_ns: u64,
    /// The packet after it.
    pub until_ns: u64,
}

/// How late the tool was, nanoseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Lateness {
    /// In sending.
    pub send_ns: u64,
    /// In receiving.
    pub receive_ns: u64,
    /// In reading SIP messages.
    pub signalling_ns: u64,
}

impl Report {
    /// A moment of the tool's by the calendar; nothing without a fault.
    pub fn calendar(&self, since_start_ns: u64) -> Option<SystemTime> {
        let fault = self.faults.first()?;
        let start = fault.started_realtime_ns.checked_sub(fault.started_ns)?;
        Some(SystemTime::UNIX_EPOCH + Duration::from_nanos(start + since_start_ns))
    }

    /// When the listeners of calls that moved and were kept heard again after `death`, each call
    /// and direction; those who missed no packet are left out.
    pub fn heard_again(&self, death: SystemTime) -> Vec<SystemTime> {
        let moved = self.calls.iter().filter(|call| call.moved && call.kept);
        let heard = moved.flat_map(|call| call.caller_heard.iter().chain(&call.callee_heard));
        let pauses = heard.filter_map(|heard| heard.windows.get(1)?.first_pause);
        let again = pauses.filter_map(|pause| {
            // One that begins later has another cause.
            let caused = self.calendar(pause.from_ns)? <= death + FRAME;
            self.calendar(pause.until_ns).filter(|_| caused)
        });
        again.collect()
    }

    /// How late the tool was at worst.
    pub fn late(&self) -> Duration {
        worst(&self.lateness)
    }

    /// How late it was at worst since the first fault.
    pub fn late_after_fault(&self) -> Duration {
        worst(self.lateness.get(1..).unwrap_or_default())
    }

    /// Calls that were not kept, with the reasons, for an error message.
    pub fn complaints(&self) -> String {
        let lost = self.calls.iter().filter(|call| !call.kept).take(20);
        lost.map(|call| format!("call {}: {}\n", call.call, call.faults.join("; ")))
            .collect()
    }
}

fn worst(lateness: &[Lateness]) -> Duration {
    let worst = |late: &Lateness| late.send_ns.max(late.receive_ns).max(late.signalling_ns);
    Duration::from_nanos(lateness.iter().map(worst).max().unwrap_or_default())
}
