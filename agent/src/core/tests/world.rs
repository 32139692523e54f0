//! The world around the core: a calling server, nodes that answer OPTIONS by themselves, and a
//! network that loses nothing.

use crate::cluster::HealthConfig;
use crate::core::{AgentCore, Event, In, Limits, Moving, Out, Settings};
use bytes::Bytes;
use holdline_relay::Command;
use holdline_wire::build::{Body, Builder};
use holdline_wire::dialog::Dialog;
use holdline_wire::header::{
    InstanceAgent, InstanceFarEnd, InstanceState, InstanceStore, Name, Replaces,
};
use holdline_wire::machine::{Input, Machine, Output, TransportFault};
use holdline_wire::{Message, Method, Time, TransportKey};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

pub const PBX: &str = "127.0.0.1:5080";
pub const AGENT: &str = "127.0.0.1:5070";

pub const OFFER: &str = "v=0\r\no=pbx 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\n\
    t=0 0\r\nm=audio 20000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";
pub const ANSWER: &str = "v=0\r\no=node 7 1 IN IP4 127.0.0.11\r\ns=-\r\nc=IN IP4 127.0.0.11\r\n\
    t=0 0\r\nm=audio 25000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";
/// The calling server's offer with the call put on hold.
pub const HELD: &str = "v=0\r\no=pbx 1 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\n\
    t=0 0\r\nm=audio 20000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=sendonly\r\n";

/// The network's round trip.
const DELAY: Duration = Duration::from_micros(200);

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn node_address(node: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 11 + node as u8], 5060))
}

/// A node as its host is and as it tells of itself.
pub struct Node {
    pub alive: bool,
    /// Whether a dead node's host refuses packets, or swallows them.
    pub refuses: bool,
    pub incarnation: Option<String>,
    pub utilization: Option<u8>,
    /// Whether it says that it is about to leave.
    pub draining: bool,
    /// The store that it names, and whether that works.
    pub store: Option<(&'static str, bool)>,
    pub inbox: VecDeque<Message>,
}

pub struct World {
    pub core: AgentCore,
    pub now: Time,
    pub nodes: Vec<Node>,
    pub to_pbx: VecDeque<Message>,
    pub relay: Vec<Command>,
    pub events: Vec<Event>,
    pub strangers_got: usize,
    /// The OPTIONS that nodes got, and the flow that each came by.
    pub probes: Vec<(TransportKey, Message)>,
    /// What nodes tell of the far end in a 2xx to an INVITE.
    pub far_end: Option<InstanceFarEnd>,
    feedback: VecDeque<Input<In>>,
    /// What nodes have got.
    seen: BTreeSet<Bytes>,
    count: u32,
}

/// A call that is up, as both ends see it.
pub struct Call {
    pub pbx: Dialog,
    pub node: usize,
    /// The dialog as the node has it.
    pub far: Dialog,
}

impl World {
    /// `count` nodes that live and tell their incarnations.
    pub fn with_nodes(count: usize) -> World {
        World::with(count, |_| {})
    }

    pub fn with(count: usize, change: impl FnOnce(&mut Settings)) -> World {
        let mut settings = Settings {
            agent: InstanceAgent {
                id: "pbx-1".into(),
                incarnation: "first".into(),
            },
            trunk: "trunk".into(),
            sip: addr(AGENT),
            allow: vec!["127.0.0.1/32".parse().unwrap()],
            media: "127.0.0.1".parse().unwrap(),
            ports: (10_000, 10_399),
            max_calls: 100,
            setup_timeout: seconds(200),
            health: HealthConfig::default(),
            moving: Moving::default(),
            limits: Limits::default(),
        };
        change(&mut settings);
        let node = |n: usize| Node {
            alive: true,
            refuses: true,
            incarnation: Some(format!("first-{n}")),
            utilization: Some(10),
            draining: false,
            store: None,
            inbox: VecDeque::new(),
        };
        let mut world = World {
            core: AgentCore::new(settings, [7; 32]),
            now: Time::ZERO + ms(10),
            nodes: (0..count).map(node).collect(),
            to_pbx: VecDeque::new(),
            relay: Vec::new(),
            events: Vec::new(),
            strangers_got: 0,
            probes: Vec::new(),
            // Nothing bounds what it is asked at a time.
            far_end: Some(InstanceFarEnd::new(
                addr("127.0.0.1:5091"),
                None,
                Some(1000),
            )),
            feedback: VecDeque::new(),
            seen: BTreeSet::new(),
            count: 0,
        };
        let active: Vec<bool> = vec![true; count];
        world.document(&active);
        world.pass(seconds(1));
        world.events.clear();
        world
    }

