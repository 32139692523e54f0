//! The first campaign: calls on three nodes, and one of the nodes dies.

use super::draw::Draw;
use super::plan::{
    AFTERMATH, Act, CallPlan, Conditions, Death, Disaster, Document, End, FarEnd, Party, Plan,
    Rules, Scarce, Step, Trouble, What, at_ms,
};
use crate::ua::CallNumber;
use holdline_wire::Time;
use std::time::Duration;

impl Disaster {
    fn trouble(&self) -> Trouble {
        let (what, lasts) = match self.death {
            Death::Cut(back) => (What::Cut(self.node), back),
            Death::Killed(back) => (What::Killed(self.node), back),
            Death::Paused(back) => (What::Paused(Party::Node(self.node)), Some(back)),
        };
        Trouble {
            at: self.at,
            lasts,
            what,
        }
    }
}

impl Plan {
    /// Draws the disaster of `seed`; most have 5 to 50 calls.
    pub fn disaster_of(seed: u64, calls: Option<usize>) -> Plan {
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
            .map(|number| CallPlan {
                ring,
                ..draw_call(&mut draw, number, pace, &disaster)
            })
            .collect();
        let mut troubles = vec![disaster.trouble()];
        if draw.chance(100) {
            troubles.push(Trouble {
                at: disaster.at + draw.ms(0, 800),
                lasts: Some(draw.ms(20, 150)),
                what: What::StoreDown,
            });
        }
        let one_address = draw.chance(250);
        let documents = draw_documents(&mut draw, &disaster);
        let network = Conditions {
            icmp: draw.chance(600),
            loss: 10,
            duplicates: if draw.chance(300) { 10 } else { 0 },
            reorder: draw.chance(700),
            delay: (Duration::from_millis(5), Duration::from_millis(20)),
            rtp_loss: 0,
            rtp_jitter: Duration::ZERO,
        };
        let plan = Plan {
            seed,
            rules: Rules::Disaster(disaster),
            nodes: vec![2000; 3],
            one_address,
            far_end: draw_far_end(seed, count),
            calls,
            troubles,
            network,
            store_delay: draw.ms(1, 15),
            documents,
            configured: None,
            // A call that meets another socket's port is called twice: that is for storms.
            scarce: Scarce {
                foreign: None,
                ..Scarce::draw(seed, count, 3)
            },
            end: Time::ZERO,
        };
        Plan {
            end: plan.last_hangup() + AFTERMATH,
            ..plan
        }
    }
}

/// Some far ends bear one INVITE with Replaces at a time: few enough calls then that all are back
/// within two seconds. Others take their time to leave a dialog that was replaced.
fn draw_far_end(seed: u64, calls: usize) -> FarEnd {
    let mut draw = Draw::new(seed, 34);
    let delay = draw.ms(1, 25);
    if calls > 300 {
        // A hundred of them and more, 32 at a time over such a path, take so long that one whose
        // INVITE is lost twice comes after two seconds: the operator knows that this far end bears more.
        return FarEnd {
            at_a_time: Some(1000),
            ..FarEnd::default()
        };
    }
    match draw.below(4) {
        0 | 1 if calls <= 16 => FarEnd::asterisk(delay),
        2 => FarEnd {
            delay,
            moving: Duration::from_millis(100),
            freezes_beyond: Some(32),
            ..FarEnd::default()
        },
        _ => FarEnd::default(),
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
            steps,
            ..CallPlan::new(number, place)
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
        steps,
        ..CallPlan::new(number, place)
    }
}

fn draw_documents(draw: &mut Draw, disaster: &Disaster) -> Vec<(Time, Document)> {
    let full = Document::default;
    let mut documents = vec![(at_ms(draw.below(50)), full())];
    if draw.chance(300) {
        documents.push((at_ms(1000 + draw.below(3000)), full()));
    }
    if draw.chance(200) {
        let broken = Document {
            broken: true,
            ..full()
        };
        documents.push((at_ms(1000 + draw.below(8000)), broken));
    }
    if draw.chance(400) {
        let found = disaster.at + draw.ms(100, 3000);
        let without = Document {
            without: [disaster.node].into(),
            ..full()
        };
        documents.push((found, without));
        if draw.chance(500) {
            // A poll answered from a cache brings the dead node back.
            documents.push((found + draw.ms(10, 2000), full()));
        }
    }
    documents
}
