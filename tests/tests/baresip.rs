//! baresip as the calling server and as the downstream user agent, PJSIP at the other end, real
//! nodes and the agent between them, `kill -9` in mid-call, and recordings searched for tones.

use holdline_tests::baresip::{Baresip, Setup};
use holdline_tests::pjsip::{self, Endpoint, Trace, now, sleep_until};
use holdline_tests::rig::{Block, Error, NODES, Rig};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// What baresip sends, Hz; what PJSIP sends, first and from 2 s after the kill on.
const BARESIP: u32 = 600;
const PJSIP: (u32, u32) = (440, 880);
const TONES: [u32; 3] = [BARESIP, PJSIP.0, PJSIP.1];
/// The share of a window that a tone must be to count as heard in it, as in `pjsip.rs`.
const CLEAR: f64 = 0.8;
const SOON: Duration = Duration::from_secs(10);
/// How often a call is placed anew to get it onto another node than the first.
const TRIES: usize = 20;
/// Between the first RTP ports of two rigs, and the first of all: below what Linux hands out.
const PORTS: u16 = 10;
const FIRST_PORT: u16 = 30_000;

/// A port for baresip's RTP that hardly anybody else has.
fn rtp_port(block: &Block) -> u16 {
    let IpAddr::V4(address) = block.caller().ip() else {
        return FIRST_PORT;
    };
    FIRST_PORT + PORTS * u16::from(address.octets()[2])
}

fn baresip(rig: &Rig, name: &str, answers: bool) -> Result<Baresip, Error> {
    let block = &rig.block;
    let setup = Setup {
        name: name.into(),
        address: if answers {
            block.callee()
        } else {
            block.caller()
        },
        rtp_port: rtp_port(block),
        tone: BARESIP,
        answers,
    };
    Baresip::start(rig.household(), rig.dir(), &setup)
}

fn pjsip(rig: &Rig, n: u16, answers: bool) -> Result<Endpoint, Error> {
    let mut address = if answers {
        rig.block.callee()
    } else {
        rig.block.caller()
    };
    address.set_port(address.port() + 2 * n);
    let setup = pjsip::Setup {
        name: format!("p{n}"),
        address,
        rtp_port: 40_000 + 200 * n,
        tone: PJSIP.0,
        answers,
    };
    Endpoint::start(&setup, rig.dir())
}

/// The node that has the only call, or the one that has more than `before`.
fn node_of_new(rig: &Rig, before: [usize; NODES]) -> Result<usize, Error> {
    let mut found = None;
    rig.wait("a node has the call", SOON, || {
        let after = calls_by_node(rig)?;
        found = (0..NODES).find(|&n| after[n] > before[n]);
        Ok(found.is_some())
    })?;
    found.ok_or_else(|| "no node".into())
}

fn calls_by_node(rig: &Rig) -> Result<[usize; NODES], Error> {
    let mut calls = [0; NODES];
    for node in rig.status()?.trunk.nodes {
        calls[rig.node_at(node.address).ok_or("an unknown node")?] = node.calls;
    }
    Ok(calls)
}

/// Whether a PJSIP endpoint hears baresip in the half second around a moment.
fn assert_pjsip_hears(near: &Endpoint, call: &str, moment: f64) -> Result<(), Error> {
    sleep_until(moment + 0.8);
    let heard = near.heard(call, &TONES, moment - 0.3, moment + 0.3)?;
    let share = heard.share(&BARESIP.to_string());
    assert!(
        share >= CLEAR,
        "PJSIP hears at {moment:.2}: {:?}",
        heard.runs
    );
    Ok(())
}

/// Whether baresip hears `tone` now.
fn assert_baresip_hears(baresip: &Baresip, tone: u32) -> Result<(), Error> {
    let heard = baresip.heard_last(&TONES, 0.6)?;
    let share = heard.share(&tone.to_string());
    assert!(share >= CLEAR, "baresip hears: {:?}", heard.runs);
    Ok(())
}

