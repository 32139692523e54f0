//! Events of the core as log lines and metrics: the one place where their names stand.

mod nodes;

use crate::core::{Event, FarEndTold, Status};
use holdline_b2bua::Ignored;
use holdline_host::Metrics;
use holdline_host::trunk_source::Failure;
use nodes::{BUCKETS, Nodes};
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts};
use std::net::SocketAddr;
use tracing::{info, warn};

/// The agent's own metrics.
#[derive(Clone)]
pub struct Reporter {
    placed: IntCounter,
    answered: IntCounter,
    ended: IntCounterVec,
    refused: IntCounterVec,
    moved: IntCounter,
    lost: IntCounter,
    late: IntCounter,
    hangups_after_move: IntCounter,
    move_seconds: Histogram,
    nodes: Nodes,
    stores: IntGauge,
    trunk_refused: IntCounter,
    trunk_failed: IntCounterVec,
    trunk_version: IntGauge,
    ignored: IntCounterVec,
    ports_refused: IntCounter,
    forgotten: IntCounter,
    calls: IntGauge,
    moving: IntGauge,
    ports_used: IntGauge,
    ports_total: IntGauge,
    transactions: IntGauge,
    ready: Gauge,
}

fn labelled(metrics: &Metrics, name: &str, help: &str, label: &str) -> IntCounterVec {
    let opts = Opts::new(format!("holdline_{name}"), help);
    let counter = IntCounterVec::new(opts, &[label]).expect("the name is valid");
    metrics.register(counter.clone());
    counter
}

impl Reporter {
    /// Registers the agent's metrics.
    pub fn new(metrics: &Metrics) -> Reporter {
        let opts = HistogramOpts::new(
            "holdline_call_move_seconds",
            "From the verdict to the new node's answer, for each moved call.",
        );
        let move_seconds = Histogram::with_opts(opts.buckets(BUCKETS.to_vec())).expect("valid");
        metrics.register(move_seconds.clone());
        let counter = |name, help| metrics.counter(name, help);
        let gauge = |name, help| metrics.int_gauge(name, help);
        Reporter {
            placed: counter("calls_placed_total", "INVITEs sent to nodes for new calls."),
            answered: counter("calls_answered_total", "Calls that were answered."),
            ended: labelled(metrics, "calls_ended_total", "Calls that ended.", "cause"),
            refused: labelled(
                metrics,
                "calls_refused_total",
                "INVITEs refused before they became calls.",
                "status",
            ),
            moved: counter("calls_moved_total", "Calls moved to another node."),
            lost: counter("calls_lost_total", "Calls that could not be moved."),
            late: counter(
                "calls_moving_late_total",
                "Calls that waited over 2 s to move, since their far end is asked few at a time.",
            ),
            hangups_after_move: counter(
                "hangups_after_move_total",
                "Calls that their far end hung up within 1 s of a move.",
            ),
            move_seconds,
            nodes: Nodes::new(metrics),
            stores: gauge(
                "stores",
                "Different stores of the nodes; more than one is wrong.",
            ),
            trunk_refused: counter("trunk_documents_refused_total", "Invalid trunk documents."),
            trunk_failed: labelled(
                metrics,
                "trunk_fetches_failed_total",
                "Requests to the trunk's source that brought no valid document.",
                "reason",
            ),
            trunk_version: gauge("trunk_version", "Version of the trunk document in force."),
            ignored: labelled(
                metrics,
                "sip_ignored_total",
                "Messages not answered.",
                "reason",
            ),
            forgotten: counter(
                "forgotten_total",
                "What calls left on nodes, forgotten for want of room.",
            ),
            ports_refused: counter("media_ports_refused_total", "Media ports not opened."),
            calls: gauge("calls", "Live calls."),
            moving: gauge("calls_moving", "Calls on the move."),
            ports_used: gauge("media_ports_used", "Media port pairs in use."),
            ports_total: gauge("media_ports", "Media port pairs configured."),
            transactions: gauge("sip_transactions", "SIP transactions, client and server."),
            ready: metrics.gauge("ready", "1 while new calls are taken."),
        }
    }