    /// The trunk document, with who is active.
    pub fn document(&mut self, active: &[bool]) {
        self.listed(active.iter().copied().enumerate());
    }

    /// The trunk document, with everybody active but one, who is not in it.
    pub fn document_without(&mut self, node: usize) {
        self.listed(
            (0..self.nodes.len())
                .filter(|n| *n != node)
                .map(|n| (n, true)),
        );
    }

    fn listed(&mut self, nodes: impl Iterator<Item = (usize, bool)>) {
        let instances: Vec<String> = nodes
            .map(|(node, active)| {
                let address = node_address(node);
                let status = if active { "active" } else { "inactive" };
                let (ip, port) = (address.ip(), address.port());
                format!(r#"{{"IP":"{ip}","port":"{port}","status":"{status}"}}"#)
            })
            .collect();
        let json = format!(
            r#"{{"cloud-sip-trunk-name":"trunk.example","uri":"http://127.0.0.1/trunk",
            "version":1,"webhook-registration":"http://127.0.0.1/hook","instances":[{}]}}"#,
            instances.join(",")
        );
        self.input(Input::Other(In::Trunk(json.into())));
        let refused = |event: &Event| matches!(event, Event::TrunkRefused { .. });
        assert!(!self.events.iter().any(refused), "{:?}", self.events);
    }

    pub fn input(&mut self, input: Input<In>) {
        self.feedback.push_back(input);
        let mut steps = 0;
        while let Some(input) = self.next_input() {
            if steps > 0 {
                // What comes back has been on its way.
                self.now = self.now + DELAY;
            }
            steps += 1;
            assert!(steps < 10_000, "the core never rests: {input:?}");
            self.core.handle(self.now, input);
            while let Some(output) = self.core.poll_output() {
                self.take(output);
            }
            self.core.check();
        }
    }

    /// What comes back, or what is due at once.
    fn next_input(&mut self) -> Option<Input<In>> {
        let due = self.core.poll_deadline().is_some_and(|at| at <= self.now);
        self.feedback
            .pop_front()
            .or_else(|| due.then_some(Input::Deadline))
    }

    fn take(&mut self, output: Output<Out>) {
        match output {
            Output::Send { to, bytes } => {
                let message = Message::parse(bytes).expect("the agent sends proper SIP");
                let node = (0..self.nodes.len()).find(|n| node_address(*n) == to.remote);
                match node {
                    Some(node) => self.node_gets(node, to, message),
                    None if to.remote == addr(PBX) => self.to_pbx.push_back(message),
                    None => self.strangers_got += 1,
                }
            }
            Output::Close(_) => {}
            Output::Other(Out::Relay(command)) => self.relay.push(command),
            Output::Other(Out::Event(event)) => self.events.push(event),
        }
    }

    fn node_gets(&mut self, node: usize, to: TransportKey, message: Message) {
        let probe = *message.method() == Method::Options && message.is_request();
        if probe {
            self.probes.push((to, message.clone()));
        }
        match (self.nodes[node].alive, probe) {
            (true, true) => {
                let bytes = self.response(node, &message, 200, "probe", None);
                self.feedback.push_back(Input::Message { from: to, bytes });
            }
            // Repetitions are for the network, of which this one has no need.
            (true, false) if self.seen.insert(message.bytes().clone()) => {
                self.nodes[node].inbox.push_back(message);
            }
            (false, true) if self.nodes[node].refuses => {
                let fault = TransportFault::Refused;
                let quoted = Bytes::new();
                self.feedback.push_back(Input::Fault {
                    key: to,
                    fault,
                    quoted,
                });
            }
            _ => {}
        }
    }

