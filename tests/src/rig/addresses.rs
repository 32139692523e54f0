//! The programs of a rig by name, and their loopback addresses: every one has one of its own, as on a
//! real network.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

/// How many nodes a rig has.
pub const NODES: usize = 3;
/// The agent's name in a rig.
pub const AGENT: &str = "agent";
/// The name of the downstream user agent's host.
pub const CALLEE: &str = "callee";
/// Where every program has its SIP.
pub const SIP_PORT: u16 = 5060;
/// Where the agent's pages are.
pub const HTTP_PORT: u16 = 9060;
/// Where the nodes' pages are.
const NODE_HTTP_PORT: u16 = 8080;
const CALLER_PORT: u16 = 5070;
const CALLEE_PORT: u16 = 5091;
/// Last octets: the agent's, the first node's, the caller's, the callee's, the stranger's.
const AGENT_HOST: u8 = 1;
const FIRST_NODE_HOST: u8 = 11;
const CALLER_HOST: u8 = 21;
const CALLEE_HOST: u8 = 31;
const STRANGER_HOST: u8 = 201;
/// How many blocks are tried before giving up.
const TRIES: u32 = 64;

/// 256 addresses, as a rule loopback ones, of which the lower half may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    net: [u8; 3],
}

impl Block {
    /// The addresses that the documentation names: the agent at 127.0.0.1, nodes from 127.0.0.11.
    pub const DEMO: Block = Block { net: [127, 0, 0] };

    /// The addresses of hosts on a network of their own, which no other rig sees.
    pub const LAN: Block = Block { net: [10, 77, 0] };

    /// A block that no other rig has: by this process's number and a count.
    pub fn unique() -> io::Result<Block> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        for _ in 0..TRIES {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let number = std::process::id().wrapping_mul(8).wrapping_add(count);
            let [.., high, low] = number.to_be_bytes();
            let block = Block {
                net: [127, 64 + high % 64, low],
            };
            if block.is_free() {
                return Ok(block);
            }
        }
        Err(io::Error::other("no block of loopback addresses is free"))
    }

    /// Whether nobody listens where the rig's programs will.
    pub fn is_free(&self) -> bool {
        let nodes = 0..NODES;
        let mut sip: Vec<_> = nodes.clone().map(|n| self.node_sip(n)).collect();
        sip.extend([self.agent_sip(), self.caller(), self.callee()]);
        let mut http: Vec<_> = nodes.map(|n| self.node_http(n)).collect();
        http.push(self.agent_http());
        are_free(&sip, &http)
    }

    /// The hosts of a rig by program, with their addresses; the caller is on the agent's.
    pub fn hosts(&self) -> Vec<(String, Vec<IpAddr>)> {
        let node = |n| (node_name(n), vec![self.node(n)]);
        let mut hosts: Vec<_> = (0..NODES).map(node).collect();
        hosts.push((
            AGENT.to_owned(),
            vec![self.at(AGENT_HOST), self.at(CALLER_HOST)],
        ));
        hosts.push((CALLEE.to_owned(), vec![self.at(CALLEE_HOST)]));
        hosts
    }

    fn at(&self, last: u8) -> IpAddr {
        let [a, b, c] = self.net;
        IpAddr::from([a, b, c, last])
    }

    /// The agent's SIP address.
    pub fn agent_sip(&self) -> SocketAddr {
        (self.at(AGENT_HOST), SIP_PORT).into()
    }

    /// The agent's pages.
    pub fn agent_http(&self) -> SocketAddr {
        (self.at(AGENT_HOST), HTTP_PORT).into()
    }

    fn node(&self, n: usize) -> IpAddr {
        self.at(FIRST_NODE_HOST + u8::try_from(n).unwrap_or_default())
    }

    /// SIP of node `n`, from 0.
    pub fn node_sip(&self, n: usize) -> SocketAddr {
        (self.node(n), SIP_PORT).into()
    }

    /// Pages of node `n`, the trunk document among them.
    pub fn node_http(&self, n: usize) -> SocketAddr {
        (self.node(n), NODE_HTTP_PORT).into()
    }

    /// The calling end.
    pub fn caller(&self) -> SocketAddr {
        (self.at(CALLER_HOST), CALLER_PORT).into()
    }

    /// The downstream user agent.
    pub fn callee(&self) -> SocketAddr {
        (self.at(CALLEE_HOST), CALLEE_PORT).into()
    }

    /// Somebody who may not call.
    pub fn stranger(&self) -> IpAddr {
        self.at(STRANGER_HOST)
    }

    /// The network of those who may.
    pub fn allow(&self) -> String {
        let [a, b, c] = self.net;
        format!("{a}.{b}.{c}.0/25")
    }
}

/// The name of node `n` (from 0) in a rig: people count from 1.
pub fn node_name(n: usize) -> String {
    format!("node-{}", n + 1)
}

/// Whether nobody has these addresses: SIP on UDP, pages on TCP.
fn are_free(sip: &[SocketAddr], http: &[SocketAddr]) -> bool {
    let udp = |at: &SocketAddr| std::net::UdpSocket::bind(at).is_ok();
    let tcp = |at: &SocketAddr| std::net::TcpListener::bind(at).is_ok();
    sip.iter().all(udp) && http.iter().all(tcp)
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.net;
        write!(f, "{a}.{b}.{c}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_is_taken_is_not_handed_out() {
        let block = Block::unique().unwrap();
        // A test beside this one may be starting a process, which has our sockets until it is one.
        let look = |_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            block.is_free()
        };
        assert!((0..100).any(look));
        let _taken = std::net::UdpSocket::bind(block.node_sip(2)).unwrap();
        assert!(!block.is_free());
        assert_ne!(Block::unique().unwrap(), block);
        assert_eq!(Block::DEMO.node_sip(2).to_string(), "127.0.0.13:5060");
    }
}
