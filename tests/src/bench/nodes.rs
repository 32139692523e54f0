//! The agent's core with calls on a node that dies, in virtual time: what the decision costs.

use super::allocations;
use super::ends::{self, Caller, Description, Plan, Step};
use crate::failure::Error;
use bytes::Bytes;
use holdline_agent::core::{AgentCore, Event, In, Limits, Moving, Out, Pace, Settings};
use holdline_wire::header::{InstanceAgent, InstanceFarEnd, Name};
use holdline_wire::machine::{Input, Machine, Output, TransportFault};
use holdline_wire::{Message, Method, Time, TransportKey};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const AGENT: &str = "10.0.0.1:5060";
const CALLER: &str = "10.0.0.2:5060";
/// The first node has all calls.
const NODES: [&str; 3] = ["10.0.1.1:5060", "10.0.1.2:5060", "10.0.1.3:5060"];
/// The network's round trip.
const DELAY: Duration = Duration::from_micros(200);
/// Calls that are up at a time, where calls come and go.
const HELD: u32 = 200;
/// Virtual time within which anything that is waited for must have happened.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a stretch of the core's work cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Real time within the core.
    pub time: Duration,
    /// Allocations within the core.
    pub allocations: u64,
    /// INVITEs with Replaces that left.
    pub invites: u32,
}

/// The agent's core, its nodes and its caller.
pub struct Cluster {
    core: AgentCore,
    now: Time,
    caller: Caller,
    plan: Plan,
    dead: bool,
    inputs: VecDeque<Input<In>>,
    outputs: Vec<Output<Out>>,
    up: u32,
    /// Since it is counted.
    cost: Option<Cost>,
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("it is an address")
}

impl Cluster {
    /// `calls` calls, all up and on one node; two more nodes are alive.
    pub fn with_calls(calls: u32) -> Result<Cluster, Error> {
        let mut cluster = Cluster::new(calls)?;
        for number in 0..calls {
            cluster.call(number);
        }
        cluster.document(NODES.len());
        // Until the calls' first transactions are forgotten, as those of most calls are.
        cluster.pass(Duration::from_secs(40));
        if cluster.up == calls {
            Ok(cluster)
        } else {
            Err(format!("{} of {calls} calls are up", cluster.up).into())
        }
    }

    /// What `calls` calls cost from INVITE to BYE, with the timers of their transactions; each is
    /// hung up when 200 more are up.
    pub fn whole_calls(calls: u32) -> Result<Cost, Error> {
        let mut cluster = Cluster::new(calls)?;
        cluster.cost = Some(Cost::default());
        for number in 0..calls + HELD {
            if number < calls {
                cluster.call(number);
            }
            if let Some((_, bytes)) = number
                .checked_sub(HELD)
                .and_then(|old| cluster.caller.bye(old))
            {
                cluster.caller_sends(bytes);
            }
            cluster.pass(Duration::from_millis(10));
        }
        match (cluster.up, cluster.caller.live()) {
            (up, 0) if up == calls => Ok(cluster.cost.unwrap_or_default()),
            (up, live) => Err(format!("{up} of {calls} calls were up, {live} are").into()),
        }
    }

    /// No call yet and one node.
    fn new(calls: u32) -> Result<Cluster, Error> {
        let settings = Settings {
            agent: InstanceAgent {
                id: "agent-1".into(),
                incarnation: "first".into(),
            },
            trunk: "trunk".into(),
            sip: address(AGENT),
            allow: vec!["10.0.0.2/32".parse()?],
            media: address(AGENT).ip(),
            ports: (10_000, 59_999),
            max_calls: calls as usize,
            setup_timeout: Duration::from_secs(200),
            health: Default::default(),
            // All leave at once: the work alone, without the pacing of it.
            moving: Moving {
                pacing: Pace::Window,
                window: Duration::ZERO,
                ..Moving::default()
            },
            limits: Limits::default(),
        };
        let plan = Plan {
            caller: address(CALLER),
            callee: address(NODES[0]),
            next_hop: address(AGENT),
            description: Description::Audio,
            first_port: 10_000,
        };
        let mut cluster = Cluster {
            core: AgentCore::new(settings, [7; 32]),
            now: Time::ZERO + Duration::from_millis(10),
            caller: Caller::new(plan),
            plan,
            dead: false,
            inputs: VecDeque::new(),
            outputs: Vec::with_capacity(8192),
            up: 0,
            cost: None,
        };
        cluster.document(1);
        cluster.pass(Duration::from_secs(1));
        Ok(cluster)
    }

    fn call(&mut self, number: u32) {
        let bytes = self.caller.invite(number);
        self.caller_sends(bytes);
    }

    fn caller_sends(&mut self, bytes: Bytes) {
        let from = TransportKey::udp(address(AGENT), self.plan.caller);
        self.input(Input::Message { from, bytes });
    }

