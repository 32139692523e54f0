//! One stream of the table: its two sides, and the stages that a packet passes from one to the
//! other.

use super::comfort::Due;
use super::kind;
use super::out;
use super::side::SideState;
use super::steady::Steady;
use super::tally::Place;
use super::verdict::{Channel, Reason, Verdict};
use crate::command::Side;
use holdline_wire::Time;

/// A relayed stream.
#[derive(Debug)]
pub(super) struct Stream {
    sides: [SideState; 2],
    /// Where its group is counted.
    pub(super) group: Place,
    /// The number of the last tick in which the far side was heard.
    pub(super) heard_in: u32,
    /// The same for a packet to its far side that was refused.
    pub(super) refused_in: u32,
    /// Present where the near side must not see a change of source (spec: X29).
    pub(super) steady: Option<Box<Steady>>,
}

impl Stream {
    /// One whose sides are not open yet.
    pub(super) fn new(group: Place, steady: Option<Steady>) -> Stream {
        Stream {
            sides: [SideState::closed(); 2],
            group,
            heard_in: 0,
            refused_in: 0,
            steady: steady.map(Box::new),
        }
    }

    pub(super) fn side(&self, side: Side) -> &SideState {
        &self.sides[side as usize]
    }

    pub(super) fn side_mut(&mut self, side: Side) -> &mut SideState {
        &mut self.sides[side as usize]
    }

    /// What becomes of a packet that came in on `side` by `channel`: it is told apart, its way out
    /// is looked up, and where there is one it is rewritten to go on from what was heard before
    /// it. What cannot leave moves nothing on.
    pub(super) fn pass(
        &mut self,
        now: Time,
        side: Side,
        channel: Channel,
        packet: &mut [u8],
    ) -> Verdict {
        if self.side(side).peer.is_none() {
            return Verdict::Drop(Reason::NoPeer);
        }
        let kind = match kind::tell(channel, packet) {
            Ok(kind) => kind,
            Err(why) => return Verdict::Drop(Reason::Refused(why.into())),
        };
        if kind == kind::Kind::Media {
            self.side_mut(side).arrived(now);
        }
        let to = side.other();
        let peer = self.side(to).peer;
        let Some(channel) = peer.and_then(|peer| out::way(peer, kind)) else {
            return Verdict::Drop(Reason::NoWay);
        };
        let len = match &mut self.steady {
            Some(steady) => steady.rewrite(now, side, kind, packet),
            None => Ok(packet.len()),
        };
        match len {
            Ok(len) => Verdict::Forward { to, channel, len },
            Err(why) => Verdict::Drop(Reason::Refused(why)),
        }
    }

    /// Writes the packet of silence that is due at `now`, if the near side hears nobody. `None`
    /// where the stream has no need of any.
    pub(super) fn comfort(&mut self, now: Time, packet: &mut [u8]) -> Option<Due> {
        let heard = self.side(Side::Far).last_heard();
        let listens = self.side(Side::Near).peer.is_some();
        let steady = self.steady.as_deref_mut()?;
        steady.comfort(now, heard, listens, packet)
    }
}
