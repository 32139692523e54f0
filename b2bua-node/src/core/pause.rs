//! A node that stood still: what it waits for before it sends anything (spec: X28).

use bytes::Bytes;
use holdline_wire::{Time, TransportKey};
use std::collections::VecDeque;

/// Whether the node may send for its calls.
#[derive(Debug)]
pub(super) struct Ownership {
    /// When the next beat is due.
    pub due: Time,
    /// Until when an INVITE may have waited since before a pause.
    pub wary_until: Time,
    /// Until when the store's word is waited for.
    pub until: Option<Time>,
    /// How many of its replies are still to come.
    pub waiting: usize,
    /// What came meanwhile.
    pub parked: VecDeque<(TransportKey, Bytes)>,
}

impl Ownership {
    /// A loop that starts at `now`.
    pub fn new(now: Time) -> Ownership {
        Ownership {
            due: now,
            wary_until: Time::ZERO,
            until: None,
            waiting: 0,
            parked: VecDeque::new(),
        }
    }
}
