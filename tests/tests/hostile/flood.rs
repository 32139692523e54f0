//! Floods of OPTIONS and INVITE, from strangers and from those who may call, while calls run.

use crate::gauge::{Metrics, Program, assert_healthy, programs, resident};
use crate::sender::Sender;
use crate::{assert_unharmed, plan};
use holdline_tests::rig::{AGENT, Block, Error, Moment, Rig, build, node_name};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Packets of one flood, as fast as they leave.
const FLOOD: usize = 20_000;
/// The branches of a flood.
const BRANCH: &str = "z9hG4bKflood";
const CALLS: u32 = 20;
/// The agent's `sip.max_calls`.
const MAX_CALLS: usize = 40;
/// The flooded node's `node.capacity`.
const CAPACITY: usize = 60;
/// How long listeners are listened to: all floods come meanwhile.
const AFTER: u64 = 20;
/// How long a program has to work off what waits in its socket.
const WORKED_OFF: Duration = Duration::from_secs(20);
/// How long a call of a flood may live: until its answer is acknowledged or given up.
const ENDED: Duration = Duration::from_secs(40);
/// What a program may hold beyond what it held before, MiB: 40,000 transactions of 1 KB and what
/// belongs to them, for 32 s.
const BOUND: u64 = 256;

/// One flood: who sends what to whom.
struct Flood<'a> {
    method: &'static str,
    program: &'a Program,
    source: IpAddr,
}

/// What it did.
struct Outcome {
    sender: Sender,
    before: Metrics,
    after: Metrics,
    most_calls: u64,
}

impl Outcome {
    fn grew(&self, name: &str) -> u64 {
        self.after.sum(name) - self.before.sum(name)
    }

    fn grew_by_label(&self, name: &str, label: &str, value: &str) -> u64 {
        self.after.labelled(name, label, value) - self.before.labelled(name, label, value)
    }

    /// Requests that a program says it got no room for, in the kernel or in its tables.
    fn dropped(&self) -> u64 {
        self.grew("sip_receive_drops_total")
    }
}

impl Flood<'_> {
    fn request(&self, number: usize, via: std::net::SocketAddr) -> Vec<u8> {
        let Flood {
            method, program, ..
        } = self;
        let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                   m=audio 9 RTP/AVP 8\r\n";
        format!(
            "{method} sip:flood@{} SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch={BRANCH}{number};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:flood@{via}>;tag=f{number}\r\nTo: <sip:flood@{}>\r\n\
             Call-ID: {method}-{number}@{via}\r\nCSeq: 1 {method}\r\nContact: <sip:{via}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            program.sip,
            program.sip,
            sdp.len()
        )
        .into_bytes()
    }

    /// Sends it at full speed and waits until the program has taken what reached it.
    fn run(&self, rig: &Rig) -> Result<Outcome, Error> {
        let Program { name, sip, http } = self.program;
        let mut sender = Sender::new(BRANCH, FLOOD);
        let via = sender.open(self.source)?;
        let before = Metrics::read(*http)?;
        let start = Instant::now();
        for number in 0..FLOOD {
            sender.send(self.source, *sip, &self.request(number, via))?;
            // Our own socket would drop what comes back.
            if number % 64 == 0 {
                sender.read();
            }
        }
        let took = start.elapsed();
        let mut most_calls = 0;
        let mut after = Metrics::read(*http)?;
        rig.wait(
            &format!("{name} has worked off a flood"),
            WORKED_OFF,
            || {
                sender.read();
                after = Metrics::read(*http)?;
                most_calls = most_calls.max(after.sum("calls"));
                let arrived = |m: &Metrics| {
                    m.sum("sip_datagrams_received_total") + m.sum("sip_receive_drops_total")
                };
                Ok(arrived(&after) - arrived(&before) >= FLOOD as u64)
            },
        )?;
        std::thread::sleep(Duration::from_millis(300));
        sender.read();
        let outcome = Outcome {
            sender,
            before,
            after: Metrics::read(*http)?,
            most_calls,
        };
        println!(
            "{FLOOD} {} from {} to {name} in {} ms: told {:?}, dropped {}, ignored {}, refused {}",
            self.method,
            self.source,
            took.as_millis(),
            outcome.sender.told(),
            outcome.dropped(),
            outcome.grew("sip_ignored_total"),
            outcome.grew("calls_refused_total"),
        );
        assert_healthy(rig)?;
        Ok(outcome)
    }
}

