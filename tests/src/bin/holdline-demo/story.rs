//! What happened, for a person to read.

use holdline_tests::rig::{AgentStatus, Error, FailoverStatus, Gaps, NODES, Report, Rig};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// A gap that a listener must never hear (spec: D1), milliseconds.
const MAX_GAP_MS: f64 = 2000.0;

/// How many lost calls are explained, a line each.
const COMPLAINTS: usize = 5;
/// How long the agent has to show what is up.
const COUNTED: Duration = Duration::from_secs(1);

/// Who plays.
pub fn cast(rig: &Rig) {
    let block = &rig.block;
    println!(
        "  agent     SIP {:<17} http://{}/status",
        block.agent_sip().to_string(),
        block.agent_http()
    );
    for n in 0..NODES {
        println!(
            "  node {}    SIP {:<17} http://{}/status",
            n + 1,
            block.node_sip(n).to_string(),
            block.node_http(n)
        );
    }
    println!("  callers   SIP {}", block.caller());
    println!("  callees   SIP {}", block.callee());
    println!();
}

/// What was seen on the way.
#[derive(Default)]
pub struct Story {
    death: Option<Death>,
    after: Option<AgentStatus>,
}

struct Death {
    at: SystemTime,
    node: usize,
}

impl Story {
    /// The calls are up.
    pub fn all_up(
        &mut self,
        rig: &Rig,
        took: Duration,
        calls: u32,
        failed: usize,
    ) -> Result<(), Error> {
        let up = calls as usize - failed;
        // The status page is a snapshot, up to a few hundred milliseconds old.
        let _ = rig.wait("the agent counts all calls", COUNTED, || {
            Ok(rig.status()?.calls == up)
        });
        let status = rig.status()?;
        let spread: Vec<String> = (0..NODES)
            .map(|n| calls_on(&status, rig.block.node_sip(n)).to_string())
            .collect();
        println!(
            "{} calls are up after {:.1} s: {} on the nodes. RTP flows both ways.",
            up,
            took.as_secs_f64(),
            spread.join(", ")
        );
        Ok(())
    }

    /// A node was killed.
    pub fn death(&mut self, at: SystemTime, node: usize, calls: usize, pid: Option<u32>) {
        println!(
            "kill -9 {}: node {} dies with {calls} calls on it.\n",
            pid.unwrap_or_default(),
            node + 1
        );
        self.death = Some(Death { at, node });
    }

    /// What the agent says once all is over.
    pub fn after(&mut self, status: AgentStatus) {
        self.after = Some(status);
    }

    /// Tells the rest; whether all went well.
    pub fn tell(&self, rig: &Rig, report: &Report, took: Duration) -> bool {
        self.tell_times(rig, report);
        tell_gaps(report);
        tell_calls(report);
        tell_cost(rig, took);
        verdict(report)
    }

    fn tell_times(&self, rig: &Rig, report: &Report) {
        let (Some(death), Some(status)) = (&self.death, &self.after) else {
            return;
        };
        let address = rig.block.node_sip(death.node);
        let failover = status
            .failovers
            .iter()
            .rev()
            .find(|f| f.node == Some(address));
        let mut times = vec![(0.0, format!("node {} is killed", death.node + 1))];
        let at = |seconds: f64| since(death.at, status.calendar(seconds));
        let told = failover.map(moments).unwrap_or_default();
        times.extend(told.into_iter().map(|(moment, what)| (at(moment), what)));
        let again = report.heard_again(death.at);
        let ends = [
            (
                again.iter().min(),
                "first listener who missed a packet hears again",
            ),
            (again.iter().max(), "last one does"),
        ];
        let ends = ends.map(|(at, what)| at.map(|at| (since(death.at, *at), what.to_owned())));
        times.extend(ends.into_iter().flatten());
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        println!("milliseconds after the death");
        for (ms, what) in times {
            println!("  {ms:>8.1}  {what}");
        }
        if failover.is_none() {
            println!("            the agent tells of no failover");
        }
        println!();
    }
}

/// A failover's moments in the agent's seconds.
fn moments(failover: &FailoverStatus) -> Vec<(f64, String)> {
    let mut moments = Vec::new();
    if let Some(verdict) = &failover.verdict {
        let first = verdict.evidence.first().map_or("?", |e| e.what.as_str());
        moments.push((
            verdict.suspected_at,
            format!("the agent suspects it: {first}"),
        ));
        let last = verdict.evidence.last().map_or("?", |e| e.what.as_str());
        let verdict = format!("verdict: dead ({last}); {} calls move", failover.calls);
        moments.push((failover.decided_at, verdict));
    } else {
        let restarted = format!("the node has restarted; {} calls move", failover.calls);
        moments.push((failover.decided_at, restarted));
    }
    let rest = [
        (
            failover.first_invite_at,
            "first INVITE with Replaces leaves",
        ),
        (failover.first_media_at, "first new media address (183)"),
        (failover.first_moved_at, "first call has moved (200)"),
        (failover.last_moved_at, "last call has moved"),
    ];
    moments.extend(
        rest.map(|(at, what)| at.map(|at| (at, what.to_owned())))
            .into_iter()
            .flatten(),
    );
    moments
}

