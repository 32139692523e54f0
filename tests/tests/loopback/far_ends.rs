//! Far ends that bear less than a well-made phone.

use crate::{assert_all_kept, plan};
use holdline_tests::rig::{AGENT, Block, Error, Moment, NODES, Report, Rig, Setup, build, get};

/// What an Asterisk does, measured: it answers INVITEs with Replaces before it has moved the call,
/// and some dozens of them at a time stop it for good. This one is stopped by three.
const ASTERISK: [&str; 6] = [
    "--replaces-delay",
    "4ms",
    "--callee-moving",
    "100ms",
    "--freeze-beyond",
    "2",
];

/// So many calls, and the busiest node is killed; the value of a counter of the agent.
fn kill_the_busiest(rig: &mut Rig, calls: u32, more: &[&str]) -> Result<(Report, f64), Error> {
    let mut early = None;
    let agent = rig.block.agent_sip();
    let report = rig.load_with(agent, &plan(calls, &[3], 8), more, |rig, moment| {
        match moment {
            Moment::AllUp { failed } => assert_eq!(failed, 0),
            Moment::Fault(_) => {
                let (node, _) = rig.busiest()?;
                rig.kill_node(node)?;
            }
            Moment::Observed => early = Some(hangups_after_move(rig)?),
        }
        Ok(())
    })?;
    Ok((report, early.ok_or("the agent was not asked")?))
}

fn hangups_after_move(rig: &Rig) -> Result<f64, Error> {
    let text = get(rig.block.agent_http(), "/metrics")?.text();
    let value = |line: &str| {
        let rest = line.strip_prefix("holdline_hangups_after_move_total");
        rest?.rsplit_once(' ')?.1.parse().ok()
    };
    text.lines()
        .find_map(value)
        .ok_or_else(|| "no such counter".into())
}

// spec: X57, X28
#[test]
fn an_asterisk_is_asked_one_at_a_time_and_all_calls_move() {
    let mut rig = Rig::start().unwrap();
    let server = ["--callee-server", "Asterisk PBX 22.1.0"];
    let more = [&server[..], &ASTERISK[..]].concat();
    let (report, early) = kill_the_busiest(&mut rig, 130, &more).unwrap();
    assert_all_kept(&report, 130);
    assert!(report.moved > 40, "{} moved", report.moved);
    assert!(
        early < 0.5,
        "{early} calls were hung up just after their move"
    );
}

/// It does not say who it is: the operator does.
// spec: X57
#[test]
fn the_operators_number_bounds_what_a_far_end_is_asked() {
    build().unwrap();
    let mut rig = Rig::start_as(Setup {
        block: Block::unique().unwrap(),
        lan: None,
        adapt: &|name, text| match name {
            AGENT => text,
            _ => text.replace("\n\n[store]", "\nreplaces_in_flight = 2\n\n[store]"),
        },
        nodes: NODES,
    })
    .unwrap();
    let (report, _) = kill_the_busiest(&mut rig, 60, &ASTERISK).unwrap();
    assert_all_kept(&report, 60);
}

/// Nothing bounds this one, but its old dialogs must be left alone for a moment.
// spec: X28
#[test]
fn a_far_end_that_answers_before_it_has_moved_the_call_keeps_it() {
    let mut rig = Rig::start().unwrap();
    let more = ["--callee-moving", "100ms"];
    let (report, early) = kill_the_busiest(&mut rig, 60, &more).unwrap();
    assert_all_kept(&report, 60);
    assert!(
        early < 0.5,
        "{early} calls were hung up just after their move"
    );
}
