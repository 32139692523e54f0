//! What all calls of the core share, and the indexes by which calls are found.

use crate::core::agents::Agents;
use crate::core::event::{Event, Out};
use crate::core::keys::{Owner, Timer};
use crate::core::replaced::Replaced;
use crate::core::room;
use crate::core::settings::NodeConfig;
use crate::core::utilization::Utilization;
use crate::core::why::Why;
use crate::store::{Op, StoreRequest};
use holdline_b2bua::{CallKey, Refusal, Stateless, Streams, Tags, Turns, answer};
use holdline_leg::{Ctx, Leg, Passage, RequestId, Stamp};
use holdline_relay::Side;
use holdline_wire::aging::Aging;
use holdline_wire::deadline::Deadlines;
use holdline_wire::dialog::DialogId;
use holdline_wire::header::{InstanceState, Name};
use holdline_wire::machine::Output;
use holdline_wire::token::Tokens;
use holdline_wire::transaction::{Layer, ServerId};
use holdline_wire::{Message, Time, TransportKey};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Who waits for a store operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A call that is to be kept.
    Keep(CallKey),
    /// A call that is not answered.
    Note(CallKey),
    /// A call that has no caller any more, whose trunk it is; and the one whose INVITE waits for it.
    Orphan(DialogId, Box<str>, Option<CallKey>),
    /// A failover call.
    Claim(CallKey),
    /// The check after a pause.
    Check(Vec<CallKey>),
    /// The check before the node ends calls by itself.
    Ending(Vec<(CallKey, Why)>),
    /// A REFER of the agent that names a dialog which is not this node's.
    Refer(CallKey, RequestId, Box<Passage>),
    /// A failover call whose agent left before the reply.
    Hangup,
    /// Nobody; the call that is to be taken off.
    Delete(DialogId),
    /// Nobody: whether the store answers is the question.
    Nothing,
}

/// Everything that calls share.
pub(super) struct Env {
    pub config: NodeConfig,
    pub tokens: Tokens,
    pub layer: Layer<Owner>,
    pub streams: Streams,
    pub timers: Deadlines<Timer>,
    pub utilization: Utilization,
    near: Stamp,
    far: Stamp,
    /// The legs by their tags. Of ended dialogs two for each of twice the capacity are remembered.
    pub tags: Tags<(CallKey, Side)>,
    stateless: Stateless,
    /// Whose INVITE transactions these are: at most one a leg.
    pub invites: HashMap<ServerId, (CallKey, Side)>,
    /// The dialogs that calls of this node are taking over just now, as the INVITEs name them.
    pub claimed: BTreeMap<DialogId, CallKey>,
    /// Downstream dialogs that they replace.
    pub replaced: Replaced,
    pub outputs: VecDeque<Output<Out>>,
    pub asked: BTreeMap<u64, Asked>,
    next_request: u64,
    /// Operations that wait for company, in order.
    waiting: Vec<(Op, Asked)>,
    pub store_up: bool,
    /// When it was asked last whether the store is back.
    store_looked: Time,
    draining: bool,
    /// Calls that are over, of which the store does not know that yet.
    pub untold: VecDeque<DialogId>,
    /// Calls without a caller, and their trunks, of which the store could not tell yet.
    pub orphans: VecDeque<(DialogId, Box<str>)>,
    /// Who calls.
    pub agents: Agents,
    /// The calls that the node is to end, in order.
    pub ending: Turns<(CallKey, Why)>,
    /// Until when calls may last.
    pub aging: Aging<CallKey>,
    /// When the node itself had stood still last.
    pub late_at: Time,
}

