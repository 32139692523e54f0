//! What the rules of storms remember of a world.

use crate::sim::host::HostId;
use crate::ua::CallNumber;
use holdline_wire::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// What is left of the calls of an agent that was killed ends within this: it is silent for 5 s,
/// its media for 5 s, and then for the 30 s of `upstream.lost_after`.
pub(super) const ORPHANED: Duration = Duration::from_secs(42);

/// What the rules remember.
#[derive(Debug, Default)]
pub struct Memory {
    /// Since when each call could be expected to be well.
    pub(super) calm: BTreeMap<CallNumber, Time>,
    /// Calls that are known not to be well: told once.
    pub(super) told: BTreeSet<CallNumber>,
    /// When each node was last heard by the agent with anything but the answer to a probe.
    pub(super) spoke: BTreeMap<SocketAddr, Time>,
    /// When some node could have taken a call, last, and since when without a break.
    pub(super) usable: Time,
    pub(super) usable_since: Time,
    /// Calls that were being set up when a trouble began or ended.
    pub(super) disturbed_setup: BTreeSet<CallNumber>,
    /// Calls whose last dialog at the downstream UA the store never heard of, because its node
    /// fell away before it could write it.
    pub(super) torn: BTreeSet<CallNumber>,
    /// The Call-ID of a call's dialog there when its node was killed.
    pub(super) last_dialog: BTreeMap<CallNumber, Box<str>>,
    /// The Call-IDs of dialogs at the downstream UA that the store has, or has had.
    pub(super) written: BTreeSet<Box<str>>,
    /// The Call-IDs of dialogs whose BYE is under way to the downstream UA, which node says it, and from
    /// when on nobody else knows.
    pub(super) ending: BTreeMap<Box<str>, (HostId, CallNumber, Time)>,
    /// Those whose BYE has arrived.
    pub(super) heard: BTreeSet<Box<str>>,
    /// Calls a dialog of which was not ended there, because the node that alone knew of it was killed
    /// before its BYE arrived.
    pub(super) cut_short: BTreeSet<CallNumber>,
    /// Since when a call has more than one confirmed dialog there.
    pub(super) twice: BTreeMap<CallNumber, Time>,
    /// Calls whose agent was killed, and when.
    pub(super) orphaned: BTreeMap<CallNumber, Time>,
    /// Of these, those that waited for a node, or whose node was killed as well: nobody is left who
    /// knows them, until the agent's memory outlives it.
    pub(super) adrift: BTreeSet<CallNumber>,
}
