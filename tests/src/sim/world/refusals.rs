//! What a host says of ports that nobody has open: a handful of times, then once a second (icmp(7),
//! `icmp_ratelimit`; here whoever asks, there each by itself).

use crate::sim::host::HostId;
use holdline_relay::{GroupId, StreamId};
use holdline_wire::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// Refusals in a row, and the time in which one more is allowed.
const BURST: u32 = 6;
const EACH: Duration = Duration::from_secs(1);
/// Streams that the agent's relay tells of in a tick.
const TOLD: usize = 4;

/// The refusals of all hosts.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// What each host said of late, and up to when that is forgotten.
    said: BTreeMap<HostId, (u32, Time)>,
    /// Groups whose ports refuse now, their host, and the streams that meet it.
    streams: BTreeMap<GroupId, (HostId, Vec<StreamId>)>,
}

impl Refusals {
    /// Whether the host says it once more.
    pub fn allows(&mut self, now: Time, host: HostId) -> bool {
        let (said, at) = self.said.entry(host).or_insert((0, now));
        while *said > 0 && now.since(*at) >= EACH {
            *said -= 1;
            *at = *at + EACH;
        }
        if *said == 0 {
            *at = now;
        }
        let allowed = *said < BURST;
        *said += u32::from(allowed);
        allowed
    }

    /// Nobody is known to refuse.
    pub fn clear(&mut self) {
        self.streams.clear();
    }

    /// The packets of a stream meet a closed port.
    pub fn met(&mut self, group: GroupId, host: HostId, stream: StreamId) {
        let (_, streams) = self.streams.entry(group).or_insert((host, Vec::new()));
        if streams.len() < TOLD && !streams.contains(&stream) {
            streams.push(stream);
        }
    }

    /// Who hears of it in one tick.
    pub fn in_a_tick(&mut self, now: Time) -> Vec<(GroupId, StreamId)> {
        let all = self.streams.iter();
        let all: Vec<_> = all
            .flat_map(|(&group, (host, streams))| {
                streams.iter().map(move |&stream| (*host, group, stream))
            })
            .collect();
        all.into_iter()
            .filter(|&(host, ..)| self.allows(now, host))
            .map(|(_, group, stream)| (group, stream))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_refuses_six_times_and_then_once_a_second() {
        let mut refusals = Refusals::default();
        let mut count = |millis: std::ops::Range<u64>| {
            let allowed = |n: &u64| refusals.allows(Time::ZERO + Duration::from_millis(*n), 7);
            millis.filter(allowed).count()
        };
        assert_eq!(
            [count(0..900), count(900..3100), count(20_000..20_100)],
            [6, 3, 6]
        );
    }
}
