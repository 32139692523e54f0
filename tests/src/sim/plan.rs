//! What happens in a world: its nodes and network, the calls and what they do, the troubles. A
//! campaign draws it from a seed, a story spells it out.

use super::draw::Draw;
use crate::ua::{CallNumber, ContactUser, Refusing, ReplacesPolicy};
use b2bua_node::config::Config as NodeConfig;
use holdline_agent::config::Config as AgentConfig;
use holdline_wire::Time;
use holdline_wire::machine::LocalFault;
use std::collections::BTreeSet;
use std::time::Duration;

/// One of the two ends of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The calling server.
    Caller,
    /// The downstream UA.
    Callee,
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

/// When the callee of a call sends RTP, where its session allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// A packet each 20 ms.
    Steady,
    /// With the pauses of silence suppression.
    Pauses,
    /// Never, though its description says so.
    Never,
}

/// A call from start to end.
#[derive(Clone, Debug)]
pub struct CallPlan {
    /// Its number.
    pub number: CallNumber,
    /// When the INVITE leaves.
    pub place: Time,
    /// How long the callee rings.
    pub ring: Duration,
    /// Whether it rings with early media.
    pub early_media: bool,
    /// What the callee does with Replaces.
    pub replaces: ReplacesPolicy,
    /// The first INVITEs that the callee refuses.
    pub refusing: Option<Refusing>,
    /// Which user the callee's Contact names.
    pub contact: ContactUser,
    /// Whether the callee looks the Request-URI's user up before it reads Replaces.
    pub looks_up: bool,
    /// When the callee sends RTP.
    pub sound: Sound,
    /// What it does then, in order; the last is the hang-up.
    pub steps: Vec<Step>,
}

impl CallPlan {
    /// A call that is answered at once by a callee who knows Replaces, and talks.
    pub fn new(number: CallNumber, place: Time) -> CallPlan {
        CallPlan {
            number,
            place,
            ring: Duration::ZERO,
            early_media: false,
            replaces: ReplacesPolicy::Accept,
            refusing: None,
            contact: ContactUser::Call,
            looks_up: false,
            sound: Sound::Steady,
            steps: Vec::new(),
        }
    }

    /// The hang-up.
    pub fn hangup(&self) -> Step {
        self.steps[self.steps.len() - 1]
    }
}

/// Somebody whom trouble may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The agent.
    Agent,
    /// A node, by its place in the list.
    Node(usize),
    /// The downstream UA.
    Callee,
    /// The store that the nodes share.
    Store,
}

/// A trouble's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The node's process is killed, so that its ports refuse; afterwards it starts with nothing.
    Killed(usize),
    /// The agent's process is killed, and its host refuses; afterwards it starts with nothing and
    /// another incarnation.
    AgentKilled,
    /// The node's link is cut both ways; it runs on.
    Cut(usize),
    /// The process is stopped; afterwards it goes on with all that waited in its socket.
    Paused(Party),
    /// Nothing gets from the first to the second.
    Deaf(Party, Party),
    /// Nothing gets from one to the other, either way.
    Parted(Party, Party),
    /// From the first to the second so many more datagrams in a thousand are lost.
    Lossy(Party, Party, u64),
    /// The store answers nobody's requests but with an error.
    StoreDown,
    /// What the agent sends to this node, or to anybody, does not leave its machine; it is told why,
    /// or nothing. What comes for it arrives.
    Unsent(Option<LocalFault>, Option<usize>),
    /// The agent's own link is cut both ways, and nobody tells it.
    Unplugged,
    /// The node takes no new calls; afterwards it does again, if it is still there.
    Drained(usize),
}

/// Something that goes wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// From then on.
    pub at: Time,
    /// For so long; `None` for ever.
    pub lasts: Option<Duration>,
    /// What it is.
    pub what: What,
}

impl Trouble {
    /// When it is over.
    pub fn until(&self) -> Time {
        self.lasts.map_or(Time::NEVER, |lasts| self.at + lasts)
    }
}

/// A trunk document handed to the agent: all nodes, but for what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Nodes that it leaves out.
    pub without: BTreeSet<usize>,
    /// Nodes that are inactive in it.
    pub inactive: BTreeSet<usize>,
    /// Cut off in the middle.
    pub broken: bool,
}

/// How the downstream UA takes INVITEs with Replaces, and what it says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FarEnd {
    /// Its Server header.
    pub server: Option<String>,
    /// How long it takes to answer one.
    pub delay: Duration,
    /// For so long after that a BYE in the old dialog ends the call.
    pub moving: Duration,
    /// With more of them unanswered at a time it answers nothing any more.
    pub freezes_beyond: Option<usize>,
    /// How many the operator says that it bears at a time.
    pub at_a_time: Option<u32>,
}

impl FarEnd {
    /// One that says that it is an Asterisk, and takes so long to answer: it freezes at two.
    pub fn asterisk(delay: Duration) -> FarEnd {
        FarEnd {
            server: Some("Asterisk PBX 22.1.0".to_owned()),
            delay,
            moving: Duration::from_millis(100),
            freezes_beyond: Some(1),
            at_a_time: None,
        }
    }
}

/// What the network does to every datagram.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Whether closed ports refuse; many networks let no ICMP pass.
    pub icmp: bool,
    /// Datagrams lost, in a thousand.
    pub loss: u64,
    /// Datagrams that arrive twice, in a thousand.
    pub duplicates: u64,
    /// Whether datagrams may overtake each other.
    pub reorder: bool,
    /// The shortest and the longest delay, one way.
    pub delay: (Duration, Duration),
    /// RTP packets lost on their way to the agent, in a thousand.
    pub rtp_loss: u64,
    /// How much later than others they come at most.
    pub rtp_jitter: Duration,
}

