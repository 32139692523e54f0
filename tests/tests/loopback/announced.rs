//! What nodes announce: that they are about to leave, and which store they work with.

use crate::{assert_all_kept, plan};
use holdline_tests::rig::{
    AGENT, Block, Moment, NODES, NodeStatus, Rig, Setup, Sig, build, node_name,
};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

fn node(rig: &Rig, n: usize) -> NodeStatus {
    let nodes = rig.status().unwrap().trunk.nodes;
    let found = nodes
        .into_iter()
        .find(|node| node.address == rig.block.node_sip(n));
    found.expect("a node of the trunk")
}

/// SIGTERM to a node that has calls: it is shown as draining, keeps its calls to their end, and has
/// left then. Nobody calls that a death.
// spec: D34 X22
#[test]
fn a_node_that_drains_is_shown_so_and_has_left_when_its_calls_have_ended() {
    let mut rig = Rig::start().unwrap();
    let report = rig.load(&plan(12, &[1], 3), |rig, moment| {
        if moment == Moment::Fault(1) {
            rig.household().signal(&node_name(0), Sig::Terminate)?;
            rig.wait("the node is shown as draining", PATIENCE, || {
                Ok(node(rig, 0).state == "draining")
            })?;
        }
        Ok(())
    });
    assert_all_kept(&report.unwrap(), 12);
    rig.wait("the node has left", PATIENCE, || {
        Ok(node(&rig, 0).state == "left")
    })
    .unwrap();
    let status = rig.status().unwrap();
    assert!(status.failovers.is_empty(), "{:?}", status.failovers);
    assert_eq!(node(&rig, 0).flaps, 0);
    let log = std::fs::read_to_string(rig.dir().join("agent.log")).unwrap();
    assert!(
        log.contains("\"node draining") && log.contains("\"node left\""),
        "{log}"
    );
    assert!(!log.contains("\"WARN\""), "{log}");
    rig.household().reap(&node_name(0)).unwrap();
    rig.start_node(0).unwrap();
    rig.wait_all_alive().unwrap();
}

/// Nodes with stores of their own cannot take over each other's calls: the agent says so before one
/// dies.
// spec: X59
#[test]
fn nodes_that_do_not_share_a_store_are_told_of() {
    build().unwrap();
    let rig = Rig::start_as(Setup {
        block: Block::unique().unwrap(),
        lan: None,
        adapt: &|name, text| match name == node_name(2) {
            true => text.replace("dialogs.db", "other.db"),
            false => text,
        },
        nodes: NODES,
    });
    let rig = rig.unwrap();
    rig.wait("two stores are seen", PATIENCE, || {
        Ok(rig.status()?.trunk.stores == 2)
    })
    .unwrap();
    let store = |n| node(&rig, n).store.expect("it names a store");
    assert_eq!(store(0).id, store(1).id);
    assert_ne!(store(0).id, store(2).id);
    assert!(store(2).up);
    let log = std::fs::read_to_string(rig.dir().join(format!("{AGENT}.log"))).unwrap();
    assert_eq!(
        log.matches("these nodes do not share a store").count(),
        1,
        "{log}"
    );
}

/// Somebody holds the store's file for as long as calls are placed and talk: all are answered and
/// kept, the nodes stay ready, and say that their store is down.
// spec: X59 X30
#[test]
fn a_store_that_is_locked_under_running_nodes_costs_no_call() {
    let mut rig = Rig::start().unwrap();
    let file = rusqlite::Connection::open(rig.dir().join("dialogs.db")).unwrap();
    file.busy_timeout(PATIENCE).unwrap();
    file.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let report = rig.load(&plan(20, &[2], 2), |rig, moment| {
        if let Moment::AllUp { failed } = moment {
            assert_eq!(failed, 0);
        }
        if moment == Moment::Fault(1) {
            rig.wait("a store is told to be down", PATIENCE, || {
                let nodes = rig.status()?.trunk.nodes;
                Ok(nodes
                    .iter()
                    .any(|n| n.store.as_ref().is_some_and(|s| !s.up)))
            })?;
            rig.wait_all_alive()?;
        }
        Ok(())
    });
    assert_all_kept(&report.unwrap(), 20);
    file.execute_batch("ROLLBACK").unwrap();
    rig.wait("all stores are up again", Duration::from_secs(10), || {
        let nodes = rig.status()?.trunk.nodes;
        Ok(nodes.iter().all(|n| n.store.as_ref().is_some_and(|s| s.up)))
    })
    .unwrap();
}
