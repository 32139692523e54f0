//! The threads and tasks around the core: SIP sockets, relay, store, HTTP, signals.

use crate::config::Config;
use crate::core::{In, NodeConfig, NodeCore, Operator, Out, Status};
use crate::report::Reporter;
use crate::store::{SqliteStore, Store, service};
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use holdline_host::http::{Document, Pages, bind, serve};
use holdline_host::media_ports::taken_by_others;
use holdline_host::metrics::ReceiveDrops;
use holdline_host::published::Published;
use holdline_host::relay_link::RelayLink;
use holdline_host::signals::{Signal, listen};
use holdline_host::{
    Clock, Driver, DriverOptions, Machinery, Metrics, SipSockets, SocketOptions, clock,
};
use holdline_relay::RelayConfig;
use holdline_wire::token::Tokens;
use serde_json::json;
use std::error::Error;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How long tasks have to end.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a draining node looks whether its last call ended.
const DRAIN_LOOK: Duration = Duration::from_millis(200);

/// Runs the node until it is told to end.
pub fn run(config: &Config, metrics: &Metrics) -> Result<(), Box<dyn Error>> {
    let clock = Clock::start();
    let machinery = Machinery::start()?;
    let tasks = machinery.tasks();
    let pages = bind(config.http.listen)?;
    let sockets = SipSockets::bind(&config.sip.listen, SocketOptions::default())?;
    metrics.register(ReceiveDrops::new(sockets.inodes()));
    let sip = *sockets.local_addrs().first().ok_or("no SIP address")?;
    // A generator of its own: the tags that the core draws must not tell the incarnation.
    let incarnation = Tokens::new(clock::seed()?).tag();
    let store = SqliteStore::open(&config.store.url.path)?;
    let settings = NodeConfig {
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
    let relay = RelayLink::start(relay_config, inbox.clone(), In::Media, metrics)?;
    let replies = inbox.clone();
    let (store, store_thread) = service::start(store, clock, metrics, move |reply| {
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
        .spawn("holdline-core")?;

    let router = own_pages(config);
    serve(
        &tasks,
        pages,
        standard_pages(metrics, &status, &incarnation).router(router),
    )?;
    let (told, mut asked) = mpsc::channel(8);
    listen(&tasks, move |signal| {
        let _ = told.try_send(signal);
    })?;
    info!(%sip, http = %config.http.listen, incarnation, "node started");
    config.media.ports.warn_of_others();
    let (ended, over) = (handle.ended(), tasks.token());
    let drain = async {
        while let Some(signal) = asked.recv().await {
            match signal {
                Signal::Drain => {
                    info!("draining: no new calls, those that run go on");
                    let _ = inbox.try_send(In::Operator(Operator::Drain));
                    tokio::spawn(wait_for_calls(status.clone(), tasks.token()));
                }
                Signal::Force => return,
                Signal::Reload => warn!("reload is not supported yet: restart to apply changes"),
            }
        }
    };
    machinery.block_on(async {
        tokio::select! {
            () = drain => {}
            () = over.cancelled() => {}
            () = ended.cancelled() => error!("the core has ended"),
        }
    });
    // The core's end drops the way to the store, whose thread ends after what it was given.
    let sound = handle.stop().is_ok() && store_thread.join().is_ok();
    machinery.end(PATIENCE);
    if sound {
        Ok(())
    } else {
        Err("a thread panicked".into())
    }
}

/// Ends the program when the last call of a drain has ended.
async fn wait_for_calls(status: Published<Status>, end: CancellationToken) {
    loop {
        tokio::time::sleep(DRAIN_LOOK).await;
        let now = status.read();
        if now.draining && now.calls == 0 {
            end.cancel();
            return;
        }
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

fn standard_pages(metrics: &Metrics, status: &Published<Status>, incarnation: &str) -> Pages {
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
