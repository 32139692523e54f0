//! The non-INVITE server transaction: RFC 3261 figure 8.

use super::effects::{Change, Effects, Values};
use bytes::Bytes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed,
}

#[derive(Debug)]
pub(super) struct ServerOther {
    state: State,
    values: Values,
    last: Option<Bytes>,
}

impl ServerOther {
    /// Enters Trying. A request that the user never answers is forgotten when nobody can wait
    /// for the answer any more (RFC 4320 section 4.2).
    pub fn start(values: Values) -> (ServerOther, Effects) {
        let effects = Effects {
            phase: Change::Set(values.give_up()),
            ..Effects::default()
        };
        (
            ServerOther {
                state: State::Trying,
                values,
                last: None,
            },
            effects,
        )
    }

    /// The request came again.
    pub fn request_again(&mut self) -> Effects {
        match self.state {
            State::Trying => Effects::none(),
            State::Proceeding | State::Completed => Effects::send(self.last.clone()),
        }
    }

    /// The user answers.
    pub fn respond(&mut self, status: u16, bytes: Bytes) -> Effects {
        if self.state == State::Completed {
            return Effects::none();
        }
        self.last = Some(bytes.clone());
        let effects = Effects::send(Some(bytes));
        if status < 200 {
            self.state = State::Proceeding;
            return effects;
        }
        self.state = State::Completed;
        effects.linger(self.values.j())
    }

    /// Timer J, or an answer that never came.
    pub fn phase_over(&mut self) -> Effects {
        Effects::end(None)
    }
}
