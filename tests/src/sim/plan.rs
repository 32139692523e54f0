//! What a seed draws: the calls, what they do and when, and the disaster.

use super::draw::Draw;
use crate::ua::CallNumber;
use holdline_wire::Time;
use std::time::Duration;

/// One of the two ends of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The calling server.
    Caller,
    /// The downstream UA.
    Callee,
}

/// What happens to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Its link is cut both ways; it runs on, and may be heard again after a while.
    Cut(Option<Duration>),
    /// Its process is killed, so that its ports refuse; it may be started again with nothing.
    Killed(Option<Duration>),
    /// It is stopped and goes on after this time, with all that waited in its socket.
    Paused(Duration),
}

/// What a call does at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Put the other end on hold.
    Hold,
    /// Take it back.
    Unhold,
    /// Hang up.
    Hangup,
}

/// One step of a call's life.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// When.
    pub at: Time,
    /// Who.
    pub by: End,
    /// What.
    pub act: Act,
}

/// A call from start to end.
#[derive(Clone, Debug)]
pub struct CallPlan {
    /// Its number.
    pub number: CallNumber,
    /// When the INVITE leaves.
    pub place: Time,
    /// What it does then, in order; the last is the hang-up.
    pub steps: Vec<Step>,
}

impl CallPlan {
    /// The hang-up.
    pub fn hangup(&self) -> Step {
        self.steps[self.steps.len() - 1]
    }
}

/// The disaster.
#[derive(Clone, Copy, Debug)]
pub struct Disaster {
    /// Which node, by its place in the list.
    pub node: usize,
    /// When.
    pub at: Time,
    /// How.
    pub death: Death,
}

/// What the store does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// Answers with a delay.
    None,
    /// Cannot be reached from the first to the second moment.
    Down(Time, Time),
}

/// A trunk document handed to the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// All nodes.
    Full,
    /// Without the dead node.
    Without,
    /// Cut off in the middle.
    Broken,
}

/// The whole of a scenario.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed that drew it.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// Whether all nodes share one IP address.
    pub one_address: bool,
    /// The calls, in the order they are placed.
    pub calls: Vec<CallPlan>,
    /// The node's death.
    pub disaster: Disaster,
    /// Whether closed ports refuse; many networks let no ICMP pass.
    pub icmp: bool,
    /// Datagrams lost, in a thousand.
    pub loss: u64,
    /// Datagrams that arrive twice, in a thousand.
    pub duplicates: u64,
    /// Whether datagrams may overtake each other.
    pub reorder: bool,
    /// The store's longest delay.
    pub store_delay: Duration,
    /// The store's fault.
    pub store_fault: StoreFault,
    /// What the config source says, and when.
    pub documents: Vec<(Time, Document)>,
    /// How long the callee rings.
    pub ring: Duration,
    /// When the world ends.
    pub end: Time,
}

/// The moment `ms` milliseconds after the start.
pub fn at_ms(ms: u64) -> Time {
    Time::ZERO + Duration::from_millis(ms)
}

/// How long after the last hang-up nothing may be left: transactions need 32 s, and the BYE of
/// one that went unanswered the same again; dialogs that moved away are remembered for 64 s.
const AFTERMATH: Duration = Duration::from_secs(135);

impl Plan {
    /// Draws the scenario of `seed`; most have 5 to 50 calls.
    pub fn draw(seed: u64, calls: Option<usize>) -> Plan {
        let mut draw = Draw::new(seed, 1);
        let drawn = if draw.chance(50) {
            150
        } else {
            5 + draw.below(46) as usize
        };
        let count = calls.unwrap_or(drawn);
        let pace = Duration::from_millis(5);
        let placed = at_ms(1000) + pace * count as u32;
        let ring = draw.ms(0, 300);
        let settled = placed + Duration::from_millis(3000);
        let disaster = Disaster {
            node: draw.below(3) as usize,
            at: settled + draw.ms(0, 2000),
            death: draw_death(&mut draw),
        };
        let calls: Vec<CallPlan> = (1..)
            .take(count)
            .map(|number| draw_call(&mut draw, number, pace, &disaster))
            .collect();
        let last = calls
            .iter()
            .map(|call| call.hangup().at)
            .max()
            .unwrap_or(settled);
        let store_fault = if draw.chance(100) {
            let from = disaster.at + draw.ms(0, 800);
            StoreFault::Down(from, from + draw.ms(20, 150))
        } else {
            StoreFault::None
        };
        Plan {
            seed,
            nodes: 3,
            one_address: draw.chance(250),
            documents: draw_documents(&mut draw, &disaster),
            calls,
            disaster,
            icmp: draw.chance(600),
            loss: 10,
            duplicates: if draw.chance(300) { 10 } else { 0 },
            reorder: draw.chance(700),
            store_delay: draw.ms(1, 15),
            store_fault,
            ring,
            end: last + AFTERMATH,
        }
    }
}