/// What happens to the node of a disaster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Its link is cut both ways; it runs on, and may be heard again after a while.
    Cut(Option<Duration>),
    /// Its process is killed, so that its ports refuse; it may be started again with nothing.
    Killed(Option<Duration>),
    /// It is stopped and goes on after this time, with all that waited in its socket.
    Paused(Duration),
}

/// The one trouble of the first campaign.
#[derive(Clone, Copy, Debug)]
pub struct Disaster {
    /// Which node, by its place in the list.
    pub node: usize,
    /// When.
    pub at: Time,
    /// How.
    pub death: Death,
}

/// By which rules a world is judged.
#[derive(Clone, Debug)]
pub enum Rules {
    /// Those of the first campaign, where everything is known of the one death.
    Disaster(Disaster),
    /// Those of storms and stories, which hold whatever happens.
    Storm,
}

/// How scarce media ports are; plenty, where nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Scarce {
    /// Port pairs of the agent.
    pub agent: Option<u16>,
    /// Port pairs of every node.
    pub nodes: Option<u16>,
    /// The one node that has only so many.
    pub small: Option<(usize, u16)>,
    /// Of the pairs of agent and nodes, one in so many is another socket's.
    pub foreign: Option<u16>,
}

impl Scarce {
    /// Draws for `count` calls how scarce ports are; what there is suffices for all of them, but
    /// on a small node.
    pub fn draw(seed: u64, count: usize, nodes: usize) -> Scarce {
        let mut draw = Draw::new(seed, 31);
        let all = 2 * u16::try_from(count).unwrap_or(u16::MAX / 4);
        // What a node keeps from new calls is not for them.
        let with_kept = Some(all + all / 8 + 4);
        let mut scarce = Scarce::default();
        match draw.below(16) {
            0..=2 => scarce.agent = Some(all),
            3 => scarce.nodes = with_kept,
            4 => (scarce.agent, scarce.nodes) = (Some(all), with_kept),
            5 => scarce.small = Some((draw.below(nodes as u64) as usize, 6)),
            6 | 7 => scarce.foreign = Some(5 + draw.below(20) as u16),
            _ => {}
        }
        scarce
    }

    /// The last of the media ports that begin with `first`, of the agent or of a node.
    pub fn last_port(&self, node: Option<usize>, first: u16, plenty: u16) -> u16 {
        let small = self.small.filter(|(small, _)| Some(*small) == node);
        let pairs = match (node, small) {
            (None, _) => self.agent,
            (Some(_), Some((_, pairs))) => Some(pairs),
            (Some(_), None) => self.nodes,
        };
        pairs.map_or(plenty, |pairs| first + 2 * pairs - 1)
    }

    /// Whether the node has no room for all calls.
    pub fn is_small(&self, node: usize) -> bool {
        self.small.is_some_and(|(small, _)| small == node)
    }
}

/// What the programs of a world are configured with.
#[derive(Clone, Debug)]
pub struct Configured {
    /// The agent.
    pub agent: AgentConfig,
    /// Each node.
    pub nodes: Vec<NodeConfig>,
    /// What was drawn, in a line.
    pub told: String,
}

/// The whole of a scenario.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed that drew it, and that draws what the network does.
    pub seed: u64,
    /// How it is judged.
    pub rules: Rules,
    /// How many calls each node takes.
    pub nodes: Vec<usize>,
    /// Whether all nodes share one IP address.
    pub one_address: bool,
    /// The downstream UA.
    pub far_end: FarEnd,
    /// The calls, in the order they are placed.
    pub calls: Vec<CallPlan>,
    /// What goes wrong.
    pub troubles: Vec<Trouble>,
    /// The network.
    pub network: Conditions,
    /// The store's longest delay.
    pub store_delay: Duration,
    /// What the config source says, and when.
    pub documents: Vec<(Time, Document)>,
    /// What the programs are configured with; their defaults where it is not said.
    pub configured: Option<Configured>,
    /// How scarce media ports are.
    pub scarce: Scarce,
    /// When the world ends.
    pub end: Time,
}

impl Plan {
    /// The death of the first campaign.
    pub fn disaster(&self) -> Option<Disaster> {
        match self.rules {
            Rules::Disaster(disaster) => Some(disaster),
            Rules::Storm => None,
        }
    }

    /// The call with this number.
    pub fn call(&self, number: CallNumber) -> Option<&CallPlan> {
        let found = usize::try_from(number.checked_sub(1)?).ok()?;
        let call = self.calls.get(found).filter(|call| call.number == number);
        call.or_else(|| self.calls.iter().find(|call| call.number == number))
    }

    /// The last hang-up.
    pub fn last_hangup(&self) -> Time {
        let hangups = self.calls.iter().map(|call| call.hangup().at);
        hangups.max().unwrap_or(Time::ZERO)
    }
}

/// The moment `ms` milliseconds after the start.
pub fn at_ms(ms: u64) -> Time {
    Time::ZERO + Duration::from_millis(ms)
}

/// How long after the last hang-up nothing may be left: transactions need 32 s, and the BYE of
/// one that went unanswered the same again; dialogs that moved away are remembered for 64 s.
pub const AFTERMATH: Duration = Duration::from_secs(135);
