//! Suspicions, verdicts and failovers as log lines and metrics: which evidence, when, and how long
//! each step took.

use crate::cluster::{Gone, NodeState, NodeStatus, Verdict};
use crate::core::{Event, Steps};
use holdline_host::Metrics;
use holdline_host::report::ms;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::{info, warn};

/// From a millisecond to the longest hold time.
pub(super) const BUCKETS: [f64; 14] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 20.0,
];

/// What is counted of nodes.
#[derive(Clone)]
pub(super) struct Nodes {
    suspicions: IntCounterVec,
    cleared: IntCounterVec,
    failovers: IntCounterVec,
    withheld: IntCounterVec,
    verdicts: IntCounterVec,
    steps: HistogramVec,
    blind: IntCounter,
    left: IntCounter,
    up: IntGaugeVec,
    draining: IntGaugeVec,
    answers_needed: IntGaugeVec,
    flaps: IntGaugeVec,
    /// The nodes that have gauges.
    shown: Arc<Mutex<BTreeSet<SocketAddr>>>,
}

/// Why a node's calls move.
fn reason(verdict: Option<&Verdict>) -> &'static str {
    match verdict {
        None => "restarted",
        Some(verdict) if verdict.gone == Gone::Unreachable => "unreachable",
        Some(verdict) if verdict.gone == Gone::Left => "left",
        Some(verdict) if verdict.leaving => "leaving",
        Some(_) => "dead",
    }
}

/// The pieces of evidence, in their order.
fn told(verdict: Option<&Verdict>) -> String {
    let evidence = verdict.map_or(&[][..], |verdict| &verdict.evidence);
    let kinds: Vec<String> = evidence.iter().map(|e| e.kind.to_string()).collect();
    kinds.join("; ")
}

impl Nodes {
    pub(super) fn new(metrics: &Metrics) -> Nodes {
        let counters = |name, help, label| metrics.counters(name, help, label);
        let gauges = |name, help| metrics.gauges(name, help, &["node"]);
        Nodes {
            suspicions: counters(
                "node_suspicions_total",
                "Suspicions raised against nodes, by what raised them.",
                "evidence",
            ),
            cleared: counters(
                "node_suspicions_cleared_total",
                "Suspicions that were false, by what had raised them.",
                "evidence",
            ),
            failovers: counters("failovers_total", "Nodes whose calls moved.", "reason"),
            withheld: counters(
                "failovers_withheld_total",
                "Verdicts of a dry run: nothing moved.",
                "reason",
            ),
            verdicts: counters(
                "verdicts_total",
                "Nodes held for dead, by what raised the suspicion.",
                "evidence",
            ),
            steps: metrics.histograms(
                "failover_step_seconds",
                "Last sign of life to suspicion (detection), suspicion to verdict (decision), and \
                 from the verdict to the first INVITE, first media, first and last moved call.",
                "step",
                &BUCKETS,
            ),
            blind: metrics.counter(
                "own_outages_total",
                "Times that nothing could be sent to any node for reasons of this machine.",
            ),
            left: metrics.counter(
                "nodes_left_total",
                "Nodes that ended as they had announced.",
            ),
            draining: gauges(
                "node_draining",
                "1 while the node takes no new calls and is about to leave.",
            ),
            up: gauges("node_up", "1 while the node may carry calls."),
            answers_needed: gauges(
                "node_return_answers_needed",
                "Answers in a row before a node that was dead is used again.",
            ),
            flaps: gauges(
                "node_flaps",
                "Deaths of the node within the memory of flaps.",
            ),
            shown: Arc::default(),
        }
    }

    /// Takes the gauges over from a snapshot.
    pub(super) fn status(&self, nodes: &[NodeStatus]) {
        let now: BTreeSet<SocketAddr> = nodes.iter().map(|node| node.address).collect();
        let Ok(mut shown) = self.shown.lock() else {
            return;
        };
        for gone in shown.difference(&now) {
            let label = gone.to_string();
            for gauges in [&self.up, &self.draining, &self.answers_needed, &self.flaps] {
                // It may have had none: then there is nothing to remove.
                let _ = gauges.remove_label_values(&[&label]);
            }
        }
        *shown = now;
        for node in nodes {
            let label = node.address.to_string();
            let draining = node.state == NodeState::Draining;
            let up = draining || matches!(node.state, NodeState::Alive | NodeState::Suspect);
            let set = |gauges: &IntGaugeVec, value: u32| {
                gauges.with_label_values(&[&label]).set(value.into());
            };
            set(&self.up, up.into());
            set(&self.draining, draining.into());
            set(&self.answers_needed, node.answers_needed.unwrap_or(0));
            set(&self.flaps, node.flaps);
        }
    }

    fn step(&self, step: &str, took: Option<Duration>) {
        if let Some(took) = took {
            let histogram: Histogram = self.steps.with_label_values(&[step]);
            histogram.observe(took.as_secs_f64());
        }
    }

    /// A node is used no more. One that said so before has only left: that is no verdict.
    fn gone(&self, node: SocketAddr, verdict: &Verdict) {
        let evidence = told(Some(verdict));
        match verdict.gone {
            Gone::Left => {
                self.left.inc();
                return info!(%node, "node left");
            }
            Gone::Dead => warn!(%node, evidence, "node dead"),
            Gone::Unreachable => warn!(
                %node, evidence,
                "node unreachable from here: this machine cannot send to it, though it can to others. \
                 See to routes and packet filters"
            ),
        }
        if let Some(first) = verdict.evidence.first() {
            self.verdicts.with_label_values(&[first.kind.name()]).inc();
        }
        self.step("detection", verdict.detection());
        self.step("decision", Some(verdict.decision()));
    }

