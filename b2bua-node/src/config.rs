//! The node's configuration file; `docs/configuration.md` lists every key.

use crate::core::{Far503, Limits, NodeConfig, Waits};
use holdline_host::config::tables::{self, Calls, Drain, Http, Media};
use holdline_host::config::{
    Bound, Configuration, Limit, ListenAddr, Relation, SipTarget, optional_duration,
};
use holdline_host::drain::DrainOptions;
use holdline_host::log::LogConfig;
use holdline_wire::transaction::Timers;
use holdline_wire::trunk::{Instance, TrunkDocument};
use ipnet::IpNet;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The node itself.
    #[serde(default)]
    pub node: Node,
    /// SIP.
    pub sip: Sip,
    /// Media.
    pub media: Media,
    /// What holds for every call.
    #[serde(default)]
    pub calls: Calls,
    /// The HTTP pages.
    pub http: Http,
    /// The agents.
    #[serde(default)]
    pub upstream: Upstream,
    /// The downstream UA.
    pub downstream: Downstream,
    /// What the nodes of the cluster share.
    pub store: StoreConfig,
    /// The trunk document that this node serves, if any.
    #[serde(default)]
    pub trunk: Option<Trunk>,
    /// How it leaves.
    #[serde(default)]
    pub drain: Drain,
    /// Logs.
    #[serde(default)]
    pub log: LogConfig,
}

/// `[node]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// Live calls at most.
    pub capacity: usize,
    /// How long a call may ring.
    #[serde(deserialize_with = "optional_duration")]
    pub setup_timeout: Option<Duration>,
}

impl Default for Node {
    fn default() -> Node {
        Node {
            capacity: 1000,
            setup_timeout: None,
        }
    }
}

/// `[sip]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sip {
    /// Where to listen; one address for now.
    pub listen: Vec<ListenAddr>,
}

/// `[upstream]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    /// Networks of agents; the loopback networks by default.
    pub allow: Vec<IpNet>,
    /// How long the calls of an agent that is gone go on (spec: X42); 30 s by default.
    #[serde(deserialize_with = "optional_duration")]
    pub lost_after: Option<Duration>,
}

impl Default for Upstream {
    fn default() -> Upstream {
        Upstream {
            allow: tables::loopback(),
            lost_after: None,
        }
    }
}

/// `[downstream]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Downstream {
    /// Where new calls go.
    pub target: SipTarget,
    /// What agents are told where the far end says 503: `"500"` by default, or `"pass"`.
    #[serde(default)]
    pub far_503: Far503,
    /// How many INVITEs with Replaces it may owe an answer at a time, over all nodes (spec: X57).
    #[serde(default)]
    pub replaces_in_flight: ReplacesInFlight,
}

/// `"auto"` or a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplacesInFlight {
    /// The agent goes by what the downstream UA says of itself, and by how quickly it answers.
    #[default]
    Auto,
    /// So many.
    AtMost(u32),
}

impl ReplacesInFlight {
    const EXPECTED: &'static str = "downstream.replaces_in_flight: expected \"auto\" or 1 to 1000";

    fn number(self) -> Option<u32> {
        match self {
            ReplacesInFlight::Auto => None,
            ReplacesInFlight::AtMost(most) => Some(most),
        }
    }
}

impl<'de> Deserialize<'de> for ReplacesInFlight {
    fn deserialize<D: serde::Deserializer<'de>>(value: D) -> Result<ReplacesInFlight, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(i64),
            Word(String),
        }
        // A number that came by the environment is a word.
        let number = match Either::deserialize(value) {
            Ok(Either::Word(word)) if word == "auto" => return Ok(ReplacesInFlight::Auto),
            Ok(Either::Word(word)) => word.parse().ok(),
            Ok(Either::Number(number)) => u32::try_from(number).ok(),
            Err(_) => None,
        };
        let number = number.filter(|most| (1..=1000).contains(most));
        let refused = || serde::de::Error::custom(ReplacesInFlight::EXPECTED);
        number.map(ReplacesInFlight::AtMost).ok_or_else(refused)
    }
}

