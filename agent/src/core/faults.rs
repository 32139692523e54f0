//! What became of datagrams of ours: whose fault it is (spec: X52).

use crate::cluster::{NodeId, ProbeId, Refusal};
use crate::core::AgentCore;
use crate::core::env::Env;
use holdline_b2bua::send_failed;
use holdline_wire::machine::TransportFault;
use holdline_wire::{Time, TransportKey};

/// What is left of a message where an ICMP error quotes less says nothing: the shortest start that
/// tells one request from another.
const TELLING: usize = 64;

impl AgentCore {
    /// A datagram of ours did not arrive, as our own kernel, a router or the peer's host says;
    /// `quoted` is its start, as far as it is told.
    pub(super) fn on_fault(
        &mut self,
        now: Time,
        key: TransportKey,
        fault: TransportFault,
        quoted: &[u8],
    ) {
        let Some(node) = self.env.cluster.node_at(key.remote) else {
            return send_failed(&mut self.env.layer, key, fault, quoted);
        };
        let probe = self.env.quoted_probe(node, quoted);
        match fault {
            // The legs towards the node wait for what comes of it: a call does not end with it.
            TransportFault::Local(kind) => {
                self.env.cluster.local_fault(now, node, kind, probe);
            }
            _ if !self.env.is_ours(now, node, key, probe, quoted) => {}
            TransportFault::Unreachable => self.env.cluster.unreachable(now, node),
            TransportFault::Refused if !key.is_listening() || probe.is_some() => {
                self.env.cluster.refused(now, node, Refusal::Probe);
            }
            TransportFault::Refused => {
                self.env.cluster.refused(now, node, Refusal::Signalling);
            }
        }
    }
}

impl Env {
    /// The probe to `node` that is quoted, if it still counts.
    fn quoted_probe(&self, node: NodeId, quoted: &[u8]) -> Option<ProbeId> {
        let branch = branch_in(quoted)?;
        let sent = self.probes.get(&node)?;
        let is = |(_, known): &&(ProbeId, Box<str>)| known.as_bytes() == branch;
        sent.iter().rev().find(is).map(|(id, _)| *id)
    }

    /// Whether an ICMP error is about what we have sent of late: anybody can write one.
    fn is_ours(
        &self,
        now: Time,
        node: NodeId,
        key: TransportKey,
        probe: Option<ProbeId>,
        quoted: &[u8],
    ) -> bool {
        if !key.is_listening() || probe.is_some() {
            // Probes leave four times a second. One that was answered was not refused.
            return probe.is_some() || branch_in(quoted).is_none();
        }
        let no_request = [&b"SIP/2.0 "[..], b"ACK "];
        let telling = quoted.len() >= TELLING && !no_request.iter().any(|n| quoted.starts_with(n));
        self.cluster.was_signalled(now, node) && (!telling || self.layer.awaits(key, quoted))
    }
}

/// The branch of the first Via in the start of a message of ours, where it is there as a whole.
fn branch_in(quoted: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b";branch=";
    let at = quoted.windows(NAME.len()).position(|part| part == NAME)?;
    let rest = &quoted[at + NAME.len()..];
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b';' | b'\r' | b' ' | b','))?;
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: X52
    #[test]
    fn a_branch_counts_only_as_a_whole() {
        let quoted = b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP b:5060;branch=z9hG4bKp1;rport\r\n";
        assert_eq!(branch_in(quoted), Some(&b"z9hG4bKp1"[..]));
        assert_eq!(branch_in(&quoted[..63]), None);
        assert_eq!(branch_in(b""), None);
    }
}
