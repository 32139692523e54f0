//! CPU per call from INVITE to BYE: agent and node, apart, beside Kamailio.

use holdline_tests::bench::{
    Arguments, Crowd, Description, Figures, Kamailio, Plan, Section, Stand, Tally,
    raise_open_files, run,
};
use holdline_tests::rig::Error;
use std::process::ExitCode;
use std::time::Duration;

/// Calls a second.
const RATE: f64 = 100.0;
/// How long each is up.
const HOLD: Duration = Duration::from_secs(2);
/// Length of a measurement.
const WINDOW: Duration = Duration::from_secs(30);
/// Before the first one: until the timers of the first calls (32 s, RFC 3261 timer B and so on)
/// run out as fast as new ones are set.
const WARM: Duration = Duration::from_secs(36);
/// How long the last calls may take to end.
const PATIENCE: Duration = Duration::from_secs(5);
/// Times Kamailio's CPU at most.
const TARGET: f64 = 1.5;

fn main() -> ExitCode {
    run("calls", bench)
}

fn crowd(stand: &Stand, description: Description) -> Result<Crowd, Error> {
    Ok(Crowd::new(Plan {
        caller: stand.block.caller(),
        callee: stand.block.callee(),
        next_hop: stand.block.agent_sip(),
        description,
        first_port: 10_000,
    })?)
}

/// A system under test with calls of its own.
struct System {
    name: &'static str,
    stand: Stand,
    crowd: Crowd,
    programs: Vec<&'static str>,
    figures: Vec<Figures>,
}

impl System {
    fn new(
        name: &'static str,
        stand: Stand,
        programs: &[&'static str],
        description: Description,
    ) -> Result<System, Error> {
        Ok(System {
            name,
            crowd: crowd(&stand, description)?,
            stand,
            programs: programs.to_vec(),
            figures: vec![Figures::default(); programs.len()],
        })
    }

    fn look(&self) -> Result<(Tally, Vec<f64>), Error> {
        let cpu = self
            .programs
            .iter()
            .map(|name| self.stand.cpu(name))
            .collect::<Result<_, _>>();
        Ok((self.crowd.tally(), cpu?))
    }

    /// Calls flow for `time`; what they cost goes to the figures where it `counts`.
    fn flow(&mut self, time: Duration, counts: bool) -> Result<(), Error> {
        let before = self.look()?;
        self.crowd.flow(RATE, HOLD, time)?;
        let after = self.look()?;
        let calls = after.0.over - before.0.over;
        for (n, figures) in self.figures.iter_mut().enumerate() {
            let each = (after.1[n] - before.1[n]) * 1e6 / calls as f64;
            eprintln!(
                "  {} ({}): {each:.0} us a call, {calls} calls",
                self.programs[n], self.name
            );
            if counts {
                figures.push(each);
            }
        }
        Ok(())
    }

    /// Lets the last calls end, and says how many never did, of how many.
    fn failed(&mut self) -> Result<String, Error> {
        self.crowd.drain(HOLD + PATIENCE)?;
        let Tally {
            placed,
            over,
            refused,
            status,
            ..
        } = self.crowd.tally();
        if refused > 0 {
            eprintln!("  {}: {refused} refused, at last with {status}", self.name);
        }
        Ok(format!("{} of {placed}", placed - over))
    }
}

fn bench(arguments: &Arguments) -> Result<Section, Error> {
    raise_open_files()?;
    let window = arguments.seconds.map_or(WINDOW, Duration::from_secs);
    let warm = WARM.min(window * 3);
    let mut section = Section::new(
        "CPU of a call",
        "calls",
        arguments.runs,
        &format!(
            "{RATE} calls/s through each system at the same time, {} s each run after {} s of the \
             same; every call is INVITE (1.2 kB), 100, 180, 200, ACK, {} s, BYE, 200; no RTP",
            window.as_secs(),
            warm.as_secs(),
            HOLD.as_secs()
        ),
    );
    let mut systems = vec![
        System::new(
            "ports",
            Stand::start()?,
            &["agent", "node"],
            Description::Audio,
        )?,
        System::new(
            "no ports",
            Stand::start()?,
            &["agent", "node"],
            Description::Empty,
        )?,
    ];
    let stand = Stand::bare()?;
    if Kamailio::start(&stand)?.is_some() {
        systems.push(System::new(
            "proxy",
            stand,
            &[Kamailio::NAME],
            Description::Audio,
        )?);
    } else {
        section.say("Kamailio is not installed here: it is missing below.");
    }
    for number in 0..=arguments.runs {
        eprintln!(
            "calls: run {number} of {} (0 is the warm-up)",
            arguments.runs
        );
        let time = if number == 0 { warm } else { window };
        std::thread::scope(|scope| {
            let threads: Vec<_> = systems
                .iter_mut()
                .map(|system| scope.spawn(move || system.flow(time, number > 0)))
                .collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| "a generator panicked")?)
        })?;
    }
    let peer = systems
        .iter()
        .find(|system| system.programs[0] == Kamailio::NAME)
        .map(|system| system.figures[0].clone());
    let (mut rows, mut missed) = (Vec::new(), Vec::new());
    for system in &mut systems {
        let failed = system.failed()?;
        for (program, figures) in system.programs.iter().zip(&system.figures) {
            let ratio = peer
                .as_ref()
                .map(|peer| figures.over(peer))
                .unwrap_or_default();
            if ratio.median() > TARGET {
                missed.push(format!("{program} ({})", system.name));
            }
            rows.push([
                format!("{program}, {}", system.name),
                format!("{:.0}", figures.median()),
                figures.spread(0),
                format!("{:.2}", ratio.median()),
                ratio.spread(2),
                failed.clone(),
            ]);
        }
    }
    section.table(
        [
            "program",
            "us a call, median",
            "spread",
            "to Kamailio, median",
            "spread",
            "calls failed",
        ],
        &rows,
    );
    section.say(format!(
        "User and system time of all processes of a program, divided by the calls that ended in \
         the run. \"Ports\": the descriptions hold one audio stream, so four sockets are opened and \
         closed for each call by agent and node each. \"No ports\": descriptions without a media \
         stream. Kamailio opens none: a stateful relay (tm, rr) with one worker and `-x tlsf -X \
         tlsf`. Logs are as by default: one line a call of agent and node, none of Kamailio. The \
         node also writes each call to SQLite. Target: at most {TARGET} times Kamailio. {}",
        if missed.is_empty() { "Met.".to_owned() } else { format!("Missed by: {}.", missed.join(", ")) }
    ));
    Ok(section)
}
