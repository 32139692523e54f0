//! A node that stood still may have lost its calls to others meanwhile: before it sends anything
//! for them, it asks the store who owns them (spec: X28).

use crate::core::call::Phase;
use crate::core::env::Asked;
use crate::core::keys::Timer;
use crate::core::{Event, NodeCore};
use crate::store::{Answer, Op};
use bytes::Bytes;
use holdline_b2bua::CallKey;
use holdline_wire::dialog::DialogId;
use holdline_wire::{Time, TransportKey};
use std::time::Duration;

/// How often the loop shows that it runs.
const BEAT: Duration = Duration::from_millis(200);
/// For this long after a pause messages may be read that came before it.
const WARY: Duration = Duration::from_secs(2);
/// Calls that one store operation asks about.
const BATCH: usize = 500;

impl NodeCore {
    /// The loop runs. (Without calls too: an INVITE may wait while it stands still.)
    pub(super) fn beat(&mut self, now: Time) {
        self.ownership.due = now + BEAT;
        self.env.timers.set(Timer::Beat, self.ownership.due);
        self.env.ask_whether_store_is_back(now);
    }

    /// Whether what comes now may have waited while this node stood still.
    pub(super) fn is_wary(&self, now: Time) -> bool {
        now < self.ownership.wary_until
    }

    /// Looks, before any input is taken, whether the beat is overdue.
    pub(super) fn notice_pause(&mut self, now: Time) {
        let late = now.since(self.ownership.due);
        if late >= self.env.config.waits.pause {
            self.beat(now);
            self.loop_was_late(now, late);
        }
    }

    /// The loop was late: if that was long enough for others to act, asks the store.
    pub(super) fn loop_was_late(&mut self, now: Time, late: Duration) {
        if late < self.env.config.waits.pause {
            return;
        }
        self.env.late_at = now;
        if self.is_checking() {
            return;
        }
        self.ownership.wary_until = now + WARY;
        let calls = self.calls.iter();
        let kept: Vec<(CallKey, DialogId)> = calls
            .filter_map(|(key, call)| Some((key, call.row()?)))
            .collect();
        if kept.is_empty() {
            return;
        }
        self.env.event(Event::Paused {
            calls: kept.len(),
            lasted: late,
        });
        for batch in kept.chunks(BATCH) {
            let (keys, dialogs) = batch.iter().cloned().unzip();
            let op = Op::Check {
                dialogs,
                by: self.env.config.incarnation.clone(),
            };
            self.ownership.waiting +=
                usize::from(self.env.ask(now, op, Asked::Check(keys)).is_some());
        }
        if self.ownership.waiting > 0 {
            self.ownership.until = Some(now + self.env.config.waits.check);
        }
    }

    /// Whether nothing may be sent for now.
    pub(super) fn is_checking(&self) -> bool {
        self.ownership.until.is_some()
    }

    pub(super) fn checking_until(&self) -> Option<Time> {
        self.ownership.until
    }

    /// Keeps a message for after the check.
    pub(super) fn park(&mut self, from: TransportKey, bytes: Bytes) {
        if self.ownership.parked.len() >= self.env.config.capacity * 4 + 1024 {
            self.env.event(Event::ParkingFull);
        } else {
            self.ownership.parked.push_back((from, bytes));
        }
    }

    /// The store says whose the calls are.
    pub(super) fn check_replied(&mut self, now: Time, keys: &[CallKey], answer: &Answer) {
        if let Answer::Checked(taken) = answer {
            for (key, taken) in keys.iter().zip(taken) {
                match self.phase(*key) {
                    Some(Phase::Up) if *taken => self.vanish(now, *key),
                    Some(Phase::Setup) if *taken => self.fail(now, *key, 503, "placed elsewhere"),
                    _ => {}
                }
            }
        }
        self.ownership.waiting = self.ownership.waiting.saturating_sub(1);
        if self.ownership.waiting == 0 && self.is_checking() {
            self.resume(now);
        }
    }

    /// The store does not say: a store that is down ends no running call (spec: X30).
    pub(super) fn check_deadline(&mut self, now: Time) {
        if self.ownership.until.is_some_and(|until| until <= now) {
            self.resume(now);
        }
    }

    fn resume(&mut self, now: Time) {
        self.ownership.until = None;
        for (from, bytes) in std::mem::take(&mut self.ownership.parked) {
            self.message(now, from, bytes);
            self.settle(now);
        }
    }
}
