//! One stream of reports from all relay threads: a tick goes out once each of them has told its
//! part, so that a group that is missing from it was silent everywhere.

use super::outbox::{Outbox, ReportSink, merge};
use crate::report::{Report, Tick};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by the threads; taken by them at ticks and where something happened, never for a packet.
pub(super) struct Gather(Mutex<Gathered>);

struct Gathered {
    outbox: Outbox,
    tick: Option<Tick>,
    /// Which threads told their part.
    told: Vec<bool>,
}

impl Gather {
    pub(super) fn new(sink: Box<dyn ReportSink>, threads: usize) -> Gather {
        let outbox = Outbox::new(sink);
        Gather(Mutex::new(Gathered {
            outbox,
            tick: None,
            told: vec![false; threads],
        }))
    }

    /// Takes over what happened in a thread.
    pub(super) fn push(&self, reports: &mut Vec<Report>) {
        let mut gathered = self.lock();
        for report in reports.drain(..) {
            gathered.outbox.push(report);
        }
        gathered.outbox.flush();
    }

    /// Takes over a thread's part of a tick.
    pub(super) fn tick(&self, thread: usize, tick: Tick) {
        let mut guard = self.lock();
        let gathered = &mut *guard;
        match &mut gathered.tick {
            // Another thread's streams are other streams; the same thread's may be the same.
            Some(waiting) if gathered.told[thread] => merge(waiting, tick, u32::max),
            Some(waiting) => merge(waiting, tick, u32::saturating_add),
            None => gathered.tick = Some(tick),
        }
        gathered.told[thread] = true;
        if gathered.told.iter().all(|told| *told) {
            gathered.told.fill(false);
            if let Some(tick) = gathered.tick.take() {
                gathered.outbox.push(Report::Tick(tick));
            }
        }
        gathered.outbox.flush();
    }

    /// How many ticks were merged into a later one for want of room.
    pub(super) fn merged(&self) -> u64 {
        self.lock().outbox.merged()
    }

    /// A thread that panicked while it held this leaves at worst a tick half merged.
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn tick(at: u64, group: u32, streams: u32) -> Tick {
        let at = Time::from_nanos(at);
        let heard = GroupTick {
            group: GroupId(group),
            packets: 2,
            streams,
            newest: at,
            pause: Duration::from_nanos(u64::from(streams)),
        };
        Tick {
            at,
            late: Duration::from_nanos(at.as_nanos() % 7),
            groups: vec![heard],
        }
    }

    // spec: X20
    #[test]
    fn a_tick_is_the_sum_of_all_threads() {
        let (sender, reports) = sync_channel(10);
        let gather = Gather::new(Box::new(sender), 2);
        gather.tick(0, tick(10, 1, 3));
        gather.tick(0, tick(20, 1, 2));
        assert!(
            reports.try_recv().is_err(),
            "the other thread may have heard it"
        );
        gather.tick(1, tick(24, 1, 4));
        let Ok(Report::Tick(told)) = reports.try_recv() else {
            panic!("no tick")
        };
        let newest = Time::from_nanos(24);
        let heard = GroupTick {
            group: GroupId(1),
            packets: 6,
            streams: 7,
            newest,
            pause: Duration::from_nanos(4),
        };
        let late = Duration::from_nanos(6);
        assert_eq!(
            told,
            Tick {
                at: newest,
                late,
                groups: vec![heard]
            }
        );
        gather.tick(1, tick(30, 5, 1));
        assert!(reports.try_recv().is_err());
        gather.tick(0, tick(31, 6, 1));
        let Ok(Report::Tick(told)) = reports.try_recv() else {
            panic!("no tick")
        };
        assert_eq!(
            told.groups
                .iter()
                .map(|heard| heard.group.0)
                .collect::<Vec<_>>(),
            [5, 6]
        );
    }
}