impl Env {
    pub fn new(config: NodeConfig) -> Env {
        let contact: Box<str> = format!("<sip:{}>", config.sip).into();
        let mut env = Env {
            stateless: Stateless::new(config.seed),
            tokens: Tokens::new(config.seed),
            layer: Layer::new(config.timers),
            streams: Streams::new(config.ports),
            timers: Deadlines::default(),
            utilization: Utilization::new(config.capacity),
            near: Stamp {
                contact: contact.clone(),
                on_responses: Vec::new(),
            },
            far: Stamp {
                contact,
                on_responses: Vec::new(),
            },
            tags: Tags::new(config.capacity * 4, config.waits.tomb),
            invites: HashMap::new(),
            outputs: VecDeque::new(),
            asked: BTreeMap::new(),
            next_request: 0,
            waiting: Vec::new(),
            store_up: true,
            store_looked: Time::ZERO,
            draining: false,
            claimed: BTreeMap::new(),
            replaced: Replaced::default(),
            untold: VecDeque::new(),
            orphans: VecDeque::new(),
            agents: Agents::default(),
            ending: Turns::default(),
            aging: Aging::default(),
            late_at: Time::ZERO,
            config,
        };
        env.stamp_responses();
        env
    }

    /// Follows the number of live calls and of ports in use; the header changes at most once a second (spec: D33).
    pub fn count_calls(&mut self, now: Time, calls: usize) {
        let of_ports = room::percent(&self.streams.ports);
        if self.utilization.update(now, calls, of_ports) {
            self.stamp_responses();
        }
    }

    /// The node ends, or does not after all: from now on its responses to agents say so.
    pub fn tell_draining(&mut self, draining: bool) {
        self.draining = draining;
        self.stamp_responses();
    }

    fn stamp_responses(&mut self) {
        // spec: D34. One that ends wants no call.
        let percent = if self.draining {
            100
        } else {
            self.utilization.percent()
        };
        self.near.on_responses = vec![
            (Name::InstanceUtilization, percent.to_string()),
            (
                Name::InstanceIncarnation,
                self.config.incarnation.to_string(),
            ),
        ];
        if self.draining {
            let state = InstanceState::Draining.as_str().to_owned();
            self.near.on_responses.push((Name::InstanceState, state));
        }
    }

