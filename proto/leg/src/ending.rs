//! The end of a leg, from either side.

use crate::leg::{Ctx, Leg, State, take_entry};
use crate::passage::Passage;
use crate::signal::{EndCause, Signal};
use bytes::Bytes;
use holdline_wire::build::Builder;
use holdline_wire::header::Name;
use holdline_wire::transaction::{ClientId, Layer, ServerId};
use holdline_wire::{Message, Method, Time};

impl<O: Copy> Leg<O> {
    /// Ends the leg from our side: BYE, CANCEL or a refusal, whichever its state asks for. A BYE
    /// for a call that the peer placed waits for the ACK of our 2xx (RFC 3261 15); the leg is not
    /// over before.
    pub fn end(&mut self, ctx: &mut Ctx<'_, O>, passage: &Passage) {
        match self.state {
            State::Incoming(_) => self.answer_setup(ctx, 480, b"", passage),
            State::Calling(client) => {
                self.refuse_pending(ctx);
                self.cancel_setup(ctx, client, passage);
            }
            State::Up if self.closing.is_none() => {
                self.refuse_pending(ctx);
                self.closing = Some(Box::new(passage.clone()));
                if !self.setup.is_some_and(|s| self.answered.contains_key(&s)) {
                    self.finish_closing(ctx);
                }
            }
            State::Up | State::Cancelling(_) | State::Over => {}
        }
    }

