//! What the core needs of the configuration.

use crate::cluster::HealthConfig;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The core's settings, already validated.
#[derive(Clone, Debug)]
pub struct Settings {
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
}

/// How calls are moved.
#[derive(Clone, Copy, Debug)]
pub struct Moving {
    /// Time between two failover INVITEs of one verdict (spec: X23); default 1 ms.
    pub spacing: Duration,
    /// All of a verdict's INVITEs leave within this time (spec: D25, X23); default 1 s.
    pub window: Duration,
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

impl Default for Moving {
    fn default() -> Moving {
        Moving {
            spacing: Duration::from_millis(1),
            window: Duration::from_secs(1),
            attempt: Duration::from_millis(300),
            progress: Duration::from_millis(1500),
            hold: Duration::from_secs(20),
            comfort: Duration::from_millis(200),
        }
    }
}
