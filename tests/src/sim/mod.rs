//! The simulated world: the real cores of agent and nodes in virtual time, against models of the
//! network, the store, the relays' ports, the config source and both ends of every call.
//!
//! A seed draws everything ([`plan`]), or a [`story`] says it; the same seed gives the same transcript ([`transcript`]),
//! in any process. What must hold is written in `judge`.

mod configured;
mod disaster;
mod draw;
mod host;
mod judge;
mod media;
mod mutant;
mod network;
pub mod plan;
mod sample;
mod shrink;
pub mod storm;
pub mod story;
pub mod transcript;
pub mod watch;
mod world;

pub use mutant::Mutant;
pub use plan::{Configured, Plan};
pub use shrink::shrink;
pub use watch::Failure;
pub use world::World;

use holdline_wire::Time;
use std::net::SocketAddr;
use std::panic::catch_unwind;
use std::time::Duration;
use transcript::Line;

/// Which plan a seed draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Campaign {
    /// One node of three dies.
    #[default]
    Disaster,
    /// Anything happens.
    Storm,
    /// Nothing happens, or little, to programs that are configured in every way they accept.
    Configuration,
}

/// What to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Which plan is drawn.
    pub campaign: Campaign,
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
    /// Which nodes were held for dead, and when.
    pub verdicts: Vec<(Time, usize)>,
    /// Which nodes could be used, for the first time or again.
    pub returns: Vec<(Time, usize)>,
    /// How often each call moved.
    moves: Vec<u32>,
    losses: usize,
    /// Calls that the calling server saw answered.
    pub answered: usize,
    /// Calls that were up on the node that died.
    pub affected: usize,
    /// From the death to media both ways, for each of them that was recovered; sorted.
    pub recoveries: Vec<Duration>,
    /// Real RTP packets that callers heard.
    pub packets: u64,
}

impl Outcome {
    /// Nothing came of `plan` but a failure.
    fn failed(plan: &Plan, failure: Failure) -> Outcome {
        Outcome {
            seed: plan.seed,
            plan: plan.clone(),
            failures: vec![failure],
            hash: 0,
            entries: 0,
            lines: Vec::new(),
            verdicts: Vec::new(),
            returns: Vec::new(),
            moves: Vec::new(),
            losses: 0,
            answered: 0,
            affected: 0,
            recoveries: Vec::new(),
            packets: 0,
        }
    }

    /// Calls that moved.
    pub fn moved(&self) -> usize {
        self.moves.iter().filter(|moves| **moves > 0).count()
    }

    /// How often the call moved that moved most.
    pub fn most_moves(&self) -> u32 {
        self.moves.iter().copied().max().unwrap_or(0)
    }

    /// Calls that could not be moved.
    pub fn lost(&self) -> usize {
        self.losses
    }

    /// What was drawn, in a line.
    pub fn headline(&self) -> String {
        let plan = &self.plan;
        let told = plan.configured.as_ref();
        let told = told.map_or(String::new(), |configured| format!("; {}", configured.told));
        format!(
            "seed {}: {} calls on {} nodes, {}{}, {} packets, {} entries, hash {:016x}{}",
            self.seed,
            plan.calls.len(),
            plan.nodes.len(),
            troubles(plan),
            if plan.network.icmp { "" } else { ", no ICMP" },
            self.packets,
            self.entries,
            self.hash,
            told
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

/// The troubles of a plan, in a line.
fn troubles(plan: &Plan) -> String {
    let told = plan.troubles.iter().map(|trouble| {
        let lasts = trouble.lasts.map(|lasts| format!(" for {lasts:?}"));
        let (at, lasts) = (trouble.at.as_secs_f64(), lasts.unwrap_or_default());
        format!("{:?}{lasts} at {at:.3} s", trouble.what)
    });
    told.collect::<Vec<_>>().join(", ")
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
    let (plan, faults) = match options.campaign {
        Campaign::Disaster => (Plan::disaster_of(seed, options.calls), Vec::new()),
        Campaign::Storm => (Plan::storm_of(seed, options.calls), Vec::new()),
        Campaign::Configuration => Plan::configured_of(seed, options.calls),
    };
    let mut outcome = run_plan(&plan, options.mutant, options.keep);
    outcome
        .failures
        .extend(faults.into_iter().map(Failure::at_start));
    outcome
}

/// Runs what `plan` says; `keep` keeps the transcript's lines. A panic of a program is a failure like
/// others.
pub fn run_plan(plan: &Plan, mutant: Option<Mutant>, keep: bool) -> Outcome {
    catch_unwind(|| run_world(plan, mutant, keep)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        let what = format!("a program panicked: {}", said.unwrap_or("without a word"));
        Outcome::failed(plan, Failure::at_start(what))
    })
}

fn run_world(plan: &Plan, mutant: Option<Mutant>, keep: bool) -> Outcome {
    let mut world = World::new(plan.clone(), mutant, keep);
    world.run();
    let nodes = |told: &[(Time, SocketAddr)]| {
        let known = told.iter();
        known
            .filter_map(|(at, node)| Some((*at, world.node_index(*node)?)))
            .collect()
    };
    Outcome {
        seed: plan.seed,
        hash: world.transcript.hash(),
        entries: world.transcript.entries(),
        lines: world.transcript.lines().to_vec(),
        affected: world
            .watch
            .calls()
            .filter(|(_, seen)| seen.affected)
            .count(),
        verdicts: nodes(&world.watch.verdicts),
        returns: nodes(&world.watch.returns),
        moves: world.watch.calls().map(|(_, seen)| seen.moved).collect(),
        losses: world
            .watch
            .calls()
            .filter(|(_, seen)| seen.lost.is_some())
            .count(),
        answered: world
            .watch
            .calls()
            .filter(|(_, seen)| seen.answered.contains_key(&plan::End::Caller))
            .count(),
        recoveries: world.recoveries(),
        packets: world.samples.packets,
        failures: std::mem::take(&mut world.watch.failures),
        plan: plan.clone(),
    }
}
