//! Attended transfers of real endpoints through the agent and its nodes: each side names the
//! dialog that it knows, and the one who has to find it knows another.

use holdline_tests::pjsip::{Endpoint, Error, Setup, now, sleep_until};
use holdline_tests::rig::{NODES, Rig};
use std::net::SocketAddr;
use std::time::Duration;

/// What the parties send, Hz: the phones of the calling server, and the far end.
const TONES: [u32; 3] = [440, 700, 1000];
/// The share of a window that a tone must be to count as heard (see `pjsip.rs`).
const CLEAR: f64 = 0.8;
const SOON: Duration = Duration::from_secs(5);
/// How often a call is placed anew to get it onto another node.
const TRIES: usize = 40;

/// Phone `n` of the calling server.
fn phone(rig: &Rig, n: u16) -> Result<Endpoint, Error> {
    let mut address = rig.block.caller();
    address.set_port(address.port() + 2 * n);
    let setup = Setup {
        name: format!("a{}", n + 1),
        address,
        rtp_port: 40_000 + 200 * n,
        tone: TONES[usize::from(n)],
        answers: n == 1,
    };
    Endpoint::start(&setup, rig.dir())
}

fn far_end(rig: &Rig) -> Result<Endpoint, Error> {
    let setup = Setup {
        name: "d".into(),
        address: rig.block.callee(),
        rtp_port: 42_000,
        tone: TONES[2],
        answers: true,
    };
    Endpoint::start(&setup, rig.dir())
}

/// Which nodes have calls, once the agent has so many.
fn busy_nodes(rig: &Rig, calls: usize) -> Result<Vec<SocketAddr>, Error> {
    let mut busy = Vec::new();
    rig.wait(&format!("{calls} calls"), SOON, || {
        let nodes = rig.status()?.trunk.nodes;
        let all = nodes.iter().map(|node| node.calls).sum::<usize>();
        busy = nodes
            .iter()
            .filter(|node| node.calls > 0)
            .map(|node| node.address)
            .collect();
        Ok(all == calls)
    })?;
    Ok(busy)
}

/// Two calls of one phone to the far end, each on a node of its own: their Call-IDs at the phone
/// and at the far end.
fn two_calls(
    rig: &Rig,
    near: &mut Endpoint,
    far: &mut Endpoint,
) -> Result<[(String, String); 2], Error> {
    let agent = rig.block.agent_sip();
    let mark = far.script().mark();
    let first = near.call(&format!("sip:d1@{agent}"))?;
    let first_far = far.wait_incoming(mark, "d1")?;
    busy_nodes(rig, 1)?;
    for _ in 0..TRIES {
        let mark = far.script().mark();
        let second = near.call(&format!("sip:d2@{agent}"))?;
        let second_far = far.wait_incoming(mark, "d2")?;
        if busy_nodes(rig, 2)?.len() == 2 {
            return Ok([(first, first_far), (second, second_far)]);
        }
        near.hangup(&second)?;
        far.wait_state(mark, &second_far, "disconnected")?;
        busy_nodes(rig, 1)?;
    }
    Err(format!("two calls on one of {NODES} nodes, {TRIES} times").into())
}

/// A phone hands its call over to another one: that one's INVITE with Replaces comes to the agent
/// and names the dialog between the first and the agent.
// spec: D32
#[test]
fn a_phone_takes_over_the_call_of_another() -> Result<(), Error> {
    let rig = Rig::start()?;
    let mut far = far_end(&rig)?;
    // The second one answers by itself.
    let (mut first, _second) = (phone(&rig, 0)?, phone(&rig, 1)?);
    let call = first.call(&format!("sip:d1@{}", rig.block.agent_sip()))?;
    let at_far = far.wait_incoming(0, "d1")?;
    let mut colleague = rig.block.caller();
    colleague.set_port(colleague.port() + 2);
    let consult = first.call(&format!("sip:a2@{colleague}"))?;

    let (of_first, of_far) = (first.script().mark(), far.script().mark());
    first.transfer(&consult, &call)?;
    // The far end's call with the first is replaced, and the first phone is told that it is over.
    first.wait_state(of_first, &call, "disconnected")?;
    far.wait_state(of_far, &at_far, "disconnected")?;
    let replaced = far
        .replaced(&at_far)
        .ok_or("the far end replaced no call")?;
    let new_far = replaced.text("new").to_owned();
    assert_eq!(far.calls()?, std::slice::from_ref(&new_far));

    let moment = now() + 1.5;
    sleep_until(moment + 0.8);
    let (from, to) = (moment - 0.3, moment + 0.3);
    let there = far.heard(&at_far, &TONES, from, to)?;
    assert!(there.share("700") >= CLEAR, "far: {:?}", there.runs);

    far.hangup(&new_far)?;
    rig.wait("no call", SOON, || Ok(rig.status()?.calls == 0))
}

/// A phone refers the far end of one call to the far end of another; the nodes of the two differ,
/// so the one that carries the REFER learns of the other dialog from the store.
// spec: D32
#[test]
fn a_phone_connects_its_two_far_ends() -> Result<(), Error> {
    let rig = Rig::start()?;
    let mut far = far_end(&rig)?;
    let mut near = phone(&rig, 0)?;
    let [(first, first_far), (second, second_far)] = two_calls(&rig, &mut near, &mut far)?;
    let (of_near, of_far) = (near.script().mark(), far.script().mark());
    near.transfer(&first, &second)?;
    near.wait_state(of_near, &second, "disconnected")?;
    far.wait_state(of_far, &second_far, "disconnected")?;
    // It called itself: the two parties now talk to each other, without us.
    let replaced = far.replaced(&second_far).ok_or("no call was replaced")?;
    assert_ne!(replaced.text("new"), first_far);
    near.hangup(&first)?;
    rig.wait("no call", SOON, || Ok(rig.status()?.calls == 0))
}
