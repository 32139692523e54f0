//! The threads and tasks around the core: SIP sockets, relay, store, HTTP, signals.

use crate::config::Config;
use crate::core::{In, NodeConfig, NodeCore, Operator, Out, Status};
use crate::report::Reporter;
use crate::store::{SqliteStore, Store, service};
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use holdline_host::capacity::{Capacity, Means, raise_open_files};
use holdline_host::drain::{self, Progress};
use holdline_host::http::{Document, Pages, bind, serve};
use holdline_host::media_ports::taken_by_others;
use holdline_host::metrics::ReceiveDrops;
use holdline_host::program::End;
use holdline_host::published::Published;
use holdline_host::relay_link::RelayLink;
use holdline_host::{
    Clock, Driver, DriverOptions, Machinery, Metrics, SipSockets, SocketOptions, Watch, clock,
};
use holdline_relay::RelayConfig;
use holdline_wire::token::Tokens;
use serde_json::json;
use std::time::Duration;
use tracing::info;

/// How long tasks have to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Opens the store that the configuration names. A node that could not would take calls and lose them
/// with its death, so it does not start (spec: X59); the error says what to do.
fn open_store(config: &Config) -> Result<SqliteStore, End> {
    let path = &config.store.url.path;
    SqliteStore::open(path).map_err(|error| {
        let advice = error.what_to_do();
        let path = path.display();
        End::Refused(format!("store {path} cannot be used: {error}. {advice}"))
    })
}

/// Runs the node until it is told to end.
pub fn run(config: &Config, metrics: &Metrics, watch: &Watch) -> Result<(), End> {
    let store = open_store(config)?;
    let clock = Clock::start();
    let machinery = Machinery::start_under(watch)?;
    let tasks = machinery.tasks();
    let capacity = Capacity::of(Means {
        configured: (config.node.capacity, "node.capacity"),
        asked: true,
        port_pairs: config.media.ports.pairs(),
        descriptors: raise_open_files()?,
        // It listens, and probes nobody.
        connected: 0,
    });
    capacity.tell()?;
    let pages = bind(config.http.listen)?;
    let sockets = SipSockets::bind(&config.sip.listen, SocketOptions::default())?;
    metrics.register(ReceiveDrops::new(sockets.inodes()));
    let sip = *sockets
        .local_addrs()
        .first()
        .ok_or_else(|| End::Failed("no SIP address".into()))?;
    // A generator of its own: the tags that the core draws must not tell the incarnation.
    let incarnation = Tokens::new(clock::seed()?).tag();
    let settings = NodeConfig {
        capacity: capacity.calls,
        store: Some(store.identity().into()),
        ..config.settings(sip, &incarnation, clock::seed()?)
    };
    let mut core = NodeCore::new(settings, clock.now());
    core.leave_out(&taken_by_others(config.media.address, config.media.ports));

    let reporter = Reporter::new(metrics);
    let status = Published::new(core.status());
    let driver = Driver::new(core, sockets, clock, DriverOptions::default(), metrics)?;
    let inbox = driver.inbox();
    let relay_config = RelayConfig {
        dscp: Some(config.media.dscp),
        // A node judges nobody by their media.
        tick: None,
        ..RelayConfig::new(clock.epoch())
    };
    let relay = RelayLink::start(relay_config, inbox.clone(), In::Media, metrics, watch)?;
    let replies = inbox.clone();
    let (store, store_thread) = service::start(store, clock, metrics, watch, move |reply| {
        let _ = replies.send(In::Store(reply));
    })?;

    let (turn, events, gauges) = (relay.clone(), reporter.clone(), reporter);
    let (publish, down) = (status.clone(), inbox.clone());
    let handle = driver
        .on_output(move |_, output| match output {
            Out::Relay(command) => relay.send(command),
            Out::Event(event) => events.event(&event),
            Out::Store(request) => {
                if let Err(reply) = store.ask(request) {
                    let _ = down.try_send(In::Store(reply));
                }
            }
        })
        .on_turn(move || turn.flush())
        .on_late(|late| Some(In::LoopLate(late)))
        .on_snapshot(move |_, core: &NodeCore| {
            let snapshot = core.status();
            gauges.status(&snapshot);
            publish.publish(snapshot);
        })
        .spawn_under(watch, "holdline-core")?;

    let router = own_pages(config);
    serve(
        &tasks,
        pages,
        standard_pages(metrics, &status, &incarnation, capacity)
            .watched_by(watch)
            .router(router),
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
                untold: now.untold,
            }
        },
    )?;
    info!(%sip, http = %config.http.listen, incarnation, "node started");
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
    // The core's end drops the way to the store, whose thread ends after what it was given.
    let sound = handle.stop().is_ok() && store_thread.join().is_ok();
    machinery.end(PATIENCE);
    if sound {
        Ok(())
    } else {
        Err(End::Failed("a thread panicked".into()))
    }
}

/// `/trunk`, where the configuration has a document (spec: D11).
fn own_pages(config: &Config) -> Router {
    let Some(document) = config.document() else {
        return Router::new();
    };
    let document = Document::json(document.to_json());
    let answer = move |headers: HeaderMap| async move { document.answer(&headers) };
    Router::new().route("/trunk", get(answer))
}

fn standard_pages(
    metrics: &Metrics,
    status: &Published<Status>,
    incarnation: &str,
    capacity: Capacity,
) -> Pages {
    let (ready, shown, incarnation) = (status.clone(), status.clone(), incarnation.to_owned());
    Pages::new(
        metrics.clone(),
        move || match ready.read() {
            status if status.draining => Err("draining".into()),
            _ => Ok(()),
        },
        move || {
            let status = shown.read();
            let page = json!({
                "incarnation": incarnation,
                "calls": status.calls,
                "capacity": status.capacity,
                "capacity_bound_by": capacity.bound.as_str(),
                "utilization": status.utilization,
                "draining": status.draining,
                "ports": { "used": status.ports.0, "total": status.ports.1 },
                "transactions": {
                    "client": status.transactions.0,
                    "server": status.transactions.1,
                },
                "store": {
                    "state": if status.store_up { "up" } else { "down" },
                    "waiting": status.store_waiting,
                },
            });
            page.to_string().into()
        },
    )
}
