//! False verdicts: nodes that nobody touches, on a network that loses every fifth packet.

use holdline_tests::bench::{Arguments, Section, hosts, run};
use holdline_tests::netns::Lan;
use holdline_tests::rig::{AGENT, Error, Evidence, FailoverStatus, Moment, NODES, Plan, get};
use std::process::ExitCode;
use std::time::Duration;

/// How long is looked.
const SPAN: Duration = Duration::from_secs(30 * 60);
/// Calls with media, on all nodes.
const CALLS: u32 = 30;
/// What is lost, of 100 packets, each way by itself.
const LOSS: u8 = 20;
/// How long the calls are given after the loss is over.
const SETTLE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    run("trust", bench)
}

fn bench(arguments: &Arguments) -> Result<Section, Error> {
    if let Some(obstacle) = Lan::obstacle() {
        return Err(format!("no network namespaces: {obstacle}").into());
    }
    let span = arguments.seconds.map_or(SPAN, Duration::from_secs);
    let load = format!(
        "an agent and three nodes with {CALLS} calls between them, each program on a host of its own (network \
         namespaces on one switch); every packet between hosts is lost with a probability of {LOSS} % \
         (nftables) for {} s",
        span.as_secs()
    );
    let mut section = Section::new("False verdicts", "trust", arguments.runs, &load);
    for run in 1..=arguments.runs {
        eprintln!(
            "trust: {} s, run {run} of {}",
            span.as_secs(),
            arguments.runs
        );
        tell(&mut section, span)?;
    }
    Ok(section)
}

/// Looks for them in one run, and tells.
fn tell(section: &mut Section, lossy: Duration) -> Result<(), Error> {
    let mut rig = hosts(NODES)?;
    let plan = Plan {
        calls: CALLS,
        calls_per_second: 50,
        faults: vec![Duration::from_secs(1), Duration::from_secs(1) + lossy],
        after: SETTLE,
    };
    let agent = rig.block.agent_sip();
    let mut counted = None;
    let report = rig.load_with(agent, &plan, &["--max-gap", "60s"], |rig, moment| {
        match moment {
            Moment::Fault(1) => rig.lan()?.lose_everywhere(LOSS)?,
            Moment::Fault(_) => {
                let http = rig.block.agent_http();
                let page = rig.on(AGENT, || get(http, "/metrics"))??.text();
                counted = Some(page);
                rig.lan()?.heal()?;
            }
            _ => {}
        }
        Ok(())
    })?;
    let page = counted.ok_or("the loss never ended")?;
    let status = rig.status()?;
    section.say(format!(
        "{:.0} minutes of real time: {} verdicts, {} suspicions that the nodes' answers cleared, {} calls \
         moved, {} lost; the longest silence of a call {:.0} ms. Nobody was touched, so every verdict would \
         be a false one.",
        lossy.as_secs_f64() / 60.0,
        status.failovers.len(),
        metric(&page, "holdline_node_suspicions_cleared_total")
            .map_or_else(|| "?".to_owned(), |count| format!("{count:.0}")),
        report.moved,
        report.lost,
        report.gap_unmoved.max_ms.max(report.gap_moved.max_ms)
    ));
    for failover in &status.failovers {
        section.say(format!("A verdict: {}.", explained(failover)));
    }
    Ok(())
}

/// The evidence of a verdict, with the time of each piece.
fn explained(failover: &FailoverStatus) -> String {
    let Some(verdict) = &failover.verdict else {
        return "the node had restarted".to_owned();
    };
    let piece = |e: &Evidence| format!("{:.0} ms {}", (e.at - verdict.suspected_at) * 1e3, e.what);
    let pieces: Vec<String> = verdict.evidence.iter().map(piece).collect();
    pieces.join(", ")
}

/// The sum of a metric over its labels.
fn metric(page: &str, name: &str) -> Option<f64> {
    let value = |line: &str| -> Option<f64> {
        let rest = line.strip_prefix(name)?;
        let labelled = rest.starts_with('{') || rest.starts_with(' ');
        labelled
            .then(|| rest.rsplit(' ').next()?.parse().ok())
            .flatten()
    };
    page.lines().filter_map(value).reduce(|a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let page = "# HELP a b\na{x=\"1\"} 2\na{x=\"2\"} 3\nab 7\n";
        assert_eq!((metric(page, "a"), metric(page, "c")), (Some(5.0), None));
    }
}