/// Nobody who is not let in gets a word, and each packet is in some counter.
fn from_strangers(rig: &Rig, program: &Program) -> Result<(), Error> {
    for method in ["OPTIONS", "INVITE"] {
        let source = rig.block.stranger();
        let flood = Flood {
            method,
            program,
            source,
        };
        let outcome = flood.run(rig)?;
        assert_eq!(outcome.sender.told()[&0], FLOOD, "a stranger was answered");
        let counted = outcome.grew("sip_ignored_total") + outcome.dropped();
        assert!(counted >= FLOOD as u64, "{counted} of {FLOOD} are counted");
    }
    Ok(())
}

/// Whoever may call is answered: OPTIONS by 200, an INVITE by what there is room for.
fn from_a_peer(rig: &Rig, program: &Program, source: IpAddr) -> Result<(), Error> {
    let flood = |method| Flood {
        method,
        program,
        source,
    };
    let outcome = flood("OPTIONS").run(rig)?;
    let answered = outcome.sender.told().get(&200).copied().unwrap_or_default();
    let lost = outcome.dropped() + outcome.grew("sip_ignored_total");
    assert!(
        answered as u64 + lost >= FLOOD as u64 * 9 / 10,
        "{answered} answered, {lost} lost"
    );

    let outcome = flood("INVITE").run(rig)?;
    let refused = outcome.grew_by_label("calls_refused_total", "status", "503");
    let told = outcome.sender.told().get(&503).copied().unwrap_or_default();
    println!("at most {} calls at {}", outcome.most_calls, program.name);
    let limit = if program.name == AGENT {
        MAX_CALLS
    } else {
        CAPACITY
    };
    assert!(outcome.most_calls <= limit as u64);
    assert!(refused > 0 && told > 0, "{refused} refused, {told} told so");
    Ok(())
}

/// The calls of a flood end, the others stay.
fn calls_are_left(rig: &Rig, program: &Program, calls: u64) -> Result<(), Error> {
    let what = format!("{} has no call of a flood any more", program.name);
    rig.wait(&what, ENDED, || {
        Ok(Metrics::read(program.http)?.sum("calls") <= calls)
    })
}

/// Starts the first node again with room for few calls.
fn narrow_node(rig: &mut Rig) -> Result<(), Error> {
    let config = rig.config(&node_name(0));
    let text = std::fs::read_to_string(&config)?;
    let narrow = text.replace("capacity = 500", &format!("capacity = {CAPACITY}"));
    assert_ne!(narrow, text);
    rig.kill_node(0)?;
    std::fs::write(&config, narrow)?;
    rig.start_node(0)?;
    // The agent has to miss it first: by its incarnation it knows that it is another one.
    std::thread::sleep(Duration::from_millis(500));
    rig.wait_all_alive()
}

/// Strangers and peers flood agent and node with OPTIONS and INVITE: the calls that run hear
/// nothing of it and can be ended, tables and memory stay bounded, each refusal is counted.
// spec: X40
#[test]
fn floods_harm_no_running_call() {
    build().unwrap();
    let narrow = |text: String| {
        let allow = "[sip]\n";
        text.replace(allow, &format!("{allow}max_calls = {MAX_CALLS}\n"))
    };
    let mut rig = Rig::start_at(Block::unique().unwrap(), narrow).unwrap();
    narrow_node(&mut rig).unwrap();
    let report = rig.load(&plan(CALLS, AFTER), |rig, moment| {
        match moment {
            Moment::AllUp { failed } => assert_eq!(failed, 0),
            Moment::Fault(_) => {
                let [agent, node, ..] = &programs(rig)[..] else {
                    return Err("no programs".into());
                };
                let before = [agent, node].map(|program| resident(rig, &program.name));
                for program in [agent, node] {
                    from_strangers(rig, program)?;
                }
                from_a_peer(rig, agent, rig.block.caller().ip())?;
                from_a_peer(rig, node, rig.block.agent_sip().ip())?;
                for (program, before) in [agent, node].into_iter().zip(before) {
                    let now = resident(rig, &program.name);
                    println!("{}: {now} MiB, was {before}", program.name);
                    assert!(now < before + BOUND, "{}", program.name);
                }
                calls_are_left(rig, agent, u64::from(CALLS))?;
                calls_are_left(rig, node, u64::from(CALLS))?;
            }
            Moment::Observed => assert_healthy(rig)?,
        }
        Ok(())
    });
    assert_unharmed(&report.unwrap(), CALLS as usize);
}
