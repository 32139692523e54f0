//! What one listener hears of one talker: gaps, losses, foreign marks, breaks in the RTP numbering.

use super::mark::{Mark, Rtp, Side};
use holdline_wire::Time;
use serde::Serialize;
use std::time::Duration;

/// How far the RTP timestamps may stray from the talker's clock before it counts as a jump.
const TIMESTAMP_TOLERANCE: Duration = Duration::from_millis(100);
/// One stretch of the run: before the first fault, after the first fault, after the second ...
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The largest spacing between two packets, the first one may be older than the window.
    pub largest_gap_ns: u64,
    /// Packets with the right mark, first copies.
    pub packets: u64,
    /// Packets that were sent and did not come.
    pub lost: i64,
    /// The first silence of more than one and a half packets' time.
    pub first_pause: Option<Pause>,
}

/// A silence, since the tool's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// The packet before it.
    pub from_ns: u64,
    /// The packet after it.
    pub until_ns: u64,
}

/// What was heard.
#[derive(Clone, Debug, Serialize)]
pub struct Hearing {
    /// Whose marks are right.
    #[serde(skip)]
    call: u32,
    #[serde(skip)]
    talker: Side,
    /// The stretches of the run.
    pub windows: Vec<Window>,
    /// Second copies.
    pub duplicates: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Marks of another call or of the listener itself.
    pub crosstalk: u64,
    /// Packets without a mark: not ours.
    pub unmarked: u64,
    /// Packets from another address than the SDP's.
    pub foreign_source: u64,
    /// How often the SSRC changed.
    pub ssrc_changes: u64,
    /// How often the RTP sequence did not go on by one (spec: X29).
    pub sequence_jumps: u64,
    /// How often the RTP timestamp left the clock by more than the tolerance, or ran backwards.
    pub timestamp_jumps: u64,
    /// The longest way of a packet from the talker's socket to the listener's.
    pub longest_way_ns: u64,
    /// A longer silence than this is a pause.
    #[serde(skip)]
    pause: Duration,
    /// The talker is meant to be silent.
    #[serde(skip)]
    resting: bool,
    #[serde(skip)]
    last_arrival: Option<Time>,
    #[serde(skip)]
    opened: Time,
    #[serde(skip)]
    highest: Option<u64>,
    /// Bit n is set where the packet `highest - n` has come.
    #[serde(skip)]
    seen: u128,
    #[serde(skip)]
    last_rtp: Option<(Rtp, Time)>,
}

impl Hearing {
    /// A listener to `talker` of `call`, who speaks packets of `frame`, from `now` on.
    pub fn new(call: u32, talker: Side, frame: Duration, now: Time) -> Hearing {
        Hearing {
            call,
            talker,
            pause: frame * 3 / 2,
            resting: false,
            windows: vec![Window::default()],
            duplicates: 0,
            reordered: 0,
            crosstalk: 0,
            unmarked: 0,
            foreign_source: 0,
            ssrc_changes: 0,
            sequence_jumps: 0,
            timestamp_jumps: 0,
            longest_way_ns: 0,
            last_arrival: None,
            opened: now,
            highest: None,
            seen: 0,
            last_rtp: None,
        }
    }

    /// A fault begins: gaps from here on are counted by themselves.
    pub fn open_window(&mut self) {
        self.windows.push(Window::default());
    }

    /// From `now` on silence is meant (the call is held or over), or no longer is.
    pub fn rest(&mut self, now: Time, resting: bool) {
        if self.resting && !resting {
            self.last_arrival = None;
            self.opened = now;
        }
        self.resting = resting;
    }

    /// Whether silence is meant.
    pub fn is_resting(&self) -> bool {
        self.resting
    }

    /// When the last right packet came.
    pub fn last_arrival(&self) -> Option<Time> {
        self.last_arrival
    }

    /// Right packets over all windows.
    pub fn packets(&self) -> u64 {
        self.windows.iter().map(|window| window.packets).sum()
    }

