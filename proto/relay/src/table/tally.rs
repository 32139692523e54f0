//! What was heard of each group since the last tick. Never a walk over streams: the groups that
//! were heard are noted as they are.

use crate::command::GroupId;
use crate::report::GroupTick;
use holdline_wire::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// Refusals that are told of a group in one tick. A host refuses some six packets of one sender and
/// then one a second: a few more than those who ask for several need (spec: X20).
pub(crate) const REFUSED_A_TICK: u8 = 4;

/// Where a group's counters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

/// Counters of all groups that have streams.
#[derive(Debug)]
pub(super) struct Tally {
    groups: Vec<Group>,
    by_id: BTreeMap<GroupId, Place>,
    free: Vec<Place>,
    /// The groups with something to tell.
    touched: Vec<Place>,
    number: u32,
}

#[derive(Debug)]
struct Group {
    id: GroupId,
    /// Streams of it; at zero its place is free for another.
    members: u32,
    packets: u32,
    streams: u32,
    newest: Time,
    pause: Duration,
    touched: bool,
    refused: u8,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            groups: Vec::new(),
            by_id: BTreeMap::new(),
            free: Vec::new(),
            touched: Vec::new(),
            number: 1,
        }
    }
}

impl Tally {
    /// A stream joins a group.
    pub(super) fn join(&mut self, id: GroupId) -> Place {
        if let Some(&place) = self.by_id.get(&id) {
            self.groups[place.0].members += 1;
            return place;
        }
        let group = Group {
            id,
            members: 1,
            packets: 0,
            streams: 0,
            newest: Time::ZERO,
            pause: Duration::ZERO,
            touched: false,
            refused: 0,
        };
        let place = match self.free.pop() {
            Some(place) => {
                self.groups[place.0] = group;
                place
            }
            None => {
                self.groups.push(group);
                Place(self.groups.len() - 1)
            }
        };
        self.by_id.insert(id, place);
        place
    }

    /// A stream leaves its group. What it said in this tick still counts.
    pub(super) fn leave(&mut self, place: Place) {
        let group = &mut self.groups[place.0];
        group.members -= 1;
        if group.members == 0 && !group.touched {
            self.release(place);
        }
    }

    fn release(&mut self, place: Place) {
        self.by_id.remove(&self.groups[place.0].id);
        self.free.push(place);
    }

    /// Whether `place` is that of `id`.
    pub(super) fn is(&self, place: Place, id: GroupId) -> bool {
        self.groups[place.0].id == id
    }

    /// The number of the tick that is being gathered.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// A packet came; `first` of its stream in this tick.
    pub(super) fn heard(&mut self, place: Place, now: Time, first: bool) {
        let group = self.touch(place);
        group.packets = group.packets.saturating_add(1);
        group.streams += u32::from(first);
        if group.newest > Time::ZERO {
            group.pause = group.pause.max(now.since(group.newest));
        }
        group.newest = group.newest.max(now);
    }

    /// A packet was refused, `first` of its stream in this tick; the group, if that is worth
    /// telling.
    pub(super) fn refused(&mut self, place: Place, first: bool) -> Option<GroupId> {
        let group = self.touch(place);
        let tell = first && group.refused < REFUSED_A_TICK;
        group.refused += u8::from(tell);
        tell.then_some(group.id)
    }

    fn touch(&mut self, place: Place) -> &mut Group {
        let group = &mut self.groups[place.0];
        if !group.touched {
            group.touched = true;
            self.touched.push(place);
        }
        group
    }

    /// What was heard since the last time, by group.
    pub(super) fn take(&mut self) -> Vec<GroupTick> {
        let mut ticks = Vec::with_capacity(self.touched.len());
        while let Some(place) = self.touched.pop() {
            let group = &mut self.groups[place.0];
            if group.packets > 0 {
                ticks.push(GroupTick {
                    group: group.id,
                    packets: group.packets,
                    streams: group.streams,
                    newest: group.newest,
                    pause: group.pause,
                });
            }
            (group.packets, group.streams) = (0, 0);
            group.pause = Duration::ZERO;
            (group.touched, group.refused) = (false, 0);
            if group.members == 0 {
                self.release(place);
            }
        }
        ticks.sort_unstable_by_key(|tick| tick.group);
        // 0 stands for "never" in the streams.
        self.number = self.number.wrapping_add(1).max(1);
        ticks
    }
}
