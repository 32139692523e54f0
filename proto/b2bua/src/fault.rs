//! A datagram of ours that did not arrive.

use holdline_wire::machine::TransportFault;
use holdline_wire::transaction::Layer;
use holdline_wire::{Time, TransportKey};

/// What becomes of the transactions towards a peer to which something could not be sent; `quoted`
/// is the start of that, as far as it is told.
///
/// Anybody can write an ICMP message, but not about what is not out. Our own machine's word, or a
/// router's, is not the peer's: what belongs to a call is repeated in its time (spec: X41, X52).
pub fn send_failed<O: Copy>(
    layer: &mut Layer<O>,
    now: Time,
    key: TransportKey,
    fault: TransportFault,
    quoted: &[u8],
) {
    match fault {
        TransportFault::Refused if quoted.is_empty() || layer.awaits(key, quoted) => {
            layer.transport_failed(now, key);
        }
        TransportFault::Refused => {}
        TransportFault::Local(_) | TransportFault::Unreachable => layer.unsendable(key),
    }
}
