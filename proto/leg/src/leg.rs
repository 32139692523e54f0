//! One leg of a call: a dialog with its transactions, seen from our side.

use crate::identity::Stamp;
use crate::passage::Passage;
use crate::pending::{AckDue, Deferred, PendingIn, PendingOut};
use crate::signal::{RequestId, Signal};
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

/// One leg. `O` names it in the core, so that responses find their way back. There are as many as
/// calls, for hours: what is rarely there is boxed.
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
    /// The 2xx of the peer whose ACK waits for the other leg's.
    pub(crate) ack_due: Option<AckDue>,
    /// The INVITE of the peer that made the dialog.
    pub(crate) setup: Option<ServerId>,
    /// The INVITEs of the peer whose 2xx wait for their ACK, and whether that 2xx was an offer.
    pub(crate) answered: BTreeMap<ServerId, bool>,
    /// The BYE that waits for the ACK of the 2xx that made the dialog (RFC 3261 15).
    pub(crate) closing: Option<Box<Passage>>,
    /// The BYE that was sent.
    pub(crate) bye: Option<ClientId>,
    /// The re-INVITE of the other leg that waits for an ACK of the peer (RFC 3261 14.1).
    pub(crate) deferred: Option<Box<Deferred>>,
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
            ack_due: None,
            setup: None,
            answered: BTreeMap::new(),
            closing: None,
            bye: None,
            deferred: None,
            pending_in: BTreeMap::new(),
            pending_out: BTreeMap::new(),
            signals: VecDeque::new(),
        }
    }

    /// How far the leg is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the dialog is confirmed and lives. (It does not where only the peer's ACK is
    /// missing before our BYE may leave.)
    pub fn is_up(&self) -> bool {
        self.state == State::Up && self.closing.is_none()
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
        let signal = self.signals.pop_front();
        if signal.is_none() {
            // Most of its life a leg has nothing to say: no room is held for it.
            self.signals = VecDeque::new();
        }
        signal
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
            Signal::Unanswered { status } => {
                self.answer_setup(ctx, status, b"", &Passage::default());
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

    /// Sends `status` for the request of `server`, with the passage's headers and body. False
    /// where the passage makes that no message that can be sent.
    pub(crate) fn respond(
        &self,
        ctx: &mut Ctx<'_, O>,
        server: ServerId,
        status: u16,
        reason: &[u8],
        passage: &Passage,
    ) -> bool {
        let Some((request, from)) = ctx.layer.request_of(server) else {
            return true;
        };
        let tag = (status > 100).then_some(&*self.local_tag);
        let mut builder = Builder::response(request, from.remote, status, reason, tag);
        let invite = *request.method() == Method::Invite;
        let succeeds = status > 100 && status < 300;
        if request.to_tag().is_none() && invite && succeeds {
            builder = builder.record_routes(request);
        }
        if refreshes_target(request.method()) && succeeds {
            builder = builder.header(Name::Contact, &ctx.stamp.contact);
        }
        builder = passage.write(ctx.stamp.mark(builder));
        match builder.finish(passage.body.as_ref()) {
            Ok(bytes) => {
                ctx.layer.respond(ctx.now, server, status, bytes);
                true
            }
            Err(_) => false,
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

    /// Whether our 2xx to this INVITE of the peer waits for its ACK.
    pub fn awaits_ack_of(&self, invite: ServerId) -> bool {
        self.answered.contains_key(&invite)
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

/// Takes an entry out. A map that was emptied would keep its room, and most of its life a leg waits
/// for nothing.
pub(crate) fn take_entry<K: Ord, V>(map: &mut BTreeMap<K, V>, key: &K) -> Option<V> {
    let value = map.remove(key);
    if map.is_empty() {
        *map = BTreeMap::new();
    }
    value
}

/// Whether a request and its success carry a Contact (RFC 3261 12.2, RFC 3311 5.1, RFC 3515 2.2,
/// RFC 6665 8).
pub(crate) fn refreshes_target(method: &Method) -> bool {
    matches!(
        method,
        Method::Invite | Method::Update | Method::Refer | Method::Subscribe | Method::Notify
    )
}
