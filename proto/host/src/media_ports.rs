//! Which media ports other sockets have when a program starts (spec: X51).

use crate::config::PortRange;
use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};

/// The even ports of the pairs of `range` at `address` of which another socket has one, found by
/// opening each for a moment: some microseconds a pair. They are told in the log, for a call would
/// find out only after its INVITE has named them.
pub fn taken_by_others(address: IpAddr, range: PortRange) -> Vec<u16> {
    let is_taken = |port: u16| match UdpSocket::bind((address, port)) {
        Ok(_) => false,
        // Any other error is about the address or about us, not about this port.
        Err(error) => matches!(
            error.kind(),
            ErrorKind::AddrInUse | ErrorKind::PermissionDenied
        ),
    };
    let pairs = range.ports().step_by(2);
    let taken: Vec<u16> = pairs
        .filter(|&rtp| is_taken(rtp) || is_taken(rtp.saturating_add(1)))
        .collect();
    if let Some(first) = taken.first() {
        let (count, all) = (taken.len(), range.pairs());
        tracing::warn!(
            "media.ports: {count} of {all} port pairs at {address} are in use by other sockets and left out \
             for a minute (the first is {first}); `ss -uanp` shows whose they are"
        );
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: X51
    #[test]
    fn a_pair_is_taken_where_another_socket_has_either_port() {
        // An address of this process, whatever else runs here.
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = IpAddr::from([127, 64 + high % 128, low, 249]);
        let range: PortRange = "31000-31007".parse().expect("a range");
        let held = [31_002, 31_007].map(|port| UdpSocket::bind((address, port)).expect("free"));
        assert_eq!(taken_by_others(address, range), [31_002, 31_006]);
        drop(held);
        assert!(taken_by_others(address, range).is_empty());
    }
}
