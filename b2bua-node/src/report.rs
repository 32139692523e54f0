//! Events of the core as log lines and metrics: the one place where their names stand.

use crate::core::{Event, Status};
use holdline_host::Metrics;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts};
use tracing::{debug, info, warn};

/// The node's own metrics.
#[derive(Clone)]
pub struct Reporter {
    placed: IntCounter,
    answered: IntCounter,
    ended: IntCounterVec,
    refused: IntCounterVec,
    claims: IntCounterVec,
    claim_seconds: Histogram,
    moved_away: IntCounter,
    ignored: IntCounterVec,
    uncarried: IntCounter,
    ports_refused: IntCounter,
    store_late: IntCounter,
    pauses: IntCounter,
    calls: IntGauge,
    capacity: IntGauge,
    utilization: IntGauge,
    ports_used: IntGauge,
    ports_total: IntGauge,
    transactions: IntGauge,
    store_up: Gauge,
    store_waiting: IntGauge,
}

fn labelled(metrics: &Metrics, name: &str, help: &str, label: &str) -> IntCounterVec {
    let opts = Opts::new(format!("holdline_{name}"), help);
    let counter = IntCounterVec::new(opts, &[label]).expect("the name is valid");
    metrics.register(counter.clone());
    counter
}

impl Reporter {
    /// Registers the node's metrics.
    pub fn new(metrics: &Metrics) -> Reporter {
        let buckets = vec![0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0];
        let opts = HistogramOpts::new(
            "holdline_claim_seconds",
            "From a failover INVITE to its answer, for each call taken over.",
        );
        let claim_seconds = Histogram::with_opts(opts.buckets(buckets)).expect("valid");
        metrics.register(claim_seconds.clone());
        let counter = |name, help| metrics.counter(name, help);
        let gauge = |name, help| metrics.int_gauge(name, help);
        let labelled = |name, help, label| labelled(metrics, name, help, label);
        Reporter {
            placed: counter(
                "calls_placed_total",
                "INVITEs sent downstream for new calls.",
            ),
            answered: counter("calls_answered_total", "New calls that were answered."),
            ended: labelled("calls_ended_total", "Calls that ended.", "cause"),
            refused: labelled("calls_refused_total", "INVITEs refused.", "status"),
            claims: labelled(
                "claims_total",
                "Failover calls, by how they went.",
                "outcome",
            ),
            claim_seconds,
            moved_away: counter("calls_moved_away_total", "Calls that another node has now."),
            ignored: labelled("sip_ignored_total", "Messages not answered.", "reason"),
            uncarried: counter("sdp_refused_total", "Session descriptions not relayed."),
            ports_refused: counter("media_ports_refused_total", "Media ports not opened."),
            store_late: counter(
                "store_late_total",
                "Answers that did not wait for the store.",
            ),
            pauses: counter("pauses_total", "Times that the node stood still over 1 s."),
            calls: gauge("calls", "Live calls."),
            capacity: gauge("calls_capacity", "Live calls at most."),
            utilization: gauge("utilization_percent", "What Instance-Utilization says."),
            ports_used: gauge("media_ports_used", "Media port pairs in use."),
            ports_total: gauge("media_ports", "Media port pairs configured."),
            transactions: gauge("sip_transactions", "SIP transactions, client and server."),
            store_up: metrics.gauge("store_up", "1 while the store answers."),
            store_waiting: gauge("store_waiting", "Operations that wait for the store."),
        }
    }

    /// Takes the gauges over from a snapshot.
    pub fn status(&self, status: &Status) {
        let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.calls.set(whole(status.calls));
        self.capacity.set(whole(status.capacity));
        self.utilization.set(i64::from(status.utilization));
        self.ports_used.set(whole(status.ports.0));
        self.ports_total.set(whole(status.ports.1));
        self.transactions
            .set(whole(status.transactions.0 + status.transactions.1));
        self.store_up.set(if status.store_up { 1.0 } else { 0.0 });
        self.store_waiting.set(whole(status.store_waiting));
    }

    /// Tells an event.
    pub fn event(&self, event: &Event) {
        match event {
            Event::Placed(call) => {
                self.placed.inc();
                debug!(call, "call placed");
            }
            Event::Up { call, setup } => {
                self.answered.inc();
                debug!(call, setup_ms = ms(*setup), "call answered");
            }
            Event::Over {
                call,
                lasted,
                cause,
            } => {
                self.ended.with_label_values(&[cause.as_str()]).inc();
                info!(call, lasted_s = lasted.as_secs(), %cause, "call ended");
            }
            Event::Refused { status } => {
                self.refused.with_label_values(&[&status.to_string()]).inc();
                debug!(status, "call refused");
            }
            Event::Moved(call) => {
                self.moved_away.inc();
                info!(call, "call moved away");
            }
            Event::Uncarried { call, why } => {
                self.uncarried.inc();
                warn!(call, why, "session description not relayed");
            }
            Event::BindFailed { local, errno } => {
                self.ports_refused.inc();
                warn!(%local, errno, "media port could not be opened (errno 98: another socket has it); \
                       the call takes another where it can");
            }
            Event::Ignored { from, why } => {
                let reason = why.as_str();
                self.ignored.with_label_values(&[reason]).inc();
                debug!(%from, reason, "message ignored");
            }
            Event::ParkingFull => self.ignored.with_label_values(&["paused"]).inc(),
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

fn ms(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
