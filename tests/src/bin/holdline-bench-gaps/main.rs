//! What a listener hears when a node dies: the busiest of three is killed under load, at several
//! loads, beside the same load without a death. And the story of one call, drawn.

mod death;
mod tables;

use clap::Parser;
use death::Measured;
use holdline_tests::bench::{Section, death as dying};
use holdline_tests::load::duration;
use holdline_tests::rig::{Capture, Error, Rig};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Calls of the run whose story is told.
const STORY_CALLS: u32 = 100;

/// Kills the busiest of three nodes under load and measures what the listeners hear.
#[derive(Debug, Parser)]
#[command(name = "holdline-bench-gaps", version)]
struct Options {
    /// How often each figure is taken; the report has the median and the spread.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The directory for the Markdown section and the drawing.
    #[arg(long)]
    out: PathBuf,
    /// The numbers of calls.
    #[arg(long, default_value = "100,200,500", value_delimiter = ',')]
    calls: Vec<u32>,
    /// How long is listened after the death; a long one finds calls that are lost late.
    #[arg(long, default_value = "10s", value_parser = duration)]
    after: Duration,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match bench(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdline-bench-gaps: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options) -> Result<(), Error> {
    let sizes: Vec<String> = options.calls.iter().map(u32::to_string).collect();
    let load = format!(
        "{} calls with 20 ms of G.711 both ways through an agent and three nodes; the busiest \
         node is killed (SIGKILL) 3 s after all calls are up, and {:.0} s more are listened to; \
         programs and load generator share the machine",
        sizes.join(", "),
        options.after.as_secs_f64()
    );
    let mut section = Section::new(
        "Gaps after the death of a node",
        "gaps",
        options.runs,
        &load,
    );
    let mut measured: Vec<Measured> = Vec::new();
    for &calls in &options.calls {
        let mut size = Measured::new(calls);
        for run in 1..=options.runs {
            eprintln!("gaps: {calls} calls, run {run} of {}", options.runs);
            size.add(options.after)?;
        }
        measured.push(size);
    }
    tables::tell(&mut section, &measured);
    tell_story(&mut section, &options.out, options.after)?;
    std::fs::create_dir_all(&options.out)?;
    std::fs::write(options.out.join("gaps.md"), section.into_text())?;
    Ok(())
}

fn tell_story(section: &mut Section, out: &Path, after: Duration) -> Result<(), Error> {
    if !Capture::is_possible() {
        section.say("The story of one call is missing: it takes tshark and the right to capture.");
        return Ok(());
    }
    eprintln!("gaps: the story of one of {STORY_CALLS} calls");
    let plan = death::plan(STORY_CALLS, after);
    let run = |rig: &mut Rig| death::kill(rig, &plan);
    let story = dying::story_of_a_run(&mut Rig::start()?, "the node is killed", run)?;
    std::fs::create_dir_all(out)?;
    std::fs::write(out.join("gaps-story.svg"), dying::draw(&story))?;
    section.say("### One call");
    section.say(format!(
        "The moved call with the median gap of a run with {STORY_CALLS} calls, {} of them moved. \
         SIP as dumpcap saw it on the wire, RTP as the load generator heard it, suspicion and \
         verdict as the agent tells them.",
        story.moved
    ));
    section.say("![The call from its last packet to the 200](gaps-story.svg)");
    section.table(["ms after the death", "what"], &story.rows());
    Ok(())
}
