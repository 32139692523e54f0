//! What both ends say about the media in RTCP, made to fit the one source that the near side sees
//! and the sources that the far side really has.

use super::{
    APP, BYE, PSFB, Part, REPORT_BLOCK, RR, RR_BLOCKS, RTPFB, SDES, SR, SR_BLOCKS, XR, check,
};
use crate::rtp::{Continuity, Dropped, Header, be16, be32, extend, put16, put32};

/// The state that RTCP needs beside the [`Continuity`] of the far side's media. The near side's
/// own media passes unchanged; what is said about it is made continuous too, because a new far
/// side begins to count at zero.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    /// The near side's own source: SSRC and highest extended sequence number.
    near: Option<(u32, u32)>,
    /// What the near side lost of the far side's media.
    near_loss: Loss,
    /// The value of [`Continuity::switches`] that `near_loss` was based at.
    switches: u32,
    /// What the far sides lost of the near side's media.
    far_loss: Loss,
    /// Who reported that last.
    reporter: Option<u32>,
    /// How often that changed.
    reporters: u32,
}

/// A cumulative count of lost packets (24 bits, signed) that several parties share.
#[derive(Clone, Copy, Debug, Default)]
struct Loss {
    base: i32,
    last: i32,
}

/// What becomes of one packet of a compound.
enum Fate {
    /// It stays, so long.
    Keep(usize),
    Remove,
}

impl Mapping {
    /// A stream of which nothing was heard.
    pub fn new() -> Mapping {
        Mapping::default()
    }

    /// The far side is another one from now on; goes with [`Continuity::moved`].
    pub fn moved(&mut self) {
        if self.reporter.take().is_some() {
            self.far_loss.base = self.far_loss.last;
            self.reporters = self.reporters.wrapping_add(1);
        }
    }

    /// Takes notice of an RTP packet of the near side, which passes unchanged.
    pub fn observe(&mut self, header: &Header) {
        self.near = match self.near {
            Some((ssrc, highest)) if ssrc == header.ssrc => {
                let ahead = header.sequence.wrapping_sub(highest as u16) as i16 > 0;
                Some((
                    ssrc,
                    if ahead {
                        extend(highest, header.sequence)
                    } else {
                        highest
                    },
                ))
            }
            _ => Some((header.ssrc, u32::from(header.sequence))),
        };
    }

    /// Rewrites a compound packet of the far side in place; its new length, which is never
    /// greater.
    ///
    /// Sender SSRCs become the pinned one, sender reports follow their RTP's timestamps with
    /// cumulative counts, report blocks count on from those of earlier far sides. A BYE never
    /// passes: the source may be left for another at any time, and SIP ends the call.
    pub fn rewrite_from_far(
        &mut self,
        media: &mut Continuity,
        datagram: &mut [u8],
    ) -> Result<usize, Dropped> {
        check(datagram)?;
        if datagram.len() >= 8 && media.was_left(be32(datagram, 4)) {
            return Err(Dropped::Stale);
        }
        // The SSRC of whoever speaks follows the first packet's common header.
        let sender = datagram.get(4..8).map(|bytes| be32(bytes, 0));
        rewrite_parts(datagram, |part, bytes| {
            self.part_from_far(media, sender, part, bytes)
        })
    }

    /// Rewrites a compound packet of the near side in place; its new length, which is never
    /// greater.
    ///
    /// What it says about the pinned SSRC becomes what the current source can understand; what
    /// is about a source that was left is removed.
    pub fn rewrite_from_near(
        &mut self,
        media: &Continuity,
        datagram: &mut [u8],
    ) -> Result<usize, Dropped> {
        check(datagram)?;
        if self.switches != media.switches() {
            self.switches = media.switches();
            self.near_loss.base = self.near_loss.last;
        }
        rewrite_parts(datagram, |part, bytes| {
            self.part_from_near(media, part, bytes)
        })
    }

