//! The load generator on loopback: alone, and against a stand-in whose faults are known.

mod standin;

use super::{Options, Report, run};
use clap::Parser;
use standin::{Plan, StandIn};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

/// What the machine may add to a gap while other tests run.
const SLACK_MS: f64 = 250.0;

fn free_address() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// A fresh name in the directory for temporary files.
fn flag(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("holdline-load-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

fn options(callee: SocketAddr, more: &[&str]) -> Options {
    let caller = free_address().to_string();
    let callee = callee.to_string();
    let base = [
        "holdline-load",
        "--calls",
        "4",
        "--rtp-ports",
        "43002-45000",
    ];
    let base = base
        .iter()
        .chain(&["--step-timeout", "500ms", "--setup-timeout", "3s"]);
    let ends = ["--caller-listen", &caller, "--callee-listen", &callee];
    Options::try_parse_from(base.chain(&ends).chain(more)).unwrap()
}

/// A run of 4 calls against a stand-in that is hit after 300 ms.
fn against(name: &str, moves_after: Option<Duration>, mixes_up: bool) -> Report {
    let callee = free_address();
    let flag = flag(name);
    let plan = Plan {
        flag: flag.clone(),
        moves_after,
        mixes_up,
    };
    let standin = StandIn::start(callee, plan);
    let (agent, touch) = (
        standin.address.to_string(),
        format!("touch '{}'", flag.display()),
    );
    let mut more = vec!["--agent", &agent, "--fault-command", &touch];
    more.extend(["--fault-at", "300ms", "--after", "900ms"]);
    let report = run(&options(callee, &more)).unwrap();
    let _ = std::fs::remove_file(flag);
    report
}

#[test]
fn direct_calls_are_kept_and_their_gaps_are_a_frame() {
    let report = run(&options(free_address(), &["--direct", "--after", "600ms"])).unwrap();
    assert!(report.passed(), "{report}");
    assert_eq!(
        (report.placed, report.answered, report.kept, report.moved),
        (4, 4, 4, 0)
    );
    assert!(
        report.steps.iter().all(|(_, passed)| *passed == 4),
        "{report}"
    );
    let gap = report.gap_unmoved.p50_ms;
    assert!(
        (15.0..20.0 + SLACK_MS).contains(&gap),
        "{gap} ms between packets 20 ms apart"
    );
    let first = report.calls[0].callee_heard.as_ref().unwrap();
    assert!(
        first.packets() >= 25,
        "{} packets in 600 ms",
        first.packets()
    );
    assert_eq!((report.crosstalk, report.duplicates), (0, 0));
}

#[test]
fn a_move_is_seen_and_its_gap_is_measured() {
    let report = against("move", Some(Duration::from_millis(250)), false);
    assert!(report.passed(), "{report}");
    assert_eq!(
        (report.answered, report.moved, report.kept),
        (4, 4, 4),
        "{report}"
    );
    for gap in [report.gap_moved.p50_ms, report.gap_moved.max_ms] {
        assert!(
            (240.0..270.0 + SLACK_MS).contains(&gap),
            "{gap} ms after 250 ms of silence"
        );
    }
    let by_fault = &report.by_fault[0];
    assert_eq!(by_fault.gap.count, 4);
    assert!(
        (240.0..270.0 + SLACK_MS).contains(&by_fault.seen_after.p50_ms),
        "{report}"
    );
    // The stand-in hands through the callee's new source, which the agent must not.
    assert_eq!(report.caller_noticed.ssrc_changes, 4);
    assert_eq!(report.faults[0].exit, Some(0));
    assert!(
        report
            .calls
            .iter()
            .all(|call| call.callee_counts.replaces_accepted == 1)
    );
}

#[test]
fn a_call_that_falls_silent_is_lost() {
    let report = against("silence", None, false);
    assert!(!report.passed());
    assert_eq!(
        (report.answered, report.moved, report.kept, report.lost),
        (4, 0, 0, 4)
    );
    assert!(report.gap_unmoved.p50_ms > 800.0, "{report}");
    assert!(
        report.calls[0]
            .faults
            .iter()
            .any(|fault| fault.contains("hears nothing"))
    );
}

#[test]
fn media_of_another_call_is_no_media() {
    let report = against("mix", Some(Duration::from_millis(100)), true);
    assert!(!report.passed());
    assert!(report.crosstalk > 100, "{report}");
    assert_eq!(report.kept, 0);
}
