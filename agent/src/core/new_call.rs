//! New calls from the calling server, and where they are placed.

use crate::cluster::NodeId;
use crate::core::AgentCore;
use crate::core::call::{Call, CallKey, Callee, FarLeg, Kept, Phase};
use crate::core::env::{Env, Owner, Place, Timer};
use crate::core::event::Event;
use crate::core::pacing::FarEndId;
use crate::core::ports;
use bytes::Bytes;
use holdline_leg::{Leg, Passage, Setup};
use holdline_relay::{Carrier, GroupId, Place as MediaPlace, Session, Side};
use holdline_wire::build::Builder;
use holdline_wire::dialog::Reject;
use holdline_wire::header::{Name, Replaces};
use holdline_wire::transaction::ServerId;
use holdline_wire::{Message, Time, TransportKey};
use std::net::IpAddr;
use std::time::Duration;

/// What we understand when a peer requires it.
const UNDERSTOOD: [&str; 2] = ["timer", "replaces"];
/// Seconds after which a refused caller may try again.
const RETRY_AFTER: &str = "5";
/// While no node is there for a call whose node died while it rang, or the call that it is to
/// replace is moving, a node is looked for this often.
pub const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl AgentCore {
    /// An INVITE outside any dialog, from the calling server.
    pub(super) fn on_new_call(
        &mut self,
        now: Time,
        server: ServerId,
        invite: &Message,
        from: TransportKey,
    ) {
        let hops = match self.admitted(invite) {
            Ok(hops) => hops,
            Err((status, header)) => return self.env.refuse_call(now, server, status, header),
        };
        let replacing = match self.replaced_by(invite) {
            Ok(replacing) => replacing,
            Err(status) => return self.env.refuse_call(now, server, status, None),
        };
        let mut kept = Kept::of(server, invite, Passage::of(invite), hops);
        let env = &mut self.env;
        kept.emergency |= env.settings.moving.is_emergency(kept.callee.as_str());
        let place = MediaPlace {
            near: env.settings.media,
            far: env.settings.media,
            steady: true,
            session: u64::from(env.tokens.number()),
        };
        let key = self.calls.try_insert_with_key(|key| {
            let near = Leg::incoming(&mut env.ctx(now), Owner::Near(key), server, invite, from)?;
            env.tags
                .insert(near.local_tag().into(), Place::Leg(Owner::Near(key)));
            env.invites.insert(server, key);
            let media = Session::new(place, GroupId(0));
            let call = Call::new(key, near, media, kept, from.remote.ip());
            Ok::<_, Reject>(Box::new(Call { replacing, ..call }))
        });
        match key {
            Ok(key) => {
                self.env.callers.join(from.remote.ip(), key);
                let patience = self.env.settings.setup_timeout;
                self.env.timers.set(Timer::SetupOver(key), now + patience);
                self.place(now, key);
            }
            Err(reject) => self.env.refuse_call(now, server, reject.status, None),
        }
    }

    /// Nobody answered for as long as a call may ring (timer C, RFC 3261 16.6).
    pub(super) fn setup_over(&mut self, now: Time, key: CallKey) {
        if let Some(call) = self.calls.get_mut(key)
            && matches!(call.phase, Phase::Setup(_))
        {
            call.fail(&mut self.env, now, 408);
            self.env.touched.insert(key);
        }
    }

    /// The call's Max-Forwards for the next hop, or why it is not taken at all: a status and a
    /// header that belongs to it.
    fn admitted(&self, invite: &Message) -> Result<u32, (u16, Option<(Name<'static>, String)>)> {
        let retry = || Some((Name::RetryAfter, RETRY_AFTER.to_string()));
        if let Some(unserved) = unserved(invite) {
            return Err(unserved);
        }
        let hops = invite.forwards_left().map_err(|status| (status, None))?;
        if self.draining || self.calls.len() >= self.env.settings.max_calls {
            return Err((503, retry()));
        }
        // A move needs none (spec: X51): the calls that are there have what they need.
        if ports::needed(invite) > self.env.ports.available() {
            return Err((503, retry()));
        }
        Ok(hops)
    }

    /// Sends the call to a node that was not tried yet.
    pub(super) fn place(&mut self, now: Time, key: CallKey) {
        let (env, Some(call)) = (&mut self.env, self.calls.get_mut(key)) else {
            return;
        };
        let Phase::Setup(tried) = &mut call.phase else {
            return;
        };
        if let Some(replaced) = call.replacing {
            return self.place_transfer(now, key, replaced);
        }
        env.touched.insert(key);
        let Some(node) = env.cluster.choose(now, &mut env.tokens, tried, false) else {
            if call.next_epoch > 0 {
                // Its node died and no other is there: it rings on until one is (spec: X26).
                tried.clear();
                return env.timers.set(Timer::Launch(key), now + LOOK_AGAIN);
            }
            // D23: nobody is there, or all are full.
            let passage = env.retry_after();
            return call.refuse_near(env, now, 503, passage);
        };
        self.place_at(now, key, node, None);
    }

    /// Sends the call to `node`, where it is to replace the dialog `replaces`.
    pub(super) fn place_at(
        &mut self,
        now: Time,
        key: CallKey,
        node: NodeId,
        replaces: Option<&Replaces>,
    ) {
        let (env, Some(call)) = (&mut self.env, self.calls.get_mut(key)) else {
            return;
        };
        match call.call_node(env, now, node, replaces) {
            Ok(()) => {
                env.timers.cancel(Timer::HoldOver(key));
                let call_id = call.near.call_id().into();
                if let Some(node) = env.cluster.address(node) {
                    env.event(Event::CallPlaced {
                        call: call_id,
                        node,
                    });
                }
            }
            Err(status) => {
                let passage = match status {
                    503 => env.retry_after(),
                    _ => Passage::default(),
                };
                call.refuse_near(env, now, status, passage);
            }
        }
    }
}

/// What a request outside any dialog asks and we cannot give (RFC 3261 8.2.2): a status and a
/// header that belongs to it.
pub(super) fn unserved(request: &Message) -> Option<(u16, Option<(Name<'static>, String)>)> {
    if !request.has_known_scheme() {
        return Some((416, None));
    }
    let required = request.list(Name::Require).into_iter();
    let unknown: Vec<String> = required
        .map(|token| String::from_utf8_lossy(token).into_owned())
        .filter(|token| {
            !UNDERSTOOD
                .iter()
                .any(|known| token.eq_ignore_ascii_case(known))
        })
        .collect();
    let unsupported = (Name::Unsupported, unknown.join(", "));
    (!unknown.is_empty()).then_some((420, Some(unsupported)))
}

impl Call {
    fn new(key: CallKey, near: Leg<Owner>, media: Session, kept: Kept, caller: IpAddr) -> Call {
        Call {
            key,
            near,
            far: None,
            others: Vec::new(),
            media,
            phase: Phase::Setup(Vec::new()),
            kept,
            caller,
            speaks: false,
            replacing: None,
            generation: 0,
            next_epoch: 0,
            session_timer: None,
            asked: Default::default(),
            queue: Default::default(),
            far_asked: Default::default(),
            farewell: None,
            orphans: Vec::new(),
            far_end: FarEndId::default(),
            moved_at: None,
            disowned_at: None,
            refused_ports: 0,
            unopened: None,
            cause: "hangup",
        }
    }

    /// The number of the next far leg.
    pub fn epoch(&mut self) -> u32 {
        self.next_epoch += 1;
        self.next_epoch
    }

    /// Sends the INVITE of a call that is being set up. The error is the status for the caller.
    fn call_node(
        &mut self,
        env: &mut Env,
        now: Time,
        node: NodeId,
        replaces: Option<&Replaces>,
    ) -> Result<(), u16> {
        let Some(placing) = &self.kept.setup else {
            return Err(500);
        };
        let (mut passage, hops) = (placing.passage.clone(), placing.hops);
        let again = self.next_epoch > 0;
        let (epoch, group) = (self.epoch(), GroupId(node.0));
        if again {
            let session = u64::from(epoch);
            self.free_dead_attempts(env);
            let moved = self
                .media
                .move_far(&mut env.ports, &mut env.relay, group, session);
            env.flush_relay(self.key);
            if let Some(sdp) = moved.map_err(|_| 503u16)? {
                passage.set_sdp(sdp);
            }
        } else {
            self.media.speak_for(group);
            let carried = self.carry(env, Side::Near, Carrier::Request, &mut passage);
            carried.map_err(|error| media_status(&error))?;
        }
        let Some(address) = env.cluster.address(node) else {
            return Err(503);
        };
        let mut headers = replaces.map_or_else(Vec::new, |named| insist(named, &mut passage));
        headers.extend(self.orphan_headers());
        headers.push((Name::InstanceAgent, env.settings.agent.to_string()));
        let (from, to) = self.parties();
        let setup = Setup {
            request_uri: self.request_uri(address),
            from,
            to,
            routes: Vec::new(),
            flow: env.flow(address),
            max_forwards: hops,
            cseq: 1,
            headers,
            passage,
            timers: Some(env.cluster.timers(node)),
        };
        let owner = Owner::Far(self.key, epoch);
        let leg = Leg::call(&mut env.ctx(now), owner, &setup).map_err(|_| 513u16)?;
        self.take_charge(env, now, FarLeg::new(leg, node, epoch));
        Ok(())
    }

    /// The Request-URI towards a node: the called user at the node's address.
    pub fn request_uri(&self, node: std::net::SocketAddr) -> Box<str> {
        match &self.kept.callee {
            Callee::Uri(uri) => uri.clone(),
            Callee::User(user) if user.is_empty() => format!("sip:{node}").into(),
            Callee::User(user) => format!("sip:{user}@{node}").into(),
        }
    }
}

/// The headers of a transfer. Replaces is required also where the calling server did not ask for
/// that: who does not know it would take the INVITE for an ordinary call.
fn insist(replaces: &Replaces, passage: &mut Passage) -> Vec<(Name<'static>, String)> {
    let is_require = |name: &[u8]| name.eq_ignore_ascii_case(b"Require");
    let mut required = "replaces".to_owned();
    // What else there may be was checked before: see UNDERSTOOD.
    let timer = |(name, value): &(Bytes, Bytes)| {
        is_require(name) && value.to_ascii_lowercase().windows(5).any(|w| w == b"timer")
    };
    if passage.headers.iter().any(timer) {
        required.push_str(", timer");
    }
    passage.headers.retain(|(name, _)| !is_require(name));
    vec![
        (Name::Replaces, replaces.to_value()),
        (Name::Require, required),
    ]
}

/// The status for a description that cannot be carried.
pub fn media_status(error: &holdline_relay::MediaError) -> u16 {
    match error {
        holdline_relay::MediaError::Sdp(_) => 488,
        holdline_relay::MediaError::NoPort => 503,
    }
}

impl Env {
    /// Refuses a request that belongs to no call.
    pub fn refuse(
        &mut self,
        now: Time,
        server: ServerId,
        status: u16,
        header: Option<(Name<'static>, String)>,
    ) {
        let tag = self.tokens.tag();
        let Some((request, from)) = self.layer.request_of(server) else {
            return;
        };
        let mut builder = Builder::response(request, from.remote, status, b"", Some(&tag));
        if let Some((name, value)) = header {
            builder = builder.header(name, value);
        }
        if let Ok(bytes) = builder.finish(None) {
            self.layer.respond(now, server, status, bytes);
        }
    }

    /// Refuses an INVITE that does not become a call.
    pub fn refuse_call(
        &mut self,
        now: Time,
        server: ServerId,
        status: u16,
        header: Option<(Name<'static>, String)>,
    ) {
        self.event(Event::CallRefused { status });
        self.refuse(now, server, status, header);
    }

    /// A Retry-After header for a 503.
    pub fn retry_after(&self) -> Passage {
        let header = (
            b"Retry-After".as_slice().into(),
            RETRY_AFTER.as_bytes().into(),
        );
        Passage::new(vec![header], None)
    }
}
