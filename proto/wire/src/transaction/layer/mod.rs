//! The tables of all transactions, their timers, and the carrying out of effects.

mod client;
mod entries;
mod server;

use self::entries::{Client, ClientMachine, Server, ServerMachine, TimerKey};
use super::client_invite::ClientInvite;
use super::effects::Change;
use super::key::Key;
use super::{ClientId, Limits, Output, ServerId, Timers};
use crate::deadline::Deadlines;
use crate::message::Message;
use crate::method::Method;
use crate::time::Time;
use crate::transport::TransportKey;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// All transactions of one core.
#[derive(Debug)]
pub struct Layer<O> {
    timers: Timers,
    limits: Limits,
    next_id: u64,
    clients: BTreeMap<ClientId, Client<O>>,
    client_keys: HashMap<Key, ClientId>,
    /// Client transactions without any response, by whom they wait for.
    unheard: BTreeSet<(TransportKey, ClientId)>,
    servers: BTreeMap<ServerId, Server>,
    server_keys: HashMap<Key, ServerId>,
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
            client_keys: HashMap::new(),
            unheard: BTreeSet::new(),
            servers: BTreeMap::new(),
            server_keys: HashMap::new(),
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

    /// Nobody waits for the answer to this INVITE any more: where only a provisional response
    /// came so far, it ends with `Timeout` 64*T1 from now. Its peer may have answered and, since
    /// the dialog is over, not repeat the answer that was lost.
    pub fn let_expire(&mut self, now: Time, client: ClientId) {
        let Some(entry) = self.clients.get_mut(&client) else {
            return;
        };
        if let ClientMachine::Invite(machine) = &mut entry.machine {
            let effects = machine.let_expire();
            self.apply_client(now, client, effects, None);
        }
    }

    /// The peer of this INVITE, which has not answered at all, is heard again: where it was
    /// repeated more than once already, it is repeated now and in quick succession again
    /// (spec: X24). When the transaction ends is not changed.
    pub fn hasten(&mut self, now: Time, client: ClientId) {
        let Some(entry) = self.clients.get_mut(&client) else {
            return;
        };
        if let ClientMachine::Invite(machine) = &mut entry.machine {
            let effects = machine.hasten();
            self.apply_client(now, client, effects, None);
        }
    }

    /// Forgets a client transaction, and the CANCEL for it, without a word: its node is dead.
    pub fn abandon(&mut self, client: ClientId) {
        let cancel = self.remove_client(client).and_then(|entry| entry.cancel);
        cancel.map(|cancel| self.remove_client(cancel));
    }

