//! Nodes die by SIGKILL.

use crate::{assert_all_kept, plan};
use holdline_tests::rig::{Error, FailoverStatus, Moment, NODES, Rig, get};
use std::time::{Duration, Instant};

/// How long the agent has to book a failover's last call.
const SETTLED: Duration = Duration::from_secs(5);

// spec: D1 D2 D5 D10 D24
#[test]
fn a_hundred_calls_outlive_the_busiest_node() {
    let mut rig = Rig::start().unwrap();
    let mut victim = None;
    let report = rig.load(&plan(100, &[3], 10), |rig, moment| {
        match moment {
            Moment::AllUp { failed } => assert_eq!(failed, 0),
            Moment::Fault(_) => {
                let (node, calls) = rig.busiest()?;
                rig.kill_node(node)?;
                victim = Some((node, calls));
            }
            Moment::Observed => check_spread(rig, victim.take())?,
        }
        Ok(())
    });
    let report = report.unwrap();
    assert_all_kept(&report, 100);
    assert!(
        report.moved >= 34,
        "the busiest of three had fewer than a third"
    );
    assert_eq!(report.gap_unmoved.count, 100 - report.moved);
}

/// The dead node's calls are spread over all that are left (spec: D5), and the agent's books
/// agree with what was seen.
fn check_spread(rig: &mut Rig, victim: Option<(usize, usize)>) -> Result<(), Error> {
    let (victim, calls) = victim.ok_or("nobody was killed")?;
    let status = rig.status()?;
    let failover = status.failovers.last().ok_or("no failover is told of")?;
    assert_eq!(failover.node, Some(rig.block.node_sip(victim)));
    assert_eq!((failover.moved, failover.lost), (calls, 0));
    assert_eq!((status.calls, status.moving), (100, 0));
    for node in &status.trunk.nodes {
        if rig.node_at(node.address) == Some(victim) {
            assert_eq!((node.state.as_str(), node.calls), ("dead", 0));
        } else {
            assert!(
                node.calls > 100 / 4,
                "{} has {} calls",
                node.address,
                node.calls
            );
        }
    }
    Ok(())
}

/// Each node dies once. The first is back within 100 ms, before silence could tell: its new
/// incarnation gives it away. Every call survives all three, some of them moving more than once.
// spec: D1 D5 D24 X22 X39
#[test]
fn every_call_survives_the_death_of_each_node_in_turn() {
    let mut rig = Rig::start().unwrap();
    let report = rig.load(&plan(45, &[2, 9, 16], 6), |rig, moment| {
        let Moment::Fault(number) = moment else {
            return Ok(());
        };
        let node = number - 1;
        let before = rig.status()?.failovers.len();
        let died = Instant::now();
        rig.kill_node(node)?;
        if number == 1 {
            rig.start_node(node)?;
            let ready = || Ok(get(rig.block.node_http(node), "/readyz").is_ok());
            rig.wait("the node is back", SETTLED, ready)?;
            println!("node {number} was away for {:?}", died.elapsed());
        }
        rig.wait("the calls of the dead node have moved", SETTLED, || {
            let status = rig.status()?;
            let over = |f: &FailoverStatus| f.moved + f.lost == f.calls;
            let told = status.failovers.len() > before && status.failovers.iter().all(over);
            Ok(told && status.moving == 0)
        })?;
        if number != 1 {
            rig.start_node(node)?;
        }
        // The next death comes when all are back.
        rig.wait_all_alive()
    });
    let report = report.unwrap();
    assert_all_kept(&report, 45);
    let moves: usize = report.calls.iter().map(|call| call.moves.len()).sum();
    println!("{moves} moves of {} calls", report.moved);
    assert!(moves > report.moved, "no call moved twice");
    rig.all_running().unwrap();
    let status = rig.status().unwrap();
    assert_eq!(status.failovers.len(), NODES);
    for failover in &status.failovers {
        let verdict = failover.verdict.as_ref().and_then(|v| v.evidence.last());
        let why = verdict.map_or("restarted", |evidence| evidence.what.as_str());
        println!(
            "{} of {} calls moved: {why}",
            failover.moved, failover.calls
        );
    }
}