/// `[store]`: see [`Waits`] for the defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// `sqlite://PATH`.
    pub url: StoreUrl,
    /// How long an answer waits for the store (spec: X30).
    #[serde(default, deserialize_with = "optional_duration")]
    pub commit_wait: Option<Duration>,
    /// How long a failover call waits for the store.
    #[serde(default, deserialize_with = "optional_duration")]
    pub claim_timeout: Option<Duration>,
}

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct StoreUrl {
    /// The SQLite file.
    pub path: PathBuf,
}

impl TryFrom<String> for StoreUrl {
    type Error = String;

    fn try_from(url: String) -> Result<StoreUrl, String> {
        match url.strip_prefix("sqlite://") {
            Some(path) if !path.is_empty() && !path.ends_with('/') => {
                Ok(StoreUrl { path: path.into() })
            }
            _ => Err(format!("expected sqlite:///PATH/FILE, got {url:?}")),
        }
    }
}

/// `[trunk]`: a static trunk document (spec: D11).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trunk {
    /// `cloud-sip-trunk-name`: a host name.
    pub name: String,
    /// `uri`: `/trunk` of this node by default.
    #[serde(default)]
    pub uri: Option<String>,
    /// `version`.
    #[serde(default = "first_version")]
    pub version: u64,
    /// `webhook-registration`: `/trunk/webhooks` of this node by default.
    #[serde(default)]
    pub webhook_registration: Option<String>,
    /// The nodes.
    pub instances: Vec<TrunkInstance>,
}

/// One of `trunk.instances`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrunkInstance {
    /// The node's SIP address.
    pub address: SocketAddr,
    /// Whether it takes new calls.
    #[serde(default)]
    pub status: InstanceStatus,
}

/// The status of an instance (spec: D14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceStatus {
    /// Takes new calls.
    #[default]
    Active,
    /// Keeps the calls that it has.
    Inactive,
}

fn first_version() -> u64 {
    1
}

/// What the tables of the node alone may hold.
const BOUNDS: &[Bound] = &[
    Bound::number("node.capacity", 1, 100_000),
    Bound::span("node.setup_timeout", 5000, 3_600_000),
    Bound::items("upstream.allow", 0, 256),
    Bound::span("upstream.lost_after", 5000, 3_600_000),
    Bound::span("store.commit_wait", 1, 500).by_default(20),
    Bound::span("store.claim_timeout", 50, 5000).by_default(500),
    Bound::number("trunk.version", 0, i64::MAX as u64),
    Bound::items("trunk.instances", 0, 4096),
];

/// What must hold between two of their keys.
const RELATIONS: &[Relation] = &[
    // Without the store's word a call goes on, a failover call does not: it waits no shorter.
    Relation::at_least("store.claim_timeout", 1, "store.commit_wait"),
];

impl Configuration for Config {
    const BOUNDS: &'static [&'static [Bound]] = &[tables::BOUNDS, BOUNDS];
    const RELATIONS: &'static [&'static [Relation]] = &[tables::RELATIONS, RELATIONS];
}

impl Config {
    /// What neither a bound nor a relation shows.
    pub fn validate(&self) -> Result<(), String> {
        let listen = tables::check(&self.sip.listen, &self.media)?;
        let target = self.downstream.target.socket;
        if listen.socket.is_ipv4() != target.is_ipv4() {
            return Err("downstream.target: expected the address family of sip.listen".into());
        }
        if target == listen.socket {
            return Err("downstream.target: expected another address than sip.listen".into());
        }
        match self.document() {
            Some(document) => TrunkDocument::parse(document.to_json().as_bytes())
                .map(|_| ())
                .map_err(|error| format!("trunk: {error}")),
            None => Ok(()),
        }
    }

