//! One leg of a call: a dialog with its transactions, seen from our side.

use crate::identity::Stamp;
use crate::in_dialog::{PendingIn, PendingOut};
use crate::passage::Passage;
use crate::signal::{EndCause, RequestId, Signal};
use bytes::Bytes;
use holdline_wire::build::Builder;
use holdline_wire::dialog::{Dialog, DialogId};
use holdline_wire::header::Name;
use holdline_wire::token::Tokens;
use holdline_wire::transaction::{ClientId, Layer, ServerId};
use holdline_wire::{Message, Method, Time, TransportKey};
use std::collections::{BTreeMap, VecDeque};

/// What a leg borrows from its core for one step.
pub struct Ctx<'a, O> {
    /// The time.
    pub now: Time,
    /// The core's transactions.
    pub layer: &'a mut Layer<O>,
    /// The core's source of tags and branches.
    pub tokens: &'a mut Tokens,
    /// What this side of the program says of itself.
    pub stamp: &'a Stamp,
}

/// How far a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The peer called us and waits for an answer.
    Incoming(ServerId),
    /// We called the peer and wait for an answer.
    Calling(ClientId),
    /// We gave up calling; the peer's final response is still to come.
    Cancelling(ClientId),
    /// The dialog is up.
    Up,
    /// Over: nothing more is sent or signalled.
    Over,
}

/// One leg. `O` names it in the core, so that responses find their way back.
#[derive(Debug)]
pub struct Leg<O> {
    pub(crate) owner: O,
    pub(crate) state: State,
    pub(crate) local_tag: Box<str>,
    pub(crate) call_id: Box<str>,
    /// The dialog, from the first message that makes one.
    pub(crate) dialog: Option<Dialog>,
    /// Whether our own INVITE carried an offer (then our ACK carries nothing).
    pub(crate) offered: bool,
    /// The number of our INVITE whose ACK waits for the other leg's.
    pub(crate) ack_awaited: Option<u32>,
    /// The last ACK that we sent, by its number: repeated for a repeated 2xx.
    pub(crate) acked: Option<(u32, Bytes)>,
    /// The INVITE transaction of the peer whose 2xx waits for its ACK.
    pub(crate) answered: Option<ServerId>,
    pub(crate) pending_in: BTreeMap<ServerId, PendingIn>,
    pub(crate) pending_out: BTreeMap<ClientId, PendingOut>,
    pub(crate) signals: VecDeque<Signal>,
}

impl<O: Copy> Leg<O> {
    pub(crate) fn new(owner: O, state: State, call_id: &str, local_tag: &str) -> Leg<O> {
        Leg {
            owner,
            state,
            local_tag: local_tag.into(),
            call_id: call_id.into(),
            dialog: None,
            offered: false,
            ack_awaited: None,
            acked: None,
            answered: None,
            pending_in: BTreeMap::new(),
            pending_out: BTreeMap::new(),
            signals: VecDeque::new(),
        }
    }

