//! The report for people.

use super::super::media::Lateness;
use super::{Breaks, Percentiles, Report, ms};
use std::collections::BTreeMap;
use std::fmt;

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
        writeln!(
            f,
            "placed at {:.1} a second; from INVITE to both ends up {}",
            self.placed_per_second, self.setup
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
            "packets: {} sent, {} left out by a late tool, {} not taken by the kernel, {} lost after the first fault, \
             {} duplicates, {} with another call's mark",
            self.packets_sent,
            self.packets_skipped,
            self.packets_unsent,
            self.lost_packets,
            self.duplicates,
            self.crosstalk
        )?;
        if self.packets_unstamped > 0 {
            writeln!(
                f,
                "{} packets came without a stamp of the kernel: timed when they were read",
                self.packets_unstamped
            )?;
        }
        for (step, passed) in &self.steps {
            writeln!(f, "{step}: worked on {passed} of {}", self.answered)?;
        }
        let late = |late: &Lateness| format!("{:.1}", ms(late.worst()));
        let late: Vec<String> = self.lateness.iter().map(late).collect();
        let mark = if self.tool_was_late {
            "  ** gaps may be the tool's own **"
        } else {
            ""
        };
        writeln!(
            f,
            "the tool itself was late by at most {} ms{mark}",
            late.join(", then ")
        )?;
        self.print_lost(f)?;
        let verdict = match (self.lost, self.gap_exceeded) {
            (0, false) => "all calls kept".to_owned(),
            (0, true) => format!("a gap was longer than {} ms", self.max_gap_ms),
            (lost, _) => format!("{lost} calls lost"),
        };
        writeln!(f, "verdict: {verdict}")
    }
}

impl Report {
    /// The calls that were not kept, those with the same faults together.
    fn print_lost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_fault: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for call in self.calls.iter().filter(|call| !call.kept) {
            let numbers = by_fault.entry(call.faults.join("; ")).or_default();
            numbers.push(call.call.to_string());
        }
        for (faults, numbers) in by_fault {
            let more = if numbers.len() > 10 { " ..." } else { "" };
            let first = numbers[..numbers.len().min(10)].join(", ");
            writeln!(
                f,
                "{} not kept: {faults} (calls {first}{more})",
                numbers.len()
            )?;
        }
        Ok(())
    }
}
