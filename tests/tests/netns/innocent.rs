//! It is the agent that stands still, not its nodes.

use crate::{assert_all_kept, assert_condemned, load, plan, rig};
use holdline_tests::rig::{AGENT, Moment, Sig};
use std::time::Duration;

/// SIGSTOP to the agent for 1 s and for 3 s. Nobody hears anything meanwhile, since the relay is the
/// agent's; but no node is dead for it, and no call is lost or moved.
// spec: X21
#[test]
fn an_agent_that_was_stopped_blames_nobody() {
    let Some(mut rig) = rig(&[]) else { return };
    let report = load(&mut rig, &plan(&[1.0, 5.0], 7.0), "4s", |rig, moment| {
        if let Moment::Fault(number) = moment {
            rig.household().signal(AGENT, Sig::Stop)?;
            std::thread::sleep(Duration::from_secs([1, 3][number - 1]));
            rig.household().signal(AGENT, Sig::Continue)?;
        }
        Ok(())
    });
    let status = rig.status().unwrap();
    assert_all_kept(&report, &status);
    assert_condemned(&rig, &status, &[]);
    assert_eq!(report.moved, 0);
    rig.all_running().unwrap();
}
