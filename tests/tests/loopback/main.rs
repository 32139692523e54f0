//! The real programs on loopback addresses: the wiring that the simulated world leaves out.

mod announced;
mod deaths;
mod demo;
mod drain;
mod far_end;
mod far_ends;
mod far_refusals;
mod limits;
mod lost;
mod no_node;
mod operator;
mod own_torture;
mod ports;
mod store;
mod supervision;
mod torture;
mod torture_table;

use holdline_tests::rig::{Plan, Report};
use std::time::Duration;

/// What every run must show: all calls kept, through hold, its end and hang-up, and no silence
/// that a listener would take for the end of the call (spec: D1).
fn assert_all_kept(report: &Report, calls: usize) {
    println!(
        "{} calls, {} moved; silence of moved calls p50 {:.0} p99 {:.0} max {:.0} ms, others max {:.0} ms",
        report.placed,
        report.moved,
        report.gap_moved.p50_ms,
        report.gap_moved.p99_ms,
        report.gap_moved.max_ms,
        report.gap_unmoved.max_ms
    );
    assert_eq!((report.placed, report.answered), (calls, calls));
    assert_eq!(report.lost, 0, "{}", report.complaints());
    assert!(!report.gap_exceeded, "a silence was longer than 2 s");
    assert_eq!(report.crosstalk, 0, "somebody heard another call");
    for step in ["hold", "unhold", "bye"] {
        let step = (step.to_owned(), calls);
        assert!(report.steps.contains(&step), "{:?}", report.steps);
    }
}

fn plan(calls: u32, faults: &[u64], after: u64) -> Plan {
    Plan {
        calls,
        calls_per_second: 50,
        faults: faults.iter().map(|&at| Duration::from_secs(at)).collect(),
        after: Duration::from_secs(after),
    }
}
