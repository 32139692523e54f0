//! No far leg stays up without a caller (spec: X27).

use crate::core::NodeCore;
use crate::core::call::Phase;
use crate::core::env::Asked;
use crate::core::keys::Owner;
use crate::core::keys::Timer;
use crate::store::Answer;
use holdline_b2bua::{CallKey, decline, say_bye};
use holdline_leg::{EndCause, Passage, Signal};
use holdline_relay::Side;
use holdline_wire::dialog::Dialog;
use holdline_wire::header::Name;
use holdline_wire::record::DialogRecord;
use holdline_wire::transaction::ClientId;
use holdline_wire::{Message, Time, TransportKey};

/// How far apart the CSeq numbers of two generations are (spec: X32).
const CSEQ_STEP: u32 = 1 << 20;
/// The highest number that leaves the next generations room below 2^31.
const CSEQ_LAST: u32 = (1 << 31) - CSEQ_STEP;

const HUNG_UP: &str = "SIP;cause=200;text=\"hung up during a move\"";
/// The Reason of a BYE in a downstream dialog that its UA would not have replaced (spec: X33).
const NOT_MOVED: &str = "SIP;cause=503;text=\"failover failed\"";

impl NodeCore {
    /// The agent left a failover call whose downstream INVITE is on its way. That is not
    /// cancelled: the old downstream dialog would stay up.
    pub(super) fn leave(&mut self, now: Time, key: CallKey) {
        if let Some(call) = self.calls.get_mut(key) {
            call.phase = Phase::Leaving;
            self.env.timers.cancel(Timer::Ring(key));
            self.env
                .timers
                .set(Timer::Leaving(key), now + self.env.config.waits.leaving);
        }
    }

    /// The agent left before the store said whom the failover call is about.
    pub(super) fn leave_claim(&mut self, key: CallKey) {
        for asked in self.env.asked.values_mut() {
            if *asked == Asked::Claim(key) {
                *asked = Asked::Hangup;
            }
        }
    }

    /// The store's reply for such a call: its downstream dialog is ended.
    pub(super) fn hung_up_while_claiming(&mut self, now: Time, answer: Answer) {
        if let Answer::Claimed(record) = answer {
            self.farewell(now, &record, HUNG_UP);
            self.env.take_off(now, record.upstream.clone());
        }
    }

    /// The downstream UA's word when nobody waits for it any more.
    pub(super) fn leaving_signal(&mut self, now: Time, key: CallKey, signal: Signal) {
        match signal {
            Signal::Answer { .. } => {
                self.delete_replaced(now, key);
                self.owe_farewell(now, key);
                let passage = Passage::reason(HUNG_UP);
                self.apply(
                    now,
                    key,
                    Side::Far,
                    Signal::End {
                        cause: EndCause::Own,
                        passage,
                    },
                );
            }
            Signal::Refuse { status, .. } | Signal::Unanswered { status } => {
                self.delete_replaced(now, key);
                // 481: the downstream UA has no such dialog to end.
                if status != 481 {
                    self.end_old_dialog(now, key, Owner::Nobody);
                }
            }
            Signal::Request { id, .. } => self.reply(now, key, Side::Far, id, 481),
            _ => {}
        }
    }

    /// The downstream UA never decided.
    pub(super) fn give_up_leaving(&mut self, now: Time, key: CallKey) {
        if let Some(Phase::Refused(_)) = self.phase(key) {
            return self.old_dialog_said(now, key, 408);
        }
        if self.phase(key) == Some(Phase::Leaving) {
            self.delete_replaced(now, key);
            self.end_old_dialog(now, key, Owner::Nobody);
            let passage = Passage::reason(HUNG_UP);
            self.apply(
                now,
                key,
                Side::Far,
                Signal::End {
                    cause: EndCause::Own,
                    passage,
                },
            );
            self.pump(now, key);
        }
    }

    /// Says BYE in the downstream dialog that was not replaced; `owner` hears what comes of it.
    pub(super) fn end_old_dialog(&mut self, now: Time, key: CallKey, owner: Owner) {
        let takeover = self
            .calls
            .get_mut(key)
            .and_then(|call| call.takeover.as_mut());
        if let Some(record) = takeover.and_then(|takeover| takeover.record.take()) {
            self.env.replaced.forget(&record.downstream);
            let left = self.phase(key) == Some(Phase::Leaving);
            let reason = if left { HUNG_UP } else { NOT_MOVED };
            self.farewell_for(now, &record, reason, owner);
        }
    }

    /// Says BYE in a downstream dialog that another node had set up, with a number that is surely
    /// higher than any that it used (spec: X27, X32).
    pub(super) fn farewell(&mut self, now: Time, record: &DialogRecord, reason: &str) {
        self.farewell_for(now, record, reason, Owner::Nobody);
    }

    fn farewell_for(&mut self, now: Time, record: &DialogRecord, reason: &str, owner: Owner) {
        let step = record
            .generation
            .saturating_add(1)
            .saturating_mul(CSEQ_STEP);
        let mut dialog = Dialog {
            id: record.downstream.clone(),
            local: record.local.clone(),
            remote: record.remote.clone(),
            remote_target: record.remote_target.clone(),
            route_set: record.route_set.clone(),
            local_seq: record.first_cseq.saturating_add(step).min(CSEQ_LAST) - 1,
            remote_seq: None,
            flow: TransportKey {
                protocol: record.protocol,
                ..TransportKey::udp(self.env.config.sip, record.address)
            },
        };
        let mut ctx = self.env.ctx(now, Side::Far);
        say_bye(&mut ctx, &mut dialog, &[(Name::Reason, reason)], owner);
    }

    /// A 2xx for an INVITE of a call that is gone: ACK and BYE (RFC 3261 13.2.2.4).
    pub(super) fn decline_late_answer(
        &mut self,
        now: Time,
        client: ClientId,
        response: &Message,
        from: TransportKey,
    ) {
        if let Some(invite) = self.env.layer.request_by(client).cloned() {
            let reason = [(Name::Reason, HUNG_UP)];
            let mut ctx = self.env.ctx(now, Side::Far);
            decline(&mut ctx, &invite, response, from, &reason, Owner::Nobody);
        }
    }
}
