//! Silence for near sides that hear nobody: which streams may need it, and when each is looked at
//! next. Only streams that the core named cost anything; the far side's packets cost nothing, since
//! whether there was one is asked when silence would be due.

use crate::command::{Comfort, Side, StreamId};
use crate::stream::Stream;
use holdline_wire::Time;
use holdline_wire::deadline::Deadlines;
use std::collections::HashMap;
use std::time::Duration;

/// A stream is looked at again after this long at least, whatever was asked for.
const REST: Duration = Duration::from_millis(10);

/// The streams that wait, by when each is looked at.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    due: Deadlines<StreamId>,
}

/// What the core asked for a stream, and how far it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comforting {
    comfort: Comfort,
    /// When the next packet is due; `None` while the far side is heard.
    due: Option<Time>,
}

/// What is due for a stream.
enum Due {
    /// A packet of so many bytes, and the time to look again.
    Packet(usize, Time),
    /// Nothing until then.
    Later(Time),
}

impl Waiting {
    /// `stream` is looked at as soon as may be.
    pub(crate) fn begin(&mut self, stream: StreamId) {
        self.due.set(stream, Time::ZERO);
    }

    /// `stream` is not looked at any more.
    pub(crate) fn end(&mut self, stream: StreamId) {
        self.due.cancel(stream);
    }

    /// When some stream is to be looked at.
    pub(crate) fn next(&self) -> Option<Time> {
        self.due.next()
    }

    /// The next packet that is due at `now`, written into `packet`. Each stream has one at most,
    /// so that asking until there is none ends.
    pub(crate) fn packet(
        &mut self,
        now: Time,
        packet: &mut [u8],
        streams: &mut HashMap<StreamId, Box<Stream>>,
    ) -> Option<(StreamId, usize)> {
        while let Some(id) = self.due.pop(now) {
            let stream = streams.get_mut(&id);
            match stream.and_then(|stream| stream.comfort(now, packet)) {
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
    pub(crate) fn new(comfort: Comfort) -> Comforting {
        Comforting { comfort, due: None }
    }

    /// Whether this was asked for already.
    pub(crate) fn is(&self, comfort: &Comfort) -> bool {
        self.comfort == *comfort
    }
}

impl Stream {
    /// Writes the packet of silence that is due at `now`, if the near side hears nobody. `None`
    /// where the stream has no need of any.
    fn comfort(&mut self, now: Time, packet: &mut [u8]) -> Option<Due> {
        let heard = self.side(Side::Far).last_heard();
        let listens = self.side(Side::Near).way_out(false).is_some();
        let steady = self.steady.as_deref_mut()?;
        let Comforting { comfort, due } = steady.comforting.as_deref_mut()?;
        let after = comfort.after.max(REST);
        let spoken = steady.media.payload_type();
        let Some(silence) = comfort.silence(spoken).filter(|_| listens) else {
            return Some(Due::Later(now + after));
        };
        if let Some(last) = heard.filter(|last| now.since(*last) < after) {
            *due = None;
            return Some(Due::Later(last + after));
        }
        let time = steady.media.silence_time(silence);
        // In step with what was heard, so that streams keep their distance from each other.
        let at = due.unwrap_or(heard.map_or(now, |last| next_in_step(last, now, time)));
        if at > now {
            *due = Some(at);
            return Some(Due::Later(at));
        }
        // What was missed is not made up for: the timestamps tell how much it was.
        let next = next_in_step(at, now, time);
        *due = Some(next);
        let len = steady
            .media
            .write_silence(now, silence, comfort.ssrc, packet);
        Some(len.map_or(Due::Later(next), |len| Due::Packet(len, next)))
    }
}

/// The first of the moments `from`, `from + step` ... that is after `now`.
fn next_in_step(from: Time, now: Time, step: Duration) -> Time {
    let step = u64::try_from(step.max(REST).as_nanos()).unwrap_or(u64::MAX);
    let passed = u64::try_from(now.since(from).as_nanos()).unwrap_or(u64::MAX);
    from + Duration::from_nanos((passed / step + 1).saturating_mul(step))
}
