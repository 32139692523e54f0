//! SIPp as the calling server and as the downstream user agent, real nodes and the agent between
//! them, and a node killed in mid-call. A call that saw anything that its scenario does not expect
//! has failed, and SIPp says so in its exit status. It never reads RTP: what is heard is PJSIP's
//! and baresip's business.

use holdline_tests::rig::{Block, Error, Household, NODES, Rig};
use holdline_tests::sipp::{Calls, Setup, Sipp, Traced, Verdict};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);
/// How long a run may take from the moment that it should be over soon.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a conversation lasts: a node is killed in it and everything has moved before its end.
const TALK: Duration = Duration::from_secs(4);
const MEDIA_PORT: u16 = 40_000;

fn caller<'a>(block: &Block, scenario: &'a str, calls: Calls) -> Setup<'a> {
    Setup {
        name: "sipp-a",
        scenario,
        address: block.caller(),
        media_port: MEDIA_PORT,
        calls: Some(calls),
        instead: &[],
    }
}

fn callee<'a>(block: &Block, scenario: &'a str, instead: &'a [(&'a str, &'a str)]) -> Setup<'a> {
    Setup {
        name: "sipp-d",
        scenario,
        address: block.callee(),
        media_port: MEDIA_PORT,
        calls: None,
        instead,
    }
}

/// Every call went as its scenario says, and there were so many.
fn assert_all(verdict: &Verdict, calls: usize) {
    let counts = (verdict.status, verdict.successful, verdict.failed);
    assert_eq!(counts, (Some(0), calls as u64, 0), "{}", verdict.errors);
}

/// The requests of a kind that went one way.
fn requests<'a>(verdict: &'a Verdict, sent: bool, method: &str) -> Vec<&'a Traced> {
    let messages = verdict.messages.iter();
    messages
        .filter(|message| message.sent == sent && message.is_request(method))
        .collect()
}

/// Calls in progress, with SIPp at both ends.
struct Stage {
    rig: Rig,
    near: Sipp,
    far: Sipp,
}

impl Stage {
    /// Places `count` calls and waits until all are up.
    fn start(
        count: usize,
        near: &str,
        far: &str,
        instead: &[(&str, &str)],
    ) -> Result<Stage, Error> {
        let rig = Rig::start()?;
        let (household, dir, block) = (rig.household(), rig.dir(), &rig.block);
        let far = Sipp::start(household, dir, &callee(block, far, instead))?;
        let calls = Calls {
            to: block.agent_sip(),
            count,
            talk: TALK,
        };
        let near = Sipp::start(household, dir, &caller(block, near, calls))?;
        let stage = Stage { rig, near, far };
        stage.rig.wait("all calls are up", SOON, || {
            let nodes = stage.rig.status()?.trunk.nodes;
            let placed = nodes.iter().map(|node| node.calls).sum::<usize>();
            Ok(stage.up()? == count && placed == count)
        })?;
        // A node keeps a call before its ACK is through: one that is killed in between leaves the
        // far end waiting for it, which is another test's matter.
        stage.rig.wait("all calls are acknowledged", SOON, || {
            let messages = stage.far.messages()?;
            let acks = messages.iter().filter(|m| !m.sent && m.is_request("ACK"));
            Ok(acks.count() >= count)
        })?;
        Ok(stage)
    }

    /// Calls that the nodes keep.
    fn up(&self) -> Result<usize, Error> {
        let store = rusqlite::Connection::open(self.rig.dir().join("dialogs.db"))?;
        let count = "SELECT COUNT(*) FROM dialogs WHERE fate = 0";
        Ok(store.query_row(count, [], |row| row.get::<_, u32>(0))? as usize)
    }

    /// Kills the node with the most calls; who it was, and how many it had.
    fn kill_busiest(&mut self) -> Result<(SocketAddr, usize), Error> {
        let (node, calls) = self.rig.busiest()?;
        assert!(calls > 0, "no node has a call");
        self.rig.kill_node(node)?;
        Ok((self.rig.block.node_sip(node), calls))
    }

    /// Lets both ends finish: what the calling server and the downstream user agent say.
    fn finish(&self) -> Result<(Verdict, Verdict), Error> {
        let near = self.near.finish(PATIENCE)?;
        self.far.no_more()?;
        let far = self.far.finish(PATIENCE)?;
        self.rig.wait("no call at the agent", SOON, || {
            Ok(self.rig.status()?.calls == 0)
        })?;
        Ok((near, far))
    }
}

