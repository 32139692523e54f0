//! New calls from the calling server, and where they are placed.

use crate::cluster::NodeId;
use crate::core::AgentCore;
use crate::core::call::{Call, FarLeg, Kept, Phase};
use crate::core::env::Env;
use crate::core::event::Event;
use crate::core::keys::{Owner, Timer};
use crate::core::pacing::FarEndId;
use holdline_b2bua::transfer::insist;
use holdline_b2bua::{CallKey, Cause, Refusal, answer, hops, pairs_needed, status_of};
use holdline_leg::{Leg, Passage, Setup};
use holdline_relay::{Carrier, GroupId, Place as MediaPlace, Session, Side};
use holdline_wire::dialog::Reject;
use holdline_wire::header::{Name, Replaces};
use holdline_wire::transaction::ServerId;
use holdline_wire::{Message, Time, TransportKey};
use std::net::IpAddr;
use std::time::Duration;

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
            Err(refusal) => return self.env.refuse_call(now, server, &refusal),
        };
        let replacing = match self.replaced_by(invite) {
            Ok(replacing) => replacing,
            Err(refusal) => return self.env.refuse_call(now, server, &refusal),
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
            env.tags.enter(near.local_tag(), Owner::Near(key));
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
            Err(reject) => {
                let refusal = Refusal::bare(reject.status);
                self.env.refuse_call(now, server, &refusal);
            }
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

    /// The call's Max-Forwards for the next hop, or why it is not taken at all.
    fn admitted(&self, invite: &Message) -> Result<u32, Refusal> {
        let hops = hops(invite)?;
        if self.draining || self.calls.len() >= self.env.settings.max_calls {
            return Err(Refusal::later());
        }
        // A move needs none (spec: X51): the calls that are there have what they need.
        if pairs_needed(invite) > self.env.streams.ports.available() {
            return Err(Refusal::later());
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
            return call.refuse_near(env, now, 503, Refusal::later().passage());
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
                    503 => Refusal::later().passage(),
                    _ => Passage::default(),
                };
                call.refuse_near(env, now, status, passage);
            }
        }
    }
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
            cause: Cause::Hangup,
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
            let moved = self.media.move_far(
                &mut env.streams.ports,
                &mut env.streams.commands,
                group,
                session,
            );
            env.flush_relay(self.key);
            if let Some(sdp) = moved.map_err(|_| 503u16)? {
                passage.set_sdp(sdp);
            }
        } else {
            self.media.speak_for(group);
            let carried = self.carry(env, Side::Near, Carrier::Request, &mut passage);
            carried.map_err(|error| status_of(&error))?;
        }
        let Some(address) = env.cluster.address(node) else {
            return Err(503);
        };
        let mut headers = replaces.map_or_else(Vec::new, |named| insist(named, &mut passage));
        headers.extend(self.orphan_headers());
        headers.push((Name::InstanceAgent, env.settings.agent.to_string()));
        let (from, to) = self.parties();
        let setup = Setup {
            request_uri: self.kept.callee.at(address),
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
}

impl Env {
    /// Refuses a request that belongs to no call.
    pub fn refuse(&mut self, now: Time, server: ServerId, refusal: &Refusal) {
        answer(&mut self.ctx(now), server, refusal);
    }

    /// Refuses an INVITE that does not become a call.
    pub fn refuse_call(&mut self, now: Time, server: ServerId, refusal: &Refusal) {
        self.event(Event::CallRefused {
            status: refusal.status,
        });
        self.refuse(now, server, refusal);
    }
}
