//! The agent's configuration file; `docs/configuration.md` lists every key.

use crate::cluster::HealthConfig;
use crate::core::{Bounds, Limits, Moving, Pace, Settings, Targets};
use holdline_host::config::tables::{self, Calls, Drain, Http, Media};
use holdline_host::config::{Bound, Configuration, Limit, ListenAddr, Relation, optional_duration};
use holdline_host::drain::DrainOptions;
use holdline_host::log::LogConfig;
use holdline_host::trunk_source;
use holdline_wire::header::InstanceAgent;
use ipnet::IpNet;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The agent itself.
    #[serde(default)]
    pub agent: Agent,
    /// SIP.
    pub sip: Sip,
    /// Media.
    pub media: Media,
    /// What holds for every call.
    #[serde(default)]
    pub calls: Calls,
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
    /// How it leaves.
    #[serde(default)]
    pub drain: Drain,
    /// Logs.
    #[serde(default)]
    pub log: LogConfig,
}

/// `[agent]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// Its name, by which nodes know its calls (spec: X42); its SIP address by default.
    pub id: Option<Box<str>>,
}

/// How long load balancers have to ask for `/readyz` again.
const GRACE: Duration = Duration::from_secs(5);

/// `[sip]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sip {
    /// Where to listen; one address for now.
    pub listen: Vec<ListenAddr>,
    /// Who may call beside the nodes; the loopback networks by default.
    #[serde(default = "tables::loopback")]
    pub allow: Vec<IpNet>,
    /// Live calls at most; without, 10,000, or as many as ports and open files allow.
    #[serde(default)]
    pub max_calls: Option<usize>,
    /// How long a call may ring.
    #[serde(default, deserialize_with = "optional_duration")]
    pub setup_timeout: Option<Duration>,
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

impl Sip {
    /// Live calls at most.
    pub fn max_calls(&self) -> usize {
        self.max_calls.unwrap_or(10_000)
    }
}

/// What the tables of the agent alone may hold.
const BOUNDS: &[Bound] = &[
    Bound::items("sip.allow", 0, 256),
    Bound::number("sip.max_calls", 1, 100_000),
    Bound::span("sip.setup_timeout", 5000, 3_600_000),
    Bound::items("trunk", 1, 1),
    Bound::span("trunk[].poll", 200, 86_400_000),
    Bound::span("health.probe_interval", 50, 5000).by_default(250),
    Bound::span("health.silence", 500, 30_000).by_default(1500),
    Bound::span("health.media_silence", 20, 1000).by_default(40),
    Bound::number("health.return_run", 1, 100),
    Bound::span("failover.window", 200, 1000),
    Bound::number("failover.in_flight", 1, 1000).by_default(32),
    Bound::number("failover.in_flight_max", 1, 1000).by_default(128),
    Bound::span("failover.retry_after_max", 0, 600_000).by_default(5000),
    Bound::items("failover.emergency_numbers", 0, 100),
    Bound::span("failover.attempt_timeout", 100, 10_000).by_default(300),
    Bound::span("failover.progress_timeout", 100, 30_000).by_default(1500),
    Bound::span("failover.hold_time", 1000, 600_000).by_default(20_000),
    Bound::span("failover.comfort_after", 100, 30_000).by_default(200),
];

/// What must hold between two of their keys.
const RELATIONS: &[Relation] = &[
    // Three intervals make a node suspect, and the quick probes that decide need some time.
    Relation::at_least("health.silence", 4, "health.probe_interval"),
    // Media are the quicker evidence, or none.
    Relation::at_least("health.silence", 1, "health.media_silence"),
    Relation::at_least("failover.in_flight_max", 1, "failover.in_flight"),
    // A node that has said something gets no less time than one that has not.
    Relation::at_least("failover.progress_timeout", 1, "failover.attempt_timeout"),
    // Whatever a held call waits for comes before it is given up.
    Relation::at_least("failover.hold_time", 1, "failover.progress_timeout"),
    Relation::at_least("failover.hold_time", 1, "failover.retry_after_max"),
    Relation::at_least("failover.hold_time", 1, "failover.comfort_after"),
];

impl Configuration for Config {
    const BOUNDS: &'static [&'static [Bound]] = &[tables::BOUNDS, BOUNDS];
    const RELATIONS: &'static [&'static [Relation]] = &[tables::RELATIONS, RELATIONS];
}

impl Config {
    /// What neither a bound nor a relation shows.
    pub fn validate(&self) -> Result<(), String> {
        tables::check(&self.sip.listen, &self.media)?;
        let [trunk] = self.trunk.as_slice() else {
            return Err("trunk: expected exactly one [[trunk]]".into());
        };
        trunk_source::check_uri(&trunk.config)
            .map_err(|error| format!("trunk[0].config: {error}"))?;
        self.check_id()
    }

