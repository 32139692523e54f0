//! What watching costs: the CPU of an agent by the number of nodes that it probes, and by the number
//! of calls that say nothing. The many nodes are one thread that answers OPTIONS, behind many
//! ports of one address; the calls go through a real node.

use holdline_tests::bench::{
    Arguments, Crowd, Description, Figures, Plan, Responder, Section, Stand, raise_open_files, run,
};
use holdline_tests::rig::Error;
use std::process::ExitCode;
use std::time::Duration;

/// Nodes that are probed.
const NODES: [u16; 3] = [3, 100, 500];
/// Calls, and what they describe.
const CALLS: [(u32, Description); 4] = [
    (1, Description::Audio),
    (1000, Description::Audio),
    (4000, Description::Audio),
    (4000, Description::Empty),
];
/// Calls placed in a second.
const RATE: f64 = 400.0;
/// Until what comes with a start, or with calls that come up, is over: transactions are forgotten
/// after 32 s (RFC 3261 section 17.1.1.2).
const SETTLE: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(36)];
/// How long is measured.
const SPAN: Duration = Duration::from_secs(20);
/// Of one core, with 500 nodes.
const TARGET_PERCENT: f64 = 5.0;

fn main() -> ExitCode {
    run("probing", bench)
}

/// Percent of one core that the agent uses.
fn watch(stand: &Stand, span: Duration) -> Result<f64, Error> {
    let before = stand.cpu("agent")?;
    std::thread::sleep(span);
    Ok((stand.cpu("agent")? - before) / span.as_secs_f64() * 100.0)
}

/// The agent beside `nodes` that answer.
fn of_nodes(nodes: u16, span: Duration) -> Result<(f64, f64), Error> {
    let stand = Stand::bare()?;
    let (first, http) = (stand.block.node_sip(0), stand.block.node_http(0));
    let responder = Responder::start(first, nodes, http)?;
    stand.start_agent()?;
    std::thread::sleep(SETTLE[0]);
    let before = responder.answered();
    let percent = watch(&stand, span)?;
    let probes = (responder.answered() - before) as f64 / span.as_secs_f64();
    Ok((percent, probes))
}

/// The agent with calls on a real node; nobody speaks.
fn of_calls(calls: u32, description: Description, span: Duration) -> Result<f64, Error> {
    let stand = Stand::start()?;
    let mut crowd = Crowd::new(Plan {
        caller: stand.block.caller(),
        callee: stand.block.callee(),
        next_hop: stand.block.agent_sip(),
        description,
        first_port: 10_000,
    })?;
    crowd.place(calls, RATE)?;
    std::thread::sleep(SETTLE[1]);
    watch(&stand, span)
}

fn bench(arguments: &Arguments) -> Result<Section, Error> {
    raise_open_files()?;
    let span = arguments.seconds.map_or(SPAN, Duration::from_secs);
    let mut section = Section::new(
        "CPU of watching",
        "probing",
        arguments.runs,
        &format!(
            "each node is probed 4 times a second over sockets of loopback; {} s each run; the calls say nothing",
            span.as_secs()
        ),
    );
    let mut rows = Vec::new();
    let mut verdict = String::new();
    for nodes in NODES {
        let (mut percent, mut probes) = (Figures::default(), Figures::default());
        for run in 1..=arguments.runs {
            let (cpu, rate) = of_nodes(nodes, span)?;
            eprintln!(
                "probing: {nodes} nodes, run {run}: {cpu:.2} % of a core, {rate:.0} probes/s"
            );
            percent.push(cpu);
            probes.push(rate);
        }
        if nodes == 500 {
            let met = if percent.median() < TARGET_PERCENT {
                "Met"
            } else {
                "Missed"
            };
            verdict =
                format!("Target with 500 nodes: under {TARGET_PERCENT} % of one core. {met}.");
        }
        rows.push([
            format!("{nodes} nodes, no call"),
            format!("{:.2}", percent.median()),
            percent.spread(2),
            format!("{:.0}", probes.median()),
        ]);
    }
    for (calls, description) in CALLS {
        let ports = if description == Description::Audio {
            "with ports"
        } else {
            "without media"
        };
        let mut percent = Figures::default();
        for run in 1..=arguments.runs {
            let cpu = of_calls(calls, description, span)?;
            eprintln!("probing: {calls} calls {ports}, run {run}: {cpu:.2} % of a core");
            percent.push(cpu);
        }
        rows.push([
            format!("1 node, {calls} calls {ports}"),
            format!("{:.2}", percent.median()),
            percent.spread(2),
            "4".to_owned(),
        ]);
    }
    section.table(
        ["agent with", "% of one core, median", "spread", "probes/s"],
        &rows,
    );
    section.say(format!(
        "User and system time of the agent's whole process (`/proc/PID/stat`, steps of 10 ms). The nodes of the first rows \
         are no nodes: one thread of the benchmark that answers OPTIONS with 200 and a utilization, at one port for each, and \
         serves the trunk document. {verdict}"
    ));
    Ok(section)
}
