//! What the user agent makes of the answers to its requests.

use super::{
    By, ClientId, Dialog, Duration, Leg, LegId, Message, Method, Name, Out, Owner, Sent, SentAck,
    State, Time, Timer, TransportKey, Ua,
};
use holdline_wire::sdp::Direction;

impl Ua {
    pub(super) fn on_response(
        &mut self,
        now: Time,
        client: ClientId,
        owner: Owner,
        message: &Message,
        from: TransportKey,
    ) {
        let id = owner.leg;
        if !self.legs.contains_key(&id) {
            // The leg is gone: only a late 2xx to its INVITE matters still.
            let invite = matches!(owner.sent, Sent::Invite | Sent::Reinvite);
            return if invite {
                self.on_stray(now, message)
            };
        }
        match owner.sent {
            Sent::Invite => self.on_invite_response(now, id, message, from),
            Sent::Reinvite => self.on_reinvite_response(now, client, id, message),
            Sent::Bye if message.status() >= 200 => self.bye_done(now, id, message.status()),
            Sent::Other if message.status() >= 200 => {
                self.other_done(client, id, message.status());
            }
            Sent::Bye | Sent::Other => {}
        }
    }

    pub(super) fn on_timeout(&mut self, now: Time, client: ClientId, owner: Owner) {
        let id = owner.leg;
        if !self.legs.contains_key(&id) {
            return;
        }
        match owner.sent {
            Sent::Invite => self.end(now, id, By::Timeout, None, 0),
            Sent::Reinvite => self.reinvite_failed(now, id, 0),
            Sent::Bye => self.bye_done(now, id, 0),
            Sent::Other => self.other_done(client, id, 0),
        }
    }

    /// Closes a leg and says so.
    pub(super) fn end(
        &mut self,
        now: Time,
        id: LegId,
        by: By,
        reason: Option<String>,
        status: u16,
    ) {
        let call = self.legs[&id].call;
        self.close_leg(now, id);
        self.tell(Out::Ended {
            call,
            by,
            reason,
            status,
        });
    }

    fn bye_done(&mut self, now: Time, id: LegId, status: u16) {
        let leg = &self.legs[&id];
        if leg.quiet {
            self.close_leg(now, id);
        } else {
            self.end(now, id, leg.ended_by, None, status);
        }
    }

    fn other_done(&mut self, client: ClientId, id: LegId, status: u16) {
        if let Some(method) = self.others.remove(&client) {
            let call = self.legs[&id].call;
            self.tell(Out::Response {
                call,
                method,
                status,
            });
        }
    }

    fn on_invite_response(&mut self, now: Time, id: LegId, message: &Message, from: TransportKey) {
        match message.status() {
            100 => {}
            101..=199 => self.on_provisional(id, message, from),
            200..=299 => self.on_answer(now, id, message, from),
            status => {
                let by = if self.legs[&id].cancelled {
                    By::Local
                } else {
                    By::Peer
                };
                let reason = message.text(Name::Reason);
                self.end(now, id, by, reason, status);
            }
        }
    }

    /// Notes the To tag of an answer to our INVITE.
    fn note_tag(&mut self, id: LegId, message: &Message) {
        let tag = message.to_tag().unwrap_or_default().to_owned();
        let leg = self.leg(id);
        let call = leg.call;
        if !tag.is_empty() && leg.to_tags.insert(tag) && leg.to_tags.len() > 1 {
            self.call_mut(call).counts.extra_to_tags += 1;
        }
    }

    fn on_provisional(&mut self, id: LegId, message: &Message, from: TransportKey) {
        self.note_tag(id, message);
        if self.legs[&id].state != State::Calling {
            return;
        }
        if let Some(dialog) = Dialog::uac(&self.legs[&id].invite, message, from) {
            if let Some(old) = self.leg(id).dialog.replace(dialog) {
                self.by_dialog.remove(&old.id);
            }
            self.index_dialog(id);
        }
        let call = self.legs[&id].call;
        let early = message
            .sdp()
            .is_some_and(|sdp| self.take_answer(id, &sdp).is_ok());
        let early = early.then(|| self.legs[&id].session.stream().clone());
        self.tell(Out::Ringing {
            call,
            status: message.status(),
            early,
        });
    }

    fn on_answer(&mut self, now: Time, id: LegId, message: &Message, from: TransportKey) {
        self.note_tag(id, message);
        let leg = self.leg(id);
        if leg.state != State::Calling {
            return self.on_stray(now, message);
        }
        leg.client = None;
        let Some(dialog) = Dialog::uac(&leg.invite, message, from) else {
            return self.end(now, id, By::Peer, None, message.status());
        };
        if let Some(old) = leg.dialog.replace(dialog) {
            self.by_dialog.remove(&old.id);
        }
        self.index_dialog(id);
        let leg = self.leg(id);
        leg.state = State::Up;
        leg.known_target = leg
            .dialog
            .as_ref()
            .map(|d| d.remote_target.clone())
            .unwrap_or_default();
        self.ack(id, message.cseq().number);
        let usable = message
            .sdp()
            .ok_or(488)
            .and_then(|sdp| self.take_answer(id, &sdp));
        self.leg(id).session.settle();
        if self.legs[&id].cancelled {
            // The 2xx crossed our CANCEL.
            return self.bye(now, id);
        }
        let leg = &self.legs[&id];
        let (call, stream) = (leg.call, leg.session.stream().clone());
        self.tell(Out::Answered { call, stream });
        if usable.is_err() {
            return self.bye(now, id);
        }
        self.reinvite_if_due(now, id);
    }

