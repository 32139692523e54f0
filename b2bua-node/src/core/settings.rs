//! What the core needs of the configuration.

use holdline_wire::transaction::Timers;
use ipnet::{IpNet, Ipv4Net};
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// 127.0.0.0/8.
const LOOPBACK: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8));

/// What an agent is told where the far end refuses a new call, or something in a call, with 503.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Far503 {
    /// 500, with the 503 as its Reason and without Retry-After (spec: X53, RFC 3261 16.7).
    #[default]
    #[serde(rename = "500")]
    Convert,
    /// The 503 as it is.
    #[serde(rename = "pass")]
    Pass,
}

/// The core's settings, already validated.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Our listening SIP address.
    pub sip: SocketAddr,
    /// Our media address.
    pub media: IpAddr,
    /// First and last media port.
    pub ports: (u16, u16),
    /// Live calls at most; more are answered with 503.
    pub capacity: usize,
    /// Who may call: the agents.
    pub upstream: Vec<IpNet>,
    /// Host, port and parameters of the downstream URI: `127.0.0.1:5091`. New calls keep the
    /// user of their Request-URI in front of it.
    pub target: Box<str>,
    /// The resolved address of the downstream UA.
    pub downstream: SocketAddr,
    /// What becomes of the downstream UA's 503 (spec: X53).
    pub far_503: Far503,
    /// How many INVITEs with Replaces the downstream UA may owe an answer at a time (spec: X57);
    /// `None`: the agent finds out.
    pub replaces_in_flight: Option<u32>,
    /// What tells this run of the node from all others (spec: X39): 64 random bits or more, as
    /// a token.
    pub incarnation: Box<str>,
    /// The identity of the store that it works with, a token; nothing where it is not known.
    pub store: Option<Box<str>>,
    /// The seed of all tags, Call-IDs and branches.
    pub seed: [u8; 32],
    /// SIP transaction timers.
    pub timers: Timers,
    /// The node's own waits.
    pub waits: Waits,
    /// How long calls may go on without what.
    pub limits: Limits,
}

impl NodeConfig {
    /// A node at `sip` whose calls go to `downstream`, for upstream peers on loopback: 1000
    /// calls, media ports 30000 to 39999 of the same address.
    pub fn new(sip: SocketAddr, downstream: SocketAddr, incarnation: &str, seed: [u8; 32]) -> Self {
        NodeConfig {
            sip,
            media: sip.ip(),
            ports: (30_000, 39_999),
            capacity: 1000,
            upstream: vec![LOOPBACK],
            target: downstream.to_string().into(),
            downstream,
            far_503: Far503::default(),
            replaces_in_flight: None,
            incarnation: incarnation.into(),
            store: None,
            seed,
            timers: Timers::default(),
            waits: Waits::default(),
            limits: Limits::default(),
        }
    }
}

/// When the node ends a call by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Its agent is gone, and nothing is heard of the calling side (spec: X42); 30 s.
    pub lost_after: Duration,
    /// Nobody is heard where both were and are to speak; 60 s. At least twice the relay's
    /// [`holdline_relay::QUIET_AFTER`].
    pub media: Option<Duration>,
    /// Counted from its INVITE; 24 h.
    pub longest: Option<Duration>,
}

impl Limits {
    /// The least and the most that may be configured for `media`.
    pub const MEDIA: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3600));
    /// The same for `longest`.
    pub const LONGEST: (Duration, Duration) =
        (Duration::from_secs(60), Duration::from_secs(720 * 3600));
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            lost_after: Duration::from_secs(30),
            media: Some(Duration::from_secs(60)),
            longest: Some(Duration::from_secs(24 * 3600)),
        }
    }
}

/// How long the node waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For the store's commit before the upstream 2xx goes anyway (spec: X30); 20 ms.
    pub commit: Duration,
    /// For another store operation, by one that nobody waits for (an attempt rings, a call is
    /// over), before it goes alone; 10 ms.
    pub company: Duration,
    /// For the store's word about a replaced dialog, then 503; 500 ms.
    pub claim: Duration,
    /// For any other reply of the store, after which it counts as down; 5 s.
    pub store: Duration,
    /// Between two attempts to write a call that the store did not take; 1 s.
    pub retry: Duration,
    /// Until a call that nobody answers is given up (RFC 3261 16.6, timer C); 185 s.
    pub ring: Duration,
    /// For the downstream UA to say that it has heard of a hang-up, before the agent is told so
    /// (spec: X27); 1 s: a BYE that is lost is repeated after half of it.
    pub parting: Duration,
    /// For a downstream UA to end a dialog of its own that was replaced, before it gets a BYE there
    /// (spec: X28); 1 s.
    pub replaced: Duration,
    /// For the store's word that it keeps a call, before it is asked again: 250 ms the first
    /// time, then twice as long, never longer than `store`.
    pub keep: Duration,
    /// For the final response to an INVITE whose caller has left, before it is cancelled; 32 s.
    pub leaving: Duration,
    /// A loop that was late by this much may have lost its calls (spec: X28); 1 s.
    pub pause: Duration,
    /// For the store's word about who owns the calls after such a pause; 300 ms.
    pub check: Duration,
    /// How long a dialog that moved away is still answered; 64 s.
    pub tomb: Duration,
    /// How long after its start a node tells the downstream UA to ask again about dialogs that it
    /// does not know (spec: X39); 20 s, for which an agent holds a call that waits for a node.
    pub young: Duration,
}

impl Default for Waits {
    fn default() -> Waits {
        Waits {
            commit: Duration::from_millis(20),
            company: Duration::from_millis(10),
            claim: Duration::from_millis(500),
            store: Duration::from_secs(5),
            retry: Duration::from_secs(1),
            ring: Duration::from_secs(185),
            parting: Duration::from_secs(1),
            replaced: Duration::from_secs(1),
            keep: Duration::from_millis(250),
            leaving: Duration::from_secs(32),
            pause: Duration::from_secs(1),
            check: Duration::from_millis(300),
            tomb: Duration::from_secs(64),
            young: Duration::from_secs(20),
        }
    }
}
