//! A scenario spelled out: `Story::new(7).nodes(3).calls(20).cut(1, 5.0)` reads as what happens.
//! Times are seconds from the start; calls are up by the third and hung up at the end.

use super::plan::{
    AFTERMATH, Act, CallPlan, Conditions, Document, End, FarEnd, Party, Plan, Rules, Scarce, Step,
    Trouble, What, at_ms,
};
use super::{Outcome, run_plan};
use crate::ua::{ContactUser, Refusing};
use holdline_wire::Time;
use std::time::Duration;

/// When the last trouble is over, calls go on for so long before they are hung up.
const REST: Duration = Duration::from_secs(8);

/// A scenario under construction. Nodes are counted from 0.
#[derive(Clone, Debug)]
pub struct Story {
    plan: Plan,
}

fn at(seconds: f64) -> Time {
    Time::ZERO + Duration::from_secs_f64(seconds)
}

impl Story {
    /// Three nodes, twenty calls, a path of 5 ms without loss, and closed ports that refuse. The
    /// seed draws what the network does with each datagram.
    pub fn new(seed: u64) -> Story {
        let ms = Duration::from_millis;
        let plan = Plan {
            seed,
            rules: Rules::Storm,
            nodes: vec![2000; 3],
            one_address: false,
            far_end: FarEnd::default(),
            calls: Vec::new(),
            troubles: Vec::new(),
            network: Conditions {
                icmp: true,
                loss: 0,
                duplicates: 0,
                reorder: false,
                delay: (ms(4), ms(6)),
                rtp_loss: 0,
                rtp_jitter: Duration::ZERO,
            },
            store_delay: ms(3),
            documents: vec![(at_ms(10), Document::default())],
            configured: None,
            scarce: Scarce::default(),
            end: Time::ZERO,
        };
        Story { plan }.calls(20)
    }

    /// Media ports are so scarce.
    #[must_use]
    pub fn scarce(mut self, scarce: Scarce) -> Story {
        self.plan.scarce = scarce;
        self
    }

    /// So many nodes.
    #[must_use]
    pub fn nodes(mut self, count: usize) -> Story {
        self.plan.nodes = vec![2000; count];
        self
    }

    /// So many calls, one placed each 20 ms.
    #[must_use]
    pub fn calls(mut self, count: u32) -> Story {
        let placed = |number| CallPlan::new(number, at_ms(1000 + 20 * u64::from(number)));
        self.plan.calls = (1..=count).map(placed).collect();
        self
    }

    /// Nobody hears of closed ports.
    #[must_use]
    pub fn without_icmp(mut self) -> Story {
        self.plan.network.icmp = false;
        self
    }

    /// Every datagram takes so long, one way.
    #[must_use]
    pub fn delay_ms(mut self, one_way: u64) -> Story {
        let ms = Duration::from_millis;
        self.plan.network.delay = (ms(one_way), ms(one_way + 2));
        self
    }

    /// So many of a hundred datagrams are lost, RTP too.
    #[must_use]
    pub fn loss_percent(mut self, loss: u64) -> Story {
        self.plan.network.loss = loss * 10;
        self.plan.network.rtp_loss = loss * 10;
        self
    }

    /// The downstream UA takes INVITEs with Replaces like this.
    #[must_use]
    pub fn far_end(mut self, far_end: FarEnd) -> Story {
        self.plan.far_end = far_end;
        self
    }

    /// A trouble from `from` on, for `lasts` seconds or for ever.
    #[must_use]
    pub fn trouble(mut self, what: What, from: f64, lasts: Option<f64>) -> Story {
        self.plan.troubles.push(Trouble {
            at: at(from),
            lasts: lasts.map(Duration::from_secs_f64),
            what,
        });
        self
    }

    /// The node's process is killed.
    #[must_use]
    pub fn kill(self, node: usize, from: f64) -> Story {
        self.trouble(What::Killed(node), from, None)
    }

    /// The node's process is killed, and starts again with nothing.
    #[must_use]
    pub fn reboot(self, node: usize, from: f64, lasts: f64) -> Story {
        self.trouble(What::Killed(node), from, Some(lasts))
    }

    /// The node's link is cut.
    #[must_use]
    pub fn cut(self, node: usize, from: f64) -> Story {
        self.trouble(What::Cut(node), from, None)
    }

    /// The node hangs, and goes on after a while.
    #[must_use]
    pub fn hang(self, node: usize, from: f64, lasts: f64) -> Story {
        self.trouble(What::Paused(Party::Node(node)), from, Some(lasts))
    }

    /// The agent's process is killed, for ever or for a while.
    #[must_use]
    pub fn kill_agent(self, from: f64, lasts: Option<f64>) -> Story {
        self.trouble(What::AgentKilled, from, lasts)
    }

    /// The agent stands still.
    #[must_use]
    pub fn stop_agent(self, from: f64, lasts: f64) -> Story {
        self.trouble(What::Paused(Party::Agent), from, Some(lasts))
    }

    /// The callee's Contact names this user, and it looks users up before it reads Replaces.
    #[must_use]
    pub fn looked_up(mut self, contact: ContactUser) -> Story {
        for call in &mut self.plan.calls {
            (call.contact, call.looks_up) = (contact, true);
        }
        self
    }

    /// The callee refuses the first INVITEs of these calls.
    #[must_use]
    pub fn refusing(mut self, calls: &[u32], refusing: Refusing) -> Story {
        let named = |call: &&mut CallPlan| calls.contains(&call.number);
        for call in self.plan.calls.iter_mut().filter(named) {
            call.refusing = Some(refusing);
        }
        self
    }

    /// Every call rings so long, with early media or without.
    #[must_use]
    pub fn ringing(mut self, seconds: f64, early_media: bool) -> Story {
        for call in &mut self.plan.calls {
            call.ring = Duration::from_secs_f64(seconds);
            call.early_media = early_media;
        }
        self
    }

    /// The end hangs up every call at this time.
    #[must_use]
    pub fn hang_up_all(self, by: End, from: f64) -> Story {
        self.all(by, Act::Hangup, from)
    }

    /// The end does this in every call, one a millisecond from this time on.
    #[must_use]
    pub fn all(mut self, by: End, act: Act, from: f64) -> Story {
        for call in &mut self.plan.calls {
            let at = at(from) + Duration::from_millis(u64::from(call.number));
            call.steps.push(Step { at, by, act });
        }
        self
    }

    /// What came of it.
    pub fn run(mut self) -> Outcome {
        let over = self.plan.troubles.iter();
        let over = over.map(|trouble| trouble.at + trouble.lasts.unwrap_or_default());
        let end = over.max().unwrap_or(at(5.0)) + REST;
        for call in &mut self.plan.calls {
            let hangs_up = |step: &Step| step.act == Act::Hangup;
            if !call.steps.last().is_some_and(hangs_up) {
                let by = [End::Caller, End::Callee][call.number as usize % 2];
                let act = Act::Hangup;
                call.steps.push(Step { at: end, by, act });
            }
        }
        self.plan.end = self.plan.last_hangup() + AFTERMATH;
        run_plan(&self.plan, None, false)
    }
}
