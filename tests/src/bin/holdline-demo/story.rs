//! What happened, for a person to read.

use crate::Options;
use holdline_tests::rig::{AgentStatus, Error, FailoverStatus, Gaps, NODES, Report, Rig};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// A gap that a listener must never hear (spec: D1), milliseconds.
const MAX_GAP_MS: f64 = 2000.0;

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
        options: &Options,
        failed: usize,
    ) -> Result<(), Error> {
        let up = options.calls as usize - failed;
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
        println!("milliseconds after the death");
        line(0.0, &format!("node {} is killed", death.node + 1));
        match failover {
            Some(failover) => {
                let at = |seconds: f64| since(death.at, status.calendar(seconds));
                for (moment, what) in moments(failover) {
                    line(at(moment), &what);
                }
            }
            None => println!("  the agent tells of no failover"),
        }
        let again = report.heard_again(death.at);
        if let Some(first) = again.iter().min() {
            line(since(death.at, *first), "the first listener hears again");
        }
        if let Some(last) = again.iter().max() {
            line(since(death.at, *last), "the last listener hears again");
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

fn line(ms: f64, what: &str) {
    println!("  {ms:>8.1}  {what}");
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
    print!("{}", report.complaints());
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

fn verdict(report: &Report) -> bool {
    let gap = report.gap_moved.max_ms.max(report.gap_unmoved.max_ms);
    let passed = report.lost == 0 && gap <= MAX_GAP_MS && report.moved > 0;
    if passed {
        println!(
            "PASSED: {} of {} calls kept, {} of them moved, no silence above {gap:.0} ms",
            report.kept, report.placed, report.moved
        );
    } else if report.moved == 0 {
        println!("FAILED: no call moved");
    } else {
        println!(
            "FAILED: {} of {} calls lost, longest silence {gap:.0} ms (allowed: {MAX_GAP_MS:.0})",
            report.lost, report.placed
        );
    }
    passed
}
