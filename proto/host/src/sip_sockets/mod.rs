//! The SIP sockets of a program: the listening ones, and connected ones that a core asks for by
//! a [`TransportKey`] with a connection number.

mod faults;
mod udp;

use crate::config::ListenAddr;
use crate::metrics::SipMetrics;
use bytes::Bytes;
use holdline_wire::machine::{LocalFault, TransportFault};
use holdline_wire::{Protocol, TransportKey};
use mio::{Interest, Registry, Token};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use udp::Udp;

/// The longest UDP datagram, in bytes.
const MAX_DATAGRAM: usize = 65_535;
/// ICMP errors taken from one socket in a batch.
const ERROR_BATCH: usize = 64;
/// Faults that wait for the core; more are counted and dropped, as a lost ICMP message would be.
const MAX_FAULTS: usize = 4096;
/// Datagrams that wait for room in a send buffer; more are dropped, as the network would.
const MAX_BLOCKED: usize = 1024;

/// How the sockets are opened.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// Receive buffer asked for on a listening socket, in bytes. The kernel's default drops a
    /// burst of a few hundred messages.
    pub listening_buffer: usize,
    /// The same for a connected socket, which hears one peer only.
    pub connected_buffer: usize,
    /// Connected sockets open at a time; what is sent by one more leaves by the listening socket.
    pub max_connected: usize,
}

impl Default for SocketOptions {
    fn default() -> SocketOptions {
        SocketOptions {
            listening_buffer: 8 << 20,
            connected_buffer: 1 << 20,
            max_connected: 4096,
        }
    }
}

/// A listening socket that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}")]
pub struct BindError {
    /// What was asked for.
    pub address: ListenAddr,
    /// The operating system's answer.
    #[source]
    pub error: io::Error,
}

struct Flow {
    udp: Udp,
    /// The core's name of a connected flow; `remote` says nothing for a listening one.
    key: TransportKey,
    /// The poll told of ICMP errors that were not all taken: only then is the queue looked at.
    errors: bool,
}

impl Flow {
    fn new(udp: Udp, key: TransportKey) -> Flow {
        Flow {
            udp,
            key,
            errors: false,
        }
    }

    fn is_listening(&self) -> bool {
        self.key.is_listening()
    }

    fn key_to(&self, remote: SocketAddr) -> TransportKey {
        if self.is_listening() {
            self.key.to(remote)
        } else {
            self.key
        }
    }
}

/// What a socket had for the core.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A datagram.
    Message(TransportKey, Bytes),
    /// What became of a datagram of ours.
    Fault {
        key: TransportKey,
        fault: TransportFault,
        /// Its start, as far as it is known.
        quoted: Bytes,
    },
}

/// The listening sockets and the connected ones, all polled by one thread.
pub struct SipSockets {
    options: SocketOptions,
    flows: Vec<Option<Flow>>,
    free: Vec<usize>,
    listening: Vec<SocketAddr>,
    by_key: HashMap<TransportKey, usize>,
    faults: VecDeque<Arrival>,
    blocked: VecDeque<(TransportKey, Bytes)>,
    buffer: Vec<u8>,
    metrics: Option<SipMetrics>,
    /// Connected sockets cannot be opened just now: told once.
    no_more: bool,
}

impl SipSockets {
    /// Opens a listening socket for each address and says in the log what buffers the kernel gave.
    pub fn bind(addresses: &[ListenAddr], options: SocketOptions) -> Result<SipSockets, BindError> {
        let mut sockets = SipSockets {
            options,
            flows: Vec::new(),
            free: Vec::new(),
            listening: Vec::new(),
            by_key: HashMap::new(),
            faults: VecDeque::new(),
            blocked: VecDeque::new(),
            buffer: vec![0; MAX_DATAGRAM],
            metrics: None,
            no_more: false,
        };
        for &address in addresses {
            let fail = |error| BindError { address, error };
            let udp = Udp::open(address.socket, None, options.listening_buffer).map_err(fail)?;
            let local = udp.socket.local_addr().map_err(fail)?;
            report_buffer(local, udp.receive_buffer, options.listening_buffer);
            sockets.listening.push(local);
            let flow = Flow::new(udp, TransportKey::udp(local, local));
            sockets.flows.push(Some(flow));
        }
        Ok(sockets)
    }