    /// How far the leg is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the dialog is confirmed and lives.
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Whether nothing more will come of this leg.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Our tag: with the Call-ID it names the leg.
    pub fn local_tag(&self) -> &str {
        &self.local_tag
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// The dialog, early or confirmed.
    pub fn dialog(&self) -> Option<&Dialog> {
        self.dialog.as_ref()
    }

    /// The dialog's identifiers as far as they are known.
    pub fn id(&self) -> DialogId {
        match &self.dialog {
            Some(dialog) => dialog.id.clone(),
            None => DialogId {
                call_id: self.call_id.clone(),
                local_tag: self.local_tag.clone(),
                remote_tag: "".into(),
            },
        }
    }

    /// The next thing to tell the other leg.
    pub fn poll_signal(&mut self) -> Option<Signal> {
        self.signals.pop_front()
    }

    /// Does what happened on the other leg.
    pub fn apply(&mut self, ctx: &mut Ctx<'_, O>, signal: Signal) {
        match signal {
            Signal::Progress {
                status,
                reason,
                passage,
            } => {
                self.answer_setup(ctx, status, &reason, &passage);
            }
            Signal::Answer {
                status,
                reason,
                passage,
            } => {
                self.answer_setup(ctx, status, &reason, &passage);
            }
            Signal::Refuse {
                status,
                reason,
                passage,
            } => {
                self.answer_setup(ctx, status, &reason, &passage);
            }
            Signal::Ack { passage } => self.send_ack(ctx, &passage),
            Signal::Request {
                id,
                method,
                passage,
            } => self.send(ctx, id, &method, &passage),
            Signal::Reply {
                id,
                status,
                reason,
                passage,
            } => {
                self.reply(ctx, id, status, &reason, &passage);
            }
            Signal::CancelRequest { id } => self.cancel_request(ctx, id),
            Signal::End { passage, .. } => self.end(ctx, &passage),
        }
    }

    /// Ends the leg from our side: BYE, CANCEL or a refusal, whichever its state asks for.
    pub fn end(&mut self, ctx: &mut Ctx<'_, O>, passage: &Passage) {
        self.refuse_pending(ctx);
        match self.state {
            State::Incoming(_) => {
                self.answer_setup(ctx, 480, b"", passage);
            }
            State::Calling(client) => {
                let reason = passage.headers.iter().find_map(|(name, value)| {
                    let reason = name.eq_ignore_ascii_case(b"Reason");
                    reason.then(|| std::str::from_utf8(value).ok()).flatten()
                });
                let extra: Vec<(&str, &str)> = reason.map(|r| ("Reason", r)).into_iter().collect();
                ctx.layer.cancel(ctx.now, client, &extra);
                self.state = State::Cancelling(client);
            }
            State::Up => self.send_bye(ctx, passage),
            State::Cancelling(_) | State::Over => {}
        }
    }

    /// Forgets the leg without a word: its peer is known to be dead.
    pub fn abandon(&mut self, layer: &mut Layer<O>) {
        if let State::Calling(client) | State::Cancelling(client) = self.state {
            layer.abandon(client);
        }
        for client in std::mem::take(&mut self.pending_out).into_keys() {
            layer.abandon(client);
        }
        if let Some(server) = self.answered.take() {
            layer.acked(server);
        }
        self.pending_in.clear();
        self.signals.clear();
        self.state = State::Over;
    }

    /// The peer never acknowledged the 2xx of `server` (RFC 3261 13.3.1.4): BYE.
    pub fn on_no_ack(&mut self, ctx: &mut Ctx<'_, O>, server: ServerId) {
        if self.answered == Some(server) && self.is_up() {
            self.answered = None;
            self.send_bye(ctx, &Passage::default());
            self.over(EndCause::NoAck, Passage::default());
        }
    }

    /// A client transaction of this leg ended without a final response.
    pub fn on_timeout(&mut self, ctx: &mut Ctx<'_, O>, client: ClientId, transport: bool) {
        match self.state {
            State::Calling(own) if own == client => {
                self.state = State::Over;
                let status = if transport { 503 } else { 408 };
                self.signals.push_back(Signal::Refuse {
                    status,
                    reason: Bytes::new(),
                    passage: Passage::default(),
                });
            }
            State::Cancelling(own) if own == client => self.state = State::Over,
            _ => self.request_timed_out(ctx, client, transport),
        }
    }

    /// Tells the other leg that this one is over.
    pub(crate) fn over(&mut self, cause: EndCause, passage: Passage) {
        self.state = State::Over;
        self.signals.push_back(Signal::End { cause, passage });
    }

    pub(crate) fn send_bye(&mut self, ctx: &mut Ctx<'_, O>, passage: &Passage) {
        self.state = State::Over;
        let Some(dialog) = self.dialog.as_mut() else {
            return;
        };
        let branch = ctx.tokens.branch();
        let builder = passage.write(dialog.request(&Method::Bye, &branch));
        let hop = dialog.next_hop();
        if let Ok(bytes) = builder.finish(None) {
            ctx.layer.request(ctx.now, hop, bytes, self.owner, None);
        }
    }

    /// Sends `status` for the request of `server`, with the passage's headers and body.
    pub(crate) fn respond(
        &self,
        ctx: &mut Ctx<'_, O>,
        server: ServerId,
        status: u16,
        reason: &[u8],
        passage: &Passage,
    ) {
        let Some((request, from)) = ctx.layer.request_of(server) else {
            return;
        };
        let tag = (status > 100).then_some(&*self.local_tag);
        let mut builder = Builder::response(request, from.remote, status, reason, tag);
        let invite = *request.method() == Method::Invite;
        let makes_dialog = request.to_tag().is_none() && invite && status > 100 && status < 300;
        if makes_dialog {
            builder = builder.record_routes(request);
        }
        let refreshes = invite || *request.method() == Method::Update;
        if refreshes && status > 100 && status < 300 {
            builder = builder.header(Name::Contact, &ctx.stamp.contact);
        }
        builder = passage.write(ctx.stamp.mark(builder));
        if let Ok(bytes) = builder.finish(passage.body.as_ref()) {
            ctx.layer.respond(ctx.now, server, status, bytes);
        }
    }

    /// The flow that this leg's requests leave by, once it has a dialog.
    pub fn flow(&self) -> Option<TransportKey> {
        self.dialog.as_ref().map(|dialog| dialog.flow)
    }

    /// The ids of the peer's requests that wait for a reply of the other leg.
    pub fn awaited(&self) -> impl Iterator<Item = RequestId> + '_ {
        self.pending_in.keys().map(|server| RequestId(*server))
    }

    /// Whether `message`, a request inside a dialog, addresses this leg.
    pub fn is_addressed_by(&self, message: &Message) -> bool {
        let remote = self
            .dialog
            .as_ref()
            .map_or("", |dialog| &dialog.id.remote_tag);
        message.call_id() == &*self.call_id
            && message.to_tag() == Some(&*self.local_tag)
            && message.from_tag() == remote
    }
}
