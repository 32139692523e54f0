//! What is exercised on every call at the end: hold, its end, hang-up.

use super::act::{Actors, Step};
use super::driver::{Driver, command};
use super::ledger::Entry;
use super::mark::Side;
use super::media::Snapshot;
use super::options::Options;
use crate::ua::CallNumber;
use holdline_wire::sdp::Direction;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// After a step: media that is still on its way.
const SETTLE: Duration = Duration::from_millis(250);
/// Then: how long media is watched.
const WATCH: Duration = Duration::from_millis(400);

/// How one step went for one call.
pub type Outcome = Result<(), String>;

/// Who acts at the end: each side holds in half of the calls, and hangs up as it is told.
fn actor(options: &Options, step: Step, call: CallNumber) -> Side {
    match step {
        Step::Hold | Step::Unhold => Actors::Both.of(call),
        Step::Bye => options.hang_up_by.of(call),
    }
}

/// One step on every call that is up, paced, and how it went. A call that an act left on hold is
/// hung up only.
pub(super) fn exercise(
    driver: &mut Driver,
    options: &Options,
    step: Step,
) -> io::Result<BTreeMap<CallNumber, Outcome>> {
    let was_up = |(call, entry): (CallNumber, &Entry)| {
        let is_held = entry.acts.last().is_some_and(|act| act.step == Step::Hold);
        let can = step == Step::Bye || !is_held;
        (can && entry.up_ns.is_some() && entry.hung_up.is_none()).then_some(call)
    };
    let calls: Vec<CallNumber> = driver.ledger.iter().filter_map(was_up).collect();
    let start = driver.clock.now();
    for (n, call) in (0u32..).zip(&calls) {
        driver.run(start + options.pace(n), |_| false)?;
        if let Some(entry) = driver.ledger.get_mut(*call) {
            entry.reinvite.status = None;
        }
        driver.command(actor(options, step, *call), command(step, *call));
    }
    let until = driver.clock.now() + options.step_timeout;
    let is_done = |d: &Driver, call| d.ledger.get(call).is_none_or(|e| is_done(step, e));
    driver.run(until, |d| match step {
        Step::Bye => d.ledger.over() >= d.ledger.up(),
        Step::Hold | Step::Unhold => calls.iter().all(|call| is_done(d, *call)),
    })?;
    driver.wait(SETTLE)?;
    if step == Step::Bye {
        let judged = |call| {
            let entry = driver.ledger.get(call).ok_or("unknown call".to_owned());
            let side = actor(options, step, call);
            (call, entry.and_then(|entry| farewell(entry, side)))
        };
        return Ok(calls.into_iter().map(judged).collect());
    }
    let before = driver.media.look()?;
    driver.wait(WATCH)?;
    let after = driver.media.look()?;
    let judged = |call| {
        (
            call,
            after_reinvite(driver, options, step, call, &before, &after),
        )
    };
    Ok(calls.into_iter().map(judged).collect())
}

fn is_done(step: Step, entry: &Entry) -> bool {
    let ended = entry.ended.iter().all(Option::is_some);
    match step {
        Step::Bye => ended,
        Step::Hold | Step::Unhold => ended || entry.reinvite.status.is_some(),
    }
}

/// How a call ended that `side` was to hang up.
pub(super) fn farewell(entry: &Entry, side: Side) -> Outcome {
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
    options: &Options,
    step: Step,
    call: CallNumber,
    before: &Snapshot,
    after: &Snapshot,
) -> Outcome {
    let holder = actor(options, step, call);
    let held = holder.other();
    let entry = driver.ledger.get(call);
    match entry.and_then(|entry| entry.reinvite.status) {
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
    let listens = |side: Side| options.media.listens(side);
    if listens(held) && !grew(held) {
        return Err("the held side hears nothing".into());
    }
    match (step, grew(holder)) {
        (Step::Hold, true) => Err("the holder still hears the held side".into()),
        (Step::Unhold, false) if listens(holder) => Err("the former holder hears nothing".into()),
        _ => Ok(()),
    }
}
