//! The real programs on this machine: three nodes, an agent, a store between the nodes, and the
//! load generator as both ends of the calls. For the demo and the loopback tests.
//!
//! Every rig has loopback addresses, a directory and processes of its own, so several may run at
//! a time. Whatever happens, nothing of it outlives the program that made it: all is ended on
//! drop, and the kernel kills the processes when their parent dies without a word.

mod addresses;
mod capture;
mod config;
mod household;
mod http;
mod load;
mod programs;
mod report;
mod status;

pub use addresses::{AGENT, Block, CALLEE, HTTP_PORT, NODES, SIP_PORT, node_name};
pub use capture::{Capture, Captured, nanoseconds};
pub use household::{Household, Sig};
pub use http::{Page, get};
pub use load::{Moment, Plan};
pub use programs::{binary, build};
pub use report::{Call, Fault, Gaps, Hearing, Lateness, Pause, Report, Stretch};
pub use status::{AgentStatus, Evidence, FailoverStatus, NodeStatus, StoreStatus, Verdict};

pub use crate::failure::Error;

use crate::failure::Failure;
use crate::netns::Lan;
use std::cell::Cell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// How long a program may take until it is ready.
const READY: Duration = Duration::from_secs(10);
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(10);

/// How a rig is to be.
pub struct Setup<'a> {
    /// Its addresses.
    pub block: Block,
    /// A host for each program by its name, and one for the downstream user agent: [`CALLEE`].
    /// Without, all are on this one.
    pub lan: Option<Lan>,
    /// May change the configuration of the program of that name.
    pub adapt: &'a dyn Fn(&str, String) -> String,
    /// How many nodes are started, the first ones; [`Rig::start_node`] starts the others.
    pub nodes: usize,
}

/// The running programs.
pub struct Rig {
    /// Its addresses.
    pub block: Block,
    household: Household,
    lan: Option<Lan>,
    dir: PathBuf,
    /// CPU time of nodes that are gone.
    spent: Duration,
    /// The logs were shown already.
    told: Cell<bool>,
}

impl Rig {
    /// Starts nodes and agent at addresses that nobody else has, and waits until every node is
    /// alive for the agent. Builds the programs first where it runs under cargo.
    pub fn start() -> Result<Rig, Error> {
        build()?;
        Rig::start_at(Block::unique()?, |text| text)
    }

    /// The same at `block`; `adapt` may change the agent's configuration.
    pub fn start_at(block: Block, adapt: impl Fn(String) -> String) -> Result<Rig, Error> {
        Rig::start_as(Setup {
            block,
            lan: None,
            adapt: &|name, text| if name == AGENT { adapt(text) } else { text },
            nodes: NODES,
        })
    }

