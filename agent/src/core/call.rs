//! One call: the leg to the calling server, the leg to the node in charge, and its media.

use crate::cluster::NodeId;
use crate::core::env::{Env, Owner, Place, Timer};
use crate::core::event::Event;
use bytes::Bytes;
use holdline_leg::{Leg, Passage, RequestId, Signal};
use holdline_relay::{Carrier, MediaError, Session, Side};
use holdline_wire::dialog::Dialog;
use holdline_wire::header::{Name, Replaces, SessionExpires};
use holdline_wire::transaction::ServerId;
use holdline_wire::{Message, Time};
use std::collections::{BTreeMap, VecDeque};

slotmap::new_key_type! {
    /// Names a call; never reused.
    pub struct CallKey;
}

/// A leg towards a node.
#[derive(Debug)]
pub struct FarLeg {
    pub leg: Leg<Owner>,
    pub node: NodeId,
    /// Tells the far legs of one call apart, and names the attempt in the media session.
    pub epoch: u32,
    /// The incarnation of the node that answered (spec: X39).
    pub incarnation: Option<Box<str>>,
}

/// What of the first INVITE is repeated when the call moves (spec: X24a).
#[derive(Clone, Debug)]
pub struct Kept {
    /// The INVITE's transaction.
    pub server: ServerId,
    /// From and To as the calling server wrote them, without tags.
    pub from: Box<[u8]>,
    pub to: Box<[u8]>,
    /// The Request-URI's user part with its parameters.
    pub user: Box<str>,
    /// Who is talking: P-Asserted-Identity, Privacy ...
    pub identity: Vec<(Bytes, Bytes)>,
    /// Whether it goes first (spec: X23).
    pub emergency: bool,
    /// All of the INVITE's passage, until it is answered: for another node (spec: X26).
    pub setup: Option<(Passage, u32)>,
}

/// A dialog that a moved call left behind.
#[derive(Clone, Debug)]
pub struct Left {
    pub dialog: Dialog,
    pub incarnation: Option<Box<str>>,
}

/// A move that is under way.
#[derive(Clone, Debug)]
pub struct Move {
    pub failover: u64,
    /// The dialog to replace, as its node knows it.
    pub replaces: Replaces,
    /// Where it lived.
    pub old: NodeId,
    /// The dialog there and the incarnation that knew it: it gets a BYE if that node lives after
    /// all (spec: X28).
    pub left: Option<Left>,
    /// When the verdict fell.
    pub since: Time,
    pub tried: Vec<NodeId>,
    /// How often all nodes were asked in vain.
    pub rounds: u32,
    /// Refusals that said that the dialog is unknown, and others that were final.
    pub unknown: u32,
    pub refused: u32,
    /// The last refusal.
    pub status: u16,
    /// The calling server hung up meanwhile (spec: X27).
    pub hangup: Option<Passage>,
}

/// How far a call is.
#[derive(Debug)]
pub enum Phase {
    /// Being set up; the nodes that were tried.
    Setup(Vec<NodeId>),
    Up,
    Moving(Box<Move>),
    /// Both sides are told; what is left are transactions.
    Over,
}

/// A call.
#[derive(Debug)]
pub struct Call {
    pub key: CallKey,
    pub near: Leg<Owner>,
    pub far: Option<FarLeg>,
    /// Attempts that were given up but may still be answered (spec: X24).
    pub others: Vec<FarLeg>,
    pub media: Session,
    pub phase: Phase,
    pub kept: Kept,
    /// How often it has moved.
    pub generation: u32,
    pub next_epoch: u32,
    /// Session timer in force, and whether the calling server refreshes (RFC 4028).
    pub session_timer: Option<(u32, bool)>,
    /// The calling server's requests as it made them, until they are answered.
    pub asked: BTreeMap<RequestId, Signal>,
    /// What the calling server said while the call moved.
    pub queue: VecDeque<Signal>,
    /// Requests of the far side that wait for the calling server.
    pub far_asked: Vec<RequestId>,
}

impl Kept {
    /// What `invite` says of who is talking.
    pub fn of(server: ServerId, invite: &Message, passage: Passage, hops: u32) -> Kept {
        let mut identity = Vec::new();
        for field in invite.fields().filter(|field| is_identity(field.name)) {
            // Copied: a slice would keep the whole INVITE in memory for as long as the call.
            let name = Bytes::copy_from_slice(field.raw_name);
            identity.push((name, Bytes::copy_from_slice(field.value)));
        }
        let uri = invite.request_uri();
        Kept {
            server,
            from: invite.from().without_params().into(),
            to: invite.to().without_params().into(),
            user: user_of(uri).into(),
            emergency: is_emergency(invite),
            identity,
            setup: Some((passage, hops)),
        }
    }
}

