//! Links that lose packets, in one direction or both, at random or all.

use crate::{assert_all_kept, assert_condemned, load, plan, rig, settled};
use holdline_tests::rig::{AGENT, CALLEE, Moment, node_name};
use std::time::Duration;

/// 5 % and then 20 % of all packets are lost: no node is dead.
// spec: X20 X21a
#[test]
fn loss_is_no_death() {
    let Some(mut rig) = rig(&[]) else { return };
    let report = load(&mut rig, &plan(&[1.0, 6.0], 8.0), "2s", |rig, moment| {
        let lan = rig.lan()?;
        match moment {
            Moment::AllUp { .. } => Ok(()),
            Moment::Fault(1) => lan.lose_everywhere(5),
            Moment::Fault(_) => {
                lan.heal()?;
                lan.lose_everywhere(20)
            }
            // Hold and hang-up have another patience.
            Moment::Observed => lan.heal(),
        }
    });
    let status = rig.status().unwrap();
    assert_all_kept(&report, &status);
    assert_condemned(&rig, &status, &[]);
    assert_eq!(report.moved, 0);
}

/// Nothing reaches one node, then nothing comes back from another; each lives on with calls that
/// are no longer its own, and does no harm to them when it is heard again.
// spec: D1 D21 D34 X20 X28
#[test]
fn every_call_survives_a_link_that_is_dead_in_one_direction() {
    let Some(mut rig) = rig(&[]) else { return };
    let report = load(&mut rig, &plan(&[1.5, 9.0], 6.0), "2s", |rig, moment| {
        let Moment::Fault(number) = moment else {
            return Ok(());
        };
        let node = node_name(number - 1);
        match number {
            1 => rig.lan()?.lose(AGENT, &node, 100)?,
            _ => rig.lan()?.lose(&node, AGENT, 100)?,
        }
        settled(rig, number)?;
        rig.lan()?.heal()?;
        rig.wait_all_alive()
    });
    let status = rig.status().unwrap();
    assert_all_kept(&report, &status);
    assert_condemned(&rig, &status, &[0, 1]);
}

/// The agent and a living node lose each other: a verdict that is false for everybody else. The
/// moved calls live on, through the node's return, and the downstream user agent has one dialog
/// for each.
// spec: D1 D24 X22 X28
#[test]
fn a_false_verdict_does_no_harm() {
    let Some(mut rig) = rig(&[]) else { return };
    let report = load(&mut rig, &plan(&[1.5], 5.0), "2s", |rig, moment| {
        if moment != Moment::Fault(1) {
            return Ok(());
        }
        rig.lan()?.part(AGENT, &node_name(2))?;
        settled(rig, 1)?;
        // It goes on speaking for its old calls where it is heard.
        std::thread::sleep(Duration::from_secs(2));
        rig.lan()?.heal()?;
        rig.wait_all_alive()
    });
    let status = rig.status().unwrap();
    assert_all_kept(&report, &status);
    assert_condemned(&rig, &status, &[2]);
}

/// A node loses the downstream user agent for a moment: it answers its probes, so it is alive,
/// and its calls stay where they are.
// spec: X20
#[test]
fn a_node_that_lost_the_downstream_side_is_not_dead() {
    let Some(mut rig) = rig(&[]) else { return };
    let report = load(&mut rig, &plan(&[1.5], 4.0), "3s", |rig, moment| {
        if moment == Moment::Fault(1) {
            rig.lan()?.part(CALLEE, &node_name(0))?;
            std::thread::sleep(Duration::from_secs(1));
            rig.lan()?.heal()?;
        }
        Ok(())
    });
    let status = rig.status().unwrap();
    assert_all_kept(&report, &status);
    assert_condemned(&rig, &status, &[]);
    assert_eq!(report.moved, 0);
}
