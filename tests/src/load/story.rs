//! The run: place the calls, cause the faults, listen, exercise what comes after.

use super::driver::Driver;
use super::ledger::Entry;
use super::mark::Side;
use super::media::Snapshot;
use super::options::{Options, Step};
use super::report::{self, Report};
use crate::ua::{CallNumber, Counts, In, Placement};
use holdline_wire::Time;
use holdline_wire::sdp::Direction;
use serde_json::json;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// After a step: media that is still on its way.
const SETTLE: Duration = Duration::from_millis(250);
/// Then: how long media is watched.
const WATCH: Duration = Duration::from_millis(400);
/// After the last BYE: what is still on its way.
const FAREWELL: Duration = Duration::from_millis(300);

/// How one step went for one call.
pub type Outcome = Result<(), String>;

/// What the run brought to light, for the report.
#[derive(Default)]
pub(super) struct Findings {
    /// What each listener heard up to the end of the observation.
    pub(super) heard: Option<Snapshot>,
    /// Live dialogs at that moment, the caller's first.
    pub(super) live: BTreeMap<CallNumber, [usize; 2]>,
    /// What the caller's user agent had counted by then, before any step of ours.
    pub(super) caller_counts: BTreeMap<CallNumber, Counts>,
    /// By step and call.
    pub(super) steps: Vec<(Step, BTreeMap<CallNumber, Outcome>)>,
    /// Live dialogs after the last BYE.
    pub(super) left: BTreeMap<CallNumber, [usize; 2]>,
    pub(super) all_up_ns: u64,
}

/// Does everything that `options` ask for; an error where no call came up at all.
pub fn run(options: &Options) -> io::Result<Report> {
    let faults = options.faults().map_err(io::Error::other)?;
    let mut driver = Driver::open(options, faults.len())?;
    let mut findings = Findings::default();
    place_all(&mut driver, options)?;
    let up = driver.clock.now();
    findings.all_up_ns = up.as_nanos();
    driver.tell(
        "all_up",
        json!({ "up": driver.ledger.up(), "failed": driver.ledger.failed() }),
    );
    if driver.ledger.up() == 0 {
        let ends = driver
            .ledger
            .iter()
            .filter_map(|(_, entry)| entry.ended[0].as_ref());
        let status = ends.map(|end| end.status).next().unwrap_or(0);
        clean_up(&mut driver)?;
        return Err(io::Error::other(format!(
            "no call came up (first status: {status})"
        )));
    }
    for (at, command) in &faults {
        driver.run(up + *at, |_| false)?;
        driver.cause(command, options)?;
    }
    driver.wait(options.after)?;
    findings.heard = Some(driver.media.look()?);
    findings.live = live_dialogs(&driver);
    let caller = &driver.end(Side::Caller).ua;
    let counts = driver
        .ledger
        .iter()
        .map(|(call, _)| (call, caller.counts(call)));
    findings.caller_counts = counts.collect();
    driver.tell("observed", json!({}));
    for step in [Step::Hold, Step::Unhold, Step::Bye] {
        if options.exercises(step) {
            let outcomes = exercise(&mut driver, options, step)?;
            let failed = outcomes.values().filter(|outcome| outcome.is_err()).count();
            driver.tell(
                "step_done",
                json!({ "step": format!("{step:?}"), "failed": failed }),
            );
            findings.steps.push((step, outcomes));
        }
    }
    driver.wait(FAREWELL)?;
    findings.left = live_dialogs(&driver);
    clean_up(&mut driver)?;
    Ok(report::judge(&driver, options, &findings))
}

fn place_all(driver: &mut Driver, options: &Options) -> io::Result<()> {
    let start = driver.clock.now();
    let hop = if options.direct {
        options.callee_listen
    } else {
        options.agent
    };
    let host = options.caller_listen.to_string();
    for n in 0..options.calls {
        driver.run(start + pace(options, n), |_| false)?;
        let call = driver.ledger.place(driver.clock.now());
        driver.tell("placed", json!({ "call": call }));
        driver.command(Side::Caller, In::Call(Placement::new(call, &host, hop)));
    }
    let all = options.calls as usize;
    let until = driver.clock.now() + options.setup_timeout;
    driver.run(until, |d| d.ledger.up() + d.ledger.failed() >= all)
}

fn pace(options: &Options, n: u32) -> Duration {
    Duration::from_secs_f64(f64::from(n) / options.calls_per_second)
}

fn live_dialogs(driver: &Driver) -> BTreeMap<CallNumber, [usize; 2]> {
    let live = |call| Side::BOTH.map(|side| driver.end(side).ua.live_dialogs(call));
    driver
        .ledger
        .iter()
        .map(|(call, _)| (call, live(call)))
        .collect()
}

/// Who acts in this call: each side in half of them.
fn actor(call: CallNumber) -> Side {
    if call.is_multiple_of(2) {
        Side::Caller
    } else {
        Side::Callee
    }
}

