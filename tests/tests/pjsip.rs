//! Real endpoints: PJSIP as the calling server and as the downstream user agent, real nodes and
//! the agent between them, `kill -9` in mid-call, and ears: the far end's recordings are searched
//! for the tones that the near end sent after the kill.

use holdline_tests::pjsip::{Endpoint, Error, Flow, Setup, Trace, now, sleep_until};
use holdline_tests::rig::{Block, NODES, Rig};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Every tone that is sent, Hz: what is heard is looked for among them.
const TONES: [u32; 10] = [440, 880, 520, 700, 480, 760, 560, 820, 600, 1000];
/// What the callers send, first and from 2 s after the kill on.
const NEAR: [(u32, u32); 4] = [(440, 880), (520, 700), (480, 760), (560, 820)];
/// What the far end sends, likewise.
const FAR: (u32, u32) = (600, 1000);
/// The share of a window that a tone must be to count as heard in it. On a busy machine packets
/// come in bunches, and PJSIP's jitter buffer then drops or repeats a frame, which blurs two or
/// three 20 ms pieces of the tone; of the 30 pieces of a window five may be blurred so.
const CLEAR: f64 = 0.8;
/// Silence that D1 allows at most, seconds.
const MAX_SILENCE: f64 = 2.0;
const SOON: Duration = Duration::from_secs(5);
/// How often a call is placed anew to get it onto the node that is to die.
const TRIES: usize = 40;

/// A call with its caller.
struct Call {
    /// 1 for caller `a1` and user `d1` of the far end.
    name: usize,
    near: Endpoint,
    /// Its Call-ID there, from INVITE to BYE.
    id: String,
    /// The first of the far end's, and the one that is live there.
    far_first: String,
    far: String,
    tones: (u32, u32),
}

impl Call {
    /// Whether both ends hear `near` and `far` in the half second around a moment.
    fn assert_heard(&self, far: &Endpoint, moment: f64, tones: (u32, u32)) -> Result<(), Error> {
        let (from, to) = (moment - 0.3, moment + 0.3);
        let there = far.heard(&self.far_first, &TONES, from, to)?;
        let here = self.near.heard(&self.id, &TONES, from, to)?;
        for (heard, tone, who) in [(there, tones.0, "far"), (here, tones.1, "near")] {
            assert!(
                heard.share(&tone.to_string()) >= CLEAR,
                "the {who} end does not hear {tone} Hz at {moment:.2}: {:?}",
                heard.runs
            );
        }
        Ok(())
    }

    /// The same for what was said in the last half second.
    fn assert_both_hear(&self, far: &Endpoint, tones: (u32, u32)) -> Result<(), Error> {
        let moment = now() + 1.0;
        // PJSIP writes its recordings in pieces of a quarter of a second.
        sleep_until(moment + 0.8);
        self.assert_heard(far, moment, tones)
    }

    /// The longest silence at the far and at the near end between two moments, seconds.
    fn silences(&self, far: &Endpoint, from: f64, to: f64) -> Result<(f64, f64), Error> {
        let there = far.heard(&self.far_first, &TONES, from, to)?;
        let here = self.near.heard(&self.id, &TONES, from, to)?;
        Ok((there.longest("silence"), here.longest("silence")))
    }
}

/// Everything that takes part.
struct Stage {
    rig: Rig,
    far: Endpoint,
    trace: Option<Trace>,
}

impl Stage {
    fn start() -> Result<Stage, Error> {
        let rig = Rig::start()?;
        let trace = watch(&rig.block, rig.dir())?;
        let far = Endpoint::start(&far_end(rig.block.callee()), rig.dir())?;
        Ok(Stage { rig, far, trace })
    }

    /// Calls by node, as the agent counts them.
    fn calls_by_node(&self) -> Result<[usize; NODES], Error> {
        let mut calls = [0; NODES];
        for node in self.rig.status()?.trunk.nodes {
            let n = self.rig.node_at(node.address).ok_or("an unknown node")?;
            calls[n] = node.calls;
        }
        Ok(calls)
    }