    fn cancel_setup(&mut self, ctx: &mut Ctx<'_, O>, client: ClientId, passage: &Passage) {
        let reasons: Vec<(&str, &str)> = passage
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(b"Reason"))
            .filter_map(|(_, value)| Some(("Reason", std::str::from_utf8(value).ok()?)))
            .collect();
        ctx.layer.cancel(ctx.now, client, &reasons);
        self.state = State::Cancelling(client);
    }

    /// The BYE that waited for the peer's ACK.
    pub(crate) fn finish_closing(&mut self, ctx: &mut Ctx<'_, O>) {
        if let Some(passage) = self.closing.take() {
            self.send_bye(ctx, &passage);
        }
    }

    /// The peer is heard again: an INVITE of ours that it may never have got is repeated now, if
    /// its next repetition is far (spec: X24).
    pub fn hasten(&self, ctx: &mut Ctx<'_, O>) {
        if let State::Calling(client) | State::Cancelling(client) = self.state {
            ctx.layer.hasten(ctx.now, client);
        }
    }

    /// Forgets the leg without a word: its peer is known to be dead. Only what the peer still
    /// asks is refused, since no transaction may stay open for ever.
    pub fn abandon(&mut self, layer: &mut Layer<O>) {
        if let State::Calling(client) | State::Cancelling(client) = self.state {
            layer.abandon(client);
        }
        for client in std::mem::take(&mut self.pending_out).into_keys() {
            layer.abandon(client);
        }
        if let Some(bye) = self.bye.take() {
            layer.abandon(bye);
        }
        for server in std::mem::take(&mut self.answered).into_keys() {
            layer.acked(server);
        }
        for server in std::mem::take(&mut self.pending_in).into_keys() {
            // Its peer may live after all, and a 481 would end the call at the far end.
            self.refuse_plainly(layer, server, 500);
        }
        if let State::Incoming(server) = self.state {
            self.refuse_plainly(layer, server, 500);
        }
        self.signals.clear();
        (self.ack_due, self.closing, self.deferred) = (None, None, None);
        self.state = State::Over;
    }

    /// A refusal with nothing in it. The time is not known here; a transaction whose timers
    /// start too early only ends earlier.
    fn refuse_plainly(&self, layer: &mut Layer<O>, server: ServerId, status: u16) {
        let Some((request, from)) = layer.request_of(server) else {
            return;
        };
        let tag = Some(&*self.local_tag);
        let refusal = Builder::response(request, from.remote, status, b"", tag).finish(None);
        if let Ok(bytes) = refusal {
            layer.respond(Time::ZERO, server, status, bytes);
        }
    }

    /// The peer never acknowledged the 2xx of `server` (RFC 3261 13.3.1.4): BYE.
    pub fn on_no_ack(&mut self, ctx: &mut Ctx<'_, O>, server: ServerId) {
        if take_entry(&mut self.answered, &server).is_none() || self.is_over() {
            return;
        }
        if self.closing.is_some() {
            return self.finish_closing(ctx);
        }
        self.send_bye(ctx, &Passage::default());
        self.over(ctx, EndCause::NoAck, Passage::default());
    }

    /// A client transaction of this leg ended without a final response.
    pub fn on_timeout(&mut self, ctx: &mut Ctx<'_, O>, client: ClientId, transport: bool) {
        match self.state {
            State::Calling(own) if own == client => {
                self.is_refused(ctx);
                let status = if transport { 503 } else { 408 };
                self.signals.push_back(Signal::Unanswered { status });
            }
            State::Cancelling(own) if own == client => self.is_refused(ctx),
            _ => self.request_timed_out(ctx, client, transport),
        }
    }

    /// The peer hung up.
    pub(crate) fn on_bye(&mut self, ctx: &mut Ctx<'_, O>, server: ServerId, bye: &Message) {
        self.respond(ctx, server, 200, b"", &Passage::default());
        let silent = self.is_over() || self.closing.is_some();
        for invite in std::mem::take(&mut self.answered).into_keys() {
            ctx.layer.acked(invite);
        }
        let passage = Passage::reason_of(bye);
        match self.state {
            State::Over | State::Cancelling(_) => {}
            State::Calling(client) => {
                // Not for a callee to do (RFC 3261 15). The INVITE still needs its end.
                self.over(ctx, EndCause::Peer, passage);
                self.cancel_setup(ctx, client, &Passage::default());
            }
            State::Up if silent => {
                self.closing = None;
                self.let_asked_expire(ctx);
                self.state = State::Over;
            }
            State::Up => {
                self.send_last_ack(ctx);
                self.over(ctx, EndCause::Peer, passage);
            }
            State::Incoming(invite) => {
                self.respond(ctx, invite, 487, b"", &Passage::default());
                self.over(ctx, EndCause::Peer, passage);
            }
        }
    }

    /// Tells the other leg that this one is over.
    pub(crate) fn over(&mut self, ctx: &mut Ctx<'_, O>, cause: EndCause, passage: Passage) {
        self.is_refused(ctx);
        self.signals.push_back(Signal::End { cause, passage });
    }

    /// Nothing comes of this leg any more; what the peer still asks ends with it.
    pub(crate) fn is_refused(&mut self, ctx: &mut Ctx<'_, O>) {
        self.refuse_pending(ctx);
        self.let_asked_expire(ctx);
        self.state = State::Over;
    }

    /// What we still ask need not be answered: a re-INVITE whose 2xx was lost is not answered
    /// again once the dialog is over.
    fn let_asked_expire(&self, ctx: &mut Ctx<'_, O>) {
        for client in self.pending_out.keys() {
            ctx.layer.let_expire(ctx.now, *client);
        }
    }

    pub(crate) fn send_bye(&mut self, ctx: &mut Ctx<'_, O>, passage: &Passage) {
        self.send_last_ack(ctx);
        self.let_asked_expire(ctx);
        self.state = State::Over;
        let Some(dialog) = self.dialog.as_mut() else {
            return;
        };
        let branch = ctx.tokens.branch();
        let plain = dialog.request(&Method::Bye, &branch);
        let hop = dialog.next_hop();
        let full = passage.write(plain.clone()).finish(passage.body.as_ref());
        if let Ok(bytes) = full.or_else(|_| plain.finish(None)) {
            let bye = ctx.layer.request(ctx.now, hop, bytes, self.owner, None);
            self.bye = Some(bye);
        }
    }

    /// What the peer still asks gets its end together with the call.
    pub(crate) fn refuse_pending(&mut self, ctx: &mut Ctx<'_, O>) {
        self.deferred = None;
        for (server, pending) in std::mem::take(&mut self.pending_in) {
            let invite = pending.method == Method::Invite;
            let status = if invite { 487 } else { 481 };
            self.refuse(ctx, server, status, "");
        }
    }

    /// The peer says, or shows, that the dialog is gone there.
    pub(crate) fn dialog_gone(&mut self, ctx: &mut Ctx<'_, O>, status: u16) {
        if self.is_up() {
            if status == 408 {
                // The peer may live although it did not answer this: tell it.
                self.send_bye(ctx, &Passage::default());
            }
            self.over(ctx, EndCause::Gone, Passage::default());
        }
    }

    /// Refuses a request for a reason of our own.
    pub(crate) fn refuse(&self, ctx: &mut Ctx<'_, O>, server: ServerId, status: u16, reason: &str) {
        self.respond(ctx, server, status, reason.as_bytes(), &Passage::default());
    }

    /// Likewise, with one header that says more.
    pub(crate) fn refuse_with(
        &self,
        ctx: &mut Ctx<'_, O>,
        server: ServerId,
        status: u16,
        header: (Name<'static>, String),
    ) {
        let name = Bytes::from_static(header.0.as_str().as_bytes());
        let passage = Passage::new(vec![(name, Bytes::from(header.1))], None);
        self.respond(ctx, server, status, b"", &passage);
    }
}
