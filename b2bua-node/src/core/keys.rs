//! The names by which the core knows what it waits for.

use holdline_b2bua::CallKey;
use holdline_relay::Side;

/// A process of an agent, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunId(pub u32);

/// Whose transaction it is. Near is the agent's side, far the downstream UA's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A leg of a call.
    Leg(CallKey, Side),
    /// The BYE in the old downstream dialog of a failover call.
    Farewell(CallKey),
    /// A request whose answer interests nobody.
    Nobody,
}

/// A deadline of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The loop is alive (spec: X28).
    Beat,
    /// The upstream 2xx of this call has waited for the store long enough.
    Commit(CallKey),
    /// The downstream INVITE of this call has waited for the store long enough.
    Invite(CallKey),
    /// The store was to say who a failover call is about.
    Claim(CallKey),
    /// Ask the store once more to keep this call.
    Retry(CallKey),
    /// Nobody answers this call.
    Ring(CallKey),
    /// Nobody answers a downstream INVITE whose caller has left, or the BYE after a refusal.
    Leaving(CallKey),
    /// The downstream UA does not say that it has heard of the call's end.
    Parting(CallKey),
    /// The UA of a replaced dialog has had its time to end it.
    Replaced(u64),
    /// A store operation counts as lost.
    Asked(u64),
    /// Store operations have waited for company long enough.
    Company,
    /// Take those calls off the store that it did not hear of.
    Clear,
    /// Look whether this agent is still heard.
    Agent(RunId),
    /// The calling side of this call is gone for too long.
    Lost(CallKey),
    /// Nobody is heard in this call for too long.
    Silent(CallKey),
    /// Who has not heard by now that the node drains will not hear it.
    Untold,
}
