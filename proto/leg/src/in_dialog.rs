//! Requests inside a dialog, both ways, and their replies.

use crate::leg::{Ctx, Leg, State};
use crate::passage::Passage;
use crate::signal::{EndCause, RequestId, Signal};
use bytes::Bytes;
use holdline_wire::header::Name;
use holdline_wire::transaction::{ClientId, ServerId};
use holdline_wire::{Message, Method, TransportKey};

/// A request of the peer that waits for the other leg's reply.
#[derive(Debug)]
pub(crate) struct PendingIn {
    pub(crate) method: Method,
}

/// A request of ours that waits for the peer's reply.
#[derive(Debug)]
pub(crate) struct PendingOut {
    /// Whose request it is on the other leg; `None` where it is our own.
    pub(crate) id: Option<RequestId>,
    pub(crate) method: Method,
    pub(crate) passage: Passage,
}

/// Whether a request may carry an offer, so that two must not cross (RFC 3261 14, RFC 3311 5.2).
fn offers(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Update)
}

impl<O: Copy> Leg<O> {
    /// A request of the peer inside this dialog (not ACK).
    pub fn on_request(
        &mut self,
        ctx: &mut Ctx<'_, O>,
        server: ServerId,
        request: &Message,
        cancels: Option<ServerId>,
    ) {
        if *request.method() == Method::Cancel {
            return self.on_cancel(ctx, server, request, cancels);
        }
        let dialog = self.dialog.as_mut();
        let accepted = dialog.map_or(Ok(()), |dialog| dialog.accept(request));
        if let Err(reject) = accepted {
            return self.refuse(ctx, server, reject.status, reject.reason);
        }
        match request.method() {
            Method::Bye => self.on_bye(ctx, server, request),
            _ if self.is_over() => self.refuse(ctx, server, 481, ""),
            // We never send provisional responses reliably, so nothing is there to PRACK.
            Method::Prack => self.refuse(ctx, server, 481, ""),
            method if offers(method) => self.on_offer(ctx, server, request),
            _ => self.pass_on(server, request),
        }
    }

    fn on_cancel(
        &mut self,
        ctx: &mut Ctx<'_, O>,
        server: ServerId,
        cancel: &Message,
        cancels: Option<ServerId>,
    ) {
        let Some(invite) = cancels else {
            return self.refuse(ctx, server, 481, "");
        };
        self.respond(ctx, server, 200, b"", &Passage::default());
        if self.pending_in.contains_key(&invite) {
            self.signals.push_back(Signal::CancelRequest {
                id: RequestId(invite),
            });
        } else {
            self.cancelled(ctx, invite, cancel);
        }
    }

    fn on_bye(&mut self, ctx: &mut Ctx<'_, O>, server: ServerId, bye: &Message) {
        self.respond(ctx, server, 200, b"", &Passage::default());
        if self.is_over() {
            return;
        }
        self.refuse_pending(ctx);
        if let State::Incoming(invite) = self.state {
            self.respond(ctx, invite, 487, b"", &Passage::default());
        }
        if let Some(invite) = self.answered.take() {
            ctx.layer.acked(invite);
        }
        self.over(EndCause::Peer, Passage::reason_of(bye));
    }

    fn on_offer(&mut self, ctx: &mut Ctx<'_, O>, server: ServerId, request: &Message) {
        if self.pending_out.values().any(|out| offers(&out.method)) {
            return self.refuse(ctx, server, 491, "");
        }
        if self
            .pending_in
            .values()
            .any(|pending| offers(&pending.method))
        {
            let after = ctx.tokens.below(11).to_string();
            let mut passage = Passage::default();
            passage
                .headers
                .push((Bytes::from_static(b"Retry-After"), Bytes::from(after)));
            return self.respond(ctx, server, 500, b"", &passage);
        }
        if *request.method() == Method::Invite {
            self.respond(ctx, server, 100, b"", &Passage::default());
        }
        self.pass_on(server, request);
    }

