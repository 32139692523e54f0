//! One agent and one node, started as an operator would, for benchmarks.

use crate::failure::Error;
use crate::rig::{Block, Household, Sig, binary, get};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a program may take until it is ready.
const READY: Duration = Duration::from_secs(15);
/// Calls that both programs take at most.
const CALLS: u32 = 20_000;

/// The running programs and what else a benchmark has started; all end on drop.
pub struct Stand {
    /// Its addresses: the agent, node 0, caller and callee.
    pub block: Block,
    household: Household,
    dir: PathBuf,
}

impl Stand {
    /// Addresses and a directory, and nothing running.
    pub fn bare() -> Result<Stand, Error> {
        let block = Block::unique()?;
        let name = format!("holdline-bench-{}-{block}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir)?;
        Ok(Stand {
            block,
            household: Household::new(&dir),
            dir,
        })
    }

    /// An agent and a node that it calls through.
    pub fn start() -> Result<Stand, Error> {
        let stand = Stand::bare()?;
        let dir = &stand.dir;
        let node = dir.join("node.toml");
        std::fs::write(&node, stand.node_config(dir))?;
        stand.launch("node", &binary("b2bua-node")?, &["--config", text(&node)?])?;
        stand.ready("node", stand.block.node_http(0))?;
        stand.start_agent()?;
        Ok(stand)
    }

    /// Starts the agent; who serves the trunk document where node 0 has its pages is up already.
    pub fn start_agent(&self) -> Result<(), Error> {
        let config = self.dir.join("agent.toml");
        std::fs::write(&config, self.agent_config())?;
        let arguments = ["--config", text(&config)?];
        self.launch("agent", &binary("holdline-agent")?, &arguments)?;
        self.ready("agent", self.block.agent_http())
    }

    /// Starts one more program.
    pub fn launch(&self, name: &str, program: &Path, arguments: &[&str]) -> Result<(), Error> {
        Ok(self.household.spawn(name, program, arguments)?)
    }

    /// Where programs may write; it goes with the stand.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process of a program that runs.
    pub fn pid(&self, name: &str) -> Result<u32, Error> {
        match self.household.pid(name) {
            Some(pid) if self.household.is_running(name) => Ok(pid),
            _ => Err(self.failure(&format!("{name} is not running"))),
        }
    }

    /// CPU seconds of a program and its children.
    pub fn cpu(&self, name: &str) -> Result<f64, Error> {
        Ok(super::cpu(self.pid(name)?)?.as_secs_f64())
    }

    /// Waits until `done`.
    pub fn wait(&self, what: &str, mut done: impl FnMut() -> bool) -> Result<(), Error> {
        let start = Instant::now();
        while !done() {
            if start.elapsed() > READY {
                return Err(self.failure(&format!("waited in vain until {what}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends a program.
    pub fn end(&self, name: &str) -> Result<(), Error> {
        self.household.signal(name, Sig::Kill)?;
        self.household.reap(name)?;
        Ok(())
    }

    fn failure(&self, what: &str) -> Error {
        format!("{what}\n{}", self.household.log_tails()).into()
    }

    fn ready(&self, name: &str, http: SocketAddr) -> Result<(), Error> {
        self.wait(&format!("{name} is ready"), || {
            get(http, "/readyz").is_ok_and(|page| page.status == 200)
        })
    }

    /// Its calls may fall silent for good: they wait for minutes while other systems are measured.
    fn agent_config(&self) -> String {
        let block = &self.block;
        let (sip, http, source) = (block.agent_sip(), block.agent_http(), block.node_http(0));
        let (allow, address) = (block.allow(), sip.ip());
        format!(
            "[sip]\nlisten = [\"udp:{sip}\"]\nallow = [\"{allow}\"]\nmax_calls = {CALLS}\n\
             [media]\nmode = \"relay\"\naddress = \"{address}\"\nports = \"10000-32767\"\n\
             timeout = \"off\"\n\
             [http]\nlisten = \"{http}\"\n\
             [[trunk]]\nname = \"bench\"\nconfig = \"http://{source}/trunk\"\n"
        )
    }

    fn node_config(&self, dir: &Path) -> String {
        let block = &self.block;
        let (sip, http, agent) = (
            block.node_sip(0),
            block.node_http(0),
            block.agent_sip().ip(),
        );
        let (address, callee, dir) = (sip.ip(), block.callee(), dir.display());
        format!(
            "[node]\ncapacity = {CALLS}\n[sip]\nlisten = [\"udp:{sip}\"]\n\
             [media]\naddress = \"{address}\"\nports = \"10000-32767\"\ntimeout = \"off\"\n\
             [http]\nlisten = \"{http}\"\n[upstream]\nallow = [\"{agent}/32\"]\n\
             [downstream]\ntarget = \"sip:{callee}\"\n\
             [store]\nurl = \"sqlite://{dir}/dialogs.db\"\n\
             [trunk]\nname = \"bench.example\"\nuri = \"http://{http}/trunk\"\n\
             instances = [{{ address = \"{sip}\" }}]\n"
        )
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.household.end_all();
    }
}

pub(super) fn text(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| "a path is no text".into())
}