    /// Waits until the agent has so many calls, and says which node has one more than `before`.
    fn settle(&self, calls: usize, before: [usize; NODES]) -> Result<Option<usize>, Error> {
        let mut after = before;
        self.rig.wait(&format!("{calls} calls"), SOON, || {
            after = self.calls_by_node()?;
            Ok(after.iter().sum::<usize>() == calls)
        })?;
        Ok((0..NODES).find(|&n| after[n] > before[n]))
    }

    /// Places the call of caller `n` through the agent; anew until it is on `node`, if one is
    /// given. The node that it is on.
    fn place(&mut self, n: usize, node: Option<usize>) -> Result<(Call, usize), Error> {
        let (caller, agent) = (self.rig.block.caller(), self.rig.block.agent_sip());
        let mut near = Endpoint::start(&near_end(n, caller), self.rig.dir())?;
        let user = format!("d{}", n + 1);
        for _ in 0..TRIES {
            let before = self.calls_by_node()?;
            let count = before.iter().sum::<usize>();
            let mark = self.far.script().mark();
            let id = near.call(&format!("sip:{user}@{agent}"))?;
            let far = self.far.wait_incoming(mark, &user)?;
            let on = self.settle(count + 1, before)?.ok_or("no node has it")?;
            if node.is_none_or(|node| node == on) {
                let call = Call {
                    name: n + 1,
                    near,
                    id,
                    far_first: far.clone(),
                    far,
                    tones: NEAR[n],
                };
                return Ok((call, on));
            }
            near.hangup(&id)?;
            self.far.wait_state(mark, &far, "disconnected")?;
            self.settle(count, before)?;
        }
        Err(format!("node {node:?} gets no call in {TRIES} tries").into())
    }

    /// Finds the calls that have replaced those of the far end, and checks what they say of
    /// themselves and that nothing else is live there.
    fn find_moved(&mut self, calls: &mut [Call]) -> Result<(), Error> {
        for call in calls.iter_mut() {
            let name = &call.name;
            let replaced = self.far.replaced(&call.far_first);
            let replaced = replaced.ok_or_else(|| format!("call {name} has not moved"))?;
            call.far = replaced.text("new").to_owned();
            // Who talks to whom is as before.
            let (from, to) = (replaced.text("remote"), replaced.text("local"));
            assert!(from.contains(&format!("sip:a{name}@")), "From: {from}");
            assert!(to.contains(&format!("sip:d{name}@")), "To: {to}");
        }
        let mut live = self.far.calls()?;
        let mut expected: Vec<_> = calls.iter().map(|call| call.far.clone()).collect();
        live.sort();
        expected.sort();
        assert_eq!(live, expected, "live calls at the far end");
        Ok(())
    }

    /// The direction that the INVITE with Replaces offered to the far end.
    fn offered(&mut self, call: &Call) -> String {
        let mut events = self.far.script().events(0).into_iter();
        let invite = events.find(|event| {
            event.is_sip("received", "INVITE", None)
                && event.text("call_id") == call.far
                && !event.text("replaces").is_empty()
        });
        invite.map_or_else(String::new, |event| event.text("sdp").to_owned())
    }

    /// Dialogs in the nodes' store that are live.
    fn live_records(&self) -> Result<i64, Error> {
        let store = rusqlite::Connection::open(self.rig.dir().join("dialogs.db"))?;
        let count = "SELECT COUNT(*) FROM dialogs WHERE fate = 0";
        Ok(store.query_row(count, [], |row| row.get(0))?)
    }

    /// The end that hears of it is waited for: `far` hangs up, or the caller.
    fn hang_up(&mut self, call: &mut Call, by_far: bool) -> Result<(), Error> {
        if by_far {
            let mark = call.near.script().mark();
            self.far.hangup(&call.far)?;
            call.near.wait_state(mark, &call.id, "disconnected")?;
        } else {
            let mark = self.far.script().mark();
            call.near.hangup(&call.id)?;
            self.far.wait_state(mark, &call.far, "disconnected")?;
        }
        Ok(())
    }

