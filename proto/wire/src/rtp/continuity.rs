//! One direction of media whose source may change while its listener must not notice.

use super::{Dropped, Header, after, extend, put16, put32};
use crate::time::Time;
use std::time::Duration;

/// The largest step forward that loss explains (RFC 3550 appendix A.1, MAX_DROPOUT).
const MAX_DROPOUT: i16 = 3000;
/// The largest step back that reordering explains (RFC 3550 appendix A.1, MAX_MISORDER).
const MAX_MISORDER: i16 = 100;
/// A source that was left may come back once the current one was silent for so long.
const RETURN_SILENCE: Duration = Duration::from_millis(100);
/// How many sources that were left are remembered, so that their late packets are known.
const REMEMBERED: usize = 4;
/// Sequence numbers are extended from one cycle up, so that packets from before the first one
/// stay above zero.
const FIRST_CYCLE: u32 = 1 << 16;
/// Packet time until one is learned, as a fraction of a second: 20 ms (RFC 3551 section 4.2).
const DEFAULT_PACKETS_PER_SECOND: u32 = 50;

/// Maps any succession of sources to **one** SSRC with continuous sequence numbers and
/// timestamps: the state of one direction (spec: X29).
///
/// The first source passes with its own numbers. A later one goes on where its predecessor
/// stopped: the sequence number at the next value, the timestamp by the time that passed, in
/// whole packet times, with the marker bit on its first packet. Inside a source, loss,
/// reordering, duplicates and wrap-around keep their places.
#[derive(Clone, Debug)]
pub struct Continuity {
    clock_rate: u32,
    /// What the listener sees for the whole call.
    pinned: Option<u32>,
    source: Option<Source>,
    sent: Sent,
    packet_time: PacketTime,
    left: [Option<Left>; REMEMBERED],
    next_left: usize,
    switches: u32,
    payload_type: Option<u8>,
}

/// The source that speaks now.
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    /// Whether the listener sees its own numbers.
    is_first: bool,
    /// Extended sequence number of its first packet, as it counts.
    first: u32,
    /// The highest so far.
    highest: u32,
    /// Timestamp of that packet, as it counts.
    timestamp: u32,
    /// What is added to its extended sequence numbers.
    sequence_offset: u32,
    /// What is added to its timestamps.
    timestamp_offset: u32,
    /// Its last arrival.
    heard: Time,
    /// The sequence number that would prove a jump.
    jump: Option<u16>,
    /// What its sender reports' packet counts begin at.
    base_packets: u32,
    /// The same for octets.
    base_octets: u32,
    /// Middle of the NTP timestamp of its first sender report.
    first_report: Option<u32>,
}

/// What the listener was sent so far.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    highest: u32,
    /// The newest timestamp and when it was first sent: packets of one telephone event repeat
    /// theirs (RFC 4733 section 2.5.1.1), so the last packet alone would lag behind.
    timestamp: u32,
    at: Time,
    packets: u32,
    octets: u32,
}

/// Ticks between packets, believed after the same step twice in a row.
#[derive(Clone, Copy, Debug)]
struct PacketTime {
    ticks: u32,
    candidate: u32,
}

/// A source that was left, and how far it had come.
#[derive(Clone, Copy, Debug)]
struct Left {
    ssrc: u32,
    highest: u16,
}

impl Continuity {
    /// For a payload of `clock_rate` ticks a second (8000 where it is 0).
    pub fn new(clock_rate: u32) -> Continuity {
        let clock_rate = usable_rate(clock_rate);
        Continuity {
            clock_rate,
            pinned: None,
            source: None,
            sent: Sent::default(),
            packet_time: PacketTime::of(clock_rate),
            left: [None; REMEMBERED],
            next_left: 0,
            switches: 0,
            payload_type: None,
        }
    }

    /// The answer chose a format of another clock: what is known of the packet time is void.
    pub fn set_clock_rate(&mut self, clock_rate: u32) {
        let clock_rate = usable_rate(clock_rate);
        if self.clock_rate != clock_rate {
            self.clock_rate = clock_rate;
            self.packet_time = PacketTime::of(clock_rate);
        }
    }

    /// The media comes from elsewhere from now on: the next packet is of a new source even if it
    /// carries the same SSRC. The caller fences the old one by closing its socket, so sources
    /// that were left are forgotten.
    pub fn moved(&mut self) {
        self.source = None;
        self.left = [None; REMEMBERED];
    }

    /// The one SSRC that the listener sees, once there was a packet.
    pub fn pinned(&self) -> Option<u32> {
        self.pinned
    }

