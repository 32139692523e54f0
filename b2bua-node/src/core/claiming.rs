//! Failover calls: an INVITE with Replaces takes a dialog over from the node that had it, even
//! where that is this very node (spec: D31, X31a).

use crate::core::call::{Call, Phase, Takeover};
use crate::core::env::Asked;
use crate::core::keeping::record_of;
use crate::core::keys::Owner;
use crate::core::keys::Timer;
use crate::core::marks::refused_with;
use crate::core::placing::cause_of;
use crate::core::{Event, NodeCore, far_uri};
use crate::store::{Answer, Op};
use bytes::Bytes;
use holdline_b2bua::transfer::insist;
use holdline_b2bua::{CallKey, status_of};
use holdline_leg::{Minted, Passage, Setup, Signal};
use holdline_relay::{MediaError, Side};
use holdline_wire::dialog::DialogId;
use holdline_wire::header::{InstanceRefusal, Replaces};
use holdline_wire::record::DialogRecord;
use holdline_wire::sdp::Sdp;
use holdline_wire::transaction::ServerId;
use holdline_wire::{Message, Time, TransportKey};
use std::sync::Arc;

impl NodeCore {
    /// Takes a failover INVITE in and asks the store whom it is about. An error is the status to
    /// refuse with.
    pub(super) fn claim(
        &mut self,
        now: Time,
        server: ServerId,
        invite: &Message,
        from: TransportKey,
        replaces: &Replaces,
        max_forwards: u32,
    ) -> Result<(), u16> {
        if invite.sdp().is_none() {
            // The far end has to be offered exactly what is in use (spec: X24a).
            return Err(488);
        }
        let replaced = DialogId {
            call_id: replaces.call_id.clone(),
            local_tag: replaces.to_tag.clone(),
            remote_tag: replaces.from_tag.clone(),
        };
        if let Some(&first) = self.env.claimed.get(&replaced) {
            // The agent gave up an attempt that is under way here. Two at a time would meet at the
            // far end, which takes the later for the replacement of a dialog that is over.
            self.with_leg(now, first, Side::Far, |leg, ctx| leg.hasten(ctx));
            return Err(500);
        }
        let holder = self.holder(replaces);
        let key = self.take_in(now, server, invite, from)?;
        self.env.claimed.insert(replaced.clone(), key);
        let takeover = Takeover {
            named: replaced.clone(),
            replaced: replaced.clone(),
            early_only: replaces.early_only,
            invite: invite.clone(),
            max_forwards,
            record: None,
            answer: Bytes::new(),
            offer: Bytes::new(),
            other_form: None,
            deaf: false,
        };
        let call = &mut self.calls[key];
        call.phase = Phase::Claiming;
        call.replaces = Some(takeover.replaced.clone());
        call.takeover = Some(Box::new(takeover));
        self.env.event(Event::ClaimAsked(call.number));
        if let Some(old) = holder.and_then(|old| self.calls.get_mut(old)) {
            old.claimant = Some(key);
        }
        // Before the store is asked: meanwhile the relay opens the ports.
        if let Err(error) = self.mirror(key) {
            let status = status_of(&error);
            let cause = cause_of(status);
            self.fail_for(now, key, status, cause, "the offer cannot be relayed");
            return Ok(());
        }
        let abandoned = super::noting::orphans(invite);
        let op = Op::Claim {
            replaced,
            abandoned,
            by: self.env.config.incarnation.clone(),
        };
        if self.env.ask(now, op, Asked::Claim(key)).is_some() {
            self.env
                .timers
                .set(Timer::Claim(key), now + self.env.config.waits.claim);
        } else {
            self.claim_replied(now, key, Answer::Down);
        }
        Ok(())
    }

    /// The store took too long.
    pub(super) fn claim_unanswered(&mut self, now: Time, key: CallKey) {
        self.claim_replied(now, key, Answer::Down);
    }

    /// The store's word about the replaced dialog.
    pub(super) fn claim_replied(&mut self, now: Time, key: CallKey, answer: Answer) {
        self.env.timers.cancel(Timer::Claim(key));
        let Some(call) = self
            .calls
            .get(key)
            .filter(|call| call.phase == Phase::Claiming)
        else {
            return;
        };
        let Some(takeover) = &call.takeover else {
            return;
        };
        let record = match answer {
            Answer::Claimed(record) => Ok(record),
            // RFC 3891 section 3 tells a dialog that is over from one that never was.
            Answer::Over => Err((603, "the dialog is over")),
            Answer::Moved(_) => Err((481, "moved")),
            // What the store does not have may still be a call of this very node.
            Answer::Down => self
                .own_record(key)
                .ok_or((503, "the store does not answer")),
            _ => self.own_record(key).ok_or((481, "no such dialog")),
        };
        let record = record.and_then(|record| {
            if record.trunk != call.trunk {
                Err((403, "another trunk's dialog"))
            } else if takeover.early_only {
                Err((486, "the dialog is confirmed"))
            } else {
                Ok(record)
            }
        });
        match record {
            Ok(record) => self.take_over(now, key, record),
            Err((status, why)) => {
                let cause = match status {
                    503 => InstanceRefusal::Store,
                    _ => InstanceRefusal::Other,
                };
                self.fail_for(now, key, status, cause, why);
            }
        }
    }

