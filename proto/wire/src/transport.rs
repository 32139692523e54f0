//! The key of a transport flow: everything that a message came by or leaves by.

use std::net::SocketAddr;

/// A SIP transport protocol (RFC 3261 section 18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Datagrams: the transaction layer repeats what is lost.
    Udp,
    /// A byte stream.
    Tcp,
    /// A byte stream under TLS.
    Tls,
}

impl Protocol {
    /// Whether the transport itself delivers reliably, so that nothing is retransmitted.
    pub fn is_reliable(self) -> bool {
        self != Protocol::Udp
    }

    /// The name in a Via header: `UDP`, `TCP`, `TLS`.
    pub fn via_name(self) -> &'static str {
        match self {
            Protocol::Udp => "UDP",
            Protocol::Tcp => "TCP",
            Protocol::Tls => "TLS",
        }
    }
}

/// What a message came by or leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flow {
    /// The socket at which we listen: it reaches everybody.
    Listening,
    /// A connected UDP socket for probes of one peer, which the program opens when the first leaves
    /// by it: its ICMP errors are known to be about that peer.
    Probe(u32),
    /// A connection of a stream transport.
    Stream(u64),
}

/// Where a message came from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportKey {
    /// The protocol.
    pub protocol: Protocol,
    /// Our own address.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// By which of our sockets.
    pub flow: Flow,
}

impl TransportKey {
    /// The flow from our listening UDP socket at `local` to `remote`.
    pub fn udp(local: SocketAddr, remote: SocketAddr) -> TransportKey {
        TransportKey {
            protocol: Protocol::Udp,
            local,
            remote,
            flow: Flow::Listening,
        }
    }

    /// Whether it is by the socket at which we listen.
    pub fn is_listening(&self) -> bool {
        self.flow == Flow::Listening
    }

    /// The same flow to another peer.
    pub fn to(self, remote: SocketAddr) -> TransportKey {
        TransportKey { remote, ..self }
    }
}
