//! Reports on their way to a bounded queue: what cannot be told again waits, ticks are merged.

use crate::command::{Side, StreamId};
use crate::report::{Report, Tick};
use crate::table::REFUSED_A_TICK;
use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, TrySendError};

/// Where reports go. Never blocks.
pub trait ReportSink: Send + 'static {
    /// Takes a report, or gives it back where there is no room now.
    fn offer(&mut self, report: Report) -> Result<(), Report>;
}

impl ReportSink for SyncSender<Report> {
    /// A queue that nobody reads any more takes everything.
    fn offer(&mut self, report: Report) -> Result<(), Report> {
        match self.try_send(report) {
            Err(TrySendError::Full(report)) => Err(report),
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }
}

impl ReportSink for Box<dyn FnMut(Report) -> Result<(), Report> + Send> {
    fn offer(&mut self, report: Report) -> Result<(), Report> {
        self(report)
    }
}

/// What was not taken yet.
pub(super) struct Outbox {
    sink: Box<dyn ReportSink>,
    /// Everything but ticks, in order.
    kept: VecDeque<Report>,
    tick: Option<Tick>,
    merged: u64,
}

impl Outbox {
    pub(super) fn new(sink: Box<dyn ReportSink>) -> Outbox {
        Outbox {
            sink,
            kept: VecDeque::new(),
            tick: None,
            merged: 0,
        }
    }

    /// Takes a report in. A second refusal of a stream says nothing new while the first waits, nor
    /// does a fifth of a group.
    pub(super) fn push(&mut self, report: Report) {
        match report {
            Report::Tick(tick) => match &mut self.tick {
                Some(waiting) => {
                    merge(waiting, tick, u32::max);
                    self.merged += 1;
                }
                None => self.tick = Some(tick),
            },
            Report::Refused { group, stream, .. } => {
                let of_group = |kept: &&Report| matches!(kept, Report::Refused { group: other, .. } if *other == group);
                let known = |kept: &Report| matches!(kept, Report::Refused { stream: other, .. } if *other == stream);
                let mut waiting = self.kept.iter().filter(of_group);
                if waiting.clone().count() < usize::from(REFUSED_A_TICK) && !waiting.any(known) {
                    self.kept.push_back(report);
                }
            }
            // Of what waits, only the last word on a side counts.
            Report::Heard { stream, side } | Report::Quiet { stream, side, .. } => {
                let other = |kept: &Report| !is_about(kept, stream, side);
                self.kept.retain(other);
                self.kept.push_back(report);
            }
            _ => self.kept.push_back(report),
        }
    }

    /// Hands out what there is room for, a tick after what happened before it.
    pub(super) fn flush(&mut self) {
        while let Some(report) = self.kept.pop_front() {
            if let Err(report) = self.sink.offer(report) {
                self.kept.push_front(report);
                return;
            }
        }
        if let Some(tick) = self.tick.take()
            && let Err(Report::Tick(tick)) = self.sink.offer(Report::Tick(tick))
        {
            self.tick = Some(tick);
        }
    }

    /// How many ticks were merged into a later one.
    pub(super) fn merged(&self) -> u64 {
        self.merged
    }
}

/// Whether a report says if this side is heard.
fn is_about(report: &Report, stream: StreamId, side: Side) -> bool {
    match *report {
        Report::Heard { stream: s, side: o }
        | Report::Quiet {
            stream: s, side: o, ..
        } => (s, o) == (stream, side),
        _ => false,
    }
}

/// Makes `waiting` the report of both; `streams` says how many streams two counts mean.
pub(super) fn merge(waiting: &mut Tick, newer: Tick, streams: fn(u32, u32) -> u32) {
    waiting.at = waiting.at.max(newer.at);
    waiting.late = waiting.late.max(newer.late);
    for tick in newer.groups {
        match waiting
            .groups
            .binary_search_by_key(&tick.group, |known| known.group)
        {
            Ok(at) => {
                let known = &mut waiting.groups[at];
                known.packets = known.packets.saturating_add(tick.packets);
                known.streams = streams(known.streams, tick.streams);
                known.newest = known.newest.max(tick.newest);
                known.pause = known.pause.max(tick.pause);
            }
            Err(at) => waiting.groups.insert(at, tick),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::GroupId;
    use crate::report::GroupTick;
    use holdline_wire::Time;
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    fn tick(at: u64, late: u64, group: u32) -> Report {
        let heard = GroupTick {
            group: GroupId(group),
            packets: 2,
            streams: 1,
            newest: Time::from_nanos(at),
            pause: Duration::ZERO,
        };
        let (at, late) = (Time::from_nanos(at), Duration::from_nanos(late));
        Report::Tick(Tick {
            at,
            late,
            groups: vec![heard],
        })
    }

    fn removed(stream: u64) -> Report {
        Report::Removed {
            stream: StreamId(stream),
            closed: [None, None],
        }
    }

    fn refused(group: u32, stream: u64) -> Report {
        Report::Refused {
            group: GroupId(group),
            stream: StreamId(stream),
            at: Time::ZERO,
        }
    }

    #[test]
    fn without_room_ticks_are_merged_and_the_rest_waits() {
        let (sender, receiver) = sync_channel(1);
        let mut outbox = Outbox::new(Box::new(sender));
        for report in [
            tick(1, 0, 7),
            removed(1),
            refused(7, 1),
            tick(2, 9, 3),
            refused(7, 1),
        ] {
            outbox.push(report);
            outbox.flush();
        }
        outbox.push(tick(3, 5, 7));
        let mut heard = Vec::new();
        while let Ok(report) = receiver.try_recv() {
            heard.push(report);
            outbox.flush();
        }
        assert_eq!(heard[..3], [tick(1, 0, 7), removed(1), refused(7, 1)]);
        let Report::Tick(merged) = &heard[3] else {
            panic!("{heard:?}")
        };
        assert_eq!(
            (merged.at, merged.late),
            (Time::from_nanos(3), Duration::from_nanos(9))
        );
        assert_eq!(
            merged
                .groups
                .iter()
                .map(|tick| tick.group.0)
                .collect::<Vec<_>>(),
            [3, 7]
        );
        assert_eq!((heard.len(), outbox.merged()), (4, 1));
    }
}