    /// Rewrites one packet in place and says what it read in it **before**. `now` is its arrival.
    pub fn rewrite(&mut self, now: Time, packet: &mut [u8]) -> Result<Header, Dropped> {
        let header = Header::read(packet)?;
        let mut marker = header.marker;
        let placed = match &mut self.source {
            Some(source) if source.ssrc == header.ssrc => source.place(&header)?,
            _ => {
                self.refuse_left(now, &header)?;
                Placed::NewSource
            }
        };
        let extended = match placed {
            Placed::At(extended) => extended,
            Placed::NewSource => {
                marker |= self.pinned.is_some();
                self.begin(now, &header)
            }
        };
        // `place` found a source or `begin` made one.
        let Some(source) = &mut self.source else {
            return Err(Dropped::Stale);
        };
        source.heard = now;
        let ahead = after(extended, source.highest);
        if ahead {
            if extended == source.highest.wrapping_add(1) {
                let step = header.timestamp.wrapping_sub(source.timestamp);
                self.packet_time.learn(step, self.clock_rate);
            }
            source.highest = extended;
            source.timestamp = header.timestamp;
        }
        let sequence = extended.wrapping_add(source.sequence_offset);
        let timestamp = header.timestamp.wrapping_add(source.timestamp_offset);
        self.sent
            .note(now, sequence, timestamp, ahead, self.clock_rate);
        self.sent.packets = self.sent.packets.wrapping_add(1);
        self.sent.octets = self.sent.octets.wrapping_add(header.payload_len as u32);

        self.payload_type = Some(header.payload_type);
        packet[1] = header.payload_type | if marker { 0x80 } else { 0 };
        put16(packet, 2, sequence as u16);
        put32(packet, 4, timestamp);
        put32(packet, 8, self.pinned.unwrap_or(header.ssrc));
        Ok(header)
    }

    /// A source that was left comes back only after the current one fell silent, and only with
    /// packets that are newer than what it had sent.
    fn refuse_left(&mut self, now: Time, header: &Header) -> Result<(), Dropped> {
        let Some(current) = &self.source else {
            return Ok(());
        };
        for slot in &mut self.left {
            if let Some(left) = *slot
                && left.ssrc == header.ssrc
            {
                let newer = (header.sequence.wrapping_sub(left.highest) as i16) > 0;
                if !newer || now.since(current.heard) < RETURN_SILENCE {
                    return Err(Dropped::Stale);
                }
                *slot = None;
            }
        }
        Ok(())
    }

    /// Takes up a new source with the packet of `header`; its extended sequence number.
    fn begin(&mut self, now: Time, header: &Header) -> u32 {
        if let Some(old) = self.source
            && old.ssrc != header.ssrc
        {
            self.left[self.next_left] = Some(Left {
                ssrc: old.ssrc,
                highest: old.highest as u16,
            });
            self.next_left = (self.next_left + 1) % REMEMBERED;
        }
        let extended = FIRST_CYCLE + u32::from(header.sequence);
        let mut source = Source {
            ssrc: header.ssrc,
            is_first: self.pinned.is_none(),
            first: extended,
            highest: extended,
            timestamp: header.timestamp,
            sequence_offset: 0,
            timestamp_offset: 0,
            heard: now,
            jump: None,
            base_packets: self.sent.packets,
            base_octets: self.sent.octets,
            first_report: None,
        };
        if self.pinned.is_some() {
            let next = self.sent.highest.wrapping_add(1);
            source.sequence_offset = next.wrapping_sub(extended);
            source.timestamp_offset = self.continued_timestamp(now).wrapping_sub(header.timestamp);
            self.sent.highest = next;
            self.switches = self.switches.wrapping_add(1);
        } else {
            self.pinned = Some(header.ssrc);
            self.sent.highest = extended;
            self.sent.timestamp = header.timestamp;
            self.sent.at = now;
        }
        self.source = Some(source);
        extended
    }

    /// The timestamp that continues what was sent, at least one packet time on.
    fn continued_timestamp(&self, now: Time) -> u32 {
        let elapsed = now.since(self.sent.at).as_nanos() * u128::from(self.clock_rate);
        let ticks = elapsed / 1_000_000_000;
        let packet = u128::from(self.packet_time.ticks);
        let packets = ((ticks + packet / 2) / packet).max(1);
        self.sent.timestamp.wrapping_add((packets * packet) as u32)
    }
}

/// What RTCP asks for.
impl Continuity {
    /// The SSRC of the source that speaks now.
    pub(crate) fn current(&self) -> Option<u32> {
        self.source.map(|source| source.ssrc)
    }

    /// Whether this SSRC is of a source that was left.
    pub(crate) fn was_left(&self, ssrc: u32) -> bool {
        self.left.iter().flatten().any(|left| left.ssrc == ssrc)
    }

    /// How often the source has changed: 0 while the listener sees the first one's own numbers.
    pub(crate) fn switches(&self) -> u32 {
        self.switches
    }

    /// What is added to the current source's timestamps.
    pub(crate) fn timestamp_offset(&self) -> u32 {
        self.source.map_or(0, |source| source.timestamp_offset)
    }

    /// The current source's own extended sequence number for the listener's `sequence`; `None`
    /// where the listener means a packet from before this source.
    pub(crate) fn sequence_back(&self, sequence: u16) -> Option<u32> {
        let source = self.source?;
        let extended = extend(self.sent.highest, sequence).wrapping_sub(source.sequence_offset);
        if after(source.first, extended) {
            return None;
        }
        Some(extended.wrapping_sub(FIRST_CYCLE))
    }