    /// The largest gap since the first fault (or at all, where there was none).
    pub fn largest_gap(&self) -> Duration {
        let skip = usize::from(self.windows.len() > 1);
        let largest = self
            .windows
            .iter()
            .skip(skip)
            .map(|window| window.largest_gap_ns)
            .max();
        Duration::from_nanos(largest.unwrap_or(0))
    }

    /// The same with the silence from the last packet until `now`.
    #[must_use]
    pub fn closed(&self, now: Time) -> Hearing {
        let mut closed = self.clone();
        closed.note_gap(now);
        closed
    }

    fn note_gap(&mut self, now: Time) {
        if self.resting {
            return;
        }
        // Until something is heard at all, silence in the first stretch is the set-up.
        let first = self.windows.len() == 1 && self.highest.is_none();
        let since = self
            .last_arrival
            .unwrap_or(if first { now } else { self.opened });
        let gap = now.since(since).as_nanos() as u64;
        let pause = self.pause;
        let window = self.window();
        window.largest_gap_ns = window.largest_gap_ns.max(gap);
        if gap > pause.as_nanos() as u64 {
            window.first_pause.get_or_insert(Pause {
                from_ns: since.as_nanos(),
                until_ns: now.as_nanos(),
            });
        }
    }

    fn window(&mut self) -> &mut Window {
        if self.windows.is_empty() {
            self.windows.push(Window::default());
        }
        self.windows.last_mut().expect("there is always one")
    }

    /// Takes a packet.
    pub fn hear(&mut self, now: Time, packet: Option<(Rtp, Option<Mark>)>) {
        let Some((rtp, Some(mark))) = packet else {
            self.unmarked += 1;
            return;
        };
        if mark.call != self.call || mark.sender != self.talker {
            self.crosstalk += 1;
            return;
        }
        if !self.is_new(mark.number) {
            self.duplicates += 1;
            return;
        }
        self.note_gap(now);
        // Stamps of two sockets, around a move, may cross.
        self.last_arrival = self.last_arrival.max(Some(now));
        self.window().packets += 1;
        self.longest_way_ns = self
            .longest_way_ns
            .max(now.since(mark.sent).as_nanos() as u64);
        self.follow_rtp(rtp, mark.due);
    }

    /// Whether the packet is the first copy; counts losses and late ones.
    fn is_new(&mut self, number: u64) -> bool {
        let Some(highest) = self.highest else {
            self.highest = Some(number);
            self.seen = 1;
            return true;
        };
        if number > highest {
            let ahead = number - highest;
            self.window().lost += ahead as i64 - 1;
            let shift = u32::try_from(ahead).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(shift).unwrap_or(0) | 1;
            self.highest = Some(number);
            return true;
        }
        let behind = highest - number;
        if behind >= 128 || self.seen & (1 << behind) != 0 {
            return false;
        }
        self.seen |= 1 << behind;
        self.reordered += 1;
        self.window().lost -= 1;
        true
    }

