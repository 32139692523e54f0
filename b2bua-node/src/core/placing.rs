//! A new call: from the upstream INVITE to the downstream one.

use crate::core::NodeCore;
use crate::core::call::{Call, Phase};
use crate::core::keys::Owner;
use crate::core::keys::Timer;
use holdline_b2bua::transfer::insist;
use holdline_b2bua::{CallKey, Callee, status_of};
use holdline_leg::{Leg, Minted, Passage, Setup};
use holdline_relay::{Carrier, GroupId, Place, Session, Side};
use holdline_wire::header::{InstanceRefusal, Replaces};
use holdline_wire::transaction::ServerId;
use holdline_wire::{Message, Time, TransportKey};

/// Where a downstream INVITE goes.
pub(super) struct Destination {
    pub request_uri: Box<str>,
    /// Route values to preload.
    pub routes: Vec<Box<str>>,
    pub flow: TransportKey,
    /// The dialog that the call is to replace there.
    pub replaces: Option<Replaces>,
}

impl NodeCore {
    /// Makes a call of an admitted INVITE and calls downstream. An error is the status to refuse
    /// with; later ones are told by the call's own leg.
    pub(super) fn place(
        &mut self,
        now: Time,
        server: ServerId,
        invite: &Message,
        from: TransportKey,
        max_forwards: u32,
        destination: Destination,
    ) -> Result<(), u16> {
        let key = self.take_in(now, server, invite, from)?;
        let mut passage = Passage::of(invite);
        let replaces = destination.replaces.as_ref();
        let headers = replaces.map_or_else(Vec::new, |named| insist(named, &mut passage));
        if let Err(error) = self.anchor_offer(key, &mut passage) {
            let cause = cause_of(error);
            self.fail_for(now, key, error, cause, "the offer cannot be relayed");
            return Ok(());
        }
        let setup = Setup {
            request_uri: destination.request_uri,
            from: invite.from().without_params().into(),
            to: invite.to().without_params().into(),
            routes: destination.routes,
            flow: destination.flow,
            max_forwards,
            cseq: 1,
            headers,
            passage,
            timers: None,
        };
        self.note_and_call(now, key, setup, invite);
        Ok(())
    }

    /// Where an ordinary call goes.
    pub(super) fn new_destination(&self, invite: &Message) -> Destination {
        Destination {
            request_uri: Callee::of(invite.request_uri()).at(&self.env.config.target),
            routes: Vec::new(),
            flow: TransportKey::udp(self.env.config.sip, self.env.config.downstream),
            replaces: None,
        }
    }

    /// Makes the call and its upstream leg.
    pub(super) fn take_in(
        &mut self,
        now: Time,
        server: ServerId,
        invite: &Message,
        from: TransportKey,
    ) -> Result<CallKey, u16> {
        let media = self.env.config.media;
        let session = u64::from(self.env.tokens.number());
        let place = Place {
            near: media,
            far: media,
            steady: false,
            session,
        };
        let number = self.next_call + 1;
        let trunk: Box<str> = from.remote.ip().to_string().into();
        // The leg needs the key and the call needs the leg.
        let mut refused = 0;
        let env = &mut self.env;
        let made = self.calls.try_insert_with_key(|key| {
            let owner = Owner::Leg(key, Side::Near);
            let mut ctx = env.ctx(now, Side::Near);
            let near = Leg::incoming(&mut ctx, owner, server, invite, from)
                .map_err(|reject| refused = reject.status)?;
            env.enter(&near, key, Side::Near);
            Ok::<_, ()>(Box::new(Call::new(
                number,
                near,
                Session::new(place, GroupId(0)),
                trunk,
                now,
            )))
        });
        let Ok(key) = made else { return Err(refused) };
        self.next_call = number;
        self.remember_invite(key, Side::Near, server);
        if let Some(run) = self.hear_agent(now, invite, from) {
            self.belong(key, run);
        }
        self.env
            .timers
            .set(Timer::Ring(key), now + self.env.config.waits.ring);
        Ok(key)
    }

    /// Puts our own address into the INVITE's offer. An error is the status to refuse with.
    fn anchor_offer(&mut self, key: CallKey, passage: &mut Passage) -> Result<(), u16> {
        let (Some(offer), Some(call)) = (passage.sdp(), self.calls.get_mut(key)) else {
            return Ok(());
        };
        let (ports, out) = (&mut self.env.streams.ports, &mut self.env.streams.commands);
        let carried = call
            .session
            .carry(ports, out, Side::Near, Carrier::Request, offer);
        self.env.flush_relay(key);
        passage.set_sdp(carried.map_err(|error| status_of(&error))?);
        Ok(())
    }

    /// Sends the downstream INVITE; false where it could not be written (then the call ends).
    pub(super) fn call_downstream(
        &mut self,
        now: Time,
        key: CallKey,
        setup: &Setup,
        minted: &Minted,
    ) -> bool {
        let owner = Owner::Leg(key, Side::Far);
        match Leg::call_as(&mut self.env.ctx(now, Side::Far), owner, setup, minted) {
            Ok(far) => {
                self.env.enter(&far, key, Side::Far);
                if let Some(call) = self.calls.get_mut(key) {
                    call.far = Some(far);
                }
                true
            }
            Err(_) => {
                self.fail(now, key, 513, "the downstream INVITE is too long");
                false
            }
        }
    }

    /// How far a call is, if it is still there.
    pub(super) fn phase(&self, key: CallKey) -> Option<Phase> {
        self.calls.get(key).map(|call| call.phase)
    }
}

/// The mark of a refusal with the status of [`holdline_b2bua::status_of`].
pub(super) fn cause_of(status: u16) -> InstanceRefusal {
    match status {
        503 => InstanceRefusal::NoPort,
        _ => InstanceRefusal::Other,
    }
}