    /// The node dies: what the core did from the verdict until the last of `calls` INVITEs left.
    pub fn kill(mut self, calls: u32) -> Result<Cost, Error> {
        self.dead = true;
        let end = self.now + PATIENCE;
        while self.now < end {
            if let Some(cost) = self.cost.filter(|cost| cost.invites >= calls) {
                return Ok(cost);
            }
            let at = self.core.poll_deadline().unwrap_or(end);
            self.now = self.now.max(at);
            self.input(Input::Deadline);
        }
        Err(format!("only {:?} happened in {PATIENCE:?}", self.cost).into())
    }

    /// The trunk document with the first `active` nodes in it.
    fn document(&mut self, active: usize) {
        let instance = |node: &&str| {
            let at = address(node);
            format!(
                r#"{{"IP":"{}","port":"{}","status":"active"}}"#,
                at.ip(),
                at.port()
            )
        };
        let instances: Vec<String> = NODES[..active].iter().map(instance).collect();
        let json = format!(
            r#"{{"cloud-sip-trunk-name":"trunk.example","uri":"http://10.0.0.9/trunk","version":{active},
            "webhook-registration":"http://10.0.0.9/hook","instances":[{}]}}"#,
            instances.join(",")
        );
        self.input(Input::Other(In::Trunk(json.into())));
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.core.poll_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Deadline);
        }
        self.now = end;
    }

    fn input(&mut self, input: Input<In>) {
        self.inputs.push_back(input);
        while let Some(input) = self.inputs.pop_front() {
            self.work(input);
            for output in std::mem::take(&mut self.outputs) {
                if let Output::Send { to, bytes } = output {
                    self.deliver(to, bytes);
                }
            }
            self.outputs.reserve(8192);
            self.now = self.now + DELAY;
        }
    }

    /// The core's own work, which is measured from the verdict on at the latest.
    fn work(&mut self, input: Input<In>) {
        let (before, _) = allocations::so_far();
        let start = Instant::now();
        self.core.handle(self.now, input);
        while let Some(output) = self.core.poll_output() {
            self.outputs.push(output);
        }
        let time = start.elapsed();
        let (after, _) = allocations::so_far();
        let verdict = |output: &Output<Out>| {
            matches!(
                output,
                Output::Other(Out::Event(Event::FailoverStarted { .. }))
            )
        };
        if self.outputs.iter().any(verdict) {
            self.cost = Some(Cost::default());
        }
        let moves = self.outputs.iter().filter(|output| is_move(output)).count();
        if let Some(cost) = &mut self.cost {
            cost.time += time;
            cost.allocations += after - before;
            cost.invites += moves as u32;
        }
    }

    fn deliver(&mut self, to: TransportKey, bytes: Bytes) {
        if to.remote == self.plan.caller {
            let (step, ack) = self.caller.receive(bytes);
            self.up += u32::from(matches!(step, Some(Step::Up(_))));
            if let Some((_, bytes)) = ack {
                let from = TransportKey::udp(to.local, self.plan.caller);
                self.inputs.push_back(Input::Message { from, bytes });
            }
            return;
        }
        if self.dead && to.remote == address(NODES[0]) {
            let fault = TransportFault::Refused;
            return self.inputs.push_back(Input::Fault {
                key: to,
                fault,
                quoted: Bytes::new(),
            });
        }
        let Ok(message) = Message::parse(bytes) else {
            return;
        };
        if self.dead && *message.method() == Method::Invite {
            return;
        }
        let plan = Plan {
            callee: to.remote,
            ..self.plan
        };
        let (answers, _) = ends::callee(&plan, to.local, &message);
        let far_end = far_end(self.plan.callee);
        for bytes in answers {
            let bytes = match *message.method() == Method::Invite {
                true => with_header(&bytes, &far_end),
                false => bytes,
            };
            self.inputs.push_back(Input::Message { from: to, bytes });
        }
    }
}

/// What a node says of the one far end, where its operator lets that owe any number of answers:
/// the bound is pacing too.
fn far_end(address: SocketAddr) -> String {
    let told = InstanceFarEnd {
        address,
        product: None,
        replaces: Some(u32::MAX),
    };
    format!("{}: {told}\r\n", Name::InstanceFarEnd.as_str())
}

/// The message with one more header line, the first.
fn with_header(message: &[u8], line: &str) -> Bytes {
    let end = message.windows(2).position(|pair| pair == b"\r\n");
    let (first, rest) = message.split_at(end.map_or(0, |end| end + 2));
    Bytes::from([first, line.as_bytes(), rest].concat())
}

/// Whether an INVITE with Replaces leaves.
fn is_move(output: &Output<Out>) -> bool {
    let Output::Send { bytes, .. } = output else {
        return false;
    };
    bytes.starts_with(b"INVITE ")
        && Message::parse(bytes.clone())
            .is_ok_and(|message| message.header(Name::Replaces).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_moved_once() {
        let cost = Cluster::whole_calls(20).unwrap();
        assert!(cost.invites == 0 && cost.time > Duration::ZERO);
        let cost = Cluster::with_calls(20).unwrap().kill(20).unwrap();
        assert_eq!(cost.invites, 20);
        assert!(cost.time > Duration::ZERO);
    }
}
