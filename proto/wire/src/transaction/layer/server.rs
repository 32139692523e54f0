//! The server half of the layer.

use super::Layer;
use super::entries::{Received, Server, ServerMachine, Timer, TimerKey};
use crate::message::Message;
use crate::method::Method;
use crate::route::response_destination;
use crate::time::Time;
use crate::transaction::effects::{Effects, Tell, Values};
use crate::transaction::key::Key;
use crate::transaction::server_invite::ServerInvite;
use crate::transaction::server_other::ServerOther;
use crate::transaction::{Event, Output, ServerId};
use crate::transport::TransportKey;

impl<O: Copy> Layer<O> {
    pub(super) fn receive_request(&mut self, now: Time, from: TransportKey, request: Message) {
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
        let limits = match request.to_tag() {
            Some(_) => self.limits,
            None => self.limits.outside_dialogs(),
        };
        if self.servers.len() >= limits.servers || bytes > limits.bytes {
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
        let reply_to = response_destination(&request, from);
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

    pub(super) fn receive_ack(&mut self, now: Time, from: TransportKey, ack: Message) {
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

    pub(super) fn server_timer(&mut self, now: Time, server: ServerId, timer: Timer) {
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

    pub(super) fn apply_server(
        &mut self,
        now: Time,
        server: ServerId,
        effects: Effects,
        got: Received,
    ) {
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
                if let Some(entry) = self.servers.get(&server) {
                    let invite = entry.request.clone();
                    self.outputs
                        .push_back(Output::Event(Event::NoAck { server, invite }));
                }
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
}
