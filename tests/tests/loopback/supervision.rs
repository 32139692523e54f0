//! A thread or task of a program dies: the program says why and ends, so that somebody else does its
//! work. The panics are planted, which only builds with debug assertions allow.

use holdline_tests::rig::{
    AGENT, Block, Error, Household, NODES, Rig, Setup, Sig, binary, build, get, node_name,
};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The threads and tasks that both programs have.
const SHARED: [&str; 6] = [
    "holdline-core",
    "holdline-relay",
    "holdline-log",
    "http",
    "signals",
    "drain",
];
/// The panic comes half a second after the start, the end within a second of it; a busy machine has more.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program that is started again and again.
struct Victim {
    name: String,
    program: &'static str,
    http: SocketAddr,
    household: Household,
    dir: PathBuf,
}

impl Victim {
    fn new(rig: &Rig, name: &str, program: &'static str, http: SocketAddr) -> Victim {
        Victim {
            name: name.to_owned(),
            program,
            http,
            household: rig.household().clone(),
            dir: rig.dir().to_owned(),
        }
    }

    /// Starts it with a panic planted in `thread` and waits for its end: what `/readyz` answered on
    /// the way, and the exit code.
    fn end(&self, thread: &str) -> Result<(Vec<u16>, Option<i32>), Error> {
        let planted = format!("HOLDLINE_PLANTED_PANIC={thread}");
        let program = binary(self.program)?;
        let config = self.dir.join(format!("{}.toml", self.name));
        let words = [program.to_string_lossy(), config.to_string_lossy()];
        let arguments = [&planted, &*words[0], "--config", &*words[1]];
        self.household
            .spawn(&self.name, "/usr/bin/env".as_ref(), &arguments)?;
        let (began, mut ready) = (Instant::now(), Vec::new());
        while self.household.is_running(&self.name) {
            ready.extend(get(self.http, "/readyz").map(|page| page.status));
            let name = &self.name;
            assert!(
                began.elapsed() < PATIENCE,
                "{name} goes on without {thread}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok((ready, self.household.reap(&self.name)?))
    }

    /// Every thread and task of it dies in turn. `first`: what it answers before, where that is sure.
    fn loses_each(&self, own: &str, first: Option<u16>) {
        let name = &self.name;
        for thread in SHARED.into_iter().chain([own]) {
            let (ready, code) = self.end(thread).unwrap();
            assert_eq!(code, Some(1), "{name} without {thread}");
            assert!(!ready.is_empty(), "{name} never served a page");
            assert!(first.is_none_or(|first| ready[0] == first), "{ready:?}");
            let log = std::fs::read_to_string(self.dir.join(format!("{name}.log"))).unwrap();
            let tells = |line: &str| {
                ["ERROR", thread, "has ended", "planted by a test"]
                    .iter()
                    .all(|part| line.contains(part))
            };
            assert!(log.lines().any(tells), "{name} without {thread}: {log}");
        }
    }
}

// spec: X52
#[test]
fn a_program_that_loses_a_thread_says_so_and_ends() {
    if !cfg!(debug_assertions) {
        eprintln!("SKIPPED: this build plants no panics");
        return;
    }
    build().unwrap();
    let setup = Setup {
        block: Block::unique().unwrap(),
        lan: None,
        adapt: &|_, text| text,
        nodes: 1,
    };
    let rig = Rig::start_as(setup).unwrap();
    let household = rig.household();
    household.signal(AGENT, Sig::Kill).unwrap();
    household.reap(AGENT).unwrap();
    let last = NODES - 1;
    let node = Victim::new(
        &rig,
        &node_name(last),
        "b2bua-node",
        rig.block.node_http(last),
    );
    let agent = Victim::new(&rig, AGENT, "holdline-agent", rig.block.agent_http());
    std::thread::scope(|scope| {
        scope.spawn(|| node.loses_each("holdline-store", Some(200)));
        // Whether it is ready depends on how soon it heard of the nodes.
        agent.loses_each("trunk-source", None);
    });
}