fn is_identity(name: Name<'_>) -> bool {
    matches!(
        name,
        Name::PAssertedIdentity
            | Name::Privacy
            | Name::Diversion
            | Name::HistoryInfo
            | Name::SessionId
            | Name::PChargingVector
            | Name::Geolocation
            | Name::ResourcePriority
    )
}

/// The user part of a SIP URI; of a tel: URI its number; of anything else all of it.
fn user_of(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    match rest.rsplit_once('@') {
        Some((user, _)) => user,
        None if uri.starts_with("tel:") => rest.split(';').next().unwrap_or(rest),
        None => "",
    }
}

fn is_emergency(invite: &Message) -> bool {
    let urgent = invite
        .text(Name::Priority)
        .is_some_and(|p| p.eq_ignore_ascii_case("emergency"));
    let uri = invite.request_uri();
    urgent || uri.starts_with("urn:service:sos") || invite.header(Name::ResourcePriority).is_some()
}

impl Call {
    /// Carries the session description of `passage` to the other side.
    pub fn carry(
        &mut self,
        env: &mut Env,
        from: Side,
        carrier: Carrier,
        passage: &mut Passage,
    ) -> Result<(), MediaError> {
        let Some(sdp) = passage.sdp() else {
            return Ok(());
        };
        let carried = self
            .media
            .carry(&mut env.ports, &mut env.relay, from, carrier, sdp);
        env.flush_relay(self.key);
        passage.set_sdp(carried?);
        Ok(())
    }

    /// The offer under way was refused.
    pub fn media_refused(&mut self, env: &mut Env) {
        self.media.refused(&mut env.ports, &mut env.relay);
        env.flush_relay(self.key);
    }

    /// The far leg numbered `epoch`, in charge or not.
    pub fn far_leg(&mut self, epoch: u32) -> Option<&mut FarLeg> {
        self.far
            .iter_mut()
            .chain(self.others.iter_mut())
            .find(|far| far.epoch == epoch)
    }

    /// Puts a new far leg in charge; the one before may still be answered.
    pub fn take_charge(&mut self, env: &mut Env, far: FarLeg) {
        env.tags.insert(
            far.leg.local_tag().into(),
            Place::Leg(Owner::Far(self.key, far.epoch)),
        );
        let before = self.far.as_ref().map(|far| far.node);
        env.book(self.key, before, Some(far.node));
        if let Some(before) = self.far.replace(far) {
            self.others.push(before);
        }
    }

    /// Drops a far leg for good; its late messages are still understood for a while.
    pub fn drop_far(&mut self, env: &mut Env, now: Time, epoch: u32) {
        env.timers.cancel(Timer::Attempt(self.key, epoch));
        if self.far.as_ref().is_some_and(|far| far.epoch == epoch)
            && let Some(far) = self.far.take()
        {
            env.book(self.key, Some(far.node), None);
            env.bury(now, far.leg.local_tag());
        }
        self.others.retain(|far| {
            if far.epoch == epoch {
                env.bury(now, far.leg.local_tag());
            }
            far.epoch != epoch
        });
    }

    /// Takes note of the session timer in a 2xx (RFC 4028 section 9): `asked_by_near` tells who
    /// sent the request.
    pub fn note_session_timer(&mut self, passage: &Passage, asked_by_near: bool) {
        let value = passage.headers.iter().find(|(name, _)| {
            name.eq_ignore_ascii_case(b"Session-Expires") || name.eq_ignore_ascii_case(b"x")
        });
        if let Some(timer) = value.and_then(|(_, value)| SessionExpires::parse(value)) {
            let uac = timer.refresher_is_uac.unwrap_or(true);
            self.session_timer = Some((timer.seconds, uac == asked_by_near));
        }
    }

    /// Whether nothing of the call is left to wait for.
    pub fn is_finished(&self) -> bool {
        let far_over = self.far.as_ref().is_none_or(|far| far.leg.is_over());
        let others_over = self.others.iter().all(|far| far.leg.is_over());
        matches!(self.phase, Phase::Over) && self.near.is_over() && far_over && others_over
    }

    /// Gives back all that the call holds.
    pub fn release(mut self, env: &mut Env, now: Time, cause: &'static str) {
        self.media.release(&mut env.ports, &mut env.relay);
        env.flush_relay(self.key);
        env.tags.remove(self.near.local_tag());
        env.invites.remove(&self.kept.server);
        env.timers.cancel(Timer::Launch(self.key));
        env.timers.cancel(Timer::HoldOver(self.key));
        env.timers.cancel(Timer::SetupOver(self.key));
        let epochs: Vec<u32> = self
            .far
            .iter()
            .chain(&self.others)
            .map(|far| far.epoch)
            .collect();
        for epoch in epochs {
            self.drop_far(env, now, epoch);
        }
        let (call, generation) = (self.near.call_id().into(), self.generation);
        env.event(Event::CallEnded {
            call,
            cause,
            generation,
        });
    }
}
