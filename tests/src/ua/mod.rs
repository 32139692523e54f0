//! A SIP user agent as a pure state machine: the phone, PBX or carrier at either end of a call.
//!
//! It shares nothing with the programs under test but the wire package, so that it can judge
//! them: it keeps count of its dialogs and of everything that it did not expect.
//!
//! Drive it as any [`Machine`]: `handle(now, input)`, `poll_output` until empty, `poll_deadline`.
//! Give it RTP addresses first ([`In::Ports`]); it takes one for each dialog and names it in
//! [`Out::Listen`] before the SDP that carries it leaves.

mod answers;
mod event;
mod leg;
mod media;
mod profile;
mod replaces;
mod session;
#[cfg(test)]
mod tests;
mod uac;
mod uas;

pub use event::{By, CallNumber, Counts, In, Out, Placement, Stream, call_of_user, call_user};
pub use profile::{ContactUser, Profile, Refusing, ReplacesPolicy, ports};

use bytes::Bytes;
use holdline_wire::build::{Body, Builder};
use holdline_wire::deadline::Deadlines;
use holdline_wire::dialog::{Dialog, DialogId};
use holdline_wire::header::Name;
use holdline_wire::machine::{Input, Machine, Output};
use holdline_wire::message::ParseError;
use holdline_wire::method::Method;
use holdline_wire::token::Tokens;
use holdline_wire::transaction::{self, ClientId, Event, Layer, ServerId};
use holdline_wire::{Message, Time, TransportKey, uri};
use leg::{Call, Leg, LegId, SentAck, State};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// How long an ended dialog is remembered, for 603 (RFC 3891 section 3).
const REMEMBER_ENDED: Duration = Duration::from_secs(32);
/// The most ended dialogs remembered.
const MAX_ENDED: usize = 65_536;

/// Which request of a leg a client transaction carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Invite,
    Reinvite,
    Bye,
    Other,
}

/// Who sent a request: the leg, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    leg: LegId,
    sent: Sent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Answer the ringing leg.
    Ring(LegId),
    /// Try the re-INVITE again (RFC 3261 14.1).
    Retry(LegId),
    /// Answer the INVITE that made the first leg and is to replace the second.
    Replace(LegId, LegId),
    /// The call has left the leg for the one that replaced it.
    Moved(LegId),
}

/// One user agent with any number of calls.
pub struct Ua {
    profile: Profile,
    tokens: Tokens,
    layer: Layer<Owner>,
    legs: BTreeMap<LegId, Leg>,
    by_dialog: BTreeMap<DialogId, LegId>,
    calls: BTreeMap<CallNumber, Call>,
    ended: BTreeSet<DialogId>,
    ended_at: VecDeque<(Time, DialogId)>,
    ports: VecDeque<SocketAddr>,
    others: BTreeMap<ClientId, Method>,
    timers: Deadlines<Timer>,
    outputs: VecDeque<Output<Out>>,
    next_leg: LegId,
    next_unnumbered: CallNumber,
    counts: Counts,
    /// INVITEs with Replaces that wait for their answer, and the most that did at a time.
    replacing: BTreeMap<LegId, LegId>,
    most_replacing: usize,
    frozen: bool,
}

impl Ua {
    /// A user agent without calls.
    pub fn new(profile: Profile, tokens: Tokens) -> Ua {
        Ua {
            layer: Layer::new(profile.timers),
            profile,
            tokens,
            legs: BTreeMap::new(),
            by_dialog: BTreeMap::new(),
            calls: BTreeMap::new(),
            ended: BTreeSet::new(),
            ended_at: VecDeque::new(),
            ports: VecDeque::new(),
            others: BTreeMap::new(),
            timers: Deadlines::default(),
            outputs: VecDeque::new(),
            next_leg: 1,
            next_unnumbered: 1 << 31,
            counts: Counts::default(),
            replacing: BTreeMap::new(),
            most_replacing: 0,
            frozen: false,
        }
    }

    /// Its behaviour.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Changes its behaviour from the next message on; address and timers stay.
    pub fn set_profile(&mut self, profile: Profile) {
        let (address, timers) = (self.profile.address, self.profile.timers);
        self.profile = Profile {
            address,
            timers,
            ..profile
        };
    }

    /// How many dialogs of `call`, early or confirmed, are live. More than one is a fault of
    /// whoever is between the two ends.
    pub fn live_dialogs(&self, call: CallNumber) -> usize {
        let legs = self.calls.get(&call).map(|call| call.legs.as_slice());
        let counts = |id: &&LegId| self.counts_as_live(**id);
        legs.unwrap_or_default().iter().filter(counts).count()
    }

    /// How many dialogs of `call` are confirmed and live.
    pub fn confirmed_dialogs(&self, call: CallNumber) -> usize {
        self.legs_of(call)
            .filter(|leg| leg.state == State::Up)
            .count()
    }

