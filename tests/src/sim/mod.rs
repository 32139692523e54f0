//! The simulated world: the real cores of agent and nodes in virtual time, against models of the
//! network, the store, the relays' ports, the config source and both ends of every call.
//!
//! A seed draws everything ([`plan`]); the same seed gives the same transcript ([`transcript`]),
//! in any process. What must hold is written in [`judge`](World) and [`watch`].

mod draw;
mod host;
mod judge;
mod media;
mod mutant;
mod network;
pub mod plan;
mod sample;
pub mod transcript;
pub mod watch;
mod world;

pub use mutant::Mutant;
pub use plan::Plan;
pub use watch::Failure;
pub use world::World;

use std::time::Duration;
use transcript::Line;

/// What to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How many calls; drawn where it is not said.
    pub calls: Option<usize>,
    /// A bug to plant.
    pub mutant: Option<Mutant>,
    /// Whether to keep the transcript's lines.
    pub keep: bool,
}

/// What came of a seed.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What was drawn.
    pub plan: Plan,
    /// What must not be; empty where all is well.
    pub failures: Vec<Failure>,
    /// The transcript's hash.
    pub hash: u64,
    /// How many entries it has.
    pub entries: u64,
    /// Its lines, if they were kept.
    pub lines: Vec<Line>,
    /// Calls that were up on the node that died.
    pub affected: usize,
    /// From the death to media both ways, for each of them that was recovered; sorted.
    pub recoveries: Vec<Duration>,
    /// Real RTP packets that callers heard.
    pub packets: u64,
}

impl Outcome {
    /// What was drawn, in a line.
    pub fn headline(&self) -> String {
        let plan = &self.plan;
        format!(
            "seed {}: {} calls, {} on node{}, {:?}{} at {:.3} s, store {:?}, {} packets, {} entries, hash {:016x}",
            self.seed,
            plan.calls.len(),
            self.affected,
            plan.disaster.node + 1,
            plan.disaster.death,
            if plan.icmp { "" } else { " without ICMP" },
            plan.disaster.at.as_secs_f64(),
            plan.store_fault,
            self.packets,
            self.entries,
            self.hash
        )
    }

    /// The transcript's lines around the first failing call, or the first lines about no call.
    pub fn story(&self) -> Vec<String> {
        let call = self.failures.iter().find_map(|failure| failure.call);
        let about = |line: &&Line| match call {
            Some(call) => line.call == Some(call) || (line.call.is_none() && is_news(&line.text)),
            None => is_news(&line.text),
        };
        let shown = self.lines.iter().filter(about);
        shown
            .map(|line| format!("{:>11.6} {}", line.at.as_secs_f64(), line.text))
            .collect()
    }
}

/// Lines about no call that belong in every story.
fn is_news(text: &str) -> bool {
    let dull = [
        " -> ",
        " relay ",
        " asks store",
        "store answers",
        "Listen",
        "Release",
    ];
    !dull.iter().any(|word| text.contains(word))
}

/// Runs `seed`.
pub fn run(seed: u64, options: Options) -> Outcome {
    let plan = Plan::draw(seed, options.calls);
    let mut world = World::new(plan.clone(), options.mutant, options.keep);
    world.run();
    Outcome {
        seed,
        plan,
        hash: world.transcript.hash(),
        entries: world.transcript.entries(),
        lines: world.transcript.lines().to_vec(),
        affected: world
            .watch
            .calls()
            .filter(|(_, seen)| seen.affected)
            .count(),
        recoveries: world.recoveries(),
        packets: world.samples.packets,
        failures: std::mem::take(&mut world.watch.failures),
    }
}
