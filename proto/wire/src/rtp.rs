//! RTP headers (RFC 3550 section 5.1) read in place, and the rewriting that keeps one SSRC with
//! continuous sequence numbers and timestamps over a change of source (spec: X29).

mod continuity;
mod silence;
#[cfg(test)]
mod tests;

pub use continuity::Continuity;
pub use silence::{SILENCE_MAX, Silence};

/// Length of the fixed header, bytes (RFC 3550 section 5.1).
pub const HEADER_LEN: usize = 12;

/// Why a datagram is not RTP or RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than a header.
    #[error("shorter than its header")]
    Short,
    /// Not version 2: STUN, DTLS, or noise.
    #[error("not version 2")]
    Version,
    /// A CSRC list, an extension or a packet of a compound that runs past the end.
    #[error("a length runs past the end")]
    Length,
    /// Padding of no bytes, of more than there are, or where none may be.
    #[error("impossible padding")]
    Padding,
    /// Not RTCP (RFC 5761 section 4) where only that may be.
    #[error("not an RTCP packet type")]
    Type,
}

/// Why a packet that came in is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// It cannot be read.
    #[error("malformed: {0}")]
    Malformed(#[from] Malformed),
    /// Late: of a source that was left, or from before the first packet of the current one.
    #[error("of a source that was left")]
    Stale,
    /// The first packet after a jump of the sequence number; the next one proves it
    /// (RFC 3550 appendix A.1).
    #[error("a jump that nothing proves yet")]
    Unproven,
    /// RTCP of which nothing remains that the other side should hear.
    #[error("nothing left to say")]
    Empty,
}

/// The fields of an RTP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Start of a talkspurt (RFC 3551 section 4.1).
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp, in ticks of the payload's clock.
    pub timestamp: u32,
    /// Synchronization source.
    pub ssrc: u32,
    /// Where the payload begins, bytes from the start.
    pub payload_at: usize,
    /// Length of the payload without padding, bytes.
    pub payload_len: usize,
}

impl Header {
    /// Reads a plain RTP packet: its CSRC list, extension and padding must fit into it.
    pub fn read(packet: &[u8]) -> Result<Header, Malformed> {
        let mut header = Header::read_protected(packet)?;
        if packet[0] & 0x20 != 0 {
            let padding = usize::from(packet[packet.len() - 1]);
            if padding == 0 || padding > header.payload_len {
                return Err(Malformed::Padding);
            }
            header.payload_len -= padding;
        }
        Ok(header)
    }

    /// Reads a packet whose payload may be encrypted (SRTP, RFC 3711 section 3.1): the header is
    /// in the clear, the count of padding is not, so `payload_len` has padding and tag in it.
    pub fn read_protected(packet: &[u8]) -> Result<Header, Malformed> {
        if packet.len() < HEADER_LEN {
            return Err(Malformed::Short);
        }
        if packet[0] >> 6 != 2 {
            return Err(Malformed::Version);
        }
        let mut payload_at = HEADER_LEN + 4 * usize::from(packet[0] & 0x0f);
        if packet[0] & 0x10 != 0 {
            let Some(extension) = packet.get(payload_at..payload_at + 4) else {
                return Err(Malformed::Length);
            };
            payload_at += 4 + 4 * usize::from(be16(extension, 2));
        }
        let Some(payload_len) = packet.len().checked_sub(payload_at) else {
            return Err(Malformed::Length);
        };
        Ok(Header {
            marker: packet[1] & 0x80 != 0,
            payload_type: packet[1] & 0x7f,
            sequence: be16(packet, 2),
            timestamp: be32(packet, 4),
            ssrc: be32(packet, 8),
            payload_at,
            payload_len,
        })
    }
}

/// Whether a datagram of a port that carries both is RTCP: its second byte is one of the packet
/// types that RTP payload types stay clear of (RFC 5761 section 4).
pub fn is_rtcp(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

/// The two bytes at `at`, which the caller has checked to be there.
pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The four bytes at `at`, which the caller has checked to be there.
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Writes two bytes at `at`.
pub(crate) fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Writes four bytes at `at`.
pub(crate) fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// The extended sequence number nearest to `near` whose low half is `sequence`
/// (RFC 3550 appendix A.1).
pub(crate) fn extend(near: u32, sequence: u16) -> u32 {
    let ahead = sequence.wrapping_sub(near as u16) as i16;
    near.wrapping_add(i32::from(ahead) as u32)
}

/// Whether `a` is after `b` on a circle of 32 bits.
pub(crate) fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}
