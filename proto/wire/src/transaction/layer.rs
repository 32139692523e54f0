//! The tables of all transactions, their timers, and the carrying out of effects.

use super::client_invite::ClientInvite;
use super::client_other::ClientOther;
use super::effects::{Change, Effects, Tell, Values};
use super::key::Key;
use super::server_invite::ServerInvite;
use super::server_other::ServerOther;
use super::{ClientId, Event, Limits, Output, ServerId, Timers};
use crate::deadline::Deadlines;
use crate::header::Name;
use crate::message::Message;
use crate::method::Method;
use crate::time::Time;
use crate::transport::TransportKey;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

/// The two timers of a transaction. At equal times the retransmission goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Retransmit,
    Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TimerKey {
    Client(ClientId, Timer),
    Server(ServerId, Timer),
}

#[derive(Debug)]
enum ClientMachine {
    Invite(Box<ClientInvite>),
    Other(ClientOther),
}

#[derive(Debug)]
struct Client<O> {
    /// `None` for a CANCEL: its outcome interests nobody.
    owner: Option<O>,
    key: Key,
    to: TransportKey,
    timers: Timers,
    machine: ClientMachine,
    /// The transaction of the CANCEL for this INVITE.
    cancel: Option<ClientId>,
}

#[derive(Debug)]
enum ServerMachine {
    Invite(ServerInvite),
    Other(ServerOther),
}

#[derive(Debug)]
struct Server {
    key: Key,
    from: TransportKey,
    reply_to: TransportKey,
    request: Message,
    machine: ServerMachine,
}

/// A message from the network that effects may be about.
type Received = Option<(Message, TransportKey)>;

/// All transactions of one core.
#[derive(Debug)]
pub struct Layer<O> {
    timers: Timers,
    limits: Limits,
    next_id: u64,
    clients: BTreeMap<ClientId, Client<O>>,
    client_keys: BTreeMap<Key, ClientId>,
    /// Client transactions without any response, by whom they wait for.
    unheard: BTreeSet<(TransportKey, ClientId)>,
    servers: BTreeMap<ServerId, Server>,
    server_keys: BTreeMap<Key, ServerId>,
    /// Bytes of the requests that `servers` keeps.
    server_bytes: usize,
    refused: u64,
    deadlines: Deadlines<TimerKey>,
    outputs: VecDeque<Output<O>>,
}

impl<O: Copy> Layer<O> {
    /// An empty layer; `timers` are the defaults for every transaction.
    pub fn new(timers: Timers) -> Layer<O> {
        Layer::with_limits(timers, Limits::default())
    }