    /// What a leg borrows for one step.
    pub fn ctx(&mut self, now: Time, side: Side) -> Ctx<'_, Owner> {
        Ctx {
            now,
            layer: &mut self.layer,
            tokens: &mut self.tokens,
            stamp: match side {
                Side::Near => &self.near,
                Side::Far => &self.far,
            },
        }
    }

    fn stamp_of(&self, side: Side) -> &Stamp {
        match side {
            Side::Near => &self.near,
            Side::Far => &self.far,
        }
    }

    pub fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Other(Out::Event(event)));
    }

    /// The side that a peer speaks from, outside any dialog; `None` for strangers (spec: X40).
    pub fn side_of(&self, from: TransportKey) -> Option<Side> {
        if from.remote == self.config.downstream {
            return Some(Side::Far);
        }
        let allowed = self
            .config
            .upstream
            .iter()
            .any(|net| net.contains(&from.remote.ip()));
        allowed.then_some(Side::Near)
    }

    /// Answers a request that no leg answers.
    pub fn answer(&mut self, now: Time, side: Side, server: ServerId, refusal: Refusal) {
        let refusal = super::marks::marked(side, refusal);
        answer(&mut self.ctx(now, side), server, &refusal);
    }

    /// Answers a request that is too broken for a transaction.
    pub fn answer_statelessly(
        &mut self,
        side: Side,
        request: &Message,
        from: TransportKey,
        status: u16,
        reason: &str,
    ) {
        let refusal = super::marks::marked(side, Refusal::bare(status));
        let stamp = self.stamp_of(side);
        let answer = self
            .stateless
            .answer(stamp, request, from, &refusal, reason);
        let answer = answer.map(|(to, bytes)| Output::Send { to, bytes });
        self.outputs.extend(answer);
    }

    /// Makes a leg findable by its tag.
    pub fn enter(&mut self, leg: &Leg<Owner>, key: CallKey, side: Side) {
        self.tags.enter(leg.local_tag(), (key, side));
    }

    /// Asks the store. None where too much is already asked: then the store counts as down.
    pub fn ask(&mut self, now: Time, op: Op, asked: Asked) -> Option<u64> {
        if !self.may_ask() {
            return None;
        }
        self.ask_what_waits(now);
        self.hand_over(now, op, asked);
        Some(self.next_request)
    }

    /// Asks the store for what nobody waits for: with the next operation that somebody does wait
    /// for, since each commit wakes two threads, or 10 ms later.
    pub fn ask_in_company(&mut self, now: Time, op: Op, asked: Asked) -> bool {
        if !self.may_ask() {
            return false;
        }
        if self.waiting.is_empty() {
            self.timers
                .set(Timer::Company, now + self.config.waits.company);
        }
        self.waiting.push((op, asked));
        true
    }

    /// Hands over what waits for company: before anything that is asked later.
    pub fn ask_what_waits(&mut self, now: Time) {
        if self.waiting.is_empty() {
            return;
        }
        self.timers.cancel(Timer::Company);
        for (op, asked) in std::mem::take(&mut self.waiting) {
            self.hand_over(now, op, asked);
        }
    }

    /// What waits to be noted of a call that is not answered yet has been overtaken by what
    /// became of it.
    pub fn forgo_note(&mut self, key: CallKey) {
        self.waiting.retain(|(_, asked)| *asked != Asked::Note(key));
        if self.waiting.is_empty() {
            self.timers.cancel(Timer::Company);
        }
    }

    /// Operations without a reply, those that wait for company included.
    pub fn store_waiting(&self) -> usize {
        self.asked.len() + self.waiting.len()
    }

    fn may_ask(&mut self) -> bool {
        let may = self.store_waiting() < self.config.capacity * 2 + 16;
        if !may {
            self.store_works(false);
        }
        may
    }

    fn hand_over(&mut self, now: Time, op: Op, asked: Asked) {
        self.next_request += 1;
        let id = self.next_request;
        self.asked.insert(id, asked);
        self.timers
            .set(Timer::Asked(id), now + self.config.waits.store);
        self.outputs
            .push_back(Output::Other(Out::Store(StoreRequest { id, op })));
    }

    /// The reply to this request is not waited for any more.
    pub fn unask(&mut self, id: u64) {
        self.asked.remove(&id);
        self.timers.cancel(Timer::Asked(id));
    }

    /// Asks a store that was down whether it is back, where nothing else asks it: a node that the
    /// agent avoids for its store has no calls (spec: X59).
    pub fn ask_whether_store_is_back(&mut self, now: Time) {
        let due = now.since(self.store_looked) >= self.config.waits.retry;
        if !self.store_up && due && self.store_waiting() == 0 {
            self.store_looked = now;
            let op = Op::Check {
                dialogs: Vec::new(),
                by: self.config.incarnation.clone(),
            };
            self.ask(now, op, Asked::Nothing);
        }
    }

    /// Takes a call that is over off the store; asked again for as long as the store is down.
    pub fn take_off(&mut self, now: Time, upstream: DialogId) {
        let op = self.delete(&upstream);
        if self.ask(now, op, Asked::Delete(upstream.clone())).is_none() {
            self.take_off_later(now, upstream);
        }
    }

    /// Likewise a call that ended as calls do: who still asks for it hears from the downstream UA
    /// that it is over.
    pub fn take_off_in_company(&mut self, now: Time, upstream: DialogId) {
        let op = self.delete(&upstream);
        if !self.ask_in_company(now, op, Asked::Delete(upstream.clone())) {
            self.take_off_later(now, upstream);
        }
    }

    fn delete(&self, upstream: &DialogId) -> Op {
        Op::Delete {
            upstream: upstream.clone(),
            by: self.config.incarnation.clone(),
        }
    }

    /// The store did not hear of a call's end. Beyond four times the capacity the oldest are
    /// left to the row's own end.
    pub fn take_off_later(&mut self, now: Time, upstream: DialogId) {
        if self.untold.len() >= self.config.capacity * 4 {
            self.untold.pop_front();
        }
        self.untold.push_back(upstream);
        self.timers.set(Timer::Clear, now + self.config.waits.retry);
    }

    /// Remembers, and tells once, whether the store works.
    pub fn store_works(&mut self, up: bool) {
        if self.store_up != up {
            self.store_up = up;
            self.event(if up { Event::StoreUp } else { Event::StoreDown });
        }
    }

    /// Hands out the relay commands of `call`, so that they precede the messages that follow
    /// from them.
    pub fn flush_relay(&mut self, key: CallKey) {
        let commands = self.streams.flush(key);
        let commands = commands.map(|command| Output::Other(Out::Relay(command)));
        self.outputs.extend(commands);
    }
}
