//! Events of the core as log lines and metrics: the one place where their names stand.

mod nodes;

use crate::core::{Event, FarEndTold, Status};
use holdline_host::Metrics;
use holdline_host::report::{CallMetrics, ms, set};
use holdline_host::trunk_source::Failure;
use nodes::{BUCKETS, Nodes};
use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge};
use tracing::{info, warn};

/// The agent's own metrics.
#[derive(Clone)]
pub struct Reporter {
    calls: CallMetrics,
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
    forgotten: IntCounter,
    moving: IntGauge,
    ready: Gauge,
}

impl Reporter {
    /// Registers the agent's own metrics, beside `calls`.
    pub fn new(metrics: &Metrics, calls: CallMetrics) -> Reporter {
        let counter = |name, help| metrics.counter(name, help);
        let gauge = |name, help| metrics.int_gauge(name, help);
        Reporter {
            calls,
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
            move_seconds: metrics.histogram(
                "call_move_seconds",
                "From the verdict to the new node's answer, for each moved call.",
                &BUCKETS,
            ),
            nodes: Nodes::new(metrics),
            stores: gauge(
                "stores",
                "Different stores of the nodes; more than one is wrong.",
            ),
            trunk_refused: counter("trunk_documents_refused_total", "Invalid trunk documents."),
            trunk_failed: metrics.counters(
                "trunk_fetches_failed_total",
                "Requests to the trunk's source that brought no valid document.",
                "reason",
            ),
            trunk_version: gauge("trunk_version", "Version of the trunk document in force."),
            forgotten: counter(
                "forgotten_total",
                "What calls left on nodes, forgotten for want of room.",
            ),
            moving: gauge("calls_moving", "Calls on the move."),
            ready: metrics.gauge("ready", "1 while new calls are taken."),
        }
    }

    /// Takes the agent's own gauges over from a snapshot.
    pub fn status(&self, status: &Status) {
        set(&self.moving, status.moving);
        set(&self.stores, status.trunk.stores);
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
                self.calls.placed.inc();
                tracing::debug!(%call, %node, "call placed");
            }
            Event::CallAnswered { call } => {
                self.calls.answered.inc();
                tracing::debug!(%call, "call answered");
            }
            Event::CallEnded {
                call,
                cause,
                generation,
            } => {
                self.calls.ended(cause.as_str());
                info!(%call, %cause, generation, "call ended");
            }
            Event::CallRefused { status } => self.calls.refused(status),
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
            Event::Ignored { from, why } => {
                let reason = why.as_str();
                self.calls.ignored(reason);
                tracing::debug!(%from, reason, "message ignored");
            }
            Event::PortRefused { local, errno } => self.calls.port_refused(local, errno),
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
}