    fn follow_rtp(&mut self, rtp: Rtp, due: Time) {
        let Some((last, at)) = self.last_rtp.replace((rtp, due)) else {
            return;
        };
        if rtp.ssrc != last.ssrc {
            self.ssrc_changes += 1;
            return;
        }
        if rtp.seq != last.seq.wrapping_add(1) {
            self.sequence_jumps += 1;
        }
        let ticks = rtp.timestamp.wrapping_sub(last.timestamp).cast_signed();
        // 8 ticks a millisecond. The marks carry the talker's clock: how late packets were
        // sent or came does not matter here.
        let moved = Duration::from_micros(u64::try_from(ticks).unwrap_or(0) * 125);
        if ticks <= 0 || moved.abs_diff(due.since(at)) > TIMESTAMP_TOLERANCE {
            self.timestamp_jumps += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(20);
    const TICKS: u32 = 160;

    fn ms(n: u64) -> Time {
        Time::from_nanos(n * 1_000_000)
    }

    fn packet(call: u32, number: u64, ssrc: u32) -> Option<(Rtp, Option<Mark>)> {
        let timestamp = TICKS.wrapping_mul(number as u32);
        let rtp = Rtp {
            payload: 8,
            seq: number as u16,
            timestamp,
            ssrc,
        };
        Some((
            rtp,
            Some(Mark {
                call,
                sender: Side::Caller,
                number,
                sent: ms(20 * number),
                due: ms(20 * number),
            }),
        ))
    }

    fn hears(numbers: impl IntoIterator<Item = u64>) -> Hearing {
        let mut hearing = Hearing::new(1, Side::Caller, FRAME, Time::ZERO);
        for number in numbers {
            hearing.hear(ms(20 * number + 1), packet(1, number, 9));
        }
        hearing
    }

    #[test]
    fn the_largest_gap_counts_from_the_packet_before_the_fault() {
        let mut hearing = hears(0..10);
        assert_eq!(hearing.largest_gap(), Duration::from_millis(20));
        hearing.open_window();
        hearing.hear(ms(481), packet(1, 24, 9));
        assert_eq!(hearing.largest_gap(), Duration::from_millis(300));
        assert_eq!(
            hearing.windows[1],
            Window {
                largest_gap_ns: 300_000_000,
                packets: 1,
                lost: 14,
                first_pause: Some(Pause {
                    from_ns: 181_000_000,
                    until_ns: 481_000_000
                }),
            }
        );
        assert_eq!(hearing.sequence_jumps, 1);
        assert_eq!(
            hearing.timestamp_jumps, 0,
            "the clock went on as the timestamps did"
        );
        assert_eq!(
            hearing.closed(ms(1481)).largest_gap(),
            Duration::from_secs(1)
        );
    }

    #[test]
    fn silence_from_the_first_is_a_gap_once_a_fault_is_there() {
        let mut hearing = Hearing::new(1, Side::Caller, FRAME, ms(100));
        assert_eq!(hearing.closed(ms(5_100)).largest_gap(), Duration::ZERO);
        hearing.open_window();
        assert_eq!(
            hearing.closed(ms(5_100)).largest_gap(),
            Duration::from_secs(5)
        );
    }

    #[test]
    fn silence_that_is_meant_is_no_gap() {
        let mut hearing = hears(0..10);
        hearing.rest(ms(190), true);
        hearing.hear(ms(201), packet(1, 10, 9));
        assert_eq!(
            hearing.closed(ms(5_000)).largest_gap(),
            Duration::from_millis(20)
        );
        hearing.rest(ms(5_000), false);
        hearing.hear(ms(5_050), packet(1, 11, 9));
        assert_eq!(hearing.largest_gap(), Duration::from_millis(50));
    }

    #[test]
    fn copies_late_ones_and_foreign_marks_are_told_apart() {
        let mut hearing = hears([0, 1, 3, 2, 3]);
        assert_eq!(
            (
                hearing.duplicates,
                hearing.reordered,
                hearing.windows[0].lost
            ),
            (1, 1, 0)
        );
        assert_eq!(hearing.packets(), 4);
        hearing.hear(ms(90), packet(2, 4, 9));
        hearing.hear(ms(90), Some((packet(1, 4, 9).unwrap().0, None)));
        hearing.hear(ms(90), None);
        assert_eq!(
            (hearing.crosstalk, hearing.unmarked, hearing.packets()),
            (1, 2, 4)
        );
    }

    // spec: X29
    #[test]
    fn a_new_source_and_a_timestamp_that_stands_still_are_seen() {
        let mut hearing = hears(0..5);
        hearing.hear(ms(101), packet(1, 5, 10));
        assert_eq!((hearing.ssrc_changes, hearing.sequence_jumps), (1, 0));
        let (mut rtp, mut mark) = packet(1, 6, 10).unwrap();
        // Half a second later the sequence goes on, the timestamp as if nothing had happened.
        rtp.timestamp += 1;
        mark = mark.map(|mark| Mark {
            number: 30,
            due: ms(620),
            ..mark
        });
        hearing.hear(ms(621), Some((rtp, mark)));
        assert_eq!((hearing.sequence_jumps, hearing.timestamp_jumps), (0, 1));
    }
}