    fn part_from_far(
        &mut self,
        media: &mut Continuity,
        sender: Option<u32>,
        part: Part,
        bytes: &mut [u8],
    ) -> Fate {
        let mut len = part.len;
        match part.kind {
            BYE => return Fate::Remove,
            SR if media.current() == Some(be32(bytes, 4)) => sender_report(media, bytes),
            // No RTP was heard of this source: its timestamps mean nothing yet.
            SR if media.pinned().is_some() => {
                len = demote(bytes);
            }
            _ => {}
        }
        match bytes[1] {
            SR | RR => {
                self.note_reporter(be32(bytes, 4));
                let at = if bytes[1] == SR { SR_BLOCKS } else { RR_BLOCKS };
                for block in bytes[at..len]
                    .chunks_exact_mut(REPORT_BLOCK)
                    .take(part.count.into())
                {
                    self.block_about_near(block);
                }
                pin(media, bytes, 4);
            }
            APP | RTPFB | PSFB | XR => pin(media, bytes, 4),
            SDES => {
                if let (Some(sender), Some(pinned)) = (sender, media.pinned()) {
                    rename_chunks(&mut bytes[..len], part.count, sender, pinned);
                }
            }
            _ => {}
        }
        Fate::Keep(len)
    }

    fn part_from_near(&mut self, media: &Continuity, part: Part, bytes: &mut [u8]) -> Fate {
        let Some(pinned) = media.pinned() else {
            return Fate::Keep(part.len);
        };
        let mut len = part.len;
        match part.kind {
            SR | RR => {
                let first = if part.kind == SR {
                    SR_BLOCKS
                } else {
                    RR_BLOCKS
                };
                let mut kept = part.count;
                // From the last to the first: a removal moves only what was seen already.
                for index in (0..usize::from(part.count)).rev() {
                    let at = first + REPORT_BLOCK * index;
                    let block = &mut bytes[at..at + REPORT_BLOCK];
                    if be32(block, 0) == pinned && !self.block_about_far(media, block) {
                        bytes.copy_within(at + REPORT_BLOCK..len, at);
                        len -= REPORT_BLOCK;
                        kept -= 1;
                    }
                }
                bytes[0] = bytes[0] & 0xe0 | kept;
                put16(bytes, 2, (len / 4 - 1) as u16);
            }
            RTPFB | PSFB if be32(bytes, 8) == pinned => {
                let Some(current) = media.current() else {
                    return Fate::Remove;
                };
                put32(bytes, 8, current);
                if part.kind == RTPFB && part.count == 1 {
                    nack(media, &mut bytes[12..len]);
                }
            }
            XR => extended_report(media, pinned, &mut bytes[8..len]),
            _ => {}
        }
        Fate::Keep(len)
    }

    /// Rebases a report of the near side about the far side's media; `false` where it is about
    /// a source that was left.
    fn block_about_far(&mut self, media: &Continuity, block: &mut [u8]) -> bool {
        let lost = lost_of(block);
        self.near_loss.last = lost;
        let (Some(current), Some(highest)) =
            (media.current(), media.sequence_back(be16(block, 10)))
        else {
            self.near_loss.base = lost;
            return false;
        };
        put32(block, 0, current);
        if media.switches() == 0 {
            return true;
        }
        put_lost(block, lost - self.near_loss.base);
        put32(block, 8, highest);
        if !media.is_own_report(be32(block, 16)) {
            // It answers a report of a source that was left: no round trip can come of it.
            put32(block, 16, 0);
            put32(block, 20, 0);
        }
        true
    }

    /// Makes a report of the far side about the near side's media continue its predecessors'.
    fn block_about_near(&mut self, block: &mut [u8]) {
        let Some((ssrc, highest)) = self.near else {
            return;
        };
        if be32(block, 0) != ssrc {
            return;
        }
        let lost = lost_of(block).saturating_add(self.far_loss.base);
        self.far_loss.last = lost;
        if self.reporters > 0 {
            put_lost(block, lost);
            let sequence = be16(block, 10);
            let extended = extend(highest, sequence);
            // The first cycle has nothing below it.
            let below = extended > highest && extended - highest > u32::from(u16::MAX);
            put32(block, 8, if below { u32::from(sequence) } else { extended });
        }
    }

    fn note_reporter(&mut self, ssrc: u32) {
        if self.reporter.is_some_and(|reporter| reporter != ssrc) {
            self.far_loss.base = self.far_loss.last;
            self.reporters = self.reporters.wrapping_add(1);
        }
        self.reporter = Some(ssrc);
    }
}

