//! The agent's configuration file; `docs/configuration.md` lists every key.

use crate::cluster::HealthConfig;
use crate::core::{Bounds, Moving, Pace, Settings, Targets};
use holdline_host::config::{ListenAddr, PortRange, optional_duration};
use holdline_host::log::LogConfig;
use ipnet::IpNet;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// SIP.
    pub sip: Sip,
    /// Media.
    pub media: Media,
    /// The HTTP pages.
    pub http: Http,
    /// The clusters; one for now.
    pub trunk: Vec<Trunk>,
    /// Detection.
    #[serde(default)]
    pub health: Health,
    /// Moving of calls.
    #[serde(default)]
    pub failover: Failover,
    /// Logs.
    #[serde(default)]
    pub log: LogConfig,
}

/// `[sip]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sip {
    /// Where to listen; one address for now.
    pub listen: Vec<ListenAddr>,
    /// Who may call beside the nodes; the loopback networks by default.
    #[serde(default = "loopback")]
    pub allow: Vec<IpNet>,
    /// Live calls at most.
    #[serde(default = "max_calls")]
    pub max_calls: usize,
    /// How long a call may ring.
    #[serde(default, deserialize_with = "optional_duration")]
    pub setup_timeout: Option<Duration>,
}

/// `[media]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// `relay`: RTP goes through the agent.
    pub mode: MediaMode,
    /// The address that descriptions give.
    pub address: IpAddr,
    /// The ports for RTP and RTCP.
    pub ports: PortRange,
    /// DSCP of RTP (RFC 4594): 46 by default.
    #[serde(default = "dscp")]
    pub dscp: u8,
}

/// How media flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaMode {
    /// Through the agent (spec: X29).
    Relay,
}

/// `[http]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where `/metrics`, `/status`, `/healthz` and `/readyz` are.
    pub listen: SocketAddr,
}

/// `[[trunk]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trunk {
    /// Its name in logs and metrics.
    pub name: String,
    /// The config URI (spec: D10).
    pub config: String,
    /// Time between two polls (spec: X10): 30 s by default.
    #[serde(default, deserialize_with = "optional_duration")]
    pub poll: Option<Duration>,
    /// Where the last good document is kept over a restart (spec: X10).
    #[serde(default)]
    pub state_dir: Option<PathBuf>,
}

/// `[health]`: see [`HealthConfig`] for the defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// Between two probes of a node (spec: D20).
    #[serde(deserialize_with = "optional_duration")]
    pub probe_interval: Option<Duration>,
    /// Silence after which a node is dead (spec: D21).
    #[serde(deserialize_with = "optional_duration")]
    pub silence: Option<Duration>,
    /// Silence of all media that is suspicious (spec: X20).
    #[serde(deserialize_with = "optional_duration")]
    pub media_silence: Option<Duration>,
    /// Answered probes before a node that was dead is used again (spec: X22).
    pub return_run: Option<u32>,
}

/// `[failover]`: see [`Moving`] for the defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Failover {
    /// `adaptive` or `window` (spec: X23, D25).
    pub pacing: Pace,
    /// All INVITEs of a verdict leave within this time (spec: D25).
    #[serde(deserialize_with = "optional_duration")]
    pub window: Option<Duration>,
    /// INVITEs without an answer that a node gets at first (spec: X23).
    pub in_flight: Option<usize>,
    /// The most that it gets while it answers at once.
    pub in_flight_max: Option<usize>,
    /// `weighted` or `uniform` (spec: X23, D24).
    pub targets: Targets,
    /// How long a node may ask to be left alone (spec: X24).
    #[serde(deserialize_with = "optional_duration")]
    pub retry_after_max: Option<Duration>,
    /// Called numbers whose calls go first (spec: X23).
    pub emergency_numbers: Vec<Box<str>>,
    /// Verdicts are told, and nothing moves (spec: X21).
    pub dry_run: bool,
    /// Patience with one node (spec: X24).
    #[serde(deserialize_with = "optional_duration")]
    pub attempt_timeout: Option<Duration>,
    /// Patience once the node gave its media address.
    #[serde(deserialize_with = "optional_duration")]
    pub progress_timeout: Option<Duration>,
    /// How long a call waits for any node (spec: X24).
    #[serde(deserialize_with = "optional_duration")]
    pub hold_time: Option<Duration>,
    /// The calling server hears silence in place of a node that is absent for so long (spec: X24).
    #[serde(deserialize_with = "optional_duration")]
    pub comfort_after: Option<Duration>,
}

fn loopback() -> Vec<IpNet> {
    ["127.0.0.0/8", "::1/128"]
        .iter()
        .filter_map(|net| net.parse().ok())
        .collect()
}

fn max_calls() -> usize {
    10_000
}

fn dscp() -> u8 {
    46
}

impl Config {
    /// What no single value shows.
    pub fn validate(&self) -> Result<(), String> {
        let [listen] = self.sip.listen.as_slice() else {
            return Err("sip.listen: expected exactly one address".into());
        };
        if listen.socket.is_ipv4() != self.media.address.is_ipv4() {
            return Err("media.address: expected the address family of sip.listen".into());
        }
        if self.trunk.len() != 1 {
            return Err("trunk: expected exactly one [[trunk]]".into());
        }
        if self.media.dscp > 63 {
            return Err("media.dscp: expected 0 to 63".into());
        }
        if self.sip.max_calls == 0 {
            return Err("sip.max_calls: expected at least 1".into());
        }
        let zero = |name: &str, value: Option<Duration>| match value {
            Some(Duration::ZERO) => Err(format!("{name}: expected more than 0")),
            _ => Ok(()),
        };
        zero("health.probe_interval", self.health.probe_interval)?;
        zero("health.silence", self.health.silence)?;
        zero("health.media_silence", self.health.media_silence)?;
        self.failover.validate()?;
        zero("failover.attempt_timeout", self.failover.attempt_timeout)?;
        zero("failover.progress_timeout", self.failover.progress_timeout)?;
        zero("failover.hold_time", self.failover.hold_time)?;
        zero("failover.comfort_after", self.failover.comfort_after)?;
        zero("sip.setup_timeout", self.sip.setup_timeout)
    }

