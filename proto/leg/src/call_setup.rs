//! The setup of a leg: the INVITE that makes its dialog, as caller and as callee.

use crate::leg::{Ctx, Leg, State};
use crate::passage::Passage;
use crate::signal::{EndCause, Signal};
use bytes::Bytes;
use holdline_wire::build::{BuildError, Builder};
use holdline_wire::dialog::{Dialog, Reject};
use holdline_wire::header::Name;
use holdline_wire::transaction::{ClientId, ServerId, Timers};
use holdline_wire::{Message, Method, TransportKey};

/// What a new call of ours says.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The Request-URI.
    pub request_uri: Box<str>,
    /// The From value without a tag: `display <uri>`.
    pub from: Box<[u8]>,
    /// The To value without a tag.
    pub to: Box<[u8]>,
    /// Route values to preload.
    pub routes: Vec<Box<str>>,
    /// Where it goes.
    pub flow: TransportKey,
    /// Max-Forwards.
    pub max_forwards: u32,
    /// The number of the INVITE.
    pub cseq: u32,
    /// Headers of our own: Replaces, Require ...
    pub headers: Vec<(Name<'static>, String)>,
    /// What passes through, and the offer.
    pub passage: Passage,
    /// Timers in place of the layer's (spec: X24).
    pub timers: Option<Timers>,
}

impl<O: Copy> Leg<O> {
    /// A leg for an INVITE that arrived outside any dialog. `100 Trying` is sent.
    pub fn incoming(
        ctx: &mut Ctx<'_, O>,
        owner: O,
        server: ServerId,
        invite: &Message,
        from: TransportKey,
    ) -> Result<Leg<O>, Reject> {
        let tag = ctx.tokens.tag();
        let mut leg = Leg::new(owner, State::Incoming(server), invite.call_id(), &tag);
        let dialog = Dialog::uas(invite, &tag, from);
        leg.dialog = Some(dialog.ok_or(Reject {
            status: 400,
            reason: "Contact missing",
        })?);
        leg.respond(ctx, server, 100, b"", &Passage::default());
        Ok(leg)
    }

    /// Calls: sends the INVITE of a new leg.
    pub fn call(ctx: &mut Ctx<'_, O>, owner: O, setup: &Setup) -> Result<Leg<O>, BuildError> {
        let (tag, call_id) = (ctx.tokens.tag(), ctx.tokens.call_id());
        let branch = ctx.tokens.branch();
        let mut builder = Builder::request(&Method::Invite, &setup.request_uri);
        builder = builder.via(&setup.flow, &branch);
        for route in &setup.routes {
            builder = builder.header(Name::Route, route);
        }
        let from = [&setup.from[..], b";tag=", tag.as_bytes()].concat();
        builder = builder
            .header(Name::MaxForwards, setup.max_forwards)
            .raw(b"From", &from)
            .raw(b"To", &setup.to)
            .header(Name::CallId, &call_id)
            .header(Name::CSeq, format_args!("{} INVITE", setup.cseq))
            .header(Name::Contact, &ctx.stamp.contact);
        for (name, value) in &setup.headers {
            builder = builder.header(*name, value);
        }
        let bytes = setup
            .passage
            .write(builder)
            .finish(setup.passage.body.as_ref())?;
        let client = ctx
            .layer
            .request(ctx.now, setup.flow, bytes, owner, setup.timers);
        let mut leg = Leg::new(owner, State::Calling(client), &call_id, &tag);
        leg.offered = setup.passage.sdp().is_some();
        Ok(leg)
    }

    /// Answers the peer's INVITE: provisional, 2xx or refusal.
    pub(crate) fn answer_setup(
        &mut self,
        ctx: &mut Ctx<'_, O>,
        status: u16,
        reason: &[u8],
        passage: &Passage,
    ) {
        let State::Incoming(server) = self.state else {
            return;
        };
        self.respond(ctx, server, status, reason, passage);
        match status {
            200..=299 => {
                self.state = State::Up;
                self.answered = Some(server);
            }
            300.. => self.state = State::Over,
            _ => {}
        }
    }

