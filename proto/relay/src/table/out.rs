//! The last stage of a packet's way: by which port it leaves towards a peer, and whom each port
//! talks to.

use super::kind::Kind;
use super::verdict::Channel;
use crate::command::Peer;
use std::net::SocketAddr;

/// A peer that packets can be sent to. Nobody is meant by port 0 (RFC 3264 section 6) and by the
/// address 0.0.0.0 (RFC 3264 section 8.4), which the kernel would take for this very host.
pub(super) fn usable(peer: Option<Peer>) -> Option<Peer> {
    let is_usable = |address: &SocketAddr| address.port() != 0 && !address.ip().is_unspecified();
    let mut peer = peer.filter(|peer| is_usable(&peer.rtp))?;
    peer.rtcp = peer.rtcp.filter(is_usable);
    Some(peer)
}

/// The port by which RTP or RTCP leaves; none for RTCP where the peer takes none.
pub(super) fn way(peer: Peer, kind: Kind) -> Option<Channel> {
    if kind == Kind::Media || peer.rtcp? == peer.rtp {
        return Some(Channel::Rtp);
    }
    Some(Channel::Rtcp)
}

/// Whom the socket of `channel` talks to. With rtcp-mux the RTCP port talks to nobody.
pub(super) fn remote(peer: Peer, channel: Channel) -> Option<SocketAddr> {
    match channel {
        Channel::Rtp => Some(peer.rtp),
        Channel::Rtcp => peer.rtcp.filter(|rtcp| *rtcp != peer.rtp),
    }
}
