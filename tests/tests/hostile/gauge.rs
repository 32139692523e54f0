//! What a program tells of itself: its metrics, and the memory that the kernel counts.

use holdline_tests::rig::{AGENT, Error, NODES, Rig, get, node_name};
use std::net::SocketAddr;

/// A program under attack.
#[derive(Clone, Debug)]
pub struct Program {
    pub name: String,
    pub sip: SocketAddr,
    pub http: SocketAddr,
}

/// The agent and all nodes.
pub fn programs(rig: &Rig) -> Vec<Program> {
    let agent = Program {
        name: AGENT.to_owned(),
        sip: rig.block.agent_sip(),
        http: rig.block.agent_http(),
    };
    let node = |n| Program {
        name: node_name(n),
        sip: rig.block.node_sip(n),
        http: rig.block.node_http(n),
    };
    std::iter::once(agent).chain((0..NODES).map(node)).collect()
}

/// The samples of `/metrics` at a moment.
pub struct Metrics(Vec<(String, f64)>);

impl Metrics {
    pub fn read(http: SocketAddr) -> Result<Metrics, Error> {
        let text = get(http, "/metrics")?.text();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(Metrics(samples.collect()))
    }

    /// The sum of all samples called `holdline_NAME`, whatever their labels.
    pub fn sum(&self, name: &str) -> u64 {
        let is_it = |sample: &str| {
            let rest = sample.strip_prefix("holdline_");
            let rest = rest.and_then(|rest| rest.strip_prefix(name));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
        };
        self.total(is_it)
    }

    /// The sample of `holdline_NAME` with that label; 0 where there is none yet.
    pub fn labelled(&self, name: &str, label: &str, value: &str) -> u64 {
        let wanted = format!("{label}=\"{value}\"");
        self.total(|sample| {
            sample.starts_with(&format!("holdline_{name}{{")) && sample.contains(&wanted)
        })
    }

    fn total(&self, is_it: impl Fn(&str) -> bool) -> u64 {
        let found = self.0.iter().filter(|(name, _)| is_it(name));
        found.map(|(_, value)| *value as u64).sum()
    }
}

/// Resident memory of a program, MiB.
pub fn resident(rig: &Rig, name: &str) -> u64 {
    let pid = rig.household().pid(name).expect("it runs");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.expect("a number of kB") / 1024
}

/// All programs run and answer `/healthz`.
pub fn assert_healthy(rig: &Rig) -> Result<(), Error> {
    rig.all_running()?;
    for program in programs(rig) {
        let page = get(program.http, "/healthz")?;
        assert_eq!(page.status, 200, "{} is not healthy", program.name);
    }
    Ok(())
}
