//! What calls are made to do while they are watched, and who does it.

use super::duration::duration;
use super::mark::Side;
use crate::ua::CallNumber;
use serde::Serialize;
use std::str::FromStr;
use std::time::Duration;

/// Something to exercise on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Hold.
    Hold,
    /// Unhold, by the one who held.
    Unhold,
    /// Hang up.
    Bye,
}

/// Who acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Actors {
    /// The caller in every call.
    Caller,
    /// The callee in every call.
    Callee,
    /// The caller in calls with even numbers, the callee in the others.
    #[default]
    Both,
}

impl Actors {
    /// The one who acts in `call`.
    pub fn of(self, call: CallNumber) -> Side {
        match self {
            Actors::Caller => Side::Caller,
            Actors::Callee => Side::Callee,
            Actors::Both if call.is_multiple_of(2) => Side::Caller,
            Actors::Both => Side::Callee,
        }
    }
}

/// An `--act`: a step at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// When the first call does it.
    pub at: Duration,
    /// What.
    pub step: Step,
    /// Who.
    pub by: Actors,
    /// How many calls, the first ones; all where it is not said.
    pub calls: Option<u32>,
}

impl FromStr for Act {
    type Err = String;

    /// Reads `2s:hold`, `2s:hold:callee`, `2s:bye:both:20`.
    fn from_str(text: &str) -> Result<Act, String> {
        let named = |name: &str| format!("{name:?} in {text:?} is not known");
        let mut parts = text.split(':');
        let at = duration(parts.next().unwrap_or_default())?;
        let step = parts.next().unwrap_or_default();
        let step = clap::ValueEnum::from_str(step, false).map_err(|_| named(step))?;
        let by = match parts.next() {
            Some(by) => clap::ValueEnum::from_str(by, false).map_err(|_| named(by))?,
            None => Actors::Both,
        };
        let count = |count: &str| count.parse().map_err(|_| named(count));
        let calls = parts.next().map(count).transpose()?;
        match parts.next() {
            Some(more) => Err(named(more)),
            None => Ok(Act {
                at,
                step,
                by,
                calls,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_read() {
        let act = |by, calls| Act {
            at: Duration::from_millis(1500),
            step: Step::Hold,
            by,
            calls,
        };
        assert_eq!("1.5s:hold".parse(), Ok(act(Actors::Both, None)));
        let some = "1500ms:hold:callee:20".parse();
        assert_eq!(some, Ok(act(Actors::Callee, Some(20))));
        for wrong in [
            "",
            "1s",
            "1s:jump",
            "1s:bye:nobody",
            "1s:bye:both:x",
            "1s:bye:both:1:1",
        ] {
            assert!(wrong.parse::<Act>().is_err(), "{wrong}");
        }
    }
}
