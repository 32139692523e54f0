//! The INVITE client transaction: RFC 3261 figure 5, with the Accepted state of RFC 6026
//! figure 6.

use super::derived;
use super::effects::{Change, Effects, Tell, Values};
use crate::message::Message;
use crate::transport::TransportKey;
use bytes::Bytes;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Calling,
    Proceeding,
    Completed,
    Accepted,
}

/// How far the user's wish to cancel has come.
#[derive(Debug)]
enum Cancel {
    No,
    /// To be sent once a provisional response came (RFC 3261 9.1).
    Wanted(Bytes),
    Sent,
}

/// ACKs for 2xx that one INVITE keeps: each is for another branch of a fork.
const ACKS: usize = 4;

/// The ACK for a 2xx, as the transaction user sent it.
#[derive(Debug)]
struct SentAck {
    /// The To tag of the 2xx.
    tag: Box<str>,
    to: TransportKey,
    bytes: Bytes,
}

#[derive(Debug)]
pub(super) struct ClientInvite {
    state: State,
    invite: Message,
    values: Values,
    /// The present value of timer A.
    interval: Duration,
    ack: Option<Bytes>,
    /// For 2xx that come again; the newest last.
    sent_acks: Vec<SentAck>,
    cancel: Cancel,
}

impl ClientInvite {
    /// The INVITE.
    pub fn invite(&self) -> &Message {
        &self.invite
    }

    /// Enters Calling.
    pub fn start(invite: Message, values: Values) -> (ClientInvite, Effects) {
        let effects = Effects {
            send: Some(invite.bytes().clone()),
            retransmit: values.first_retransmit(),
            phase: Change::Set(values.give_up()),
            ..Effects::default()
        };
        let mut machine = ClientInvite::resume(invite, values);
        machine.state = State::Calling;
        (machine, effects)
    }

    /// Enters Proceeding, without a word: the INVITE left in a transaction before this one.
    pub fn resume(invite: Message, values: Values) -> ClientInvite {
        ClientInvite {
            state: State::Proceeding,
            invite,
            interval: values.t1,
            values,
            ack: None,
            sent_acks: Vec::new(),
            cancel: Cancel::No,
        }
    }

    /// A response came.
    pub fn response(&mut self, response: &Message) -> Effects {
        match (self.state, response.status()) {
            (State::Calling, ..200) => self.proceed(),
            (State::Proceeding, ..200) => Effects::tell(Tell::Response),
            (State::Calling | State::Proceeding, 200..300) => {
                self.state = State::Accepted;
                Effects::tell(Tell::Response).linger(self.values.m())
            }
            (State::Calling | State::Proceeding, _) => {
                self.state = State::Completed;
                self.ack = derived::ack(&self.invite, response);
                let effects = Effects::tell(Tell::Response).linger(self.values.d());
                Effects {
                    send: self.ack.clone(),
                    ..effects
                }
            }
            (State::Accepted, 200..300) => Effects::tell(Tell::Response),
            // Another branch of a fork accepted after our transaction had its answer.
            (State::Completed, 200..300) => Effects::tell(Tell::Stray),
            (State::Completed, 300..) => Effects::send(self.ack.clone()),
            (State::Completed, ..200) | (State::Accepted, _) => Effects::none(),
        }
    }

    /// The user acknowledged the 2xx with this To tag.
    pub fn acknowledged(&mut self, tag: &str, to: TransportKey, bytes: &Bytes) {
        if self.sent_acks.len() >= ACKS {
            self.sent_acks.remove(0);
        }
        self.sent_acks.push(SentAck {
            tag: tag.into(),
            to,
            // A copy, since the buffer that it was written in has room for more.
            bytes: Bytes::copy_from_slice(bytes),
        });
    }

    /// The ACK that the 2xx with this To tag got.
    pub fn sent_ack(&self, tag: &str) -> Option<(TransportKey, Bytes)> {
        let sent = self.sent_acks.iter().find(|ack| &*ack.tag == tag)?;
        Some((sent.to, sent.bytes.clone()))
    }

    fn proceed(&mut self) -> Effects {
        self.state = State::Proceeding;
        let mut effects = Effects {
            tell: Some(Tell::Response),
            retransmit: Change::Clear,
            phase: Change::Clear,
            ..Effects::default()
        };
        if let Cancel::Wanted(bytes) = std::mem::replace(&mut self.cancel, Cancel::No) {
            self.send_cancel(bytes, &mut effects);
        }
        effects
    }

    /// The user wants the INVITE cancelled.
    pub fn cancel(&mut self, extra: &[(&str, &str)]) -> Effects {
        let mut effects = Effects::none();
        if !matches!(self.cancel, Cancel::No) {
            return effects;
        }
        let calling = match self.state {
            State::Calling => true,
            State::Proceeding => false,
            State::Completed | State::Accepted => return effects,
        };
        if let Some(bytes) = derived::cancel(&self.invite, extra) {
            if calling {
                self.cancel = Cancel::Wanted(bytes);
            } else {
                self.send_cancel(bytes, &mut effects);
            }
        }
        effects
    }

    /// Without a final response it ends 64*T1 from now.
    pub fn let_expire(&mut self) -> Effects {
        let mut effects = Effects::none();
        if self.state == State::Proceeding && !matches!(self.cancel, Cancel::Sent) {
            effects.phase = Change::Set(self.values.give_up());
        }
        effects
    }

    /// The INVITE now has 64*T1 to end by a final response (RFC 3261 9.1).
    fn send_cancel(&mut self, bytes: Bytes, effects: &mut Effects) {
        self.cancel = Cancel::Sent;
        effects.cancel = Some(bytes);
        effects.phase = Change::Set(self.values.give_up());
    }

    /// Timer A.
    pub fn retransmit(&mut self) -> Effects {
        if self.state != State::Calling {
            return Effects::none();
        }
        self.interval *= 2;
        Effects {
            send: Some(self.invite.bytes().clone()),
            retransmit: Change::Set(self.interval),
            ..Effects::default()
        }
    }

    /// The peer is heard again: an INVITE whose repetitions have become rare is repeated at once, and
    /// then as if it were new. Timer A is a floor against congestion, of which there is no sign.
    pub fn hasten(&mut self) -> Effects {
        if self.state != State::Calling || self.interval <= self.values.t1 * 2 {
            return Effects::none();
        }
        self.interval = self.values.t1;
        Effects {
            send: Some(self.invite.bytes().clone()),
            retransmit: Change::Set(self.interval),
            ..Effects::default()
        }
    }

    /// Timer B or the wait after CANCEL; D; M.
    pub fn phase_over(&mut self) -> Effects {
        match self.state {
            State::Calling | State::Proceeding => Effects::end(Some(Tell::Timeout)),
            State::Completed | State::Accepted => Effects::end(None),
        }
    }
}