    /// Takes the gauges over from a snapshot.
    pub fn status(&self, status: &Status) {
        let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.calls.set(whole(status.calls));
        self.moving.set(whole(status.moving));
        self.ports_used.set(whole(status.ports.0));
        self.ports_total.set(whole(status.ports.1));
        self.transactions
            .set(whole(status.transactions.0 + status.transactions.1));
        self.stores.set(whole(status.trunk.stores));
        self.nodes.status(&status.trunk.nodes);
        self.ready.set(if status.ready { 1.0 } else { 0.0 });
    }

    /// The trunk's source gave no valid document.
    pub fn trunk_failed(&self, failure: Failure) {
        self.trunk_failed
            .with_label_values(&[failure.as_str()])
            .inc();
    }

    /// Tells an event.
    pub fn event(&self, event: Event) {
        match event {
            Event::CallPlaced { call, node } => {
                self.placed.inc();
                tracing::debug!(%call, %node, "call placed");
            }
            Event::CallAnswered { call } => {
                self.answered.inc();
                tracing::debug!(%call, "call answered");
            }
            Event::CallEnded {
                call,
                cause,
                generation,
            } => {
                self.ended.with_label_values(&[cause.as_str()]).inc();
                info!(%call, %cause, generation, "call ended");
            }
            Event::CallRefused { status } => {
                self.refused.with_label_values(&[&status.to_string()]).inc();
                tracing::debug!(status, "call refused");
            }
            Event::CallMoved {
                failover,
                call,
                node,
                after,
            } => {
                self.moved.inc();
                self.move_seconds.observe(after.as_secs_f64());
                info!(failover, %call, %node, after_ms = ms(after), "call moved");
            }
            Event::CallLost {
                failover,
                call,
                status,
            } => {
                self.lost.inc();
                warn!(failover, %call, status, "call lost");
            }
            Event::MoveLate {
                failover,
                call,
                far_end,
                first,
            } => self.late(failover, &call, &far_end, first),
            Event::HangupAfterMove { call, after } => {
                self.hangups_after_move.inc();
                warn!(%call, after_ms = ms(after), "the far end hung up just after the call had \
                    moved: where that happens again and again it cannot take calls over properly");
            }
            Event::Ignored { from, why } => self.ignored(from, why),
            Event::PortRefused { local, errno } => {
                self.ports_refused.inc();
                warn!(%local, errno, "media port could not be opened (errno 98: another socket has it); \
                       the call takes another where it can");
            }
            Event::Forgotten { what } => {
                self.forgotten.inc();
                warn!(
                    what,
                    "too much to remember at a time: the oldest is forgotten"
                );
            }
            other => self.trunk(other),
        }
    }

    fn trunk(&self, event: Event) {
        match event {
            Event::TrunkChanged { version, instances } => {
                self.trunk_version
                    .set(i64::try_from(version).unwrap_or(i64::MAX));
                info!(version, instances, "trunk changed");
            }
            Event::TrunkRefused { reason } => {
                self.trunk_refused.inc();
                warn!(
                    reason,
                    "trunk document refused, the one before stays in force"
                );
            }
            other => self.nodes.event(other),
        }
    }

    fn late(&self, failover: u64, call: &str, far_end: &FarEndTold, first: bool) {
        self.late.inc();
        if !first {
            return tracing::debug!(failover, call, "the call waits for its far end");
        }
        let address = far_end.address.map(|address| address.to_string());
        let far_end_is = address.unwrap_or_else(|| "unknown, no node has named it".to_owned());
        let product = far_end.product.as_deref().unwrap_or("unknown");
        let (waiting, at_a_time) = (far_end.waiting, far_end.at_a_time);
        warn!(
            failover,
            far_end = far_end_is,
            product,
            waiting,
            at_a_time,
            "calls have waited 2 s to be moved: their far end is asked to take over only so many at \
             a time, since more may stop it for good; they hear silence meanwhile. If this far end \
             bears more, set downstream.replaces_in_flight at the nodes"
        );
    }

    fn ignored(&self, from: SocketAddr, why: Ignored) {
        let reason = why.as_str();
        self.ignored.with_label_values(&[reason]).inc();
        tracing::debug!(%from, reason, "message ignored");
    }
}

fn ms(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
