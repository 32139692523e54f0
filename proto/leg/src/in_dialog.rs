//! Requests inside a dialog, both ways, and their replies.

use crate::leg::{Ctx, Leg, State, refreshes_target, take_entry};
use crate::passage::Passage;
use crate::pending::{PendingIn, PendingOut};
use crate::signal::{EndCause, RequestId, Signal};
use bytes::Bytes;
use holdline_wire::header::Name;
use holdline_wire::transaction::{ClientId, ServerId};
use holdline_wire::{Message, Method, TransportKey};

/// Whether a request is an offer or asks for one, so that two must not cross (RFC 3261 14,
/// RFC 3311 5.2). An UPDATE without a description only refreshes.
fn offers(method: &Method, offered: bool) -> bool {
    match method {
        Method::Invite => true,
        Method::Update => offered,
        _ => false,
    }
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
            _ if self.is_over() || self.closing.is_some() => self.refuse(ctx, server, 481, ""),
            // We never send provisional responses reliably, so nothing is there to PRACK, and
            // whoever insists on them hears that (RFC 3262 3).
            Method::Prack => self.refuse(ctx, server, 481, ""),
            _ if request.has_token(Name::Require, "100rel") => {
                let header = (Name::Unsupported, "100rel".to_owned());
                self.refuse_with(ctx, server, 420, header);
            }
            Method::Invite | Method::Update => self.on_offer(ctx, server, request),
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
            let late = ctx.layer.knows_invite_of(cancel);
            return self.refuse(ctx, server, if late { 200 } else { 481 }, "");
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

    fn on_offer(&mut self, ctx: &mut Ctx<'_, O>, server: ServerId, request: &Message) {
        let offers = offers(request.method(), request.sdp().is_some());
        let again = self
            .pending_in
            .values()
            .any(|pending| (offers && pending.offers) || pending.method == *request.method());
        // Without reliable provisional responses the first offer is answered by the 2xx alone.
        let unanswered = matches!(self.state, State::Incoming(_)) && offers;
        if again || unanswered {
            let after = ctx.tokens.below(11).to_string();
            return self.refuse_with(ctx, server, 500, (Name::RetryAfter, after));
        }
        let awaits_answer = self.answered.values().any(|offer| *offer);
        if offers && (self.is_offering() || awaits_answer) {
            return self.refuse(ctx, server, 491, "");
        }
        if *request.method() == Method::Invite {
            self.heard_our_answers(ctx);
            self.respond(ctx, server, 100, b"", &Passage::default());
        }
        self.pass_on(server, request);
    }

    /// A peer whose INVITE follows has had our 2xx to the one before, though its ACK was lost: that 2xx is
    /// repeated no more, and the leg does not end for it (RFC 3261 13.3.1.4, 14.1).
    fn heard_our_answers(&mut self, ctx: &mut Ctx<'_, O>) {
        for server in std::mem::take(&mut self.answered).into_keys() {
            ctx.layer.acked(server);
            let passage = Passage::default();
            self.signals.push_back(Signal::Ack { passage });
        }
    }

    /// Whether the peer has not answered an offer of ours yet, or we its.
    fn is_offering(&self) -> bool {
        let calling = matches!(self.state, State::Calling(_) | State::Cancelling(_));
        let asked = self.pending_out.values().any(|out| out.offers);
        calling || asked || self.ack_due.is_some() || self.deferred.is_some()
    }

    fn pass_on(&mut self, server: ServerId, request: &Message) {
        let method = request.method().clone();
        let passage = Passage::of(request);
        let offered = passage.sdp().is_some();
        self.pending_in.insert(
            server,
            PendingIn {
                method: method.clone(),
                offers: offers(&method, offered),
                offered,
            },
        );
        self.signals.push_back(Signal::Request {
            id: RequestId(server),
            method,
            passage,
        });
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
        let Some(pending) = take_entry(&mut self.pending_in, &id.0) else {
            return;
        };
        let sent = self.respond(ctx, id.0, status, reason, passage);
        if pending.method != Method::Invite || !(200..300).contains(&status) {
            if !sent {
                self.refuse(ctx, id.0, status, "");
            }
        } else if sent {
            let offers = !pending.offered && passage.sdp().is_some();
            self.answered.insert(id.0, offers);
        } else {
            // The other side has changed its session: this one cannot follow.
            self.refuse(ctx, id.0, 500, "Answer Cannot Be Relayed");
            self.send_bye(ctx, &Passage::default());
            self.over(ctx, EndCause::Own, Passage::default());
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
        let offered = passage.sdp().is_some();
        let offers = offers(method, offered);
        if self.is_over() || self.closing.is_some() || matches!(self.state, State::Cancelling(_)) {
            return self.replied(id, 481, Passage::default());
        }
        let asked = self.pending_in.values().any(|pending| pending.offers);
        let crossing = offers && (asked || self.is_offering() || !self.is_up());
        if crossing || self.dialog.is_none() {
            return self.replied(id, 491, Passage::default());
        }
        if offers && !self.answered.is_empty() {
            // The peer's ACK is on its way (RFC 3261 14.1).
            self.deferred = Some(Box::new((id, method.clone(), passage.clone())));
            return;
        }
        let Some(dialog) = self.dialog.as_mut() else {
            return;
        };
        let branch = ctx.tokens.branch();
        let mut builder = dialog.request(method, &branch);
        if refreshes_target(method) {
            builder = builder.header(Name::Contact, &ctx.stamp.contact);
        }
        let built = passage.write(builder).finish(passage.body.as_ref());
        let hop = dialog.next_hop();
        match built {
            Ok(bytes) => {
                let client = ctx.layer.request(ctx.now, hop, bytes, self.owner, None);
                let pending = PendingOut {
                    id,
                    method: method.clone(),
                    offers,
                    offered,
                };
                self.pending_out.insert(client, pending);
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
        if self.deferred.take_if(|deferred| deferred.0 == id).is_some() {
            return self.replied(id, 487, Passage::default());
        }
        let found = self.pending_out.iter().find(|(_, out)| out.id == id);
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
            self.repeat_ack(ctx, client, response);
        }
    }

    fn on_reply(&mut self, ctx: &mut Ctx<'_, O>, client: ClientId, response: &Message) {
        let status = response.status();
        if status < 200 {
            return;
        }
        let Some(out) = take_entry(&mut self.pending_out, &client) else {
            return;
        };
        if (200..300).contains(&status) {
            if let Some(dialog) = self.dialog.as_mut() {
                dialog.refresh(response);
            }
            if out.method == Method::Invite {
                self.acknowledge_or_wait(ctx, client, response, out.offered);
            }
        }
        if self.is_over() {
            return;
        }
        self.signals.push_back(Signal::Reply {
            id: out.id,
            status,
            reason: Bytes::copy_from_slice(response.reason()),
            passage: Passage::of(response),
        });
        // RFC 5057: 481 says that the call is gone there, but of a subscription only that it is;
        // 408 counts only for what keeps the call alive.
        let subscribes = matches!(out.method, Method::Subscribe | Method::Notify);
        let keeps_alive = matches!(out.method, Method::Invite | Method::Update);
        if (status == 481 && !subscribes) || (status == 408 && keeps_alive) {
            self.dialog_gone(ctx, status);
        }
    }

    pub(crate) fn request_timed_out(
        &mut self,
        ctx: &mut Ctx<'_, O>,
        client: ClientId,
        transport: bool,
    ) {
        let Some(out) = take_entry(&mut self.pending_out, &client) else {
            return;
        };
        let status = if transport { 503 } else { 408 };
        if self.is_over() {
            return;
        }
        self.replied(out.id, status, Passage::default());
        let keeps_alive = matches!(out.method, Method::Invite | Method::Update);
        if keeps_alive && !transport {
            self.dialog_gone(ctx, status);
        }
    }
}
