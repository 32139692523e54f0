//! How a user agent behaves: as a well-made phone by default, as a poor peer where asked.

use holdline_wire::transaction::Timers;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What it does with an INVITE that carries Replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplacesPolicy {
    /// RFC 3891, in full.
    Accept,
    /// Does not know it: 420 where it is required, else an ordinary new call.
    Unsupported,
    /// Refuses it: 403, 405, 501 ...
    Refuse(u16),
    /// Never answers it.
    Silent,
}

/// Which user its Contact names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContactUser {
    /// That of the call, by which it is called as well.
    #[default]
    Call,
    /// None, as a peer whose Contact names the machine alone.
    Nobody,
    /// One that is the same for all calls.
    Trunk,
}

/// The first INVITEs of each call are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusing {
    /// So many of them.
    pub first: u32,
    /// With this status.
    pub status: u16,
    /// With this Retry-After, in seconds.
    pub retry_after: Option<u32>,
    /// Those with Replaces, or else those without.
    pub replaces: bool,
}

/// The behaviour of one user agent.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its SIP address (UDP), which its Contact names.
    pub address: SocketAddr,
    /// How long an incoming call rings before 200.
    pub ring: Duration,
    /// Whether it answers 100 at once.
    pub trying: bool,
    /// Whether it rings with 183 and SDP instead of 180.
    pub early_media: bool,
    /// Refuses new calls (not Replaces) with this status.
    pub refuse_calls: Option<u16>,
    /// Refuses the first INVITEs of each call.
    pub refusing: Option<Refusing>,
    /// What it does with Replaces.
    pub replaces: ReplacesPolicy,
    /// Which user its Contact names.
    pub contact: ContactUser,
    /// Whether it looks the Request-URI's user up before it reads Replaces: 404 unless that is one
    /// by which calls are called.
    pub looks_up: bool,
    /// What it says of itself in Server.
    pub server: Option<String>,
    /// How long it takes to answer an INVITE with Replaces that it accepts.
    pub replaces_delay: Duration,
    /// How long after that answer the call is still in its old dialog: a BYE that comes there
    /// meanwhile ends the call in both. It leaves the old dialog then, and not at once.
    pub moving: Duration,
    /// With more INVITEs with Replaces at a time that have no final answer it answers nothing any
    /// more, for good.
    pub freezes_beyond: Option<usize>,
    /// Payload numbers that it offers; 101 stands for telephone-event.
    pub formats: Vec<u8>,
    /// Milliseconds of sound in a packet, as its descriptions say.
    pub ptime: u16,
    /// Whether it wants media; without, the port of every stream is 0 (RFC 3264 section 5.1).
    pub media: bool,
    /// Headers of each BYE that it sends: a Reason, or what no user agent should say.
    pub bye_headers: Vec<(String, String)>,
    /// The SIP timers.
    pub timers: Timers,
}

impl Profile {
    /// A user agent at `address` that answers at once and knows Replaces.
    pub fn new(address: SocketAddr) -> Profile {
        Profile {
            address,
            ring: Duration::ZERO,
            trying: true,
            early_media: false,
            refuse_calls: None,
            refusing: None,
            replaces: ReplacesPolicy::Accept,
            contact: ContactUser::Call,
            looks_up: false,
            server: None,
            replaces_delay: Duration::ZERO,
            moving: Duration::ZERO,
            freezes_beyond: None,
            formats: vec![8, 0, 101],
            ptime: 20,
            media: true,
            bye_headers: Vec::new(),
            timers: Timers::default(),
        }
    }
}

/// `count` RTP addresses at `ip`: `first`, `first + 2` ... for [`super::In::Ports`].
pub fn ports(ip: IpAddr, first: u16, count: u16) -> Vec<SocketAddr> {
    (0..count)
        .map_while(|n| first.checked_add(n.checked_mul(2)?))
        .map(|port| SocketAddr::new(ip, port))
        .collect()
}
