//! What is found out in a run, for its report.

use super::act::Step;
use super::driver::Driver;
use super::mark::Side;
use super::media::Snapshot;
use super::steps::Outcome;
use crate::ua::{CallNumber, Counts};
use std::collections::BTreeMap;
use std::io;

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

impl Findings {
    /// Takes down what was heard and counted so far.
    pub(super) fn observe(&mut self, driver: &Driver) -> io::Result<()> {
        let mut heard = driver.media.look()?;
        for (late, wait) in heard.lateness.iter_mut().zip(driver.waits()) {
            late.signalling_ns = wait.as_nanos() as u64;
        }
        self.heard = Some(heard);
        self.live = live_dialogs(driver);
        let caller = &driver.end(Side::Caller).ua;
        let calls = driver.ledger.iter();
        self.caller_counts = calls.map(|(call, _)| (call, caller.counts(call))).collect();
        Ok(())
    }
}

/// How many dialogs of each call are live, the caller's first.
pub(super) fn live_dialogs(driver: &Driver) -> BTreeMap<CallNumber, [usize; 2]> {
    let live = |call| Side::BOTH.map(|side| driver.end(side).ua.live_dialogs(call));
    driver
        .ledger
        .iter()
        .map(|(call, _)| (call, live(call)))
        .collect()
}
