//! Programs at work: what waits for each is handed to it, and what it wants is done.

use super::World;
use crate::sim::host::{CALLEE, Core, HostId, Item};
use crate::sim::transcript::call_in;
use crate::sim::world::Event;
use holdline_wire::machine::{Machine, Output};

/// A program that serves its deadline this often without time passing hangs.
const SPIN: u32 = 100_000;

impl World {
    pub(super) fn give(&mut self, host: HostId, item: Item) {
        if self.hosts[host].core.is_none() {
            return;
        }
        if !self.hosts[host].push(item) {
            let head = format!(
                "{}: receive buffer full, datagram dropped",
                self.hosts[host].name
            );
            self.note(None, &head);
        }
        self.wake(host);
    }

    pub(super) fn wake(&mut self, host: HostId) {
        let Some(at) = self.hosts[host].due() else {
            return;
        };
        let at = at.max(self.now);
        if self.hosts[host].wake.is_none_or(|wake| wake > at) {
            self.hosts[host].wake = Some(at);
            self.at(at, Event::Serve(host));
        }
    }

    pub(super) fn serve(&mut self, host: HostId) {
        let now = self.now;
        let served = &mut self.hosts[host];
        if served.wake != Some(now) {
            return;
        }
        served.wake = None;
        if !served.is_running() {
            return;
        }
        if let Some(item) = served.next_item(now) {
            if served.spinning.0 == now {
                served.spinning.1 += 1;
                assert!(served.spinning.1 < SPIN, "{} hangs at {now:?}", served.name);
            } else {
                served.spinning = (now, 0);
            }
            self.about = match &item {
                Item::Message(_, bytes) => call_in(bytes),
                _ => None,
            };
            if host == CALLEE {
                self.behave();
            }
            let served = &mut self.hosts[host];
            served.handle(now, item);
            served.busy = now + served.service;
            self.drain(host);
        }
        self.wake(host);
    }

    pub(super) fn drain(&mut self, host: HostId) {
        loop {
            match &mut self.hosts[host].core {
                Some(Core::Agent(core)) => match core.poll_output() {
                    Some(Output::Send { to, bytes }) => self.send(host, to, bytes),
                    Some(Output::Close(_)) => {}
                    Some(Output::Other(holdline_agent::core::Out::Relay(command))) => {
                        self.relay(host, command);
                    }
                    Some(Output::Other(holdline_agent::core::Out::Event(event))) => {
                        let head = format!("agent: {event:?}");
                        self.note(self.about, &head);
                        self.heard_agent(&event);
                    }
                    None => return,
                },
                Some(Core::Node(core)) => match core.poll_output() {
                    Some(Output::Send { to, bytes }) => self.send(host, to, bytes),
                    Some(Output::Close(_)) => {}
                    Some(Output::Other(b2bua_node::core::Out::Relay(command))) => {
                        self.relay(host, command);
                    }
                    Some(Output::Other(b2bua_node::core::Out::Store(request))) => {
                        self.ask_store(host, request);
                    }
                    Some(Output::Other(b2bua_node::core::Out::Event(event))) => {
                        let head = format!("{}: {event:?}", self.hosts[host].name);
                        self.note(self.about, &head);
                        self.heard_node(host, &event);
                    }
                    None => return,
                },
                Some(Core::Ua(core)) => match core.poll_output() {
                    Some(Output::Send { to, bytes }) => self.send(host, to, bytes),
                    Some(Output::Close(_)) => {}
                    Some(Output::Other(out)) => self.heard_ua(host, out),
                    None => return,
                },
                None => return,
            }
        }
    }
}
