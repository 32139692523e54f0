//! What the agent is beside its core: its settings, its trunk's source and what it shows.

use crate::cluster::ClusterStatus;
use crate::config::Config;
use crate::core::{AgentCore, FailoverStatus, In, Operator, Out, Settings, Status};
use crate::report::Reporter;
use axum::Router;
use holdline_host::program::{Common, End, Needs, Program, Snapshot};
use holdline_host::trunk_source::{Fetched, SourceOptions};
use holdline_host::{Inbox, Metrics, Vitals, Watch, clock, trunk_source};
use serde::Serialize;
use tracing::{info, warn};

/// Runs the agent until it is told to end.
pub fn run(config: &Config, metrics: &Metrics, watch: &Watch) -> Result<(), End> {
    let program = Program::bind(
        metrics,
        watch,
        Needs {
            sip: &config.sip.listen,
            http: config.http.listen,
            media: &config.media,
            calls: (config.sip.max_calls(), "sip.max_calls"),
            asked: config.sip.max_calls.is_some(),
            judges: true,
            drain: config.drain(),
        },
    )?;
    let sip = program.sip;
    let settings = Settings {
        max_calls: program.capacity.calls,
        ..config.settings(sip, &program.incarnation)
    };
    let mut core = AgentCore::new(settings, clock::seed()?);
    core.leave_out(&program.taken);

    let reporter = Reporter::new(metrics, program.calls.clone());
    let (events, gauges) = (reporter.clone(), reporter.clone());
    let own = move |output| match output {
        Out::Relay(command) => Some(command),
        Out::Event(event) => {
            events.event(event);
            None
        }
    };
    let show = move |now, core: &AgentCore| {
        let status = core.status(now);
        gauges.status(&status);
        shown(status)
    };
    let running = program.wire(core, hears)?.run(own, show, Router::new())?;

    let trunk = config.trunk.first();
    let trunk = trunk.ok_or_else(|| End::Failed("no [[trunk]]".into()))?;
    let mut options = SourceOptions::new(&trunk.config);
    options.interval = trunk.poll.unwrap_or(options.interval);
    options.state_dir.clone_from(&trunk.state_dir);
    let documents = running.inbox();
    let on_fetched = move |fetched| take(fetched, &documents, &reporter);
    let _refresh = trunk_source::start(&running.tasks(), options, on_fetched)?;

    info!(%sip, http = %config.http.listen, trunk = trunk.name, "agent started");
    running.until_told(Vec::new())
}

fn hears(common: Common) -> In {
    match common {
        Common::Media(report) => In::Media(report),
        Common::Late(late) => In::LoopLate(late),
        Common::Drain => In::Operator(Operator::Drain),
    }
}

/// What the trunk's source brought goes to the core.
fn take(fetched: Fetched, documents: &Inbox<In>, reporter: &Reporter) {
    match fetched {
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
        Fetched::Failed { failure, .. } => reporter.trunk_failed(failure),
    }
}

/// What `/status` shows of the agent alone.
#[derive(Serialize)]
struct Own {
    trunk: ClusterStatus,
    moving: usize,
    dry_run: bool,
    failovers: Vec<FailoverStatus>,
}

fn shown(status: Status) -> Snapshot<Own> {
    let (ports, transactions) = (status.ports, status.transactions);
    Snapshot {
        vitals: Vitals::new(status.calls, ports, transactions, status.draining),
        unready: (!status.ready).then_some("no node is alive"),
        untold: 0,
        own: Own {
            trunk: status.trunk,
            moving: status.moving,
            dry_run: status.dry_run,
            failovers: status.failovers,
        },
    }
}
