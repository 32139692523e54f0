//! The run: place the calls, cause the faults, listen, exercise what comes after.

use super::act::Step;
use super::driver::Driver;
use super::findings::{Findings, live_dialogs};
use super::mark::Side;
use super::options::Options;
use super::report::{self, Report};
use super::steps::exercise;
use crate::ua::{CallNumber, In, Placement};
use holdline_wire::Time;
use serde_json::json;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// After the last BYE: what is still on its way.
const FAREWELL: Duration = Duration::from_millis(300);

/// What is done at a moment.
#[derive(Clone, Copy)]
enum Action<'a> {
    Place(SocketAddr),
    Fault(&'a str),
    Act(Side, Step, CallNumber),
}

type Schedule<'a> = Vec<(Duration, Action<'a>)>;

/// Does everything that `options` ask for; an error where no call came up at all.
pub fn run(options: &Options) -> io::Result<Report> {
    let faults = options.faults().map_err(io::Error::other)?;
    let hop = options.next_hop().map_err(io::Error::other)?;
    let mut driver = Driver::open(options, faults.len())?;
    let mut findings = Findings::default();
    let mut placing: Schedule = (0..options.calls)
        .map(|n| (options.pace(n), Action::Place(hop)))
        .collect();
    let mut rest: Schedule = acts(options).collect();
    let causes = faults.iter();
    rest.extend(causes.map(|(at, command)| (*at, Action::Fault(command.as_str()))));
    if options.hold_time.is_some() {
        placing.append(&mut rest);
    }
    play(&mut driver, options, placing)?;
    let all = options.calls as usize;
    let until = driver.clock.now() + options.setup_timeout;
    driver.run(until, |d| d.ledger.up() + d.ledger.failed() >= all)?;
    findings.all_up_ns = driver.clock.now().as_nanos();
    let (up, failed) = (driver.ledger.up(), driver.ledger.failed());
    driver.tell("all_up", json!({ "up": up, "failed": failed }));
    if up == 0 {
        return Err(nobody_answers(&mut driver, options)?);
    }
    match options.hold_time {
        Some(hold) => {
            let until = driver.clock.now() + hold + options.step_timeout;
            driver.run(until, |d| d.ledger.over() + d.ledger.failed() >= all)?;
        }
        None => {
            play(&mut driver, options, rest)?;
            driver.wait(options.after)?;
        }
    }
    findings.observe(&driver)?;
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

/// The error for a run in which no call came up.
fn nobody_answers(driver: &mut Driver, options: &Options) -> io::Result<io::Error> {
    let placer = options.placed_by.index();
    let ends = driver.ledger.iter();
    let first = ends
        .filter_map(|(_, entry)| entry.ended[placer].as_ref())
        .next();
    let status = first.map_or(0, |end| end.status);
    clean_up(driver)?;
    Ok(io::Error::other(format!(
        "no call came up (first status: {status})"
    )))
}

fn acts(options: &Options) -> impl Iterator<Item = (Duration, Action<'static>)> + '_ {
    options.act.iter().flat_map(move |act| {
        let calls = act.calls.unwrap_or(options.calls).min(options.calls);
        (0..calls).map(move |n| {
            let call = n + 1;
            let action = Action::Act(act.by.of(call), act.step, call);
            (act.at + options.pace(n), action)
        })
    })
}

/// Does each action at its moment from now.
fn play(driver: &mut Driver, options: &Options, mut schedule: Schedule) -> io::Result<()> {
    let start = driver.clock.now();
    let host = match options.placed_by {
        Side::Caller => options.caller_listen,
        Side::Callee => options.callee_listen,
    }
    .to_string();
    schedule.sort_by_key(|(at, _)| *at);
    for (at, action) in schedule {
        driver.run(start + at, |_| false)?;
        match action {
            Action::Place(hop) => {
                let call = driver.ledger.place(driver.clock.now());
                driver.tell("placed", json!({ "call": call }));
                let placement = Placement::new(call, &host, hop);
                driver.command(options.placed_by, In::Call(placement));
            }
            Action::Fault(command) => driver.cause(command, options)?,
            Action::Act(side, step, call) => driver.act(side, step, call),
        }
    }
    Ok(())
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
    driver.run(until, |d| d.ledger.over() >= d.ledger.up())
}
