//! The middle stage of a packet's way: the near side hears one source over every change of the far
//! one, and silence where there is none (spec: X24, X29).

use super::comfort::{Comforting, Due};
use super::kind::Kind;
use crate::command::{Comfort, Side};
use holdline_wire::Time;
use holdline_wire::rtcp::Mapping;
use holdline_wire::rtp::{Continuity, Dropped, Header};

/// What keeps a stream's media and reports continuous.
#[derive(Debug)]
pub(super) struct Steady {
    media: Continuity,
    reports: Mapping,
    /// Present while the far side may be absent.
    comforting: Option<Box<Comforting>>,
}

impl Steady {
    /// `clock_rate`: of the media, Hz.
    pub(super) fn new(clock_rate: u32) -> Steady {
        Steady {
            media: Continuity::new(clock_rate),
            reports: Mapping::new(),
            comforting: None,
        }
    }

    /// Hz.
    pub(super) fn set_clock_rate(&mut self, clock_rate: u32) {
        self.media.set_clock_rate(clock_rate);
    }

    /// Another node speaks from now on.
    pub(super) fn moved(&mut self) {
        self.media.moved();
        self.reports.moved();
    }

    /// Rewrites a packet that came in on `side`; the length that remains of it.
    pub(super) fn rewrite(
        &mut self,
        now: Time,
        side: Side,
        kind: Kind,
        packet: &mut [u8],
    ) -> Result<usize, Dropped> {
        let Steady { media, reports, .. } = self;
        match (side, kind) {
            (Side::Far, Kind::Media) => media.rewrite(now, packet).map(|_| packet.len()),
            (Side::Far, Kind::Control) => reports.rewrite_from_far(media, packet),
            (Side::Near, Kind::Control) => reports.rewrite_from_near(media, packet),
            (Side::Near, Kind::Media) => {
                reports.observe(&Header::read(packet)?);
                Ok(packet.len())
            }
        }
    }

    /// The far side may be absent from now on; false where that is known.
    pub(super) fn begin_comfort(&mut self, comfort: Comfort) -> bool {
        let known = self.comforting.as_ref();
        let news = !known.is_some_and(|known| known.is(&comfort));
        if news {
            self.comforting = Some(Box::new(Comforting::new(comfort)));
        }
        news
    }

    /// The far side is there again.
    pub(super) fn end_comfort(&mut self) {
        self.comforting = None;
    }

    /// Writes the packet of silence that is due at `now`, if the near side `listens` and the far
    /// side was not `heard` of late. `None` where nobody asked for silence.
    pub(super) fn comfort(
        &mut self,
        now: Time,
        heard: Option<Time>,
        listens: bool,
        packet: &mut [u8],
    ) -> Option<Due> {
        let comforting = self.comforting.as_deref_mut()?;
        Some(comforting.look(now, heard, listens, &mut self.media, packet))
    }
}
