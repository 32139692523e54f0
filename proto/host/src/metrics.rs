//! The registry of a program's metrics and the names of what this package counts.
//!
//! Every name starts with `holdline_`; units are base units; labels are bounded sets (addresses
//! of our own sockets), never a caller's data.

use holdline_wire::machine::LocalFault;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

/// The registry of one program. There is no global one.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// A registry that says which `program` and `version` runs (`holdline_build_info`) and since
    /// when (`holdline_start_time_seconds`).
    pub fn new(program: &str, version: &str) -> Metrics {
        let metrics = Metrics {
            registry: Registry::new(),
        };
        let info = metrics.gauges(
            "build_info",
            "Which program and version runs; always 1.",
            &["program", "version"],
        );
        info.with_label_values(&[program, version]).set(1);
        let start = metrics.gauge(
            "start_time_seconds",
            "When the program started, since 1970.",
        );
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        start.set(now.as_secs_f64());
        metrics
    }

    /// Adds a collector of the program's own.
    ///
    /// # Panics
    /// Where one of the same name is registered: a mistake in the program, not of its input.
    pub fn register(&self, collector: impl Collector + 'static) {
        let registered = self.registry.register(Box::new(collector));
        registered.expect("each metric is registered once");
    }

    /// A registered counter `holdline_<name>`; `name` ends in `_total`.
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        let counter = IntCounter::new(format!("holdline_{name}"), help);
        let counter = counter.expect("the name is valid");
        self.register(counter.clone());
        counter
    }

    /// Registered counters `holdline_<name>`, one for each value of `label`.
    pub fn counters(&self, name: &str, help: &str, label: &str) -> IntCounterVec {
        let opts = Opts::new(format!("holdline_{name}"), help);
        let counters = IntCounterVec::new(opts, &[label]).expect("the name is valid");
        self.register(counters.clone());
        counters
    }

    /// A registered histogram `holdline_<name>`; `buckets` are upper ends, ascending.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts::new(format!("holdline_{name}"), help).buckets(buckets.to_vec());
        let histogram = Histogram::with_opts(opts).expect("the name is valid");
        self.register(histogram.clone());
        histogram
    }

    /// Registered histograms `holdline_<name>`, one for each value of `label`.
    pub fn histograms(&self, name: &str, help: &str, label: &str, buckets: &[f64]) -> HistogramVec {
        let opts = HistogramOpts::new(format!("holdline_{name}"), help).buckets(buckets.to_vec());
        let histograms = HistogramVec::new(opts, &[label]).expect("the name is valid");
        self.register(histograms.clone());
        histograms
    }

    /// Registered gauges `holdline_<name>` of whole numbers, one for each set of values of `labels`.
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let opts = Opts::new(format!("holdline_{name}"), help);
        let gauges = IntGaugeVec::new(opts, labels).expect("the name is valid");
        self.register(gauges.clone());
        gauges
    }

    /// A registered gauge `holdline_<name>` of whole numbers.
    pub fn int_gauge(&self, name: &str, help: &str) -> IntGauge {
        let gauge = IntGauge::new(format!("holdline_{name}"), help).expect("the name is valid");
        self.register(gauge.clone());
        gauge
    }

    /// A registered gauge `holdline_<name>`.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::new(format!("holdline_{name}"), help).expect("the name is valid");
        self.register(gauge.clone());
        gauge
    }

    /// A registered counter `holdline_<name>` whose value another part of the program keeps: it is
    /// read whenever somebody asks.
    pub fn counter_from(
        &self,
        name: &str,
        help: &str,
        value: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let counter = IntCounter::new(format!("holdline_{name}"), help);
        let counter = counter.expect("the name is valid");
        let desc = counter.desc()[0].clone();
        let counter = Mutex::new(counter);
        self.register(Followed {
            counter,
            desc,
            value,
        });
    }

    /// All metrics in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory fails only for a family without metrics, which is left out then.
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics are incomplete");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// A counter that follows a value kept elsewhere.
struct Followed<F> {
    /// Locked so that two who ask at once do not both add the growth.
    counter: Mutex<IntCounter>,
    desc: Desc,
    value: F,
}

impl<F: Fn() -> u64 + Send + Sync> Collector for Followed<F> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Ok(counter) = self.counter.lock() else {
            return Vec::new();
        };
        counter.inc_by((self.value)().saturating_sub(counter.get()));
        counter.collect()
    }
}

/// What a driver counts about its loop.
#[derive(Clone, Debug)]
pub struct DriverMetrics {
    pub(crate) inbox_dropped: IntCounter,
    late: IntCounter,
    late_max: Gauge,
}

impl DriverMetrics {
    pub(crate) fn new(metrics: &Metrics) -> DriverMetrics {
        DriverMetrics {
            inbox_dropped: metrics.counter(
                "inbox_dropped_total",
                "Inputs that found the core's queue full.",
            ),
            late: metrics.counter("loop_late_total", "Times that the core's loop was late."),
            late_max: metrics.gauge(
                "loop_late_max_seconds",
                "The worst lateness of the core's loop since the start.",
            ),
        }
    }

    /// Called by the core's thread only, so that nobody else sets the maximum.
    pub(crate) fn was_late(&self, late: Duration) {
        self.late.inc();
        if late.as_secs_f64() > self.late_max.get() {
            self.late_max.set(late.as_secs_f64());
        }
    }
}

/// What the SIP sockets count.
#[derive(Clone, Debug)]
pub(crate) struct SipMetrics {
    pub(crate) received: IntCounter,
    pub(crate) sent: IntCounter,
    pub(crate) send_errors: IntCounter,
    pub(crate) send_retries: IntCounter,
    pub(crate) send_dropped: IntCounter,
    pub(crate) faults: IntCounter,
    /// By kind: what did not leave this machine.
    local_faults: [IntCounter; LocalFault::ALL.len()],
    pub(crate) connected: IntGauge,
}

