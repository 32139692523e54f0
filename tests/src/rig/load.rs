//! Runs the load generator in a rig, and acts at the moments of its run.

use super::{AGENT, CALLEE, Report, Rig, binary};
use crate::failure::Error;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The load generator's name in the household.
const LOAD: &str = "load";
/// What a run may take beyond what its plan adds up to.
const MARGIN: Duration = Duration::from_secs(45);

/// What the load generator is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many calls.
    pub calls: u32,
    /// Calls a second, placing and ending.
    pub calls_per_second: u32,
    /// When faults are caused, counted from the moment all calls are up.
    pub faults: Vec<Duration>,
    /// How long listeners are listened to after the last fault.
    pub after: Duration,
}

/// A moment of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// All calls are up, except this many that failed.
    AllUp {
        /// Calls that did not come up.
        failed: usize,
    },
    /// Cause this fault now, counted from 1: gaps are measured from here on.
    Fault(usize),
    /// The observation is over; calls are held, taken back and hung up next.
    Observed,
}

impl Rig {
    /// Places calls as `plan` says and calls `act` at the moments of the run; the run goes on
    /// meanwhile. The report at the end.
    pub fn load(
        &mut self,
        plan: &Plan,
        act: impl FnMut(&mut Rig, Moment) -> Result<(), Error>,
    ) -> Result<Report, Error> {
        self.load_via(self.block.agent_sip(), plan, act)
    }

    /// The same with INVITEs sent to `first_hop`, who passes them on to the agent.
    pub fn load_via(
        &mut self,
        first_hop: SocketAddr,
        plan: &Plan,
        act: impl FnMut(&mut Rig, Moment) -> Result<(), Error>,
    ) -> Result<Report, Error> {
        self.load_with(first_hop, plan, &[], act)
    }

    /// The same with more arguments for the load generator.
    pub fn load_with(
        &mut self,
        first_hop: SocketAddr,
        plan: &Plan,
        more: &[&str],
        mut act: impl FnMut(&mut Rig, Moment) -> Result<(), Error>,
    ) -> Result<Report, Error> {
        let json = self.dir().join("load.json");
        let mut args = arguments(self, first_hop, plan, &json.to_string_lossy());
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        if let Ok(lan) = self.lan() {
            let netns = lan.host(CALLEE)?.path();
            args.extend(["--callee-netns".into(), netns.to_string_lossy().into()]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let program = binary("holdline-load")?;
        // The caller is on the agent's host.
        let output = self.on(AGENT, || {
            self.household().spawn_piped(LOAD, &program, &args)
        })??;
        let (sender, lines) = channel();
        // A thread of its own: the tool never waits for us, however long we act.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let placing = Duration::from_secs(u64::from(plan.calls / plan.calls_per_second.max(1)));
        let faults = plan.faults.iter().max().copied().unwrap_or_default();
        let until = Instant::now() + placing * 4 + faults + plan.after + MARGIN;
        let text = follow(&lines, until, |moment| act(self, moment))?;
        let code = self.household().reap(LOAD)?;
        match std::fs::read(&json) {
            Ok(report) if matches!(code, Some(0 | 1)) => Ok(serde_json::from_slice(&report)?),
            _ => Err(self.failure(&format!("the load generator failed ({code:?})\n{text}"))),
        }
    }
}

fn arguments(rig: &Rig, first_hop: SocketAddr, plan: &Plan, json: &str) -> Vec<String> {
    let mut args: Vec<String> = [
        ("--agent", first_hop.to_string()),
        ("--caller-listen", rig.block.caller().to_string()),
        ("--callee-listen", rig.block.callee().to_string()),
        ("--calls", plan.calls.to_string()),
        ("--calls-per-second", plan.calls_per_second.to_string()),
        ("--after", format!("{}ms", plan.after.as_millis())),
        ("--json", json.to_owned()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect();
    for at in &plan.faults {
        // The fault itself is ours: the tool's line about it tells us when.
        args.extend(["--fault-command".into(), "true".into()]);
        args.extend(["--fault-at".into(), format!("{}ms", at.as_millis())]);
    }
    args.push("--progress".into());
    args
}

/// Follows the tool's lines until its end; those that are no events, for people.
fn follow(
    lines: &Receiver<String>,
    until: Instant,
    mut act: impl FnMut(Moment) -> Result<(), Error>,
) -> Result<String, Error> {
    let mut text = String::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) if line.starts_with('{') => {
                if let Some(moment) = moment(&serde_json::from_str(&line)?) {
                    act(moment)?;
                }
            }
            Ok(line) => {
                text.push_str(&line);
                text.push('\n');
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(text),
            Err(RecvTimeoutError::Timeout) => {
                return Err("the load generator does not come to its end".into());
            }
        }
    }
}

fn moment(line: &Value) -> Option<Moment> {
    let number = |name: &str| line[name].as_u64().and_then(|n| usize::try_from(n).ok());
    match line["event"].as_str()? {
        "all_up" => Some(Moment::AllUp {
            failed: number("failed")?,
        }),
        "fault_started" => Some(Moment::Fault(number("fault")?)),
        "observed" => Some(Moment::Observed),
        _ => None,
    }
}
