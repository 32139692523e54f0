//! The second campaign: any topology, network and mix of calls, and troubles of every kind one
//! after another and at once.

use super::draw::Draw;
use super::plan::{
    AFTERMATH, Act, CallPlan, Conditions, Document, End, FarEnd, Party, Plan, Rules, Scarce, Sound,
    Step, Trouble, What, at_ms,
};
use crate::ua::{CallNumber, ContactUser, Refusing, ReplacesPolicy};
use holdline_wire::Time;
use holdline_wire::machine::LocalFault;
use std::time::Duration;

/// Everybody rests for so long after the last trouble, so that the last move can be judged.
const REST: Duration = Duration::from_secs(7);
/// What the draws of the agent's own troubles and of drains are for.
const OWN_TROUBLES: u8 = 30;
/// The most that is drawn of troubles, those that come in one go counted once.
const TROUBLES: u64 = 5;

/// The purpose of the draws about the agent's death.
const DEATH_OF_AGENT: u8 = 33;

/// What is drawn in turn.
struct Sky {
    draw: Draw,
    nodes: usize,
    /// The node whose troubles all end.
    survivor: usize,
    troubles: Vec<Trouble>,
    documents: Vec<(Time, Document)>,
}

impl Plan {
    /// Draws the storm of `seed`.
    pub fn storm_of(seed: u64, calls: Option<usize>) -> Plan {
        let mut draw = Draw::new(seed, 4);
        let nodes = 2 + draw.below(4) as usize;
        let count = calls.unwrap_or(4 + draw.below(22) as usize);
        let network = draw_network(&mut draw);
        let mut sky = Sky {
            survivor: draw.below(nodes as u64) as usize,
            nodes,
            troubles: Vec::new(),
            documents: vec![(at_ms(draw.below(50)), Document::default())],
            draw,
        };
        let placed = at_ms(1500 + 5 * count as u64);
        let mut at = placed + Duration::from_secs(3) + network.delay.1 * 6;
        let first = at;
        for _ in 0..1 + sky.draw.below(TROUBLES) {
            sky.draw_trouble(at);
            at = at + sky.draw_pause();
        }
        sky.draw_documents(first, at);
        sky.draw_own_troubles(seed, first, at);
        let ends = sky.troubles.iter();
        let ends = ends.map(|trouble| trouble.at + trouble.lasts.unwrap_or_default());
        let calm = ends.max().unwrap_or(at) + REST + network.delay.1 * 10;
        sky.draw_death_of_agent(seed, calm);
        let refusing = sky.draw.chance(150);
        let calls = (1..).take(count).map(|number| {
            let mut call = draw_call(&mut sky.draw, number, first, calm);
            if refusing && sky.draw.chance(250) {
                call.replaces = ReplacesPolicy::Refuse(403);
            }
            call
        });
        let mut calls: Vec<CallPlan> = calls.collect();
        draw_refusals(seed, &mut calls);
        let capacity = |draw: &mut Draw| count + 10 + draw.below(200) as usize;
        let plan = Plan {
            seed,
            rules: Rules::Storm,
            nodes: (0..nodes).map(|_| capacity(&mut sky.draw)).collect(),
            one_address: nodes <= 3 && sky.draw.chance(200),
            far_end: draw_far_end(seed, count, &network),
            calls,
            troubles: sky.troubles,
            network,
            store_delay: sky.draw.ms(1, 15),
            documents: sky.documents,
            configured: None,
            scarce: Scarce::draw(seed, count, nodes),
            end: Time::ZERO,
        };
        Plan {
            end: plan.last_hangup() + AFTERMATH,
            ..plan
        }
    }
}

/// Some far ends bear little at a time; with much loss or delay such a move cannot be judged.
fn draw_far_end(seed: u64, calls: usize, network: &Conditions) -> FarEnd {
    let mut draw = Draw::new(seed, 34);
    let calm = network.loss <= 5 && network.delay.1 <= Duration::from_millis(20);
    let delay = draw.ms(1, 25);
    match draw.below(4) {
        // Where a trouble keeps an answer away for 2 s the next call follows all the same.
        0 | 1 if calm && calls <= 16 => FarEnd {
            freezes_beyond: Some(3),
            ..FarEnd::asterisk(delay)
        },
        2 => FarEnd {
            delay,
            moving: Duration::from_millis(100),
            ..FarEnd::default()
        },
        _ => FarEnd::default(),
    }
}

fn draw_network(draw: &mut Draw) -> Conditions {
    let (from, to) = match draw.below(8) {
        0 | 1 => (200, 1000),
        2..=5 => (5_000, 20_000),
        6 => (20_000, 60_000),
        _ => (110_000, 150_000),
    };
    let loss = [0, 0, 5, 10, 20, 50, 100];
    Conditions {
        icmp: draw.chance(600),
        loss: loss[draw.below(7) as usize],
        duplicates: [0, 0, 10, 50][draw.below(4) as usize],
        reorder: draw.chance(700),
        delay: (Duration::from_micros(from), Duration::from_micros(to)),
        rtp_loss: loss[draw.below(7) as usize],
        rtp_jitter: draw.ms(0, 50),
    }
}