    fn done(&self, steps: &Steps) {
        self.step("first_invite", steps.first_invite);
        self.step("first_media", steps.first_media);
        self.step("first_moved", steps.first_moved);
        self.step("last_moved", steps.last_moved);
    }

    /// Tells an event of a node.
    pub(super) fn event(&self, event: Event) {
        match event {
            Event::NodeSuspect {
                node,
                kind,
                evidence,
            } => {
                self.suspicions.with_label_values(&[kind]).inc();
                info!(%node, evidence, "node suspect");
            }
            Event::NodeCleared { node, kind, after } => {
                self.cleared.with_label_values(&[kind]).inc();
                info!(%node, kind, after_ms = ms(after), "suspicion cleared");
            }
            Event::Blind { kind } => {
                self.blind.inc();
                warn!(
                    why = kind.as_str(),
                    "nothing can be sent to any node: this machine's own network does not let it \
                     out. No node is held for dead meanwhile. See to this machine's link, routes, \
                     packet filter and open files"
                );
            }
            Event::Sighted { after } => {
                warn!(
                    after_ms = ms(after),
                    "a node answers again: nodes are judged again"
                );
            }
            Event::NodeDraining { node } => {
                info!(%node, "node draining: it takes no new calls, those that it has go on");
            }
            Event::NodeGone { node, verdict } => self.gone(node, &verdict),
            Event::StoresDiffer { one, other } => {
                let ((node, store), (other, its)) = (one, other);
                warn!(%node, store = &*store, %other, other_store = &*its,
                    "these nodes do not share a store: calls of one cannot move to the other. \
                     Check store.url of all nodes of the trunk");
            }
            Event::NodeAlive { node } => info!(%node, "node alive"),
            Event::FailoverStarted {
                failover,
                node,
                calls,
                verdict,
            } => {
                let verdict = verdict.as_ref();
                let reason = reason(verdict);
                self.failovers.with_label_values(&[reason]).inc();
                let (evidence, silent) = (told(verdict), verdict.and_then(Verdict::detection));
                let decided = verdict.map_or(Duration::ZERO, Verdict::decision);
                if verdict.is_some_and(|verdict| verdict.gone == Gone::Left) {
                    return info!(failover, %node, calls, reason, "failover");
                }
                warn!(failover, %node, calls, reason, evidence, detected_in_ms = silent.map(ms),
                    decided_in_ms = ms(decided), "failover");
            }
            Event::FailoverWithheld {
                failover,
                node,
                calls,
                verdict,
            } => {
                let verdict = verdict.as_ref();
                let reason = reason(verdict);
                self.withheld.with_label_values(&[reason]).inc();
                let evidence = told(verdict);
                warn!(failover, %node, calls, reason, evidence, "dry run: nothing moves");
            }
            Event::FailoverDone {
                failover,
                moved,
                lost,
                ended,
                steps,
                took,
            } => {
                self.done(&steps);
                let step = |step: Option<Duration>| step.map(ms);
                warn!(
                    failover,
                    moved,
                    lost,
                    ended,
                    first_invite_ms = step(steps.first_invite),
                    first_media_ms = step(steps.first_media),
                    first_moved_ms = step(steps.first_moved),
                    took_ms = ms(took),
                    "failover done"
                );
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Evidence, EvidenceKind};
    use holdline_wire::Time;

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    // spec: X20
    #[test]
    fn a_verdict_is_counted_by_its_evidence_and_each_step_has_its_time() {
        let metrics = Metrics::new("test", "0");
        let nodes = Nodes::new(&metrics);
        let evidence = |millis, kind| Evidence {
            at: at(millis),
            kind,
        };
        let verdict = Verdict {
            gone: Gone::Dead,
            evidence: vec![
                evidence(1040, EvidenceKind::MediaSilent { ms: 40 }),
                evidence(1060, EvidenceKind::ProbesUnanswered { probes: 3 }),
            ],
            last_sign: Some(at(1000)),
            suspected_at: at(1040),
            decided_at: at(1060),
            leaving: false,
        };
        let node: SocketAddr = "127.0.0.11:5060".parse().unwrap();
        nodes.event(Event::NodeGone {
            node: "127.0.0.11:5060".parse().unwrap(),
            verdict: verdict.clone(),
        });
        nodes.event(Event::FailoverStarted {
            failover: 1,
            node,
            calls: 2,
            verdict: Some(verdict),
        });
        let steps = Steps {
            last_moved: Some(Duration::from_millis(90)),
            ..Steps::default()
        };
        nodes.event(Event::FailoverDone {
            failover: 1,
            moved: 2,
            lost: 0,
            ended: 0,
            steps,
            took: Duration::from_millis(90),
        });
        let kind = "media_silent";
        nodes.event(Event::NodeCleared {
            node,
            kind,
            after: Duration::from_millis(3),
        });
        let text = metrics.text();
        for line in [
            "holdline_verdicts_total{evidence=\"media_silent\"} 1",
            "holdline_failovers_total{reason=\"dead\"} 1",
            "holdline_node_suspicions_cleared_total{evidence=\"media_silent\"} 1",
            "holdline_failover_step_seconds_sum{step=\"detection\"} 0.04",
            "holdline_failover_step_seconds_sum{step=\"decision\"} 0.02",
            "holdline_failover_step_seconds_sum{step=\"last_moved\"} 0.09",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("step=\"first_invite\""), "it never came");
    }
}
