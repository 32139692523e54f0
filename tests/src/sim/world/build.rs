//! The programs of a world, made from its plan.

use crate::sim::draw::seed_bytes;
use crate::sim::plan::{FarEnd, Plan};
use crate::ua::{self, Profile, Ua};
use b2bua_node::core::{NodeConfig, NodeCore};
use b2bua_node::store::{MemoryStore, Store};
use holdline_agent::core::{AgentCore, Limits, Moving, Settings};
use holdline_host::config::PortRange;
use holdline_wire::Time;
use holdline_wire::header::InstanceAgent;
use holdline_wire::machine::{Input, Machine};
use holdline_wire::token::Tokens;
use std::net::SocketAddr;
use std::time::Duration;

/// The agent's media ports where no configuration says.
const AGENT_PORTS: (u16, u16) = (10_000, 39_999);

pub(super) fn agent_ports(plan: &Plan) -> (u16, u16) {
    match &plan.configured {
        Some(configured) => ends(configured.agent.media.ports),
        None => {
            let (first, last) = AGENT_PORTS;
            (first, plan.scarce.last_port(None, first, last))
        }
    }
}

fn ends(ports: PortRange) -> (u16, u16) {
    (*ports.ports().start(), *ports.ports().end())
}

/// The agent at `sip`, in its `run`-th process from 0.
pub(super) fn agent(plan: &Plan, sip: SocketAddr, run: u32) -> AgentCore {
    // The seeds of nodes begin at 20.
    let purpose = if run == 0 { 10 } else { 200 + run as u8 };
    let seed = seed_bytes(plan.seed, purpose);
    let incarnation = format!("{:016x}-{run}", plan.seed ^ 0xa6e7);
    if let Some(configured) = &plan.configured {
        return AgentCore::new(configured.agent.settings(sip, &incarnation), seed);
    }
    let settings = Settings {
        agent: InstanceAgent {
            id: "agent-1".into(),
            incarnation: incarnation.into(),
        },
        trunk: "trunk.example".to_owned(),
        sip,
        allow: vec!["10.0.0.2/32".parse().expect("a network")],
        media: sip.ip(),
        ports: agent_ports(plan),
        max_calls: 10_000,
        setup_timeout: Duration::from_secs(185),
        health: Default::default(),
        moving: Moving::default(),
        limits: Limits::default(),
    };
    AgentCore::new(settings, seed)
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address of the world")
}

/// The SIP address of node `n`.
pub(super) fn node_address(plan: &Plan, n: usize) -> SocketAddr {
    if plan.one_address {
        address(&format!("10.0.1.1:{}", 5060 + 10 * n))
    } else {
        address(&format!("10.0.1.{}:5060", n + 1))
    }
}

pub(super) fn node_ports(plan: &Plan, n: usize) -> (u16, u16) {
    if let Some(node) = plan.configured.as_ref().and_then(|all| all.nodes.get(n)) {
        return ends(node.media.ports);
    }
    let place = if plan.one_address { n as u16 } else { 0 };
    let first = 10_000 + 15_000 * place;
    let last = plan.scarce.last_port(Some(n), first, first + 14_999);
    (first, last)
}

pub(super) fn ua(ip: &str, seed: u64, purpose: u8, far_end: &FarEnd) -> Ua {
    let sip = address(&format!("{ip}:5060"));
    // What others say is never taken for what agent and node say to each other.
    let alike = [
        (
            "Reason",
            "SIP;cause=301;text=\"Moved Permanently; participant removed\"",
        ),
        ("Instance-Bye", "moved"),
    ];
    let alike = alike.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let profile = Profile {
        bye_headers: alike.into(),
        server: far_end.server.clone(),
        replaces_delay: far_end.delay,
        moving: far_end.moving,
        freezes_beyond: far_end.freezes_beyond,
        ..Profile::new(sip)
    };
    let mut ua = Ua::new(profile, Tokens::new(seed_bytes(seed, purpose)));
    let ports = ua::ports(sip.ip(), 10_000, 27_000);
    ua.handle(Time::ZERO, Input::Other(ua::In::Ports(ports)));
    ua
}

/// Node `n` in its `run`-th process from 0, which starts `now`; it calls the downstream UA at `callee`.
pub(super) fn node(
    plan: &Plan,
    (n, run): (usize, u32),
    callee: SocketAddr,
    store: &MemoryStore,
    now: Time,
) -> NodeCore {
    let purpose = 20 + n as u8 * 20 + run as u8;
    let seed = seed_bytes(plan.seed, purpose);
    let incarnation = format!("{:016x}-{n}-{run}", plan.seed ^ 0x5eed);
    let sip = node_address(plan, n);
    if let Some(configured) = &plan.configured {
        let config = configured.nodes[n].settings(sip, &incarnation, seed);
        return NodeCore::new(config, now);
    }
    let base = NodeConfig::new(sip, callee, &incarnation, seed);
    let config = NodeConfig {
        ports: node_ports(plan, n),
        capacity: plan.nodes[n],
        upstream: vec!["10.0.0.1/32".parse().expect("a network")],
        store: Some(store.identity().into()),
        replaces_in_flight: plan.far_end.at_a_time,
        ..base
    };
    NodeCore::new(config, now)
}
