//! The verdict: which calls were kept, and how long a listener heard nothing.

use super::driver::{Driver, Fault};
use super::hearing::Hearing;
use super::ledger::{Entry, Move};
use super::mark::Side;
use super::media::Lateness;
use super::options::{Options, Step};
use super::story::Findings;
use crate::ua::{CallNumber, Counts};
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// A listener who heard nothing for so long before the end has lost the call.
const HEARD_TO_END: Duration = Duration::from_millis(500);
/// From here on the tool's own lateness is visible in the gaps.
const LATE: Duration = Duration::from_millis(10);

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
    /// Whether the tool was so late that gaps may be its own.
    pub tool_was_late: bool,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// RTP packets that the kernel did not take.
    pub packets_unsent: u64,
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

fn after_fault(calls: &[Call], faults: &[Fault], n: usize) -> AfterFault {
    let start = faults[n].started_ns;
    let end = faults.get(n + 1).map_or(u64::MAX, |next| next.started_ns);
    let moved = |call: &&Call| first_move(call, start, end).is_some();
    let moved: Vec<&Call> = calls.iter().filter(moved).collect();
    let window = |hearing: &Option<Hearing>| {
        let window = hearing
            .as_ref()
            .and_then(|hearing| hearing.windows.get(n + 1));
        Duration::from_nanos(window.map_or(u64::MAX, |window| window.largest_gap_ns))
    };
    let worse = |call: &&Call| window(&call.caller_heard).max(window(&call.callee_heard));
    let seen =
        |call: &&Call| Duration::from_nanos(first_move(call, start, end).unwrap_or(start) - start);
    AfterFault {
        gap: Percentiles::of(moved.iter().map(worse)),
        seen_after: Percentiles::of(moved.iter().map(seen)),
    }
}

fn first_move(call: &Call, start: u64, end: u64) -> Option<u64> {
    call.moves
        .iter()
        .map(|seen| seen.at_ns)
        .find(|at| (start..end).contains(at))
}

/// Judges a run.
pub(super) fn judge(driver: &Driver, options: &Options, findings: &Findings) -> Report {
    let calls: Vec<Call> = driver
        .ledger
        .iter()
        .map(|(call, entry)| judge_call(driver, findings, call, entry))
        .collect();
    let heard = || {
        calls
            .iter()
            .flat_map(|c| c.caller_heard.iter().chain(&c.callee_heard))
    };
    let gaps = |moved: bool, side: Option<Side>| {
        let calls = calls
            .iter()
            .filter(|call| call.moved == moved && call.story.up_ns.is_some());
        Percentiles::of(calls.map(|call| match side {
            Some(Side::Caller) => gap(&call.caller_heard),
            Some(Side::Callee) => gap(&call.callee_heard),
            None => gap(&call.caller_heard).max(gap(&call.callee_heard)),
        }))
    };
    let kept = calls.iter().filter(|call| call.kept).count();
    let lateness = findings
        .heard
        .as_ref()
        .map(|h| h.lateness.clone())
        .unwrap_or_default();
    let lost_after = |h: &Hearing| h.windows.iter().skip(1).map(|w| w.lost).sum::<i64>();
    let passed = |step: &(Step, std::collections::BTreeMap<_, Result<(), String>>)| {
        (
            format!("{:?}", step.0).to_lowercase(),
            step.1.values().filter(|o| o.is_ok()).count(),
        )
    };
    Report {
        placed: calls.len(),
        answered: driver.ledger.up(),
        moved: calls.iter().filter(|call| call.moved).count(),
        kept,
        lost: calls.len() - kept,
        gap_moved: gaps(true, None),
        gap_moved_caller: gaps(true, Some(Side::Caller)),
        gap_moved_callee: gaps(true, Some(Side::Callee)),
        gap_unmoved: gaps(false, None),
        crosstalk: heard().map(|h| h.crosstalk).sum(),
        lost_packets: heard().map(lost_after).sum(),
        duplicates: heard().map(|h| h.duplicates).sum(),
        caller_noticed: caller_noticed(&calls),
        all_up_ns: findings.all_up_ns,
        by_fault: (0..driver.faults.len())
            .map(|n| after_fault(&calls, &driver.faults, n))
            .collect(),
        faults: driver.faults.clone(),
        tool_was_late: lateness.iter().any(|late| late.worst() > LATE),
        lateness,
        packets_sent: findings.heard.as_ref().map_or(0, |h| h.sent),
        packets_unsent: findings.heard.as_ref().map_or(0, |h| h.unsent),
        steps: findings.steps.iter().map(passed).collect(),
        max_gap_ms: ms(options.max_gap),
        gap_exceeded: calls.iter().any(|call| call.gap_ms > ms(options.max_gap)),
        calls,
    }
}

