//! Silence that we send ourselves while a source is absent, so that its listener neither runs a
//! media timer down nor hears a gap in the numbers (spec: X24, X29).
//!
//! Only formats whose silence is one frame that needs no encoder are known here, and comfort noise
//! (RFC 3389) where it was agreed. For any other format nothing is sent: of the keepalives of
//! RFC 6263, an unknown payload number is one that the listener never agreed to, and an empty
//! packet resets no media timer that counts RTP.

use super::{Continuity, HEADER_LEN, put16, put32};
use crate::sdp::Codec;
use crate::time::Time;
use std::time::Duration;

/// The longest packet of silence, bytes: 60 ms of 64 kbit/s and a header.
pub const SILENCE_MAX: usize = HEADER_LEN + 480;

/// The level of comfort noise: -78 dBov, a quiet line; no spectrum follows (RFC 3389 section 3).
const NOISE_LEVEL: u8 = 78;
/// One frame of 20 ms, CELT, full band, mono (RFC 6716 section 3.1), whose first symbol says
/// silence (section 4.3).
const OPUS_FRAME: [u8; 3] = [0xf8, 0xff, 0xfe];

/// How silence is said in one format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    payload_type: u8,
    /// RTP clock ticks a second.
    rate: u32,
    frame: Frame,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    /// This byte for each tick of an 8000 Hz clock.
    Fill(u8),
    Opus,
    /// RFC 3389.
    Noise,
}

impl Silence {
    /// The silence of `codec` under this payload number; `None` where none is known.
    pub fn of(payload_type: u8, codec: &Codec) -> Option<Silence> {
        let is = |name: &str| codec.name.eq_ignore_ascii_case(name);
        let frame = match (codec.rate, codec.channels) {
            (8000, 1) if is("PCMU") => Frame::Fill(0xff),
            (8000, 1) if is("PCMA") => Frame::Fill(0xd5),
            // The smallest step in both bands: the decoder comes to rest within milliseconds.
            (8000, 1) if is("G722") => Frame::Fill(0xff),
            (48_000, _) if is("opus") => Frame::Opus,
            (_, 1) if is("CN") => Frame::Noise,
            _ => return None,
        };
        (payload_type < 128).then_some(Silence {
            payload_type,
            rate: codec.rate,
            frame,
        })
    }

    /// Its payload number.
    pub fn payload_type(&self) -> u8 {
        self.payload_type
    }

    /// Whether it is comfort noise and not a frame of the codec itself.
    pub fn is_noise(&self) -> bool {
        self.frame == Frame::Noise
    }

    /// Ticks in a packet where the source's packets had `learned`.
    fn ticks(&self, learned: Option<u32>) -> u32 {
        let usual = (self.rate / 50).max(1);
        let sane = self.rate / 100..=self.rate / 1000 * 60;
        match self.frame {
            Frame::Opus => usual,
            _ => learned.filter(|t| sane.contains(t)).unwrap_or(usual),
        }
    }

    /// Writes the payload of a packet of `ticks`; its length.
    fn write(&self, ticks: u32, payload: &mut [u8]) -> Option<usize> {
        let len = match self.frame {
            Frame::Fill(_) => ticks as usize,
            Frame::Opus => OPUS_FRAME.len(),
            Frame::Noise => 1,
        };
        let payload = payload.get_mut(..len)?;
        match self.frame {
            Frame::Fill(byte) => payload.fill(byte),
            Frame::Opus => payload.copy_from_slice(&OPUS_FRAME),
            Frame::Noise => payload.fill(NOISE_LEVEL),
        }
        Some(len)
    }
}

impl Continuity {
    /// The time that one packet of `silence` covers: that of the source's own packets where
    /// the format allows it, else 20 ms.
    pub fn silence_time(&self, silence: &Silence) -> Duration {
        let ticks = silence.ticks(self.learned_ticks());
        Duration::from_secs(1) * ticks / silence.rate.max(1)
    }

