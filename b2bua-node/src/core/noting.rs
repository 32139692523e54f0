//! Calls that are not answered yet outlive their node too: what a survivor needs to take the
//! attempt back is noted before its INVITE leaves, and taken back when the agent says that it has
//! no caller any more (spec: X26).

use crate::core::call::{Call, Phase, Unplaced};
use crate::core::env::Asked;
use crate::core::keys::Owner;
use crate::core::keys::Timer;
use crate::core::{Event, NodeCore};
use crate::store::{Answer, Op};
use holdline_b2bua::CallKey;
use holdline_leg::{Minted, Setup};
use holdline_wire::attempt::AttemptRecord;
use holdline_wire::build::via_value;
use holdline_wire::dialog::{Dialog, DialogId};
use holdline_wire::header::{Name, Replaces};
use holdline_wire::record::DialogRecord;
use holdline_wire::{Message, Time, TransportKey};
use std::sync::Arc;

/// Orphans that one request may name.
const ORPHANS_MAX: usize = 8;
/// Why an attempt is taken back (RFC 3326): a phone shows no missed call for it.
const TAKEN_BACK: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

impl NodeCore {
    /// Calls downstream as soon as the store has the attempt and has told of the attempts before
    /// it, or did not in its time: then all the same (spec: X30).
    pub(super) fn note_and_call(
        &mut self,
        now: Time,
        key: CallKey,
        setup: Setup,
        invite: &Message,
    ) {
        let minted = Minted::draw(&mut self.env.tokens);
        let mut replies = 0;
        for upstream in orphans(invite) {
            replies +=
                usize::from(self.take_back(now, upstream, invite_trunk(self, key), Some(key)));
        }
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let attempt = attempt_of(call, &setup, &minted);
        if attempt.check().is_ok() {
            call.noted = Some(Arc::new(attempt));
            replies += usize::from(self.note(now, key));
        }
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        call.unplaced = Some(Box::new(Unplaced {
            setup,
            minted,
            replies,
        }));
        if replies == 0 {
            return self.noted_too_late(now, key);
        }
        let waits = &self.env.config.waits;
        let patience = if self.is_wary(now) {
            waits.check
        } else {
            waits.commit
        };
        self.env.timers.set(Timer::Invite(key), now + patience);
    }

    fn note(&mut self, now: Time, key: CallKey) -> bool {
        let noted = self.calls.get(key).and_then(|call| call.noted.clone());
        noted.is_some_and(|attempt| {
            let op = Op::Note { attempt };
            self.env.ask(now, op, Asked::Note(key)).is_some()
        })
    }

    /// The store does not say whether this node may place the call. One that stood still may have
    /// read an INVITE that was placed elsewhere long ago; any other goes on (spec: X28, X30).
    pub(super) fn noted_too_late(&mut self, now: Time, key: CallKey) {
        if self.is_wary(now) {
            self.fail(now, key, 503, "this node stood still");
        } else {
            self.invite(now, key);
        }
    }

    /// The store's word about an attempt.
    pub(super) fn note_replied(&mut self, now: Time, key: CallKey, answer: &Answer) {
        let Some(call) = self.calls.get(key) else {
            return;
        };
        match answer {
            Answer::Over if call.phase == Phase::Setup => {
                self.fail(now, key, 503, "placed elsewhere");
            }
            Answer::Down if call.unplaced.is_some() && self.is_wary(now) => {
                self.noted_too_late(now, key);
            }
            _ => self.one_reply_less(now, key),
        }
    }

    fn one_reply_less(&mut self, now: Time, key: CallKey) {
        let call = self.calls.get_mut(key);
        let Some(unplaced) = call.and_then(|call| call.unplaced.as_mut()) else {
            return;
        };
        unplaced.replies = unplaced.replies.saturating_sub(1);
        if unplaced.replies == 0 {
            self.invite(now, key);
        }
    }

    /// Sends the downstream INVITE of a new call.
    fn invite(&mut self, now: Time, key: CallKey) {
        self.env.timers.cancel(Timer::Invite(key));
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let number = call.number;
        let Some(unplaced) = call.unplaced.take() else {
            return;
        };
        if self.call_downstream(now, key, &unplaced.setup, &unplaced.minted) {
            self.env.event(Event::Placed(number));
        }
    }

    /// The downstream UA has told its tag: should it answer just when this node dies, only a BYE
    /// in that dialog ends its call.
    pub(super) fn note_ringing(&mut self, now: Time, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        if call.phase != Phase::Setup {
            return;
        }
        let (Some(noted), Some(far)) = (&mut call.noted, &call.far) else {
            return;
        };
        let Some(dialog) = far.dialog() else { return };
        let known = noted.early.as_ref();
        if known.is_some_and(|early| early.downstream == dialog.id) {
            return;
        }
        let early = early_of(&noted.invited, dialog);
        if early.check().is_err() {
            return;
        }
        // Nobody waits for it; an answer or an end that comes first says more.
        self.env.forgo_note(key);
        Arc::make_mut(noted).early = Some(early);
        let attempt = noted.clone();
        self.env
            .ask_in_company(now, Op::Note { attempt }, Asked::Note(key));
    }

