//! Silence for near sides that hear nobody: which streams may need it, and when each is looked at
//! next. Only streams that the core named cost anything; the far side's packets cost nothing, since
//! whether there was one is asked when silence would be due.

use crate::command::{Comfort, StreamId};
use holdline_wire::Time;
use holdline_wire::deadline::Deadlines;
use holdline_wire::rtp::Continuity;
use std::time::Duration;

/// A stream is looked at again after this long at least, whatever was asked for.
const REST: Duration = Duration::from_millis(10);

/// The streams that wait, by when each is looked at.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    due: Deadlines<StreamId>,
}

/// What the core asked for a stream, and how far it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comforting {
    comfort: Comfort,
    /// When the next packet is due; `None` while the far side is heard.
    due: Option<Time>,
}

/// What is due for a stream.
pub(super) enum Due {
    /// A packet of so many bytes, and the time to look again.
    Packet(usize, Time),
    /// Nothing until then.
    Later(Time),
}

impl Waiting {
    /// `stream` is looked at as soon as may be.
    pub(super) fn begin(&mut self, stream: StreamId) {
        self.due.set(stream, Time::ZERO);
    }

    /// `stream` is not looked at any more.
    pub(super) fn end(&mut self, stream: StreamId) {
        self.due.cancel(stream);
    }

    /// When some stream is to be looked at.
    pub(super) fn next(&self) -> Option<Time> {
        self.due.next()
    }

    /// The next packet that is due at `now`, as `look` writes it: for which stream, and its
    /// length. Each stream has one at most, so that asking until there is none ends. `look` says
    /// `None` where the stream has no need of any.
    pub(super) fn packet(
        &mut self,
        now: Time,
        mut look: impl FnMut(StreamId) -> Option<Due>,
    ) -> Option<(StreamId, usize)> {
        while let Some(id) = self.due.pop(now) {
            match look(id) {
                Some(Due::Packet(len, next)) => {
                    self.due.set(id, next);
                    return Some((id, len));
                }
                Some(Due::Later(next)) => self.due.set(id, next),
                None => {}
            }
        }
        None
    }
}

impl Comforting {
    pub(super) fn new(comfort: Comfort) -> Comforting {
        Comforting { comfort, due: None }
    }

    /// Whether this was asked for already.
    pub(super) fn is(&self, comfort: &Comfort) -> bool {
        self.comfort == *comfort
    }
    /// Writes the packet of silence that is due at `now`, as the next of `media`, if the near side
    /// `listens` and the far side was not `heard` of late.
    pub(super) fn look(
        &mut self,
        now: Time,
        heard: Option<Time>,
        listens: bool,
        media: &mut Continuity,
        packet: &mut [u8],
    ) -> Due {
        let Comforting { comfort, due } = self;
        let after = comfort.after.max(REST);
        let spoken = media.payload_type();
        let Some(silence) = comfort.silence(spoken).filter(|_| listens) else {
            return Due::Later(now + after);
        };
        if let Some(last) = heard.filter(|last| now.since(*last) < after) {
            *due = None;
            return Due::Later(last + after);
        }
        let time = media.silence_time(silence);
        // In step with what was heard, so that streams keep their distance from each other.
        let at = due.unwrap_or(heard.map_or(now, |last| next_in_step(last, now, time)));
        if at > now {
            *due = Some(at);
            return Due::Later(at);
        }
        // What was missed is not made up for: the timestamps tell how much it was.
        let next = next_in_step(at, now, time);
        *due = Some(next);
        let len = media.write_silence(now, silence, comfort.ssrc, packet);
        len.map_or(Due::Later(next), |len| Due::Packet(len, next))
    }
}

/// The first of the moments `from`, `from + step` ... that is after `now`.
fn next_in_step(from: Time, now: Time, step: Duration) -> Time {
    let step = u64::try_from(step.max(REST).as_nanos()).unwrap_or(u64::MAX);
    let passed = u64::try_from(now.since(from).as_nanos()).unwrap_or(u64::MAX);
    from + Duration::from_nanos((passed / step + 1).saturating_mul(step))
}
