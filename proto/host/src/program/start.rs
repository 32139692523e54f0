//! What can refuse a start, before anything runs; then the core with its relay.

use super::entry::End;
use super::running::{Common, Wired};
use super::status::Constants;
use crate::capacity::{self, Capacity, raise_open_files};
use crate::clock::{self, Clock};
use crate::config::ListenAddr;
use crate::config::tables::Media;
use crate::drain::DrainOptions;
use crate::driver::{Driver, DriverOptions};
use crate::http;
use crate::media_ports::taken_by_others;
use crate::metrics::{Metrics, ReceiveDrops};
use crate::relay_link::RelayLink;
use crate::report::CallMetrics;
use crate::sip_sockets::{SipSockets, SocketOptions};
use crate::supervision::Watch;
use crate::tasks::Machinery;
use holdline_relay::RelayConfig;
use holdline_wire::machine::Machine;
use holdline_wire::token::Tokens;
use std::io;
use std::net::{SocketAddr, TcpListener};

/// What a program needs of its machine.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    /// Where it listens for SIP.
    pub sip: &'a [ListenAddr],
    /// Where its pages are.
    pub http: SocketAddr,
    /// Its media ports.
    pub media: &'a Media,
    /// The configured number of calls, and its key.
    pub calls: (usize, &'static str),
    /// Whether the operator set that.
    pub asked: bool,
    /// Whether it judges its peers: it keeps a connected socket to each, and hears from the relay at
    /// intervals whose media arrive.
    pub judges: bool,
    /// How it leaves.
    pub drain: DrainOptions,
}

/// A program that has all that it needs, and runs nothing yet but its log.
pub struct Program {
    /// Its clock.
    pub clock: Clock,
    /// Its SIP address.
    pub sip: SocketAddr,
    /// What tells this process from all others.
    pub incarnation: String,
    /// How many calls it can carry.
    pub capacity: Capacity,
    /// The even ports of the pairs of media ports that other sockets have.
    pub taken: Vec<u16>,
    /// What it counts of its calls.
    pub calls: CallMetrics,
    metrics: Metrics,
    watch: Watch,
    listener: TcpListener,
    drain: DrainOptions,
    sockets: SipSockets,
    relay: RelayConfig,
}

impl Program {
    /// Counts what there is and binds every address, HTTP's first: an address that is in use refuses
    /// the start before a peer has heard of this process, as an error that names it.
    pub fn bind(metrics: &Metrics, watch: &Watch, needs: Needs<'_>) -> Result<Program, End> {
        let clock = Clock::start();
        let sockets = SocketOptions::default();
        let capacity = Capacity::of(capacity::Means {
            configured: needs.calls,
            asked: needs.asked,
            port_pairs: needs.media.ports.pairs(),
            descriptors: raise_open_files()?,
            connected: if needs.judges {
                sockets.max_connected
            } else {
                0
            },
        });
        capacity.tell()?;
        let listener = http::bind(needs.http)?;
        let sockets = SipSockets::bind(needs.sip, sockets)?;
        metrics.register(ReceiveDrops::new(sockets.inodes()));
        let sip = sockets.local_addrs().first().copied();
        needs.media.ports.warn_of_others();
        let relay = RelayConfig::new(clock.epoch());
        Ok(Program {
            clock,
            sip: sip.ok_or_else(|| End::Failed("no SIP address".into()))?,
            // A generator of its own: the tags that the core draws must not tell the incarnation.
            incarnation: Tokens::new(clock::seed()?).tag(),
            capacity,
            taken: taken_by_others(needs.media.address, needs.media.ports),
            calls: CallMetrics::new(metrics),
            metrics: metrics.clone(),
            watch: watch.clone(),
            listener,
            drain: needs.drain,
            sockets,
            relay: RelayConfig {
                dscp: Some(needs.media.dscp),
                tick: relay.tick.filter(|_| needs.judges),
                ..relay
            },
        })
    }

    /// Gives `core` its sockets and starts the relay, which it hears; `hears` makes inputs of what both
    /// cores are told. It does not run yet: see [`Wired::run`].
    pub fn wire<M>(self, core: M, hears: fn(Common) -> M::In) -> io::Result<Wired<M>>
    where
        M: Machine + Send + 'static,
        M::In: Send + 'static,
        M::Out: 'static,
    {
        let constants = Constants {
            started_at_unix: self.clock.wall_at_start().as_secs_f64(),
            incarnation: self.incarnation,
            capacity: self.capacity,
        };
        let machinery = Machinery::start_under(&self.watch)?;
        let options = DriverOptions::default();
        let driver = Driver::new(core, self.sockets, self.clock, options, &self.metrics)?;
        let reports = move |report| hears(Common::Media(report));
        let relay = RelayLink::start(
            self.relay,
            driver.inbox(),
            reports,
            &self.metrics,
            &self.watch,
        )?;
        Ok(Wired {
            constants,
            machinery,
            driver,
            relay,
            hears,
            calls: self.calls,
            metrics: self.metrics,
            watch: self.watch,
            listener: self.listener,
            drain: self.drain,
        })
    }
}
