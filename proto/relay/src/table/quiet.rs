//! Which sides are heard: told once when a side's first packet comes, when it falls silent, and
//! when it is heard again. A packet of a side that is known to be heard costs one comparison; each
//! stream is looked at once in a while, never all of them.

use super::stream::Stream;
use crate::command::{Side, StreamId};
use crate::report::Report;
use holdline_wire::Time;
use holdline_wire::deadline::Deadlines;
use std::collections::HashMap;
use std::time::Duration;

/// A look that comes later than this proves nothing: what came meanwhile may not have been read
/// yet (spec: X21).
const LATE: Duration = Duration::from_secs(1);

/// The streams of which some side is heard, by when each is looked at.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    after: Option<Duration>,
    due: Deadlines<StreamId>,
    news: Vec<Report>,
}

impl Quiet {
    /// Tells of sides that were silent for `after`; of nothing without.
    pub(super) fn new(after: Option<Duration>) -> Quiet {
        Quiet {
            after,
            ..Quiet::default()
        }
    }

    /// A packet came in on a side that was not known to be heard.
    pub(super) fn heard(&mut self, now: Time, stream: StreamId, side: Side) {
        if let Some(after) = self.after {
            self.news.push(Report::Heard { stream, side });
            self.due.set_late(stream, now + after);
        }
    }

    /// The stream is gone.
    pub(super) fn end(&mut self, stream: StreamId) {
        self.due.cancel(stream);
    }

    /// When some stream is to be looked at.
    pub(super) fn next(&self) -> Option<Time> {
        self.due.next()
    }

    /// Looks at the streams whose time has come.
    pub(super) fn look(&mut self, now: Time, streams: &mut HashMap<StreamId, Box<Stream>>) {
        let Some(after) = self.after else { return };
        while let Some(due) = self.due.next().filter(|due| *due <= now)
            && let Some(id) = self.due.pop(now)
        {
            let Some(stream) = streams.get_mut(&id) else {
                continue;
            };
            if now.since(due) > LATE {
                self.due.set_late(id, now + after);
                continue;
            }
            let mut next = None::<Time>;
            for side in [Side::Near, Side::Far] {
                let state = stream.side_mut(side);
                let Some(last) = state.last_heard().filter(|_| state.heard) else {
                    continue;
                };
                if now.since(last) >= after {
                    state.heard = false;
                    self.news.push(Report::Quiet {
                        stream: id,
                        side,
                        since: last,
                    });
                } else {
                    let at = last + after;
                    next = Some(next.map_or(at, |next| next.min(at)));
                }
            }
            if let Some(at) = next {
                self.due.set_late(id, at);
            }
        }
    }

    /// What there is to tell since the last time.
    pub(super) fn take(&mut self, reports: &mut Vec<Report>) {
        reports.append(&mut self.news);
    }
}
