//! What a user's shell gives is enough.

use crate::plan;
use holdline_tests::rig::{Error, Moment, NODES, Rig, get};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;

/// The soft limit of open files in most shells.
const USUAL: u64 = 1024;
/// As many as need more than that in the agent: four open files each.
const CALLS: u32 = 330;

/// A soft limit of open files that is taken back: the rig's programs begin with it.
struct Limited(u64, u64);

impl Limited {
    fn to(limit: u64) -> Limited {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, limit.min(hard), hard).unwrap();
        Limited(soft, hard)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        setrlimit(Resource::RLIMIT_NOFILE, self.0, self.1).unwrap();
    }
}

// spec: X51 D1
#[test]
fn more_calls_than_a_shells_open_files_are_taken_and_moved() {
    let limit = Limited::to(USUAL);
    if limit.1 < 2 * USUAL {
        eprintln!("SKIPPED: the hard limit of open files is {} here", limit.1);
        return;
    }
    let mut rig = Rig::start().unwrap();
    let mut victim = 0;
    let report = rig.load(&plan(CALLS, &[3], 5), |rig, moment| {
        match moment {
            Moment::AllUp { failed } => assert_eq!(failed, 0),
            Moment::Fault(_) => {
                (victim, _) = rig.busiest()?;
                rig.kill_node(victim)?;
            }
            Moment::Observed => check(rig, victim)?,
        }
        Ok(())
    });
    assert_eq!(report.unwrap().answered, CALLS as usize);
}

/// By the programs' own books nothing was refused and nothing lost; each tells its capacity.
fn check(rig: &Rig, victim: usize) -> Result<(), Error> {
    let status = rig.status()?;
    let failover = status.failovers.last().ok_or("no failover is told of")?;
    assert!(failover.calls >= CALLS as usize / 3);
    assert_eq!((failover.moved, failover.lost), (failover.calls, 0));
    assert_eq!((status.calls, status.moving), (CALLS as usize, 0));
    let left = (0..NODES).filter(|&n| n != victim);
    let pages = left.map(|n| rig.block.node_http(n));
    for http in pages.chain([rig.block.agent_http()]) {
        let status: Value = serde_json::from_slice(&get(http, "/status")?.body)?;
        assert!(status["capacity"].as_u64() >= Some(500), "{status}");
        assert!(status["capacity_bound_by"].is_string(), "{status}");
        let metrics = get(http, "/metrics")?.text();
        let gauge = format!("holdline_calls_capacity {}\n", status["capacity"]);
        assert!(metrics.contains(&gauge), "{metrics}");
        let refused = metrics
            .lines()
            .filter(|line| line.starts_with("holdline_calls_refused_total{"))
            .find(|line| !line.ends_with(" 0"));
        assert_eq!(refused, None, "{http}");
    }
    Ok(())
}
