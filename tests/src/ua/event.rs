//! What a [`super::Ua`] is told and what it tells.

use holdline_wire::dialog::DialogId;
use holdline_wire::method::Method;
use holdline_wire::sdp::Direction;
use std::net::SocketAddr;

/// The number that both ends know a call by: the caller writes it into the URIs (`sip:call-17@..`).
pub type CallNumber = u32;

/// The user part of a URI that carries `call`.
pub fn call_user(call: CallNumber) -> String {
    format!("call-{call}")
}

/// The call number in the user part of a URI, if one is there.
pub fn call_of_user(user: &str) -> Option<CallNumber> {
    user.strip_prefix("call-")?.parse().ok()
}

/// A call to place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Its number.
    pub call: CallNumber,
    /// The Request-URI.
    pub target: String,
    /// The From value without its tag: `"Alice" <sip:call-17@pbx>`.
    pub from: String,
    /// The To value without tag.
    pub to: String,
    /// Where the INVITE is sent.
    pub next_hop: SocketAddr,
    /// More headers, name and value: Replaces, P-Asserted-Identity, Diversion ...
    pub headers: Vec<(String, String)>,
}

impl Placement {
    /// A call from `host` to user `call-N` at `next_hop`, the number in Request-URI, From and To.
    pub fn new(call: CallNumber, host: &str, next_hop: SocketAddr) -> Placement {
        let user = call_user(call);
        Placement {
            call,
            target: format!("sip:{user}@{next_hop}"),
            from: format!("<sip:{user}@{host}>"),
            to: format!("<sip:{user}@{next_hop}>"),
            next_hop,
            headers: Vec::new(),
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Placement {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum In {
    /// Place a call.
    Call(Placement),
    /// Put the peer on hold: a re-INVITE with sendonly (RFC 3264 section 8.4).
    Hold(CallNumber),
    /// Take the peer back: sendrecv.
    Unhold(CallNumber),
    /// Send a re-INVITE that changes nothing.
    Refresh(CallNumber),
    /// End it: BYE, CANCEL or 486, as its state asks.
    Hangup(CallNumber),
    /// Send any other request in the dialog: INFO, REFER, MESSAGE ...
    Send {
        /// In which call.
        call: CallNumber,
        /// The method.
        method: Method,
        /// Headers beside the dialog's own.
        headers: Vec<(String, String)>,
    },
    /// Local RTP addresses to use, one for each dialog, in this order.
    Ports(Vec<SocketAddr>),
}

/// The audio stream of a call as negotiated, from our side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Where we listen.
    pub local: SocketAddr,
    /// Where we send to, if the peer can receive at all.
    pub remote: Option<SocketAddr>,
    /// Which way it flows, as we see it.
    pub direction: Direction,
    /// The payload numbers in use, the first one for sending.
    pub formats: Vec<Box<str>>,
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// We, by command.
    Local,
    /// The peer: its BYE, CANCEL or refusal.
    Peer,
    /// Nobody: an answer or an ACK never came.
    Timeout,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    /// The peer will be told this RTP address; it must be open from now on.
    Listen {
        /// The call.
        call: CallNumber,
        /// The address.
        local: SocketAddr,
    },
    /// A dialog is over; its RTP address is free.
    Release {
        /// The call.
        call: CallNumber,
        /// The address.
        local: SocketAddr,
    },
    /// A call came in and rings here.
    Incoming {
        /// The call.
        call: CallNumber,
    },
    /// A provisional answer other than 100.
    Ringing {
        /// The call.
        call: CallNumber,
        /// 180, 183 ...
        status: u16,
        /// Early media, if the answer carried SDP.
        early: Option<Stream>,
    },
    /// The call is up, here as caller or as callee.
    Answered {
        /// The call.
        call: CallNumber,
        /// Its media.
        stream: Stream,
    },
    /// The media of a call that was up changed.
    MediaChanged {
        /// The call.
        call: CallNumber,
        /// Its media now.
        stream: Stream,
    },
    /// A Hold, Unhold or Refresh is done.
    Reinvited {
        /// The call.
        call: CallNumber,
        /// Whether the peer is now held by us.
        held: bool,
        /// The final status; 0 where none came.
        status: u16,
    },
    /// An INVITE with Replaces took the place of a dialog (RFC 3891).
    Replaced {
        /// The call.
        call: CallNumber,
        /// The dialog that is over.
        old: DialogId,
        /// The one in its place.
        new: DialogId,
        /// The media of the new one.
        stream: Stream,
    },
    /// The peer's Contact moved to another address inside the dialog (a take-over).
    TargetMoved {
        /// The call.
        call: CallNumber,
        /// The new remote target.
        target: Box<str>,
    },
    /// Another request came in the dialog and was answered 200.
    Request {
        /// The call.
        call: CallNumber,
        /// Its method.
        method: Method,
    },
    /// The final answer to an [`In::Send`].
    Response {
        /// The call.
        call: CallNumber,
        /// The request's method.
        method: Method,
        /// The status; 0 where none came.
        status: u16,
    },
    /// The call's dialog is over and nothing took its place.
    Ended {
        /// The call.
        call: CallNumber,
        /// Who ended it.
        by: By,
        /// The Reason header of the BYE or CANCEL (RFC 3326), if any.
        reason: Option<String>,
        /// The refusal, or the answer to our BYE; 0 where none came or none applies.
        status: u16,
    },
}

/// What a test may want to count, for one call or over all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// INVITEs outside any dialog, first transmissions.
    pub invites_received: u32,
    /// Those that were refused because of [`super::Refusing`].
    pub invites_refused: u32,
    /// Those whose Request-URI named a user that is not known here, answered 404.
    pub users_unknown: u32,
    /// INVITEs in a dialog of ours, first transmissions.
    pub reinvites_received: u32,
    /// UPDATEs, likewise.
    pub updates_received: u32,
    /// BYEs for a dialog that was up.
    pub byes_received: u32,
    /// INVITEs with Replaces that took a dialog's place.
    pub replaces_accepted: u32,
    /// BYEs that came in a replaced dialog before the call had left it.
    pub byes_too_early: u32,
    /// INVITEs with Replaces that were refused.
    pub replaces_refused: u32,
    /// The number in a Replaces INVITE's URIs was another call's than the dialog it named.
    pub replaces_of_other_call: u32,
    /// INVITEs without Replaces for a number that already had a live dialog.
    pub duplicate_calls: u32,
    /// Different To tags in the answers to one INVITE, beyond the first.
    pub extra_to_tags: u32,
    /// An SDP answer that differed from an earlier one to the same offer.
    pub answers_changed: u32,
    /// Requests for a dialog that is not (or no longer) there, answered 481.
    pub unknown_dialog: u32,
    /// Requests that were out of order (500) or met one in progress (491).
    pub out_of_order: u32,
    /// Responses that match nothing, messages that are no SIP.
    pub strays: u32,
}

impl Counts {
    /// Adds `other`, field by field.
    pub fn add(&mut self, other: &Counts) {
        self.invites_received += other.invites_received;
        self.invites_refused += other.invites_refused;
        self.users_unknown += other.users_unknown;
        self.reinvites_received += other.reinvites_received;
        self.updates_received += other.updates_received;
        self.byes_received += other.byes_received;
        self.replaces_accepted += other.replaces_accepted;
        self.byes_too_early += other.byes_too_early;
        self.replaces_refused += other.replaces_refused;
        self.replaces_of_other_call += other.replaces_of_other_call;
        self.duplicate_calls += other.duplicate_calls;
        self.extra_to_tags += other.extra_to_tags;
        self.answers_changed += other.answers_changed;
        self.unknown_dialog += other.unknown_dialog;
        self.out_of_order += other.out_of_order;
        self.strays += other.strays;
    }
}