    /// Hold and unhold by the caller.
    fn hold_by_near(&mut self, call: &mut Call) -> Result<(), Error> {
        let mark = self.far.script().mark();
        call.near.hold(&call.id)?;
        self.far.wait_direction(mark, &call.far, "recvonly")?;
        let mark = self.far.script().mark();
        call.near.unhold(&call.id)?;
        self.far.wait_direction(mark, &call.far, "sendrecv")
    }

    /// Hold and unhold by the far end.
    fn hold_by_far(&mut self, call: &mut Call) -> Result<(), Error> {
        let mark = call.near.script().mark();
        self.far.hold(&call.far)?;
        call.near.wait_direction(mark, &call.id, "recvonly")?;
        let mark = call.near.script().mark();
        self.far.unhold(&call.far)?;
        call.near.wait_direction(mark, &call.id, "sendrecv")
    }
}

fn near_end(n: usize, mut address: SocketAddr) -> Setup {
    let step = u16::try_from(n).unwrap_or_default();
    address.set_port(address.port() + 2 * step);
    Setup {
        name: format!("a{}", n + 1),
        address,
        rtp_port: 40_000 + 200 * step,
        tone: NEAR[n].0,
        answers: false,
    }
}

fn far_end(address: SocketAddr) -> Setup {
    Setup {
        name: "d".into(),
        address,
        rtp_port: 42_000,
        tone: FAR.0,
        answers: true,
    }
}

fn watch(block: &Block, dir: &Path) -> Result<Option<Trace>, Error> {
    let trace = Trace::start(&[block.caller().ip(), block.callee().ip()], dir)?;
    if trace.is_none() {
        eprintln!("SKIPPED: one SSRC, continuous numbers: packet sockets need root or CAP_NET_RAW");
    }
    Ok(trace)
}

/// One source, one SSRC, one format, and numbers without a step.
fn assert_one_stream(flow: &Flow, name: &str) {
    assert!(flow.packets > 100, "{name}: {flow:?}");
    assert_eq!(flow.ssrcs.len(), 1, "{name}: {flow:?}");
    assert_eq!(flow.sources.len(), 1, "{name}: {flow:?}");
    assert_eq!(flow.payload_types, [0], "{name}: {flow:?}");
    assert!(flow.sequence_steps.is_empty(), "{name}: {flow:?}");
    assert!(flow.timestamp_steps.is_empty(), "{name}: {flow:?}");
}

/// What the calling server's phone was sent, from setup to now.
fn assert_unbroken(stage: &mut Stage, calls: &[Call], killed: f64) -> Result<(), Error> {
    let Some(trace) = &mut stage.trace else {
        return Ok(());
    };
    let flows = trace.report()?;
    for call in calls {
        let name = format!("RTP to caller {}", call.name);
        let flow = flows.get(&call.near.local_rtp(&call.id)?);
        let flow = flow.ok_or_else(|| format!("no {name}"))?;
        assert_one_stream(flow, &name);
        let moving = killed..killed + 3.0;
        let mut steps = flow.clock_steps.iter();
        assert!(
            !steps.any(|step| moving.contains(&step.t)),
            "{name}: the timestamp does not go with the time: {flow:?}"
        );
        let gaps = flow.gaps.iter().filter(|gap| moving.contains(&gap.t));
        let longest = gaps.map(|gap| gap.seconds).fold(0.0, f64::max);
        eprintln!(
            "{name}: longest gap {:.0} ms (0: 30 at most)",
            longest * 1e3
        );
    }
    Ok(())
}