impl SipMetrics {
    pub(crate) fn new(metrics: &Metrics) -> SipMetrics {
        let counter = |name, help| metrics.counter(name, help);
        let local = metrics.counters(
            "sip_local_faults_total",
            "SIP datagrams that did not leave this machine, by what kept them.",
            "kind",
        );
        let of_kind = |kind: LocalFault| local.with_label_values(&[kind.name()]);
        SipMetrics {
            local_faults: LocalFault::ALL.map(of_kind),
            received: counter("sip_datagrams_received_total", "SIP datagrams received."),
            sent: counter("sip_datagrams_sent_total", "SIP datagrams sent."),
            send_errors: counter(
                "sip_send_errors_total",
                "SIP datagrams that could not be sent.",
            ),
            send_retries: counter(
                "sip_send_retries_total",
                "Sends repeated for a full buffer.",
            ),
            send_dropped: counter(
                "sip_send_dropped_total",
                "SIP datagrams that found no room.",
            ),
            faults: counter(
                "sip_faults_total",
                "ICMP errors and local failures told to the core.",
            ),
            connected: metrics.int_gauge("sip_connected_sockets", "Connected SIP sockets open."),
        }
    }

    /// A datagram did not leave this machine (spec: X52).
    pub(crate) fn local_fault(&self, kind: LocalFault) {
        let place = LocalFault::ALL.iter().position(|known| *known == kind);
        if let Some(counter) = place.and_then(|place| self.local_faults.get(place)) {
            counter.inc();
        }
    }
}

/// `holdline_sip_receive_drops_total{local}`: datagrams that the kernel dropped because a
/// listening socket's buffer was full. Read from `/proc/net/udp` when somebody asks, by the
/// thread that asks.
#[derive(Debug)]
pub struct ReceiveDrops {
    counter: IntCounterVec,
    /// Of each socket: its address, its inode and what was read last.
    sockets: Mutex<HashMap<u64, (SocketAddr, u64)>>,
}

impl ReceiveDrops {
    /// Watches the sockets of `SipSockets::inodes`.
    pub fn new(inodes: Vec<(SocketAddr, u64)>) -> ReceiveDrops {
        let options = Opts::new(
            "holdline_sip_receive_drops_total",
            "SIP datagrams dropped by the kernel for a full receive buffer.",
        );
        let counter = IntCounterVec::new(options, &["local"]).expect("the name is valid");
        let sockets = inodes.into_iter().map(|(local, inode)| (inode, (local, 0)));
        ReceiveDrops {
            counter,
            sockets: Mutex::new(sockets.collect()),
        }
    }

    fn read(&self, table: &str) {
        let Ok(mut sockets) = self.sockets.lock() else {
            return;
        };
        for (inode, drops) in table.lines().filter_map(drops_of_line) {
            if let Some((local, last)) = sockets.get_mut(&inode) {
                let local = local.to_string();
                self.counter
                    .with_label_values(&[&local])
                    .inc_by(drops.saturating_sub(*last));
                *last = drops;
            }
        }
    }
}

impl Collector for ReceiveDrops {
    fn desc(&self) -> Vec<&Desc> {
        self.counter.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for path in ["/proc/net/udp", "/proc/net/udp6"] {
            if let Ok(table) = std::fs::read_to_string(path) {
                self.read(&table);
            }
        }
        self.counter.collect()
    }
}

/// The inode and the drops of a line of `/proc/net/udp`: its columns 10 and 13 (proc(5)).
fn drops_of_line(line: &str) -> Option<(u64, u64)> {
    let mut columns = line.split_ascii_whitespace();
    let inode = columns.nth(9)?.parse().ok()?;
    Some((inode, columns.nth(2)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_the_program_and_each_metric_has_the_prefix() {
        let metrics = Metrics::new("b2bua-node", "9.8.7");
        metrics.counter("test_total", "A test.").inc_by(3);
        let text = metrics.text();
        assert!(text.contains("holdline_build_info{program=\"b2bua-node\",version=\"9.8.7\"} 1"));
        assert!(text.contains("\nholdline_test_total 3\n"), "{text}");
        let samples = text.lines().filter(|l| !l.starts_with('#'));
        assert!(samples.clone().count() >= 3);
        assert!(samples.clone().all(|l| l.starts_with("holdline_")));
    }

    #[test]
    fn a_followed_counter_shows_the_value_of_now() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicU64, Ordering};
        let (metrics, kept) = (Metrics::new("test", "0"), Arc::new(AtomicU64::new(2)));
        let value = Arc::clone(&kept);
        metrics.counter_from("kept_total", "A test.", move || {
            value.load(Ordering::Relaxed)
        });
        assert!(metrics.text().contains("\nholdline_kept_total 2\n"));
        kept.store(5, Ordering::Relaxed);
        assert!(metrics.text().contains("\nholdline_kept_total 5\n"));
    }

    #[test]
    fn drops_are_read_by_inode_and_only_their_growth_is_counted() {
        let line = |drops| {
            format!(
                "  sl  local_address rem_address   st tx_queue\n 1234: 0100007F:13C4 00000000:0000 07 \
                 00000000:00000000 00:00000000 00000000     0        0 777 2 0000000000000000 {drops}\n"
            )
        };
        let watch = ReceiveDrops::new(vec![("127.0.0.1:5060".parse().unwrap(), 777)]);
        watch.read(&line(5));
        watch.read(&line(9));
        watch.read(&line(9).replace("777", "778"));
        assert_eq!(
            watch.counter.with_label_values(&["127.0.0.1:5060"]).get(),
            9
        );
    }
}
