//! Where calls stand in the line of those that leave a node.

use holdline_b2bua::CallKey;

/// The order in which calls leave a node (spec: X23).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    Emergency,
    /// It was on the move already and waits the longest.
    Again,
    Up,
    Setup,
    /// The calling server hung up and the node had not said that it knows.
    HungUp,
}

/// A position in the line: the lowest leaves first.
pub(super) type Position = (Rank, u64);

/// A far leg of a call.
pub type Attempt = (CallKey, u32);