    fn check_id(&self) -> Result<(), String> {
        let is_name = |id: &str| InstanceAgent::parse(format!("{id};incarnation=0").as_bytes());
        match &self.agent.id {
            Some(id) if is_name(id).is_none_or(|read| read.id != *id) => Err(
                "agent.id: expected 1 to 128 letters, digits or characters of -.!%*_+`'~".into(),
            ),
            _ => Ok(()),
        }
    }

    /// How it leaves: its calls end with it.
    pub fn drain(&self) -> DrainOptions {
        self.drain.options(GRACE, "they are cut off")
    }

    fn limits(&self) -> Limits {
        let limits = Limits::default();
        Limits {
            media: self.media.timeout.map_or(limits.media, Limit::time),
            longest: self.calls.longest.map_or(limits.longest, Limit::time),
        }
    }

    /// The agent's name, where none is given: its SIP address, of which a token can hold no colon
    /// and no bracket (RFC 3261 25.1).
    fn id(&self, sip: SocketAddr) -> Box<str> {
        let of_address = || {
            sip.to_string()
                .replace(':', "-")
                .replace(['[', ']'], "")
                .into()
        };
        self.agent.id.clone().unwrap_or_else(of_address)
    }

    /// What the core needs of it; `incarnation` tells this process from all others.
    pub fn settings(&self, sip: SocketAddr, incarnation: &str) -> Settings {
        Settings {
            agent: InstanceAgent {
                id: self.id(sip),
                incarnation: incarnation.into(),
            },
            limits: self.limits(),
            trunk: self
                .trunk
                .first()
                .map(|trunk| trunk.name.clone())
                .unwrap_or_default(),
            sip,
            allow: self.sip.allow.clone(),
            media: self.media.address,
            ports: self.media.ports.ends(),
            max_calls: self.sip.max_calls(),
            setup_timeout: self.sip.setup_timeout.unwrap_or(Duration::from_secs(200)),
            health: self.health.thresholds(),
            moving: self.failover.moving(),
        }
    }
}

impl Health {
    fn thresholds(&self) -> HealthConfig {
        let health = HealthConfig::default();
        HealthConfig::of(
            self.probe_interval.unwrap_or(health.probe_interval),
            self.silence.unwrap_or(health.silence),
            self.media_silence.unwrap_or(health.media_silence_min),
            self.return_run.unwrap_or(health.return_run),
        )
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdline_host::config::Kind;

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
        let settings = config.settings("127.0.0.1:5060".parse().unwrap(), "9f");
        assert_eq!(settings.agent.to_string(), "127.0.0.1-5060;incarnation=9f");
        assert_eq!(settings.ports, (20_000, 29_999));
        assert_eq!(settings.health, HealthConfig::default());
        assert_eq!(settings.moving.hold, Duration::from_secs(20));
    }

    #[test]
    fn a_drain_has_bounds() {
        let drain = |text: &str| {
            let config = read(&format!("{EXAMPLE}[drain]\n{text}\n"))?;
            let DrainOptions { grace, timeout, .. } = config.drain();
            Ok::<_, String>((grace.as_secs(), timeout.as_secs()))
        };
        assert_eq!(drain(""), Ok((5, 20)));
        assert_eq!(drain("timeout = \"2s\""), Ok((2, 2)));
        assert_eq!(drain("grace = \"0s\""), Ok((0, 20)));
        for refused in ["timeout = \"2h\"", "grace = \"21s\""] {
            let error = drain(refused).unwrap_err();
            assert!(error.contains("drain."), "{refused}: {error}");
        }
    }