    /// A request of the agent that is no INVITE names orphans.
    pub(super) fn take_back_all(&mut self, now: Time, request: &Message, from: TransportKey) {
        let trunk: Box<str> = from.remote.ip().to_string().into();
        for upstream in orphans(request) {
            self.take_back(now, upstream, trunk.clone(), None);
        }
    }

    fn take_back(
        &mut self,
        now: Time,
        upstream: DialogId,
        trunk: Box<str>,
        waiter: Option<CallKey>,
    ) -> bool {
        let op = Op::Orphan {
            upstream: upstream.clone(),
            trunk: trunk.clone(),
        };
        let asked = Asked::Orphan(upstream.clone(), trunk.clone(), waiter);
        let asked = self.env.ask(now, op, asked).is_some();
        if !asked {
            self.take_back_later(now, upstream, trunk);
        }
        asked
    }

    /// The store does not answer: the agent has told this node alone, so it is asked again. Beyond
    /// four times the capacity the oldest ring on to their own end.
    fn take_back_later(&mut self, now: Time, upstream: DialogId, trunk: Box<str>) {
        if self.env.orphans.len() >= self.env.config.capacity * 4 {
            self.env.orphans.pop_front();
        }
        self.env.orphans.push_back((upstream, trunk));
        let retry = self.env.config.waits.retry;
        self.env.timers.set(Timer::Clear, now + retry);
    }

    /// The store may answer again.
    pub(super) fn take_back_again(&mut self, now: Time) {
        for (upstream, trunk) in std::mem::take(&mut self.env.orphans) {
            self.take_back(now, upstream, trunk, None);
        }
    }

    /// The store's word about a call that has no caller any more.
    pub(super) fn orphan_replied(
        &mut self,
        now: Time,
        (upstream, trunk): (DialogId, Box<str>),
        waiter: Option<CallKey>,
        answer: &Answer,
    ) {
        match answer {
            Answer::Down => self.take_back_later(now, upstream, trunk),
            Answer::Rings(attempt) => self.cancel_orphan(now, attempt),
            Answer::Found(record) => self.farewell(now, record, TAKEN_BACK),
            _ => {}
        }
        if let Some(key) = waiter {
            self.one_reply_less(now, key);
        }
    }

    /// The downstream UA matches our CANCEL by the dead node's Via (RFC 3261 9.2). Its 487 goes
    /// there. If it has just answered, the BYE is what ends it.
    fn cancel_orphan(&mut self, now: Time, attempt: &AttemptRecord) {
        let invited = &attempt.invited;
        let flow = TransportKey {
            protocol: invited.protocol,
            ..TransportKey::udp(self.env.config.sip, invited.address)
        };
        if let Ok(cancel) = attempt.cancel(TAKEN_BACK) {
            self.env
                .layer
                .request(now, flow, cancel, Owner::Nobody, None);
        }
        if let Some(early) = &attempt.early {
            self.farewell(now, early, TAKEN_BACK);
        }
    }
}

fn invite_trunk(core: &NodeCore, key: CallKey) -> Box<str> {
    core.calls
        .get(key)
        .map_or_else(|| "".into(), |call| call.trunk.clone())
}

/// The calls without a caller that `request` names, as this node's cluster knows them.
pub(super) fn orphans(request: &Message) -> Vec<DialogId> {
    let named = request.values(Name::InstanceOrphan);
    named
        .filter_map(Replaces::parse)
        .take(ORPHANS_MAX)
        .map(|named| DialogId::of_orphan(&named))
        .collect()
}

fn attempt_of(call: &Call, setup: &Setup, minted: &Minted) -> AttemptRecord {
    let invited = DialogRecord {
        generation: 0,
        trunk: call.trunk.clone(),
        upstream: call.near.id().unanswered(),
        downstream: DialogId {
            call_id: minted.call_id.as_str().into(),
            local_tag: minted.tag.as_str().into(),
            remote_tag: "".into(),
        },
        local: setup.from.clone(),
        remote: setup.to.clone(),
        remote_target: setup.request_uri.clone(),
        route_set: setup.routes.clone(),
        protocol: setup.flow.protocol,
        address: setup.flow.remote,
        first_cseq: setup.cseq,
    };
    AttemptRecord {
        via: via_value(&setup.flow, &minted.branch).into(),
        invited,
        early: None,
    }
}

fn early_of(invited: &DialogRecord, dialog: &Dialog) -> DialogRecord {
    let hop = dialog.next_hop();
    DialogRecord {
        downstream: dialog.id.clone(),
        remote_target: dialog.remote_target.clone(),
        route_set: dialog.route_set.clone(),
        protocol: hop.protocol,
        address: hop.remote,
        ..invited.clone()
    }
}
