//! Hostile input at the sockets of the real programs, while calls run: nobody falls, no call is
//! harmed, memory stays bounded, and what was refused can be counted.

mod flood;
mod gauge;
mod mutant;
mod mutants;
mod sender;
mod tap;
mod trunk;
mod victim;

use holdline_tests::rig::{Plan, Report};
use std::time::Duration;

/// Every call was up, heard the other end without a hole, could be held, taken back and hung up.
fn assert_unharmed(report: &Report, calls: usize) {
    println!(
        "{} calls, {} moved; the longest silence {:.0} ms",
        report.placed,
        // A machine that stands still for a second makes a node look dead.
        report.moved,
        report.gap_unmoved.max_ms.max(report.gap_moved.max_ms)
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

/// Calls that are attacked a second after they are up.
fn plan(calls: u32, after: u64) -> Plan {
    Plan {
        calls,
        calls_per_second: 50,
        faults: vec![Duration::from_secs(1)],
        after: Duration::from_secs(after),
    }
}
