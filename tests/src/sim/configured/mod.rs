//! The third campaign: configurations of both programs over their whole ranges, their ends and the
//! edges of their relations most often. Each that is accepted runs (spec: X50): a minute of calls
//! with media on a sound network, during which no node is suspected or held for dead. In some worlds a
//! node is killed in the end, so that the settings of moves are in use too.

mod file;

use super::draw::Draw;
use super::plan::{
    AFTERMATH, Act, CallPlan, Conditions, Configured, Document, End, FarEnd, Plan, Rules, Scarce,
    Step, Trouble, What, at_ms,
};
use crate::ua::CallNumber;
use b2bua_node::config::Config as NodeConfig;
use file::{Drawn, Fixed, draw_file};
use holdline_agent::config::Config as AgentConfig;
use holdline_wire::Time;
use std::time::Duration;

/// Nothing else is drawn from this stream.
const PURPOSE: u8 = 200;
/// When the node dies, where one does; calls go on for long enough after it.
const DEATH: u64 = 40_000;
/// A node says what it carries once a second at most (spec: D33), and calls go by that.
const APART: u64 = 1100;
/// Media ports begin here: SIP has 5060 at the same address.
const FIRST_PORT: u64 = 6000;
/// So many calls fit into the ports of a host, twice.
const CALLS_MAX: usize = 1000;
/// RTP and RTCP on either side, in ports.
const CALL_PORTS: u64 = 4;

impl Plan {
    /// Draws the configurations of `seed` and the calls that they run; and what the programs accepted
    /// or refused in error.
    pub fn configured_of(seed: u64, calls: Option<usize>) -> (Plan, Vec<String>) {
        let mut draw = Draw::new(seed, PURPOSE);
        let mut faults = Vec::new();
        let nodes = 2 + draw.below(4) as usize;
        let wanted = calls.map_or(1 + draw.below(6), |calls| calls.min(CALLS_MAX) as u64);
        let dies = draw.chance(300);
        let agent = draw_agent(&mut draw, wanted, dies, &mut faults);
        let drawn = (0..nodes).map(|n| draw_node(&mut draw, n, wanted, &mut faults));
        let drawn: Option<Vec<_>> = drawn.collect();
        let (Some(agent), Some(drawn)) = (agent, drawn) else {
            return (empty(seed), faults);
        };
        let room = |node: &Drawn<NodeConfig>| node.config.node.capacity as u64;
        // Who outlives a death has room for all.
        let room = match dies {
            true => drawn.iter().map(room).min().unwrap_or(0),
            false => drawn.iter().map(room).sum(),
        };
        let count = wanted.min(room).min(agent.config.sip.max_calls() as u64);
        let mut told = vec![format!("agent: {}", agent.told)];
        told.extend(
            (1..)
                .zip(&drawn)
                .map(|(n, node)| format!("node {n}: {}", node.told)),
        );
        let trouble = Trouble {
            at: at_ms(DEATH),
            lasts: None,
            what: What::Killed(draw.below(nodes as u64) as usize),
        };
        let plan = Plan {
            nodes: drawn.iter().map(|node| node.config.node.capacity).collect(),
            calls: (1..)
                .take(count as usize)
                .map(|n| draw_call(&mut draw, n, dies))
                .collect(),
            troubles: dies.then_some(trouble).into_iter().collect(),
            network: network(&mut draw),
            store_delay: draw.ms(1, 15),
            configured: Some(Configured {
                agent: agent.config,
                nodes: drawn.into_iter().map(|node| node.config).collect(),
                told: told.join("; "),
            }),
            ..empty(seed)
        };
        let end = plan.last_hangup() + AFTERMATH;
        (Plan { end, ..plan }, faults)
    }
}

/// A world in which nothing happens.
fn empty(seed: u64) -> Plan {
    let ms = Duration::from_millis;
    Plan {
        seed,
        rules: Rules::Storm,
        nodes: Vec::new(),
        one_address: false,
        calls: Vec::new(),
        troubles: Vec::new(),
        network: Conditions {
            icmp: true,
            loss: 0,
            duplicates: 0,
            reorder: false,
            delay: (ms(1), ms(1)),
            rtp_loss: 0,
            rtp_jitter: Duration::ZERO,
        },
        store_delay: ms(1),
        documents: vec![(at_ms(10), Document::default())],
        scarce: Scarce::default(),
        far_end: FarEnd::default(),
        configured: None,
        end: Time::ZERO,
    }
}

