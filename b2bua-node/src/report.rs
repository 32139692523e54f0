//! Events of the core as log lines and metrics: the one place where their names stand.

use crate::core::{Event, Status};
use holdline_host::Metrics;
use holdline_host::report::{CallMetrics, ms, set};
use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge};
use tracing::{debug, info, warn};

/// The node's own metrics.
#[derive(Clone)]
pub struct Reporter {
    calls: CallMetrics,
    claims: IntCounterVec,
    claim_seconds: Histogram,
    moved_away: IntCounter,
    uncarried: IntCounter,
    store_late: IntCounter,
    pauses: IntCounter,
    utilization: IntGauge,
    store_up: Gauge,
    store_waiting: IntGauge,
}

/// Of `holdline_claim_seconds`, in seconds.
const CLAIM_BUCKETS: [f64; 11] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0];

impl Reporter {
    /// Registers the node's own metrics, beside `calls`.
    pub fn new(metrics: &Metrics, calls: CallMetrics) -> Reporter {
        let counter = |name, help| metrics.counter(name, help);
        let gauge = |name, help| metrics.int_gauge(name, help);
        Reporter {
            calls,
            claims: metrics.counters(
                "claims_total",
                "Failover calls, by how they went.",
                "outcome",
            ),
            claim_seconds: metrics.histogram(
                "claim_seconds",
                "From a failover INVITE to its answer, for each call taken over.",
                &CLAIM_BUCKETS,
            ),
            moved_away: counter("calls_moved_away_total", "Calls that another node has now."),
            uncarried: counter("sdp_refused_total", "Session descriptions not relayed."),
            store_late: counter(
                "store_late_total",
                "Answers that did not wait for the store.",
            ),
            pauses: counter("pauses_total", "Times that the node stood still over 1 s."),
            utilization: gauge("utilization_percent", "What Instance-Utilization says."),
            store_up: metrics.gauge("store_up", "1 while the store answers."),
            store_waiting: gauge("store_waiting", "Operations that wait for the store."),
        }
    }

    /// Takes the node's own gauges over from a snapshot.
    pub fn status(&self, status: &Status) {
        self.utilization.set(status.utilization.into());
        self.store_up.set(if status.store_up { 1.0 } else { 0.0 });
        set(&self.store_waiting, status.store_waiting);
    }

    /// Tells an event.
    pub fn event(&self, event: &Event) {
        match event {
            Event::Placed(call) => {
                self.calls.placed.inc();
                debug!(call, "call placed");
            }
            Event::Up { call, setup } => {
                self.calls.answered.inc();
                debug!(call, setup_ms = ms(*setup), "call answered");
            }
            Event::Over {
                call,
                lasted,
                cause,
            } => {
                self.calls.ended(cause.as_str());
                info!(call, lasted_s = lasted.as_secs(), %cause, "call ended");
            }
            Event::Refused { status } => self.calls.refused(*status),
            Event::Moved(call) => {
                self.moved_away.inc();
                info!(call, "call moved away");
            }
            Event::Uncarried { call, why } => {
                self.uncarried.inc();
                warn!(call, why, "session description not relayed");
            }
            Event::BindFailed { local, errno } => self.calls.port_refused(*local, *errno),
            Event::Ignored { from, why } => {
                let reason = why.as_str();
                self.calls.ignored(reason);
                debug!(%from, reason, "message ignored");
            }
            Event::ParkingFull => self.calls.ignored("paused"),
            other => self.cluster(other),
        }
    }

    fn cluster(&self, event: &Event) {
        match event {
            Event::ClaimAsked(call) => debug!(call, "failover call"),
            Event::ClaimDone {
                call,
                generation,
                took,
            } => {
                self.claims.with_label_values(&["done"]).inc();
                self.claim_seconds.observe(took.as_secs_f64());
                info!(call, generation, took_ms = ms(*took), "call taken over");
            }
            Event::ClaimRefused { call, status } => {
                self.claims.with_label_values(&[&status.to_string()]).inc();
                warn!(call, status, "call not taken over");
            }
            Event::AgentGone {
                agent,
                calls,
                restarted,
            } => {
                let why = if *restarted { "restarted" } else { "silent" };
                warn!(
                    agent,
                    calls,
                    why,
                    "the agent is gone: its calls end after upstream.lost_after unless it is heard in them"
                );
            }
            Event::AgentBack { agent, calls } => {
                info!(agent, calls, "the agent is heard again: its calls go on");
            }
            Event::StoreLate(call) => {
                self.store_late.inc();
                warn!(call, "answered before the store had the call");
            }
            Event::StoreDown => warn!("the store is down: calls go on without it"),
            Event::StoreUp => info!("the store is back"),
            Event::Paused { calls, lasted } => {
                self.pauses.inc();
                warn!(
                    calls,
                    lasted_ms = ms(*lasted),
                    "stood still: asking who owns the calls"
                );
            }
            _ => {}
        }
    }
}
