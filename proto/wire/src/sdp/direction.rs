//! Which way media flows (RFC 3264 sections 5.1, 6.1 and 8.4).

/// Which way a stream flows, as its own side sees it (RFC 3264 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// We send only.
    SendOnly,
    /// We receive only.
    RecvOnly,
    /// Nothing flows; RTCP does.
    Inactive,
}

impl Direction {
    /// The same stream as the other side sees it.
    pub fn reversed(self) -> Direction {
        Direction::of(self.receives(), self.sends())
    }

    /// What is left of `self` where the peer, in its own words, answered `peer`.
    pub fn narrowed_by(self, peer: Direction) -> Direction {
        Direction::of(
            self.sends() && peer.receives(),
            self.receives() && peer.sends(),
        )
    }

    /// The attribute name: `sendrecv` ...
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    /// Whether this side sends.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether this side receives.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The direction of a side that sends and receives as said.
    fn of(sends: bool, receives: bool) -> Direction {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// The direction with that attribute name.
    pub(super) fn named(name: &[u8]) -> Option<Direction> {
        ALL.into_iter()
            .find(|d| name.eq_ignore_ascii_case(d.as_str().as_bytes()))
    }
}

/// Every direction there is.
const ALL: [Direction; 4] = [
    Direction::SendRecv,
    Direction::SendOnly,
    Direction::RecvOnly,
    Direction::Inactive,
];

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};

    // spec: X27
    #[test]
    fn answers_narrow_as_rfc_3264_section_6_1_allows() {
        // (ours, the peer's own word, what is left of ours)
        for (ours, peer, left) in [
            (SendRecv, SendRecv, SendRecv),
            (SendRecv, SendOnly, RecvOnly), // the far side holds us
            (SendRecv, RecvOnly, SendOnly),
            (SendRecv, Inactive, Inactive),
            (SendOnly, RecvOnly, SendOnly), // we hold, the far side agrees
            (SendOnly, SendOnly, Inactive), // both hold
            (SendOnly, SendRecv, SendOnly), // the peer said too much
            (RecvOnly, SendOnly, RecvOnly),
            (RecvOnly, RecvOnly, Inactive),
            (Inactive, SendRecv, Inactive),
        ] {
            assert_eq!(ours.narrowed_by(peer), left, "{ours:?} answered {peer:?}");
        }
    }

    #[test]
    fn both_sides_agree_on_what_is_left() {
        for a in ALL {
            assert_eq!(a.reversed().reversed(), a);
            assert_eq!(
                a.narrowed_by(a.reversed()),
                a,
                "a mirrored answer narrows nothing"
            );
            assert_eq!(
                Direction::named(a.as_str().to_uppercase().as_bytes()),
                Some(a)
            );
            for b in ALL {
                assert_eq!(a.narrowed_by(b), b.narrowed_by(a).reversed());
            }
        }
    }
}
