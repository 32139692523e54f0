//! `holdline-demo`: three nodes, an agent and calls with media; the busiest node is killed; the
//! story is told.
//!
//! Exit code 0: every call was kept and no gap passed 2 s; 1: not so; 2: it could not be run.

mod story;

use clap::Parser;
use holdline_host::{Machinery, signals};
use holdline_tests::rig::{Block, Error, Moment, NODES, Plan, Rig};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use story::Story;

/// Places calls through three nodes, kills the busiest one, and tells what the callers heard.
#[derive(Debug, Parser)]
#[command(name = "holdline-demo", version)]
struct Options {
    /// How many calls.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=2000))]
    calls: u32,
    /// Seconds of media before the node dies.
    #[arg(long, default_value_t = 3)]
    before: u64,
    /// Seconds of media after it.
    #[arg(long, default_value_t = 10)]
    after: u64,
}

/// Calls placed in a second.
const RATE: u32 = 50;

fn main() -> ExitCode {
    let options = Options::parse();
    match play(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("holdline-demo: {error}");
            ExitCode::from(2)
        }
    }
}

fn play(options: &Options) -> Result<bool, Error> {
    let block = if Block::DEMO.is_free() {
        Block::DEMO
    } else {
        let other = Block::unique()?;
        println!("An address of the demo is in use (127.0.0.1:5060, say): here it is {other}.*\n");
        other
    };
    println!(
        "Holdline: {} calls, {NODES} nodes, and one of them dies.\n",
        options.calls
    );
    let mut rig = Rig::start_at(block, |text| text)?;
    let _signals = end_on_signal(&rig)?;
    story::cast(&rig);

    let plan = Plan {
        calls: options.calls,
        calls_per_second: RATE,
        faults: vec![Duration::from_secs(options.before)],
        after: Duration::from_secs(options.after),
    };
    let start = Instant::now();
    let mut story = Story::default();
    let report = rig.load(&plan, |rig, moment| {
        match moment {
            Moment::AllUp { failed } => story.all_up(rig, start.elapsed(), plan.calls, failed)?,
            Moment::Fault(_) => {
                let (victim, calls) = rig.busiest()?;
                let pid = rig.node_pid(victim);
                story.death(rig.kill_node(victim)?, victim, calls, pid);
            }
            Moment::Observed => story.after(rig.status()?),
        }
        Ok(())
    })?;
    Ok(story.tell(&rig, &report, start.elapsed()))
}

/// Ctrl-C, SIGTERM and a closed terminal end the programs too.
fn end_on_signal(rig: &Rig) -> Result<Machinery, Error> {
    let machinery = Machinery::start()?;
    let household = rig.household().clone();
    signals::listen(&machinery.tasks(), move |_| {
        eprintln!("\nholdline-demo: interrupted, everything is being ended");
        household.end_all_and_exit(130)
    })?;
    Ok(machinery)
}