fn network(draw: &mut Draw) -> Conditions {
    let (from, to) = [(200, 1000), (1000, 5000)][draw.below(2) as usize];
    Conditions {
        delay: (Duration::from_micros(from), Duration::from_micros(to)),
        ..empty(0).network
    }
}

fn draw_call(draw: &mut Draw, number: CallNumber, dies: bool) -> CallPlan {
    let mut call = CallPlan::new(number, at_ms(1500 + APART * u64::from(number)));
    call.ring = draw.ms(0, 300);
    call.early_media = draw.chance(300);
    let by = [End::Caller, End::Callee][draw.below(2) as usize];
    // All are up when the node dies, and can be seen to be well again.
    let at = at_ms(if dies { 50_000 } else { 20_000 } + draw.below(10_000));
    let at = if draw.chance(500) { at_ms(60_000) } else { at };
    call.steps.push(Step {
        at,
        by,
        act: Act::Hangup,
    });
    call
}

/// As few ports as so many calls need, or more.
fn draw_ports(draw: &mut Draw, needed: u64) -> String {
    let width = match draw.below(2) {
        0 => needed,
        _ => needed + draw.below(59_000 - needed),
    };
    let first = FIRST_PORT + 2 * draw.below((65_536 - FIRST_PORT - width) / 2);
    format!("ports = \"{first}-{}\"", first + width - 1)
}

fn draw_agent(
    draw: &mut Draw,
    calls: u64,
    dies: bool,
    faults: &mut Vec<String>,
) -> Option<Drawn<AgentConfig>> {
    let one_of =
        |draw: &mut Draw, all: &[&str]| all[draw.below(all.len() as u64) as usize].to_owned();
    // A call that moves has its next far ports before it gives up the old ones.
    let ports = if dies {
        calls * 2 * CALL_PORTS
    } else {
        calls * CALL_PORTS
    };
    let mut fixed: Vec<Fixed> = vec![
        (
            "sip",
            "listen = [\"udp:10.0.0.1:5060\"]\nallow = [\"10.0.0.2/32\"]".to_owned(),
        ),
        (
            "media",
            "mode = \"relay\"\naddress = \"10.0.0.1\"".to_owned(),
        ),
        ("media", draw_ports(draw, ports.max(2 * CALL_PORTS))),
        ("http", "listen = \"10.0.0.1:9060\"".to_owned()),
        (
            "trunk[]",
            "name = \"t\"\nconfig = \"http://10.0.1.1/trunk\"".to_owned(),
        ),
        (
            "failover",
            one_of(draw, &["", "pacing = \"window\"", "pacing = \"adaptive\""]),
        ),
        (
            "failover",
            one_of(
                draw,
                &["", "targets = \"uniform\"", "targets = \"weighted\""],
            ),
        ),
    ];
    if !dies {
        fixed.push(("failover", one_of(draw, &["", "dry_run = true"])));
    }
    draw_file(draw, &fixed, AgentConfig::validate, faults)
}

fn draw_node(
    draw: &mut Draw,
    n: usize,
    calls: u64,
    faults: &mut Vec<String>,
) -> Option<Drawn<NodeConfig>> {
    let ip = format!("10.0.1.{}", n + 1);
    let fixed: Vec<Fixed> = vec![
        ("sip", format!("listen = [\"udp:{ip}:5060\"]")),
        ("media", format!("address = \"{ip}\"")),
        (
            "media",
            draw_ports(draw, (calls * CALL_PORTS).max(2 * CALL_PORTS)),
        ),
        ("http", format!("listen = \"{ip}:8080\"")),
        ("upstream", "allow = [\"10.0.0.1/32\"]".to_owned()),
        ("downstream", "target = \"sip:10.0.0.3:5060\"".to_owned()),
        (
            "store",
            "url = \"sqlite:///var/lib/holdline/dialogs.db\"".to_owned(),
        ),
        (
            "trunk",
            "name = \"trunk.example\"\ninstances = []".to_owned(),
        ),
    ];
    draw_file(draw, &fixed, NodeConfig::validate, faults)
}
