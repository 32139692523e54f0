//! The non-INVITE client transaction: RFC 3261 figure 6.

use super::effects::{Change, Effects, Tell, Values};
use bytes::Bytes;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed,
}

#[derive(Debug)]
pub(super) struct ClientOther {
    state: State,
    request: Bytes,
    values: Values,
    /// The present value of timer E.
    interval: Duration,
}

impl ClientOther {
    /// Enters Trying.
    pub fn start(request: Bytes, values: Values) -> (ClientOther, Effects) {
        let effects = Effects {
            send: Some(request.clone()),
            retransmit: values.first_retransmit(),
            phase: Change::Set(values.give_up()),
            ..Effects::default()
        };
        (
            ClientOther {
                state: State::Trying,
                request,
                values,
                interval: values.t1,
            },
            effects,
        )
    }

    /// The request, until it is answered.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// A response with this status came.
    pub fn response(&mut self, status: u16) -> Effects {
        match (self.state, status) {
            (State::Trying, ..200) => {
                // Timer E runs on as it is; from its next firing on it is T2 (17.1.2.2).
                self.state = State::Proceeding;
                Effects::tell(Tell::Response)
            }
            (State::Proceeding, ..200) => Effects::tell(Tell::Response),
            (State::Trying | State::Proceeding, _) => {
                self.state = State::Completed;
                self.request = Bytes::new();
                Effects::tell(Tell::Response).linger(self.values.i_or_k())
            }
            (State::Completed, _) => Effects::none(),
        }
    }

    /// Timer E.
    pub fn retransmit(&mut self) -> Effects {
        self.interval = match self.state {
            State::Trying => (self.interval * 2).min(self.values.t2),
            State::Proceeding => self.values.t2,
            State::Completed => return Effects::none(),
        };
        Effects {
            send: Some(self.request.clone()),
            retransmit: Change::Set(self.interval),
            ..Effects::default()
        }
    }

    /// Timer F or K.
    pub fn phase_over(&mut self) -> Effects {
        Effects::end((self.state != State::Completed).then_some(Tell::Timeout))
    }
}