    /// Maps the current source's counts in a sender report to cumulative ones, and remembers the
    /// middle of the report's NTP timestamp.
    pub(crate) fn sender_report(&mut self, ntp: u32, packets: u32, octets: u32) -> (u32, u32) {
        let Some(source) = &mut self.source else {
            return (packets, octets);
        };
        source.first_report.get_or_insert(ntp);
        let packets = packets.wrapping_add(source.base_packets);
        let octets = octets.wrapping_add(source.base_octets);
        // What the next source begins at must not be below what the listener was told.
        if after(packets, self.sent.packets) {
            self.sent.packets = packets;
        }
        if after(octets, self.sent.octets) {
            self.sent.octets = octets;
        }
        (packets, octets)
    }

    /// Whether a listener's "last SR" is one of the current source.
    pub(crate) fn is_own_report(&self, ntp: u32) -> bool {
        let first = self.source.and_then(|source| source.first_report);
        first.is_some_and(|first| !after(first, ntp))
    }
}

/// The place of a packet of our own.
pub(super) struct Filled {
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) ssrc: u32,
}

/// What our own silence asks for.
impl Continuity {
    /// The payload number of the last packet that was rewritten.
    pub fn payload_type(&self) -> Option<u8> {
        self.payload_type
    }

    /// Ticks between the source's packets, if any were learned.
    pub(super) fn learned_ticks(&self) -> Option<u32> {
        (self.packet_time.candidate != 0).then_some(self.packet_time.ticks)
    }

    /// The next place, of a packet of our own that covers `ticks` at `rate`. The source that
    /// spoke has left: its numbers are used up.
    pub(super) fn fill(
        &mut self,
        now: Time,
        rate: u32,
        ticks: u32,
        ssrc: u32,
        octets: u32,
    ) -> Filled {
        self.source = None;
        // What is spoken tells the clock; the first of many formats may have had another.
        self.clock_rate = rate.max(1);
        self.packet_time.ticks = ticks.max(1);
        let timestamp = match self.pinned {
            Some(_) => self.continued_timestamp(now),
            None => {
                // Numbers to begin with need only be hard to guess, as the SSRC is.
                self.sent.highest = FIRST_CYCLE + u32::from(ssrc as u16);
                self.sent.timestamp = ssrc.rotate_left(7);
                self.sent.at = now;
                self.sent.timestamp
            }
        };
        let ssrc = *self.pinned.get_or_insert(ssrc);
        let step = timestamp.wrapping_sub(self.sent.timestamp);
        self.sent.highest = self.sent.highest.wrapping_add(1);
        self.sent.timestamp = timestamp;
        // The moment that the timestamp means, not that of sending: else the timestamps would
        // drift by what the sender is late.
        let nanos = u64::from(step) * 1_000_000_000 / u64::from(self.clock_rate);
        self.sent.at = self.sent.at + Duration::from_nanos(nanos);
        self.sent.packets = self.sent.packets.wrapping_add(1);
        self.sent.octets = self.sent.octets.wrapping_add(octets);
        Filled {
            sequence: self.sent.highest as u16,
            timestamp,
            ssrc,
        }
    }
}

/// Where a packet of the current source belongs.
enum Placed {
    At(u32),
    NewSource,
}

impl Source {
    fn place(&mut self, header: &Header) -> Result<Placed, Dropped> {
        let step = header.sequence.wrapping_sub(self.highest as u16) as i16;
        if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&step) {
            if self.jump == Some(header.sequence) {
                return Ok(Placed::NewSource);
            }
            self.jump = Some(header.sequence.wrapping_add(1));
            return Err(Dropped::Unproven);
        }
        self.jump = None;
        let extended = extend(self.highest, header.sequence);
        // Before its first packet a later source has no numbers of its own: they are taken.
        if after(self.first, extended) && !self.is_first {
            return Err(Dropped::Stale);
        }
        Ok(Placed::At(extended))
    }
}

impl Sent {
    fn note(&mut self, now: Time, sequence: u32, timestamp: u32, ahead: bool, clock_rate: u32) {
        if after(sequence, self.highest) {
            self.highest = sequence;
        }
        let step = timestamp.wrapping_sub(self.timestamp) as i32;
        // A source that sets its timestamp far back has begun to count anew.
        let restarted = ahead && step < -(clock_rate.min(100_000) as i32).saturating_mul(10);
        if step > 0 || restarted {
            self.timestamp = timestamp;
            self.at = now;
        }
    }
}

/// 0 is none: then it is that of most audio (RFC 3551 table 4).
fn usable_rate(clock_rate: u32) -> u32 {
    if clock_rate == 0 { 8000 } else { clock_rate }
}

impl PacketTime {
    /// What is supposed before the first packets.
    fn of(clock_rate: u32) -> PacketTime {
        PacketTime {
            ticks: (clock_rate / DEFAULT_PACKETS_PER_SECOND).max(1),
            candidate: 0,
        }
    }

    fn learn(&mut self, step: u32, clock_rate: u32) {
        if step == 0 || step > clock_rate / 2 {
            return;
        }
        if step == self.candidate {
            self.ticks = step;
        }
        self.candidate = step;
    }
}
