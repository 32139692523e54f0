//! The agent is killed, or the calling server: their calls end at the far end. Both ends are small
//! phones of the test's own.

use crate::no_node::Phone;
use holdline_tests::rig::{AGENT, Block, NODES, Rig, Setup, Sig, build, get, node_name};
use holdline_tests::ua::{In, Placement};
use holdline_wire::Time;
use holdline_wire::machine::Input;
use std::time::{Duration, Instant};

const CALLS: u32 = 5;
/// Far longer than `upstream.lost_after` and all that comes before it.
const PATIENCE: Duration = Duration::from_secs(60);
const FRAME: Duration = Duration::from_millis(20);

/// Both ends of the calls, and the programs between them.
struct World {
    rig: Rig,
    /// The calling server, until it dies.
    caller: Option<Phone>,
    callee: Phone,
    start: Instant,
    frames: u32,
}

impl World {
    /// All calls are up, and both ends speak in each of them.
    fn start() -> World {
        build().unwrap();
        let adapt = |name: &str, text: String| match name {
            AGENT => text,
            _ => text.replace("[upstream]\n", "[upstream]\nlost_after = \"5s\"\n"),
        };
        let rig = Rig::start_as(Setup {
            block: Block::unique().unwrap(),
            lan: None,
            adapt: &adapt,
            nodes: NODES,
        });
        let rig = rig.unwrap();
        let mut world = World {
            caller: Some(Phone::new(rig.block.caller(), 0x11)),
            callee: Phone::new(rig.block.callee(), 0x22),
            start: Instant::now(),
            frames: 0,
            rig,
        };
        let host = world.rig.block.caller().to_string();
        let agent = world.rig.block.agent_sip();
        for call in 1..=CALLS {
            let placement = Placement::new(call, &host, agent);
            let now = world.now();
            let caller = world.caller.as_mut().unwrap();
            caller.turn(now, Some(Input::Other(In::Call(placement))));
        }
        world.until("all calls are up", |world| world.up() == CALLS as usize);
        world.go_on(Duration::from_secs(2));
        world
    }

    fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    /// Calls that are up at the far end.
    fn up(&self) -> usize {
        (1..=CALLS)
            .filter(|call| self.callee.ua.is_up(*call))
            .count()
    }

    fn turn(&mut self) {
        let (now, due) = (self.now(), self.start.elapsed() >= FRAME * self.frames);
        self.frames += u32::from(due);
        for phone in self.caller.iter_mut().chain([&mut self.callee]) {
            if due {
                phone.speak();
            }
            phone.turn(now, None);
        }
        std::thread::sleep(Duration::from_millis(1));
    }

    /// Goes on until `done`; how long that took.
    fn until(&mut self, what: &str, mut done: impl FnMut(&World) -> bool) -> Duration {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
            self.turn();
        }
        start.elapsed()
    }

    fn go_on(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.until("time has passed", |_| Instant::now() >= end);
    }

    /// The calls of all nodes together, by their own count.
    fn calls_of_nodes(&self) -> u64 {
        let calls = |n| {
            let page = get(self.rig.block.node_http(n), "/status").unwrap();
            let page: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
            page["calls"].as_u64().unwrap()
        };
        (0..NODES).map(calls).sum()
    }
}

// spec: X27, X42
#[test]
fn the_calls_of_an_agent_that_was_killed_end_at_the_far_end_and_draining_nodes_end() {
    let mut world = World::start();
    world.rig.kill_agent().unwrap();
    for n in 0..NODES {
        world.rig.signal(&node_name(n), Sig::Terminate).unwrap();
    }
    world.go_on(Duration::from_secs(3));
    assert_eq!(world.up(), CALLS as usize, "it may come back");
    let took = world.until("the far end knows no call", |world| world.up() == 0);
    println!("{CALLS} calls ended {took:?} later");
    world.until("every node has ended", |world| {
        (0..NODES).all(|n| !world.rig.is_running(&node_name(n)))
    });
}

// spec: X27, X42
#[test]
fn the_calls_of_an_agent_that_was_restarted_end_at_the_far_end() {
    let mut world = World::start();
    world.rig.kill_agent().unwrap();
    world.rig.start_agent().unwrap();
    let took = world.until("the far end knows no call", |world| world.up() == 0);
    println!("{CALLS} calls ended {took:?} after the new process was ready");
    world.until("no node has a call", |world| world.calls_of_nodes() == 0);
}

// spec: X27
#[test]
fn the_calls_of_a_calling_server_that_was_killed_end_at_the_far_end() {
    let mut world = World::start();
    world.caller = None;
    let took = world.until("the far end knows no call", |world| world.up() == 0);
    println!("{CALLS} calls ended {took:?} after the calling server");
    world.until("the agent has no call", |world| {
        world.rig.status().unwrap().calls == 0
    });
    world.until("no node has a call", |world| world.calls_of_nodes() == 0);
}
