//! Media ports are scarce, or other sockets have some.

use crate::{assert_all_kept, plan};
use holdline_tests::rig::{Block, Error, Moment, NODES, Rig, Setup, build, get};
use std::net::{IpAddr, UdpSocket};

const PORTS: &str = "20000-29999";

/// Every agent's port is in use when the node dies.
// spec: X51
#[test]
fn with_ports_for_these_calls_alone_all_of_them_move() {
    build().unwrap();
    // Four for each call.
    let few = |text: String| text.replace(PORTS, "20000-20095");
    let mut rig = Rig::start_at(Block::unique().unwrap(), few).unwrap();
    let report = rig.load(&plan(24, &[2], 6), |rig, moment| {
        match moment {
            Moment::AllUp { failed } => assert_eq!(failed, 0),
            Moment::Fault(_) => {
                let (node, _) = rig.busiest()?;
                rig.kill_node(node)?;
            }
            Moment::Observed => {}
        }
        Ok(())
    });
    let report = report.unwrap();
    assert_all_kept(&report, 24);
    assert!(report.moved >= 8, "{}", report.moved);
}

/// Sockets on those ports of the hosts.
fn foreign(hosts: &[IpAddr], ports: &[u16]) -> Vec<UdpSocket> {
    let at = |host: &IpAddr| {
        let host = *host;
        ports.iter().map(move |port| (host, *port))
    };
    let all = hosts.iter().flat_map(at);
    all.map(|at| UdpSocket::bind(at).unwrap()).collect()
}

/// The callee may have been called twice: where a node's port towards it is another socket's, the
/// first INVITE is cancelled.
// spec: X51
#[test]
fn ports_that_other_sockets_have_refuse_no_call() {
    build().unwrap();
    let block = Block::unique().unwrap();
    let nodes: Vec<IpAddr> = (0..NODES).map(|n| block.node_sip(n).ip()).collect();
    let agent = [block.agent_sip().ip()];
    let early = [20_000, 20_007, 20_014];
    let early = [foreign(&nodes, &early), foreign(&agent, &early)];
    let mut rig = Rig::start_at(block, |text| text).unwrap();
    // These nobody knows of before a call meets them; a node has given out 32 when the fault comes.
    let late = [20_004, 20_011, 20_018, 20_022, 20_030];
    let late = [foreign(&nodes, &late), foreign(&agent, &late)];
    let more = foreign(&agent, &[20_042, 20_056, 20_070]);
    let report = rig.load(&plan(24, &[2], 6), |rig, moment| {
        match moment {
            Moment::AllUp { failed } => assert_eq!(failed, 0),
            Moment::Fault(_) => {
                let (node, _) = rig.busiest()?;
                rig.kill_node(node)?;
            }
            Moment::Observed => {}
        }
        Ok(())
    });
    let report = report.unwrap();
    assert_eq!((report.placed, report.answered), (24, 24));
    assert!(report.moved >= 8, "{}", report.moved);
    let faults = report.calls.iter().flat_map(|call| &call.faults);
    let faults: Vec<_> = faults
        .filter(|fault| !fault.contains("a second call"))
        .collect();
    assert!(faults.is_empty(), "{}", report.complaints());
    assert!(!report.gap_exceeded, "a silence was longer than 2 s");
    drop((early, late, more));
}

/// The value of a counter or gauge on a node's page.
fn figure(rig: &Rig, node: usize, name: &str) -> Result<f64, Error> {
    let text = get(rig.block.node_http(node), "/metrics")?.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.map_or(Ok(0.0), |value| value.trim().parse())?)
}

/// A node with room for hundreds of calls and ports for two, of which one is for other nodes'.
// spec: X51
#[test]
fn a_node_without_ports_says_that_it_is_full_and_is_not_asked_again_and_again() {
    build().unwrap();
    let setup = Setup {
        block: Block::unique().unwrap(),
        lan: None,
        adapt: &|name, text| match name {
            "node-1" => text.replace(PORTS, "20000-20007"),
            _ => text,
        },
        nodes: NODES,
    };
    let mut rig = Rig::start_as(setup).unwrap();
    let report = rig.load(&plan(40, &[3], 6), |rig, moment| {
        match moment {
            Moment::AllUp { failed } => assert_eq!(failed, 0),
            Moment::Fault(_) => {
                let full = get(rig.block.node_http(0), "/status")?.text();
                assert!(full.contains("\"utilization\":100"), "{full}");
                let (node, _) = rig.busiest()?;
                assert_ne!(node, 0);
                rig.kill_node(node)?;
            }
            Moment::Observed => {
                let refused = "holdline_calls_refused_total{status=\"503\"}";
                let refused = figure(rig, 0, refused)?;
                println!("node 1 refused {refused} calls");
                assert!(refused <= 8.0, "it was asked {refused} times in vain");
            }
        }
        Ok(())
    });
    assert_all_kept(&report.unwrap(), 40);
}