    /// The record of the call of this node that the failover call `key` asks for.
    fn own_record(&self, key: CallKey) -> Option<Arc<DialogRecord>> {
        let replaced = &self.calls.get(key)?.takeover.as_ref()?.replaced;
        let old = self.calls.get(self.near_call(replaced)?)?;
        let kept = old.phase == Phase::Up && old.recorded.is_some();
        kept.then(|| record_of(old))?.map(Arc::new)
    }

    /// Answers with media at once and sends the downstream INVITE with Replaces, both before
    /// anything else is known (spec: X31a).
    fn take_over(&mut self, now: Time, key: CallKey, record: Arc<DialogRecord>) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let Some(takeover) = &mut call.takeover else {
            return;
        };
        let (answer, offer) = (takeover.answer.clone(), takeover.offer.clone());
        let (setup, other_form) = downstream_invite(self.env.config.sip, takeover, &record, offer);
        takeover.other_form = other_form;
        call.generation = record.generation + 1;
        // It may be a later dialog than the one that was named.
        takeover.replaced = record.upstream.clone();
        call.replaces = Some(record.upstream.clone());
        self.env.replaced.asked(&record.downstream);
        takeover.record = Some(record);
        call.phase = Phase::Replacing;
        let passage = Passage::new(Vec::new(), Some(answer));
        let progress = Signal::Progress {
            status: 183,
            reason: Bytes::new(),
            passage,
        };
        self.apply(now, key, Side::Near, progress);
        let minted = Minted::draw(&mut self.env.tokens);
        self.call_downstream(now, key, &setup, &minted);
    }

    /// Takes the ports for the call, and writes our answer to the INVITE's offer and the offer for
    /// the downstream UA.
    fn mirror(&mut self, key: CallKey) -> Result<(), MediaError> {
        let call = &mut self.calls[key];
        let Some(takeover) = &mut call.takeover else {
            return Ok(());
        };
        let offer = takeover.invite.sdp().unwrap_or_default();
        let (ports, out) = (&mut self.env.streams.ports, &mut self.env.streams.commands);
        let mirrored = call.session.mirror(ports, out, offer);
        if let Ok((answer, offer)) = &mirrored {
            (takeover.answer, takeover.offer) = (answer.clone(), offer.clone());
        }
        self.env.flush_relay(key);
        mirrored.map(|_| ())
    }

    /// The downstream UA has something to say about being taken over.
    pub(super) fn takeover_signal(&mut self, now: Time, key: CallKey, signal: Signal) {
        match signal {
            Signal::Answer { .. } => self.taken_over(now, key, signal),
            Signal::Refuse {
                status, passage, ..
            } => self.takeover_refused(now, key, status, &passage),
            Signal::Unanswered { status } => self.far_end_silent(now, key, status),
            Signal::Request { id, .. } => self.reply(now, key, Side::Far, id, 491),
            Signal::End { .. } => self.fail(now, key, 480, "downstream hung up"),
            // It rings or queues: the agent has its media already.
            _ => {}
        }
    }

    fn takeover_refused(&mut self, now: Time, key: CallKey, status: u16, passage: &Passage) {
        match status {
            404 | 484 if self.ask_in_other_form(now, key) => {}
            // RFC 3891 section 3: the dialog is over. Its UA may still be saying so to the dead node.
            // Or it has just gone to another attempt, in which a BYE at once would end it.
            603 => {
                self.owe_farewell(now, key);
                self.delete_replaced(now, key);
                self.fail_because(now, key, 603, 603, "the far end had hung up");
            }
            // The far end has hung up, or it knows the dialog and cannot replace it.
            481 => {
                if let Some(call) = self.calls.get_mut(key) {
                    call.phase = Phase::Refused(status);
                }
                self.end_old_dialog(now, key, Owner::Farewell(key));
                let patience = self.env.config.waits.claim;
                self.env.timers.set(Timer::Leaving(key), now + patience);
            }
            _ if may_pass(status) => self.far_end_refused(now, key, status, passage),
            // It would say the same to any other node.
            _ => {
                self.end_old_dialog(now, key, Owner::Nobody);
                self.give_up(now, key, status);
            }
        }
    }

    /// The downstream UA does not know the user of the Request-URI: it is asked once more with the
    /// other one that it may know (spec: X24a); false where there is none, or it was.
    fn ask_in_other_form(&mut self, now: Time, key: CallKey) -> bool {
        let Some(call) = self.calls.get_mut(key) else {
            return false;
        };
        let takeover = call.takeover.as_mut();
        let Some(setup) = takeover.and_then(|takeover| takeover.other_form.take()) else {
            return false;
        };
        if let Some(refused) = call.far.take() {
            self.env.tags.remove(refused.local_tag());
        }
        let minted = Minted::draw(&mut self.env.tokens);
        self.call_downstream(now, key, &setup, &minted);
        true
    }

    /// What the downstream UA said to the BYE in the dialog that it had not replaced.
    pub(super) fn old_dialog_said(&mut self, now: Time, key: CallKey, status: u16) {
        let Some(Phase::Refused(refused)) = self.phase(key) else {
            return;
        };
        if status == 481 {
            self.delete_replaced(now, key);
            self.fail_because(now, key, 603, 481, "the far end had hung up");
        } else {
            self.give_up(now, key, refused);
        }
    }

    /// No node can move this call: 606 tells the agent to ask none (spec: X33).
    fn give_up(&mut self, now: Time, key: CallKey, status: u16) {
        self.delete_replaced(now, key);
        self.fail_because(now, key, 606, status, &refused_with(status));
    }

    /// The downstream UA accepted. Upstream gets the description of the 183 once more, so the
    /// downstream one has to fit it.
    fn taken_over(&mut self, now: Time, key: CallKey, mut signal: Signal) {
        let described = signal.passage_mut().and_then(|passage| passage.sdp());
        let carried = self.carry(key, Side::Far, &mut signal);
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let fits = carried.is_ok() && described.is_some_and(|answer| fits(call, answer));
        let Signal::Answer {
            status,
            reason,
            passage,
        } = signal
        else {
            return;
        };
        let Some(takeover) = call.takeover.as_ref().filter(|_| fits) else {
            self.delete_replaced(now, key);
            self.owe_farewell(now, key);
            return self.fail(now, key, 488, "downstream's media does not fit");
        };
        let passage = Passage::new(passage.headers, Some(takeover.answer.clone()));
        self.owe_farewell(now, key);
        self.keep(
            now,
            key,
            Signal::Answer {
                status,
                reason,
                passage,
            },
        );
    }

    /// The call is over that `key` had wanted to take over.
    pub(super) fn delete_replaced(&mut self, now: Time, key: CallKey) {
        let Some(takeover) = self.calls.get(key).and_then(|call| call.takeover.as_ref()) else {
            return;
        };
        let upstream = takeover.replaced.clone();
        self.env.take_off(now, upstream);
    }

    /// A failover call is up: where this very node had the old one, it lets go of it.
    pub(super) fn let_go_of(&mut self, now: Time, replaced: &DialogId) {
        if let Some(old) = self.near_call(replaced) {
            match self.phase(old) {
                Some(Phase::Up) => self.give_way(now, old),
                _ => self.fail(now, old, 481, "moved"),
            }
        }
    }

    /// Lets go of a call whose place another call of this node takes.
    pub(super) fn give_way(&mut self, now: Time, old: CallKey) {
        // The store was down since the old one came here: it has the row before that still.
        if let Some(before) = self.calls.get(old).and_then(|call| call.replaces.clone()) {
            self.env.take_off_in_company(now, before);
        }
        self.vanish(now, old);
    }
}