/// One step on every call that was up, paced, and how it went.
fn exercise(
    driver: &mut Driver,
    options: &Options,
    step: Step,
) -> io::Result<BTreeMap<CallNumber, Outcome>> {
    let was_up = |(call, entry): (CallNumber, &Entry)| entry.up_ns.map(|_| call);
    let calls: Vec<CallNumber> = driver.ledger.iter().filter_map(was_up).collect();
    let start = driver.clock.now();
    for (n, call) in (0u32..).zip(&calls) {
        driver.run(start + pace(options, n), |_| false)?;
        if let Some(entry) = driver.ledger.get_mut(*call) {
            entry.reinvite.status = None;
        }
        let command = match step {
            Step::Hold => In::Hold(*call),
            Step::Unhold => In::Unhold(*call),
            Step::Bye => In::Hangup(*call),
        };
        driver.command(actor(*call), command);
    }
    let until = driver.clock.now() + options.step_timeout;
    driver.run(until, |driver| {
        driver
            .ledger
            .iter()
            .all(|(_, entry)| entry.up_ns.is_none() || is_done(step, entry))
    })?;
    driver.wait(SETTLE)?;
    if step == Step::Bye {
        return Ok(calls
            .into_iter()
            .map(|call| (call, after_bye(driver, call)))
            .collect());
    }
    let before = driver.media.look()?;
    driver.wait(WATCH)?;
    let after = driver.media.look()?;
    let judged = |call| (call, after_reinvite(driver, step, call, &before, &after));
    Ok(calls.into_iter().map(judged).collect())
}

fn is_done(step: Step, entry: &Entry) -> bool {
    let ended = entry.ended.iter().all(Option::is_some);
    match step {
        Step::Bye => ended,
        Step::Hold | Step::Unhold => ended || entry.reinvite.status.is_some(),
    }
}

fn after_bye(driver: &Driver, call: CallNumber) -> Outcome {
    let Some((_, entry)) = driver.ledger.iter().find(|(number, _)| *number == call) else {
        return Err("unknown call".into());
    };
    let side = actor(call);
    match &entry.ended[side.index()] {
        None => return Err("the BYE was not answered".into()),
        Some(ending) if ending.by != "local" => {
            return Err(format!("it had ended before, by {}", ending.by));
        }
        Some(ending) if ending.status != 200 => {
            return Err(format!("the BYE was answered {}", ending.status));
        }
        Some(_) => {}
    }
    match &entry.ended[side.other().index()] {
        None => Err("the other end was told nothing".into()),
        Some(ending) if ending.by != "peer" => {
            Err(format!("the other end had ended before, by {}", ending.by))
        }
        Some(_) => Ok(()),
    }
}

/// Checks signalling and media after Hold or Unhold.
fn after_reinvite(
    driver: &Driver,
    step: Step,
    call: CallNumber,
    before: &Snapshot,
    after: &Snapshot,
) -> Outcome {
    let (holder, held) = (actor(call), actor(call).other());
    let status = driver
        .ledger
        .iter()
        .find(|(n, _)| *n == call)
        .map(|(_, e)| e.reinvite.status);
    match status.flatten() {
        Some(200) => {}
        Some(status) => return Err(format!("the re-INVITE was answered {status}")),
        None => return Err("the re-INVITE was not answered".into()),
    }
    let direction = |side: Side| driver.end(side).ua.stream(call).map(|s| s.direction);
    let want = match step {
        Step::Hold => (Direction::SendOnly, Direction::RecvOnly),
        Step::Unhold | Step::Bye => (Direction::SendRecv, Direction::SendRecv),
    };
    if (direction(holder), direction(held)) != (Some(want.0), Some(want.1)) {
        return Err(format!(
            "directions are {:?} and {:?} instead of {want:?}",
            direction(holder),
            direction(held)
        ));
    }
    let grew = |side: Side| {
        let count = |snapshot: &Snapshot| {
            snapshot
                .heard
                .get(&(call, side))
                .map_or(0, |hearing| hearing.packets())
        };
        count(after) > count(before)
    };
    match (step, grew(holder), grew(held)) {
        (_, _, false) => Err("the held side hears nothing".into()),
        (Step::Hold, true, _) => Err("the holder still hears the held side".into()),
        (Step::Unhold, false, _) => Err("the former holder hears nothing".into()),
        _ => Ok(()),
    }
}

/// Ends what is still up, so that the peers are left clean.
fn clean_up(driver: &mut Driver) -> io::Result<()> {
    for side in Side::BOTH {
        let calls: Vec<_> = driver.end(side).ua.calls().collect();
        for call in calls {
            driver.command(side, In::Hangup(call));
        }
    }
    let until: Time = driver.clock.now() + Duration::from_secs(2);
    let quiet = |d: &Driver| {
        d.ledger
            .iter()
            .all(|(_, entry)| entry.up_ns.is_none() || entry.ended.iter().all(Option::is_some))
    };
    driver.run(until, quiet)
}
