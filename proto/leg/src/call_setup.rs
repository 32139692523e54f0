//! The setup of a leg: the INVITE that makes its dialog, as caller and as callee.

use crate::leg::{Ctx, Leg, State};
use crate::passage::Passage;
use crate::pending::AckDue;
use crate::signal::{EndCause, Signal};
use bytes::Bytes;
use holdline_wire::build::{BuildError, Builder};
use holdline_wire::dialog::{Dialog, Reject};
use holdline_wire::header::Name;
use holdline_wire::token::Tokens;
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

/// What names a new call of ours, drawn before its INVITE leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    /// Our tag.
    pub tag: String,
    /// The Call-ID.
    pub call_id: String,
    /// The branch of the INVITE's Via.
    pub branch: String,
}

impl Minted {
    /// Draws them.
    pub fn draw(tokens: &mut Tokens) -> Minted {
        Minted {
            tag: tokens.tag(),
            call_id: tokens.call_id(),
            branch: tokens.branch(),
        }
    }
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
        leg.setup = Some(server);
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
        let minted = Minted::draw(ctx.tokens);
        Leg::call_as(ctx, owner, setup, &minted)
    }

    /// Likewise, by names that were drawn before.
    pub fn call_as(
        ctx: &mut Ctx<'_, O>,
        owner: O,
        setup: &Setup,
        minted: &Minted,
    ) -> Result<Leg<O>, BuildError> {
        let Minted {
            tag,
            call_id,
            branch,
        } = minted;
        let mut builder = Builder::request(&Method::Invite, &setup.request_uri);
        builder = builder.via(&setup.flow, branch);
        for route in &setup.routes {
            builder = builder.header(Name::Route, route);
        }
        let from = [&setup.from[..], b";tag=", tag.as_bytes()].concat();
        builder = builder
            .header(Name::MaxForwards, setup.max_forwards)
            .raw(b"From", &from)
            .raw(b"To", &setup.to)
            .header(Name::CallId, call_id)
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
        let mut leg = Leg::new(owner, State::Calling(client), call_id, tag);
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
        let sent = self.respond(ctx, server, status, reason, passage);
        match status {
            200..=299 if !sent => {
                self.refuse(ctx, server, 500, "Answer Cannot Be Relayed");
                self.over(ctx, EndCause::Own, Passage::default());
            }
            200..=299 => {
                let invite = ctx.layer.request_of(server);
                let asked = invite.is_some_and(|(invite, _)| invite.sdp().is_none());
                self.state = State::Up;
                self.answered
                    .insert(server, asked && passage.sdp().is_some());
            }
            // What cannot be printed as it is goes without what it carried.
            _ if !sent => self.refuse(ctx, server, status, ""),
            _ => {}
        }
        if status >= 300 {
            self.is_refused(ctx);
        }
    }

    /// The peer cancelled its INVITE (RFC 3261 9.2): 487, and the other leg hears of it.
    pub(crate) fn cancelled(&mut self, ctx: &mut Ctx<'_, O>, server: ServerId, cancel: &Message) {
        if self.state == State::Incoming(server) {
            self.respond(ctx, server, 487, b"", &Passage::default());
            self.over(ctx, EndCause::Peer, Passage::reason_of(cancel));
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
                200..=299 => self.answered_by_peer(ctx, client, invite, response, from),
                _ => {
                    self.is_refused(ctx);
                    self.signal_setup(response);
                }
            },
            State::Cancelling(own) if own == client => match status {
                // The 2xx crossed our CANCEL (RFC 3261 15): accept it and hang up.
                200..=299 => {
                    self.is_refused(ctx);
                    self.dialog = self.decline_answer(ctx, client, invite, response, from);
                }
                300.. => self.is_refused(ctx),
                _ => {}
            },
            _ if (200..300).contains(&status) => {
                self.repeated_answer(ctx, client, invite, response, from);
            }
            _ => {}
        }
    }

    fn early_dialog(&mut self, invite: &Message, response: &Message, from: TransportKey) {
        let known = self.dialog.as_ref().map(|dialog| &*dialog.id.remote_tag);
        if response.to_tag().is_some() && known != response.to_tag() {
            let early = self.dialog.take();
            self.dialog = Dialog::uac(invite, response, from);
            self.count_on(early);
        }
    }

    /// Another branch of the fork speaks: our requests are numbered on, so that a branch which
    /// speaks again later sees no number twice.
    fn count_on(&mut self, early: Option<Dialog>) {
        if let (Some(dialog), Some(early)) = (&mut self.dialog, early) {
            dialog.local_seq = dialog.local_seq.max(early.local_seq);
            if dialog.id == early.id {
                dialog.remote_seq = early.remote_seq;
            }
        }
    }

    fn answered_by_peer(
        &mut self,
        ctx: &mut Ctx<'_, O>,
        client: ClientId,
        invite: &Message,
        response: &Message,
        from: TransportKey,
    ) {
        let Some(dialog) = Dialog::uac(invite, response, from) else {
            // A 2xx without a tag makes no dialog that could be acknowledged.
            self.is_refused(ctx);
            self.signals.push_back(Signal::Refuse {
                status: 502,
                reason: Bytes::from_static(b"Answer Without Tag"),
                passage: Passage::default(),
            });
            return;
        };
        let early = self.dialog.replace(dialog);
        self.count_on(early);
        self.state = State::Up;
        self.signal_setup(response);
        self.acknowledge_or_wait(ctx, client, response, self.offered);
    }

    /// A 2xx came: where we had made the offer, or there is none, its ACK need not wait for the
    /// other leg's.
    pub(crate) fn acknowledge_or_wait(
        &mut self,
        ctx: &mut Ctx<'_, O>,
        client: ClientId,
        response: &Message,
        offered: bool,
    ) {
        let offer = response.sdp().filter(|_| !offered);
        let waits = offer.is_some();
        let number = response.cseq().number;
        self.ack_due = Some(AckDue {
            client,
            number,
            offer,
        });
        if self.is_over() {
            self.send_last_ack(ctx);
        } else if !waits {
            self.send_ack(ctx, &Passage::default());
        }
    }

    /// A 2xx again: our ACK was lost, or another branch of a fork answered too.
    fn repeated_answer(
        &mut self,
        ctx: &mut Ctx<'_, O>,
        client: ClientId,
        invite: &Message,
        response: &Message,
        from: TransportKey,
    ) {
        let known = self.dialog.as_ref().map(|dialog| &*dialog.id.remote_tag);
        let ours = known == response.to_tag() && !self.is_over();
        if !self.repeat_ack(ctx, client, response) && !ours {
            self.decline_answer(ctx, client, invite, response, from);
        }
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
