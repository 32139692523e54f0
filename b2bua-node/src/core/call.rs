//! One call: its two legs, its media, and how far it is.

use crate::core::event::CallNumber;
use crate::core::keys::{Owner, RunId};
use bytes::Bytes;
use holdline_b2bua::{CallKey, Cause};
use holdline_leg::{Leg, Minted, RequestId, Setup, Signal};
use holdline_relay::{Session, Side};
use holdline_wire::attempt::AttemptRecord;
use holdline_wire::dialog::DialogId;
use holdline_wire::record::DialogRecord;
use holdline_wire::transaction::ServerId;
use holdline_wire::{Message, Time};
use std::collections::VecDeque;
use std::sync::Arc;

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Placed; the downstream UA has not answered.
    Setup,
    /// A failover call that waits for the store's word about the dialog it replaces.
    Claiming,
    /// A failover call whose downstream INVITE is on its way.
    Replacing,
    /// The downstream UA has refused a failover call with this status, and is asked whether the
    /// dialog that it was to replace lives: by a BYE.
    Refused(u16),
    /// Answered downstream; the upstream 2xx waits for the store's commit.
    Keeping,
    /// Up.
    Up,
    /// The upstream side has left a failover call; the downstream INVITE is not cancelled, for
    /// that would leave the far leg of the old dialog up (spec: X27).
    Leaving,
}

/// What a failover call is about.
#[derive(Debug)]
pub(super) struct Takeover {
    /// The dialog that the INVITE names, as its node saw it.
    pub named: DialogId,
    /// The dialog that it replaces: where the named one had moved, that to which it had.
    pub replaced: DialogId,
    /// The INVITE that asks for it.
    pub invite: Message,
    /// Only an early dialog may be replaced (RFC 3891 section 3).
    pub early_only: bool,
    /// For the downstream INVITE.
    pub max_forwards: u32,
    /// The old call's record, once known.
    pub record: Option<Arc<DialogRecord>>,
    /// The downstream INVITE with the other Request-URI that the UA may know (spec: X24a), until
    /// it is needed.
    pub other_form: Option<Box<Setup>>,
    /// Our answer to the INVITE's offer: the 183 and the 200 carry the same (spec: X31a).
    pub answer: Bytes,
    /// The offer for the downstream INVITE.
    pub offer: Bytes,
    /// The port that the INVITE names to the far end is another socket's: once it has answered, the
    /// agent is to move the call again (spec: X51).
    pub deaf: bool,
}

/// A new call whose downstream INVITE waits for the store.
#[derive(Debug)]
pub(super) struct Unplaced {
    pub setup: Setup,
    pub minted: Minted,
    /// The store's replies that are still to come.
    pub replies: usize,
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub number: CallNumber,
    pub phase: Phase,
    pub near: Leg<Owner>,
    pub far: Option<Leg<Owner>>,
    pub session: Session,
    pub placed: Time,
    /// The address that the upstream INVITE came from: the trunk, for now (spec: D31).
    pub trunk: Box<str>,
    /// The process of an agent whose call it is.
    pub owner: Option<RunId>,
    /// Why it ended, or would.
    pub cause: Cause,
    /// How often the call has moved.
    pub generation: u32,
    /// For a failover call.
    pub takeover: Option<Box<Takeover>>,
    /// The dialog whose row this call takes over, until the store has done so.
    pub replaces: Option<DialogId>,
    /// For a new call whose INVITE has not left.
    pub unplaced: Option<Box<Unplaced>>,
    /// What the store holds, or is asked to hold, of a new call that is not answered (spec: X26).
    pub noted: Option<Arc<AttemptRecord>>,
    /// The downstream UA's Contact as the store holds it, or is asked to hold it: of what is
    /// recorded of a call that is up, nothing else changes, and all of it stands in the call.
    pub recorded: Option<Box<str>>,
    /// Downstream signals that wait behind the upstream 2xx.
    pub held: VecDeque<Signal>,
    /// The request whose offer has no final reply yet.
    pub offer: Option<RequestId>,
    /// The INVITE transactions of each side, for CANCEL and missing ACKs.
    pub near_invite: Option<ServerId>,
    pub far_invite: Option<ServerId>,
    /// The failover call in this very node that asks for this one (spec: D31).
    pub claimant: Option<CallKey>,
    /// The agent's BYE that waits until the downstream UA has heard of it (spec: X27).
    pub parting: Option<(ServerId, Message)>,
    /// The store's request that is to keep the call, while it is unanswered, and how often it was
    /// repeated.
    pub keeping: Option<u64>,
    pub kept_again: u32,
    /// How many of its ports turned out to be another socket's.
    pub refused_ports: u8,
}

impl Call {
    /// A call whose upstream INVITE has just come.
    pub fn new(
        number: CallNumber,
        near: Leg<Owner>,
        session: Session,
        trunk: Box<str>,
        placed: Time,
    ) -> Call {
        Call {
            number,
            phase: Phase::Setup,
            near,
            far: None,
            session,
            placed,
            trunk,
            owner: None,
            cause: Cause::Hangup,
            generation: 0,
            takeover: None,
            replaces: None,
            unplaced: None,
            noted: None,
            recorded: None,
            held: VecDeque::new(),
            offer: None,
            near_invite: None,
            far_invite: None,
            claimant: None,
            parting: None,
            keeping: None,
            kept_again: 0,
            refused_ports: 0,
        }
    }

    /// The call's row in the store, where it is not just changing.
    pub fn row(&self) -> Option<DialogId> {
        match self.phase {
            Phase::Up => self.recorded.is_some().then(|| self.near.id()),
            Phase::Setup => Some(self.noted.as_ref()?.key()),
            _ => None,
        }
    }

    /// The leg on `side`, to look at.
    pub fn leg_on(&self, side: Side) -> Option<&Leg<Owner>> {
        match side {
            Side::Near => Some(&self.near),
            Side::Far => self.far.as_ref(),
        }
    }

    /// The leg on `side`.
    pub fn leg(&mut self, side: Side) -> Option<&mut Leg<Owner>> {
        match side {
            Side::Near => Some(&mut self.near),
            Side::Far => self.far.as_mut(),
        }
    }

    /// Where the INVITE transaction of `side` is remembered.
    pub fn invite_of(&mut self, side: Side) -> &mut Option<ServerId> {
        match side {
            Side::Near => &mut self.near_invite,
            Side::Far => &mut self.far_invite,
        }
    }

    /// Whether both legs are over.
    pub fn is_over(&self) -> bool {
        self.near.is_over() && self.far.as_ref().is_none_or(Leg::is_over)
    }
}
