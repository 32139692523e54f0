//! RTCP compound packets (RFC 3550 section 6) rewritten in place along with their RTP (spec: X29).

mod mapping;
#[cfg(test)]
mod tests;

pub use mapping::Mapping;

use crate::rtp::{Malformed, be16, is_rtcp};

/// Sender report (RFC 3550 section 6.4.1).
pub const SR: u8 = 200;
/// Receiver report (RFC 3550 section 6.4.2).
pub const RR: u8 = 201;
/// Source description (RFC 3550 section 6.5).
pub const SDES: u8 = 202;
/// Goodbye (RFC 3550 section 6.6).
pub const BYE: u8 = 203;
/// Application-defined (RFC 3550 section 6.7).
pub const APP: u8 = 204;
/// Transport feedback (RFC 4585 section 6.2).
pub const RTPFB: u8 = 205;
/// Payload feedback (RFC 4585 section 6.3).
pub const PSFB: u8 = 206;
/// Extended report (RFC 3611 section 2).
pub const XR: u8 = 207;

/// Length of a report block, bytes (RFC 3550 section 6.4.1).
pub(crate) const REPORT_BLOCK: usize = 24;
/// Where the report blocks of a sender report begin.
pub(crate) const SR_BLOCKS: usize = 28;
/// Where the report blocks of a receiver report begin.
pub(crate) const RR_BLOCKS: usize = 8;

/// The common header of one packet of a compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Packet type.
    pub kind: u8,
    /// Reception report count, source count or feedback format.
    pub count: u8,
    /// Length with its header, bytes.
    pub len: usize,
}

impl Part {
    /// Reads the packet at the start of `bytes`, which are the rest of a compound. Its length and
    /// what its type requires must fit; `Length` where not.
    pub fn read(bytes: &[u8]) -> Result<Part, Malformed> {
        if bytes.len() < 4 {
            return Err(Malformed::Short);
        }
        if bytes[0] >> 6 != 2 {
            return Err(Malformed::Version);
        }
        let len = 4 * (usize::from(be16(bytes, 2)) + 1);
        let part = Part {
            kind: bytes[1],
            count: bytes[0] & 0x1f,
            len,
        };
        let mut room = len;
        if bytes[0] & 0x20 != 0 {
            // Only the last packet may be padded (RFC 3550 section 6.4.1).
            if len != bytes.len() {
                return Err(Malformed::Padding);
            }
            let padding = usize::from(bytes[len - 1]);
            if padding == 0 || padding % 4 != 0 || padding > len - 4 {
                return Err(Malformed::Padding);
            }
            room -= padding;
        }
        if len > bytes.len() || room < part.least() {
            return Err(Malformed::Length);
        }
        Ok(part)
    }

    /// What a packet of this type and count has at least, bytes.
    fn least(&self) -> usize {
        let count = usize::from(self.count);
        match self.kind {
            SR => SR_BLOCKS + REPORT_BLOCK * count,
            RR => RR_BLOCKS + REPORT_BLOCK * count,
            SDES => 4 + 8 * count,
            BYE => 4 + 4 * count,
            RTPFB | PSFB | APP => 12,
            XR => 8,
            _ => 4,
        }
    }
}

/// Checks a whole datagram: whole packets of version 2 up to its very end, the first of a type
/// that is RTCP's (RFC 5761 section 4). A reduced-size one (RFC 5506) counts as well.
pub fn check(datagram: &[u8]) -> Result<(), Malformed> {
    if datagram.is_empty() {
        return Err(Malformed::Short);
    }
    if !is_rtcp(datagram) {
        return Err(Malformed::Type);
    }
    let mut rest = datagram;
    while !rest.is_empty() {
        rest = &rest[Part::read(rest)?.len..];
    }
    Ok(())
}

/// Checks what can be seen of a datagram that may be encrypted (SRTCP, RFC 3711 section 3.4): the
/// first packet's header and SSRC are in the clear.
pub fn check_protected(datagram: &[u8]) -> Result<(), Malformed> {
    if datagram.len() < 8 {
        return Err(Malformed::Short);
    }
    if datagram[0] >> 6 != 2 {
        return Err(Malformed::Version);
    }
    if !is_rtcp(datagram) {
        return Err(Malformed::Type);
    }
    Ok(())
}
