//! It is the agent's own machine that cannot send: nobody is dead for it.

use crate::{assert_all_kept, assert_condemned, load, plan, rig, settled};
use holdline_tests::rig::{AGENT, Error, Moment, NODES, Rig};
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

/// What fails, and how it is mended.
type Fault = (
    &'static str,
    fn(&Rig) -> Result<(), Error>,
    fn(&Rig) -> Result<(), Error>,
);

/// Link down, no route, no descriptor, own packet filter.
const FAULTS: [Fault; 4] = [
    ("link", |r| r.lan()?.down(AGENT), |r| r.lan()?.up(AGENT)),
    (
        "routes",
        |r| r.lan()?.bar(AGENT, &nodes(r)),
        |r| r.lan()?.unbar(AGENT, &nodes(r)),
    ),
    (
        "filter",
        |r| r.lan()?.filter(AGENT),
        |r| r.lan()?.unfilter(AGENT),
    ),
    (
        "descriptors",
        |r| descriptors(r, "8"),
        |r| descriptors(r, "4096"),
    ),
];

/// How long each lasts, one after the other, and the rest between two.
const LASTS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
const REST: f32 = 1.6;

fn nodes(rig: &Rig) -> Vec<IpAddr> {
    (0..NODES).map(|n| rig.block.node_sip(n).ip()).collect()
}

/// How many descriptors the agent may have: no more can be opened where it has as many.
fn descriptors(rig: &Rig, limit: &str) -> Result<(), Error> {
    let pid = rig.household().pid(AGENT).ok_or("no agent")?.to_string();
    let soft = format!("--nofile={limit}:");
    let done = Command::new("prlimit")
        .args(["--pid", &pid, &soft])
        .status()?;
    done.success()
        .then_some(())
        .ok_or_else(|| "prlimit failed".into())
}

/// Whatever fails of our own for 1 s and for 10 s, no node is held for dead, no call is moved,
/// and all are there afterwards.
// spec: X52 X21
#[test]
fn an_agent_whose_own_network_fails_blames_nobody() {
    let Some(mut rig) = rig(&[]) else { return };
    let mut at = 1.0;
    let mut faults = Vec::new();
    for lasts in FAULTS.iter().flat_map(|_| LASTS) {
        faults.push(at);
        at += lasts.as_secs_f32() + REST;
    }
    let after = LASTS[1].as_secs_f32() + 2.5;
    let report = load(&mut rig, &plan(&faults, after), "15s", |rig, moment| {
        let Moment::Fault(number) = moment else {
            return Ok(());
        };
        let (name, begin, end) = FAULTS[(number - 1) / 2];
        let lasts = LASTS[(number - 1) % 2];
        begin(rig)?;
        std::thread::sleep(lasts);
        end(rig)?;
        let failovers = rig.status()?.failovers;
        match failovers.len() {
            0 => Ok(()),
            _ => Err(format!("{name} for {lasts:?}: {failovers:?}").into()),
        }
    });
    rig.wait_all_alive().unwrap();
    let status = rig.status().unwrap();
    assert_all_kept(&report, &status);
    assert_condemned(&rig, &status, &[]);
    assert_eq!(report.moved, 0);
    rig.all_running().unwrap();
}

/// The way to one node of three is gone for 10 s, and the agent knows it: the node's calls leave it
/// when D21 says so and not before, as `unreachable from here`; none is lost, the node is no flap,
/// and is used again afterwards.
// spec: X52 D21 X22
#[test]
fn a_node_that_cannot_be_reached_from_here_is_left_and_not_dead() {
    let Some(mut rig) = rig(&[]) else { return };
    let node = |rig: &Rig| [rig.block.node_sip(1).ip()];
    let mut left_at = None;
    let report = load(&mut rig, &plan(&[1.5], 13.0), "4s", |rig, moment| {
        if moment != Moment::Fault(1) {
            return Ok(());
        }
        let before = std::time::SystemTime::now();
        rig.lan()?.bar(AGENT, &node(rig))?;
        settled(rig, 1)?;
        let status = rig.status()?;
        let decided = status.calendar(status.failovers[0].decided_at);
        left_at = decided.duration_since(before).ok();
        let shown = &status.trunk.nodes[1];
        if (shown.state.as_str(), shown.flaps) != ("unreachable", 0) {
            return Err(format!("it is shown as {shown:?}").into());
        }
        std::thread::sleep(Duration::from_secs(10).saturating_sub(before.elapsed()?));
        rig.lan()?.unbar(AGENT, &node(rig))?;
        rig.wait_all_alive()
    });
    let status = rig.status().unwrap();
    assert_all_kept(&report, &status);
    assert_condemned(&rig, &status, &[1]);
    // The last answer may have come a probing interval before.
    let left_at = left_at.expect("decided after the fault");
    assert!(left_at > Duration::from_millis(1200), "{left_at:?}");
    assert!(left_at < Duration::from_millis(4000), "{left_at:?}");
    assert_eq!(status.trunk.nodes[1].flaps, 0);
    rig.all_running().unwrap();
}
