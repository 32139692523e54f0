//! The agent behind a slow link.

use crate::{assert_all_kept, assert_condemned, load, plan, rig, settled};
use holdline_tests::netns::Delay;
use holdline_tests::rig::{AGENT, Moment};
use std::time::Duration;

/// Packets of all calls overtake each other all the time, and after a while a node dies.
fn a_death_behind(delay: Delay) {
    let Some(mut rig) = rig(&[(AGENT, delay)]) else {
        return;
    };
    let report = load(&mut rig, &plan(&[6.0], 5.0), "2s", |rig, moment| {
        if moment != Moment::Fault(1) {
            return Ok(());
        }
        let early = rig.status()?.failovers;
        if !early.is_empty() {
            return Err("a node was held for dead".into());
        }
        rig.kill_node(0)?;
        settled(rig, 1)
    });
    let status = rig.status().unwrap();
    assert_all_kept(&report, &status);
    assert_condemned(&rig, &status, &[0]);
}

// spec: D1 D24 X20
#[test]
fn with_50_ms_of_jitter_only_the_dead_node_is_dead() {
    let (least, jitter) = (Duration::from_millis(1), Duration::from_millis(50));
    a_death_behind(Delay { least, jitter });
}

// spec: D1 D21 D24 X20
#[test]
fn with_an_rtt_of_300_ms_only_the_dead_node_is_dead() {
    let (least, jitter) = (Duration::from_millis(150), Duration::ZERO);
    a_death_behind(Delay { least, jitter });
}
