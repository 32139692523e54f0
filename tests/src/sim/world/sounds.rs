//! Which sides are heard: what the programs' relays tell of it, by arithmetic.

use super::World;
use crate::sim::host::HostId;
use holdline_relay::{QUIET_AFTER, Report, Side, StreamId};
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
}

impl World {
    /// Programs whose relays hear somebody for the first time, or again, are told so.
    pub(super) fn tell_sounds(&mut self) {
        let now = self.now;
        for place in self.sounds.now.clone() {
            let fresh = Sound {
                told: false,
                last: now,
            };
            let sound = self.sounds.known.entry(place).or_insert(fresh);
            sound.last = now;
            if !std::mem::replace(&mut sound.told, true) {
                let (host, stream, side) = place;
                let run = self.hosts[host].run;
                self.report(host, run, Report::Heard { stream, side });
            }
        }
    }

    /// Programs whose relays have heard nobody on a side for long are told so. A process that
    /// stands still hears nobody and misses nobody.
    pub(super) fn tell_silences(&mut self) {
        let now = self.now;
        let (relays, hosts) = (&self.relays, &self.hosts);
        let known = &mut self.sounds.known;
        known.retain(|(host, stream, _), _| relays.get(*host, *stream).is_some());
        let mut silent = Vec::new();
        for (place, sound) in known {
            if self.sounds.now.contains(place) || hosts[place.0].paused {
                sound.last = now;
            } else if sound.told && now.since(sound.last) >= QUIET_AFTER {
                sound.told = false;
                silent.push((*place, sound.last));
            }
        }
        for ((host, stream, side), since) in silent {
            let run = self.hosts[host].run;
            let report = Report::Quiet {
                stream,
                side,
                since,
            };
            self.report(host, run, report);
        }
    }
}