    /// How it leaves. An idle node is gone at once: agents notice by themselves.
    pub fn drain(&self) -> DrainOptions {
        let left = "their agents move them to other nodes";
        self.drain.options(Duration::ZERO, left)
    }

    fn limits(&self) -> Limits {
        let limits = Limits::default();
        Limits {
            lost_after: self.upstream.lost_after.unwrap_or(limits.lost_after),
            media: self.media.timeout.map_or(limits.media, Limit::time),
            longest: self.calls.longest.map_or(limits.longest, Limit::time),
        }
    }

    /// What the core needs of it.
    pub fn settings(&self, sip: SocketAddr, incarnation: &str, seed: [u8; 32]) -> NodeConfig {
        let waits = Waits::default();
        NodeConfig {
            sip,
            media: self.media.address,
            ports: self.media.ports.ends(),
            capacity: self.node.capacity,
            upstream: self.upstream.allow.clone(),
            target: self.downstream.target.socket.to_string().into(),
            downstream: self.downstream.target.socket,
            far_503: self.downstream.far_503,
            replaces_in_flight: self.downstream.replaces_in_flight.number(),
            incarnation: incarnation.into(),
            // Known once the store is open.
            store: None,
            seed,
            timers: Timers::default(),
            waits: Waits {
                ring: self.node.setup_timeout.unwrap_or(waits.ring),
                commit: self.store.commit_wait.unwrap_or(waits.commit),
                claim: self.store.claim_timeout.unwrap_or(waits.claim),
                ..waits
            },
            limits: self.limits(),
        }
    }

