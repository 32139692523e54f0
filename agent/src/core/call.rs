//! One call: the leg to the calling server, the leg to the node in charge, and its media.

use crate::cluster::NodeId;
use crate::core::env::Env;
use crate::core::event::Event;
use crate::core::keys::{Owner, Timer};
use crate::core::left::{Left, Remains};
use crate::core::pacing::FarEndId;
use crate::core::refusal::Refusal;
use bytes::Bytes;
use holdline_b2bua::{CallKey, Callee, Cause};
use holdline_leg::{Leg, Passage, RequestId, Signal, State};
use holdline_relay::{Carrier, MediaError, Session, Side, StreamId};
use holdline_wire::dialog::DialogId;
use holdline_wire::header::{Name, Replaces, SessionExpires};
use holdline_wire::transaction::{Layer, ServerId};
use holdline_wire::{Message, Method, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Orphans of one call that are remembered: the newest.
const ORPHANS_MAX: usize = 8;
/// How long attempts that were not taken may still be answered (64*T1, RFC 3261 17.1.1.2).
const OTHERS_LIFE: Duration = Duration::from_secs(32);

/// A leg towards a node.
#[derive(Debug)]
pub struct FarLeg {
    pub leg: Leg<Owner>,
    pub node: NodeId,
    /// Tells the far legs of one call apart, and names the attempt in the media session.
    pub epoch: u32,
    /// The incarnation of the node that answered (spec: X39).
    pub incarnation: Option<Box<str>>,
    /// The node said 481 as another process than the one that made the dialog.
    pub disowned: bool,
    /// How it refused our INVITE.
    pub refusal: Option<Box<Refusal>>,
    /// The node accepted, and has no port towards the far end: another attempt is needed.
    pub deaf: bool,
}

impl FarLeg {
    pub fn new(leg: Leg<Owner>, node: NodeId, epoch: u32) -> FarLeg {
        FarLeg {
            leg,
            node,
            epoch,
            incarnation: None,
            disowned: false,
            refusal: None,
            deaf: false,
        }
    }

    /// What the node at `address` gets a BYE for, should it live when the call has moved.
    pub fn left(&self, address: Option<SocketAddr>) -> Option<Left> {
        let dialog = self.leg.dialog().filter(|_| !self.disowned)?;
        self.leaves(address, Remains::Moved(dialog.clone()))
    }

    /// What it gets a CANCEL for, should it live: an INVITE that it has not answered.
    pub fn unanswered(&self, address: Option<SocketAddr>, layer: &Layer<Owner>) -> Option<Left> {
        let (State::Calling(client) | State::Cancelling(client)) = self.leg.state() else {
            return None;
        };
        let invite = layer.request_by(client)?.clone();
        self.leaves(address, Remains::Attempt(invite))
    }

    fn leaves(&self, address: Option<SocketAddr>, what: Remains) -> Option<Left> {
        Some(Left {
            address: address?,
            incarnation: self.incarnation.clone(),
            what,
        })
    }
}

/// What of the first INVITE is repeated when the call moves (spec: X24a).
#[derive(Clone, Debug)]
pub struct Kept {
    /// The INVITE's transaction.
    pub server: ServerId,
    /// Whom the Request-URI calls.
    pub callee: Callee,
    /// Who is talking: P-Asserted-Identity, Privacy ...
    pub identity: Vec<(Bytes, Bytes)>,
    /// Whether it goes first (spec: X23).
    pub emergency: bool,
    /// Until it is answered: what another node needs (spec: X26).
    pub setup: Option<Box<Placing>>,
}

/// A call that is not answered yet.
#[derive(Clone, Debug)]
pub struct Placing {
    /// All of the INVITE's passage.
    pub passage: Passage,
    /// Its Max-Forwards.
    pub hops: u32,
    /// What the calling server was told by the attempts so far.
    pub told: Told,
    /// A node of another make said 503, and another was asked for that.
    pub asked_for_503: bool,
}

/// A move that is under way.
#[derive(Clone, Debug)]
pub struct Move {
    pub failover: u64,
    /// The dialog to replace, as its node knows it.
    pub replaces: Replaces,
    /// The dialog there: it gets a BYE if its node lives after all (spec: X28).
    pub left: Option<Left>,
    /// The store that knows it, where the node named one (spec: X59).
    pub store: Option<Box<str>>,
    /// When the verdict fell.
    pub since: Time,
    pub tried: Vec<NodeId>,
    /// How often all nodes were asked in vain.
    pub rounds: u32,
    /// Refusals that said that the dialog is unknown, and others that were final.
    pub unknown: u32,
    pub refused: u32,
    /// How often the far end had the dialog no more, though an attempt that nobody heard of may have
    /// replaced it.
    pub doubts: u32,
    /// How often the far end has refused in a way that may pass.
    pub again: u32,
    /// The last refusal, and what was behind it (RFC 3326).
    pub status: u16,
    pub cause: Option<u16>,
    /// The calling server hung up meanwhile (spec: X27).
    pub hangup: Option<Box<Passage>>,
    /// The relay was told to send silence to the calling server.
    pub comforted: bool,
    /// That it waits too long for its far end was told (spec: X57).
    pub late: bool,
}

/// The provisional responses that the calling server got.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Their status codes.
    statuses: BTreeSet<u16>,
    /// The last session description in them.
    sdp: Option<Bytes>,
    /// How many attempts rang before this one.
    pub before: u32,
}

