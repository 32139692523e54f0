//! Which sides of a call are heard, as the relay tells it, and whether a call is silent that should
//! not be.

use super::Session;
use super::parts::Sound;
use crate::command::Side;
use crate::report::Report;
use holdline_wire::sdp::{Direction, Media};

impl Session {
    /// Takes note of a report about one of the call's streams.
    pub fn note(&mut self, report: &Report) {
        let (id, side, sound) = match *report {
            Report::Heard { stream, side } => (stream, side, Sound::Heard),
            Report::Quiet { stream, side, .. } => (stream, side, Sound::Quiet),
            _ => return,
        };
        let mut streams = self.streams.iter_mut().flatten();
        if let Some(stream) = streams.find(|stream| stream.id == id) {
            stream.sound[side as usize] = sound;
        }
    }

    /// Whether packets come in on this side.
    pub fn hears(&self, side: Side) -> bool {
        self.any(side, Sound::Heard)
    }

    /// Whether packets had come in on this side, and none do now.
    pub fn has_fallen_silent(&self, side: Side) -> bool {
        self.any(side, Sound::Quiet) && !self.hears(side)
    }

    fn any(&self, side: Side, sound: Sound) -> bool {
        let mut streams = self.streams.iter().flatten();
        streams.any(|stream| stream.sound[side as usize] == sound)
    }

    /// Whether nobody says anything in a call in which both sides were heard and both are to
    /// speak: audio that is sendrecv both ways, and no other media than audio and video, since a
    /// fax has its own silences.
    pub fn is_dead_silent(&self) -> bool {
        if self.hears(Side::Near) || self.hears(Side::Far) {
            return false;
        }
        let Some((near, far)) = self.in_force() else {
            return false;
        };
        let mut spoken = false;
        for ((stream, near), far) in self.streams.iter().zip(near.media()).zip(far.media()) {
            let Some(stream) = stream else { continue };
            match &*near.kind {
                "audio" if speaks(near) && speaks(far) => {
                    spoken |= stream.sound == [Sound::Quiet; 2];
                }
                "video" => {}
                _ => return false,
            }
        }
        spoken
    }

    /// Whether the two sides have agreed on something since this was asked last: who was on hold
    /// may just have come back.
    pub fn take_agreed(&mut self) -> bool {
        std::mem::take(&mut self.agreed_anew)
    }
}

/// Whether this side is to send and to receive (RFC 3264 5.1; a zero address is a hold).
fn speaks(media: &Media) -> bool {
    media.direction == Direction::SendRecv && media.rtp_addr().is_some() && media.is_rtp()
}