/// Runs over the packets of a checked compound and closes the gaps that removals leave.
fn rewrite_parts(
    datagram: &mut [u8],
    mut rewrite: impl FnMut(Part, &mut [u8]) -> Fate,
) -> Result<usize, Dropped> {
    let (mut read, mut written) = (0, 0);
    while read < datagram.len() {
        let part = Part::read(&datagram[read..])?;
        let end = read + part.len;
        if let Fate::Keep(len) = rewrite(part, &mut datagram[read..end]) {
            datagram.copy_within(read..read + len, written);
            written += len;
        }
        read = end;
    }
    if written == 0 {
        Err(Dropped::Empty)
    } else {
        Ok(written)
    }
}

/// Fits the sender information of the current source to what the listener sees.
fn sender_report(media: &mut Continuity, bytes: &mut [u8]) {
    let ntp = be32(bytes, 10);
    let timestamp = be32(bytes, 16).wrapping_add(media.timestamp_offset());
    let (packets, octets) = media.sender_report(ntp, be32(bytes, 20), be32(bytes, 24));
    put32(bytes, 16, timestamp);
    put32(bytes, 20, packets);
    put32(bytes, 24, octets);
}

/// Makes a sender report a receiver report; its new length. A compound must begin with one of
/// them (RFC 3550 section 6.1), so it cannot just be removed.
fn demote(bytes: &mut [u8]) -> usize {
    bytes.copy_within(SR_BLOCKS.., RR_BLOCKS);
    let len = bytes.len() - (SR_BLOCKS - RR_BLOCKS);
    bytes[1] = RR;
    put16(bytes, 2, (len / 4 - 1) as u16);
    len
}

/// Writes the pinned SSRC at `at`, if there is one.
fn pin(media: &Continuity, bytes: &mut [u8], at: usize) {
    if let Some(pinned) = media.pinned() {
        put32(bytes, at, pinned);
    }
}

/// Renames the chunks of a source description that are about `from`. A chunk that is not well
/// formed ends the walk: what was read of it stays as it is.
fn rename_chunks(bytes: &mut [u8], count: u8, from: u32, to: u32) {
    let mut at = 4;
    for _ in 0..count {
        if at + 4 > bytes.len() {
            return;
        }
        if be32(bytes, at) == from {
            put32(bytes, at, to);
        }
        at += 4;
        while let Some(&item) = bytes.get(at) {
            if item == 0 {
                break;
            }
            let Some(&len) = bytes.get(at + 1) else {
                return;
            };
            at += 2 + usize::from(len);
        }
        // At least one null byte, up to the next word (RFC 3550 section 6.5).
        at = (at / 4 + 1) * 4;
    }
}

/// Shifts the packet numbers of a generic NACK (RFC 4585 section 6.2.1) to the current source's.
fn nack(media: &Continuity, entries: &mut [u8]) {
    for entry in entries.chunks_exact_mut(4) {
        if let Some(sequence) = media.sequence_back(be16(entry, 0)) {
            put16(entry, 0, sequence as u16);
        }
    }
}

/// Renames the source in report blocks that are about one: loss and duplicate runs, receipt
/// times, statistics and VoIP metrics (RFC 3611 sections 4.1 to 4.3, 4.6, 4.7).
fn extended_report(media: &Continuity, pinned: u32, mut blocks: &mut [u8]) {
    let Some(current) = media.current() else {
        return;
    };
    while blocks.len() >= 4 {
        let len = 4 * (usize::from(be16(blocks, 2)) + 1);
        if len > blocks.len() {
            return;
        }
        let (block, rest) = blocks.split_at_mut(len);
        if matches!(block[0], 1 | 2 | 3 | 6 | 7) && len >= 12 && be32(block, 4) == pinned {
            put32(block, 4, current);
            if block[0] != 7 {
                for at in [8, 10] {
                    if let Some(sequence) = media.sequence_back(be16(block, at)) {
                        put16(block, at, sequence as u16);
                    }
                }
            }
        }
        blocks = rest;
    }
}

/// The cumulative number of packets lost: 24 bits with a sign (RFC 3550 section 6.4.1).
fn lost_of(block: &[u8]) -> i32 {
    (be32(block, 4) << 8) as i32 >> 8
}

fn put_lost(block: &mut [u8], lost: i32) {
    let lost = lost.clamp(-0x80_0000, 0x7f_ffff);
    let fraction = be32(block, 4) & 0xff00_0000;
    put32(block, 4, fraction | (lost as u32 & 0x00ff_ffff));
}