fn draw_death(draw: &mut Draw) -> Death {
    match draw.below(8) {
        0 | 1 => Death::Cut(None),
        2 => Death::Cut(Some(draw.ms(2500, 8000))),
        3 | 4 => Death::Killed(None),
        5 => Death::Killed(Some(Duration::from_millis(100))),
        6 => Death::Killed(Some(draw.ms(50, 6000))),
        _ => Death::Paused(draw.ms(2500, 8000)),
    }
}

fn draw_end(draw: &mut Draw) -> End {
    if draw.chance(500) {
        End::Caller
    } else {
        End::Callee
    }
}

fn draw_call(draw: &mut Draw, number: CallNumber, pace: Duration, disaster: &Disaster) -> CallPlan {
    let death = disaster.at;
    let mut steps = Vec::new();
    let mut step = |at, by, act| steps.push(Step { at, by, act });
    if draw.chance(80) {
        // Placed when the node is dead but nobody knows, or soon after.
        // (A paused node would place it as well, once it goes on: X26 is not built so far.)
        let paused = matches!(disaster.death, Death::Paused(_));
        let place = death + draw.ms(if paused { 500 } else { 0 }, 3000);
        step(death + draw.ms(10_000, 12_000), draw_end(draw), Act::Hangup);
        return CallPlan {
            number,
            place,
            steps,
        };
    }
    let place = at_ms(1000) + pace * number + draw.between(Duration::ZERO, pace);
    // Before the death: a hold that is on when the node dies, or one that is in flight then.
    let holder = draw_end(draw);
    let mut held = false;
    match draw.below(10) {
        0 | 1 => {
            step(place + draw.ms(1500, 2000), holder, Act::Hold);
            held = true;
        }
        2 => {
            step(death + draw.ms(0, 1500), holder, Act::Hold);
            held = true;
        }
        _ => {}
    }
    let by = draw_end(draw);
    match draw.below(12) {
        // Hung up around the move.
        0 => step(death + draw.ms(0, 1200), by, Act::Hangup),
        // Hung up long before it; the death finds nothing.
        1 => step(place + draw.ms(2200, 2600), by, Act::Hangup),
        _ => {
            let later = death + draw.ms(3500, 4500);
            match draw.below(4) {
                0 | 1 if held => step(later, holder, Act::Unhold),
                0 => step(later, draw_end(draw), Act::Hold),
                1 => {
                    let who = draw_end(draw);
                    step(later, who, Act::Hold);
                    step(later + Duration::from_millis(2500), who, Act::Unhold);
                }
                _ => {}
            }
            step(death + draw.ms(10_000, 12_000), by, Act::Hangup);
        }
    }
    steps.sort_by_key(|step| step.at);
    let hangup = steps.iter().position(|step| step.act == Act::Hangup);
    steps.truncate(hangup.map_or(steps.len(), |at| at + 1));
    CallPlan {
        number,
        place,
        steps,
    }
}

fn draw_documents(draw: &mut Draw, disaster: &Disaster) -> Vec<(Time, Document)> {
    let mut documents = vec![(at_ms(draw.below(50)), Document::Full)];
    if draw.chance(300) {
        documents.push((at_ms(1000 + draw.below(3000)), Document::Full));
    }
    if draw.chance(200) {
        documents.push((at_ms(1000 + draw.below(8000)), Document::Broken));
    }
    if draw.chance(400) {
        let found = disaster.at + draw.ms(100, 3000);
        documents.push((found, Document::Without));
        if draw.chance(500) {
            // A poll answered from a cache brings the dead node back.
            documents.push((found + draw.ms(10, 2000), Document::Full));
        }
    }
    documents
}