    fn pass_on(&mut self, server: ServerId, request: &Message) {
        let method = request.method().clone();
        self.pending_in.insert(
            server,
            PendingIn {
                method: method.clone(),
            },
        );
        let passage = Passage::of(request);
        self.signals.push_back(Signal::Request {
            id: RequestId(server),
            method,
            passage,
        });
    }

    fn refuse(&self, ctx: &mut Ctx<'_, O>, server: ServerId, status: u16, reason: &str) {
        self.respond(ctx, server, status, reason.as_bytes(), &Passage::default());
    }

    /// What the peer still asks gets its end together with the call.
    pub(crate) fn refuse_pending(&mut self, ctx: &mut Ctx<'_, O>) {
        for (server, pending) in std::mem::take(&mut self.pending_in) {
            let status = if pending.method == Method::Invite {
                487
            } else {
                481
            };
            self.refuse(ctx, server, status, "");
        }
    }

    /// Answers a request of the peer with the other leg's reply.
    pub(crate) fn reply(
        &mut self,
        ctx: &mut Ctx<'_, O>,
        id: RequestId,
        status: u16,
        reason: &[u8],
        passage: &Passage,
    ) {
        let Some(pending) = self.pending_in.remove(&id.0) else {
            return;
        };
        self.respond(ctx, id.0, status, reason, passage);
        if pending.method == Method::Invite && (200..300).contains(&status) {
            self.answered = Some(id.0);
        }
    }

    /// The peer's ACK for a 2xx of ours.
    pub fn on_ack(&mut self, ctx: &mut Ctx<'_, O>, ack: &Message) {
        let Some(server) = self.answered else { return };
        let number = ctx
            .layer
            .request_of(server)
            .map(|(invite, _)| invite.cseq().number);
        if number.is_some_and(|number| number != ack.cseq().number) {
            return;
        }
        self.answered = None;
        ctx.layer.acked(server);
        self.signals.push_back(Signal::Ack {
            passage: Passage::of(ack),
        });
    }

    /// Sends the ACK that a 2xx to our INVITE waits for.
    pub(crate) fn send_ack(&mut self, ctx: &mut Ctx<'_, O>, passage: &Passage) {
        let (Some(number), Some(dialog)) = (self.ack_awaited, self.dialog.as_ref()) else {
            return;
        };
        self.ack_awaited = None;
        let branch = ctx.tokens.branch();
        let builder = passage.write(dialog.ack(number, &branch));
        if let Ok(bytes) = builder.finish(passage.body.as_ref()) {
            ctx.layer.send_ack(dialog.next_hop(), bytes.clone());
            self.acked = Some((number, bytes));
        }
    }

    pub(crate) fn repeat_ack(&mut self, ctx: &mut Ctx<'_, O>, number: u32) {
        if let (Some((acked, bytes)), Some(dialog)) = (&self.acked, &self.dialog)
            && *acked == number
        {
            ctx.layer.send_ack(dialog.next_hop(), bytes.clone());
        }
    }

    /// Sends the other leg's request here.
    pub(crate) fn send(
        &mut self,
        ctx: &mut Ctx<'_, O>,
        id: RequestId,
        method: &Method,
        passage: &Passage,
    ) {
        let crossing = offers(method)
            && (self.pending_out.values().any(|out| offers(&out.method))
                || self
                    .pending_in
                    .values()
                    .any(|pending| offers(&pending.method))
                || self.ack_awaited.is_some());
        let early = !self.is_up() && (*method == Method::Invite || self.dialog.is_none());
        if crossing || early || self.is_over() {
            let status = if self.is_over() { 481 } else { 491 };
            return self.replied(id, status, Passage::default());
        }
        let Some(dialog) = self.dialog.as_mut() else {
            return;
        };
        let branch = ctx.tokens.branch();
        let mut builder = dialog.request(method, &branch);
        if offers(method) || matches!(method, Method::Refer | Method::Subscribe | Method::Notify) {
            builder = builder.header(Name::Contact, &ctx.stamp.contact);
        }
        let built = passage.write(builder).finish(passage.body.as_ref());
        let hop = dialog.next_hop();
        match built {
            Ok(bytes) => {
                let client = ctx.layer.request(ctx.now, hop, bytes, self.owner, None);
                let (id, method, passage) = (Some(id), method.clone(), passage.clone());
                self.pending_out.insert(
                    client,
                    PendingOut {
                        id,
                        method,
                        passage,
                    },
                );
            }
            Err(_) => self.replied(id, 513, Passage::default()),
        }
    }