/// The scenarios alone: calls without Holdline, so that a fault above is not theirs.
#[test]
fn the_scenarios_go_together_without_holdline() -> Result<(), Error> {
    let block = Block::unique()?;
    let dir = std::env::temp_dir().join(format!("holdline-sipp-{}-{block}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let household = Household::new(&dir);
    let far = Sipp::start(&household, &dir, &callee(&block, "uas.xml", &[]))?;
    let calls = Calls {
        to: block.callee(),
        count: 3,
        talk: Duration::from_millis(200),
    };
    let near = Sipp::start(&household, &dir, &caller(&block, "uac.xml", calls))?;
    assert_all(&near.finish(PATIENCE)?, 3);
    far.no_more()?;
    assert_all(&far.finish(PATIENCE)?, 3);
    household.end_all();
    Ok(())
}

/// Calls of SIPp outlive their node: the calling server sees nothing of it, holds, takes back,
/// tells and hangs up as if nothing had been; the downstream user agent replaces its calls as
/// RFC 3891 says, with a BYE to the node that is no more.
// spec: D1 D3 X3 D24 X28
#[test]
fn calls_of_sipp_survive_a_kill() -> Result<(), Error> {
    const CALLS: usize = 12;
    let mut stage = Stage::start(CALLS, "uac.xml", "uas.xml", &[])?;
    let (dead, moved) = stage.kill_busiest()?;
    let (near, far) = stage.finish()?;
    assert_all(&near, CALLS);
    assert_all(&far, CALLS + moved);
    let asked = near.messages.iter().filter(|message| !message.sent);
    let asked: Vec<_> = asked
        .filter(|message| {
            message
                .text
                .lines()
                .next()
                .is_some_and(|line| line.ends_with("SIP/2.0"))
        })
        .collect();
    assert!(asked.is_empty(), "the calling server was asked: {asked:?}");

    let mut replacing = requests(&far, false, "INVITE");
    replacing.retain(|invite| invite.header("Replaces").is_some());
    assert_eq!(replacing.len(), moved);
    for invite in replacing {
        assert_eq!(
            invite.header("Require"),
            Some("replaces"),
            "{}",
            invite.text
        );
    }
    let byes = requests(&far, true, "BYE");
    assert_eq!(byes.len(), moved, "a BYE in each replaced dialog");
    for bye in byes {
        assert!(bye.text.contains(&dead.to_string()), "{}", bye.text);
    }
    let failovers = stage.rig.status()?.failovers;
    let stories: Vec<_> = failovers
        .iter()
        .map(|story| (story.node, story.calls, story.moved, story.lost))
        .collect();
    assert_eq!(stories, [(Some(dead), moved, moved, 0)]);
    assert_eq!(stage.up()?, 0, "records of calls that are over");
    assert_eq!(stage.rig.status()?.trunk.nodes.len(), NODES);
    Ok(())
}

/// Where the downstream user agent refuses Replaces, only the calls of the dead node end, each with
/// a BYE whose Reason says why (until calls can be taken over without Replaces: spec X32).
fn refused(refusal: &str, causes: &[&str]) -> Result<(), Error> {
    const CALLS: usize = 8;
    let instead = [("420 Bad Extension", refusal)];
    let mut stage = Stage::start(CALLS, "uac_told.xml", "uas_refuses.xml", &instead)?;
    let (dead, lost) = stage.kill_busiest()?;
    let (near, far) = stage.finish()?;
    assert_all(&near, CALLS);
    let told = requests(&near, false, "BYE");
    assert_eq!(told.len(), lost, "calls that were ended");
    for bye in told {
        let reason = bye.header("Reason").unwrap_or_default();
        let is_told = |cause: &&str| reason.contains(&format!("cause={cause};text="));
        assert!(causes.iter().any(is_told), "{}", bye.text);
    }
    assert_eq!(requests(&near, true, "BYE").len(), CALLS - lost);

    // Each INVITE with Replaces left the call that it named alone; a BYE of the survivor ends that
    // (spec: X27).
    assert_eq!((far.status, far.failed), (Some(0), 0), "{}", far.errors);
    // SIPp answers it at the dead node's address, so that it is repeated.
    let byes = requests(&far, false, "BYE");
    let ended: BTreeSet<_> = byes
        .iter()
        .filter_map(|bye| bye.header("Call-ID"))
        .collect();
    assert_eq!(ended.len(), CALLS);
    let mut replacing = requests(&far, false, "INVITE");
    replacing.retain(|invite| invite.header("Replaces").is_some());
    assert!(replacing.len() >= lost, "{} of {lost}", replacing.len());
    let story = &stage.rig.status()?.failovers[0];
    assert_eq!(
        (story.node, story.calls, story.moved),
        (Some(dead), lost, 0)
    );
    Ok(())
}

// spec: X33
#[test]
fn a_refusal_of_replaces_ends_only_its_call() -> Result<(), Error> {
    refused("420 Bad Extension", &["420"])
}

/// A far end that says so and then takes a BYE in the same dialog knows the call and replaces none:
/// the calling server hears 481, not that the far end had hung up.
// spec: X33
#[test]
fn an_unknown_dialog_at_the_far_end_ends_only_its_call() -> Result<(), Error> {
    refused("481 Call/Transaction Does Not Exist", &["481"])
}

/// SIPp's calls are given up while they ring.
#[test]
fn calls_of_sipp_are_cancelled() -> Result<(), Error> {
    const CALLS: usize = 4;
    let rig = Rig::start()?;
    let (household, dir, block) = (rig.household(), rig.dir(), &rig.block);
    let far = Sipp::start(household, dir, &callee(block, "uas_rings.xml", &[]))?;
    let calls = Calls {
        to: block.agent_sip(),
        count: CALLS,
        talk: Duration::from_millis(300),
    };
    let near = Sipp::start(household, dir, &caller(block, "uac_cancel.xml", calls))?;
    let near = near.finish(PATIENCE)?;
    assert_all(&near, CALLS);
    far.no_more()?;
    assert_all(&far.finish(PATIENCE)?, CALLS);
    rig.wait(
        "no call at the agent",
        SOON,
        || Ok(rig.status()?.calls == 0),
    )
}