/// The INVITE towards the downstream UA: in its Replaces, the tags are the downstream dialog's.
/// What the agent's INVITE says of the people talking goes along (spec: X24a). Beside it the same
/// with the other Request-URI that the UA may know.
fn downstream_invite(
    sip: std::net::SocketAddr,
    takeover: &Takeover,
    record: &DialogRecord,
    offer: Bytes,
) -> (Setup, Option<Box<Setup>>) {
    let mut passage = Passage::of(&takeover.invite);
    passage.set_sdp(offer);
    let replaces = record.downstream.replaces_for_peer();
    let headers = insist(&replaces, &mut passage);
    let called = takeover.invite.request_uri();
    let (request_uri, other) = far_uri::forms(&record.remote_target, called);
    let setup = Setup {
        request_uri,
        from: record.local.clone(),
        to: record.remote.clone(),
        routes: record.route_set.clone(),
        flow: TransportKey {
            protocol: record.protocol,
            ..TransportKey::udp(sip, record.address)
        },
        max_forwards: takeover.max_forwards,
        cseq: 1,
        headers,
        passage,
        timers: None,
    };
    let other_form = other.map(|request_uri| {
        Box::new(Setup {
            request_uri,
            ..setup.clone()
        })
    });
    (setup, other_form)
}

/// Whether a refusal may be another one, or none, a moment later. 487 comes from a UA whose call
/// went over a proxy that gave it up.
fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 480 | 487 | 491 | 500 | 502..=504)
}

/// Whether the downstream answer agrees with the one that upstream has had already: every stream
/// that it takes starts with the same format, and it takes at least one.
fn fits(call: &Call, answer: Bytes) -> bool {
    let Some(takeover) = &call.takeover else {
        return false;
    };
    let (Ok(told), Ok(answer)) = (Sdp::parse(takeover.answer.clone()), Sdp::parse(answer)) else {
        return false;
    };
    let silent = told.media().iter().all(|media| media.port == 0);
    let both = told.media().iter().zip(answer.media());
    let mut live = both
        .filter(|(told, answer)| told.port != 0 && answer.port != 0)
        .peekable();
    // A call without any stream goes on without one.
    (silent || live.peek().is_some())
        && live.all(|(told, answer)| told.formats.first() == answer.formats.first())
}
