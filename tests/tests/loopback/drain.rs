//! SIGTERM: what kubelet and systemd send once, before they kill.

use crate::{assert_all_kept, plan};
use holdline_tests::rig::{
    AGENT, Block, Error, Moment, NODES, Rig, Setup, Sig, build, get, node_name,
};
use std::time::{Duration, Instant};

/// For what takes milliseconds, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

fn start(nodes: usize, agent: &str, node: &str) -> Rig {
    build().unwrap();
    let adapt = |name: &str, text: String| text + if name == AGENT { agent } else { node };
    let setup = Setup {
        block: Block::unique().unwrap(),
        lan: None,
        adapt: &adapt,
        nodes,
    };
    Rig::start_as(setup).unwrap()
}

/// Waits until a program has ended by itself, and says how long that took; its exit code must be 0.
fn ended(rig: &Rig, name: &str) -> Result<Duration, Error> {
    let since = Instant::now();
    rig.wait(&format!("{name} has ended"), PATIENCE, || {
        Ok(!rig.household().is_running(name))
    })?;
    assert_eq!(rig.household().reap(name)?, Some(0));
    Ok(since.elapsed())
}

/// One SIGTERM to a node whose calls go on and on: they move when the node's time is over.
// spec: D34
#[test]
fn a_node_that_is_told_to_end_hands_its_calls_over_in_time() {
    let mut rig = start(NODES, "", "[drain]\ntimeout = \"1s\"\n");
    let report = rig.load(&plan(30, &[2], 6), |rig, moment| {
        if matches!(moment, Moment::Fault(_)) {
            let (node, calls) = rig.busiest()?;
            assert!(calls >= 10);
            let name = node_name(node);
            rig.household().signal(&name, Sig::Terminate)?;
            let http = rig.block.node_http(node);
            rig.wait("the node is not ready", PATIENCE, || {
                let page = get(http, "/readyz")?;
                Ok(page.status == 503 && page.text() == "draining\n")
            })?;
            let took = ended(rig, &name)?;
            println!("{name} with {calls} calls ended {took:?} after it was not ready any more");
            rig.wait("its calls have moved", PATIENCE, || {
                let status = rig.status()?;
                let moved = status.failovers.last().is_some_and(|f| f.moved == calls);
                Ok(moved && status.moving == 0)
            })?;
        }
        Ok(())
    });
    let report = report.unwrap();
    assert_all_kept(&report, 30);
    assert!(report.moved >= 10);
}

/// It waits for nothing but the agent's next probe, with whose answer the agent hears that it leaves:
/// nobody died.
// spec: D34
#[test]
fn a_node_without_calls_ends_when_the_agent_knows_and_is_not_dead() {
    let rig = start(1, "", "");
    let name = node_name(0);
    rig.wait("the agent probes it", PATIENCE, || {
        Ok(rig.status()?.trunk.nodes.iter().any(|n| n.state == "alive"))
    })
    .unwrap();
    rig.household().signal(&name, Sig::Terminate).unwrap();
    // Its drain may last 20 s.
    ended(&rig, &name).unwrap();
    rig.wait("the agent says that it has left", PATIENCE, || {
        let status = rig.status()?;
        let node = status.trunk.nodes.iter().find(|n| n.state == "left");
        Ok(node.is_some_and(|node| node.flaps == 0) && status.failovers.is_empty())
    })
    .unwrap();
}

/// Whoever sends calls to the agent has the grace to notice.
#[test]
fn an_agent_that_is_told_to_end_is_not_ready_first_and_ends_after_its_grace() {
    let rig = start(1, "[drain]\ngrace = \"1500ms\"\n", "");
    let told = Instant::now();
    rig.household().signal(AGENT, Sig::Terminate).unwrap();
    let http = rig.block.agent_http();
    let mut seen = 0;
    while told.elapsed() < Duration::from_millis(1200) {
        let page = get(http, "/readyz").expect("it is there during its grace");
        if page.status == 503 && page.text() == "draining\n" {
            seen += 1;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(seen > 5, "{seen}");
    ended(&rig, AGENT).unwrap();
    assert!(told.elapsed() >= Duration::from_millis(1500));
}

/// At its timeout the agent ends though calls are left, and says how many.
#[test]
fn an_agent_whose_calls_go_on_ends_at_its_timeout() {
    let mut rig = start(1, "[drain]\ngrace = \"0s\"\ntimeout = \"1s\"\n", "");
    let seen = rig.load(&plan(3, &[1], 1), |rig, moment| {
        if matches!(moment, Moment::Fault(_)) {
            rig.household().signal(AGENT, Sig::Terminate)?;
            ended(rig, AGENT)?;
            // Nothing that the callers could still do is of interest.
            return Err("seen".into());
        }
        Ok(())
    });
    assert_eq!(seen.unwrap_err().to_string(), "seen");
    let log = std::fs::read_to_string(rig.dir().join("agent.log")).unwrap();
    let told =
        |line: &str| line.contains("the drain has taken its time") && line.contains("\"calls\":3");
    assert!(log.lines().any(told), "{log}");
}

#[test]
fn a_stray_signal_does_no_harm() {
    let rig = start(1, "", "");
    for name in [AGENT, &node_name(0)] {
        for _ in 0..2 {
            rig.household().signal(name, Sig::User).unwrap();
        }
        let log = rig.dir().join(format!("{name}.log"));
        rig.wait("the signal is told of", PATIENCE, || {
            Ok(std::fs::read_to_string(&log)?.contains("SIGUSR1 received"))
        })
        .unwrap();
        assert!(rig.household().is_running(name));
    }
}