impl Sky {
    fn node(&mut self) -> usize {
        self.draw.below(self.nodes as u64) as usize
    }

    fn add(&mut self, at: Time, lasts: Option<Duration>, what: What) {
        self.troubles.push(Trouble { at, lasts, what });
    }

    /// How long until the next trouble: often before the first is over.
    fn draw_pause(&mut self) -> Duration {
        match self.draw.below(4) {
            0 => self.draw.ms(0, 300),
            1 => self.draw.ms(300, 2500),
            _ => self.draw.ms(2500, 7000),
        }
    }

    /// At the end of some storms, when all else is well again, the agent dies under its calls: from
    /// draws of its own.
    fn draw_death_of_agent(&mut self, seed: u64, calm: Time) {
        let mut draw = Draw::new(seed, DEATH_OF_AGENT);
        if draw.chance(150) {
            let back = draw.chance(500).then(|| draw.ms(100, 8000));
            self.add(calm, back, What::AgentKilled);
        }
    }

    fn draw_trouble(&mut self, at: Time) {
        let (node, draw) = (self.node(), &mut self.draw);
        let some = Party::Node(node);
        match draw.below(12) {
            0 | 1 => self.death(at, node),
            2 => {
                // Another one dies while the calls of the first move.
                self.death(at, node);
                let second = at + self.draw.ms(0, 600);
                self.death(second, (node + 1) % self.nodes);
            }
            3 => self.everybody_dies(at),
            4 => {
                let mut at = at;
                for _ in 0..2 + draw.below(2) {
                    let down = self.draw.ms(200, 3000);
                    self.add(at, Some(down), What::Killed(node));
                    at = at + down + self.draw.ms(800, 3000);
                }
            }
            5 => {
                let lasts = if draw.chance(300) {
                    draw.ms(5, 30)
                } else {
                    draw.ms(100, 5000)
                };
                self.add(at, Some(lasts), What::Paused(some));
            }
            6 => {
                let lasts = draw.ms(300, 3000);
                self.add(at, Some(lasts), What::Paused(Party::Agent));
            }
            7 | 8 => {
                let lasts = Some(draw.ms(200, 6000));
                let what = match draw.below(3) {
                    0 => What::Deaf(Party::Agent, some),
                    1 => What::Deaf(some, Party::Agent),
                    _ => What::Parted(some, Party::Agent),
                };
                self.add(at, lasts, what);
            }
            9 => {
                let lasts = Some(draw.ms(200, 6000));
                let other = if draw.chance(700) {
                    Party::Callee
                } else {
                    Party::Store
                };
                self.add(at, lasts, What::Parted(some, other));
            }
            10 => {
                let (lasts, loss) = (Some(draw.ms(1000, 8000)), 20 + draw.below(80));
                self.add(at, lasts, What::Lossy(Party::Agent, some, loss));
                self.add(at, lasts, What::Lossy(some, Party::Agent, loss));
            }
            _ => {
                let lasts = Some(draw.ms(20, 800));
                self.add(at, lasts, What::StoreDown);
            }
        }
    }

    fn death(&mut self, at: Time, node: usize) {
        let draw = &mut self.draw;
        let back = match draw.below(4) {
            0 => Duration::from_millis(100),
            1 => draw.ms(50, 2000),
            _ => draw.ms(2000, 8000),
        };
        let for_ever = node != self.survivor && draw.chance(400);
        let lasts = (!for_ever).then_some(back);
        let what = if draw.chance(600) {
            What::Killed(node)
        } else {
            What::Cut(node)
        };
        self.add(at, lasts, what);
    }

    /// All nodes at once, or almost; one comes back while calls are held, the others perhaps.
    fn everybody_dies(&mut self, at: Time) {
        let back = self.draw.ms(500, 14_000);
        for node in 0..self.nodes {
            let at = at + self.draw.ms(0, 300);
            let lasts = match node == self.survivor {
                true => Some(back),
                false => self.draw.chance(500).then(|| self.draw.ms(500, 14_000)),
            };
            self.add(at, lasts, What::Killed(node));
        }
    }

    /// What the config source says meanwhile; at the end it lists everybody again.
    fn draw_documents(&mut self, from: Time, to: Time) {
        let span = to.since(from);
        for _ in 0..self.draw.below(4) {
            let at = from + self.draw.between(Duration::ZERO, span);
            let node = self.node();
            let document = match self.draw.below(4) {
                0 => Document::default(),
                1 => Document {
                    broken: true,
                    ..Document::default()
                },
                2 => Document {
                    inactive: [node].into(),
                    ..Document::default()
                },
                _ => Document {
                    without: [node].into(),
                    ..Document::default()
                },
            };
            self.documents.push((at, document));
        }
        self.documents.push((to, Document::default()));
        self.documents.sort_by_key(|(at, _)| *at);
    }
}