fn gap(hearing: &Option<Hearing>) -> Duration {
    hearing.as_ref().map_or(Duration::MAX, Hearing::largest_gap)
}

fn caller_noticed(calls: &[Call]) -> Breaks {
    let mut sum = Breaks::default();
    for call in calls {
        sum.reinvites += u64::from(call.caller_counts.reinvites_received);
        if let Some(heard) = &call.caller_heard {
            sum.ssrc_changes += heard.ssrc_changes;
            sum.sequence_jumps += heard.sequence_jumps;
            sum.timestamp_jumps += heard.timestamp_jumps;
        }
    }
    sum
}

fn judge_call(driver: &Driver, findings: &Findings, call: CallNumber, entry: &Entry) -> Call {
    let heard = |side: Side| {
        findings
            .heard
            .as_ref()
            .and_then(|snapshot| snapshot.heard.get(&(call, side)).cloned())
    };
    let (caller_heard, callee_heard) = (heard(Side::Caller), heard(Side::Callee));
    let live_dialogs = findings.live.get(&call).copied().unwrap_or_default();
    let left_dialogs = findings.left.get(&call).copied().unwrap_or_default();
    let mut faults = Vec::new();
    if entry.up_ns.is_none() {
        faults.push("it never was up".to_owned());
    }
    for (who, hearing) in [("caller", &caller_heard), ("callee", &callee_heard)] {
        if !heard_to_end(findings, hearing) {
            faults.push(format!("the {who} hears nothing at the end"));
        }
    }
    if live_dialogs != [1, 1] {
        faults.push(format!(
            "live dialogs: caller {}, callee {}",
            live_dialogs[0], live_dialogs[1]
        ));
    }
    for (step, outcomes) in &findings.steps {
        if let Some(Err(what)) = outcomes.get(&call) {
            faults.push(format!("{}: {what}", format!("{step:?}").to_lowercase()));
        }
    }
    let said_bye = findings.steps.iter().any(|(step, _)| *step == Step::Bye);
    if said_bye && left_dialogs != [0, 0] {
        faults.push(format!(
            "dialogs left after BYE: caller {}, callee {}",
            left_dialogs[0], left_dialogs[1]
        ));
    }
    let callee_counts = driver.end(Side::Callee).ua.counts(call);
    if callee_counts.duplicate_calls > 0 {
        faults.push("the callee got a second call for it".to_owned());
    }
    let worse = [&caller_heard, &callee_heard]
        .into_iter()
        .flatten()
        .map(Hearing::largest_gap);
    Call {
        call,
        kept: faults.is_empty(),
        faults,
        moved: !entry.moves.is_empty(),
        moves: entry.moves.clone(),
        gap_ms: ms(worse.max().unwrap_or_default()),
        caller_heard,
        callee_heard,
        live_dialogs,
        left_dialogs,
        caller_counts: findings
            .caller_counts
            .get(&call)
            .copied()
            .unwrap_or_default(),
        callee_counts,
        story: entry.clone(),
    }
}

