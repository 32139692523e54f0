//! Real programs on hosts of their own, and faults of hosts and links that loopback cannot have.
//!
//! Takes root (CAP_SYS_ADMIN, CAP_NET_ADMIN) and the programs `ip` and `nft`; without, every test
//! says so loudly and passes.

mod deaths;
mod innocent;
mod losses;
mod own_faults;
mod slow;

use holdline_tests::netns::{Delay, Lan};
use holdline_tests::rig::{
    AgentStatus, Block, Error, FailoverStatus, Moment, NODES, Plan, Report, Rig, Setup,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Calls of a run.
const CALLS: usize = 30;
/// How long the agent has to finish what it has begun.
const SETTLED: Duration = Duration::from_secs(10);

/// A rig on hosts of its own, those in `slow` behind a slow link; none where this machine has not
/// what it takes.
fn rig(slow: &[(&str, Delay)]) -> Option<Rig> {
    if let Some(obstacle) = Lan::obstacle() {
        eprintln!("SKIPPED: no network namespaces: {obstacle}");
        return None;
    }
    holdline_tests::rig::build().unwrap();
    let slow: BTreeMap<_, _> = slow.iter().map(|(n, d)| ((*n).to_owned(), *d)).collect();
    let lan = Lan::new(&Block::LAN.hosts(), &slow).unwrap();
    let rig = Rig::start_as(Setup {
        block: Block::LAN,
        lan: Some(lan),
        adapt: &|_, text| text,
        nodes: NODES,
    });
    Some(rig.unwrap())
}

fn plan(faults: &[f32], after: f32) -> Plan {
    Plan {
        calls: CALLS as u32,
        calls_per_second: 50,
        faults: faults
            .iter()
            .map(|&at| Duration::from_secs_f32(at))
            .collect(),
        after: Duration::from_secs_f32(after),
    }
}

/// Runs it; `max_gap` is the longest silence that a call may have, in seconds.
fn load(
    rig: &mut Rig,
    plan: &Plan,
    max_gap: &str,
    act: impl FnMut(&mut Rig, Moment) -> Result<(), Error>,
) -> Report {
    let agent = rig.block.agent_sip();
    let report = rig.load_with(agent, plan, &["--max-gap", max_gap], act);
    report.unwrap()
}

/// All calls kept: both ends hear each other to the end, hold and hang-up work, and both ends have
/// one dialog for each call, then none (the report's `kept`). No silence of `max_gap`.
fn assert_all_kept(report: &Report, status: &AgentStatus) {
    println!(
        "{} calls, {} moved; silence of moved calls p50 {:.0} p99 {:.0} max {:.0} ms, others max {:.0} ms",
        report.placed,
        report.moved,
        report.gap_moved.p50_ms,
        report.gap_moved.p99_ms,
        report.gap_moved.max_ms,
        report.gap_unmoved.max_ms
    );
    for failover in &status.failovers {
        println!("  {}", told(failover));
    }
    assert_eq!((report.placed, report.answered), (CALLS, CALLS));
    assert_eq!(report.lost, 0, "{}", report.complaints());
    assert!(!report.gap_exceeded, "a silence was too long");
    assert_eq!(report.crosstalk, 0, "somebody heard another call");
}

fn told(failover: &FailoverStatus) -> String {
    let why = match &failover.verdict {
        None => "restarted".to_owned(),
        Some(verdict) => {
            let what = |e: &holdline_tests::rig::Evidence| {
                let ms = (e.at - verdict.suspected_at) * 1e3;
                format!("{:+.0} ms {}", ms, e.what)
            };
            let evidence: Vec<String> = verdict.evidence.iter().map(what).collect();
            evidence.join(", ")
        }
    };
    let node = failover.node.map_or("?".into(), |node| node.to_string());
    format!(
        "{node}: {} of {} moved; {why}",
        failover.moved, failover.calls
    )
}

/// Waits until the agent has finished all its failovers, of which there are now `count`.
fn settled(rig: &Rig, count: usize) -> Result<(), Error> {
    rig.wait(&format!("failover {count} is over"), SETTLED, || {
        let status = rig.status()?;
        let over = |f: &FailoverStatus| f.moved + f.lost == f.calls;
        Ok(status.failovers.len() >= count
            && status.failovers.iter().all(over)
            && status.moving == 0)
    })
}

/// The failovers are of these nodes in this order, each with a verdict, and nobody was lost.
fn assert_condemned(rig: &Rig, status: &AgentStatus, nodes: &[usize]) {
    let condemned: Vec<_> = status.failovers.iter().map(|f| f.node).collect();
    let expected: Vec<_> = nodes.iter().map(|&n| Some(rig.block.node_sip(n))).collect();
    assert_eq!(condemned, expected);
    for failover in &status.failovers {
        assert!(failover.verdict.is_some(), "{}", told(failover));
        assert_eq!(failover.lost, 0, "{}", told(failover));
    }
}
