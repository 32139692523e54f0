//! What it costs in time that one far end is asked to take only so many calls over at a time
//! (spec: X57): all calls of a node that is killed move, for far ends that answer quickly and less
//! quickly, one at a time, as many as the far end's quickness tells, and as many as the nodes bear.

use clap::Parser;
use holdline_tests::bench::death::Death;
use holdline_tests::bench::{Figures, Section};
use holdline_tests::rig::{AGENT, Block, Error, Moment, NODES, Plan, Rig, Setup};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// From the last call's answer to the death.
const BEFORE: Duration = Duration::from_secs(2);
/// Calls placed in a second.
const RATE: u32 = 200;
/// How long a call is held; then it is lost.
const HOLD: Duration = Duration::from_secs(20);

/// Kills a node that has all calls, and measures how long they take to move.
#[derive(Debug, Parser)]
#[command(name = "holdline-bench-replaces", version)]
struct Options {
    /// How often each figure is taken; the report has the median and the spread.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The directory for the Markdown section.
    #[arg(long)]
    out: PathBuf,
    /// The numbers of calls.
    #[arg(long, default_value = "100,1000", value_delimiter = ',')]
    calls: Vec<u32>,
    /// How long the far end takes to answer an INVITE with Replaces, ms.
    #[arg(long, default_value = "1,25", value_delimiter = ',')]
    delays: Vec<u32>,
}

/// How many the far end is asked at a time.
#[derive(Clone, Copy)]
struct Bound {
    /// `downstream.replaces_in_flight`.
    key: &'static str,
    /// For people.
    title: &'static str,
    /// Whether it is one at a time.
    one: bool,
}

const BOUNDS: [Bound; 3] = [
    Bound {
        key: "1",
        title: "1, as for an Asterisk",
        one: true,
    },
    Bound {
        key: "\"auto\"",
        title: "auto: 8, growing to 32",
        one: false,
    },
    Bound {
        key: "1000",
        title: "none but the nodes' windows",
        one: false,
    },
];

/// One row of the table.
struct Measured {
    calls: u32,
    delay: u32,
    bound: Bound,
    /// Verdict to the last call's answer by its new node, ms.
    took: Figures,
    moved: Figures,
    lost: usize,
}

impl Measured {
    fn row(&self) -> [String; 6] {
        let (took, moved) = (self.took.median(), self.moved.median());
        [
            self.calls.to_string(),
            format!("{} ms", self.delay),
            self.bound.title.to_owned(),
            format!("{took:.0} ({})", self.took.spread(0)),
            format!("{:.1}", took / moved.max(1.0)),
            self.lost.to_string(),
        ]
    }

    /// One run, with programs of its own.
    fn add(&mut self) -> Result<(), Error> {
        let limit = format!("\nreplaces_in_flight = {}\n\n[store]", self.bound.key);
        let mut rig = Rig::start_as(Setup {
            block: Block::unique()?,
            lan: None,
            adapt: &|name, text| match name {
                AGENT => text,
                _ => text
                    .replace("capacity = 500", "capacity = 4000")
                    .replace("\n\n[store]", &limit),
            },
            // It is alone until all calls are up.
            nodes: 1,
        })?;
        let each = Duration::from_millis(u64::from(self.delay) + 8);
        let expected = if self.bound.one {
            each * self.calls
        } else {
            each * self.calls / 8
        };
        let plan = Plan {
            calls: self.calls,
            calls_per_second: RATE,
            faults: vec![BEFORE],
            after: expected.min(HOLD) + Duration::from_secs(3),
        };
        let delay = format!("{}ms", self.delay);
        let more = [
            "--media",
            "none",
            "--then",
            "bye",
            "--replaces-delay",
            &delay,
        ];
        let (mut killed, mut told) = (None, None);
        let agent = rig.block.agent_sip();
        rig.load_with(agent, &plan, &more, |rig, moment| {
            match moment {
                Moment::AllUp { failed: 0 } => {
                    (1..NODES).try_for_each(|n| rig.start_node(n))?;
                    rig.wait_all_alive()?;
                }
                Moment::AllUp { failed } => {
                    return Err(format!("{failed} calls did not come up").into());
                }
                Moment::Fault(_) => killed = Some((0, rig.kill_node(0)?)),
                Moment::Observed => told = Some(rig.status()?),
            }
            Ok(())
        })?;
        let (node, at) = killed.ok_or("nobody was killed")?;
        let status = told.ok_or("the agent was not asked")?;
        let failover = Death::of(&rig, node, at, status)?.failover;
        let last = failover.last_moved_at.ok_or("no call moved")?;
        self.took.push((last - failover.decided_at) * 1e3);
        self.moved.push(failover.moved as f64);
        self.lost += failover.calls.saturating_sub(failover.moved);
        Ok(())
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    match bench(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdline-bench-replaces: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options) -> Result<(), Error> {
    let load = format!(
        "calls without media, all on one node of three, which is killed (SIGKILL) {:.0} s after \
         they are up; one far end for all of them; programs and load generator share the machine",
        BEFORE.as_secs_f64()
    );
    let title = "Moves bounded by the far end";
    let mut section = Section::new(title, "replaces", options.runs, &load);
    let mut rows = Vec::new();
    for &calls in &options.calls {
        for &delay in &options.delays {
            for bound in BOUNDS {
                let mut measured = Measured {
                    calls,
                    delay,
                    bound,
                    took: Figures::default(),
                    moved: Figures::default(),
                    lost: 0,
                };
                for run in 1..=options.runs {
                    let title = bound.title;
                    eprintln!("replaces: {calls} calls, {delay} ms, {title}, run {run}");
                    measured.add()?;
                }
                rows.push(measured.row());
            }
        }
    }
    section.say(
        "Median of the runs, and in parentheses their spread, milliseconds from the verdict to the \
         answer of the last call's new node. A call that has not moved within 20 s is lost; what \
         was still on its way when the run ended counts as lost too.",
    );
    section.table(
        [
            "calls",
            "the far end answers in",
            "asked at a time",
            "last call moved, ms",
            "ms a call",
            "not moved",
        ],
        &rows,
    );
    std::fs::create_dir_all(&options.out)?;
    std::fs::write(options.out.join("replaces.md"), section.into_text())?;
    Ok(())
}
