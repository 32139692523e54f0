//! The silence that the near side hears while the call waits for a node.

use super::Session;
use crate::command::{Comfort, Command};
use holdline_wire::rtp::Silence;
use holdline_wire::sdp::Media;
use std::time::Duration;

impl Session {
    /// Has each audio stream of which the near side expects packets filled with silence whenever
    /// its far side says nothing for `after` (spec: X24). `ssrc` is random, for streams on which
    /// the near side has heard nobody yet. Nothing is done for formats without a known silence,
    /// nor for encrypted media, whose keys the two ends alone have.
    pub fn comfort(&self, out: &mut Vec<Command>, after: Duration, ssrc: u32) {
        let Some((near, far)) = self.in_force() else {
            return;
        };
        let streams = self.streams.iter().zip(near.media()).zip(far.media());
        for ((stream, near), far) in streams {
            let silences = silences(near, far);
            if let (Some(stream), Some(_)) = (stream, silences[0]) {
                let comfort = Some(Comfort {
                    after,
                    silences,
                    ssrc,
                });
                out.push(Command::Comfort {
                    stream: stream.id,
                    comfort,
                });
            }
        }
    }

    /// The far side is there again, or the call is over: no more silence.
    pub fn uncomfort(&self, out: &mut Vec<Command>) {
        let withdrawn = |stream| Command::Comfort {
            stream,
            comfort: None,
        };
        out.extend(self.streams().map(withdrawn));
    }
}

/// The silences of what `near` takes from `far`: of codecs in the order of the far side, then
/// comfort noise, each under the near side's payload number.
fn silences(near: &Media, far: &Media) -> [Option<Silence>; 3] {
    let mut found = [None; 3];
    let flows = near.direction.receives() && far.direction.sends();
    let plain = |media: &Media| {
        let proto = media.proto.to_ascii_uppercase();
        proto == "RTP/AVP" || proto == "RTP/AVPF"
    };
    if !(flows && &*near.kind == "audio" && plain(near) && plain(far)) {
        return found;
    }
    let named = |format: &str| {
        let codec = far.codec(format)?;
        let same = |ours: &&str| near.codec(ours).is_some_and(|ours| ours.is_same(codec));
        let ours = near.formats.iter().map(AsRef::as_ref).find(same)?;
        Some((codec, Silence::of(ours.parse().ok()?, codec)?))
    };
    let mut all: Vec<_> = far.formats.iter().filter_map(|f| named(f)).collect();
    all.sort_by_key(|(_, silence)| silence.is_noise());
    // Comfort noise has the clock of the codec that it stands in for (RFC 3389).
    let spoken = far.formats.iter().filter_map(|format| far.codec(format));
    let rate = spoken.filter(|c| !c.is_auxiliary()).map(|c| c.rate).next();
    all.retain(|(codec, silence)| !silence.is_noise() || Some(codec.rate) == rate);
    for (slot, (_, silence)) in found.iter_mut().zip(all) {
        *slot = Some(silence);
    }
    found
}
