//! What a leg waits for: the requests that have no reply yet, and the 2xx that has no ACK yet.

use crate::passage::Passage;
use crate::signal::RequestId;
use bytes::Bytes;
use holdline_wire::Method;
use holdline_wire::transaction::ClientId;

/// A request of the peer that waits for the other leg's reply.
#[derive(Debug)]
pub(crate) struct PendingIn {
    pub(crate) method: Method,
    /// Whether it is an offer, or asks for one.
    pub(crate) offers: bool,
    /// Whether the session description is in the request.
    pub(crate) offered: bool,
}

/// A request of ours that waits for the peer's reply.
#[derive(Debug)]
pub(crate) struct PendingOut {
    /// Whose request it is on the other leg.
    pub(crate) id: RequestId,
    pub(crate) method: Method,
    pub(crate) offers: bool,
    pub(crate) offered: bool,
}

/// A request of the other leg that is sent later.
pub(crate) type Deferred = (RequestId, Method, Passage);

/// A 2xx of the peer that waits for the other leg's ACK.
#[derive(Debug)]
pub(crate) struct AckDue {
    /// The INVITE that it answers, and its number.
    pub(crate) client: ClientId,
    pub(crate) number: u32,
    /// The offer in it, which the ACK answers.
    pub(crate) offer: Option<Bytes>,
}
