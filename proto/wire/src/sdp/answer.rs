//! Offer/answer arithmetic (RFC 3264): what two descriptions agree on, and an answer that takes
//! an offer as it is.

use super::edit::Edit;
use super::{Anchor, Codec, Media, Sdp};
use std::net::{IpAddr, Ipv4Addr};

/// What belongs to the offerer alone, or asks for a thing that an answerer agrees to only by
/// doing it: grouping, keys, sources, capabilities, preconditions. (ICE goes with the anchors.)
const NOT_TO_REPEAT: [&str; 27] = [
    "acap",
    "bundle-only",
    "conf",
    "connection",
    "creq",
    "crypto",
    "csup",
    "curr",
    "des",
    "fingerprint",
    "group",
    "identity",
    "key-mgmt",
    "msid",
    "msid-semantic",
    "pcap",
    "pcfg",
    "rid",
    "rtcp-mux-only",
    "setup",
    "simulcast",
    "source-filter",
    "ssrc",
    "ssrc-group",
    "tcap",
    "tls-id",
    "zrtp-hash",
];

impl Sdp {
    /// What is in use after offer and answer, described from `self`'s side: `self` is our last
    /// description, `peer` the other's; formats are those the answer kept, direction is ours
    /// narrowed by the peer's, streams refused by either have port 0 (spec: X24a).
    ///
    /// Payload numbers and their order stay ours: a fresh offer asks the peer to send what it
    /// sends us now. The peer may number the same codec differently; rtcp-mux stays only where
    /// both have it.
    #[must_use]
    pub fn in_use(&self, peer: &Sdp) -> Sdp {
        self.reduced(peer, true)
    }

    /// Our offer with no more in it than `peer`'s answer took, but with the directions that we
    /// asked for: what is asked of another callee whose answer has to agree with that one's.
    #[must_use]
    pub fn narrowed(&self, peer: &Sdp) -> Sdp {
        self.reduced(peer, false)
    }

    /// Whether two answers to one offer can pass for the same: each takes the same streams, which
    /// start with the same format and flow the same ways.
    pub fn agrees_with(&self, other: &Sdp) -> bool {
        let same = |(ours, theirs): (&Media, &Media)| match (ours.port, theirs.port) {
            (0, 0) => true,
            (0, _) | (_, 0) => false,
            _ => {
                let first = |media: &Media| media.formats.first().cloned();
                first(ours) == first(theirs) && ours.direction == theirs.direction
            }
        };
        self.parts.media.len() == other.parts.media.len()
            && self.parts.media.iter().zip(&other.parts.media).all(same)
    }

    fn reduced(&self, peer: &Sdp, narrow: bool) -> Sdp {
        let mut edit = Edit::new(self);
        for (index, ours) in self.parts.media.iter().enumerate() {
            let same =
                |theirs: &&Media| theirs.port != 0 && theirs.kind.eq_ignore_ascii_case(&ours.kind);
            let Some(theirs) = peer
                .parts
                .media
                .get(index)
                .filter(same)
                .filter(|_| ours.port != 0)
            else {
                edit.set_port(index, 0);
                continue;
            };
            edit.keep_formats(index, &common_formats(ours, theirs));
            let direction = ours.direction.narrowed_by(theirs.direction);
            if narrow && direction != ours.direction {
                edit.set_direction(index, direction);
            }
            if !theirs.mux {
                let section = self.parts.sections[index].clone();
                edit.drop_attributes(section, &["rtcp-mux", "rtcp-mux-only"]);
            }
        }
        edit.finish()
    }

    /// The answer that accepts this offer as it is: same formats and payload numbers, directions
    /// reversed, at `anchors`, with the o= line of a session of ours (version 1) (spec: X31a).
    ///
    /// A stream without an anchor is refused. So the caller gives none to a stream that it cannot
    /// relay by these means, such as one whose protocol is not RTP/AVP or RTP/AVPF: keys are not
    /// answered here.
    #[must_use]
    pub fn mirrored(&self, anchors: &[Option<Anchor>], session: u64) -> Sdp {
        let mut edit = Edit::new(self);
        edit.drop_attributes(0..self.parts.lines.len(), &NOT_TO_REPEAT);
        edit.drop_type(0..self.parts.lines.len(), b'k');
        edit.anchor(anchors);
        edit.reverse_session();
        for (index, media) in self.parts.media.iter().enumerate() {
            edit.set_direction(index, media.direction.reversed());
        }
        let first = anchors.iter().flatten().next();
        let address = first.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |a| a.rtp.ip());
        edit.set_origin(Some("-"), session, 1, address);
        edit.finish()
    }
}

/// Those of our formats that the peer lists too: under the same number, or else, where it
/// renumbered a codec altogether, by the codec's name.
fn common_formats(ours: &Media, theirs: &Media) -> Vec<Box<str>> {
    // For each of our formats its codec and whether the peer lists the number.
    let listed: Vec<(Option<&Codec>, bool)> = ours
        .formats
        .iter()
        .zip(&ours.codecs)
        .map(|(format, codec)| {
            (
                codec.as_ref(),
                is_same_number(format, codec.as_ref(), theirs),
            )
        })
        .collect();
    let renumbered = |codec: &Codec| {
        // Two of our numbers may stand for one codec with different parameters (H264): where the
        // peer chose among them by our numbers, its choice counts.
        let chosen = |of: &(Option<&Codec>, bool)| of.1 && of.0.is_some_and(|of| of.is_same(codec));
        !listed.iter().any(chosen) && theirs.codecs.iter().flatten().any(|of| of.is_same(codec))
    };
    let common: Vec<Box<str>> = ours
        .formats
        .iter()
        .zip(&listed)
        .filter(|(_, (codec, same))| *same || codec.is_some_and(renumbered))
        .map(|(format, _)| format.clone())
        .collect();
    let carries = |format: &str| !ours.codec(format).is_some_and(Codec::is_auxiliary);
    // Sides that share no codec, or only key presses, still talk somehow (or this is not RTP): an
    // offer without what we said before could only be worse.
    if common.iter().any(|f| carries(f)) || !ours.formats.iter().any(|f| carries(f)) {
        common
    } else {
        ours.formats.clone()
    }
}

/// Whether the peer lists the same number and means the same by it. Only a dynamic number that
/// both name can differ; rates and channels are not compared, for they are often left out.
fn is_same_number(format: &str, codec: Option<&Codec>, theirs: &Media) -> bool {
    if !theirs
        .formats
        .iter()
        .any(|f| f.eq_ignore_ascii_case(format))
    {
        return false;
    }
    let is_dynamic = format.parse().is_ok_and(|number: u8| number >= 96);
    match (codec, theirs.codec(format)) {
        (Some(ours), Some(theirs)) if is_dynamic => ours.name.eq_ignore_ascii_case(&theirs.name),
        _ => true,
    }
}