fn heard_to_end(findings: &Findings, hearing: &Option<Hearing>) -> bool {
    let (Some(snapshot), Some(hearing)) = (&findings.heard, hearing) else {
        return false;
    };
    hearing
        .last_arrival()
        .is_some_and(|at| snapshot.at.since(at) <= HEARD_TO_END)
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Percentiles {
            count,
            p50_ms,
            p90_ms,
            p99_ms,
            max_ms,
        } = self;
        write!(
            f,
            "p50 {p50_ms:.1}  p90 {p90_ms:.1}  p99 {p99_ms:.1}  max {max_ms:.1} ms ({count} calls)"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "calls: {} placed, {} answered, {} moved, {} kept, {} lost",
            self.placed, self.answered, self.moved, self.kept, self.lost
        )?;
        for (n, fault) in self.faults.iter().enumerate() {
            let at = (fault.started_ns.saturating_sub(self.all_up_ns)) as f64 / 1e9;
            let exit = fault
                .exit
                .map_or("still running or killed".to_owned(), |e| {
                    format!("exit {e}")
                });
            writeln!(
                f,
                "fault {}: at {at:.3} s, {exit}: {}",
                n + 1,
                fault.command
            )?;
            write!(f, "  started {} ns", fault.started_realtime_ns)?;
            let finished = fault
                .finished_realtime_ns
                .map(|at| format!(", finished {at} ns"));
            writeln!(f, "{} (CLOCK_REALTIME)", finished.unwrap_or_default())?;
            if let Some(after) = self.by_fault.get(n).filter(|after| after.gap.count > 0) {
                writeln!(f, "  moves seen after {}", after.seen_after)?;
                writeln!(f, "  largest gap      {}", after.gap)?;
            }
        }
        if self.moved > 0 {
            writeln!(f, "largest gap of moved calls, the worse direction:")?;
            writeln!(f, "  either listener  {}", self.gap_moved)?;
            writeln!(f, "  caller hears     {}", self.gap_moved_caller)?;
            writeln!(f, "  callee hears     {}", self.gap_moved_callee)?;
        }
        if self.gap_unmoved.count > 0 {
            writeln!(f, "largest gap of calls that did not move:")?;
            writeln!(f, "  either listener  {}", self.gap_unmoved)?;
        }
        let Breaks {
            ssrc_changes,
            sequence_jumps,
            timestamp_jumps,
            reinvites,
        } = self.caller_noticed;
        writeln!(
            f,
            "callers noticed: {ssrc_changes} SSRC changes, {sequence_jumps} sequence jumps, \
             {timestamp_jumps} timestamp jumps, {reinvites} re-INVITEs"
        )?;
        writeln!(
            f,
            "packets: {} sent, {} not taken by the kernel, {} lost after the first fault, \
             {} duplicates, {} with another call's mark",
            self.packets_sent,
            self.packets_unsent,
            self.lost_packets,
            self.duplicates,
            self.crosstalk
        )?;
        for (step, passed) in &self.steps {
            writeln!(f, "{step}: worked on {passed} of {}", self.answered)?;
        }
        let worst = self
            .lateness
            .iter()
            .map(Lateness::worst)
            .max()
            .unwrap_or_default();
        let mark = if self.tool_was_late {
            "  ** gaps may be the tool's own **"
        } else {
            ""
        };
        writeln!(
            f,
            "the tool itself was late by {:.1} ms at most{mark}",
            ms(worst)
        )?;
        for call in self.calls.iter().filter(|call| !call.kept).take(20) {
            writeln!(f, "call {} not kept: {}", call.call, call.faults.join("; "))?;
        }
        let verdict = match (self.lost, self.gap_exceeded) {
            (0, false) => "all calls kept".to_owned(),
            (0, true) => format!("a gap was longer than {} ms", self.max_gap_ms),
            (lost, _) => format!("{lost} calls lost"),
        };
        writeln!(f, "verdict: {verdict}")
    }
}