    /// An empty layer that keeps no more than `limits` for requests from the network.
    pub fn with_limits(timers: Timers, limits: Limits) -> Layer<O> {
        Layer {
            timers,
            limits,
            next_id: 0,
            clients: BTreeMap::new(),
            client_keys: BTreeMap::new(),
            unheard: BTreeSet::new(),
            servers: BTreeMap::new(),
            server_keys: BTreeMap::new(),
            server_bytes: 0,
            refused: 0,
            deadlines: Deadlines::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes a parsed message from the network. Retransmissions are absorbed (and answered
    /// again). Matching follows RFC 3261 17.1.3 and 17.2.3, the sent-by included; requests from
    /// RFC 2543 peers (no cookie) match by their headers. New requests over the limits are
    /// dropped and counted: their sender repeats them.
    pub fn receive(&mut self, now: Time, from: TransportKey, message: Message) {
        if !message.is_request() {
            self.receive_response(now, from, message);
        } else if *message.method() == Method::Ack {
            self.receive_ack(now, from, message);
        } else {
            self.receive_request(now, from, message);
        }
    }

    /// Sends a request other than ACK in a new client transaction. `bytes` is the whole request
    /// with its Via; `timers` overrides the defaults (spec: X24). Bytes that are no request end
    /// at once with `Timeout { transport: true }`.
    pub fn request(
        &mut self,
        now: Time,
        to: TransportKey,
        bytes: Bytes,
        owner: O,
        timers: Option<Timers>,
    ) -> ClientId {
        let timers = timers.unwrap_or(self.timers);
        self.start_client(now, to, bytes, Some(owner), timers)
    }

    /// Sends CANCEL for an INVITE that has had a provisional response (RFC 3261 9.1); before
    /// that it waits for one. No-op once a final response came. `extra` are further headers
    /// (Reason). Without a final answer to the INVITE 64*T1 after the CANCEL it ends with
    /// `Timeout`.
    pub fn cancel(&mut self, now: Time, client: ClientId, extra: &[(&str, &str)]) {
        let Some(entry) = self.clients.get_mut(&client) else {
            return;
        };
        if let ClientMachine::Invite(machine) = &mut entry.machine {
            let effects = machine.cancel(extra);
            self.apply_client(now, client, effects, None);
        }
    }

    /// Forgets a client transaction, and the CANCEL for it, without a word: its node is dead.
    pub fn abandon(&mut self, client: ClientId) {
        let cancel = self.remove_client(client).and_then(|entry| entry.cancel);
        cancel.map(|cancel| self.remove_client(cancel));
    }

    /// Answers a request: provisional or final. After a final answer the transaction lives on by
    /// itself. A second final answer is ignored. For a 2xx to an INVITE the **layer** repeats it
    /// (T1 doubling up to T2, 64*T1 long) until `acked` is called (RFC 3261 13.3.1.4).
    pub fn respond(&mut self, now: Time, server: ServerId, status: u16, bytes: Bytes) {
        let Some(entry) = self.servers.get_mut(&server) else {
            return;
        };
        let effects = match &mut entry.machine {
            ServerMachine::Invite(machine) => machine.respond(status, bytes),
            ServerMachine::Other(machine) => machine.respond(status, bytes),
        };
        self.apply_server(now, server, effects, None);
    }

    /// The ACK for the 2xx of this INVITE came.
    pub fn acked(&mut self, server: ServerId) {
        let Some(entry) = self.servers.get_mut(&server) else {
            return;
        };
        if let ServerMachine::Invite(machine) = &mut entry.machine {
            let effects = machine.acked();
            // No timer is set by it, so the time does not matter.
            self.apply_server(Time::ZERO, server, effects, None);
        }
    }

    /// The request of a server transaction that is still there.
    pub fn request_of(&self, server: ServerId) -> Option<(&Message, TransportKey)> {
        self.servers
            .get(&server)
            .map(|entry| (&entry.request, entry.from))
    }

    /// The transport to this peer failed (a refused datagram): client transactions towards it
    /// that still wait for a first response end with `Timeout { transport: true }`.
    pub fn transport_failed(&mut self, _now: Time, key: TransportKey) {
        let span = (key, ClientId(0))..=(key, ClientId(u64::MAX));
        let failed: Vec<ClientId> = self.unheard.range(span).map(|(_, id)| *id).collect();
        for client in failed {
            self.fail_client(client);
        }
    }

    /// Does what is due.
    pub fn handle_deadline(&mut self, now: Time) {
        while let Some(key) = self.deadlines.pop(now) {
            match key {
                TimerKey::Client(id, timer) => self.client_timer(now, id, timer),
                TimerKey::Server(id, timer) => self.server_timer(now, id, timer),
            }
        }
    }

    /// When something is due next.
    pub fn poll_deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output<O>> {
        self.outputs.pop_front()
    }

    /// Live client and server transactions, for metrics and leak checks.
    pub fn len(&self) -> (usize, usize) {
        (self.clients.len(), self.servers.len())
    }

    /// Whether no transaction is live.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// How many requests were dropped because of the limits.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// Client transactions.
impl<O: Copy> Layer<O> {
    fn start_client(
        &mut self,
        now: Time,
        to: TransportKey,
        bytes: Bytes,
        owner: Option<O>,
        timers: Timers,
    ) -> ClientId {
        let client = ClientId(self.id());
        let request = match Message::parse(bytes) {
            Ok(message) if message.is_request() => message,
            _ => {
                self.tell_timeout(client, owner, true);
                return client;
            }
        };
        let values = Values::new(timers, self.timers, to.protocol.is_reliable());
        let key = Key::client(&request);
        let (machine, effects) = if *request.method() == Method::Invite {
            let (machine, effects) = ClientInvite::start(request, values);
            (ClientMachine::Invite(Box::new(machine)), effects)
        } else {
            let (machine, effects) = ClientOther::start(request.bytes().clone(), values);
            (ClientMachine::Other(machine), effects)
        };
        self.client_keys.insert(key.clone(), client);
        self.unheard.insert((to, client));
        self.clients.insert(
            client,
            Client {
                owner,
                key,
                to,
                timers,
                machine,
                cancel: None,
            },
        );
        self.apply_client(now, client, effects, None);
        client
    }

    fn receive_response(&mut self, now: Time, from: TransportKey, response: Message) {
        let found = self.client_keys.get(&Key::client(&response)).copied();
        // More than one Via: it was meant for somebody behind us (RFC 3261 8.1.3.3).
        let client = found.filter(|_| response.list(Name::Via).len() == 1);
        let Some((client, entry)) = client.and_then(|id| Some((id, self.clients.get_mut(&id)?)))
        else {
            self.outputs.push_back(Output::Event(Event::Stray {
                message: response,
                from,
            }));
            return;
        };
        self.unheard.remove(&(entry.to, client));
        let effects = match &mut entry.machine {
            ClientMachine::Invite(machine) => machine.response(&response),
            ClientMachine::Other(machine) => machine.response(response.status()),
        };
        self.apply_client(now, client, effects, Some((response, from)));
    }

    fn client_timer(&mut self, now: Time, client: ClientId, timer: Timer) {
        let Some(entry) = self.clients.get_mut(&client) else {
            return;
        };
        let effects = match (&mut entry.machine, timer) {
            (ClientMachine::Invite(machine), Timer::Retransmit) => machine.retransmit(),
            (ClientMachine::Invite(machine), Timer::Phase) => machine.phase_over(),
            (ClientMachine::Other(machine), Timer::Retransmit) => machine.retransmit(),
            (ClientMachine::Other(machine), Timer::Phase) => machine.phase_over(),
        };
        self.apply_client(now, client, effects, None);
    }

    fn apply_client(&mut self, now: Time, client: ClientId, effects: Effects, got: Received) {
        let Some(entry) = self.clients.get(&client) else {
            return;
        };
        let (to, owner, timers) = (entry.to, entry.owner, entry.timers);
        if let Some(bytes) = effects.send {
            self.outputs.push_back(Output::Send(to, bytes));
        }
        self.set_timer(
            now,
            TimerKey::Client(client, Timer::Retransmit),
            effects.retransmit,
        );
        self.set_timer(now, TimerKey::Client(client, Timer::Phase), effects.phase);
        match (effects.tell, owner, got) {
            (Some(Tell::Response), Some(owner), Some((message, from))) => {
                let event = Event::Response {
                    client,
                    owner,
                    message,
                    from,
                };
                self.outputs.push_back(Output::Event(event));
            }
            (Some(Tell::Stray), _, Some((message, from))) => {
                self.outputs
                    .push_back(Output::Event(Event::Stray { message, from }));
            }
            (Some(Tell::Timeout), owner, _) => self.tell_timeout(client, owner, false),
            _ => {}
        }
        if let Some(bytes) = effects.cancel {
            let cancel = self.start_client(now, to, bytes, None, timers);
            if let Some(entry) = self.clients.get_mut(&client) {
                entry.cancel = Some(cancel);
            }
        }
        if effects.end {
            self.remove_client(client);
        }
    }

    fn fail_client(&mut self, client: ClientId) {
        if let Some(entry) = self.remove_client(client) {
            self.tell_timeout(client, entry.owner, true);
        }
    }

    fn tell_timeout(&mut self, client: ClientId, owner: Option<O>, transport: bool) {
        if let Some(owner) = owner {
            let event = Event::Timeout {
                client,
                owner,
                transport,
            };
            self.outputs.push_back(Output::Event(event));
        }
    }

    fn remove_client(&mut self, client: ClientId) -> Option<Client<O>> {
        let entry = self.clients.remove(&client)?;
        // A branch that was used twice belongs to the later transaction.
        if self.client_keys.get(&entry.key) == Some(&client) {
            self.client_keys.remove(&entry.key);
        }
        self.unheard.remove(&(entry.to, client));
        self.deadlines
            .cancel(TimerKey::Client(client, Timer::Retransmit));
        self.deadlines
            .cancel(TimerKey::Client(client, Timer::Phase));
        Some(entry)
    }
}

/// Server transactions.
impl<O: Copy> Layer<O> {
    fn receive_request(&mut self, now: Time, from: TransportKey, request: Message) {
        let key = Key::server(&request);
        if let Some(server) = self.server_keys.get(&key).copied() {
            let Some(entry) = self.servers.get_mut(&server) else {
                return;
            };
            let effects = match &mut entry.machine {
                ServerMachine::Invite(machine) => machine.request_again(),
                ServerMachine::Other(machine) => machine.request_again(),
            };
            return self.apply_server(now, server, effects, None);
        }
        let bytes = self.server_bytes + request.bytes().len();
        if self.servers.len() >= self.limits.servers || bytes > self.limits.bytes {
            self.refused += 1;
            return;
        }
        self.server_bytes = bytes;
        self.start_server(now, from, request, key);
    }

    fn start_server(&mut self, now: Time, from: TransportKey, request: Message, key: Key) {
        let server = ServerId(self.id());
        let values = Values::new(self.timers, self.timers, from.protocol.is_reliable());
        let (machine, effects) = if *request.method() == Method::Invite {
            let (machine, effects) = ServerInvite::start(values);
            (ServerMachine::Invite(machine), effects)
        } else {
            let (machine, effects) = ServerOther::start(values);
            (ServerMachine::Other(machine), effects)
        };
        let cancels = self.cancelled_by(&request);
        let reply_to = reply_to(from, &request);
        let message = request.clone();
        self.server_keys.insert(key.clone(), server);
        self.servers.insert(
            server,
            Server {
                key,
                from,
                reply_to,
                request,
                machine,
            },
        );
        self.apply_server(now, server, effects, None);
        let event = Event::Request {
            server,
            message,
            from,
            cancels,
        };
        self.outputs.push_back(Output::Event(event));
    }

    /// The INVITE that a CANCEL names, where it still lacks an answer (RFC 3261 9.2).
    fn cancelled_by(&self, request: &Message) -> Option<ServerId> {
        if *request.method() != Method::Cancel {
            return None;
        }
        let server = *self.server_keys.get(&Key::of_invite(request))?;
        match &self.servers.get(&server)?.machine {
            ServerMachine::Invite(machine) if machine.is_unanswered() => Some(server),
            _ => None,
        }
    }

    fn receive_ack(&mut self, now: Time, from: TransportKey, ack: Message) {
        let found = self.invite_of_ack(&ack).and_then(|server| {
            let machine = match &mut self.servers.get_mut(&server)?.machine {
                ServerMachine::Invite(machine) => machine,
                ServerMachine::Other(_) => return None,
            };
            Some((server, machine.ack()))
        });
        match found {
            Some((server, effects)) => self.apply_server(now, server, effects, Some((ack, from))),
            None => self
                .outputs
                .push_back(Output::Event(Event::Ack { message: ack, from })),
        }
    }

    fn invite_of_ack(&self, ack: &Message) -> Option<ServerId> {
        if let Some(server) = self.server_keys.get(&Key::of_invite(ack)) {
            return Some(*server);
        }
        // RFC 2543: the To tag of the ACK is the one of our answer (RFC 3261 17.2.3).
        let server = *self.server_keys.get(&Key::of_opening_invite(ack)?)?;
        let ServerMachine::Invite(machine) = &self.servers.get(&server)?.machine else {
            return None;
        };
        let answer = Message::parse(machine.last_response()?.clone()).ok()?;
        (answer.to_tag() == ack.to_tag()).then_some(server)
    }

    fn server_timer(&mut self, now: Time, server: ServerId, timer: Timer) {
        let Some(entry) = self.servers.get_mut(&server) else {
            return;
        };
        let effects = match (&mut entry.machine, timer) {
            (ServerMachine::Invite(machine), Timer::Retransmit) => machine.retransmit(),
            (ServerMachine::Invite(machine), Timer::Phase) => machine.phase_over(),
            (ServerMachine::Other(_), Timer::Retransmit) => Effects::none(),
            (ServerMachine::Other(machine), Timer::Phase) => machine.phase_over(),
        };
        self.apply_server(now, server, effects, None);
    }

    fn apply_server(&mut self, now: Time, server: ServerId, effects: Effects, got: Received) {
        let Some(entry) = self.servers.get(&server) else {
            return;
        };
        if let Some(bytes) = effects.send {
            self.outputs.push_back(Output::Send(entry.reply_to, bytes));
        }
        self.set_timer(
            now,
            TimerKey::Server(server, Timer::Retransmit),
            effects.retransmit,
        );
        self.set_timer(now, TimerKey::Server(server, Timer::Phase), effects.phase);
        match (effects.tell, got) {
            (Some(Tell::Ack), Some((message, from))) => {
                self.outputs
                    .push_back(Output::Event(Event::Ack { message, from }));
            }
            (Some(Tell::NoAck), _) => {
                self.outputs
                    .push_back(Output::Event(Event::NoAck { server }));
            }
            _ => {}
        }
        if effects.end {
            self.remove_server(server);
        }
    }

    fn remove_server(&mut self, server: ServerId) {
        let Some(entry) = self.servers.remove(&server) else {
            return;
        };
        self.server_keys.remove(&entry.key);
        self.server_bytes -= entry.request.bytes().len();
        self.deadlines
            .cancel(TimerKey::Server(server, Timer::Retransmit));
        self.deadlines
            .cancel(TimerKey::Server(server, Timer::Phase));
    }

    fn set_timer(&mut self, now: Time, key: TimerKey, change: Change) {
        match change {
            Change::Keep => {}
            Change::Set(after) => self.deadlines.set(key, now + after),
            Change::Clear => self.deadlines.cancel(key),
        }
    }
}

/// Where responses go: back by the flow, except that a peer on the listening UDP socket which
/// asks for no rport (RFC 3581) hears them at the port of its sent-by (RFC 3261 18.2.2). The IP
/// address is the source's in any case.
fn reply_to(from: TransportKey, request: &Message) -> TransportKey {
    let via = request.top_via();
    if from.protocol.is_reliable() || from.connection != 0 || via.rport.is_some() {
        return from;
    }
    match via.port.unwrap_or(5060) {
        0 => from,
        port => from.to(SocketAddr::new(from.remote.ip(), port)),
    }
}
