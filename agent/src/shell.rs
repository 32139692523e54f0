//! The threads and tasks around the core: SIP sockets, relay, trunk source, HTTP, signals.

use crate::config::Config;
use crate::core::{AgentCore, In, Operator, Out, Settings, Status};
use crate::report::Reporter;
use axum::Router;
use holdline_host::capacity::{Capacity, Means, raise_open_files};
use holdline_host::drain::{self, Progress};
use holdline_host::http::{Pages, bind, serve};
use holdline_host::media_ports::taken_by_others;
use holdline_host::metrics::ReceiveDrops;
use holdline_host::program::End;
use holdline_host::published::Published;
use holdline_host::relay_link::RelayLink;
use holdline_host::trunk_source::{Fetched, SourceOptions};
use holdline_host::{
    Clock, Driver, DriverOptions, Machinery, Metrics, SipSockets, SocketOptions, Watch, clock,
    trunk_source,
};
use holdline_relay::RelayConfig;
use holdline_wire::Time;
use holdline_wire::token::Tokens;
use serde::Serialize;
use std::time::Duration;
use tracing::{info, warn};

/// How long tasks have to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs the agent until it is told to end.
pub fn run(config: &Config, metrics: &Metrics, watch: &Watch) -> Result<(), End> {
    let clock = Clock::start();
    let machinery = Machinery::start_under(watch)?;
    let tasks = machinery.tasks();
    let options = SocketOptions::default();
    let capacity = Capacity::of(Means {
        configured: (config.sip.max_calls(), "sip.max_calls"),
        asked: config.sip.max_calls.is_some(),
        port_pairs: config.media.ports.pairs(),
        descriptors: raise_open_files()?,
        connected: options.max_connected,
    });
    capacity.tell()?;
    let sockets = SipSockets::bind(&config.sip.listen, options)?;
    metrics.register(ReceiveDrops::new(sockets.inodes()));
    let sip = *sockets
        .local_addrs()
        .first()
        .ok_or_else(|| End::Failed("no SIP address".into()))?;
    // A generator of its own: the tags that the core draws must not tell the incarnation.
    let incarnation = Tokens::new(clock::seed()?).tag();
    let settings = Settings {
        max_calls: capacity.calls,
        ..config.settings(sip, &incarnation)
    };
    let mut core = AgentCore::new(settings, clock::seed()?);
    core.leave_out(&taken_by_others(config.media.address, config.media.ports));

    let reporter = Reporter::new(metrics);
    let status = Published::new(core.status(Time::ZERO));
    let driver = Driver::new(core, sockets, clock, DriverOptions::default(), metrics)?;
    let inbox = driver.inbox();
    let relay_config = RelayConfig {
        dscp: Some(config.media.dscp),
        ..RelayConfig::new(clock.epoch())
    };
    let relay = RelayLink::start(relay_config, inbox.clone(), In::Media, metrics, watch)?;

    let (turn, events, counters) = (relay.clone(), reporter.clone(), reporter.clone());
    let gauges = reporter;
    let publish = status.clone();
    let handle = driver
        .on_output(move |_, output| match output {
            Out::Relay(command) => relay.send(command),
            Out::Event(event) => events.event(event),
        })
        .on_turn(move || turn.flush())
        .on_late(|late| Some(In::LoopLate(late)))
        .on_snapshot(move |now, core: &AgentCore| {
            let snapshot = core.status(now);
            gauges.status(&snapshot, capacity.calls);
            publish.publish(snapshot);
        })
        .spawn_under(watch, "holdline-core")?;

    let (documents, failures) = (inbox.clone(), counters);
    let on_fetched = move |fetched| match fetched {
        Fetched::NotModified => {}
        Fetched::Document { bytes, stored, .. } => {
            if stored {
                warn!("the trunk's source does not answer: the stored document is used");
            }
            if documents.try_send(In::Trunk(bytes)).is_err() {
                warn!("trunk document not taken: the core is busy");
            }
        }
        // The source has logged it.
        Fetched::Failed { failure, .. } => failures.trunk_failed(failure),
    };
    let trunk = config
        .trunk
        .first()
        .ok_or_else(|| End::Failed("no [[trunk]]".into()))?;
    let mut options = SourceOptions::new(&trunk.config);
    options.interval = trunk.poll.unwrap_or(options.interval);
    options.state_dir.clone_from(&trunk.state_dir);
    let _refresh = trunk_source::start(&tasks, options, on_fetched)?;

    serve(
        &tasks,
        bind(config.http.listen)?,
        pages(metrics, &status, clock, capacity)
            .watched_by(watch)
            .router(Router::new()),
    )?;

    let end = drain::start(
        &tasks,
        watch,
        config.drain(),
        move || {
            let _ = inbox.try_send(In::Operator(Operator::Drain));
        },
        move || {
            let now = status.read();
            Progress {
                draining: now.draining,
                calls: now.calls,
                untold: 0,
            }
        },
    )?;
    info!(%sip, http = %config.http.listen, trunk = trunk.name, "agent started");
    config.media.ports.warn_of_others();
    let failed = watch.failed();
    machinery.block_on(async {
        tokio::select! {
            () = end.cancelled() => {}
            () = failed.cancelled() => {}
        }
    });
    if let Some(failure) = watch.failure() {
        // Threads may hang: none is waited for.
        return Err(End::Failed(failure.into()));
    }
    let sound = handle.stop().is_ok();
    machinery.end(PATIENCE);
    if sound {
        Ok(())
    } else {
        Err(End::Failed("the core panicked".into()))
    }
}

/// What `/status` shows: the core's times count from its start, so it says when that was.
#[derive(Serialize)]
struct Shown<'a> {
    /// Seconds since 1970.
    started_at_unix: f64,
    /// Live calls at most.
    capacity: usize,
    /// What bounds them.
    capacity_bound_by: &'static str,
    #[serde(flatten)]
    status: &'a Status,
}

fn pages(metrics: &Metrics, status: &Published<Status>, clock: Clock, capacity: Capacity) -> Pages {
    let (ready, shown) = (status.clone(), status.clone());
    Pages::new(
        metrics.clone(),
        move || match ready.read() {
            status if status.draining => Err("draining".into()),
            status if status.ready => Ok(()),
            _ => Err("no node is alive".into()),
        },
        move || {
            let shown = Shown {
                started_at_unix: clock.wall_at_start().as_secs_f64(),
                capacity: capacity.calls,
                capacity_bound_by: capacity.bound.as_str(),
                status: &shown.read(),
            };
            serde_json::to_vec(&shown).unwrap_or_default().into()
        },
    )
}
