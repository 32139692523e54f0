//! The tables that the files of both programs have, with their bounds.

use super::bounds::{Bound, Relation};
use super::limit::Limit;
use super::types::{ListenAddr, PortRange, check_media, duration, optional_duration};
use crate::drain::DrainOptions;
use ipnet::IpNet;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What the numbers, durations and lists of these tables may be, for [`super::Configuration::BOUNDS`];
/// `sip.listen`, which both have in a table of their own, is among them.
pub const BOUNDS: &[Bound] = &[
    Bound::items("sip.listen", 1, 1),
    Bound::number("media.dscp", 0, 63),
    Bound::span("media.timeout", 10_000, 3_600_000),
    Bound::span("calls.longest", 60_000, 2_592_000_000),
    Bound::span("drain.grace", 0, 3_600_000),
    Bound::span("drain.timeout", 0, 3_600_000).by_default(20_000),
];

/// What must hold between two of them, for [`super::Configuration::RELATIONS`].
pub const RELATIONS: &[Relation] = &[
    // Left out, the grace is never longer.
    Relation::at_least("drain.timeout", 1, "drain.grace"),
];

/// `[media]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// How media flow; through the program by default.
    #[serde(default)]
    pub mode: MediaMode,
    /// The address that descriptions give.
    pub address: IpAddr,
    /// The ports for RTP and RTCP.
    pub ports: PortRange,
    /// DSCP of RTP (RFC 4594): 46 by default.
    #[serde(default = "expedited")]
    pub dscp: u8,
    /// A call in which nobody is heard for so long ends; 60 s by default.
    #[serde(default)]
    pub timeout: Option<Limit>,
}

/// How media flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaMode {
    /// Through the program (spec: X29).
    #[default]
    Relay,
}

/// `[calls]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calls {
    /// The longest that a call lasts; 24 h by default.
    pub longest: Option<Limit>,
}

/// `[http]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where `/metrics`, `/status`, `/healthz`, `/readyz` and the program's own pages are.
    pub listen: SocketAddr,
}

/// `[drain]`: how the program leaves at SIGTERM.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// It stays at least so long, also without calls.
    #[serde(deserialize_with = "optional_duration")]
    pub grace: Option<Duration>,
    /// After so long it ends, whatever calls are left.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Drain {
        Drain {
            grace: None,
            timeout: Duration::from_secs(20),
        }
    }
}

impl Drain {
    /// What a drain needs of it: where no grace is set, `grace`, or the whole timeout where that is
    /// less; and what becomes of the calls that are left, for the log.
    pub fn options(self, grace: Duration, left: &'static str) -> DrainOptions {
        DrainOptions {
            grace: self.grace.unwrap_or(grace.min(self.timeout)),
            timeout: self.timeout,
            left,
        }
    }
}

/// The networks that are let in by default: those of this machine alone.
pub fn loopback() -> Vec<IpNet> {
    ["127.0.0.0/8", "::1/128"]
        .iter()
        .filter_map(|net| net.parse().ok())
        .collect()
}

/// Expedited forwarding.
fn expedited() -> u8 {
    46
}

/// The address where the program listens for SIP, which goes with `media`; an error names the keys
/// that are wrong.
pub fn check(listen: &[ListenAddr], media: &Media) -> Result<ListenAddr, String> {
    let [listen] = listen else {
        return Err("sip.listen: expected exactly one address".into());
    };
    check_media(media.address, media.ports, *listen)?;
    Ok(*listen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_is_what_is_set_or_fits_into_the_timeout() {
        let grace = |grace: Option<u64>, timeout: u64| {
            let drain = Drain {
                grace: grace.map(Duration::from_secs),
                timeout: Duration::from_secs(timeout),
            };
            let options = drain.options(Duration::from_secs(5), "they end");
            options.grace.as_secs()
        };
        assert_eq!(grace(None, 20), 5);
        assert_eq!(grace(None, 2), 2);
        assert_eq!(grace(Some(0), 20), 0);
        assert_eq!(grace(Some(7), 20), 7);
    }

    #[test]
    fn only_this_machine_is_let_in_by_default() {
        let shown: Vec<String> = loopback().iter().map(IpNet::to_string).collect();
        assert_eq!(shown, ["127.0.0.0/8", "::1/128"]);
    }
}
