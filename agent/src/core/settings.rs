//! What the core needs of the configuration.

use crate::cluster::HealthConfig;
use crate::core::pacing::Bounds;
use holdline_wire::header::InstanceAgent;
use ipnet::IpNet;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The core's settings, already validated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who we are to nodes (spec: X42): 64 random bits or more as the incarnation.
    pub agent: InstanceAgent,
    /// The trunk's name.
    pub trunk: String,
    /// Our listening SIP address.
    pub sip: SocketAddr,
    /// Who may call through us beside the nodes.
    pub allow: Vec<IpNet>,
    /// Our media address.
    pub media: IpAddr,
    /// First and last media port.
    pub ports: (u16, u16),
    /// Live calls at most; more are answered with 503.
    pub max_calls: usize,
    /// How long a call may ring (timer C, RFC 3261 16.6: over 3 minutes).
    pub setup_timeout: Duration,
    /// Thresholds of probing and verdicts.
    pub health: HealthConfig,
    /// Moving of calls.
    pub moving: Moving,
    /// How long calls may go on without what.
    pub limits: Limits,
}

/// When the agent ends a call by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nobody is heard where both were and are to speak; 60 s. At least twice the relay's
    /// [`holdline_relay::QUIET_AFTER`].
    pub media: Option<Duration>,
    /// Counted from its first answer, over all moves; 24 h.
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
            media: Some(Duration::from_secs(60)),
            longest: Some(Duration::from_secs(24 * 3600)),
        }
    }
}

/// When the INVITEs of a dead node's calls leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// As fast as the survivors answer (spec: X23).
    #[default]
    Adaptive,
    /// Evenly over the window (spec: D25).
    Window,
}

/// How the calls are shared among the survivors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Targets {
    /// By free capacity (spec: X23).
    #[default]
    Weighted,
    /// To each the same (spec: D24).
    Uniform,
}

/// How calls are moved.
#[derive(Clone, Debug)]
pub struct Moving {
    /// When the INVITEs leave; as fast as the survivors answer by default (spec: X23, D25).
    pub pacing: Pace,
    /// All of a verdict's INVITEs leave within this time, however slow the survivors
    /// (spec: D25, X23); default 1 s.
    pub window: Duration,
    /// INVITEs that a node may owe an answer (spec: X23); default 32 at first, 128 at most.
    pub bounds: Bounds,
    /// How the calls are shared; by free capacity by default (spec: X23).
    pub targets: Targets,
    /// A node that refuses with 503 and Retry-After is left alone for at most so long
    /// (spec: X24); default 5 s.
    pub retry_after_max: Duration,
    /// Called numbers whose calls go first (spec: X23); none by default.
    pub emergency_numbers: Vec<Box<str>>,
    /// Verdicts are told, and nothing moves (spec: X21); default false.
    pub dry_run: bool,
    /// Another node is tried where one answered nothing for this long; default 300 ms.
    pub attempt: Duration,
    /// The same once a 183 came; default 1.5 s.
    pub progress: Duration,
    /// How long a call is held while no node is alive (spec: X24); default 20 s.
    pub hold: Duration,
    /// The calling server hears silence in place of a node that it has not heard for so long,
    /// once a move takes that long (spec: X24): below the shortest RTP timer in use, above the
    /// time of an ordinary move; default 200 ms.
    pub comfort: Duration,
}

impl Moving {
    /// Whether a called user, as a Request-URI has it, is an emergency number: its digits, without
    /// parameters (spec: X23).
    pub fn is_emergency(&self, user: &str) -> bool {
        let user = user.split(';').next().unwrap_or(user);
        let digits = |c: &char| !matches!(c, '-' | '.' | '(' | ')');
        let listed = |number: &str| number.chars().eq(user.chars().filter(digits));
        self.emergency_numbers.iter().any(|number| listed(number))
    }
}

impl Default for Moving {
    fn default() -> Moving {
        Moving {
            pacing: Pace::default(),
            window: Duration::from_secs(1),
            bounds: Bounds::default(),
            targets: Targets::default(),
            retry_after_max: Duration::from_secs(5),
            emergency_numbers: Vec::new(),
            dry_run: false,
            attempt: Duration::from_millis(300),
            progress: Duration::from_millis(1500),
            hold: Duration::from_secs(20),
            comfort: Duration::from_millis(200),
        }
    }
}
