//! Requests outside any dialog: OPTIONS, and which INVITEs become calls.

use crate::core::call::CallKey;
use crate::core::env::Place;
use crate::core::ports;
use crate::core::{Event, NodeCore};
use holdline_relay::Side;
use holdline_wire::header::{InstanceRefusal, InstanceState, InstanceStore, Name, Replaces};
use holdline_wire::transaction::ServerId;
use holdline_wire::{Message, Method, Time, TransportKey};

/// What we understand of a dialog's methods.
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, REFER, NOTIFY, MESSAGE";
/// The extensions that an INVITE may require. Neither leg sends PRACK, so 100rel is not there.
const SUPPORTED: [&str; 2] = ["replaces", "timer"];
/// Seconds after which a refused caller may try again.
const RETRY_AFTER: &str = "5";
/// The same of a call on the move, which nobody hears meanwhile: the room that others leave as they move
/// is there a moment later, and new calls get none of it.
const MOVES_AGAIN: &str = "1";

/// Why an INVITE does not become a call, and what its refusal says beside.
struct Refusal(u16, Vec<(Name<'static>, String)>);

impl Refusal {
    fn bare(status: u16) -> Refusal {
        Refusal(status, Vec::new())
    }

    fn for_now(cause: InstanceRefusal, wish: &Wish) -> Refusal {
        let later = match wish {
            Wish::Takeover(_) => MOVES_AGAIN,
            Wish::NewCall | Wish::Transfer(_) => RETRY_AFTER,
        };
        let later = (Name::RetryAfter, later.to_owned());
        let mark = (Name::InstanceRefusal, cause.as_str().to_owned());
        Refusal(503, vec![later, mark])
    }
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
                let Refusal(status, headers) = refused.unwrap_or_else(|| self.how_it_is(side));
                self.env.answer(now, side, server, status, &headers);
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
                            .replaced_destination(&r, request, from)
                            .and_then(|d| self.place(now, server, request, from, forwards, d)),
                    };
                    taken.map_err(Refusal::bare)
                });
                if let Err(Refusal(status, headers)) = placed {
                    self.env.event(Event::Refused { status });
                    self.env.answer(now, side, server, status, &headers);
                }
            }
            method if method.needs_dialog() => self.env.answer(now, side, server, 481, &[]),
            _ => self
                .env
                .answer(now, side, server, 405, &[(Name::Allow, ALLOW.to_owned())]),
        }
    }

    /// What OPTIONS is answered. To agents a node that ends is alive and says what it does (spec:
    /// D34), and which store it works with (spec: X59); the far end is to ask another one.
    fn how_it_is(&self, side: Side) -> Refusal {
        if side == Side::Far && self.draining {
            return Refusal(503, vec![(Name::RetryAfter, RETRY_AFTER.to_owned())]);
        }
        let supported = (Name::Supported, SUPPORTED.join(", "));
        let mut headers = vec![(Name::Allow, ALLOW.to_owned()), supported];
        if side == Side::Near {
            // While it ends, every response says so.
            if !self.draining {
                let state = InstanceState::Active.as_str().to_owned();
                headers.push((Name::InstanceState, state));
            }
            if let Some(id) = self.env.config.store.clone() {
                let up = self.env.store_up;
                let store = InstanceStore { id, up }.to_string();
                headers.push((Name::InstanceStore, store));
            }
        }
        Refusal(200, headers)
    }

    /// The checks that every INVITE has to pass; also its Max-Forwards for the next hop.
    fn admit(&self, side: Side, invite: &Message) -> Result<(Wish, u32), Refusal> {
        if side == Side::Far {
            // Calls from the cluster towards the calling server are not routed by the node yet.
            return Err(Refusal::bare(403));
        }
        let forwards = invite.forwards_left().map_err(Refusal::bare)?;
        served(invite)?;
        let wish = wish(invite)?;
        // A call that is up and has no other home is taken all the same (spec: D24).
        if self.draining && !matches!(wish, Wish::Takeover(_)) {
            return Err(Refusal::for_now(InstanceRefusal::Draining, &wish));
        }
        let full = self.calls.len() >= self.env.config.capacity;
        let in_place = match &wish {
            Wish::NewCall | Wish::Transfer(_) => false,
            // The call that it replaces makes room.
            Wish::Takeover(replaces) => self.holder(replaces).is_some(),
        };
        if full && !in_place {
            return Err(Refusal::for_now(InstanceRefusal::Full, &wish));
        }
        let kept = match &wish {
            Wish::NewCall | Wish::Transfer(_) => ports::kept(&self.env.ports),
            // That is whom they are kept for.
            Wish::Takeover(_) => 0,
        };
        if self.env.ports.available() < ports::needed(invite) + kept {
            return Err(Refusal::for_now(InstanceRefusal::NoPort, &wish));
        }
        Ok((wish, forwards))
    }

    /// The call of this very node that `replaces` names, unless another claim is about it.
    pub(super) fn holder(&self, replaces: &Replaces) -> Option<CallKey> {
        let place = self.env.tags.get(&replaces.to_tag)?;
        let Place::Leg(key, Side::Near) = *place else {
            return None;
        };
        let call = self.calls.get(key)?;
        let id = call.near.id();
        let named = id.call_id == replaces.call_id && id.remote_tag == replaces.from_tag;
        let claimed = call
            .claimant
            .is_some_and(|claimant| self.calls.contains_key(claimant));
        (named && !claimed).then_some(key)
    }
}

/// Whether a request outside any dialog asks only what we can give (RFC 3261 8.2.2).
fn served(request: &Message) -> Result<(), Refusal> {
    if !request.has_known_scheme() {
        return Err(Refusal::bare(416));
    }
    let required = request.list(Name::Require);
    let unknown = required
        .iter()
        .map(|token| String::from_utf8_lossy(token))
        .filter(|token| {
            !SUPPORTED
                .iter()
                .any(|known| token.eq_ignore_ascii_case(known))
        });
    let unknown = unknown.collect::<Vec<_>>().join(", ");
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Refusal(420, vec![(Name::Unsupported, unknown)]))
}

/// RFC 3891 section 3: more than one Replaces is an error, so is a malformed one.
fn wish(invite: &Message) -> Result<Wish, Refusal> {
    let mut fields = invite.fields().filter(|field| field.name == Name::Replaces);
    let Some(field) = fields.next() else {
        return Ok(Wish::NewCall);
    };
    if fields.next().is_some() {
        return Err(Refusal::bare(400));
    }
    match Replaces::parse(field.value) {
        Some(replaces) if replaces.transfer => Ok(Wish::Transfer(replaces)),
        Some(replaces) => Ok(Wish::Takeover(replaces)),
        None => Err(Refusal::bare(400)),
    }
}
