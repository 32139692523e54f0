//! Real RTP of a few calls through the pure relay tables: what the caller hears must stay one
//! source without a jump, whatever happens to the node in between (spec: X29).

use super::host::HostId;
use holdline_relay::{Channel, Command, Side, StreamId, Table, Verdict};
use holdline_wire::Time;
use holdline_wire::rtp::Header;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// RTP clock ticks in a millisecond at 8000 Hz.
const TICKS: u64 = 8;
/// The sound in a packet.
const FRAME: Duration = Duration::from_millis(20);
/// How far the timestamps may be from the time that passed: what is lost between two packets
/// of different sources is estimated.
const TOLERANCE: Duration = Duration::from_millis(60);

/// What was heard last of a call.
#[derive(Clone, Copy, Debug)]
struct Heard {
    at: Time,
    header: Header,
}

/// The tables of all programs, and what callers hear.
#[derive(Debug, Default)]
pub struct Samples {
    tables: BTreeMap<HostId, Table>,
    sent: BTreeMap<SocketAddr, u16>,
    heard: BTreeMap<u32, Heard>,
    /// Packets that callers heard.
    pub packets: u64,
}

impl Samples {
    /// A relay command of a program.
    pub fn apply(&mut self, host: HostId, command: &Command) {
        self.tables.entry(host).or_default().apply(command);
    }

    /// The program died.
    pub fn forget(&mut self, host: HostId) {
        self.tables.remove(&host);
    }

    /// A packet of the callee who listens at `local`: a source of its own, that began at a
    /// number of its own.
    pub fn packet(&mut self, now: Time, local: SocketAddr) -> Vec<u8> {
        let base = u32::from(local.port()).wrapping_mul(0x9E37_79B9);
        let seq = self.sent.entry(local).or_insert(base as u16);
        *seq = seq.wrapping_add(1);
        let elapsed = now.since(Time::ZERO).as_millis() as u64 * TICKS;
        let stamp = base.wrapping_add(elapsed as u32);
        let mut packet = vec![0x80, 8];
        packet.extend_from_slice(&seq.to_be_bytes());
        packet.extend_from_slice(&stamp.to_be_bytes());
        packet.extend_from_slice(&(base ^ 0x5555_5555).to_be_bytes());
        packet.extend_from_slice(&[0xd5; 160]);
        packet
    }

    /// Passes the packet through a stream of `host`; false where it is dropped.
    pub fn pass(
        &mut self,
        now: Time,
        host: HostId,
        stream: StreamId,
        side: Side,
        packet: &mut Vec<u8>,
    ) -> bool {
        let Some(table) = self.tables.get_mut(&host) else {
            return false;
        };
        match table.handle_packet(now, stream, side, Channel::Rtp, packet) {
            Verdict::Forward { len, .. } => {
                packet.truncate(len);
                true
            }
            Verdict::Drop(_) => false,
        }
    }

    /// The packet arrived at the caller of `call`; what is wrong with it.
    pub fn arrived(&mut self, now: Time, call: u32, packet: &[u8]) -> Option<String> {
        self.packets += 1;
        let Ok(header) = Header::read(packet) else {
            return Some("the caller heard no RTP".to_owned());
        };
        let last = self.heard.insert(call, Heard { at: now, header })?;
        if last.header.ssrc != header.ssrc {
            return Some("the caller heard another SSRC".to_owned());
        }
        let step = header.sequence.wrapping_sub(last.header.sequence);
        let passed = now.since(last.at);
        // What was lost on the way to the agent leaves a hole as long as the time that passed.
        let most = (passed.as_millis() / FRAME.as_millis()) as u16 + 3;
        if step == 0 || step > most {
            return Some(format!("sequence numbers jumped by {step} in {passed:?}"));
        }
        let ticks = u64::from(header.timestamp.wrapping_sub(last.header.timestamp));
        let told = Duration::from_millis(ticks / TICKS);
        if told > passed + TOLERANCE || told + TOLERANCE < passed {
            return Some(format!("timestamps went on by {told:?} in {passed:?}"));
        }
        None
    }
}
