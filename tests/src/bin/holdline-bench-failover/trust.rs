//! False verdicts: nodes that nobody touches, on a network that loses every fifth packet.

use crate::run::rig;
use holdline_tests::bench::Section;
use holdline_tests::rig::{AGENT, Error, Moment, NODES, Plan, get};
use std::time::Duration;

/// Calls with media, on all nodes.
const CALLS: u32 = 30;
/// What is lost, of 100 packets, each way by itself.
const LOSS: u8 = 20;
/// How long the calls are given after the loss is over.
const SETTLE: Duration = Duration::from_secs(2);

/// Looks for them so long, and tells.
pub fn tell(section: &mut Section, minutes: u64) -> Result<(), Error> {
    eprintln!("failover: false verdicts at {LOSS} % loss, {minutes} minutes");
    let mut rig = rig(NODES)?;
    let lossy = Duration::from_secs(60 * minutes);
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
    section.say("### False verdicts");
    section.say(format!(
        "{minutes} minutes of real time in which every packet between hosts was lost with a \
         probability of {LOSS} % (nftables), three nodes with {CALLS} calls between them: {} verdicts, {} \
         suspicions that the nodes' answers cleared, {} calls moved, {} lost; the longest silence of a call \
         {:.0} ms.",
        status.failovers.len(),
        metric(&page, "holdline_node_suspicions_cleared_total")
            .map_or_else(|| "?".to_owned(), |count| format!("{count:.0}")),
        report.moved,
        report.lost,
        report.gap_unmoved.max_ms.max(report.gap_moved.max_ms)
    ));
    Ok(())
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