    /// Writes the next packet of `silence` into `packet`, in the place where the absent source
    /// stopped; its length, or `None` where it does not fit ([`SILENCE_MAX`] always does).
    /// `ssrc` is used where the listener has heard nobody yet. What the source says afterwards
    /// goes on behind it, with the marker bit, as of a new source.
    pub fn write_silence(
        &mut self,
        now: Time,
        silence: &Silence,
        ssrc: u32,
        packet: &mut [u8],
    ) -> Option<usize> {
        let ticks = silence.ticks(self.learned_ticks());
        let (header, payload) = packet.split_at_mut_checked(HEADER_LEN)?;
        let len = silence.write(ticks, payload)?;
        let place = self.fill(now, silence.rate, ticks, ssrc, len as u32);
        header[0] = 0x80;
        // No marker: it would begin a talkspurt (RFC 3551 section 4.1).
        header[1] = silence.payload_type;
        put16(header, 2, place.sequence);
        put32(header, 4, place.timestamp);
        put32(header, 8, place.ssrc);
        Some(HEADER_LEN + len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::Header;

    fn codec(name: &str, rate: u32) -> Codec {
        Codec {
            name: name.into(),
            rate,
            channels: 1,
        }
    }

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> [u8; 172] {
        let mut packet = [0x5a; 172];
        (packet[0], packet[1]) = (0x80, 8);
        put16(&mut packet, 2, sequence);
        put32(&mut packet, 4, timestamp);
        put32(&mut packet, 8, ssrc);
        packet
    }

    /// A source of 30 ms packets that has spoken until 60 ms.
    fn spoken() -> Continuity {
        let mut media = Continuity::new(8000);
        for n in 0..3u16 {
            let mut bytes = packet(7, 65_533 + n, u32::from(n) * 240);
            media.rewrite(at(30 * u64::from(n)), &mut bytes).unwrap();
        }
        media
    }

    fn silence(media: &mut Continuity, millis: u64, kind: &Silence) -> (Header, Vec<u8>) {
        let mut bytes = [0; SILENCE_MAX];
        let len = media.write_silence(at(millis), kind, 99, &mut bytes);
        let bytes = &bytes[..len.unwrap()];
        let header = Header::read(bytes).unwrap();
        (header, bytes[header.payload_at..].to_vec())
    }

    // spec: X24 X29
    #[test]
    fn silence_continues_a_source_and_is_continued() {
        let mut media = spoken();
        let kind = Silence::of(8, &codec("pcma", 8000)).unwrap();
        assert_eq!(media.silence_time(&kind), Duration::from_millis(30));
        // The sender is late by up to a third of a packet; the timestamps do not mind.
        for (n, late) in [(0, 3), (1, 10), (2, 9), (3, 0), (4, 10)] {
            let (header, payload) = silence(&mut media, 270 + 30 * n + late, &kind);
            assert_eq!((header.ssrc, header.payload_type), (7, 8));
            assert_eq!(header.sequence, n as u16, "over the wrap");
            assert_eq!(header.timestamp, 240 * (9 + n as u32));
            assert!(!header.marker);
            assert_eq!(payload, [0xd5; 240]);
        }
        for (n, marker) in [(0, true), (1, false)] {
            let mut bytes = packet(1000, 500 + n, 77_000 + 240 * u32::from(n));
            media
                .rewrite(at(420 + u64::from(n) * 30), &mut bytes)
                .unwrap();
            let header = Header::read(&bytes).unwrap();
            assert_eq!((header.ssrc, header.sequence), (7, 5 + n));
            assert_eq!(header.timestamp, 240 * (14 + u32::from(n)));
            assert_eq!(header.marker, marker);
        }
    }

    // spec: X29
    #[test]
    fn a_source_that_comes_back_does_not_repeat_the_numbers_of_the_silence() {
        let mut media = spoken();
        let kind = Silence::of(8, &codec("PCMA", 8000)).unwrap();
        assert_eq!(silence(&mut media, 270, &kind).0.sequence, 0);
        let mut bytes = packet(7, 0, 720);
        media.rewrite(at(300), &mut bytes).unwrap();
        let header = Header::read(&bytes).unwrap();
        assert_eq!((header.sequence, header.timestamp), (1, 2400));
        // One that was overtaken would land on a number that is taken.
        assert!(media.rewrite(at(301), &mut packet(7, 65_535, 480)).is_err());
    }

    // spec: X29
    #[test]
    fn sender_reports_count_the_silence_too() {
        let mut media = spoken();
        let kind = Silence::of(8, &codec("PCMA", 8000)).unwrap();
        silence(&mut media, 270, &kind);
        silence(&mut media, 300, &kind);
        media.rewrite(at(330), &mut packet(8, 1, 1)).unwrap();
        assert_eq!(media.sender_report(1, 1, 160), (6, 3 * 160 + 2 * 240 + 160));
    }

    // spec: X24
    #[test]
    fn a_listener_who_heard_nobody_yet_hears_the_ssrc_that_was_given() {
        let mut media = Continuity::new(48_000);
        let kind = Silence::of(0, &codec("PCMU", 8000)).unwrap();
        let (first, payload) = silence(&mut media, 1000, &kind);
        assert_eq!((first.ssrc, payload), (99, vec![0xff; 160]));
        let (second, _) = silence(&mut media, 1020, &kind);
        assert_eq!(second.sequence, first.sequence.wrapping_add(1));
        assert_eq!(second.timestamp, first.timestamp.wrapping_add(160));
        // The clock is that of what is spoken, not of the first format offered.
        let mut bytes = packet(5, 9, 9);
        media.rewrite(at(1120), &mut bytes).unwrap();
        let header = Header::read(&bytes).unwrap();
        assert_eq!(header.ssrc, 99);
        assert_eq!(header.timestamp, second.timestamp.wrapping_add(800));
    }

    // spec: X24
    #[test]
    fn each_format_has_its_silence_or_none() {
        let mut media = spoken();
        for (name, rate, payload) in [
            ("PCMU", 8000, Some(vec![0xff; 240])),
            ("G722", 8000, Some(vec![0xff; 240])),
            ("opus", 48_000, Some(vec![0xf8, 0xff, 0xfe])),
            ("CN", 8000, Some(vec![78])),
            ("CN", 16_000, Some(vec![78])),
            ("PCMU", 16_000, None),
            ("G729", 8000, None),
            ("telephone-event", 8000, None),
        ] {
            let kind = Silence::of(96, &codec(name, rate));
            let said = kind.map(|kind| silence(&mut media, 500, &kind).1);
            assert_eq!(said, payload, "{name}/{rate}");
        }
        assert_eq!(Silence::of(128, &codec("PCMU", 8000)), None);
        let kind = Silence::of(9, &codec("G722", 8000)).unwrap();
        assert_eq!(media.write_silence(at(0), &kind, 1, &mut [0; 20]), None);
    }
}