    /// Cancels an INVITE whose transaction was abandoned, since its peer lives after all: nothing
    /// but the CANCEL is sent again (RFC 3261 9.1), and a final response that comes within 64*T1
    /// is acknowledged or told as ever. Bytes that are no INVITE do nothing.
    pub fn recall(
        &mut self,
        now: Time,
        to: TransportKey,
        invite: Message,
        owner: O,
        extra: &[(&str, &str)],
    ) {
        if !invite.is_request() || *invite.method() != Method::Invite {
            return;
        }
        let client = self.resume_client(to, invite, owner);
        self.cancel(now, client, extra);
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

    /// Whether `cancel` names an INVITE that is here. Where its request event names none, that
    /// INVITE is answered: the CANCEL comes too late, does nothing and gets 200 all the same
    /// (RFC 3261 9.2).
    pub fn knows_invite_of(&self, cancel: &Message) -> bool {
        self.server_keys.contains_key(&Key::of_invite(cancel))
    }

    /// The request of a server transaction that is still there.
    pub fn request_of(&self, server: ServerId) -> Option<(&Message, TransportKey)> {
        self.servers
            .get(&server)
            .map(|entry| (&entry.request, entry.from))
    }

    /// Sends the ACK for a 2xx: outside any transaction (RFC 3261 13.2.2.4).
    pub fn send_ack(&mut self, to: TransportKey, bytes: Bytes) {
        self.outputs.push_back(Output::Send(to, bytes));
    }

    /// Sends the ACK for the 2xx with the To tag `tag` to the INVITE of `client`, and keeps it for
    /// as long as that 2xx may come again: 64*T1, as long as the transaction (RFC 3261 13.3.1.4).
    pub fn acknowledge(&mut self, client: ClientId, tag: &str, to: TransportKey, bytes: Bytes) {
        if let Some(machine) = self.accepted(client) {
            machine.acknowledged(tag, to, &bytes);
        }
        self.send_ack(to, bytes);
    }

    /// The 2xx with the To tag `tag` came again: so does its ACK. False where none was sent yet.
    pub fn acknowledge_again(&mut self, client: ClientId, tag: &str) -> bool {
        let machine = self.accepted(client);
        let sent = machine.and_then(|machine| machine.sent_ack(tag));
        let known = sent.is_some();
        if let Some((to, bytes)) = sent {
            self.send_ack(to, bytes);
        }
        known
    }

    fn accepted(&mut self, client: ClientId) -> Option<&mut ClientInvite> {
        match &mut self.clients.get_mut(&client)?.machine {
            ClientMachine::Invite(machine) => Some(machine),
            ClientMachine::Other(_) => None,
        }
    }

    /// The INVITE of a client transaction that is still there.
    pub fn request_by(&self, client: ClientId) -> Option<&Message> {
        match &self.clients.get(&client)?.machine {
            ClientMachine::Invite(machine) => Some(machine.invite()),
            ClientMachine::Other(_) => None,
        }
    }

    /// A datagram to this peer was refused that began like this, as far as it is told: client
    /// transactions towards it whose request does so, and that still wait for a first response, end
    /// with `Timeout { transport: true }`.
    pub fn transport_failed(&mut self, key: TransportKey, start: &[u8]) {
        let span = (key, ClientId(0))..=(key, ClientId(u64::MAX));
        let unheard = self.unheard.range(span).map(|(_, id)| *id);
        let failed: Vec<ClientId> = unheard.filter(|id| self.begins(*id, start)).collect();
        for client in failed {
            self.fail_client(client);
        }
    }

    /// Nothing can be sent to this peer for now, for a reason that is not the peer's (spec: X52):
    /// INVITEs that set a call up and wait for a first response end like those of a transport that
    /// failed, since another way may be open. What belongs to a call is repeated in its time.
    pub fn unsendable(&mut self, key: TransportKey) {
        let span = (key, ClientId(0))..=(key, ClientId(u64::MAX));
        let waiting = self.unheard.range(span).map(|(_, id)| *id);
        let sets_up = |id: &ClientId| {
            let invite = self.request_by(*id);
            invite.is_some_and(|invite| invite.to_tag().is_none())
        };
        let failed: Vec<ClientId> = waiting.filter(sets_up).collect();
        for client in failed {
            self.fail_client(client);
        }
    }

    /// Whether a request to this peer that waits for a first response begins like this, as an ICMP
    /// error quotes what it is about.
    pub fn awaits(&self, key: TransportKey, start: &[u8]) -> bool {
        let span = (key, ClientId(0))..=(key, ClientId(u64::MAX));
        let mut waiting = self.unheard.range(span);
        waiting.any(|(_, id)| self.begins(*id, start))
    }

    fn begins(&self, client: ClientId, start: &[u8]) -> bool {
        let client = self.clients.get(&client);
        client.is_some_and(|client| client.machine.request().starts_with(start))
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

    fn set_timer(&mut self, now: Time, key: TimerKey, change: Change) {
        match change {
            Change::Keep => {}
            Change::Set(after) => self.deadlines.set(key, now + after),
            Change::Linger(after) => self.deadlines.set_late(key, now + after),
            Change::Clear => self.deadlines.cancel(key),
        }
    }
}

#[cfg(test)]
impl<O> Layer<O> {
    /// No index remembers anything of a transaction that is over.
    pub(in crate::transaction) fn assert_no_trace(&self) {
        assert!(self.client_keys.is_empty() && self.server_keys.is_empty());
        assert!(self.unheard.is_empty() && self.deadlines.is_empty());
        assert_eq!(self.server_bytes, 0);
    }
}
