//! What a session is made of.

use crate::command::{Side, StreamId};
use bytes::Bytes;
use holdline_wire::sdp::Sdp;
use std::hash::{DefaultHasher, Hasher};

/// A media stream that has its ports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) near: u16,
    pub(super) far: u16,
    /// What the relay was told, Hz.
    pub(super) clock_rate: u32,
    /// Who is heard: near and far.
    pub(super) sound: [Sound; 2],
}

impl Stream {
    /// Its port on `side`.
    pub(super) fn port(&self, side: Side) -> u16 {
        match side {
            Side::Near => self.near,
            Side::Far => self.far,
        }
    }

    /// Takes `port` on `side` in place of the one that it returns.
    pub(super) fn exchange_port(&mut self, side: Side, port: u16) -> u16 {
        let own = match side {
            Side::Near => &mut self.near,
            Side::Far => &mut self.far,
        };
        std::mem::replace(own, port)
    }
}

/// What is known of one side of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sound {
    /// No packet has come, ever.
    #[default]
    Never,
    /// Packets come.
    Heard,
    /// Some had come, and none do now.
    Quiet,
}

/// A description that was agreed, as its text alone: a call keeps it for hours and needs it a few
/// times, so neither the message that it came in nor its parts are kept with it.
#[derive(Clone, Debug)]
pub(super) struct Said(Box<[u8]>);

impl Said {
    pub(super) fn of(sdp: &Sdp) -> Said {
        Said(sdp.bytes().as_ref().into())
    }

    /// It was read before, so it can be again.
    pub(super) fn read(&self) -> Option<Sdp> {
        Sdp::parse(Bytes::copy_from_slice(&self.0)).ok()
    }
}

/// What was last sent to a side: its version grows when it changes, its session id stays for as
/// long as the side's dialog (RFC 3264 section 8).
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    pub(super) session: u64,
    pub(super) version: u64,
    /// Of the description without its o= line: enough to see that it changes.
    fingerprint: u64,
}

impl Sent {
    /// Nothing in this session yet.
    pub(super) fn nothing(session: u64) -> Sent {
        Sent {
            session,
            ..Sent::default()
        }
    }

    /// One that was sent by the attempt of this session, and is no longer known.
    pub(super) fn before(session: u64) -> Sent {
        Sent {
            version: 1,
            ..Sent::nothing(session)
        }
    }

    /// `sdp` is the first one of the session.
    pub(super) fn begin(&mut self, sdp: &[u8]) {
        (self.version, self.fingerprint) = (1, fingerprint(sdp));
    }

    /// `sdp` is the next one.
    pub(super) fn go_on(&mut self, sdp: &[u8]) {
        let fingerprint = fingerprint(sdp);
        if self.version == 0 || self.fingerprint != fingerprint {
            self.version += 1;
            self.fingerprint = fingerprint;
        }
    }
}

/// A hash of the description without its o= line, the same in every process.
fn fingerprint(sdp: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    sdp.split_inclusive(|byte| *byte == b'\n')
        .filter(|line| !line.starts_with(b"o="))
        .for_each(|line| hasher.write(line));
    hasher.finish()
}

/// An offer that is being answered.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) offerer: Side,
    pub(super) offer: Sdp,
    /// The answer that a provisional response brought already.
    pub(super) answer: Option<Sdp>,
}

impl Exchange {
    /// One that nobody has answered.
    pub(super) fn open(offerer: Side, offer: Sdp) -> Exchange {
        Exchange {
            offerer,
            offer,
            answer: None,
        }
    }

    /// What near and far side say in it once `answer` is there.
    pub(super) fn sides(&self, answer: &Sdp) -> (Sdp, Sdp) {
        let (offer, answer) = (self.offer.clone(), answer.clone());
        match self.offerer {
            Side::Near => (offer, answer),
            Side::Far => (answer, offer),
        }
    }
}

/// Whether a description has the stream of this number, and does not refuse it.
pub(super) fn has(sdp: &Sdp, index: usize) -> bool {
    let media = sdp.media().get(index);
    media.is_some_and(|media| media.port != 0)
}
