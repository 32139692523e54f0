//! What a survivor would need is kept in the store (spec: D2, D30, X30).

use crate::core::call::{Call, Phase};
use crate::core::env::Asked;
use crate::core::keys::Timer;
use crate::core::marks::mark;
use crate::core::{Event, NodeCore};
use crate::store::{Answer, Op, StoreReply};
use holdline_b2bua::CallKey;
use holdline_leg::Signal;
use holdline_relay::Side;
use holdline_wire::Time;
use holdline_wire::header::InstanceRefusal;
use holdline_wire::record::DialogRecord;
use std::sync::Arc;

impl NodeCore {
    /// The downstream UA has answered: the upstream 2xx, `answer`, goes when the store has the
    /// call, or 20 ms later all the same.
    pub(super) fn keep(&mut self, now: Time, key: CallKey, mut answer: Signal) {
        self.name_far_end(key, &mut answer);
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        call.phase = Phase::Keeping;
        call.held.push_back(answer);
        self.env.timers.cancel(Timer::Ring(key));
        self.env
            .timers
            .set(Timer::Commit(key), now + self.env.config.waits.commit);
        if !self.write(now, key) {
            self.commit(now, key);
        }
    }

    /// Asks the store to hold the call as it is now; false where that was not possible.
    fn write(&mut self, now: Time, key: CallKey) -> bool {
        let Some(call) = self.calls.get_mut(key) else {
            return false;
        };
        let Some(record) = record_of(call) else {
            return false;
        };
        let record = Arc::new(record);
        let moved = call.replaces.clone();
        call.recorded = Some(record.remote_target.clone());
        self.env.forgo_note(key);
        let op = match moved {
            Some(replaced) => Op::Replace { replaced, record },
            None => Op::Put { record },
        };
        let unanswered = call.keeping.take();
        let again = call.kept_again;
        unanswered.into_iter().for_each(|id| self.env.unask(id));
        let asked = self.env.ask(now, op, Asked::Keep(key));
        let waits = &self.env.config.waits;
        let patience = match asked {
            Some(_) => waits.keep.saturating_mul(1 << again.min(8)),
            None => waits.retry,
        };
        if patience < waits.store {
            self.env.timers.set(Timer::Retry(key), now + patience);
        }
        if let Some(call) = self.calls.get_mut(key) {
            call.keeping = asked;
        }
        asked.is_some()
    }

    /// The store was silent for 20 ms (spec: X30).
    pub(super) fn commit_late(&mut self, now: Time, key: CallKey) {
        if let Some(call) = self.calls.get(key) {
            let number = call.number;
            self.env.event(Event::StoreLate(number));
        }
        self.commit(now, key);
        self.pump(now, key);
    }

    /// Lets the upstream 2xx go, and what waited behind it.
    pub(super) fn commit(&mut self, now: Time, key: CallKey) {
        self.env.timers.cancel(Timer::Commit(key));
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        if call.phase != Phase::Keeping {
            return;
        }
        call.phase = Phase::Up;
        self.limit(key);
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let mut held = std::mem::take(&mut call.held);
        let (number, placed, generation) = (call.number, call.placed, call.generation);
        let takeover = call.takeover.take();
        if let Some(mut answer) = held.pop_front() {
            let deaf = takeover.as_ref().is_some_and(|takeover| takeover.deaf);
            if let (true, Some(passage)) = (deaf, answer.passage_mut()) {
                passage.headers.push(mark(InstanceRefusal::NoPort));
            }
            self.apply(now, key, Side::Near, answer);
        }
        match takeover {
            Some(takeover) => {
                self.env.claimed.remove(&takeover.named);
                self.let_go_of(now, &takeover.replaced);
                let took = now.since(placed);
                self.env.event(Event::ClaimDone {
                    call: number,
                    generation,
                    took,
                });
            }
            None => self.env.event(Event::Up {
                call: number,
                setup: now.since(placed),
            }),
        }
        for signal in held {
            self.pass(now, key, Side::Far, signal);
        }
    }