fn since(start: SystemTime, at: SystemTime) -> f64 {
    match at.duration_since(start) {
        Ok(after) => after.as_secs_f64() * 1e3,
        Err(before) => -before.duration().as_secs_f64() * 1e3,
    }
}

fn calls_on(status: &AgentStatus, address: SocketAddr) -> usize {
    let node = status.trunk.nodes.iter().find(|n| n.address == address);
    node.map_or(0, |node| node.calls)
}

fn tell_gaps(report: &Report) {
    println!("longest silence a listener heard, ms (of a call, the worse direction)");
    println!("                  p50      p99      max");
    for (who, gaps) in [
        ("moved", &report.gap_moved),
        ("untouched", &report.gap_unmoved),
    ] {
        let Gaps {
            count,
            p50_ms,
            p99_ms,
            max_ms,
        } = gaps;
        if *count > 0 {
            println!("  {who:<10} {p50_ms:>8.1} {p99_ms:>8.1} {max_ms:>8.1}");
        }
    }
    if report.tool_was_late {
        let late = report.late().as_secs_f64() * 1e3;
        println!("  (a busy machine: the measuring itself was late by up to {late:.0} ms)");
    }
    println!();
}

fn tell_calls(report: &Report) {
    println!("calls         all     kept     lost");
    let moved = report.calls.iter().filter(|call| call.moved);
    let untouched = report.calls.iter().filter(|call| !call.moved);
    let count = |calls: &mut dyn Iterator<Item = &holdline_tests::rig::Call>| {
        calls.fold((0, 0), |(all, kept), call| {
            (all + 1, kept + usize::from(call.kept))
        })
    };
    let rows = [
        ("moved", count(&mut moved.into_iter())),
        ("untouched", count(&mut untouched.into_iter())),
        ("all", count(&mut report.calls.iter())),
    ];
    for (who, (all, kept)) in rows {
        println!("  {who:<9} {all:>5} {kept:>8} {:>8}", all - kept);
    }
    let steps: Vec<String> = report
        .steps
        .iter()
        .map(|(step, passed)| format!("{step} {passed}"))
        .collect();
    println!(
        "  worked afterwards: {} of {}",
        steps.join(", "),
        report.answered
    );
    for complaint in report.complaints().lines().take(COMPLAINTS) {
        println!("  {complaint:.96}");
    }
    println!();
}

fn tell_cost(rig: &Rig, took: Duration) {
    let (agent, nodes) = rig.cpu();
    println!(
        "CPU time in {:.0} s: agent {:.2} s, the nodes {:.2} s together\n",
        took.as_secs_f64(),
        agent.as_secs_f64(),
        nodes.as_secs_f64()
    );
}

fn longest_gap(report: &Report) -> f64 {
    report.gap_moved.max_ms.max(report.gap_unmoved.max_ms)
}

/// No call lost, no gap too long, and something was put to the test at all.
fn passed(report: &Report) -> bool {
    report.lost == 0 && report.moved > 0 && longest_gap(report) <= MAX_GAP_MS
}

fn verdict(report: &Report) -> bool {
    let (passed, gap) = (passed(report), longest_gap(report));
    let Report {
        placed,
        kept,
        lost,
        moved,
        ..
    } = report;
    if passed {
        println!(
            "PASSED: {kept} of {placed} calls kept, {moved} of them moved, \
             no silence above {gap:.0} ms"
        );
    } else {
        println!(
            "FAILED: {lost} of {placed} calls lost, {moved} moved, \
             longest silence {gap:.0} ms (allowed: {MAX_GAP_MS:.0})"
        );
    }
    passed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(lost: usize, moved: usize, gap: f64) -> Report {
        let gaps = json!({ "count": moved, "p50_ms": gap, "p99_ms": gap, "max_ms": gap });
        let text = json!({
            "placed": 10, "answered": 10, "kept": 10 - lost, "lost": lost, "moved": moved,
            "gap_moved": gaps, "gap_unmoved": gaps, "crosstalk": 0, "faults": [],
            "tool_was_late": false, "lateness": [], "steps": [], "gap_exceeded": false,
            "calls": [],
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_lost_call_a_long_gap_and_nothing_moved_are_failures() {
        assert!(passed(&report(0, 4, 2000.0)));
        assert!(!passed(&report(1, 4, 40.0)));
        assert!(!passed(&report(0, 4, 2000.1)));
        assert!(!passed(&report(0, 0, 40.0)));
    }
}
