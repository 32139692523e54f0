//! What both programs count of their calls, under the same names.

use crate::metrics::Metrics;
use crate::vitals::{Transactions, Vitals};
use prometheus::core::Collector;
use prometheus::proto::Metric;
use prometheus::{IntCounter, IntCounterVec, IntGauge};
use std::net::SocketAddr;
use std::time::Duration;
use tracing::{debug, warn};

/// The metrics of calls, media ports and transactions. Clones share them.
#[derive(Clone)]
pub struct CallMetrics {
    /// `holdline_calls_placed_total`.
    pub placed: IntCounter,
    /// `holdline_calls_answered_total`.
    pub answered: IntCounter,
    ended: IntCounterVec,
    refused: IntCounterVec,
    ignored: IntCounterVec,
    ports_refused: IntCounter,
    calls: IntGauge,
    capacity: IntGauge,
    ports_used: IntGauge,
    ports_total: IntGauge,
    transactions: IntGauge,
}

impl CallMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> CallMetrics {
        let counter = |name, help| metrics.counter(name, help);
        let counters = |name, help, label| metrics.counters(name, help, label);
        let gauge = |name, help| metrics.int_gauge(name, help);
        CallMetrics {
            placed: counter("calls_placed_total", "INVITEs sent for new calls."),
            answered: counter("calls_answered_total", "New calls that were answered."),
            ended: counters("calls_ended_total", "Calls that ended.", "cause"),
            refused: counters(
                "calls_refused_total",
                "INVITEs refused before they became calls.",
                "status",
            ),
            ignored: counters("sip_ignored_total", "Messages not answered.", "reason"),
            ports_refused: counter("media_ports_refused_total", "Media ports not opened."),
            calls: gauge("calls", "Live calls."),
            capacity: gauge("calls_capacity", "Live calls at most."),
            ports_used: gauge("media_ports_used", "Media port pairs in use."),
            ports_total: gauge("media_ports", "Media port pairs configured."),
            transactions: gauge("sip_transactions", "SIP transactions, client and server."),
        }
    }

    /// A call ended; why, in a word.
    pub fn ended(&self, cause: &'static str) {
        self.ended.with_label_values(&[cause]).inc();
    }

    /// An INVITE was refused before it became a call.
    pub fn refused(&self, status: u16) {
        self.refused.with_label_values(&[&status.to_string()]).inc();
        debug!(status, "call refused");
    }

    /// A message got no answer; why, in a few words.
    pub fn ignored(&self, reason: &'static str) {
        self.ignored.with_label_values(&[reason]).inc();
    }

    /// A media port could not be opened.
    pub fn port_refused(&self, local: SocketAddr, errno: i32) {
        self.ports_refused.inc();
        warn!(%local, errno, "media port could not be opened (errno 98: another socket has it); \
               the call takes another where it can");
    }

    /// Messages that got no answer since the start.
    pub(crate) fn ignored_in_all(&self) -> u64 {
        let families = self.ignored.collect();
        let counters = families.iter().flat_map(|family| family.get_metric());
        let count = |metric: &Metric| metric.get_counter().get_value() as u64;
        counters.map(count).sum()
    }

    /// Takes the gauges over from a snapshot; `capacity` is how many calls there may be.
    pub(crate) fn show(&self, vitals: &Vitals, capacity: usize) {
        set(&self.calls, vitals.calls);
        set(&self.capacity, capacity);
        set(&self.ports_used, vitals.ports.used);
        set(&self.ports_total, vitals.ports.total);
        let Transactions { client, server } = vitals.transactions;
        set(&self.transactions, client + server);
    }
}

/// Sets a gauge to a number of things.
pub fn set(gauge: &IntGauge, count: usize) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}

/// Milliseconds to the microsecond, for log lines.
pub fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_has_its_name_and_label() {
        let metrics = Metrics::new("test", "0");
        let calls = CallMetrics::new(&metrics);
        calls.placed.inc();
        calls.ended("hangup");
        calls.refused(503);
        calls.ignored("source");
        calls.show(&Vitals::new(2, (8, 5000), (3, 4), false), 1000);
        let text = metrics.text();
        for line in [
            "holdline_calls_placed_total 1",
            "holdline_calls_ended_total{cause=\"hangup\"} 1",
            "holdline_calls_refused_total{status=\"503\"} 1",
            "holdline_sip_ignored_total{reason=\"source\"} 1",
            "holdline_calls 2",
            "holdline_calls_capacity 1000",
            "holdline_media_ports_used 8",
            "holdline_media_ports 5000",
            "holdline_sip_transactions 7",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in {text}");
        }
        calls.ignored("source");
        calls.ignored("garbage");
        assert_eq!(calls.ignored_in_all(), 3);
    }

    #[test]
    fn a_log_line_tells_microseconds() {
        assert_eq!(ms(Duration::from_nanos(1_234_567)), 1.235);
    }
}
