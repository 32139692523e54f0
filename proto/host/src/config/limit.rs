//! A time after which something ends, which an operator may turn off.

use super::types::parse_duration;
use serde::Deserialize;
use std::time::Duration;

/// `"60s"`, or `"off"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Limit {
    /// It never ends for that.
    Off,
    /// After so long.
    After(Duration),
}

impl TryFrom<String> for Limit {
    type Error = String;

    fn try_from(text: String) -> Result<Limit, String> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(Limit::Off);
        }
        let time = parse_duration(&text).map(Limit::After);
        time.ok_or_else(|| format!("expected a duration like 60s or 24h, or \"off\", got {text:?}"))
    }
}

impl Limit {
    /// The time, where there is one.
    pub fn time(self) -> Option<Duration> {
        match self {
            Limit::Off => None,
            Limit::After(time) => Some(time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_time_or_off() {
        let read = |text: &str| Limit::try_from(text.to_owned());
        assert_eq!(read("off"), Ok(Limit::Off));
        assert_eq!(read("90s"), Ok(Limit::After(Duration::from_secs(90))));
        assert!(read("never").unwrap_err().contains("\"off\""));
    }
}