    /// A reply of the store.
    pub(super) fn store_replied(&mut self, now: Time, reply: StoreReply) {
        let Some(asked) = self.env.asked.remove(&reply.id) else {
            return;
        };
        self.env.timers.cancel(Timer::Asked(reply.id));
        let works = reply.answer != Answer::Down;
        let untold = !(self.env.untold.is_empty() && self.env.orphans.is_empty());
        if works && !self.env.store_up && untold {
            // Now, before anything happens to this node.
            self.env.timers.set(Timer::Clear, now);
        }
        self.env.store_works(works);
        match asked {
            Asked::Keep(key) => self.kept(now, key, &reply.answer),
            Asked::Note(key) => {
                self.note_replied(now, key, &reply.answer);
                self.pump(now, key);
            }
            Asked::Orphan(upstream, trunk, waiter) => {
                self.orphan_replied(now, (upstream, trunk), waiter, &reply.answer);
            }
            Asked::Claim(key) => self.claim_replied(now, key, reply.answer),
            Asked::Check(keys) => self.check_replied(now, &keys, &reply.answer),
            Asked::Refer(key, id, passage) => {
                self.refer_replied(now, key, id, *passage, reply.answer);
            }
            Asked::Ending(keys) => self.ending_replied(now, &keys, &reply.answer),
            Asked::Hangup => self.hung_up_while_claiming(now, reply.answer),
            Asked::Delete(upstream) if reply.answer == Answer::Down => {
                self.env.take_off_later(now, upstream);
            }
            Asked::Delete(_) | Asked::Nothing => {}
        }
    }

    /// A reply that never came.
    pub(super) fn store_is_silent(&mut self, now: Time, id: u64) {
        self.store_replied(
            now,
            StoreReply {
                id,
                answer: Answer::Down,
            },
        );
    }

    /// The calls whose end the store did not hear of are told again.
    pub(super) fn clear(&mut self, now: Time) {
        for upstream in std::mem::take(&mut self.env.untold) {
            self.env.take_off(now, upstream);
        }
        self.take_back_again(now);
    }

    fn kept(&mut self, now: Time, key: CallKey, answer: &Answer) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        (call.keeping, call.kept_again) = (None, 0);
        self.env.timers.cancel(Timer::Retry(key));
        let waits = call.phase == Phase::Keeping;
        match answer {
            Answer::Down => {
                self.env
                    .timers
                    .set(Timer::Retry(key), now + self.env.config.waits.retry);
            }
            Answer::Moved(_) | Answer::Over if waits => {
                // Another node was faster, or the call was ended meanwhile.
                call.recorded = None;
                return self.fail(now, key, 481, "moved");
            }
            // The agent has given this call up before it was answered (spec: X26).
            Answer::Over if call.generation == 0 => {
                call.recorded = None;
                return self.fail(now, key, 481, "moved");
            }
            // Too late to step back from a takeover: the agent decides whose answer counts.
            Answer::Moved(_) if call.replaces.is_none() => return self.vanish(now, key),
            _ => {
                call.replaces = None;
                // The row of the call that is up has taken its place.
                call.noted = None;
            }
        }
        if waits {
            self.commit(now, key);
            self.pump(now, key);
        }
    }

    /// The store did not take the call before, or its word was lost; it is asked again for as long
    /// as the call lives.
    pub(super) fn keep_again(&mut self, now: Time, key: CallKey) {
        if let Some(call) = self.calls.get_mut(key)
            && call.phase == Phase::Up
        {
            call.kept_again += 1;
            self.write(now, key);
        }
    }

    /// Writes the call again where its downstream target has changed.
    pub(super) fn keep_changes(&mut self, now: Time, key: CallKey) {
        let Some(call) = self.calls.get(key) else {
            return;
        };
        let (Some(recorded), Some(far)) = (&call.recorded, &call.far) else {
            return;
        };
        let Some(dialog) = far.dialog() else { return };
        if *recorded != dialog.remote_target && call.phase == Phase::Up && !call.is_over() {
            self.write(now, key);
        }
    }
}

/// The record of a call that is up; `None` where no store could hold it.
pub(super) fn record_of(call: &Call) -> Option<DialogRecord> {
    let dialog = call.far.as_ref()?.dialog()?;
    let hop = dialog.next_hop();
    let record = DialogRecord {
        generation: call.generation,
        trunk: call.trunk.clone(),
        upstream: call.near.id(),
        downstream: dialog.id.clone(),
        local: dialog.local.clone(),
        remote: dialog.remote.clone(),
        remote_target: dialog.remote_target.clone(),
        route_set: dialog.route_set.clone(),
        protocol: hop.protocol,
        address: hop.remote,
        first_cseq: 1,
    };
    record.check().is_ok().then_some(record)
}
