//! A program on its machine: its core, what waits in its socket, and how busy it is.

use crate::ua::{self, Ua};
use b2bua_node::core::NodeCore;
use bytes::Bytes;
use holdline_agent::core::AgentCore;
use holdline_wire::machine::{Input, Machine, TransportFault};
use holdline_wire::{Flow, Time, TransportKey};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A host by its place in the world's list.
pub type HostId = usize;

/// The agent's place in the list of hosts.
pub const AGENT: HostId = 0;
/// The calling server's.
pub const CALLER: HostId = 1;
/// The downstream UA's.
pub const CALLEE: HostId = 2;
/// The first node's.
pub const NODES: HostId = 3;
/// The store, which is none.
pub const STORE: HostId = usize::MAX;

/// The local ports of connected sockets begin here: connection `n` has this and `n`.
const CONNECTED: u16 = 50_000;

/// The program on a host.
pub enum Core {
    /// The agent.
    Agent(Box<AgentCore>),
    /// A node.
    Node(Box<NodeCore>),
    /// The calling server or the downstream UA.
    Ua(Box<Ua>),
}

/// What a program takes in.
#[derive(Debug)]
pub enum Item {
    /// A datagram.
    Message(TransportKey, Bytes),
    /// What became of a datagram of its own, and that datagram's start.
    Fault(TransportKey, TransportFault, Bytes),
    /// For the agent.
    Agent(holdline_agent::core::In),
    /// For a node.
    Node(b2bua_node::core::In),
    /// For a user agent.
    Ua(ua::In),
    /// Its deadline.
    Deadline,
}

/// A host.
pub struct Host {
    /// For transcripts.
    pub name: String,
    /// Its program; nothing while it is dead.
    pub core: Option<Core>,
    /// Its SIP address.
    pub sip: SocketAddr,
    /// Its media ports, inclusive.
    pub media: (u16, u16),
    /// What waits for it.
    inbox: VecDeque<Item>,
    /// Datagrams in the inbox, in bytes.
    waiting_bytes: usize,
    /// The receive buffer, in bytes.
    pub buffer: usize,
    /// How long it takes for one input.
    pub service: Duration,
    /// Until when it is busy.
    pub busy: Time,
    /// When its store has done what it was asked last.
    pub store_busy: Time,
    /// When it is to be served next.
    pub wake: Option<Time>,
    /// Whether it is stopped.
    pub paused: bool,
    /// How often it was started: what was meant for an earlier run is dropped.
    pub run: u32,
    /// Deadlines served in a row without time passing.
    pub spinning: (Time, u32),
}

impl Host {
    /// A host that runs `core`.
    pub fn new(name: &str, core: Core, sip: SocketAddr, media: (u16, u16)) -> Host {
        Host {
            name: name.to_owned(),
            core: Some(core),
            sip,
            media,
            inbox: VecDeque::new(),
            waiting_bytes: 0,
            buffer: 1 << 20,
            service: Duration::ZERO,
            busy: Time::ZERO,
            store_busy: Time::ZERO,
            wake: None,
            paused: false,
            run: 0,
            spinning: (Time::ZERO, 0),
        }
    }

    /// The address that its socket for `flow` sends from.
    pub fn source(&self, flow: Flow) -> SocketAddr {
        let number = match flow {
            Flow::Probe(number) => u16::try_from(number).ok(),
            Flow::Listening | Flow::Stream(_) => None,
        };
        let port = number.map(|n| CONNECTED.saturating_add(n).saturating_add(1));
        SocketAddr::new(self.sip.ip(), port.unwrap_or(self.sip.port()))
    }

    /// The flow of a datagram from `from` that came to `to`.
    pub fn flow(&self, from: SocketAddr, to: SocketAddr) -> TransportKey {
        let flow = if to == self.sip {
            Flow::Listening
        } else {
            Flow::Probe(u32::from(to.port().saturating_sub(CONNECTED + 1)))
        };
        TransportKey {
            flow,
            ..TransportKey::udp(self.sip, from)
        }
    }

    /// Whether `ip` and `port` are among its media ports.
    pub fn owns_media(&self, ip: IpAddr, port: u16) -> bool {
        self.sip.ip() == ip && (self.media.0..=self.media.1).contains(&port)
    }

    /// Whether a packet can reach a running program.
    pub fn is_running(&self) -> bool {
        self.core.is_some() && !self.paused
    }

    /// Puts `item` in the line; false where the receive buffer is full.
    pub fn push(&mut self, item: Item) -> bool {
        if let Item::Message(_, bytes) = &item {
            if self.waiting_bytes + bytes.len() > self.buffer {
                return false;
            }
            self.waiting_bytes += bytes.len();
        }
        self.inbox.push_back(item);
        true
    }

    /// The next thing that the program takes in at `now`: its deadline first, if it is due.
    pub fn next_item(&mut self, now: Time) -> Option<Item> {
        if self.deadline().is_some_and(|at| at <= now) {
            return Some(Item::Deadline);
        }
        let item = self.inbox.pop_front();
        if let Some(Item::Message(_, bytes)) = &item {
            self.waiting_bytes -= bytes.len();
        }
        item
    }

    /// When it has to be served again.
    pub fn due(&self) -> Option<Time> {
        if !self.is_running() {
            return None;
        }
        let at = if self.inbox.is_empty() {
            self.deadline()?
        } else {
            Time::ZERO
        };
        Some(at.max(self.busy))
    }

    /// The core's deadline.
    pub fn deadline(&self) -> Option<Time> {
        match self.core.as_ref()? {
            Core::Agent(core) => core.poll_deadline(),
            Core::Node(core) => core.poll_deadline(),
            Core::Ua(core) => core.poll_deadline(),
        }
    }

    /// The process is gone, with all that waited for it.
    pub fn kill(&mut self) -> Option<Core> {
        self.inbox.clear();
        self.waiting_bytes = 0;
        self.run += 1;
        self.paused = false;
        self.wake = None;
        self.core.take()
    }

    /// Hands `item` to the program.
    pub fn handle(&mut self, now: Time, item: Item) {
        match &mut self.core {
            Some(Core::Agent(core)) => {
                if let Some(input) = plain(item, |item| match item {
                    Item::Agent(input) => Some(input),
                    _ => None,
                }) {
                    core.handle(now, input);
                }
            }
            Some(Core::Node(core)) => {
                if let Some(input) = plain(item, |item| match item {
                    Item::Node(input) => Some(input),
                    _ => None,
                }) {
                    core.handle(now, input);
                }
            }
            Some(Core::Ua(core)) => {
                if let Some(input) = plain(item, |item| match item {
                    Item::Ua(input) => Some(input),
                    _ => None,
                }) {
                    core.handle(now, input);
                }
            }
            None => {}
        }
    }
}

fn plain<X>(item: Item, other: impl FnOnce(Item) -> Option<X>) -> Option<Input<X>> {
    Some(match item {
        Item::Message(from, bytes) => Input::Message { from, bytes },
        Item::Fault(key, fault, quoted) => Input::Fault { key, fault, quoted },
        Item::Deadline => Input::Deadline,
        item => Input::Other(other(item)?),
    })
}