    /// The confirmed dialog of `call` that was made last.
    pub fn newest_dialog(&self, call: CallNumber) -> Option<&Dialog> {
        let up = self.legs_of(call).filter(|leg| leg.state == State::Up);
        up.last().and_then(|leg| leg.dialog.as_ref())
    }

    /// The calls with a live dialog, in order.
    pub fn calls(&self) -> impl Iterator<Item = CallNumber> + '_ {
        self.calls
            .keys()
            .copied()
            .filter(|call| self.live_dialogs(*call) > 0)
    }

    /// Whether `call` is answered here and live.
    pub fn is_up(&self, call: CallNumber) -> bool {
        self.legs_of(call).any(|leg| leg.state == State::Up)
    }

    /// What happened in `call`.
    pub fn counts(&self, call: CallNumber) -> Counts {
        self.calls.get(&call).map(|c| c.counts).unwrap_or_default()
    }

    /// What happened in all calls, and outside any.
    pub fn totals(&self) -> Counts {
        let mut sum = self.counts;
        self.calls.values().for_each(|call| sum.add(&call.counts));
        sum
    }

    /// The media of the newest live dialog of `call`.
    pub fn stream(&self, call: CallNumber) -> Option<&Stream> {
        self.live_leg(call)
            .map(|id| self.legs[&id].session.stream())
    }

    /// The newest live dialog of `call`, once a tag of the peer is known.
    pub fn dialog(&self, call: CallNumber) -> Option<&Dialog> {
        self.live_leg(call)
            .and_then(|id| self.legs[&id].dialog.as_ref())
    }

    /// The newest INVITE (not re-INVITE) of `call`, sent or received.
    pub fn invite(&self, call: CallNumber) -> Option<&Message> {
        self.calls.get(&call)?.invite.as_ref()
    }

    /// How many INVITEs with Replaces waited for their final answers at a time, at most.
    pub fn most_replacing(&self) -> usize {
        self.most_replacing
    }

    /// Whether it answers nothing any more.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// How many RTP addresses are left.
    pub fn ports_left(&self) -> usize {
        self.ports.len()
    }

    /// Whether no dialog and no transaction is left: nothing leaked.
    pub fn is_idle(&self) -> bool {
        self.legs.is_empty() && self.layer.is_empty()
    }

    fn legs_of(&self, call: CallNumber) -> impl Iterator<Item = &Leg> + '_ {
        let legs = self
            .calls
            .get(&call)
            .map(|c| c.legs.as_slice())
            .unwrap_or_default();
        legs.iter().filter_map(|id| self.legs.get(id))
    }

    fn live_leg(&self, call: CallNumber) -> Option<LegId> {
        let legs = &self.calls.get(&call)?.legs;
        legs.iter()
            .rev()
            .copied()
            .find(|id| self.counts_as_live(*id))
    }

    /// Whether the leg is live and no mere wish to replace another one.
    fn counts_as_live(&self, id: LegId) -> bool {
        let live = self.legs.get(&id).is_some_and(Leg::is_live);
        live && !self.replacing.contains_key(&id)
    }

    fn call_mut(&mut self, call: CallNumber) -> &mut Call {
        self.calls.entry(call).or_default()
    }

    fn tell(&mut self, out: Out) {
        self.outputs.push_back(Output::Other(out));
    }

    fn send(&mut self, to: TransportKey, bytes: Bytes) {
        self.outputs.push_back(Output::Send { to, bytes });
    }

    /// Adds the headers that each of our messages carries, and the body.
    fn complete(&self, message: Builder, call: CallNumber, sdp: Option<Bytes>) -> Bytes {
        let address = self.profile.address;
        let host = uri::host(address.ip());
        let user = match self.profile.contact {
            ContactUser::Call => format!("{}@", call_user(call)),
            ContactUser::Nobody => String::new(),
            ContactUser::Trunk => "trunk@".to_owned(),
        };
        let contact = format!("<sip:{user}{host}:{}>", address.port());
        let supported = match self.profile.replaces {
            ReplacesPolicy::Unsupported => "outbound",
            _ => "replaces",
        };
        let message = match &self.profile.server {
            Some(server) => message.header(Name::Server, server),
            None => message,
        };
        message
            .header(Name::Contact, contact)
            .header(
                Name::Allow,
                "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, REFER, NOTIFY",
            )
            .header(Name::Supported, supported)
            .finish(sdp.map(Body::sdp).as_ref())
            .expect("a message of our own has no line breaks in its values")
    }

    /// Carries out what the transaction layer wants, until it wants nothing.
    fn drain_layer(&mut self, now: Time) {
        while let Some(output) = self.layer.poll_output() {
            match output {
                transaction::Output::Send(to, bytes) => self.send(to, bytes),
                transaction::Output::Event(event) => self.on_event(now, event),
            }
        }
    }

    fn on_event(&mut self, now: Time, event: Event<Owner>) {
        match event {
            Event::Request {
                server,
                message,
                from,
                cancels,
            } => match cancels {
                Some(invite) => self.on_cancel(now, server, &message, from, invite),
                None => self.on_request(now, server, &message, from),
            },
            Event::Ack { message, .. } => self.on_ack(now, &message),
            Event::Response {
                client,
                owner,
                message,
                from,
            } => {
                self.on_response(now, client, owner, &message, from);
            }
            Event::Timeout { client, owner, .. } => self.on_timeout(now, client, owner),
            Event::NoAck { server, .. } => self.on_no_ack(now, server),
            Event::Stray { message, .. } => self.on_stray(now, &message),
        }
    }

    fn on_message(&mut self, now: Time, from: TransportKey, bytes: Bytes) {
        match Message::parse(bytes) {
            Ok(message) => self.layer.receive(now, from, message),
            Err(ParseError::KeepAlive) => {}
            Err(_) => self.counts.strays += 1,
        }
    }

    fn on_timer(&mut self, now: Time, timer: Timer) {
        match timer {
            Timer::Ring(leg) => self.answer(now, leg),
            Timer::Retry(leg) => self.reinvite_if_due(now, leg),
            Timer::Replace(new, old) => self.replace(now, new, old),
            Timer::Moved(old) => self.moved(now, old),
        }
    }

    /// Enters a new leg, with an RTP address of its own.
    fn open_leg(&mut self, leg: Leg) -> LegId {
        let id = self.next_leg;
        self.next_leg += 1;
        let (number, local) = (leg.call, leg.session.local());
        let invite = leg.invite.clone();
        self.legs.insert(id, leg);
        let call = self.call_mut(number);
        call.legs.push(id);
        call.invite = Some(invite);
        self.tell(Out::Listen {
            call: number,
            local,
        });
        id
    }

    /// Forgets a leg with its timers; its dialog is remembered as ended.
    fn close_leg(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.remove(&id) else {
            return;
        };
        for timer in [Timer::Ring(id), Timer::Retry(id), Timer::Moved(id)] {
            self.timers.cancel(timer);
        }
        if let Some(old) = self.replacing.remove(&id) {
            self.timers.cancel(Timer::Replace(id, old));
        }
        for unacked in &leg.unacked {
            self.layer.acked(unacked.server);
        }
        self.call_mut(leg.call).legs.retain(|other| *other != id);
        if let Some(dialog) = &leg.dialog {
            self.by_dialog.remove(&dialog.id);
        }
        self.remember_ended(now, leg.id());
        self.tell(Out::Release {
            call: leg.call,
            local: leg.session.local(),
        });
    }

    fn remember_ended(&mut self, now: Time, id: DialogId) {
        self.forget_ended(now);
        if self.ended.insert(id.clone()) {
            self.ended_at.push_back((now, id));
        }
    }

    fn forget_ended(&mut self, now: Time) {
        let over = |(at, _): &(Time, DialogId)| now.since(*at) > REMEMBER_ENDED;
        while self.ended_at.len() >= MAX_ENDED || self.ended_at.front().is_some_and(over) {
            if let Some((_, id)) = self.ended_at.pop_front() {
                self.ended.remove(&id);
            }
        }
    }

    fn index_dialog(&mut self, leg: LegId) {
        if let Some(dialog) = &self.legs[&leg].dialog {
            self.by_dialog.insert(dialog.id.clone(), leg);
        }
    }

    fn flow_to(&self, remote: SocketAddr) -> TransportKey {
        TransportKey::udp(self.profile.address, remote)
    }
}

impl Machine for Ua {
    type In = In;
    type Out = Out;

    fn handle(&mut self, now: Time, input: Input<In>) {
        if self.frozen {
            return;
        }
        match input {
            Input::Message { from, bytes } => self.on_message(now, from, bytes),
            Input::Fault { key, quoted, .. } => self.layer.transport_failed(key, &quoted),
            Input::Other(command) => self.command(now, command),
            Input::Deadline => {}
        }
        self.layer.handle_deadline(now);
        self.drain_layer(now);
        while let Some(timer) = self.timers.pop(now) {
            self.on_timer(now, timer);
            self.drain_layer(now);
        }
    }

    fn poll_output(&mut self) -> Option<Output<Out>> {
        self.outputs.pop_front()
    }

    fn poll_deadline(&self) -> Option<Time> {
        if self.frozen {
            return None;
        }
        [self.layer.poll_deadline(), self.timers.next()]
            .into_iter()
            .flatten()
            .min()
    }
}