    /// What the core needs of it.
    pub fn settings(&self, sip: SocketAddr) -> Settings {
        let ports = self.media.ports.ports();
        let health = HealthConfig::default();
        Settings {
            trunk: self
                .trunk
                .first()
                .map(|trunk| trunk.name.clone())
                .unwrap_or_default(),
            sip,
            allow: self.sip.allow.clone(),
            media: self.media.address,
            ports: (*ports.start(), *ports.end()),
            max_calls: self.sip.max_calls,
            setup_timeout: self.sip.setup_timeout.unwrap_or(Duration::from_secs(200)),
            health: HealthConfig {
                probe_interval: self.health.probe_interval.unwrap_or(health.probe_interval),
                silence: self.health.silence.unwrap_or(health.silence),
                media_silence_min: self
                    .health
                    .media_silence
                    .unwrap_or(health.media_silence_min),
                return_run: self.health.return_run.unwrap_or(health.return_run),
                ..health
            },
            moving: self.failover.moving(),
        }
    }
}

impl Failover {
    /// The window of the draft, where it is the pace (spec: D25).
    const WINDOW: Duration = Duration::from_millis(500);

    fn moving(&self) -> Moving {
        let moving = Moving::default();
        let window = match self.pacing {
            Pace::Adaptive => moving.window,
            Pace::Window => Failover::WINDOW,
        };
        Moving {
            pacing: self.pacing,
            window: self.window.unwrap_or(window),
            bounds: Bounds {
                first: self.in_flight.unwrap_or(moving.bounds.first),
                most: self.in_flight_max.unwrap_or(moving.bounds.most),
                ..moving.bounds
            },
            targets: self.targets,
            retry_after_max: self.retry_after_max.unwrap_or(moving.retry_after_max),
            emergency_numbers: self.emergency_numbers.clone(),
            dry_run: self.dry_run,
            attempt: self.attempt_timeout.unwrap_or(moving.attempt),
            progress: self.progress_timeout.unwrap_or(moving.progress),
            hold: self.hold_time.unwrap_or(moving.hold),
            comfort: self.comfort_after.unwrap_or(moving.comfort),
        }
    }

    fn validate(&self) -> Result<(), String> {
        let least = Duration::from_millis(200);
        let window = self.moving().window;
        if window > Duration::from_secs(1) || (self.pacing == Pace::Window && window < least) {
            return Err("failover.window: expected 200ms to 1s".into());
        }
        let bounds = self.moving().bounds;
        if bounds.first == 0 || bounds.most < bounds.first {
            return Err("failover.in_flight: expected at least 1, at most in_flight_max".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"
[sip]
listen = ["udp:127.0.0.1:5060"]
[media]
mode = "relay"
address = "127.0.0.1"
ports = "20000-29999"
[http]
listen = "127.0.0.1:9060"
[[trunk]]
name = "demo"
config = "http://127.0.0.11:8080/trunk"
"#;

    fn read(text: &str) -> Result<Config, String> {
        let path = std::path::Path::new("agent.toml");
        let config: Config = holdline_host::config::parse(path, text, &|_| None)
            .map_err(|error| error.to_string())?;
        config.validate().map(|()| config)
    }

    #[test]
    fn the_example_holds_and_its_defaults_are_those_of_the_core() {
        let config = read(EXAMPLE).unwrap();
        let settings = config.settings("127.0.0.1:5060".parse().unwrap());
        assert_eq!(settings.ports, (20_000, 29_999));
        assert_eq!(settings.health, HealthConfig::default());
        assert_eq!(settings.moving.hold, Duration::from_secs(20));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = read(&EXAMPLE.replace("address =", "adress =")).unwrap_err();
        assert!(
            error.contains("agent.toml:6") && error.contains("adress"),
            "{error}"
        );
    }

    // spec: D25, X23
    #[test]
    fn the_drafts_window_is_an_option_with_its_own_length() {
        let failover = |text: &str| {
            let config = read(&format!("{EXAMPLE}[failover]\n{text}\n"))?;
            Ok::<_, String>(config.settings("127.0.0.1:5060".parse().unwrap()).moving)
        };
        let moving = failover("pacing = \"window\"\ntargets = \"uniform\"").unwrap();
        assert_eq!(
            (moving.pacing, moving.targets),
            (Pace::Window, Targets::Uniform)
        );
        assert_eq!(moving.window, Duration::from_millis(500));
        for refused in [
            "pacing = \"window\"\nwindow = \"100ms\"",
            "window = \"2s\"",
            "in_flight = 0",
            "in_flight = 200",
        ] {
            assert!(
                failover(refused).unwrap_err().contains("failover."),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_second_trunk_and_a_foreign_family_are_refused() {
        let twice = format!("{EXAMPLE}[[trunk]]\nname = \"b\"\nconfig = \"http://h/t\"\n");
        assert!(read(&twice).unwrap_err().contains("trunk"));
        let mixed = EXAMPLE.replace("address = \"127.0.0.1\"", "address = \"::1\"");
        assert!(read(&mixed).unwrap_err().contains("media.address"));
    }
}
