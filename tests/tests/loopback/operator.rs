//! What an operator types and scrapes.

use holdline_tests::rig::{AGENT, Rig, binary, get, node_name};
use std::collections::BTreeSet;
use std::process::Command;

/// Reads Prometheus' text format (version 0.0.4): the names of the samples.
fn metric_names(text: &str) -> BTreeSet<String> {
    let mut typed = BTreeSet::new();
    let mut names = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            typed.insert(name.to_owned());
            continue;
        }
        if line.starts_with("# HELP ") || line.is_empty() {
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').expect(line);
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = sample.split('{').next().unwrap_or_default();
        assert!(name.starts_with("holdline_"), "{line}");
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end).filter(|base| typed.contains(*base)));
        assert!(typed.contains(base.unwrap_or(name)), "no TYPE for {line}");
        names.insert(name.to_owned());
    }
    names
}

#[test]
fn the_pages_answer_and_metrics_can_be_scraped() {
    let rig = Rig::start().unwrap();
    for http in [rig.block.agent_http(), rig.block.node_http(1)] {
        for page in ["/healthz", "/readyz"] {
            assert_eq!(get(http, page).unwrap().status, 200, "{http}{page}");
        }
        assert_eq!(get(http, "/nothing").unwrap().status, 404);
        let status = get(http, "/status").unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
        assert_eq!(status["calls"], 0);
        assert_eq!(status["ports"]["used"], 0, "{status}");
        assert_eq!(status["draining"], false, "{status}");
        assert_eq!(status["ready"], true, "{status}");
        assert!(status["transactions"]["server"].is_number(), "{status}");
        for number in ["started_at_unix", "at", "capacity", "ignored"] {
            assert!(status[number].is_number(), "{number} in {status}");
        }
        for word in ["incarnation", "capacity_bound_by"] {
            assert!(status[word].is_string(), "{word} in {status}");
        }
        let metrics = get(http, "/metrics").unwrap();
        assert_eq!(metrics.status, 200);
        let names = metric_names(&metrics.text());
        for name in [
            "holdline_build_info",
            "holdline_calls",
            "holdline_calls_answered_total",
        ] {
            assert!(names.contains(name), "{http} has no {name}");
        }
    }
    let trunk = get(rig.block.node_http(0), "/trunk").unwrap();
    let trunk: serde_json::Value = serde_json::from_slice(&trunk.body).unwrap();
    assert_eq!(trunk["instances"].as_array().map(Vec::len), Some(3));
}

/// Readiness follows the nodes: none alive, no new calls, yet the agent itself is healthy.
#[test]
fn an_agent_without_nodes_is_healthy_and_not_ready() {
    let mut rig = Rig::start().unwrap();
    for n in 0..3 {
        rig.kill_node(n).unwrap();
    }
    let http = rig.block.agent_http();
    let patience = std::time::Duration::from_secs(5);
    rig.wait("the agent is not ready", patience, || {
        Ok(get(http, "/readyz")?.status == 503)
    })
    .unwrap();
    assert_eq!(get(http, "/healthz").unwrap().status, 200);
}

/// What was accepted once and could not run: a clamp whose least is over its most, a living node that
/// looks dead, a task that dies of an overflow.
// spec: X50
#[test]
fn check_refuses_what_could_not_run() {
    let rig = Rig::start().unwrap();
    let text = std::fs::read_to_string(rig.config(AGENT)).unwrap();
    let said = |wrong: &str| {
        let bad = rig.dir().join("wrong.toml");
        std::fs::write(&bad, format!("{text}\n{wrong}\n")).unwrap();
        let mut command = Command::new(binary("holdline-agent").unwrap());
        command.arg("--config").arg(&bad).arg("--check");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    for (wrong, told) in [
        (
            "[health]\nmedia_silence = \"2s\"",
            "health.media_silence: expected 20ms to 1s, got 2s",
        ),
        (
            "[health]\nprobe_interval = \"750ms\"",
            "health.silence (1500ms by default): expected at least 4 times \
             health.probe_interval (750ms)",
        ),
        (
            // The file ends in its [[trunk]].
            "poll = \"17520h\"",
            "trunk[0].poll: expected 200ms to 24h, got 17520h",
        ),
        (
            "[health]\nsilence = \"1ms\"",
            "health.silence: expected 500ms to 30s, got 1ms",
        ),
    ] {
        let (code, said) = said(wrong);
        assert_eq!(code, Some(2), "{wrong}: {said}");
        assert!(said.contains(told), "{wrong}: {said}");
    }
    // What was meant is accepted, and what is derived from it scales.
    for right in [
        "[health]\nmedia_silence = \"300ms\"",
        "[health]\nprobe_interval = \"750ms\"\nsilence = \"3s\"",
        "poll = \"24h\"",
    ] {
        assert_eq!(said(right).0, Some(0), "{right}: {:?}", said(right));
    }
}

#[test]
fn check_names_file_line_and_key() {
    let rig = Rig::start().unwrap();
    for (name, program) in [
        (AGENT.to_owned(), "holdline-agent"),
        (node_name(0), "b2bua-node"),
    ] {
        let check = |path: &std::path::Path| {
            let mut command = Command::new(binary(program).unwrap());
            command.arg("--config").arg(path).arg("--check");
            command.output().unwrap()
        };
        let good = rig.config(&name);
        let output = check(&good);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = std::fs::read_to_string(&good).unwrap();
        let bad = rig.dir().join("misspelt.toml");
        std::fs::write(&bad, text.replace("[http]\nlisten", "[http]\nlissten")).unwrap();
        let output = check(&bad);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let line = 1 + text.lines().position(|line| line == "[http]").unwrap() + 1;
        let said = String::from_utf8_lossy(&output.stderr);
        let place = format!("{}:{line}:", bad.display());
        assert!(said.contains(&place) && said.contains("lissten"), "{said}");
    }
}
