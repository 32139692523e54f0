//! The marked packets: RTP with G.711 in it, whose first bytes say whose they are.

use holdline_wire::Time;

/// The two ends of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The calling server's.
    Caller,
    /// The downstream user agent.
    Callee,
}

impl Side {
    /// Both.
    pub const BOTH: [Side; 2] = [Side::Caller, Side::Callee];

    /// The far end.
    pub fn other(self) -> Side {
        match self {
            Side::Caller => Side::Callee,
            Side::Callee => Side::Caller,
        }
    }

    /// 0 for the caller, 1 for the callee.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Bytes of one millisecond of G.711, and RTP clock ticks (RFC 3551 section 4.5.14).
pub const PER_MS: u16 = 8;
/// The longest packet: 60 ms.
pub const MAX_PACKET: usize = HEADER + 60 * PER_MS as usize;
const HEADER: usize = 12;
/// Where the mark ends.
const MARKED: usize = 47;
const MAGIC: &[u8; 4] = b"HLMK";
/// Silence in A-law.
const FILL: u8 = 0xd5;

/// What a packet says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The call.
    pub call: u32,
    /// Who sent it.
    pub sender: Side,
    /// Its number among all of this sender's packets in this call, over all its sockets.
    pub number: u64,
    /// When it was sent.
    pub sent: Time,
    /// When it was due: what its RTP timestamp stands for.
    pub due: Time,
}

/// The fixed RTP header as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtp {
    /// Payload type.
    pub payload: u8,
    /// Sequence number.
    pub seq: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronization source.
    pub ssrc: u32,
}

/// A packet of `ptime` milliseconds of silence without header and mark.
pub fn blank(ptime: u16) -> Vec<u8> {
    vec![FILL; HEADER + usize::from(ptime * PER_MS)]
}

/// Writes header and mark into a packet of [`blank`]'s.
pub fn write(packet: &mut [u8], rtp: &Rtp, mark: &Mark) {
    let length = packet.len() as u16;
    packet[0] = 0x80;
    packet[1] = rtp.payload & 0x7f;
    packet[2..4].copy_from_slice(&rtp.seq.to_be_bytes());
    packet[4..8].copy_from_slice(&rtp.timestamp.to_be_bytes());
    packet[8..12].copy_from_slice(&rtp.ssrc.to_be_bytes());
    packet[12..16].copy_from_slice(MAGIC);
    packet[16..20].copy_from_slice(&mark.call.to_be_bytes());
    packet[20] = mark.sender.index() as u8;
    packet[21..29].copy_from_slice(&mark.number.to_be_bytes());
    packet[29..37].copy_from_slice(&mark.sent.as_nanos().to_be_bytes());
    packet[37..45].copy_from_slice(&mark.due.as_nanos().to_be_bytes());
    packet[45..MARKED].copy_from_slice(&length.to_be_bytes());
}

/// Reads one packet; `None` where it is not RTP, and no mark where it carries none.
pub fn read(packet: &[u8]) -> Option<(Rtp, Option<Mark>)> {
    if packet.len() < HEADER || packet[0] >> 6 != 2 {
        return None;
    }
    let rtp = Rtp {
        payload: packet[1] & 0x7f,
        seq: u16::from_be_bytes(array(packet, 2)?),
        timestamp: u32::from_be_bytes(array(packet, 4)?),
        ssrc: u32::from_be_bytes(array(packet, 8)?),
    };
    Some((rtp, read_mark(packet)))
}

/// Whose a captured packet is, by call and end, and its number among theirs.
pub fn sender(packet: &[u8]) -> Option<(u32, Side, u64)> {
    let (_, mark) = read(packet)?;
    mark.map(|mark| (mark.call, mark.sender, mark.number))
}

fn read_mark(packet: &[u8]) -> Option<Mark> {
    if packet.get(12..16)? != MAGIC
        || array(packet, 45).map(u16::from_be_bytes)? as usize != packet.len()
    {
        return None;
    }
    let sender = match packet[20] {
        0 => Side::Caller,
        1 => Side::Callee,
        _ => return None,
    };
    Some(Mark {
        call: u32::from_be_bytes(array(packet, 16)?),
        sender,
        number: u64::from_be_bytes(array(packet, 21)?),
        sent: Time::from_nanos(u64::from_be_bytes(array(packet, 29)?)),
        due: Time::from_nanos(u64::from_be_bytes(array(packet, 37)?)),
    })
}

fn array<const N: usize>(packet: &[u8], at: usize) -> Option<[u8; N]> {
    packet.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_says_whose_it_is() {
        let rtp = Rtp {
            payload: 8,
            seq: 65_535,
            timestamp: 0xdead_beef,
            ssrc: 7,
        };
        let sent = Time::from_nanos(123_456_789_012);
        let mark = Mark {
            call: 17,
            sender: Side::Callee,
            number: 99,
            sent,
            due: Time::from_nanos(5),
        };
        let mut packet = blank(20);
        write(&mut packet, &rtp, &mark);
        assert_eq!(packet.len(), 172);
        assert_eq!(read(&packet), Some((rtp, Some(mark))));
        assert_eq!(read(&packet[..171]), Some((rtp, None)));
        assert_eq!(read(&packet[..11]), None);
        assert_eq!(read(b"INVITE sip:a SIP/2.0"), None);
    }
}
