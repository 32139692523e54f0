//! One dialog of a call, and the call over all its dialogs.

use super::event::{By, CallNumber, Counts};
use super::session::Session;
use bytes::Bytes;
use holdline_wire::dialog::{Dialog, DialogId};
use holdline_wire::sdp::Direction;
use holdline_wire::transaction::{ClientId, ServerId};
use holdline_wire::{Message, TransportKey};
use std::collections::BTreeSet;

/// Names a leg inside one user agent; never reused.
pub(super) type LegId = u64;

/// How far a leg has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Our INVITE waits for its final answer.
    Calling,
    /// Their INVITE waits for ours.
    Ringing,
    /// Confirmed.
    Up,
    /// Our BYE waits for its answer; the dialog counts as over.
    Ending,
}

/// A 2xx of ours whose ACK has not come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unacked {
    pub(super) server: ServerId,
    pub(super) seq: u32,
}

/// The ACK that we sent last, to repeat it for a repeated 2xx.
#[derive(Clone, Debug)]
pub(super) struct SentAck {
    pub(super) seq: u32,
    pub(super) to: TransportKey,
    pub(super) bytes: Bytes,
}

/// One dialog, from the INVITE on.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    pub(super) call: CallNumber,
    pub(super) state: State,
    /// Whether we sent the INVITE.
    pub(super) outgoing: bool,
    /// The INVITE that made it.
    pub(super) invite: Message,
    /// Our tag, also before there is a dialog.
    pub(super) local_tag: String,
    /// Set once a To tag is known.
    pub(super) dialog: Option<Dialog>,
    pub(super) session: Session,
    /// The remote target last told about.
    pub(super) known_target: Box<str>,
    /// Our INVITE or re-INVITE in progress.
    pub(super) client: Option<ClientId>,
    /// Their initial INVITE while it has no final answer.
    pub(super) server: Option<ServerId>,
    pub(super) unacked: Vec<Unacked>,
    pub(super) ack: Option<SentAck>,
    /// To tags seen in answers to our INVITE.
    pub(super) to_tags: BTreeSet<String>,
    /// The user hung up while our INVITE waited.
    pub(super) cancelled: bool,
    /// Who is named as the one who ended it once our BYE is done.
    pub(super) ended_by: By,
    /// The user hung up before the ACK for our 2xx came: BYE follows it (RFC 3261 section 15).
    pub(super) bye_due: bool,
    /// A re-INVITE of ours is due.
    pub(super) reinvite_due: bool,
    /// The BYE in progress ends a replaced dialog: nobody is told how it went.
    pub(super) quiet: bool,
    /// The leg that has replaced this one, in which the call is still.
    pub(super) replaced_by: Option<LegId>,
}

impl Leg {
    /// A leg that starts with `invite`.
    pub(super) fn new(
        call: CallNumber,
        outgoing: bool,
        invite: Message,
        local_tag: String,
        session: Session,
    ) -> Leg {
        Leg {
            call,
            state: if outgoing {
                State::Calling
            } else {
                State::Ringing
            },
            outgoing,
            invite,
            local_tag,
            dialog: None,
            session,
            known_target: "".into(),
            client: None,
            server: None,
            unacked: Vec::new(),
            ack: None,
            to_tags: BTreeSet::new(),
            cancelled: false,
            ended_by: By::Local,
            bye_due: false,
            reinvite_due: false,
            quiet: false,
            replaced_by: None,
        }
    }

    /// Where its dialog's messages come from.
    pub(super) fn flow(&self) -> TransportKey {
        self.dialog
            .as_ref()
            .expect("an incoming leg has its dialog from the start")
            .flow
    }

    /// Whether the dialog is early or confirmed.
    pub(super) fn is_live(&self) -> bool {
        self.state != State::Ending
    }

    /// The dialog's identifiers as far as they are known.
    pub(super) fn id(&self) -> DialogId {
        match &self.dialog {
            Some(dialog) => dialog.id.clone(),
            None => DialogId {
                call_id: self.invite.call_id().into(),
                local_tag: self.local_tag.as_str().into(),
                remote_tag: "".into(),
            },
        }
    }
}

/// A call over all its dialogs.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// What the user wants: sendrecv, or sendonly while he holds the peer.
    pub(super) will: Direction,
    /// Legs, the oldest first.
    pub(super) legs: Vec<LegId>,
    pub(super) counts: Counts,
    /// The newest INVITE that made or was to make a dialog of this call.
    pub(super) invite: Option<Message>,
}

impl Default for Call {
    fn default() -> Call {
        Call {
            will: Direction::SendRecv,
            legs: Vec::new(),
            counts: Counts::default(),
            invite: None,
        }
    }
}
