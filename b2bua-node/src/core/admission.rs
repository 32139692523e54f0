//! Requests outside any dialog: OPTIONS, and which INVITEs become calls.

use crate::core::room;
use crate::core::{Event, NodeCore};
use holdline_b2bua::transfer::is_named;
use holdline_b2bua::{CallKey, Refusal, hops, options, pairs_needed, replaces, served, unrouted};
use holdline_relay::Side;
use holdline_wire::header::{InstanceRefusal, InstanceState, InstanceStore, Name, Replaces};
use holdline_wire::transaction::ServerId;
use holdline_wire::{Message, Method, Time, TransportKey};

/// Seconds after which the agent may ask again for a call on the move, which nobody hears meanwhile:
/// the room that others leave as they move is there a moment later, and new calls get none of it.
const MOVES_AGAIN: u32 = 1;

/// The node cannot take what the agent wishes, for now and for this reason.
fn for_now(cause: InstanceRefusal, wish: &Wish) -> Refusal {
    let later = match wish {
        Wish::Takeover(_) => Refusal::after(503, MOVES_AGAIN),
        Wish::NewCall | Wish::Transfer(_) => Refusal::later(),
    };
    later.and(Name::InstanceRefusal, cause.as_str().to_owned())
}

/// What an INVITE asks for.
enum Wish {
    NewCall,
    /// To take the place of this dialog.
    Takeover(Replaces),
    /// To take the place of the downstream dialog behind this one (spec: D32).
    Transfer(Replaces),
}

impl NodeCore {
    /// A request that names no dialog.
    pub(super) fn out_of_dialog(
        &mut self,
        now: Time,
        side: Side,
        server: ServerId,
        request: &Message,
        from: TransportKey,
    ) {
        match request.method() {
            Method::Options => {
                if side == Side::Near {
                    self.hear_agent(now, request, from);
                    self.take_back_all(now, request, from);
                }
                let refused = served(request).err();
                let answer = refused.unwrap_or_else(|| self.how_it_is(side));
                self.env.answer(now, side, server, answer);
            }
            Method::Invite => {
                let admitted = self.admit(side, request);
                let placed = admitted.and_then(|(wish, forwards)| {
                    let taken = match wish {
                        Wish::NewCall => {
                            let destination = self.new_destination(request);
                            self.place(now, server, request, from, forwards, destination)
                        }
                        Wish::Takeover(r) => self.claim(now, server, request, from, &r, forwards),
                        Wish::Transfer(r) => self
                            .replaced_destination(&r, from)
                            .and_then(|d| self.place(now, server, request, from, forwards, d)),
                    };
                    taken.map_err(Refusal::bare)
                });
                if let Err(refusal) = placed {
                    let status = refusal.status;
                    self.env.event(Event::Refused { status });
                    self.env.answer(now, side, server, refusal);
                }
            }
            method => self.env.answer(now, side, server, unrouted(method)),
        }
    }

    /// What OPTIONS is answered. To agents a node that ends is alive and says what it does (spec:
    /// D34), and which store it works with (spec: X59); the far end is to ask another one.
    fn how_it_is(&self, side: Side) -> Refusal {
        if side == Side::Far {
            return options(!self.draining);
        }
        let mut answer = options(true);
        // While it ends, every response says so.
        if !self.draining {
            let state = InstanceState::Active.as_str().to_owned();
            answer = answer.and(Name::InstanceState, state);
        }
        if let Some(id) = self.env.config.store.clone() {
            let up = self.env.store_up;
            let store = InstanceStore { id, up }.to_string();
            answer = answer.and(Name::InstanceStore, store);
        }
        answer
    }

    /// The checks that every INVITE has to pass; also its Max-Forwards for the next hop.
    fn admit(&self, side: Side, invite: &Message) -> Result<(Wish, u32), Refusal> {
        if side == Side::Far {
            // Calls from the cluster towards the calling server are not routed by the node yet.
            return Err(Refusal::bare(403));
        }
        let forwards = hops(invite)?;
        let wish = match replaces(invite)? {
            None => Wish::NewCall,
            Some(replaces) if replaces.transfer => Wish::Transfer(replaces),
            Some(replaces) => Wish::Takeover(replaces),
        };
        // A call that is up and has no other home is taken all the same (spec: D24).
        if self.draining && !matches!(wish, Wish::Takeover(_)) {
            return Err(for_now(InstanceRefusal::Draining, &wish));
        }
        let full = self.calls.len() >= self.env.config.capacity;
        let in_place = match &wish {
            Wish::NewCall | Wish::Transfer(_) => false,
            // The call that it replaces makes room.
            Wish::Takeover(replaces) => self.holder(replaces).is_some(),
        };
        if full && !in_place {
            return Err(for_now(InstanceRefusal::Full, &wish));
        }
        let kept = match &wish {
            Wish::NewCall | Wish::Transfer(_) => room::kept(&self.env.streams.ports),
            // That is whom they are kept for.
            Wish::Takeover(_) => 0,
        };
        if self.env.streams.ports.available() < pairs_needed(invite) + kept {
            return Err(for_now(InstanceRefusal::NoPort, &wish));
        }
        Ok((wish, forwards))
    }

    /// The call of this very node that `replaces` names, unless another claim is about it.
    pub(super) fn holder(&self, replaces: &Replaces) -> Option<CallKey> {
        let (key, side) = self.env.tags.leg(&replaces.to_tag)?;
        let call = self.calls.get(key).filter(|_| side == Side::Near)?;
        let named = is_named(&call.near.id(), replaces);
        let claimed = call
            .claimant
            .is_some_and(|claimant| self.calls.contains_key(claimant));
        (named && !claimed).then_some(key)
    }
}
