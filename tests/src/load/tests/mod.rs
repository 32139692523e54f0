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

/// A run of the tool alone; all that it did must have worked.
fn alone(more: &[&str]) -> Report {
    let report = run(&options(free_address(), &[&["--direct"], more].concat())).unwrap();
    assert!(report.passed(), "{report}");
    assert_eq!((report.placed, report.kept), (4, 4));
    report
}

#[test]
fn calls_without_media_end_by_themselves() {
    let more = ["--media", "none", "--hold-time", "200ms"];
    let report = alone(&[&more[..], &["--hang-up-by", "callee"]].concat());
    for call in &report.calls {
        let story = &call.story;
        let (Some(up), Some(end)) = (story.up_ns, &story.ended[1]) else {
            panic!("call {} was not up or did not end", call.call);
        };
        assert!(end.at_ns - up >= 200_000_000, "it ended early");
        assert_eq!((end.by, end.status), ("local", 200));
        assert!(call.caller_heard.is_none());
    }
    assert_eq!((report.packets_sent, report.gap_unmoved.count), (0, 0));
    assert_eq!(report.setup.count, 4);
}

#[test]
fn silent_calls_negotiate_media_and_send_none() {
    let report = alone(&["--media", "silent", "--after", "100ms"]);
    assert_eq!(report.packets_sent, 0);
    let hold = ("hold".to_owned(), 4);
    assert!(report.steps.contains(&hold), "{report}");
}

#[test]
fn one_way_media_has_one_listener() {
    let more = ["--media", "callee", "--ptime", "40", "--after", "400ms"];
    let report = alone(&more);
    for call in &report.calls {
        assert!(call.callee_heard.is_none());
        let heard = call.caller_heard.as_ref().unwrap();
        assert!((5..30).contains(&heard.packets()), "{}", heard.packets());
    }
    assert!(report.gap_unmoved.p50_ms >= 35.0, "{report}");
}

#[test]
fn what_is_asked_of_watched_calls_is_done_and_is_no_gap() {
    let acts = [
        "--act",
        "100ms:hold:caller:3",
        "--act",
        "500ms:unhold:caller:2",
    ];
    let more = ["--act", "600ms:bye:callee:1", "--after", "700ms"];
    let report = alone(&[&acts[..], &more].concat());
    let done: Vec<usize> = report.calls.iter().map(|c| c.story.acts.len()).collect();
    assert_eq!(done, [2, 2, 1, 0]);
    assert_eq!(report.calls[0].live_dialogs, [0, 0]);
    // Of 400 ms on hold and 700 ms after the BYE nothing counts.
    assert!(report.gap_unmoved.max_ms < 20.0 + SLACK_MS, "{report}");
    // At the end the third is held still, and the first is over.
    for step in [("hold", 2), ("unhold", 2), ("bye", 3)] {
        let step = (step.0.to_owned(), step.1);
        assert!(report.steps.contains(&step), "{report}");
    }
}

#[test]
fn the_callee_may_place_the_calls() {
    let report = alone(&[
        "--placed-by",
        "callee",
        "--ring-ms",
        "50",
        "--after",
        "200ms",
    ]);
    assert!(report.setup.p50_ms >= 50.0, "{report}");
    let lines = super::csv(&report);
    assert_eq!(lines.lines().count(), 5);
    assert!(lines.lines().nth(1).unwrap().starts_with("1,true,false,"));
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