    /// The trunk document that this node serves.
    pub fn document(&self) -> Option<TrunkDocument> {
        let trunk = self.trunk.as_ref()?;
        let own = format!("http://{}/trunk", self.http.listen);
        let instances = trunk.instances.iter().map(|instance| Instance {
            address: instance.address,
            active: instance.status == InstanceStatus::Active,
        });
        Some(TrunkDocument {
            name: trunk.name.clone(),
            webhook_registration: trunk
                .webhook_registration
                .clone()
                .unwrap_or_else(|| format!("{own}/webhooks")),
            uri: trunk.uri.clone().unwrap_or(own),
            version: trunk.version,
            instances: instances.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"
[sip]
listen = ["udp:127.0.0.11:5060"]
[media]
address = "127.0.0.11"
ports = "30000-39999"
[http]
listen = "127.0.0.11:8080"
[downstream]
target = "sip:127.0.0.1:5091"
[store]
url = "sqlite:///var/lib/holdline/dialogs.db"
[trunk]
name = "demo.example"
instances = [
  { address = "127.0.0.11:5060" },
  { address = "127.0.0.12:5060", status = "inactive" },
]
"#;

    fn read(text: &str) -> Result<Config, String> {
        let path = std::path::Path::new("node.toml");
        let config: Config = holdline_host::config::parse(path, text, &|_| None)
            .map_err(|error| error.to_string())?;
        config.validate().map(|()| config)
    }

    #[test]
    fn the_example_holds_and_its_defaults_are_those_of_the_core() {
        let config = read(EXAMPLE).unwrap();
        let settings = config.settings("127.0.0.11:5060".parse().unwrap(), "abcd", [0; 32]);
        assert_eq!(settings.capacity, 1000);
        assert_eq!(settings.ports, (30_000, 39_999));
        assert_eq!(&*settings.target, "127.0.0.1:5091");
        assert_eq!(settings.waits.commit, Duration::from_millis(20));
        assert_eq!(
            config.store.url.path,
            PathBuf::from("/var/lib/holdline/dialogs.db")
        );
    }

    // spec: X53
    #[test]
    fn what_becomes_of_the_far_ends_503_can_be_said() {
        let with = |value: &str| {
            let target = "target = \"sip:127.0.0.1:5091\"";
            read(&EXAMPLE.replace(target, &format!("{target}\nfar_503 = {value}")))
        };
        let told = |config: Config| config.downstream.far_503;
        assert_eq!(read(EXAMPLE).map(told), Ok(Far503::Convert));
        assert_eq!(with("\"500\"").map(told), Ok(Far503::Convert));
        assert_eq!(with("\"pass\"").map(told), Ok(Far503::Pass));
        let error = with("\"603\"").unwrap_err();
        assert!(error.contains("500") && error.contains("pass"), "{error}");
    }

    // spec: D11
    #[test]
    fn the_trunk_document_lists_the_instances() {
        let document = read(EXAMPLE).unwrap().document().unwrap();
        let read = TrunkDocument::parse(document.to_json().as_bytes()).unwrap();
        assert_eq!(read.uri, "http://127.0.0.11:8080/trunk");
        let active: Vec<bool> = read.instances.iter().map(|i| i.active).collect();
        assert_eq!(active, [true, false]);
    }

    // spec: X57
    #[test]
    fn what_the_far_end_may_owe_is_a_number_or_found_out() {
        let told = |value: &str| {
            let target = "target = \"sip:127.0.0.1:5091\"";
            let keys = format!("{target}\nreplaces_in_flight = {value}");
            let config = read(&EXAMPLE.replace(target, &keys))?;
            let settings = config.settings("127.0.0.11:5060".parse().unwrap(), "abcd", [0; 32]);
            Ok::<_, String>(settings.replaces_in_flight)
        };
        assert_eq!(told("\"auto\""), Ok(None));
        assert_eq!(told("1"), Ok(Some(1)));
        assert_eq!(told("1000"), Ok(Some(1000)));
        for refused in ["0", "1001", "-1", "\"many\"", "true"] {
            let error = told(refused).unwrap_err();
            assert!(error.contains("expected \"auto\" or 1 to 1000"), "{error}");
        }
    }

    #[test]
    fn an_idle_node_is_gone_at_once_unless_it_is_given_a_grace() {
        let grace = |text: &str| {
            let config = read(&format!("{EXAMPLE}[drain]\n{text}\n"))?;
            Ok::<_, String>(config.drain().grace.as_secs())
        };
        assert_eq!(grace(""), Ok(0));
        assert_eq!(grace("grace = \"3s\""), Ok(3));
        let error = grace("grace = \"21s\"").unwrap_err();
        assert!(error.contains("drain.timeout"), "{error}");
    }

    #[test]
    fn mistakes_are_named() {
        for (right, wrong, named) in [
            ("sqlite:///var", "mysql:///var", "store.url"),
            (
                "sip:127.0.0.1:5091",
                "sip:127.0.0.11:5060",
                "downstream.target",
            ),
            (
                "address = \"127.0.0.11\"",
                "address = \"::1\"",
                "media.address",
            ),
            ("demo.example", "demo example", "trunk"),
            ("\"inactive\"", "\"asleep\"", "node.toml:17"),
            ("[sip]", "[node]\ncapacity = 0\n[sip]", "node.capacity"),
            (
                "dialogs.db\"",
                "dialogs.db\"\ncommit_wait = \"400ms\"\nclaim_timeout = \"100ms\"",
                "store.claim_timeout (100ms): expected at least store.commit_wait (400ms)",
            ),
            (
                "[sip]",
                "[upstream]\nlost_after = \"2s\"\n[sip]",
                "upstream.lost_after: expected 5s to 1h",
            ),
            (
                "[sip]",
                "[calls]\nlongest = \"721h\"\n[sip]",
                "calls.longest: expected 1m to 720h",
            ),
            (
                "ports = ",
                "timeout = \"5s\"\nports = ",
                "media.timeout: expected 10s to 1h",
            ),
            ("[sip]", "[drain]\ntimeout = \"2h\"\n[sip]", "drain.timeout"),
            ("ports = ", "mode = \"direct\"\nports = ", "media.mode"),
        ] {
            let error = read(&EXAMPLE.replace(right, wrong)).unwrap_err();
            assert!(error.contains(named), "{wrong}: {error}");
        }
    }
}
