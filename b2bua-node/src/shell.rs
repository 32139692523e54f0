//! What the node is beside its core: its settings, its store, its trunk document and what it shows.

use crate::config::Config;
use crate::core::{In, NodeConfig, NodeCore, Operator, Out, Status};
use crate::report::Reporter;
use crate::store::{SqliteStore, Store, service};
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use holdline_host::http::Document;
use holdline_host::program::{Common, End, Needs, Program, Snapshot};
use holdline_host::{Metrics, Vitals, Watch, clock};
use serde::Serialize;
use tracing::info;

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
    let program = Program::bind(
        metrics,
        watch,
        Needs {
            sip: &config.sip.listen,
            http: config.http.listen,
            media: &config.media,
            calls: (config.node.capacity, "node.capacity"),
            asked: true,
            judges: false,
            drain: config.drain(),
        },
    )?;
    let (clock, sip, incarnation) = (program.clock, program.sip, program.incarnation.clone());
    let settings = NodeConfig {
        capacity: program.capacity.calls,
        store: Some(store.identity().into()),
        ..config.settings(sip, &incarnation, clock::seed()?)
    };
    let mut core = NodeCore::new(settings, clock.now());
    core.leave_out(&program.taken);

    let reporter = Reporter::new(metrics, program.calls.clone());
    let wired = program.wire(core, hears)?;
    let (replies, down) = (wired.inbox(), wired.inbox());
    let (store, store_thread) = service::start(store, clock, metrics, watch, move |reply| {
        let _ = replies.send(In::Store(reply));
    })?;
    let events = reporter.clone();
    let own = move |output| {
        match output {
            Out::Relay(command) => return Some(command),
            Out::Event(event) => events.event(&event),
            Out::Store(request) => {
                if let Err(reply) = store.ask(request) {
                    let _ = down.try_send(In::Store(reply));
                }
            }
        }
        None
    };
    let show = move |_, core: &NodeCore| {
        let status = core.status();
        reporter.status(&status);
        shown(&status)
    };
    let running = wired.run(own, show, own_pages(config))?;

    info!(%sip, http = %config.http.listen, incarnation, "node started");
    // The core's end drops the way to the store, whose thread ends after what it was given.
    running.until_told(vec![store_thread])
}

fn hears(common: Common) -> In {
    match common {
        Common::Media(report) => In::Media(report),
        Common::Late(late) => In::LoopLate(late),
        Common::Drain => In::Operator(Operator::Drain),
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

/// What `/status` shows of the node alone.
#[derive(Serialize)]
struct Own {
    utilization: u8,
    store: StoreShown,
}

#[derive(Serialize)]
struct StoreShown {
    state: &'static str,
    waiting: usize,
}

fn shown(status: &Status) -> Snapshot<Own> {
    let (ports, transactions) = (status.ports, status.transactions);
    Snapshot {
        vitals: Vitals::new(status.calls, ports, transactions, status.draining),
        unready: None,
        untold: status.untold,
        own: Own {
            utilization: status.utilization,
            store: StoreShown {
                state: if status.store_up { "up" } else { "down" },
                waiting: status.store_waiting,
            },
        },
    }
}
