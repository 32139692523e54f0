//! Orphans of calls that have no caller any more, and which nodes were told of them (spec: X26, X27).

use crate::cluster::NodeId;
use holdline_wire::header::Name;
use holdline_wire::transaction::ClientId;
use std::collections::{BTreeMap, VecDeque};

/// The orphans of one call, as headers.
pub type Orphans = Vec<(Name<'static>, String)>;

/// What a node is being told.
#[derive(Debug)]
pub struct Told {
    pub node: NodeId,
    pub client: ClientId,
    pub orphans: Orphans,
    /// Nodes that could not be told, this one included.
    pub tried: Vec<NodeId>,
}

/// Orphans on their way to nodes, and those for which no node is there.
#[derive(Debug, Default)]
pub struct Telling {
    pub waiting: VecDeque<Orphans>,
    pub told: BTreeMap<u64, Told>,
    pub next: u64,
}

impl Telling {
    /// Whether a node owes an answer, or orphans wait for one.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.told.is_empty()
    }
}