/// The node of a call that baresip has placed is killed: baresip notices nothing, both hear each
/// other, and the call can be held and hung up.
// spec: D1 X3 D24 X29
#[test]
fn a_call_of_baresip_survives_a_kill() -> Result<(), Error> {
    let mut rig = Rig::start()?;
    let mut trace = Trace::start(&[Ipv4Addr::LOCALHOST.into()], rig.dir())?;
    if trace.is_none() {
        eprintln!("SKIPPED: one SSRC, continuous numbers: packet sockets need root or CAP_NET_RAW");
    }
    let mut far = pjsip(&rig, 0, true)?;
    let mut near = baresip(&rig, "baresip-a", false)?;
    near.call(&format!("sip:d1@{}", rig.block.agent_sip()))?;
    let node = node_of_new(&rig, [0; NODES])?;
    let first = far.wait_incoming(0, "d1")?;
    assert_pjsip_hears(&far, &first, now() + 1.0)?;
    assert_baresip_hears(&near, PJSIP.0)?;

    let mark = near.mark();
    let killed = now();
    rig.kill_node(node)?;
    sleep_until(killed + 2.0);
    far.tone(PJSIP.1)?;
    assert_pjsip_hears(&far, &first, killed + 4.0)?;
    assert_baresip_hears(&near, PJSIP.1)?;
    let mut noticed = near.told().split_off(mark);
    noticed.retain(|told| !told.is("CALL_RTCP"));
    assert!(noticed.is_empty(), "baresip noticed: {noticed:?}");
    if let Some(trace) = &mut trace {
        let ports = rtp_port(&rig.block)..rtp_port(&rig.block) + PORTS;
        let flows = trace.report()?.into_values();
        let flows: Vec<_> = flows
            .filter(|flow| ports.contains(&flow.address.port()))
            .collect();
        assert_eq!(flows.len(), 1, "RTP to baresip: {flows:?}");
        let flow = &flows[0];
        assert!(flow.ssrcs.len() == 1 && flow.sources.len() == 1, "{flow:?}");
        assert!(
            flow.sequence_steps.is_empty() && flow.timestamp_steps.is_empty(),
            "{flow:?}"
        );
        let gaps = flow.gaps.iter().filter(|gap| gap.t > killed);
        let longest = gaps.map(|gap| gap.seconds).fold(0.0, f64::max);
        eprintln!(
            "RTP to baresip: longest gap {:.0} ms (0: 30 at most)",
            longest * 1e3
        );
    }

    let moved = far.replaced(&first).ok_or("the call has not moved")?;
    let second = moved.text("new").to_owned();
    let mark = far.script().mark();
    near.command("hold", "")?;
    far.wait_direction(mark, &second, "recvonly")?;
    let mark = far.script().mark();
    near.command("resume", "")?;
    far.wait_direction(mark, &second, "sendrecv")?;
    assert_pjsip_hears(&far, &first, now() + 1.0)?;
    let mark = far.script().mark();
    near.command("hangup", "")?;
    far.wait_state(mark, &second, "disconnected")?;
    rig.wait(
        "no call at the agent",
        SOON,
        || Ok(rig.status()?.calls == 0),
    )?;
    let story = &rig.status()?.failovers[0];
    assert_eq!((story.calls, story.moved, story.lost), (1, 1, 0));
    Ok(())
}

/// baresip has no Replaces. As long as its calls cannot be taken over without (spec: X32), the
/// call of the dead node ends, with the reason told to the calling server; the other goes on.
// spec: X33
#[test]
fn a_call_to_baresip_ends_with_its_node_and_no_other() -> Result<(), Error> {
    let mut rig = Rig::start()?;
    let mut far = baresip(&rig, "baresip-d", true)?;
    let uri = format!("sip:baresip-d@{}", rig.block.agent_sip());
    let (mut first, mut second) = (pjsip(&rig, 0, false)?, pjsip(&rig, 1, false)?);
    let doomed = first.call(&uri)?;
    let node = node_of_new(&rig, [0; NODES])?;
    let (safe, _) = place_elsewhere(&rig, &mut second, &uri, node)?;
    assert_pjsip_hears(&second, &safe, now() + 1.0)?;
    assert_eq!(far.calls()?, 2);

    let mark = first.script().mark();
    let killed = now();
    rig.kill_node(node)?;
    first.wait_state(mark, &doomed, "disconnected")?;
    let bye = |event: &pjsip::Event| event.is_sip("received", "BYE", None);
    let bye = first.script().wait(mark, SOON, "its BYE", bye)?;
    let reason = bye.text("reason");
    assert!(reason.contains("cause=420"), "{reason}");
    sleep_until(killed + 2.0);
    second.tone(PJSIP.1)?;
    assert_pjsip_hears(&second, &safe, killed + 3.0)?;
    assert_baresip_hears(&far, PJSIP.1)?;
    // spec: X27
    assert_eq!(far.calls()?, 1, "the first call is over there too");
    second.hangup(&safe)?;
    rig.wait(
        "no call at the agent",
        SOON,
        || Ok(rig.status()?.calls == 0),
    )?;
    let story = &rig.status()?.failovers[0];
    assert_eq!((story.calls, story.moved, story.lost), (1, 0, 1));
    assert_eq!(far.calls()?, 0);
    Ok(())
}

/// Places a call until it is on another node than `not`; its Call-ID and node.
fn place_elsewhere(
    rig: &Rig,
    near: &mut Endpoint,
    uri: &str,
    not: usize,
) -> Result<(String, usize), Error> {
    for _ in 0..TRIES {
        let before = calls_by_node(rig)?;
        let call = near.call(uri)?;
        let node = node_of_new(rig, before)?;
        if node != not {
            return Ok((call, node));
        }
        near.hangup(&call)?;
        rig.wait("the call is gone", SOON, || {
            Ok(calls_by_node(rig)? == before)
        })?;
    }
    Err(format!("all of {TRIES} calls are on node {not}").into())
}
