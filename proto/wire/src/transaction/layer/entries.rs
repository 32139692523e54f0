//! What the layer keeps of each transaction, and the timers that it runs for it.

use crate::message::Message;
use crate::transaction::client_invite::ClientInvite;
use crate::transaction::client_other::ClientOther;
use crate::transaction::key::Key;
use crate::transaction::server_invite::ServerInvite;
use crate::transaction::server_other::ServerOther;
use crate::transaction::{ClientId, ServerId, Timers};
use crate::transport::TransportKey;

/// The two timers of a transaction. At equal times the retransmission goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Retransmit,
    Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimerKey {
    Client(ClientId, Timer),
    Server(ServerId, Timer),
}

/// A message from the network that effects may be about.
pub(super) type Received = Option<(Message, TransportKey)>;

#[derive(Debug)]
pub(super) enum ClientMachine {
    Invite(Box<ClientInvite>),
    Other(ClientOther),
}

impl ClientMachine {
    /// The request as it is sent; nothing once a final response to a request other than INVITE came.
    pub(super) fn request(&self) -> &[u8] {
        match self {
            ClientMachine::Invite(machine) => machine.invite().bytes(),
            ClientMachine::Other(machine) => machine.request(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Client<O> {
    /// `None` for a CANCEL: its outcome interests nobody.
    pub(super) owner: Option<O>,
    pub(super) key: Key,
    pub(super) to: TransportKey,
    pub(super) timers: Timers,
    pub(super) machine: ClientMachine,
    /// The transaction of the CANCEL for this INVITE.
    pub(super) cancel: Option<ClientId>,
}

#[derive(Debug)]
pub(super) enum ServerMachine {
    Invite(ServerInvite),
    Other(ServerOther),
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) key: Key,
    pub(super) from: TransportKey,
    pub(super) reply_to: TransportKey,
    pub(super) request: Message,
    pub(super) machine: ServerMachine,
}
