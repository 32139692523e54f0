//! Datagrams and store operations on their way.

use super::{Event, World, kind_of};
use crate::sim::host::{AGENT, CALLEE, CALLER, Host, HostId, Item, NODES, STORE};
use crate::sim::transcript::{brief, call_in};
use crate::sim::world::EPOCH;
use crate::ua::CallNumber;
use b2bua_node::store::{Answer, Store, StoreReply, StoreRequest};
use bytes::Bytes;
use holdline_wire::machine::TransportFault;
use holdline_wire::{Time, TransportKey};
use std::net::SocketAddr;
use std::time::Duration;

impl World {
    pub(super) fn send(&mut self, host: HostId, to: TransportKey, bytes: Bytes) {
        let kind = kind_of(&self.hosts[host].core);
        let bytes = match &mut self.mutation {
            Some(mutation) => match mutation.send(kind, &bytes) {
                Some(bytes) => bytes,
                None => return,
            },
            None => bytes,
        };
        let call = call_in(&bytes);
        let from = self.hosts[host].source(to.flow);
        let target = self.host_at(to.remote).unwrap_or(host);
        let loss = self.links.loss(host, target);
        let arrivals = self.network.arrivals(self.now, host, target, loss);
        let lost = arrivals.is_empty() || !self.links.open(host, target);
        let head = format!(
            "{} -> {}{}",
            self.hosts[host].name,
            self.name_of(to.remote),
            if lost { " (lost)" } else { "" }
        );
        self.transcript.note(self.now, call, &head, &bytes, brief);
        self.look_at(host, call, &bytes);
        if self.plan.disaster().is_none() {
            self.judge_sent(host, target, call, &bytes);
        }
        if let Some(call) = call
            && host >= NODES
            && target == CALLEE
        {
            self.note_bye_sent(host, call, &bytes);
        }
        if let Some(Some(kind)) = self.links.unsent(host, target) {
            let (run, key, quoted) = (self.hosts[host].run, to, start_of(&bytes));
            let fault = TransportFault::Local(kind);
            let event = Event::Fault {
                host,
                run,
                key,
                fault,
                quoted,
            };
            self.at(self.now, event);
        }
        if !self.links.leaves(host, target) {
            return;
        }
        for at in arrivals {
            let (to, bytes) = (to.remote, bytes.clone());
            self.at(
                at,
                Event::Arrive {
                    to,
                    from,
                    bytes,
                    call,
                },
            );
        }
    }

    /// Notes failover INVITEs, and learns Call-IDs.
    pub(super) fn look_at(&mut self, host: HostId, call: Option<CallNumber>, bytes: &[u8]) {
        let (Some(call), true) = (call, bytes.starts_with(b"INVITE ")) else {
            return;
        };
        let text = String::from_utf8_lossy(bytes);
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        if host == AGENT && line("Replaces: ").is_some() {
            self.watch.call(call).replaces_sent += 1;
        }
        if host == CALLER
            && let Some(id) = line("Call-ID: ")
        {
            self.watch.learn_call_id(call, id);
        }
    }

    pub(super) fn host_at(&self, address: SocketAddr) -> Option<HostId> {
        let connected = |host: &Host| address.port() >= 50_000 && host.sip.ip() == address.ip();
        let exact = self.hosts.iter().position(|host| host.sip == address);
        exact.or_else(|| self.hosts.iter().position(connected))
    }

    pub(super) fn name_of(&self, address: SocketAddr) -> &str {
        self.host_at(address)
            .map_or("?", |host| &self.hosts[host].name)
    }

    pub(super) fn arrive(
        &mut self,
        to: SocketAddr,
        from: SocketAddr,
        bytes: Bytes,
        call: Option<CallNumber>,
    ) {
        let Some(target) = self.host_at(to) else {
            return self
                .watch
                .fail(self.now, call, format!("message to nowhere: {to}"));
        };
        let sender = self.host_at(from);
        if !sender.is_none_or(|sender| self.links.enters(sender, target)) {
            return;
        }
        if target == CALLEE {
            self.note_bye_heard(&bytes);
        }
        let host = &self.hosts[target];
        if host.core.is_some() {
            let key = host.flow(from, to);
            if let Some(sender) = sender {
                self.note_spoken(sender, target, &bytes);
            }
            return self.give(target, Item::Message(key, bytes));
        }
        let Some(sender) = sender else {
            return;
        };
        if matches!(sender, CALLER | CALLEE) || !self.plan.network.icmp {
            // Most phones and carriers never hear of a refusal: their sockets are not connected.
            return;
        }
        let key = self.hosts[sender].flow(to, from);
        let (run, at) = (self.hosts[sender].run, self.now + self.network.delay());
        if self.links.open(target, sender) && self.refusals.allows(self.now, target) {
            self.at(
                at,
                Event::Fault {
                    host: sender,
                    run,
                    key,
                    fault: TransportFault::Refused,
                    quoted: start_of(&bytes),
                },
            );
        }
    }

    pub(super) fn ask_store(&mut self, host: HostId, request: StoreRequest) {
        let request = match &mut self.mutation {
            Some(mutation) => match mutation.store(request) {
                Some(request) => request,
                None => return,
            },
            None => request,
        };
        let head = format!("{} asks store", self.hosts[host].name);
        let shown = format!("{request:?}");
        let call = call_in(shown.as_bytes()).or(self.about);
        self.transcript
            .note(self.now, call, &head, shown.as_bytes(), |b| {
                String::from_utf8_lossy(b).into()
            });
        if !self.links.open(host, STORE) {
            return;
        }
        let delay = self.draw.between(Duration::ZERO, self.plan.store_delay);
        let run = self.hosts[host].run;
        // One connection: what is asked first is done first.
        let at = self.hosts[host].store_busy.max(self.now + delay);
        self.hosts[host].store_busy = at;
        self.at(at, Event::StoreDo { host, run, request });
    }

    pub(super) fn store_do(&mut self, host: HostId, run: u32, request: StoreRequest) {
        let replies = if self.links.store_down {
            vec![StoreReply {
                id: request.id,
                answer: Answer::Down,
            }]
        } else {
            let op = request.op.clone();
            let now = EPOCH + self.now.since(Time::ZERO);
            let replies = self.store.perform(now, &[request]);
            if replies.iter().any(|reply| reply.answer == Answer::Done) {
                self.note_written(&op);
            }
            replies
        };
        for reply in replies {
            let shown = format!("{reply:?}");
            let head = format!("store answers {}", self.hosts[host].name);
            let call = call_in(shown.as_bytes());
            self.transcript
                .note(self.now, call, &head, shown.as_bytes(), |b| {
                    String::from_utf8_lossy(b).into()
                });
            if self.links.open(STORE, host) {
                let at = self.now + self.draw.ms(0, 2);
                self.at(at, Event::StoreReply { host, run, reply });
            }
        }
    }
}

/// What an error quotes of a datagram.
fn start_of(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len().min(512))
}
