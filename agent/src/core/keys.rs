//! The names by which the core knows what it waits for.

use holdline_b2bua::CallKey;

/// A leg, for transactions and tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// Towards the calling server.
    Near(CallKey),
    /// Towards the cluster; the number tells the far legs of one call apart.
    Far(CallKey, u32),
    /// What a node is told of something that a call left there.
    Left(u64),
    /// What a node is told of orphans.
    Told(u64),
    /// A calling server's word about this call.
    Asked(CallKey),
    /// A BYE that nobody waits for.
    Nobody,
}

/// A deadline of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Send the failover INVITE of this call.
    Launch(CallKey),
    /// This attempt had its time.
    Attempt(CallKey, u32),
    /// This call was not answered for too long.
    SetupOver(CallKey),
    /// This call was held long enough.
    HoldOver(CallKey),
    /// This call has waited so long for a node that its calling server is sent silence.
    Comfort(CallKey),
    /// Attempts whose final answer never came give up their places at their far ends.
    FarEnds,
    /// Nobody is heard in this call for too long.
    Silent(CallKey),
    /// This call's calling server is silent for so long that it is asked.
    Ask(CallKey),
}
