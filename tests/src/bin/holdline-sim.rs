//! Runs the simulated world: `holdline-sim --seeds 300`, `holdline-sim --seed 7 --story`.

use clap::Parser;
use holdline_tests::sim::{Campaign, Mutant, Options, Outcome, run, run_plan, shrink};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The simulated world: real cores, virtual time, seeded disasters.
#[derive(Parser, Debug)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Calls of each seed; drawn where it is not given.
    #[arg(long)]
    calls: Option<usize>,
    /// Only this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the story of the failing call, or of a seed without failure.
    #[arg(long)]
    story: bool,
    /// Write the transcript of the seed here.
    #[arg(long)]
    transcript: Option<std::path::PathBuf>,
    /// Storms in place of single disasters.
    #[arg(long)]
    storm: bool,
    /// Configurations that both programs accept, and a minute of calls for each.
    #[arg(long, conflicts_with = "storm")]
    configurations: bool,
    /// Shorten the story of the first seed that fails.
    #[arg(long)]
    shrink: bool,
    /// Plant a bug; `list` names them.
    #[arg(long)]
    mutant: Option<String>,
    /// Say only what fails.
    #[arg(long, short)]
    quiet: bool,
    /// Stop after this many failing seeds.
    #[arg(long, default_value_t = 5)]
    stop_after: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mutant = match args.mutant.as_deref() {
        None => None,
        Some("list") => {
            Mutant::ALL
                .iter()
                .for_each(|mutant| println!("{}", mutant.name()));
            return ExitCode::SUCCESS;
        }
        Some(name) => match Mutant::named(name) {
            Some(mutant) => Some(mutant),
            None => {
                eprintln!("no mutant {name}");
                return ExitCode::from(2);
            }
        },
    };
    let keep = args.story || args.transcript.is_some();
    let options = Options {
        campaign: match (args.storm, args.configurations) {
            (true, _) => Campaign::Storm,
            (_, true) => Campaign::Configuration,
            _ => Campaign::Disaster,
        },
        calls: args.calls,
        mutant,
        keep,
    };
    let seeds = args
        .seed
        .map_or(args.from..args.from + args.seeds, |seed| seed..seed + 1);
    let started = Instant::now();
    let (mut failed, mut run_count, mut recoveries) = (0, 0u64, Vec::new());
    for seed in seeds {
        let before = Instant::now();
        let outcome = run(seed, options);
        run_count += 1;
        recoveries.extend_from_slice(&outcome.recoveries);
        if !args.quiet || !outcome.failures.is_empty() {
            println!(
                "{} ({} ms)",
                outcome.headline(),
                before.elapsed().as_millis()
            );
        }
        if let Some(path) = &args.transcript
            && let Err(error) = std::fs::write(path, text(&outcome))
        {
            eprintln!("{}: {error}", path.display());
            return ExitCode::from(2);
        }
        if !outcome.failures.is_empty() {
            failed += 1;
            tell(&outcome);
            if args.shrink && failed == 1 && mutant.is_none() {
                tell_shortest(&outcome);
            }
        }
        if args.story {
            let again = outcome.story();
            again.iter().for_each(|line| println!("  {line}"));
        }
        if failed >= args.stop_after {
            break;
        }
    }
    summary(run_count, failed, &mut recoveries, started.elapsed());
    if failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn tell(outcome: &Outcome) {
    for failure in outcome.failures.iter().take(12) {
        let call = failure
            .call
            .map(|call| format!(" call {call}"))
            .unwrap_or_default();
        println!(
            "  FAILED at {:.6} s:{call} {}",
            failure.at.as_secs_f64(),
            failure.what
        );
    }
    let more = outcome.failures.len().saturating_sub(12);
    if more > 0 {
        println!("  and {more} more; see --seed {} --story", outcome.seed);
    }
}

/// What is left of the plan when everything is left out that the failure does not need.
fn tell_shortest(outcome: &Outcome) {
    let Some((plan, runs)) = shrink(&outcome.plan) else {
        return;
    };
    let short = run_plan(&plan, None, true);
    println!("  shortest story, found in {runs} runs:");
    println!("  {}", short.headline());
    for call in &plan.calls {
        println!(
            "  call {} placed at {:.3} s",
            call.number,
            call.place.as_secs_f64()
        );
        for step in &call.steps {
            println!(
                "    {:.3} s {:?} {:?}",
                step.at.as_secs_f64(),
                step.by,
                step.act
            );
        }
    }
    tell(&short);
    short.story().iter().for_each(|line| println!("    {line}"));
}

fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    for line in &outcome.lines {
        let call = line
            .call
            .map(|call| format!("[{call}] "))
            .unwrap_or_default();
        let _ = writeln!(text, "{:.9} {call}{}", line.at.as_secs_f64(), line.text);
    }
    text
}

fn summary(run: u64, failed: usize, recoveries: &mut [Duration], took: Duration) {
    recoveries.sort_unstable();
    let share = |part: usize| {
        let at = (recoveries.len().saturating_sub(1)) * part / 1000;
        recoveries.get(at).map_or(0, Duration::as_millis)
    };
    println!(
        "{run} seeds, {failed} failed, in {:.1} s; {} calls recovered after {} ms (median), {} ms \
         (99 %), {} ms (all)",
        took.as_secs_f64(),
        recoveries.len(),
        share(500),
        share(990),
        share(1000)
    );
}
