//! Which sides are heard: what the programs' relays tell of it, by arithmetic.

use crate::sim::host::HostId;
use holdline_relay::{QUIET_AFTER, Side, StreamId};
use holdline_wire::Time;
use std::collections::{BTreeMap, BTreeSet};

/// A side of a stream of a program.
type Place = (HostId, StreamId, Side);

/// A side that was heard at some time.
#[derive(Clone, Copy, Debug)]
struct Sound {
    /// The program was told so, and not since that it is over.
    told: bool,
    /// When it was heard last.
    last: Time,
}

/// All sides.
#[derive(Debug, Default)]
pub(super) struct Sounds {
    /// Those where packets come in now.
    now: BTreeSet<Place>,
    known: BTreeMap<Place, Sound>,
}

impl Sounds {
    /// It is found out anew where packets come in.
    pub fn forget(&mut self) {
        self.now.clear();
    }

    /// They do here.
    pub fn hear(&mut self, place: Place) {
        self.now.insert(place);
    }

    /// Those that are heard for the first time, or again.
    pub fn begun(&mut self, now: Time) -> Vec<Place> {
        let mut begun = Vec::new();
        for place in &self.now {
            let fresh = Sound {
                told: false,
                last: now,
            };
            let sound = self.known.entry(*place).or_insert(fresh);
            sound.last = now;
            if !std::mem::replace(&mut sound.told, true) {
                begun.push(*place);
            }
        }
        begun
    }

    /// Those of streams that are not open any more are forgotten.
    pub fn keep(&mut self, is_open: impl Fn(HostId, StreamId) -> bool) {
        self.known
            .retain(|(host, stream, _), _| is_open(*host, *stream));
    }

    /// Those where nobody has been heard for long, and since when. A process that stands still hears
    /// nobody and misses nobody.
    pub fn ended(
        &mut self,
        now: Time,
        stands_still: impl Fn(HostId) -> bool,
    ) -> Vec<(Place, Time)> {
        let mut ended = Vec::new();
        for (place, sound) in &mut self.known {
            if self.now.contains(place) || stands_still(place.0) {
                sound.last = now;
            } else if sound.told && now.since(sound.last) >= QUIET_AFTER {
                sound.told = false;
                ended.push((*place, sound.last));
            }
        }
        ended
    }
}
