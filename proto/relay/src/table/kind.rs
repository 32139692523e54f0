//! The first stage of a packet's way: what it is, by the port that it came in by and by itself.

use super::verdict::Channel;
use holdline_wire::rtcp;
use holdline_wire::rtp::{Header, Malformed, is_rtcp};

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// RTP.
    Media,
    /// RTCP.
    Control,
}

/// Tells RTP and RTCP apart. By the RTP port either may come (RFC 5761), by the other only RTCP.
/// An error where it is neither, or not whole. What may be encrypted is not looked at.
pub(super) fn tell(channel: Channel, packet: &[u8]) -> Result<Kind, Malformed> {
    if channel == Channel::Rtcp || is_rtcp(packet) {
        rtcp::check_protected(packet).map(|()| Kind::Control)
    } else {
        Header::read_protected(packet).map(|_| Kind::Media)
    }
}