impl Told {
    /// Notes a provisional response; false where it says nothing that an earlier attempt has not
    /// said: a call that is placed again just rings on (spec: X26).
    pub fn is_news(&mut self, status: u16, sdp: Option<Bytes>) -> bool {
        let new_sdp = sdp.is_some() && sdp != self.sdp;
        let new_status = self.statuses.insert(status);
        if sdp.is_some() {
            self.sdp = sdp;
        }
        new_sdp || new_status || self.before == 0
    }
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

/// A call. There are thousands, for hours: what is rarely there is boxed.
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
    /// Where its calling server is.
    pub caller: IpAddr,
    /// Whether that is counted as heard in this call.
    pub speaks: bool,
    /// The call that this one wants to replace: a transfer (spec: D32).
    pub replacing: Option<CallKey>,
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
    pub far_asked: BTreeMap<RequestId, Method>,
    /// Our BYE to the node that it has not answered yet: if the node dies first, the far end
    /// still has to hear of it (spec: X27).
    pub farewell: Option<Box<Passage>>,
    /// Its attempts that died with their nodes, as the nodes knew them, newest last: they may
    /// still ring, or even have been answered (spec: X26, X27).
    pub orphans: Vec<DialogId>,
    /// Whom it has at its far end, as its nodes tell (spec: X57).
    pub far_end: FarEndId,
    /// When it moved last.
    pub moved_at: Option<Time>,
    /// When a node last disowned the call's dialog and the call moved for it.
    pub disowned_at: Option<Time>,
    /// How many of its ports turned out to be another socket's.
    pub refused_ports: u8,
    /// The far port that the attempt in charge was given and the relay could not open.
    pub unopened: Option<(StreamId, u16)>,
    /// Why it ended, or would.
    pub cause: Cause,
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
        identity.shrink_to_fit();
        let uri = invite.request_uri();
        Kept {
            server,
            callee: Callee::of(uri),
            emergency: is_emergency(invite),
            identity,
            setup: Some(Box::new(Placing {
                passage,
                hops,
                told: Told::default(),
                asked_for_503: false,
            })),
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

fn is_emergency(invite: &Message) -> bool {
    let urgent = invite
        .text(Name::Priority)
        .is_some_and(|p| p.eq_ignore_ascii_case("emergency"));
    let uri = invite.request_uri().to_ascii_lowercase();
    urgent || uri.starts_with("urn:service:sos") || invite.header(Name::ResourcePriority).is_some()
}

impl Call {
    /// From and To as the calling server wrote them, without tags.
    pub fn parties(&self) -> (Box<[u8]>, Box<[u8]>) {
        let dialog = self.near.dialog();
        dialog.map_or_else(Default::default, |near| {
            (near.remote.clone(), near.local.clone())
        })
    }

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
        let carried = self.media.carry(
            &mut env.streams.ports,
            &mut env.streams.commands,
            from,
            carrier,
            sdp,
        );
        env.flush_relay(self.key);
        passage.set_sdp(carried?);
        Ok(())
    }

    /// The offer under way was refused.
    pub fn media_refused(&mut self, env: &mut Env) {
        self.media
            .refused(&mut env.streams.ports, &mut env.streams.commands);
        env.flush_relay(self.key);
    }

    /// The node of a far leg that was not answered died: nobody knows how far it had come.
    pub fn orphan(&mut self, dialog: DialogId) {
        if self.orphans.len() >= ORPHANS_MAX {
            self.orphans.remove(0);
        }
        self.orphans.push(dialog);
    }

    /// The far leg numbered `epoch` got no answer in its time, or none that was heard: the far end
    /// may have accepted it. Who was asked before did not know which attempt that is.
    pub fn unheard(&mut self, epoch: u32) {
        let dialog = self.far_leg(epoch).map(|far| far.leg.id().unheard());
        if let Some(dialog) = dialog {
            self.orphan(dialog);
            self.ask_anew();
        }
    }

    /// The headers that tell a node of this call's orphans.
    pub fn orphan_headers(&self) -> Vec<(Name<'static>, String)> {
        let named = |orphan: &DialogId| orphan.orphan_for_peer().to_value();
        let values = self.orphans.iter().map(named);
        values.map(|value| (Name::InstanceOrphan, value)).collect()
    }

    /// Who said that the call is unknown may say otherwise now.
    fn ask_anew(&mut self) {
        if let Phase::Moving(moving) = &mut self.phase {
            moving.unknown = 0;
        }
    }

    /// The far leg numbered `epoch`, in charge or not.
    pub fn far_leg(&mut self, epoch: u32) -> Option<&mut FarLeg> {
        self.far
            .iter_mut()
            .chain(self.others.iter_mut())
            .find(|far| far.epoch == epoch)
    }

    /// Puts a new far leg in charge; the one before may still be answered.
    pub fn take_charge(&mut self, env: &mut Env, now: Time, far: FarLeg) {
        let owner = Owner::Far(self.key, far.epoch);
        env.tags.enter(far.leg.local_tag(), owner);
        let (before, after) = (self.far.as_ref().map(|far| far.node), far.node);
        // Aside first: the node must not be forgotten in between.
        if let Some(before) = self.far.replace(far) {
            self.set_aside(env, now, before);
        }
        env.book(self.key, before, Some(after));
    }

    /// Keeps a far leg that is not in charge any more for as long as it may be answered.
    pub fn set_aside(&mut self, env: &mut Env, now: Time, far: FarLeg) {
        if far.leg.is_over() {
            env.timers.cancel(Timer::Attempt(self.key, far.epoch));
            env.tags.bury(now, far.leg.local_tag(), Side::Far);
        } else {
            env.attempt_aside(far.node, self.key, far.epoch);
            self.others.push(far);
        }
    }

    /// The far legs that are not in charge get this long to be answered.
    pub fn outlive_others(&self, env: &mut Env, now: Time) {
        for far in &self.others {
            let timer = Timer::Attempt(self.key, far.epoch);
            env.timers.set(timer, now + OTHERS_LIFE);
        }
    }

    /// Drops a far leg for good; its late messages are still understood for a while.
    pub fn drop_far(&mut self, env: &mut Env, now: Time, epoch: u32) {
        env.timers.cancel(Timer::Attempt(self.key, epoch));
        if self.far.as_ref().is_some_and(|far| far.epoch == epoch)
            && let Some(far) = self.far.take()
        {
            env.pacing.forget(far.node, (self.key, epoch));
            env.book(self.key, Some(far.node), None);
            env.tags.bury(now, far.leg.local_tag(), Side::Far);
        }
        if let Some(index) = self.others.iter().position(|far| far.epoch == epoch) {
            let far = self.others.swap_remove(index);
            env.pacing.forget(far.node, (self.key, epoch));
            env.attempt_over(far.node, self.key, epoch);
            env.tags.bury(now, far.leg.local_tag(), Side::Far);
        }
    }

    /// Ends the far leg in charge. A BYE is remembered until the node answers it.
    pub fn end_far(&mut self, env: &mut Env, now: Time, passage: &Passage) {
        if let Some(far) = &mut self.far {
            if far.leg.is_up() {
                self.farewell = Some(Box::new(passage.clone()));
            }
            far.leg.end(&mut env.ctx(now), passage);
        }
    }

    /// The ports of attempts that can no longer be answered are free again; asked before one more
    /// attempt.
    pub fn free_dead_attempts(&mut self, env: &mut Env) {
        let legs = self.far.iter().chain(&self.others);
        let (media, ports) = (&mut self.media, &mut env.streams.ports);
        media.keep_parked(ports, |session| {
            legs.clone()
                .any(|far| u64::from(far.epoch) == session && !far.leg.is_over())
        });
    }

    /// The calling server hears its node again, or needs to hear nobody: no more silence.
    pub fn uncomfort(&mut self, env: &mut Env) {
        env.timers.cancel(Timer::Comfort(self.key));
        if let Phase::Moving(moving) = &mut self.phase
            && std::mem::take(&mut moving.comforted)
        {
            self.media.uncomfort(&mut env.streams.commands);
            env.flush_relay(self.key);
        }
    }

    /// Takes note of the session timer in a 2xx to an INVITE or UPDATE (RFC 4028 section 9); one
    /// that tells none turns it off: `asked_by_near` tells who
    /// sent the request.
    pub fn note_session_timer(&mut self, passage: &Passage, asked_by_near: bool) {
        let value = passage.headers.iter().find(|(name, _)| {
            name.eq_ignore_ascii_case(b"Session-Expires") || name.eq_ignore_ascii_case(b"x")
        });
        let timer = value.and_then(|(_, value)| SessionExpires::parse(value));
        self.session_timer = timer.map(|timer| {
            let uac = timer.refresher_is_uac.unwrap_or(true);
            (timer.seconds, uac == asked_by_near)
        });
    }

    /// Whether nothing of the call is left to wait for.
    pub fn is_finished(&self) -> bool {
        let far_over = self.far.as_ref().is_none_or(|far| far.leg.is_over());
        let others_over = self.others.iter().all(|far| far.leg.is_over());
        let over = matches!(self.phase, Phase::Over) && self.farewell.is_none();
        over && self.near.is_over() && far_over && others_over
    }

    /// Gives back all that the call holds.
    pub fn release(mut self, env: &mut Env, now: Time) {
        env.callers.leave(self.caller, self.key, self.speaks);
        self.media
            .release(&mut env.streams.ports, &mut env.streams.commands);
        env.flush_relay(self.key);
        env.tags.remove(self.near.local_tag());
        env.invites.remove(&self.kept.server);
        env.stay(self.key);
        env.pacing.far_ends.unseat(self.far_end);
        env.timers.cancel(Timer::HoldOver(self.key));
        env.timers.cancel(Timer::Comfort(self.key));
        env.timers.cancel(Timer::SetupOver(self.key));
        env.timers.cancel(Timer::Silent(self.key));
        env.timers.cancel(Timer::Ask(self.key));
        let epochs: Vec<u32> = self
            .far
            .iter()
            .chain(&self.others)
            .map(|far| far.epoch)
            .collect();
        for epoch in epochs {
            self.drop_far(env, now, epoch);
        }
        env.tell_orphans(now, self.orphan_headers());
        let (call, cause) = (self.near.call_id().into(), self.cause);
        let generation = self.generation;
        env.event(Event::CallEnded {
            call,
            cause,
            generation,
        });
    }
}