    #[test]
    fn media_go_through_the_agent_without_being_told_to() {
        let mode = |text: &str| read(text).map(|config| config.media.mode);
        assert_eq!(mode(EXAMPLE), Ok(tables::MediaMode::Relay));
        let untold = EXAMPLE.replace("mode = \"relay\"\n", "");
        assert_eq!(mode(&untold), Ok(tables::MediaMode::Relay));
        let error = mode(&EXAMPLE.replace("\"relay\"", "\"direct\"")).unwrap_err();
        assert!(error.contains("media.mode"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = read(&EXAMPLE.replace("address =", "adress =")).unwrap_err();
        assert!(
            error.contains("agent.toml:6") && error.contains("adress"),
            "{error}"
        );
    }

    // spec: X50
    #[test]
    fn the_defaults_of_the_bounds_are_those_that_count() {
        let mut told = EXAMPLE.replace("[http]", "[health]\n{health}[failover]\n{failover}[http]");
        for table in ["health", "failover"] {
            let line = |bound: &Bound| bound.key.strip_prefix(table)?.strip_prefix('.');
            let lines = Config::bounds().into_iter().filter_map(|bound| {
                let value = bound.kind.shown(bound.default?);
                let quote = if bound.kind == Kind::Span { "\"" } else { "" };
                Some(format!("{} = {quote}{value}{quote}\n", line(&bound)?))
            });
            told = told.replace(&format!("{{{table}}}"), &lines.collect::<String>());
        }
        let settings = |text: &str| {
            let config = read(text).unwrap();
            format!(
                "{:?}",
                config.settings("127.0.0.1:5060".parse().unwrap(), "0")
            )
        };
        assert!(told.contains("retry_after_max = \"5s\""), "{told}");
        assert_eq!(settings(&told), settings(EXAMPLE));
    }

    // spec: X50
    #[test]
    fn what_could_not_run_is_refused() {
        let with = |lines: &str| read(&format!("{EXAMPLE}{lines}"));
        for (lines, told) in [
            (
                "[health]\nmedia_silence = \"2s\"",
                "health.media_silence: expected 20ms to 1s, got 2s",
            ),
            (
                "[health]\nsilence = \"1ms\"",
                "health.silence: expected 500ms to 30s, got 1ms",
            ),
            (
                "[health]\nprobe_interval = \"750ms\"",
                "health.silence (1500ms by default): expected at least 4 times health.probe_interval (750ms)",
            ),
            (
                "poll = \"17520h\"",
                "trunk[0].poll: expected 200ms to 24h, got 17520h",
            ),
            (
                "[failover]\nattempt_timeout = \"2s\"",
                "failover.progress_timeout (1500ms by default): expected at least \
                 failover.attempt_timeout (2s)",
            ),
            (
                "[failover]\nretry_after_max = \"1m\"",
                "failover.hold_time (20s by default): expected at least failover.retry_after_max (1m)",
            ),
            (
                "[log]\nlevel = \"loud\"",
                "log.level: log level \"loud\": expected",
            ),
        ] {
            let error = with(lines).unwrap_err();
            assert!(error.contains(told), "{lines}: {error}");
        }
        let secure = read(&EXAMPLE.replace("http://127", "https://127")).unwrap_err();
        assert!(secure.contains("trunk[0].config"), "{secure}");
        // The same with what they relate to: it scales.
        for lines in [
            "[health]\nmedia_silence = \"300ms\"",
            "[health]\nprobe_interval = \"750ms\"\nsilence = \"3s\"",
        ] {
            assert!(with(lines).is_ok(), "{lines}: {:?}", with(lines));
        }
    }

    // spec: D25, X23
    #[test]
    fn the_drafts_window_is_an_option_with_its_own_length() {
        let failover = |text: &str| {
            let config = read(&format!("{EXAMPLE}[failover]\n{text}\n"))?;
            Ok::<_, String>(
                config
                    .settings("127.0.0.1:5060".parse().unwrap(), "9f")
                    .moving,
            )
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

    // spec: X42
    #[test]
    fn names_and_limits_have_bounds() {
        let sip = "[2001:db8::7]:5060".parse().unwrap();
        let named = read(EXAMPLE).unwrap().settings(sip, "9f").agent.to_string();
        assert_eq!(
            InstanceAgent::parse(named.as_bytes()).unwrap().id.as_ref(),
            "2001-db8--7-5060"
        );
        for (extra, named) in [
            ("[agent]\nid = \"a b\"", "agent.id: expected"),
            ("[agent]\nid = \"a;b\"", "agent.id: expected"),
            ("[calls]\nlongest = \"10s\"", "calls.longest: expected 1m"),
        ] {
            let error = read(&format!("{extra}\n{EXAMPLE}")).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
        let off = read(&EXAMPLE.replace("mode =", "timeout = \"off\"\nmode =")).unwrap();
        assert_eq!(off.settings(sip, "9f").limits.media, None);
        let short = EXAMPLE.replace("mode =", "timeout = \"2h\"\nmode =");
        assert!(
            read(&short)
                .unwrap_err()
                .contains("media.timeout: expected 10s")
        );
    }

    #[test]
    fn a_second_trunk_and_a_foreign_family_are_refused() {
        let twice = format!("{EXAMPLE}[[trunk]]\nname = \"b\"\nconfig = \"http://h/t\"\n");
        assert!(read(&twice).unwrap_err().contains("trunk"));
        let mixed = EXAMPLE.replace("address = \"127.0.0.1\"", "address = \"::1\"");
        assert!(read(&mixed).unwrap_err().contains("media.address"));
    }
}
