//! The verdict: which calls were kept, and how long a listener heard nothing.

mod judge;
mod print;

pub(super) use judge::judge;

use super::driver::Fault;
use super::hearing::Hearing;
use super::ledger::{Entry, Move};
use super::media::Lateness;
use super::options::MediaMode;
use crate::ua::{CallNumber, Counts};
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// Percentiles of a set of gaps, milliseconds (nearest rank).
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    /// How many values.
    pub count: usize,
    /// Half are at most this.
    pub p50_ms: f64,
    /// 90 % are.
    pub p90_ms: f64,
    /// 99 % are.
    pub p99_ms: f64,
    /// All are.
    pub max_ms: f64,
}

impl Percentiles {
    /// Of `values`.
    pub fn of(values: impl IntoIterator<Item = Duration>) -> Percentiles {
        let mut values: Vec<Duration> = values.into_iter().collect();
        values.sort_unstable();
        let rank = |percent: usize| {
            let at = (values.len() * percent).div_ceil(100).max(1) - 1;
            values.get(at).map_or(0.0, |value| ms(*value))
        };
        Percentiles {
            count: values.len(),
            p50_ms: rank(50),
            p90_ms: rank(90),
            p99_ms: rank(99),
            max_ms: rank(100),
        }
    }
}

fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// One call's verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// Its number.
    pub call: CallNumber,
    /// Whether it was kept.
    pub kept: bool,
    /// Why not.
    pub faults: Vec<String>,
    /// Whether it moved.
    pub moved: bool,
    /// Its moves.
    pub moves: Vec<Move>,
    /// The largest gap of the worse direction after the first fault, milliseconds.
    pub gap_ms: f64,
    /// What the caller heard.
    pub caller_heard: Option<Hearing>,
    /// What the callee heard.
    pub callee_heard: Option<Hearing>,
    /// Live dialogs at the end of the observation, the caller's first.
    pub live_dialogs: [usize; 2],
    /// Live dialogs after the last step.
    pub left_dialogs: [usize; 2],
    /// What the caller's user agent counted up to the end of the observation.
    #[serde(serialize_with = "debug")]
    pub caller_counts: Counts,
    /// What the callee's did, to the end.
    #[serde(serialize_with = "debug")]
    pub callee_counts: Counts,
    /// Times and endings.
    pub story: Entry,
}

fn debug<S: serde::Serializer>(value: &impl fmt::Debug, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&format_args!("{value:?}"))
}

/// Sums over all calls of what X29 forbids at the caller's side.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Breaks {
    /// SSRC changes.
    pub ssrc_changes: u64,
    /// Sequence numbers that did not go on by one.
    pub sequence_jumps: u64,
    /// Timestamps that left the clock.
    pub timestamp_jumps: u64,
    /// re-INVITEs that came.
    pub reinvites: u64,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Calls placed.
    pub placed: usize,
    /// Calls that were up at both ends.
    pub answered: usize,
    /// Calls that moved.
    pub moved: usize,
    /// From the INVITE until both ends were up.
    pub setup: Percentiles,
    /// How fast calls were placed.
    pub placed_per_second: f64,
    /// Who spoke.
    pub media: MediaMode,
    /// Milliseconds of sound in a packet.
    pub ptime_ms: u16,
    /// Calls kept.
    pub kept: usize,
    /// Calls placed and not kept.
    pub lost: usize,
    /// Gaps of moved calls, the worse direction of each.
    pub gap_moved: Percentiles,
    /// Gaps of moved calls as the caller hears them.
    pub gap_moved_caller: Percentiles,
    /// Gaps of moved calls as the callee hears them.
    pub gap_moved_callee: Percentiles,
    /// Gaps of the calls that did not move.
    pub gap_unmoved: Percentiles,
    /// Packets with another call's mark.
    pub crosstalk: u64,
    /// Packets lost after the first fault.
    pub lost_packets: i64,
    /// Second copies.
    pub duplicates: u64,
    /// What the callers noticed (spec: X29).
    pub caller_noticed: Breaks,
    /// All calls up, since the tool's start.
    pub all_up_ns: u64,
    /// The faults.
    pub faults: Vec<Fault>,
    /// What each of them did.
    pub by_fault: Vec<AfterFault>,
    /// The tool's lateness: before the first fault, after it ...
    pub lateness: Vec<Lateness>,
    /// Whether the tool was so late, after the first fault, that gaps may be its own.
    pub tool_was_late: bool,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// RTP packets that the kernel did not take.
    pub packets_unsent: u64,
    /// RTP packets that the tool left out because it was late by more than a packet's time.
    pub packets_skipped: u64,
    /// RTP packets received without the kernel's stamp: their times are the tool's own.
    pub packets_unstamped: u64,
    /// The steps that were exercised, each with the calls that passed it.
    pub steps: Vec<(String, usize)>,
    /// The largest gap allowed, milliseconds.
    pub max_gap_ms: f64,
    /// Whether any call's gap was larger.
    pub gap_exceeded: bool,
    /// Each call.
    pub calls: Vec<Call>,
}

impl Report {
    /// Whether everything held.
    pub fn passed(&self) -> bool {
        self.lost == 0 && !self.gap_exceeded
    }
}

/// The moves after one fault and before the next.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct AfterFault {
    /// Gaps of the calls that moved, the worse direction of each.
    pub gap: Percentiles,
    /// From the start of the fault command until an end saw the move.
    pub seen_after: Percentiles,
}
