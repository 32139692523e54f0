//! The client half of the layer.

use super::Layer;
use super::entries::{Client, ClientMachine, Received, Timer, TimerKey};
use crate::header::Name;
use crate::message::Message;
use crate::method::Method;
use crate::time::Time;
use crate::transaction::client_invite::ClientInvite;
use crate::transaction::client_other::ClientOther;
use crate::transaction::effects::{Effects, Tell, Values};
use crate::transaction::key::Key;
use crate::transaction::{ClientId, Event, Output, Timers};
use crate::transport::TransportKey;
use bytes::Bytes;

impl<O: Copy> Layer<O> {
    pub(super) fn start_client(
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

    /// An INVITE that left long ago, and of which nothing is known but that it was not answered.
    pub(super) fn resume_client(
        &mut self,
        to: TransportKey,
        invite: Message,
        owner: O,
    ) -> ClientId {
        let (client, key) = (ClientId(self.id()), Key::client(&invite));
        let timers = self.timers;
        let values = Values::new(timers, timers, to.protocol.is_reliable());
        let machine = ClientMachine::Invite(Box::new(ClientInvite::resume(invite, values)));
        self.client_keys.insert(key.clone(), client);
        let entry = Client {
            owner: Some(owner),
            key,
            to,
            timers,
            machine,
            cancel: None,
        };
        self.clients.insert(client, entry);
        client
    }

    pub(super) fn receive_response(&mut self, now: Time, from: TransportKey, response: Message) {
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

    pub(super) fn client_timer(&mut self, now: Time, client: ClientId, timer: Timer) {
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

    pub(super) fn apply_client(
        &mut self,
        now: Time,
        client: ClientId,
        effects: Effects,
        got: Received,
    ) {
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

    pub(super) fn fail_client(&mut self, client: ClientId) {
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

    pub(super) fn remove_client(&mut self, client: ClientId) -> Option<Client<O>> {
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