    fn replied(&mut self, id: RequestId, status: u16, passage: Passage) {
        self.signals.push_back(Signal::Reply {
            id,
            status,
            reason: Bytes::new(),
            passage,
        });
    }

    pub(crate) fn cancel_request(&mut self, ctx: &mut Ctx<'_, O>, id: RequestId) {
        let found = self.pending_out.iter().find(|(_, out)| out.id == Some(id));
        if let Some((client, _)) = found {
            ctx.layer.cancel(ctx.now, *client, &[]);
        }
    }

    /// A response to one of our requests. `from` is the flow it came by.
    pub fn on_response(
        &mut self,
        ctx: &mut Ctx<'_, O>,
        client: ClientId,
        response: &Message,
        from: TransportKey,
    ) {
        if self.pending_out.contains_key(&client) {
            return self.on_reply(ctx, client, response);
        }
        if *response.method() != Method::Invite {
            return;
        }
        // A repeated 2xx to a re-INVITE: its transaction is no longer pending.
        let own_setup =
            matches!(self.state, State::Calling(c) | State::Cancelling(c) if c == client);
        let Some(invite) = ctx.layer.request_by(client).cloned() else {
            return;
        };
        if own_setup || invite.to_tag().is_none() {
            self.on_setup_response(ctx, client, response, from, &invite);
        } else if (200..300).contains(&response.status()) {
            self.repeat_ack(ctx, response.cseq().number);
        }
    }

    fn on_reply(&mut self, ctx: &mut Ctx<'_, O>, client: ClientId, response: &Message) {
        let status = response.status();
        if status < 200 {
            return;
        }
        let Some(out) = self.pending_out.remove(&client) else {
            return;
        };
        if (200..300).contains(&status) {
            if let Some(dialog) = self.dialog.as_mut()
                && offers(&out.method)
            {
                dialog.refresh(response);
            }
            if out.method == Method::Invite {
                self.ack_awaited = Some(response.cseq().number);
                if out.passage.sdp().is_some() {
                    self.send_ack(ctx, &Passage::default());
                }
            }
        }
        if let Some(id) = out.id {
            let reason = Bytes::copy_from_slice(response.reason());
            let passage = Passage::of(response);
            self.signals.push_back(Signal::Reply {
                id,
                status,
                reason,
                passage,
            });
        }
        // RFC 5057: 481 says that the whole dialog is gone; 408 only for what keeps it alive.
        if status == 481 || (status == 408 && offers(&out.method)) {
            self.dialog_gone(ctx, status);
        }
    }

    pub(crate) fn request_timed_out(
        &mut self,
        ctx: &mut Ctx<'_, O>,
        client: ClientId,
        transport: bool,
    ) {
        let Some(out) = self.pending_out.remove(&client) else {
            return;
        };
        let status = if transport { 503 } else { 408 };
        if let Some(id) = out.id {
            self.replied(id, status, Passage::default());
        }
        if offers(&out.method) && !transport {
            self.dialog_gone(ctx, status);
        }
    }

    fn dialog_gone(&mut self, ctx: &mut Ctx<'_, O>, status: u16) {
        if self.is_up() {
            if status == 408 {
                // The peer may live although it did not answer this: tell it.
                self.send_bye(ctx, &Passage::default());
            }
            self.refuse_pending(ctx);
            self.over(EndCause::Gone, Passage::default());
        }
    }
}
