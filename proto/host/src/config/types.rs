//! Types of options that several programs have. Networks are [`super::IpNet`] as they are.

use serde::{Deserialize, Deserializer, de};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The longest duration that any key takes, whether its own bound is known or not: sums and small
/// multiples of it cannot overflow.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Where to listen for SIP: `udp:127.0.0.1:5060`, `udp:[::1]:5060`. The address is one that peers
/// reach, since it is what Via and Contact say: `0.0.0.0` is refused. Port 0 lets the kernel choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddr {
    /// The address; the protocol is UDP.
    pub socket: SocketAddr,
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "udp:{}", self.socket)
    }
}

impl FromStr for ListenAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<ListenAddr, String> {
        let socket: Option<SocketAddr> = text.strip_prefix("udp:").and_then(|s| s.parse().ok());
        match socket {
            Some(socket) if socket.ip().is_unspecified() => Err(format!(
                "expected the address that peers reach, got {text:?}, which names every interface"
            )),
            Some(socket) => Ok(ListenAddr { socket }),
            None => Err(format!(
                "expected udp:IP:PORT or udp:[IPV6]:PORT, got {text:?}"
            )),
        }
    }
}

impl TryFrom<String> for ListenAddr {
    type Error = String;

    fn try_from(text: String) -> Result<ListenAddr, String> {
        text.parse()
    }
}

/// Whether `media` and its `ports` go with `listen`, where the same program listens for SIP: an address
/// of the same family that a peer can send to (`0.0.0.0` would put every call on hold, RFC 3264
/// section 8.4), and ports of which none is SIP's, since the call that is given that one fails.
pub(super) fn check_media(
    media: IpAddr,
    ports: PortRange,
    listen: ListenAddr,
) -> Result<(), String> {
    let sip = listen.socket;
    if media.is_ipv4() != sip.is_ipv4() {
        return Err(format!(
            "media.address ({media}): expected the address family of sip.listen ({listen})"
        ));
    }
    if media.is_unspecified() || media.is_multicast() {
        return Err(format!(
            "media.address: expected the address that peers reach, got {media}"
        ));
    }
    let (first, last) = (ports.first, ports.last);
    if media == sip.ip() && (first..=last).contains(&sip.port()) {
        return Err(format!(
            "media.ports ({first}-{last}): expected ports without that of sip.listen ({listen})"
        ));
    }
    Ok(())
}

/// Ports for RTP and RTCP: `20000-29999`, both ends included. Pairs start at even ports, so an odd
/// first port is rounded up and an even last port down; at least two pairs must be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The ports of whole pairs: the first even, the last odd.
    pub fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }

    /// The first and the last of them.
    pub fn ends(self) -> (u16, u16) {
        (self.first, self.last)
    }

    /// How many pairs of RTP and RTCP ports.
    pub fn pairs(self) -> usize {
        usize::from(self.last - self.first).div_ceil(2)
    }

    /// Says in the log where the kernel hands out ports of this range by itself: one of them may
    /// belong to some other socket just when a call needs it, and that call is refused.
    pub fn warn_of_others(self) {
        let read = |name: &str| {
            std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap_or_default()
        };
        let (handed_out, reserved) = (read("ip_local_port_range"), read("ip_local_reserved_ports"));
        if let Some(ports) = self.shared_with(&handed_out, &reserved) {
            let (first, last) = (ports.start(), ports.end());
            tracing::warn!(
                "media.ports: the kernel gives {first}-{last} to other sockets as well: choose others, \
                 or set net.ipv4.ip_local_reserved_ports={first}-{last}"
            );
        }
    }

    /// The ports of this range within `handed_out` (two numbers), unless `reserved` (a list of
    /// ranges) has them all; both as the kernel writes them (ip-sysctl).
    pub(super) fn shared_with(
        self,
        handed_out: &str,
        reserved: &str,
    ) -> Option<RangeInclusive<u16>> {
        let mut ends = handed_out.split_whitespace().map(str::parse::<u16>);
        let (low, high) = (ends.next()?.ok()?, ends.next()?.ok()?);
        let shared = self.first.max(low)..=self.last.min(high);
        let keeps = |range: &str| {
            let range = range.trim();
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let ends = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
            ends.is_some_and(|(first, last)| first <= *shared.start() && last >= *shared.end())
        };
        (!shared.is_empty() && !reserved.split(',').any(keeps)).then(|| shared.clone())
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<PortRange, String> {
        let ends = text.split_once('-').and_then(|(first, last)| {
            Some((
                first.trim().parse::<u16>().ok()?,
                last.trim().parse::<u16>().ok()?,
            ))
        });
        let (first, last) =
            ends.ok_or_else(|| format!("expected FIRST-LAST, two ports, got {text:?}"))?;
        let even = u32::from(first) + u32::from(first % 2);
        let odd = i64::from(last) - i64::from(last % 2 == 0);
        if first < 1024 || odd - i64::from(even) < 3 {
            return Err(format!(
                "expected two pairs of ports above 1023 or more, got {text:?}"
            ));
        }
        Ok(PortRange {
            first: first + first % 2,
            last: last - u16::from(last % 2 == 0),
        })
    }
}

impl TryFrom<String> for PortRange {
    type Error = String;

    fn try_from(text: String) -> Result<PortRange, String> {
        text.parse()
    }
}

/// A SIP peer by address: `sip:127.0.0.1:5091`, `sip:[::1]`. The port defaults to 5060 (RFC 3261
/// section 19.1.2); the transport is UDP, which `;transport=udp` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct SipTarget {
    /// The address.
    pub socket: SocketAddr,
}

impl FromStr for SipTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<SipTarget, String> {
        let host = text
            .strip_prefix("sip:")
            .map(|h| h.strip_suffix(";transport=udp").unwrap_or(h));
        let address = host.and_then(|h| {
            let bare = h
                .strip_prefix('[')
                .and_then(|h| h.strip_suffix(']'))
                .unwrap_or(h);
            let with_default = || Some(SocketAddr::new(bare.parse().ok()?, 5060));
            h.parse().ok().or_else(with_default)
        });
        match address {
            Some(socket) if socket.port() != 0 && !socket.ip().is_unspecified() => {
                Ok(SipTarget { socket })
            }
            _ => Err(format!(
                "expected sip:IP:PORT or sip:[IPV6]:PORT, got {text:?}"
            )),
        }
    }
}

impl TryFrom<String> for SipTarget {
    type Error = String;

    fn try_from(text: String) -> Result<SipTarget, String> {
        text.parse()
    }
}

impl fmt::Display for SipTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sip:{}", self.socket)
    }
}

/// `#[serde(deserialize_with = "duration")]`: `250ms`, `2s`, `30s`, `5m`, `24h`; a whole number
/// and its unit. What its key may be is a line of [`super::Configuration::BOUNDS`]; none is longer than a
/// day.
pub fn duration<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(input)?;
    match parse_duration(&text) {
        Some(duration) if duration <= LONGEST => Ok(duration),
        Some(_) => Err(de::Error::custom(format!(
            "expected at most 24h, got {text}"
        ))),
        None => Err(de::Error::custom(format!(
            "expected a duration like 250ms or 30s, got {text:?}"
        ))),
    }
}

/// [`duration`] for an option that may be left out; it also wants `#[serde(default)]`.
pub fn optional_duration<'de, D: Deserializer<'de>>(
    input: D,
) -> Result<Option<Duration>, D::Error> {
    duration(input).map(Some)
}

pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}
