//! User agents that call each other in virtual time, over a network with a delay of 5 ms.

mod calls;
mod replaces;

use super::{In, Out, Placement, Profile, Ua, ports};
use bytes::Bytes;
use holdline_wire::machine::{Input, Machine, Output};
use holdline_wire::method::Method;
use holdline_wire::token::Tokens;
use holdline_wire::{Message, Time, TransportKey};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(5);

/// User agents by their place in the list, and what is under way between them.
struct Net {
    now: Time,
    agents: Vec<Ua>,
    events: Vec<Vec<Out>>,
    flying: BTreeMap<(Time, u64), (SocketAddr, TransportKey, Bytes)>,
    sent: u64,
    /// Every message sent, with its sender's address.
    log: Vec<(SocketAddr, Message)>,
    /// Nothing reaches or leaves this address.
    cut: Option<SocketAddr>,
}

fn address(n: usize) -> SocketAddr {
    format!("192.0.2.{}:5060", n + 1).parse().unwrap()
}

impl Net {
    fn new(profiles: Vec<Profile>) -> Net {
        let agents: Vec<Ua> = (0u8..)
            .zip(profiles)
            .map(|(n, profile)| {
                let ip = profile.address.ip();
                let mut ua = Ua::new(profile, Tokens::new([n; 32]));
                ua.handle(Time::ZERO, Input::Other(In::Ports(ports(ip, 40_000, 50))));
                ua
            })
            .collect();
        Net {
            now: Time::ZERO,
            events: vec![Vec::new(); agents.len()],
            agents,
            flying: BTreeMap::new(),
            sent: 0,
            log: Vec::new(),
            cut: None,
        }
    }

    /// `count` user agents that answer at once.
    fn of(count: usize) -> Net {
        Net::new((0..count).map(|n| Profile::new(address(n))).collect())
    }

    fn tell(&mut self, agent: usize, command: In) {
        let now = self.now;
        self.agents[agent].handle(now, Input::Other(command));
        self.drain(agent);
    }

    /// Agent `from` calls agent `to` with this number.
    fn call(&mut self, from: usize, to: usize, call: u32) {
        self.tell(
            from,
            In::Call(Placement::new(call, "caller.example", address(to))),
        );
    }

    fn drain(&mut self, agent: usize) {
        let own = address(agent);
        while let Some(output) = self.agents[agent].poll_output() {
            match output {
                Output::Send { to, bytes } => {
                    let message = Message::parse(bytes.clone()).expect("a valid message");
                    self.log.push((own, message));
                    if self.cut == Some(to.remote) || self.cut == Some(own) {
                        continue;
                    }
                    self.sent += 1;
                    let key = TransportKey::udp(to.remote, own);
                    self.flying
                        .insert((self.now + DELAY, self.sent), (to.remote, key, bytes));
                }
                Output::Close(_) => {}
                Output::Other(event) => self.events[agent].push(event),
            }
        }
    }

    fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let timer = self.agents.iter().filter_map(Ua::poll_deadline).min();
            let Some(at) = arrival
                .into_iter()
                .chain(timer)
                .min()
                .filter(|at| *at <= until)
            else {
                break;
            };
            self.now = self.now.max(at);
            if arrival == Some(at) {
                self.deliver();
                continue;
            }
            for agent in 0..self.agents.len() {
                self.agents[agent].handle(self.now, Input::Deadline);
                self.drain(agent);
            }
        }
        self.now = until;
    }

    fn deliver(&mut self) {
        let (_, (to, from, bytes)) = self.flying.pop_first().unwrap();
        let Some(agent) = (0..self.agents.len()).find(|n| address(*n) == to) else {
            return;
        };
        let now = self.now;
        self.agents[agent].handle(now, Input::Message { from, bytes });
        self.drain(agent);
    }

    fn seconds(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    fn requests(&self, agent: usize, method: &Method) -> usize {
        let by = |(from, message): &&(SocketAddr, Message)| {
            *from == address(agent) && message.is_request() && message.method() == method
        };
        self.log.iter().filter(by).count()
    }

    /// The statuses that `agent` answered INVITEs with, in order.
    fn answers(&self, agent: usize) -> Vec<u16> {
        let by = |(from, message): &&(SocketAddr, Message)| {
            *from == address(agent) && !message.is_request() && *message.method() == Method::Invite
        };
        self.log
            .iter()
            .filter(by)
            .map(|(_, message)| message.status())
            .collect()
    }

    fn live(&self, call: u32) -> Vec<usize> {
        self.agents.iter().map(|ua| ua.live_dialogs(call)).collect()
    }

    fn clear(&mut self) {
        self.log.clear();
        self.events.iter_mut().for_each(Vec::clear);
    }
}
