//! Dialogs (RFC 3261 section 12): identifiers, sequence numbers, route set, remote target.

use crate::build::Builder;
use crate::header::Replaces;
use crate::message::Message;
use crate::method::Method;
use crate::transport::TransportKey;

/// A dialog's identifiers as one side sees them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialogId {
    /// The Call-ID.
    pub call_id: Box<str>,
    /// Our tag.
    pub local_tag: Box<str>,
    /// The peer's tag; empty before it is known.
    pub remote_tag: Box<str>,
}

impl DialogId {
    /// The id that an in-dialog request addresses: its To tag is ours.
    pub fn of_request(request: &Message) -> DialogId {
        DialogId {
            call_id: request.call_id().into(),
            local_tag: request.to_tag().unwrap_or_default().into(),
            remote_tag: request.from_tag().into(),
        }
    }

    /// The Replaces value that tells the **peer** of this dialog to replace it: there `to-tag`
    /// is the receiver's tag, our remote one (spec: D24).
    pub fn replaces_for_peer(&self) -> Replaces {
        Replaces {
            call_id: self.call_id.clone(),
            to_tag: self.remote_tag.clone(),
            from_tag: self.local_tag.clone(),
            early_only: false,
        }
    }
}

/// Why an in-dialog request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The status to answer with.
    pub status: u16,
    /// The reason phrase.
    pub reason: &'static str,
}

/// One side of a dialog, early or confirmed.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// The identifiers.
    pub id: DialogId,
    /// Our From (as UAC) or To (as UAS) value without its tag: `display <uri>`.
    pub local: Box<[u8]>,
    /// The peer's, likewise.
    pub remote: Box<[u8]>,
    /// The peer's Contact URI; the Request-URI of what we send.
    pub remote_target: Box<str>,
    /// Route values, in the order in which we send them.
    pub route_set: Vec<Box<str>>,
    /// The CSeq number of the last request that we sent; 0 before the first.
    pub local_seq: u32,
    /// The highest CSeq number that the peer sent.
    pub remote_seq: Option<u32>,
    /// Where our requests leave by.
    pub flow: TransportKey,
}

impl Dialog {
    /// The dialog that a UAC sees after a response with a To tag to its INVITE (RFC 3261 12.1.2):
    /// the route set is Record-Route reversed.
    pub fn uac(_invite: &Message, _response: &Message, _flow: TransportKey) -> Option<Dialog> {
        todo!()
    }
    /// The dialog that a UAS makes with `local_tag` for `invite` (RFC 3261 12.1.1): the route set
    /// is Record-Route in order; no Contact gives `None`.
    pub fn uas(_invite: &Message, _local_tag: &str, _flow: TransportKey) -> Option<Dialog> {
        todo!()
    }
    /// Starts a request in this dialog with the next CSeq: request line, Via with `branch`, Route,
    /// Max-Forwards 70, From, To, Call-ID, CSeq. (Strict routers, RFC 3261 12.2.1.1, included.)
    /// Contact and the rest are the caller's.
    pub fn request(&mut self, _method: &Method, _branch: &str) -> Builder {
        todo!()
    }
    /// Starts the ACK for the 2xx to the INVITE (or re-INVITE) numbered `seq` (RFC 3261 13.2.2.4).
    pub fn ack(&self, _seq: u32, _branch: &str) -> Builder {
        todo!()
    }
    /// Checks the order of a request from the peer (RFC 3261 12.2.2): lower CSeq gives 500.
    /// A target refresh (INVITE, UPDATE, SUBSCRIBE, REFER, NOTIFY) takes its Contact.
    pub fn accept(&mut self, _request: &Message) -> Result<(), Reject> {
        todo!()
    }
    /// Takes the Contact of a 2xx to a target refresh that we sent.
    pub fn refresh(&mut self, _response: &Message) {
        todo!()
    }
    /// The socket address of the next hop: the first Route (or the remote target), where it is an
    /// IP literal; otherwise the flow's.
    pub fn next_hop(&self) -> TransportKey {
        todo!()
    }
}
