//! Nodes that die, each in another way.

use crate::{assert_all_kept, assert_condemned, load, plan, rig, settled};
use holdline_tests::rig::{Moment, node_name};
use std::time::Duration;

/// SIGKILL while the host is up (it refuses), SIGSTOP (it takes everything and answers nothing),
/// and a cut link (nobody says anything): each is a death, each call survives all three, and each
/// node comes back before the next dies.
// spec: D1 D5 D21 D24 X20 X22 X28
#[test]
fn every_call_survives_a_kill_a_hung_process_and_a_cut_link() {
    let Some(mut rig) = rig(&[]) else { return };
    let plan = plan(&[1.5, 8.0, 15.0], 6.0);
    let report = load(&mut rig, &plan, "2s", |rig, moment| {
        let Moment::Fault(number) = moment else {
            return Ok(());
        };
        let victim = number - 1;
        match number {
            1 => drop(rig.kill_node(victim)?),
            2 => rig.pause_node(victim)?,
            _ => rig.lan()?.unplug(&node_name(victim))?,
        }
        settled(rig, number)?;
        match number {
            1 => rig.start_node(victim)?,
            // It still has the calls that are no longer its own.
            2 => rig.resume_node(victim)?,
            _ => rig.lan()?.plug(&node_name(victim))?,
        }
        rig.wait_all_alive()
    });
    let status = rig.status().unwrap();
    assert_all_kept(&report, &status);
    assert_condemned(&rig, &status, &[0, 1, 2]);
    rig.all_running().unwrap();
}

/// The host goes down and comes back with a process that knows nothing.
// spec: D1 D24 X22 X39
#[test]
fn every_call_survives_the_reboot_of_a_node() {
    let Some(mut rig) = rig(&[]) else { return };
    let report = load(&mut rig, &plan(&[1.5], 6.0), "2s", |rig, moment| {
        if moment != Moment::Fault(1) {
            return Ok(());
        }
        // It takes its link along: nobody is there to refuse.
        rig.lan()?.unplug(&node_name(1))?;
        rig.kill_node(1)?;
        std::thread::sleep(Duration::from_millis(1500));
        rig.lan()?.plug(&node_name(1))?;
        rig.start_node(1)?;
        rig.wait_all_alive()
    });
    let status = rig.status().unwrap();
    assert_all_kept(&report, &status);
    assert_condemned(&rig, &status, &[1]);
    rig.all_running().unwrap();
}

/// Without RTP there is only the silence of its probes, and nothing to hear: the calls are there
/// to be hung up at both ends.
// spec: D1 D21 D24 X21a
#[test]
fn calls_without_media_survive_a_cut_link() {
    let Some(mut rig) = rig(&[]) else { return };
    let (agent, plan) = (rig.block.agent_sip(), plan(&[1.0], 3.0));
    let report = rig.load_with(agent, &plan, &["--media", "none"], |rig, moment| {
        if moment == Moment::Fault(1) {
            rig.lan()?.unplug(&node_name(1))?;
            settled(rig, 1)?;
        }
        Ok(())
    });
    let (report, status) = (report.unwrap(), rig.status().unwrap());
    assert_all_kept(&report, &status);
    assert_condemned(&rig, &status, &[1]);
    assert_eq!(report.moved, status.failovers[0].calls);
}
