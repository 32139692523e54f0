//! Offers of the peer inside a dialog, and what is told about media.

use super::leg::{Leg, LegId, State, Unacked};
use super::{By, Message, Method, Name, Out, ServerId, Time, TransportKey, Ua};
use bytes::Bytes;

impl Ua {
    pub(super) fn tell_if_changed(&mut self, id: LegId, changed: bool) {
        if changed {
            let leg = &self.legs[&id];
            let (call, stream) = (leg.call, leg.session.stream().clone());
            self.tell(Out::MediaChanged { call, stream });
        }
    }

    /// Answers an offer with what the user of the call wants.
    pub(super) fn answer_offer(&mut self, id: LegId, offer: &Bytes) -> Result<(Bytes, bool), u16> {
        let call = self.legs[&id].call;
        let will = self.call_mut(call).will;
        self.leg(id).session.answer(offer, will)
    }

    /// A re-INVITE or UPDATE that is in order (RFC 3261 14.2, RFC 3311).
    pub(super) fn on_offer_in_dialog(
        &mut self,
        now: Time,
        server: ServerId,
        message: &Message,
        from: TransportKey,
        id: LegId,
    ) {
        let invite = *message.method() == Method::Invite;
        let leg = &self.legs[&id];
        let glare = leg.client.is_some() || leg.session.is_offering();
        if (glare && (invite || message.sdp().is_some())) || (invite && leg.state != State::Up) {
            let call = leg.call;
            self.call_mut(call).counts.out_of_order += 1;
            return self.refuse_request(now, server, message, from, 491, &[]);
        }
        match message.sdp() {
            Some(offer) => match self.answer_offer(id, &offer) {
                Ok((answer, changed)) => {
                    self.accept_offer(now, server, message, from, id, Some(answer));
                    self.tell_if_changed(id, changed);
                }
                Err(status) => self.refuse_request(now, server, message, from, status, &[]),
            },
            // A re-INVITE without SDP asks for our offer; its answer comes in the ACK.
            None if invite => {
                let call = self.legs[&id].call;
                let will = self.call_mut(call).will;
                let offer = self.leg(id).session.offer(will);
                self.accept_offer(now, server, message, from, id, Some(offer));
            }
            None => self.accept_offer(now, server, message, from, id, None),
        }
        self.tell_if_target_moved(id, message);
    }

    fn accept_offer(
        &mut self,
        now: Time,
        server: ServerId,
        message: &Message,
        from: TransportKey,
        id: LegId,
        sdp: Option<Bytes>,
    ) {
        let call = self.legs[&id].call;
        self.respond(now, server, message, from, 200, None, call, sdp);
        if *message.method() == Method::Invite {
            self.await_ack(server, message.cseq().number, id);
        }
    }

    /// Notes that a 2xx of ours waits for its ACK.
    pub(super) fn await_ack(&mut self, server: ServerId, seq: u32, id: LegId) {
        self.leg(id).unacked.push(Unacked { server, seq });
    }

    pub(super) fn on_ack(&mut self, now: Time, message: &Message) {
        let Some(id) = self.leg_of(message) else {
            return;
        };
        let seq = message.cseq().number;
        let leg = self.leg(id);
        let Some(at) = leg.unacked.iter().position(|unacked| unacked.seq == seq) else {
            return;
        };
        let acked = leg.unacked.remove(at);
        self.layer.acked(acked.server);
        if self.legs[&id].session.is_offering() && self.legs[&id].client.is_none() {
            let taken = message
                .sdp()
                .map(|sdp| self.leg(id).session.take_answer(&sdp));
            self.leg(id).session.settle();
            if let Some(Ok((changed, _))) = taken {
                self.tell_if_changed(id, changed);
            }
        }
        let leg = self.leg(id);
        if std::mem::take(&mut leg.bye_due) && leg.state == State::Up {
            return self.bye(now, id);
        }
        self.reinvite_if_due(now, id);
    }

    /// A 2xx of ours was never acknowledged: its dialog is ended (RFC 3261 13.3.1.4).
    pub(super) fn on_no_ack(&mut self, now: Time, server: ServerId) {
        let waits = |leg: &Leg| leg.unacked.iter().any(|unacked| unacked.server == server);
        let found = self
            .legs
            .iter()
            .find(|(_, leg)| waits(leg))
            .map(|(id, _)| *id);
        if let Some(id) = found {
            self.leg(id).ended_by = By::Timeout;
            self.bye(now, id);
        }
    }

    /// `Dialog::accept` took the Contact before; the INVITE's own says whether it moved.
    fn tell_if_target_moved(&mut self, id: LegId, message: &Message) {
        let leg = self.leg(id);
        let Some(dialog) = &leg.dialog else { return };
        if leg.known_target == dialog.remote_target || message.header(Name::Contact).is_none() {
            return;
        }
        let target = dialog.remote_target.clone();
        leg.known_target = target.clone();
        let call = leg.call;
        self.tell(Out::TargetMoved { call, target });
    }
}