    fn take_answer(&mut self, id: LegId, sdp: &bytes::Bytes) -> Result<bool, u16> {
        let leg = self.leg(id);
        let call = leg.call;
        let (changed, differed) = leg.session.take_answer(sdp)?;
        self.call_mut(call).counts.answers_changed += u32::from(differed);
        Ok(changed)
    }

    /// Sends the ACK for the 2xx to the INVITE numbered `seq`.
    fn ack(&mut self, id: LegId, seq: u32) {
        let branch = self.tokens.branch();
        let Some(dialog) = &self.legs[&id].dialog else {
            return;
        };
        let (to, builder) = (dialog.next_hop(), dialog.ack(seq, &branch));
        let bytes = builder.finish(None).expect("our own ACK is well formed");
        self.leg(id).ack = Some(SentAck {
            seq,
            to,
            bytes: bytes.clone(),
        });
        self.send(to, bytes);
    }

    fn on_reinvite_response(&mut self, now: Time, client: ClientId, id: LegId, message: &Message) {
        let status = message.status();
        if status < 200 {
            return;
        }
        // The repeated 2xx of a re-INVITE before is no answer to the one in progress.
        if self.legs[&id].client != Some(client) {
            return self.on_stray(now, message);
        }
        self.leg(id).client = None;
        if status >= 300 {
            return self.reinvite_failed(now, id, status);
        }
        if let Some(dialog) = self.leg(id).dialog.as_mut() {
            dialog.refresh(message);
        }
        self.ack(id, message.cseq().number);
        let changed = message
            .sdp()
            .and_then(|sdp| self.take_answer(id, &sdp).ok());
        self.leg(id).session.settle();
        self.tell_if_changed(id, changed.unwrap_or(false));
        self.tell_reinvited(id, status);
        self.reinvite_if_due(now, id);
    }

    fn tell_reinvited(&mut self, id: LegId, status: u16) {
        let call = self.legs[&id].call;
        let held = self.call_mut(call).will == Direction::SendOnly;
        self.tell(Out::Reinvited { call, held, status });
    }

    /// A refused re-INVITE leaves the session as it was; 481 and silence end the dialog (RFC 3261
    /// 12.2.1.2), glare is tried again later (14.1).
    fn reinvite_failed(&mut self, now: Time, id: LegId, status: u16) {
        let leg = self.leg(id);
        leg.client = None;
        leg.session.withdraw();
        if leg.state != State::Up {
            return;
        }
        match status {
            491 => {
                leg.reinvite_due = true;
                let (from, range) = if leg.outgoing { (2_100, 190) } else { (0, 200) };
                let wait = Duration::from_millis(from + 10 * self.tokens.below(range + 1));
                self.timers.set(Timer::Retry(id), now + wait);
            }
            0 | 408 | 481 => {
                self.tell_reinvited(id, status);
                self.leg(id).ended_by = By::Timeout;
                self.bye(now, id);
            }
            _ => self.tell_reinvited(id, status),
        }
    }

    /// A response that no transaction knows: a repeated 2xx wants its ACK again; a 2xx of another
    /// branch of a forked INVITE is acknowledged and ended (RFC 3261 13.2.2.4).
    pub(super) fn on_stray(&mut self, now: Time, message: &Message) {
        let invite = *message.method() == Method::Invite;
        let success = (200..300).contains(&message.status());
        if !invite || !success {
            self.counts.strays += 1;
            return;
        }
        let ours = |leg: &Leg| {
            leg.ack
                .as_ref()
                .is_some_and(|ack| ack.seq == message.cseq().number)
        };
        let same = |leg: &Leg| {
            let id = leg.id();
            &*id.call_id == message.call_id() && &*id.local_tag == message.from_tag()
        };
        let to_tag = message.to_tag().unwrap_or_default();
        let found = self
            .legs
            .iter()
            .find(|(_, leg)| same(leg))
            .map(|(id, _)| *id);
        let Some(id) = found else {
            self.counts.strays += 1;
            return;
        };
        let leg = &self.legs[&id];
        if &*leg.id().remote_tag != to_tag {
            self.end_fork(now, id, message);
        } else if ours(leg)
            && let Some(ack) = leg.ack.clone()
        {
            self.send(ack.to, ack.bytes);
        }
    }

    /// ACK and BYE for a second 2xx with another To tag.
    fn end_fork(&mut self, now: Time, id: LegId, message: &Message) {
        let leg = &self.legs[&id];
        let Some(flow) = leg.dialog.as_ref().map(|dialog| dialog.flow) else {
            return;
        };
        let Some(mut fork) = Dialog::uac(&leg.invite, message, flow) else {
            return;
        };
        let (branch, other) = (self.tokens.branch(), self.tokens.branch());
        let ack = fork.ack(message.cseq().number, &branch).finish(None);
        let bye = fork.request(&Method::Bye, &other).finish(None);
        let hop = fork.next_hop();
        if let (Ok(ack), Ok(bye)) = (ack, bye) {
            self.send(hop, ack);
            // No leg has the number 0: whatever comes of it is ignored.
            self.layer.request(
                now,
                hop,
                bye,
                Owner {
                    leg: 0,
                    sent: Sent::Bye,
                },
                None,
            );
        }
    }
}