    /// The addresses of the listening sockets, in the order of the configuration; a port 0 is
    /// replaced by the one that the kernel chose.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// The inode numbers of the listening sockets, for `metrics::receive_drops`.
    pub fn inodes(&self) -> Vec<(SocketAddr, u64)> {
        let flows = self.flows.iter().flatten().filter(|f| f.is_listening());
        flows
            .filter_map(|f| Some((f.key.local, f.udp.inode()?)))
            .collect()
    }

    /// The receive buffers that the kernel gave the listening sockets, in bytes.
    pub fn listening_buffers(&self) -> Vec<usize> {
        let flows = self.flows.iter().flatten().filter(|f| f.is_listening());
        flows.map(|f| f.udp.receive_buffer).collect()
    }

    /// How many connected sockets are open.
    pub fn connected(&self) -> usize {
        self.by_key.len()
    }

    /// Adds the listening sockets to the poll of the thread that will own them. The token of the
    /// flow `n` is `n`.
    pub(crate) fn register(&mut self, registry: &Registry, metrics: SipMetrics) -> io::Result<()> {
        for (index, flow) in self.flows.iter_mut().enumerate() {
            if let Some(flow) = flow {
                registry.register(&mut flow.udp.socket, Token(index), Interest::READABLE)?;
            }
        }
        self.metrics = Some(metrics);
        Ok(())
    }

    /// The flow of `token` has ICMP errors: they are taken with its next datagrams.
    pub(crate) fn note_errors(&mut self, token: Token) {
        if let Some(Some(flow)) = self.flows.get_mut(token.0) {
            flow.errors = true;
        }
    }

    /// Takes up to `batch` datagrams from the flow of `token`. True: there may be more.
    pub(crate) fn receive(
        &mut self,
        token: Token,
        batch: usize,
        into: &mut VecDeque<Arrival>,
    ) -> bool {
        let Some(Some(flow)) = self.flows.get_mut(token.0) else {
            return false;
        };
        // Errors first: they clear what would fail the first receive and the next send.
        flow.errors = flow.errors && take_errors(flow, &mut self.faults);
        let mut taken = 0u64;
        for _ in 0..batch {
            match flow.udp.receive(&mut self.buffer) {
                Ok((length, remote)) => {
                    taken += 1;
                    let bytes = Bytes::copy_from_slice(&self.buffer[..length]);
                    into.push_back(Arrival::Message(flow.key_to(remote), bytes));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let more = flow.errors;
                    self.count(|m| m.received.inc_by(taken));
                    return more;
                }
                Err(_) => flow.errors |= take_errors(flow, &mut self.faults),
            }
        }
        self.count(|m| m.received.inc_by(taken));
        true
    }

    /// Sends by the flow `to`, opening its socket if it is a connected one that is not open yet; where
    /// it cannot be opened, by the listening socket (spec: X52). What fails becomes a fault or waits
    /// for [`SipSockets::retry_blocked`].
    pub(crate) fn send(&mut self, registry: &Registry, to: TransportKey, bytes: Bytes) {
        let Some(index) = self.flow_for(registry, to) else {
            self.count(|m| m.send_errors.inc());
            self.fault(to, TransportFault::Local(LocalFault::Other), bytes);
            return;
        };
        let Some(Some(flow)) = self.flows.get(index) else {
            return;
        };
        let remote = flow.is_listening().then_some(to.remote);
        let mut result = flow.udp.send(&bytes, remote);
        if result.as_ref().is_err_and(|e| !udp::is_busy(e)) {
            // An error that an earlier datagram met: it is queued, and this one has not left yet.
            take_errors(flow, &mut self.faults);
            result = flow.udp.send(&bytes, remote);
        }
        match result {
            Ok(_) => self.count(|m| m.sent.inc()),
            Err(error) if udp::is_busy(&error) => self.block(to, bytes),
            Err(error) => {
                self.count(|m| m.send_errors.inc());
                // What a peer says comes by the error queue.
                if let Some(kind) = faults::of_send(&error) {
                    self.fault(to, TransportFault::Local(kind), bytes);
                }
            }
        }
    }

    /// Whether datagrams wait for room in a send buffer.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// Tries once more what found no room.
    pub(crate) fn retry_blocked(&mut self, registry: &Registry) {
        for _ in 0..self.blocked.len() {
            let Some((to, bytes)) = self.blocked.pop_front() else {
                return;
            };
            self.count(|m| m.send_retries.inc());
            self.send(registry, to, bytes);
        }
    }

    /// How many faults wait for the core.
    pub(crate) fn faults(&self) -> usize {
        self.faults.len()
    }

