//! The INVITE server transaction: RFC 3261 figure 7, with the Accepted state of RFC 6026
//! figure 5, and the repetition of a 2xx that RFC 3261 13.3.1.4 asks of the user.

use super::effects::{Change, Effects, Tell, Values};
use bytes::Bytes;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Proceeding,
    Completed,
    Confirmed,
    Accepted { acked: bool },
}

#[derive(Debug)]
pub(super) struct ServerInvite {
    state: State,
    values: Values,
    /// The present value of timer G, or of the repetition of a 2xx.
    interval: Duration,
    last: Option<Bytes>,
}

impl ServerInvite {
    /// Enters Proceeding.
    pub fn start(values: Values) -> (ServerInvite, Effects) {
        let (state, interval) = (State::Proceeding, values.t1);
        (
            ServerInvite {
                state,
                values,
                interval,
                last: None,
            },
            Effects::none(),
        )
    }

    /// Whether the user still has to answer.
    pub fn is_unanswered(&self) -> bool {
        self.state == State::Proceeding
    }

    /// The last response sent.
    pub fn last_response(&self) -> Option<&Bytes> {
        self.last.as_ref()
    }

    /// The INVITE came again.
    pub fn request_again(&mut self) -> Effects {
        match self.state {
            State::Proceeding | State::Completed | State::Accepted { acked: false } => {
                Effects::send(self.last.clone())
            }
            State::Confirmed | State::Accepted { acked: true } => Effects::none(),
        }
    }

    /// The user answers.
    pub fn respond(&mut self, status: u16, bytes: Bytes) -> Effects {
        if self.state != State::Proceeding {
            return Effects::none();
        }
        self.last = Some(bytes.clone());
        let mut effects = Effects::send(Some(bytes));
        if status >= 200 {
            // H and L: an ACK that has not come by then will not come.
            effects.phase = Change::Linger(self.values.give_up());
        }
        match status {
            ..200 => {}
            200..300 => {
                // Repeated over reliable transports too: a later hop may not be one.
                self.state = State::Accepted { acked: false };
                effects.retransmit = Change::Set(self.values.t1);
            }
            _ => {
                self.state = State::Completed;
                effects.retransmit = self.values.first_retransmit();
            }
        }
        effects
    }

    /// An ACK came that matches by its Via.
    pub fn ack(&mut self) -> Effects {
        match self.state {
            State::Completed => {
                self.state = State::Confirmed;
                self.last = None;
                Effects::none().linger(self.values.i_or_k())
            }
            State::Accepted { .. } => Effects::tell(Tell::Ack),
            State::Proceeding | State::Confirmed => Effects::none(),
        }
    }

    /// The user has the ACK for its 2xx. What is left absorbs repeated INVITEs until timer L.
    pub fn acked(&mut self) -> Effects {
        if self.state != (State::Accepted { acked: false }) {
            return Effects::none();
        }
        self.state = State::Accepted { acked: true };
        self.last = None;
        Effects {
            retransmit: Change::Clear,
            ..Effects::default()
        }
    }

    /// Timer G, or the repetition of a 2xx.
    pub fn retransmit(&mut self) -> Effects {
        match self.state {
            State::Completed | State::Accepted { acked: false } => {
                self.interval = (self.interval * 2).min(self.values.t2);
                let retransmit = Change::Set(self.interval);
                Effects {
                    send: self.last.clone(),
                    retransmit,
                    ..Effects::default()
                }
            }
            State::Proceeding | State::Confirmed | State::Accepted { acked: true } => {
                Effects::none()
            }
        }
    }

    /// Timer H, I or L.
    pub fn phase_over(&mut self) -> Effects {
        let unacked = self.state == (State::Accepted { acked: false });
        Effects::end(unacked.then_some(Tell::NoAck))
    }
}
