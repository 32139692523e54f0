//! A datagram of ours that did not arrive.

use holdline_wire::TransportKey;
use holdline_wire::machine::TransportFault;
use holdline_wire::transaction::Layer;

/// What becomes of the transactions towards a peer to which something could not be sent; `quoted`
/// is the start of that, as far as it is told.
///
/// Anybody can write an ICMP message, but not about what is not out. Our own machine's word, or a
/// router's, is not the peer's: what belongs to a call is repeated in its time (spec: X41, X52).
pub fn send_failed<O: Copy>(
    layer: &mut Layer<O>,
    key: TransportKey,
    fault: TransportFault,
    quoted: &[u8],
) {
    match fault {
        TransportFault::Refused => layer.transport_failed(key, quoted),
        TransportFault::Unreachable if !layer.awaits(key, quoted) => {}
        TransportFault::Unreachable | TransportFault::Local(_) => layer.unsendable(key),
    }
}
