//! What the agent and a node answer to each of our own torture messages: as their table says, and
//! as the documents ask or with a reason why not. Needs nothing beside the project.

use crate::far_end::FarEnd;
use crate::torture_table::{answers, open_node, open_rig};
use holdline_corpus::{Answer, Asks, torture};
use holdline_tests::rig::Error;

/// Nobody who clones the project has the messages of others: ours are enough to be worth it.
const AT_LEAST: usize = 60;

/// Both programs answer each message as the table says, and every row that differs from what its
/// document asks says why.
// spec: X40
#[test]
fn own_torture_messages_are_answered_as_their_table_says() -> Result<(), Error> {
    let all = torture();
    assert!(all.len() >= AT_LEAST, "{} messages", all.len());
    let messages: Vec<_> = all
        .iter()
        .map(|message| (message.name.clone(), message.bytes.clone()))
        .collect();
    let mut rig = open_rig()?;
    let _far = FarEnd::start(rig.block.callee())?;
    let answered = |name: &str, agent: bool| {
        let row = all.iter().find(|row| row.name == name);
        row.is_some_and(|row| Answer::Silence != if agent { row.agent } else { row.node })
    };
    let agent = rig.block.agent_sip();
    let agent = answers(&rig, agent, &messages, |name| answered(name, true))?;
    open_node(&mut rig)?;
    let node = rig.block.node_sip(0);
    let node = answers(&rig, node, &messages, |name| answered(name, false))?;
    rig.all_running()?;

    let mut wrong = Vec::new();
    for row in &all {
        let heard = [&agent, &node].map(|all| Answer::to(&row.bytes, all.get(&row.name).copied()));
        for (program, heard, said) in [("agent", heard[0], row.agent), ("node", heard[1], row.node)]
        {
            if heard != said {
                wrong.push(format!("{}: {program} {heard:?}, not {said:?}", row.name));
            }
        }
        let as_asked = heard.iter().all(|answer| row.asks.allow(*answer));
        if as_asked != row.differs.is_empty() {
            let asks: &Asks = &row.asks;
            wrong.push(format!("{}: {heard:?}, {} asks {asks:?}", row.name, row.of));
        }
    }
    assert!(
        wrong.is_empty(),
        "other answers than torture.toml says, or than its documents ask: {wrong:#?}"
    );
    println!("{} own torture messages answered as told", all.len());
    Ok(())
}
