//! RTCP of both ends, rewritten beside the RTP that it reports on.

use crate::rtp::packet;
use crate::script::Script;
use holdline_wire::Time;
use holdline_wire::rtcp::{BYE, Mapping, Part, RR, SR, check as is_rtcp, check_protected};
use holdline_wire::rtp::{Continuity, Dropped, Header};
use std::time::Duration;

/// The most datagrams of one input.
const DATAGRAMS: usize = 2_000;

/// Plays the script: media of either side, RTCP of either side, moves.
pub fn check(data: &[u8]) {
    let _ = (is_rtcp(data), check_protected(data));
    let mut script = Script(data);
    let mut stream = Stream {
        media: Continuity::new(8_000),
        mapping: Mapping::new(),
        now: Time::ZERO,
    };
    for _ in 0..DATAGRAMS {
        if script.is_over() {
            break;
        }
        let choice = script.byte();
        stream.now = stream.now + Duration::from_millis(u64::from(script.byte()));
        match choice % 8 {
            0 => {
                stream.media.moved();
                stream.mapping.moved();
            }
            1 => drop(
                stream
                    .media
                    .rewrite(stream.now, &mut packet(choice, &mut script)),
            ),
            2 => {
                if let Ok(header) = Header::read(&packet(choice, &mut script)) {
                    stream.mapping.observe(&header);
                }
            }
            3..=5 => stream.from_far(&mut compound(&mut script)),
            _ => stream.from_near(&mut compound(&mut script)),
        }
    }
}

/// A datagram: parts whose lengths are right, filled by the script; or raw bytes.
fn compound(script: &mut Script<'_>) -> Vec<u8> {
    let parts = script.byte() & 3;
    if parts == 0 {
        let length = usize::from(script.byte());
        return script.take(length).to_vec();
    }
    let mut datagram = Vec::new();
    for _ in 0..parts {
        let (first, kind) = (script.byte(), script.byte());
        let words = script.byte() % 32;
        datagram.extend_from_slice(&[0x80 | first & 0x3f, 200 + kind % 8, 0, words]);
        let end = datagram.len() + 4 * usize::from(words);
        datagram.extend_from_slice(script.take(4 * usize::from(words)));
        datagram.resize(end, 0);
    }
    datagram
}

struct Stream {
    media: Continuity,
    mapping: Mapping,
    now: Time,
}

impl Stream {
    fn from_far(&mut self, datagram: &mut [u8]) {
        let before = datagram.to_vec();
        let result = self.mapping.rewrite_from_far(&mut self.media, datagram);
        let Some(after) = passed(&before, datagram, result) else {
            return;
        };
        for part in parts(after) {
            let kind = part[1];
            assert_ne!(kind, BYE, "a node's BYE ends no call");
            if let (SR | RR, Some(pinned)) = (kind, self.media.pinned()) {
                assert_eq!(part[4..8], pinned.to_be_bytes(), "a second source");
            }
        }
    }

    fn from_near(&mut self, datagram: &mut [u8]) {
        let before = datagram.to_vec();
        let result = self.mapping.rewrite_from_near(&self.media, datagram);
        let Some(after) = passed(&before, datagram, result) else {
            return;
        };
        if self.media.pinned().is_none() {
            assert_eq!(after, before, "nothing is known that could be changed");
        }
        // The near side's own sources are its own.
        let senders = |bytes| -> Vec<Vec<u8>> {
            let reports = parts(bytes).into_iter();
            let reports = reports.filter(|part| matches!(part[1], SR | RR));
            reports.map(|part| part[4..8].to_vec()).collect()
        };
        assert_eq!(senders(&before), senders(after));
    }
}

/// What is passed on of a datagram: RTCP again, and never more than there was.
fn passed<'a>(
    before: &[u8],
    datagram: &'a [u8],
    result: Result<usize, Dropped>,
) -> Option<&'a [u8]> {
    match result {
        Ok(length) => {
            assert!(is_rtcp(before).is_ok());
            let after = &datagram[..length];
            assert_eq!(is_rtcp(after), Ok(()), "{before:?} became {after:?}");
            Some(after)
        }
        Err(Dropped::Malformed(_)) => {
            assert!(is_rtcp(before).is_err());
            None
        }
        Err(_) => None,
    }
}

fn parts(mut datagram: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Ok(part) = Part::read(datagram) {
        let (part, rest) = datagram.split_at(part.len);
        parts.push(part);
        datagram = rest;
    }
    parts
}
