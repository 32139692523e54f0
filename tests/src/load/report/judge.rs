//! From what was found to the verdict.

use super::super::act::Step;
use super::super::driver::{Driver, Fault};
use super::super::findings::Findings;
use super::super::hearing::Hearing;
use super::super::ledger::{Done, Entry};
use super::super::mark::Side;
use super::super::options::Options;
use super::super::steps::{Outcome, farewell};
use super::{AfterFault, Breaks, Call, Percentiles, Report, ms};
use crate::ua::CallNumber;
use std::collections::BTreeMap;
use std::time::Duration;

/// A listener who heard nothing for so long before the end has lost the call.
const HEARD_TO_END: Duration = Duration::from_millis(500);
/// From here on the tool's own lateness is visible in the gaps.
const LATE: Duration = Duration::from_millis(10);

fn after_fault(calls: &[Call], faults: &[Fault], n: usize) -> AfterFault {
    let start = faults[n].started_ns;
    let end = faults.get(n + 1).map_or(u64::MAX, |next| next.started_ns);
    let moved = |call: &&Call| first_move(call, start, end).is_some();
    let moved: Vec<&Call> = calls.iter().filter(moved).collect();
    let window = |hearing: &Option<Hearing>| {
        let window = hearing.as_ref()?.windows.get(n + 1)?;
        Some(Duration::from_nanos(window.largest_gap_ns))
    };
    let worse = |call: &&Call| window(&call.caller_heard).max(window(&call.callee_heard));
    let seen =
        |call: &&Call| Duration::from_nanos(first_move(call, start, end).unwrap_or(start) - start);
    AfterFault {
        gap: Percentiles::of(moved.iter().filter_map(worse)),
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
pub(in super::super) fn judge(driver: &Driver, options: &Options, findings: &Findings) -> Report {
    let calls: Vec<Call> = driver
        .ledger
        .iter()
        .map(|(call, entry)| judge_call(driver, options, findings, call, entry))
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
        Percentiles::of(calls.filter_map(|call| match side {
            Some(Side::Caller) => gap(&call.caller_heard),
            Some(Side::Callee) => gap(&call.callee_heard),
            None => gap(&call.caller_heard).max(gap(&call.callee_heard)),
        }))
    };
    let kept = calls.iter().filter(|call| call.kept).count();
    let setup = |call: &Call| Some(call.story.up_ns? - call.story.placed_ns);
    let setup = calls.iter().filter_map(setup);
    let lateness = findings
        .heard
        .as_ref()
        .map(|h| h.lateness.clone())
        .unwrap_or_default();
    // Gaps count from the first fault on; before it there is only the set-up.
    let judged = &lateness[usize::from(lateness.len() > 1)..];
    let lost_after = |h: &Hearing| h.windows.iter().skip(1).map(|w| w.lost).sum::<i64>();
    let passed = |step: &(Step, BTreeMap<CallNumber, Outcome>)| {
        (
            format!("{:?}", step.0).to_lowercase(),
            step.1.values().filter(|o| o.is_ok()).count(),
        )
    };
    Report {
        placed: calls.len(),
        answered: driver.ledger.up(),
        moved: calls.iter().filter(|call| call.moved).count(),
        setup: Percentiles::of(setup.map(Duration::from_nanos)),
        placed_per_second: rate(&calls),
        media: options.media,
        ptime_ms: options.ptime,
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
        tool_was_late: judged.iter().any(|late| late.worst() > LATE),
        lateness,
        packets_sent: findings.heard.as_ref().map_or(0, |h| h.sent),
        packets_skipped: findings.heard.as_ref().map_or(0, |h| h.skipped),
        packets_unstamped: findings.heard.as_ref().map_or(0, |h| h.unstamped),
        packets_unsent: findings.heard.as_ref().map_or(0, |h| h.unsent),
        steps: findings.steps.iter().map(passed).collect(),
        max_gap_ms: ms(options.max_gap),
        gap_exceeded: calls.iter().any(|call| call.gap_ms > ms(options.max_gap)),
        calls,
    }
}

fn gap(hearing: &Option<Hearing>) -> Option<Duration> {
    hearing.as_ref().map(Hearing::largest_gap)
}

/// How fast calls were placed indeed; 0 for a single one.
fn rate(calls: &[Call]) -> f64 {
    let (Some(first), Some(last)) = (calls.first(), calls.last()) else {
        return 0.0;
    };
    let seconds = (last.story.placed_ns - first.story.placed_ns) as f64 / 1e9;
    if seconds > 0.0 {
        (calls.len() - 1) as f64 / seconds
    } else {
        0.0
    }
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

fn judge_call(
    driver: &Driver,
    options: &Options,
    findings: &Findings,
    call: CallNumber,
    entry: &Entry,
) -> Call {
    let heard = |side: Side| {
        let snapshot = findings.heard.as_ref();
        let snapshot = snapshot.filter(|_| options.media.listens(side))?;
        snapshot.heard.get(&(call, side)).cloned()
    };
    let (caller_heard, callee_heard) = (heard(Side::Caller), heard(Side::Callee));
    let live_dialogs = findings.live.get(&call).copied().unwrap_or_default();
    let left_dialogs = findings.left.get(&call).copied().unwrap_or_default();
    let mut faults = Vec::new();
    if entry.up_ns.is_none() {
        faults.push("it never was up".to_owned());
    }
    match entry.hung_up {
        Some(side) => faults.extend(farewell(entry, side).err()),
        None => {
            for (side, who, hearing) in [
                (Side::Caller, "caller", &caller_heard),
                (Side::Callee, "callee", &callee_heard),
            ] {
                if options.media.listens(side) && !heard_to_end(findings, hearing) {
                    faults.push(format!("the {who} hears nothing at the end"));
                }
            }
        }
    }
    faults.extend(entry.acts.iter().filter_map(refused));
    let want = usize::from(entry.hung_up.is_none());
    if live_dialogs != [want, want] {
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

/// What is wrong with an act of the observation.
fn refused(act: &Done) -> Option<String> {
    let step = format!("{:?}", act.step).to_lowercase();
    match act.status {
        Some(200) => None,
        Some(status) => Some(format!("{step} while watched was answered {status}")),
        None => Some(format!("{step} while watched was not answered")),
    }
}

fn heard_to_end(findings: &Findings, hearing: &Option<Hearing>) -> bool {
    let (Some(snapshot), Some(hearing)) = (&findings.heard, hearing) else {
        return false;
    };
    let late = |at| snapshot.at.since(at) > HEARD_TO_END;
    hearing.is_resting() || hearing.last_arrival().is_some_and(|at| !late(at))
}