/// The tools alone: a call without Holdline, so that a fault above is not theirs.
#[test]
fn the_endpoints_hear_each_other_without_holdline() -> Result<(), Error> {
    let block = Block::unique()?;
    let dir = std::env::temp_dir().join(format!("holdline-pjsip-{}-{block}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let mut trace = watch(&block, &dir)?;
    let mut far = Endpoint::start(&far_end(block.callee()), &dir)?;
    let mut near = Endpoint::start(&near_end(0, block.caller()), &dir)?;
    let id = near.call(&format!("sip:d1@{}", block.callee()))?;
    let mut call = Call {
        name: 1,
        far_first: id.clone(),
        far: far.wait_incoming(0, "d1")?,
        near,
        id,
        tones: NEAR[0],
    };
    call.assert_both_hear(&far, (call.tones.0, FAR.0))?;
    call.near.tone(call.tones.1)?;
    call.assert_both_hear(&far, (call.tones.1, FAR.0))?;
    if let Some(trace) = &mut trace {
        let flows = trace.report()?;
        assert_one_stream(&flows[&call.near.local_rtp(&call.id)?], "RTP to the caller");
    }
    let mark = far.script().mark();
    call.near.hold(&call.id)?;
    far.wait_direction(mark, &call.far, "recvonly")?;
    let held = now();
    sleep_until(held + 1.5);
    let heard = far.heard(&call.far, &TONES, held + 0.3, held + 1.0)?;
    assert!(heard.share("silence") >= CLEAR, "{:?}", heard.runs);
    assert_eq!(far.offers_received(&call.far).len(), 1);
    call.near.hangup(&call.id)?;
    assert_eq!(far.calls()?, Vec::<String>::new());
    drop((call, far, trace));
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Two calls through the node that is killed: one is watched for a minute and ended by its
/// caller, the other is ended by the far end.
// spec: D1 D3 X3 D24 X24a X28 X29
#[test]
fn calls_of_pjsip_survive_a_kill() -> Result<(), Error> {
    let mut stage = Stage::start()?;
    let (mut calls, node) = stage.place_two([0, 1])?;
    let killed = stage.kill(node, &mut calls)?;
    sleep_until(killed + 6.0);
    for call in &calls {
        call.assert_heard(&stage.far, killed + 5.0, (call.tones.1, FAR.1))?;
        let (far, near) = call.silences(&stage.far, killed - 0.5, killed + 4.5)?;
        let [far_ms, near_ms] = [far, near].map(|silence| silence * 1e3);
        let n = call.name;
        eprintln!("call {n}: silence {far_ms:.0} ms at the far end, {near_ms:.0} ms at the caller");
        assert!(far < MAX_SILENCE && near < MAX_SILENCE);
    }
    assert_unbroken(&mut stage, &calls, killed)?;

    let [watched, ended_by_far] = &mut calls;
    stage.end_from_far(ended_by_far)?;
    sleep_until(killed + 61.0);
    watched.assert_heard(&stage.far, killed + 60.0, (watched.tones.1, FAR.1))?;
    let (far, near) = watched.silences(&stage.far, killed + 3.0, killed + 60.0)?;
    assert!(
        far < 0.2 && near < 0.2,
        "silence later: {far:.2} s at the far end, {near:.2} s at the caller"
    );
    assert_eq!(watched.near.offers_received(&watched.id).len(), 0);
    assert_unbroken(&mut stage, std::slice::from_ref(watched), killed)?;
    stage.hold_by_near(watched)?;
    stage.hold_by_far(watched)?;
    watched.assert_both_hear(&stage.far, (watched.tones.1, FAR.1))?;
    stage.hang_up(watched, false)?;
    stage.assert_over(calls.len())
}

/// Two calls on hold when their node is killed, one by its caller, one by the far end: they stay
/// so, and each is taken back by the one who held it.
// spec: X27 X24a
#[test]
fn holds_of_pjsip_survive_a_kill() -> Result<(), Error> {
    let mut stage = Stage::start()?;
    let (mut calls, node) = stage.place_two([2, 3])?;
    stage.put_on_hold(&mut calls)?;
    let killed = stage.kill(node, &mut calls)?;
    sleep_until(killed + 3.0);
    let [held_by_near, held_by_far] = &mut calls;
    stage.take_back_by_near(held_by_near)?;
    stage.take_back_by_far(held_by_far)?;
    stage.assert_over(calls.len())
}

/// The parts of the story above.
impl Stage {
    /// Two calls on the same node, with audio both ways; that node.
    fn place_two(&mut self, callers: [usize; 2]) -> Result<([Call; 2], usize), Error> {
        let (first, node) = self.place(callers[0], None)?;
        let (second, _) = self.place(callers[1], Some(node))?;
        let calls = [first, second];
        for call in &calls {
            call.assert_both_hear(&self.far, (call.tones.0, FAR.0))?;
        }
        assert_eq!(self.live_records()?, 2);
        Ok((calls, node))
    }

    /// Kills the node; 2 s later every end changes its tone, and all calls must have moved.
    fn kill(&mut self, node: usize, calls: &mut [Call]) -> Result<f64, Error> {
        let killed = now();
        self.rig.kill_node(node)?;
        sleep_until(killed + 2.0);
        for call in calls.iter_mut() {
            call.near.tone(call.tones.1)?;
        }
        self.far.tone(FAR.1)?;
        self.find_moved(calls)?;
        assert_eq!(self.live_records()?, 2);
        // The far end ends what was replaced, towards a node that is no more: that ends no call.
        let dead = self.rig.block.node_sip(node).to_string();
        for call in calls.iter() {
            let events = self.far.script().events(0);
            let mut byes = events
                .iter()
                .filter(|event| event.is_sip("sent", "BYE", None));
            let bye = byes.find(|event| event.text("call_id") == call.far_first);
            assert_eq!(bye.map(|bye| bye.text("peer")), Some(dead.as_str()));
        }
        Ok(killed)
    }

    /// The first call by its caller, the second by the far end.
    fn put_on_hold(&mut self, [first, second]: &mut [Call; 2]) -> Result<(), Error> {
        let mark = self.far.script().mark();
        first.near.hold(&first.id)?;
        self.far.wait_direction(mark, &first.far, "recvonly")?;
        let mark = second.near.script().mark();
        self.far.hold(&second.far)?;
        second.near.wait_direction(mark, &second.id, "recvonly")
    }

    fn end_from_far(&mut self, call: &mut Call) -> Result<(), Error> {
        assert_eq!(call.near.offers_received(&call.id).len(), 0);
        self.hold_by_far(call)?;
        self.hold_by_near(call)?;
        call.assert_both_hear(&self.far, (call.tones.1, FAR.1))?;
        self.hang_up(call, true)
    }

    fn take_back_by_near(&mut self, call: &mut Call) -> Result<(), Error> {
        assert_eq!(self.offered(call), "sendonly");
        assert_eq!(self.far.direction(&call.far), "recvonly");
        assert_eq!(call.near.direction(&call.id), "sendonly");
        assert_eq!(call.near.offers_received(&call.id).len(), 0);
        let mark = self.far.script().mark();
        call.near.unhold(&call.id)?;
        self.far.wait_direction(mark, &call.far, "sendrecv")?;
        call.assert_both_hear(&self.far, (call.tones.1, FAR.1))?;
        self.hang_up(call, false)
    }

    fn take_back_by_far(&mut self, call: &mut Call) -> Result<(), Error> {
        assert_eq!(self.offered(call), "recvonly");
        assert_eq!(self.far.direction(&call.far), "sendonly");
        assert_eq!(call.near.direction(&call.id), "recvonly");
        let own_hold = call.near.offers_received(&call.id).len();
        assert_eq!(own_hold, 1, "the hold before the kill, and nothing since");
        let mark = call.near.script().mark();
        self.far.unhold(&call.far)?;
        call.near.wait_direction(mark, &call.id, "sendrecv")?;
        call.assert_both_hear(&self.far, (call.tones.1, FAR.1))?;
        self.hang_up(call, true)
    }

    /// Nothing is left anywhere, and the agent tells one story.
    fn assert_over(&mut self, moved: usize) -> Result<(), Error> {
        assert_eq!(self.far.calls()?, Vec::<String>::new());
        self.rig
            .wait("no call at the agent, no record in the store", SOON, || {
                Ok(self.rig.status()?.calls == 0 && self.live_records()? == 0)
            })?;
        let failovers = self.rig.status()?.failovers;
        assert_eq!(failovers.len(), 1, "{failovers:?}");
        let story = &failovers[0];
        let counts = (story.calls, story.moved, story.lost);
        assert_eq!(counts, (moved, moved, 0), "{story:?}");
        Ok(())
    }
}