    /// Time passes; the core's deadlines are met on time.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps = 0;
        while let Some(at) = self.core.poll_deadline().filter(|at| *at <= end) {
            steps += 1;
            assert!(steps < 1_000_000, "the core never rests");
            self.now = self.now.max(at);
            self.input(Input::Deadline);
        }
        self.now = self.now.max(end);
    }

    pub fn branch(&mut self) -> String {
        self.count += 1;
        format!("z9hG4bKtest{}", self.count)
    }

    // The calling server.

    pub fn pbx_sends(&mut self, bytes: Bytes) {
        let from = TransportKey::udp(addr(AGENT), addr(PBX));
        self.input(Input::Message { from, bytes });
    }

    /// OPTIONS of the calling server.
    pub fn pbx_asks(&mut self) {
        let branch = self.branch();
        let options = format!(
            "OPTIONS sip:{AGENT} SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch={branch}\r\n\
             From: <sip:a@h>;tag=1\r\nTo: <sip:{AGENT}>\r\nCall-ID: {branch}\r\n\
             CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        self.pbx_sends(options.into());
    }

    pub fn pbx_gets(&mut self, what: &str) -> Message {
        expect(&mut self.to_pbx, what)
    }

    /// The calling server got nothing more.
    pub fn pbx_noticed_nothing(&self) {
        assert!(self.to_pbx.is_empty(), "it got {:?}", self.to_pbx);
    }

    /// An INVITE of the calling server, with `extra` headers.
    pub fn invite(&mut self, uri: &str, extra: &str, sdp: &str) -> Message {
        self.count += 1;
        let n = self.count;
        let content = if sdp.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let text = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bKcall{n};rport\r\n\
             Max-Forwards: 69\r\nFrom: \"Alice\" <sip:1001@pbx.example>;tag=pbx{n}\r\n\
             To: <sip:2001@pbx.example>\r\nCall-ID: call-{n}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:{PBX}>\r\n{extra}{content}Content-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        let invite = Message::parse(text.into()).unwrap();
        self.pbx_sends(invite.bytes().clone());
        invite
    }

    /// A call that rings nowhere yet: the INVITE, the node that has it, and what it got.
    pub fn call(&mut self, extra: &str) -> (Message, usize, Message) {
        let invite = self.invite("sip:2001@127.0.0.1:5070", extra, OFFER);
        self.pbx_gets("100");
        let (node, placed) = self.node_invited();
        (invite, node, placed)
    }

    /// A call that is up.
    pub fn call_up(&mut self) -> Call {
        self.call_up_with("")
    }

    pub fn call_up_with(&mut self, extra: &str) -> Call {
        let (invite, node, placed) = self.call(extra);
        self.node_responds(node, &placed, 200, Some(ANSWER));
        self.node_got(node, "ACK");
        self.accepted(invite, node, &placed)
    }

    /// The calling server gets the 200 and acknowledges it.
    pub fn accepted(&mut self, invite: Message, node: usize, placed: &Message) -> Call {
        let ok = self.pbx_gets("200");
        let flow = TransportKey::udp(addr(PBX), addr(AGENT));
        let pbx = Dialog::uac(&invite, &ok, flow).unwrap();
        let branch = self.branch();
        self.pbx_sends(pbx.ack(1, &branch).finish(None).unwrap());
        let far = self.dialog_at(node, placed);
        Call { pbx, node, far }
    }

    /// The calling server's request inside the call.
    pub fn pbx_requests(&mut self, call: &mut Call, method: Method, sdp: Option<&str>) -> Message {
        let branch = self.branch();
        let bytes = in_dialog(&mut call.pbx, &method, &branch, sdp);
        self.pbx_sends(bytes.clone());
        Message::parse(bytes).unwrap()
    }

    pub fn pbx_responds(&mut self, request: &Message, status: u16, sdp: Option<&str>) {
        let builder = Builder::response(request, addr(AGENT), status, b"", Some("pbx"));
        let builder = builder.header(Name::Contact, format!("<sip:{PBX}>"));
        let bytes = builder.finish(sdp.map(body).as_ref()).unwrap();
        self.pbx_sends(bytes);
    }

    /// The calling server takes an INVITE back.
    pub fn pbx_cancels(&mut self, invite: &Message) {
        let text = String::from_utf8_lossy(invite.bytes());
        let kept = |line: &&str| {
            let named = ["Via", "Max-", "From", "To:", "Call-ID"];
            named.iter().any(|name| line.starts_with(name))
        };
        let lines: Vec<&str> = text.lines().filter(kept).collect();
        let (uri, number) = (invite.request_uri(), invite.cseq().number);
        let text = format!(
            "CANCEL {uri} SIP/2.0\r\n{}\r\nCSeq: {number} CANCEL\r\nContent-Length: 0\r\n\r\n",
            lines.join("\r\n")
        );
        self.pbx_sends(text.into());
    }

    // The nodes.

    /// The process is gone, and its host says so.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].alive = false;
        self.nodes[node].inbox.clear();
    }

    /// The process dies, and the verdict falls.
    pub fn kill_and_judge(&mut self, node: usize) {
        self.kill(node);
        self.pass(ms(300));
    }

    /// Another process takes the node's address.
    pub fn restart(&mut self, node: usize) {
        self.nodes[node].alive = true;
        self.nodes[node].inbox.clear();
        if let Some(incarnation) = &mut self.nodes[node].incarnation {
            incarnation.push('+');
        }
    }

    pub fn node_sends(&mut self, node: usize, bytes: Bytes) {
        let from = TransportKey::udp(addr(AGENT), node_address(node));
        self.input(Input::Message { from, bytes });
    }

    /// The next message at a node.
    pub fn node_got(&mut self, node: usize, what: &str) -> Message {
        expect(&mut self.nodes[node].inbox, what)
    }

    /// The INVITE that came to some node, and to which; retransmissions are passed over.
    pub fn node_invited(&mut self) -> (usize, Message) {
        let invited = self.next_invite();
        invited.unwrap_or_else(|| panic!("no node got an INVITE; {:?}", self.events))
    }

    /// The same, however long it takes.
    pub fn node_is_invited_at_last(&mut self) -> (usize, Message) {
        for _ in 0..1000 {
            if let Some(invited) = self.next_invite() {
                return invited;
            }
            self.pass(ms(10));
        }
        panic!("no node got an INVITE in 10 s; {:?}", self.events)
    }

    pub fn next_invite(&mut self) -> Option<(usize, Message)> {
        for (node, at) in self.nodes.iter_mut().enumerate() {
            let is_new = |m: &Message| *m.method() == Method::Invite && m.is_request();
            let Some(index) = at.inbox.iter().position(is_new) else {
                continue;
            };
            return Some((node, at.inbox.remove(index)?));
        }
        None
    }

    pub fn node_responds(
        &mut self,
        node: usize,
        request: &Message,
        status: u16,
        sdp: Option<&str>,
    ) {
        let tag = format!("node{node}");
        let bytes = self.response(node, request, status, &tag, sdp);
        self.node_sends(node, bytes);
    }

    /// `node` passes on what the far end refuses with.
    pub fn far_end_refuses(
        &mut self,
        node: usize,
        request: &Message,
        status: u16,
        headers: &[(Name, &str)],
    ) {
        let mut builder = Builder::response(request, addr(AGENT), status, b"", Some("far"));
        if let Some(told) = &self.nodes[node].incarnation {
            builder = builder.header(Name::InstanceIncarnation, told);
        }
        for (name, value) in headers {
            builder = builder.header(*name, value);
        }
        self.node_sends(node, builder.finish(None).unwrap());
    }

    fn response(
        &self,
        node: usize,
        request: &Message,
        status: u16,
        tag: &str,
        sdp: Option<&str>,
    ) -> Bytes {
        let tag = (status > 100).then_some(tag);
        let mut builder = Builder::response(request, addr(AGENT), status, b"", tag);
        if status < 300 {
            let contact = format!("<sip:{}>", node_address(node));
            builder = builder.header(Name::Contact, contact);
        }
        if let Some(told) = &self.nodes[node].incarnation {
            builder = builder.header(Name::InstanceIncarnation, told);
        }
        if status >= 300 && self.nodes[node].incarnation.is_some() {
            builder = builder.header(Name::InstanceRefusal, "other");
        }
        let answers = *request.method() == Method::Invite && (200..300).contains(&status);
        if let Some(told) = self.far_end.as_ref().filter(|_| answers) {
            builder = builder.header(Name::InstanceFarEnd, told);
        }
        if let Some(told) = self.nodes[node].utilization {
            builder = builder.header(Name::InstanceUtilization, told);
        }
        let state = match self.nodes[node].draining {
            true => InstanceState::Draining,
            false => InstanceState::Active,
        };
        builder = builder.header(Name::InstanceState, state.as_str());
        if let Some((id, up)) = self.nodes[node].store {
            let store = InstanceStore { id: id.into(), up };
            builder = builder.header(Name::InstanceStore, store);
        }
        builder.finish(sdp.map(body).as_ref()).unwrap()
    }

    /// The dialog that `invite` made at `node`.
    pub fn dialog_at(&self, node: usize, invite: &Message) -> Dialog {
        let flow = TransportKey::udp(node_address(node), addr(AGENT));
        Dialog::uas(invite, &format!("node{node}"), flow).unwrap()
    }

    /// A node's request inside its dialog.
    pub fn node_requests(
        &mut self,
        node: usize,
        dialog: &mut Dialog,
        method: Method,
        sdp: Option<&str>,
    ) {
        let branch = self.branch();
        let bytes = in_dialog(dialog, &method, &branch, sdp);
        self.node_sends(node, bytes);
    }

    /// The failover INVITE for `call` came, and names its dialog; it is answered.
    pub fn call_moves(&mut self, call: &mut Call) -> Message {
        let (node, invite) = self.node_is_invited_at_last();
        assert!(
            replaces(&invite).to_tag == call.far.id.local_tag,
            "Replaces"
        );
        self.node_responds(node, &invite, 200, Some(ANSWER));
        self.node_got(node, "ACK");
        (call.node, call.far) = (node, self.dialog_at(node, &invite));
        invite
    }

    /// Hangs up at the calling server, and nothing of any call is left.
    pub fn hang_up(&mut self, call: &mut Call) {
        self.pbx_requests(call, Method::Bye, None);
        self.pbx_gets("200");
        let bye = self.node_got(call.node, "BYE");
        self.node_responds(call.node, &bye, 200, None);
        self.no_trace();
    }

    /// After the last transaction has had its time nothing is left; every call ended once.
    pub fn no_trace(&mut self) {
        self.pass(seconds(200));
        self.core.assert_no_trace();
    }

    /// How the calls ended that have, in order.
    pub fn endings(&self) -> Vec<(&'static str, u32)> {
        let ending = |event: &Event| match event {
            Event::CallEnded {
                cause, generation, ..
            } => Some((cause.as_str(), *generation)),
            _ => None,
        };
        self.events.iter().filter_map(ending).collect()
    }

    /// The last failover's end: moved, lost, ended.
    pub fn failover_done(&self) -> Option<(usize, usize, usize)> {
        self.events.iter().rev().find_map(|event| match event {
            Event::FailoverDone {
                moved, lost, ended, ..
            } => Some((*moved, *lost, *ended)),
            _ => None,
        })
    }
}

/// The Replaces header of an INVITE.
pub fn replaces(invite: &Message) -> Replaces {
    let value = invite.header(Name::Replaces).expect("a Replaces header");
    Replaces::parse(value).expect("a whole one")
}

/// The text of a message.
pub fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.bytes()).into_owned()
}

fn expect(queue: &mut VecDeque<Message>, what: &str) -> Message {
    let message = queue
        .pop_front()
        .unwrap_or_else(|| panic!("nothing came, not {what}"));
    let got = match message.is_request() {
        true => message.method().to_string(),
        false => message.status().to_string(),
    };
    assert_eq!(got, what, "{}", text(&message));
    // A message may be repeated until it is answered.
    queue.retain(|again| again.bytes() != message.bytes());
    message
}

pub fn body(sdp: &str) -> Body {
    Body::sdp(Bytes::copy_from_slice(sdp.as_bytes()))
}

pub fn in_dialog(dialog: &mut Dialog, method: &Method, branch: &str, sdp: Option<&str>) -> Bytes {
    let contact = format!("<sip:{}>", dialog.flow.local);
    let builder = dialog
        .request(method, branch)
        .header(Name::Contact, contact);
    builder.finish(sdp.map(body).as_ref()).unwrap()
}
