//! What both cores show of themselves at a moment.

use serde::Serialize;

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Used {
    /// In use.
    pub used: usize,
    /// In all.
    pub total: usize,
}

/// Transactions of both kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Transactions {
    /// Of requests that were sent.
    pub client: usize,
    /// Of requests that came.
    pub server: usize,
}

/// A core at a moment, as far as both have the same to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Vitals {
    /// Live calls.
    pub calls: usize,
    /// Pairs of media ports.
    pub ports: Used,
    /// SIP transactions.
    pub transactions: Transactions,
    /// Whether new calls are refused by an operator's wish.
    pub draining: bool,
}

impl Vitals {
    /// Of live calls, of port pairs in use and in all, and of client and server transactions.
    pub fn new(
        calls: usize,
        (used, total): (usize, usize),
        (client, server): (usize, usize),
        draining: bool,
    ) -> Vitals {
        Vitals {
            calls,
            ports: Used { used, total },
            transactions: Transactions { client, server },
            draining,
        }
    }
}
