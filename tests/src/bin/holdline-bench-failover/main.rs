//! What a listener hears when a node dies, by the way it dies: killed, hung, cut off; a third of the
//! calls or all of them; with media and without. Every program has a host of its own (a network
//! namespace), all on this machine.

mod case;
mod plot;
mod run;
mod tables;

use case::{CASES, Case};
use clap::Parser;
use holdline_tests::bench::Section;
use holdline_tests::bench::death::draw;
use holdline_tests::load::duration;
use holdline_tests::netns::Lan;
use holdline_tests::rig::{Capture, Error};
use run::Measured;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Makes nodes die under load and measures what the listeners hear. Takes root.
#[derive(Debug, Parser)]
#[command(name = "holdline-bench-failover", version)]
struct Options {
    /// How often each figure is taken; the report has the median and the spread.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The directory for the Markdown section and the drawings.
    #[arg(long)]
    out: PathBuf,
    /// How long is listened after the death; a long one finds calls that are lost late.
    #[arg(long, default_value = "60s", value_parser = duration)]
    after: Duration,
    /// Only these cases, by their keys; an unknown one tells them all.
    #[arg(long, value_delimiter = ',')]
    cases: Vec<String>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match bench(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdline-bench-failover: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The cases that are asked for, in the order of the document.
fn chosen(options: &Options) -> Result<Vec<&'static Case>, Error> {
    let known = |key: &String| CASES.iter().any(|case| case.key == key);
    if let Some(unknown) = options.cases.iter().find(|key| !known(key)) {
        let keys: Vec<_> = CASES.iter().map(|case| case.key).collect();
        return Err(format!("{unknown} is none of {}", keys.join(", ")).into());
    }
    let wanted =
        |case: &&Case| options.cases.is_empty() || options.cases.iter().any(|k| k == case.key);
    Ok(CASES.iter().filter(wanted).collect())
}

fn bench(options: &Options) -> Result<(), Error> {
    if let Some(obstacle) = Lan::obstacle() {
        return Err(format!("no network namespaces: {obstacle}").into());
    }
    let load = format!(
        "an agent, three nodes and both ends of the calls, each program on a host of its own (network \
         namespaces on one switch) and all on this machine; G.711 both ways; the fault comes \
         {:.0} s after all calls are up, and {:.0} s more are listened to",
        run::BEFORE.as_secs_f64(),
        options.after.as_secs_f64()
    );
    let mut section = Section::new("Failover by kind of death", "failover", options.runs, &load);
    let mut measured = Vec::new();
    for case in chosen(options)? {
        let mut figures = Measured::new(case);
        for run in 1..=options.runs {
            eprintln!("failover: {}, run {run} of {}", case.title, options.runs);
            figures.add(options.after)?;
        }
        measured.push(figures);
    }
    std::fs::create_dir_all(&options.out)?;
    std::fs::write(options.out.join("failover-gaps.svg"), plot::draw(&measured))?;
    tables::tell(&mut section, &measured);
    explain_misses(options, &mut section, &measured)?;
    std::fs::write(options.out.join("failover.md"), section.into_text())?;
    Ok(())
}

/// Where a figure is missed: one call, message by message.
fn explain_misses(
    options: &Options,
    section: &mut Section,
    measured: &[Measured],
) -> Result<(), Error> {
    let missed = measured.iter().filter(|case| case.missed());
    for Measured { case, .. } in missed.filter(|missed| missed.case.media) {
        if !Capture::is_possible() {
            section
                .say("The story of one call is missing: it takes tshark and the right to capture.");
            return Ok(());
        }
        eprintln!("failover: the story of one call: {}", case.title);
        let story = run::story(case, options.after)?;
        let drawing = format!("failover-{}.svg", case.key);
        std::fs::write(options.out.join(&drawing), draw(&story))?;
        section.say(format!("### Where the time goes: {}", case.title));
        section.say(format!(
            "The moved call with the median gap of one more run, {} calls moved. SIP as it was on the \
             switch, RTP as the load generator heard it, suspicion and verdict as the agent tells.",
            story.moved
        ));
        section.say(format!("![The call]({drawing})"));
        section.table(["ms after the fault", "what"], &story.rows());
    }
    Ok(())
}