    /// The same as `setup` says.
    pub fn start_as(setup: Setup) -> Result<Rig, Error> {
        let (block, adapt) = (setup.block, setup.adapt);
        // Rigs on hosts of their own have the same addresses, two at a time perhaps.
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("holdline-{}-{block}-{count}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir)?;
        let rig = Rig {
            block,
            household: Household::new(&dir),
            lan: setup.lan,
            dir,
            spent: Duration::ZERO,
            told: Cell::new(false),
        };
        for n in 0..NODES {
            let (name, text) = (node_name(n), config::node(&block, n, &rig.dir));
            std::fs::write(rig.config(&name), adapt(&name, text))?;
        }
        for n in 0..setup.nodes {
            rig.start_node(n)?;
        }
        for n in 0..setup.nodes {
            rig.wait_ready(&node_name(n), rig.block.node_http(n))?;
        }
        let text = adapt(AGENT, config::agent(&block, &rig.dir));
        std::fs::write(rig.config(AGENT), text)?;
        rig.launch(AGENT, "holdline-agent")?;
        rig.wait_ready(AGENT, rig.block.agent_http())?;
        rig.wait_alive(setup.nodes)?;
        Ok(rig)
    }

    /// Does `work` on the host of a program.
    pub fn on<T>(&self, program: &str, work: impl FnOnce() -> T) -> Result<T, Error> {
        match &self.lan {
            None => Ok(work()),
            Some(lan) => Ok(lan.host(program)?.within(work)?),
        }
    }

    /// The hosts, where each program has its own.
    pub fn lan(&self) -> Result<&Lan, Error> {
        self.lan
            .as_ref()
            .ok_or_else(|| "this rig has no hosts of its own".into())
    }

    /// Who ends the processes; for a signal handler.
    pub fn household(&self) -> &Household {
        &self.household
    }

    /// Configurations, logs and the store.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The configuration of a program: `agent`, `node-1` ...
    pub fn config(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.toml"))
    }

    fn launch(&self, name: &str, program: &str) -> Result<(), Error> {
        let config = self.config(name);
        let config = config.to_str().ok_or("the directory's name is no text")?;
        let program = binary(program)?;
        let spawn = || self.household.spawn(name, &program, &["--config", config]);
        Ok(self.on(name, spawn)??)
    }

    /// Starts node `n` (from 0).
    pub fn start_node(&self, n: usize) -> Result<(), Error> {
        self.launch(&node_name(n), "b2bua-node")
    }

    /// SIGKILL to node `n`; it is gone on return. When the signal was sent, by the calendar.
    pub fn kill_node(&mut self, n: usize) -> Result<SystemTime, Error> {
        let name = node_name(n);
        self.spent += self.household.cpu(&name);
        let at = SystemTime::now();
        self.household.signal(&name, Sig::Kill)?;
        self.household.reap(&name)?;
        Ok(at)
    }

    /// SIGKILL to the agent; it is gone on return.
    pub fn kill_agent(&mut self) -> Result<(), Error> {
        self.household.signal(AGENT, Sig::Kill)?;
        self.household.reap(AGENT)?;
        Ok(())
    }

    /// Starts the agent again, and waits until every node is alive for it.
    pub fn start_agent(&self) -> Result<(), Error> {
        self.launch(AGENT, "holdline-agent")?;
        self.wait_ready(AGENT, self.block.agent_http())?;
        self.wait_all_alive()
    }

    /// The process of a program: `agent`, `node-1` ...
    pub fn signal(&self, name: &str, signal: Sig) -> Result<(), Error> {
        Ok(self.household.signal(name, signal)?)
    }

    /// Whether that program runs.
    pub fn is_running(&self, name: &str) -> bool {
        self.household.is_running(name)
    }

    /// Stops node `n` as it is (SIGSTOP); [`Rig::resume_node`] lets it run on.
    pub fn pause_node(&self, n: usize) -> Result<(), Error> {
        Ok(self.household.signal(&node_name(n), Sig::Stop)?)
    }

    /// SIGCONT to node `n`.
    pub fn resume_node(&self, n: usize) -> Result<(), Error> {
        Ok(self.household.signal(&node_name(n), Sig::Continue)?)
    }

    /// The process of node `n`.
    pub fn node_pid(&self, n: usize) -> Option<u32> {
        self.household.pid(&node_name(n))
    }

    /// CPU time of the agent, and of all nodes together, those that died included.
    pub fn cpu(&self) -> (Duration, Duration) {
        let now = |name: &str| self.household.cpu(name);
        let nodes = (0..NODES).map(|n| now(&node_name(n)));
        (now(AGENT), self.spent + nodes.sum::<Duration>())
    }

    /// The agent's `/status`.
    pub fn status(&self) -> Result<AgentStatus, Error> {
        let page = self.on(AGENT, || get(self.block.agent_http(), "/status"))??;
        if page.status != 200 {
            return Err(format!("/status of the agent answers {}", page.status).into());
        }
        Ok(serde_json::from_slice(&page.body)?)
    }

    /// The number of the node at `address`, from 0.
    pub fn node_at(&self, address: SocketAddr) -> Option<usize> {
        (0..NODES).find(|&n| self.block.node_sip(n) == address)
    }

    /// The node with the most calls, by the agent's count, and how many those are.
    pub fn busiest(&self) -> Result<(usize, usize), Error> {
        let status = self.status()?;
        let alive = status.trunk.nodes.iter().filter(|n| n.state == "alive");
        let busiest = alive.max_by_key(|node| node.calls);
        busiest
            .and_then(|node| Some((self.node_at(node.address)?, node.calls)))
            .ok_or_else(|| "no node is alive".into())
    }

    /// Waits until a program's `/readyz` says 200.
    fn wait_ready(&self, name: &str, http: SocketAddr) -> Result<(), Error> {
        self.wait(&format!("{name} is ready"), READY, || {
            if !self.household.is_running(name) {
                return Err(self.failure(&format!("{name} has ended")));
            }
            let page = self.on(name, || get(http, "/readyz"))?;
            Ok(page.is_ok_and(|page| page.status == 200))
        })
    }

    /// Waits until the agent holds every node for alive.
    pub fn wait_all_alive(&self) -> Result<(), Error> {
        self.wait_alive(NODES)
    }

    fn wait_alive(&self, count: usize) -> Result<(), Error> {
        let what = format!("{count} nodes are alive for the agent");
        self.wait(&what, READY, || {
            let nodes = self.status()?.trunk.nodes;
            let alive = nodes.iter().filter(|node| node.state == "alive");
            Ok(nodes.len() == NODES && alive.count() == count)
        })
    }

    /// Waits until `done`, at most so long; `what` is for the error.
    pub fn wait(
        &self,
        what: &str,
        patience: Duration,
        mut done: impl FnMut() -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let start = Instant::now();
        while !done()? {
            if start.elapsed() > patience {
                return Err(self.failure(&format!("waited {patience:?} in vain until {what}")));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// An error with the ends of the logs.
    fn failure(&self, what: &str) -> Error {
        self.told.set(true);
        Failure(format!("{what}\n{}", self.household.log_tails())).into()
    }

    /// Whether all programs that should run do; else who does not.
    pub fn all_running(&self) -> Result<(), Error> {
        let names = std::iter::once(AGENT.to_owned()).chain((0..NODES).map(node_name));
        let gone: Vec<_> = names
            .filter(|name| !self.household.is_running(name))
            .collect();
        if gone.is_empty() {
            Ok(())
        } else {
            Err(format!("not running: {}", gone.join(", ")).into())
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.told.get() {
            eprintln!("{}", self.household.log_tails());
        }
        self.household.end_all();
    }
}