/// In some storms the far end looks users up before it reads Replaces, or refuses some calls, or
/// their moves for the moment.
fn draw_refusals(seed: u64, calls: &mut [CallPlan]) {
    let mut draw = Draw::new(seed, 32);
    if draw.chance(300) {
        let contact = [ContactUser::Nobody, ContactUser::Trunk][draw.below(2) as usize];
        for call in &mut *calls {
            (call.contact, call.looks_up) = (contact, true);
        }
    }
    if draw.chance(300) {
        for call in calls {
            call.refusing = draw.chance(250).then(|| draw_refusing(&mut draw));
        }
    }
}

impl Sky {
    /// The agent's own machine lets nothing out, to one node or to anybody (spec: X52). In some storms
    /// only, and by draws of its own.
    fn draw_own_troubles(&mut self, seed: u64, from: Time, to: Time) {
        let mut draw = Draw::new(seed, OWN_TROUBLES);
        self.draw_drains(&mut draw, from, to);
        if !draw.chance(350) {
            return;
        }
        for _ in 0..1 + draw.below(2) {
            let at = from + draw.between(Duration::ZERO, to.since(from));
            let lasts = match draw.below(3) {
                0 => draw.ms(50, 1000),
                1 => draw.ms(1000, 4000),
                _ => draw.ms(4000, 12_000),
            };
            let kind = LocalFault::ALL[draw.below(LocalFault::ALL.len() as u64) as usize];
            let told = draw.chance(800).then_some(kind);
            let node = draw.below(self.nodes as u64) as usize;
            let what = match draw.below(5) {
                0 | 1 => What::Unsent(told, Some(node)),
                2 | 3 => What::Unsent(told, None),
                _ => What::Unplugged,
            };
            self.add(at, Some(lasts), what);
        }
    }
}

fn draw_refusing(draw: &mut Draw) -> Refusing {
    let replaces = draw.chance(500);
    let (status, retry_after) = match (replaces, draw.below(4)) {
        (false, 0) => (408, None),
        (false, 1) => (486, Some(5)),
        (false, _) => (503, Some(30)),
        (true, 0) => (480, None),
        (true, 1) => (500, Some(0)),
        (true, _) => (503, Some(1)),
    };
    Refusing {
        first: if replaces { 1 } else { u32::MAX },
        status,
        retry_after,
        replaces,
    }
}

impl Sky {
    /// A node is told to leave (spec: D34): it drains, ends, with calls or without, and starts again.
    fn draw_drains(&mut self, draw: &mut Draw, from: Time, to: Time) {
        if !draw.chance(300) {
            return;
        }
        let node = draw.below(self.nodes as u64) as usize;
        let at = from + draw.between(Duration::ZERO, to.since(from));
        let (drains, away) = (draw.ms(100, 8000), draw.ms(200, 5000));
        self.add(at, Some(drains), What::Drained(node));
        if draw.chance(800) {
            self.add(at + drains, Some(away), What::Killed(node));
        }
    }
}

fn draw_end(draw: &mut Draw) -> End {
    if draw.chance(500) {
        End::Caller
    } else {
        End::Callee
    }
}

fn draw_call(draw: &mut Draw, number: CallNumber, first: Time, calm: Time) -> CallPlan {
    let storm = calm.since(first);
    let mut call = CallPlan::new(number, at_ms(1000 + 5 * u64::from(number)));
    if draw.chance(120) {
        call.place = first + draw.between(Duration::ZERO, storm.saturating_sub(REST));
    }
    call.ring = match draw.below(10) {
        0 | 1 => draw.ms(1000, 9000),
        _ => draw.ms(0, 300),
    };
    call.early_media = draw.chance(300);
    // The RTP of the first ones is sampled.
    call.sound = match draw.below(10) {
        0..=5 => Sound::Steady,
        _ if number <= 3 => Sound::Steady,
        6 | 7 => Sound::Pauses,
        _ => Sound::Never,
    };
    let up = call.place + call.ring + Duration::from_millis(1500);
    let mut step = |at: Time, by, act| {
        call.steps.push(Step {
            at: at.max(up),
            by,
            act,
        })
    };
    match draw.below(8) {
        // Hung up in the middle of it, or while it rings.
        0 => {
            let at = first + draw.between(Duration::ZERO, storm);
            step(at, draw_end(draw), Act::Hangup);
        }
        1 | 2 => {
            let holder = draw_end(draw);
            let at = first + draw.between(Duration::ZERO, storm / 2);
            step(at, holder, Act::Hold);
            step(at + draw.ms(2500, 9000), holder, Act::Unhold);
        }
        3 => step(
            first + draw.between(Duration::ZERO, storm),
            draw_end(draw),
            Act::Hold,
        ),
        _ => {}
    }
    let last = calm.max(up + Duration::from_secs(5)) + draw.ms(0, 1500);
    step(last, draw_end(draw), Act::Hangup);
    call.steps.sort_by_key(|step| step.at);
    let hangup = call.steps.iter().position(|step| step.act == Act::Hangup);
    call.steps
        .truncate(hangup.map_or(call.steps.len(), |at| at + 1));
    call
}