    /// The oldest fault.
    pub(crate) fn next_fault(&mut self) -> Option<Arrival> {
        let arrival = self.faults.pop_front()?;
        self.count(|m| {
            m.faults.inc();
            if let Arrival::Fault {
                fault: TransportFault::Local(kind),
                ..
            } = &arrival
            {
                m.local_fault(*kind);
            }
        });
        Some(arrival)
    }

    /// Closes a connected socket; one that is not open is ignored.
    pub(crate) fn close(&mut self, registry: &Registry, key: TransportKey) {
        let Some(index) = self.by_key.remove(&key) else {
            return;
        };
        if let Some(mut flow) = self.flows.get_mut(index).and_then(Option::take) {
            // Dropping the socket takes it out of the poll, too.
            let _ = registry.deregister(&mut flow.udp.socket);
            self.free.push(index);
        }
        self.blocked.retain(|(to, _)| *to != key);
        self.count(|m| m.connected.set(self.by_key.len() as i64));
    }

    fn flow_for(&mut self, registry: &Registry, to: TransportKey) -> Option<usize> {
        if to.protocol != Protocol::Udp {
            return None;
        }
        let listening = || self.listening.iter().position(|local| *local == to.local);
        if to.is_listening() {
            return listening();
        }
        if let Some(&index) = self.by_key.get(&to) {
            return Some(index);
        }
        let listening = listening();
        let opened = if self.by_key.len() < self.options.max_connected {
            self.connect(registry, to)
        } else {
            Err(io::Error::other("as many as may be are open"))
        };
        if opened.is_ok() {
            self.no_more = false;
            return opened.ok();
        }
        // Its errors cannot be told from others', but what is sent leaves.
        self.count(|m| m.local_fault(LocalFault::NoDescriptor));
        if let Err(error) = opened
            && !self.no_more
        {
            self.no_more = true;
            tracing::warn!(
                local = %to.local.ip(), remote = %to.remote, %error,
                "a socket for this peer cannot be opened: its messages leave by the listening one \
                 until it can. Raise the limit of open files (ulimit -n) if this stays"
            );
        }
        listening
    }

    fn connect(&mut self, registry: &Registry, key: TransportKey) -> io::Result<usize> {
        // Any port: the listening socket has the one that the key names.
        let local = SocketAddr::new(key.local.ip(), 0);
        let mut udp = Udp::open(local, Some(key.remote), self.options.connected_buffer)?;
        let index = self.free.last().copied().unwrap_or(self.flows.len());
        registry.register(&mut udp.socket, Token(index), Interest::READABLE)?;
        let flow = Some(Flow::new(udp, key));
        if self.free.pop().is_some() {
            self.flows[index] = flow;
        } else {
            self.flows.push(flow);
        }
        self.by_key.insert(key, index);
        self.count(|m| m.connected.set(self.by_key.len() as i64));
        Ok(index)
    }

    fn block(&mut self, to: TransportKey, bytes: Bytes) {
        if self.blocked.len() < MAX_BLOCKED {
            self.blocked.push_back((to, bytes));
        } else {
            self.count(|m| m.send_dropped.inc());
        }
    }

    fn fault(&mut self, key: TransportKey, fault: TransportFault, mut quoted: Bytes) {
        if self.faults.len() < MAX_FAULTS {
            quoted.truncate(faults::QUOTED_MAX);
            self.faults.push_back(Arrival::Fault { key, fault, quoted });
        }
    }

    fn count(&self, count: impl FnOnce(&SipMetrics)) {
        if let Some(metrics) = &self.metrics {
            count(metrics);
        }
    }
}

/// Moves a batch of the flow's error queue to `faults`. True: there may be more.
fn take_errors(flow: &Flow, faults: &mut VecDeque<Arrival>) -> bool {
    for _ in 0..ERROR_BATCH {
        let Some(error) = flow.udp.next_error() else {
            return false;
        };
        if faults.len() < MAX_FAULTS {
            faults.push_back(Arrival::Fault {
                key: flow.key_to(error.remote),
                fault: error.fault,
                quoted: error.quoted,
            });
        }
    }
    true
}

fn report_buffer(local: SocketAddr, given: usize, wanted: usize) {
    if given < wanted {
        tracing::warn!(
            %local, given, wanted,
            "the kernel gave a smaller receive buffer: raise net.core.rmem_max or grant CAP_NET_ADMIN"
        );
    } else {
        tracing::info!(%local, given, "listening");
    }
}