    /// The peer cancelled its INVITE (RFC 3261 9.2): 487, and the other leg hears of it.
    pub(crate) fn cancelled(&mut self, ctx: &mut Ctx<'_, O>, server: ServerId, cancel: &Message) {
        if self.state == State::Incoming(server) {
            self.respond(ctx, server, 487, b"", &Passage::default());
            self.over(EndCause::Peer, Passage::reason_of(cancel));
        }
    }

    /// A response to our INVITE that makes the dialog.
    pub(crate) fn on_setup_response(
        &mut self,
        ctx: &mut Ctx<'_, O>,
        client: ClientId,
        response: &Message,
        from: TransportKey,
        invite: &Message,
    ) {
        let status = response.status();
        match self.state {
            State::Calling(own) if own == client => match status {
                100 => {}
                101..=199 => {
                    self.early_dialog(invite, response, from);
                    self.signal_setup(response);
                }
                200..=299 => self.answered_by_peer(ctx, invite, response, from),
                _ => {
                    self.state = State::Over;
                    self.signal_setup(response);
                }
            },
            State::Cancelling(own) if own == client => match status {
                // The 2xx crossed our CANCEL (RFC 3261 15): accept it and hang up.
                200..=299 => self.decline_answer(ctx, invite, response, from),
                300.. => self.state = State::Over,
                _ => {}
            },
            _ if (200..300).contains(&status) => self.repeated_answer(ctx, invite, response, from),
            _ => {}
        }
    }

    fn early_dialog(&mut self, invite: &Message, response: &Message, from: TransportKey) {
        let known = self.dialog.as_ref().map(|dialog| &*dialog.id.remote_tag);
        if response.to_tag().is_some() && known != response.to_tag() {
            self.dialog = Dialog::uac(invite, response, from);
        }
    }

    fn answered_by_peer(
        &mut self,
        ctx: &mut Ctx<'_, O>,
        invite: &Message,
        response: &Message,
        from: TransportKey,
    ) {
        let Some(mut dialog) = Dialog::uac(invite, response, from) else {
            // A 2xx without a Contact or a tag makes no dialog that could be acknowledged.
            self.state = State::Over;
            self.signals.push_back(Signal::Refuse {
                status: 502,
                reason: Bytes::from_static(b"Answer Without Contact Or Tag"),
                passage: Passage::default(),
            });
            return;
        };
        if let Some(early) = &self.dialog
            && early.id == dialog.id
        {
            dialog.local_seq = dialog.local_seq.max(early.local_seq);
            dialog.remote_seq = early.remote_seq;
        }
        self.dialog = Some(dialog);
        self.state = State::Up;
        self.ack_awaited = Some(response.cseq().number);
        if self.offered {
            self.send_ack(ctx, &Passage::default());
        }
        self.signal_setup(response);
    }

    /// A 2xx again: our ACK was lost, or another branch of a fork answered too.
    fn repeated_answer(
        &mut self,
        ctx: &mut Ctx<'_, O>,
        invite: &Message,
        response: &Message,
        from: TransportKey,
    ) {
        let known = self.dialog.as_ref().map(|dialog| &*dialog.id.remote_tag);
        if known == response.to_tag() {
            self.repeat_ack(ctx, response.cseq().number);
        } else {
            let own = (self.state, self.dialog.take());
            self.decline_answer(ctx, invite, response, from);
            (self.state, self.dialog) = own;
        }
    }

    /// ACK and BYE for an answer that nobody wants any more.
    fn decline_answer(
        &mut self,
        ctx: &mut Ctx<'_, O>,
        invite: &Message,
        response: &Message,
        from: TransportKey,
    ) {
        self.state = State::Over;
        self.dialog = Dialog::uac(invite, response, from);
        let acked = self.acked.take();
        self.ack_awaited = Some(response.cseq().number);
        self.send_ack(ctx, &Passage::default());
        self.acked = acked.or(self.acked.take());
        self.send_bye(ctx, &Passage::default());
    }

    fn signal_setup(&mut self, response: &Message) {
        let status = response.status();
        let reason = Bytes::copy_from_slice(response.reason());
        let passage = Passage::of(response);
        self.signals.push_back(match status {
            101..=199 => Signal::Progress {
                status,
                reason,
                passage,
            },
            200..=299 => Signal::Answer {
                status,
                reason,
                passage,
            },
            _ => Signal::Refuse {
                status,
                reason,
                passage,
            },
        });
    }
}
