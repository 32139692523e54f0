//! The core in virtual time, between an upstream and a downstream peer that the tests play by
//! hand, message by message.

mod calls;
mod draining;
mod failover;
mod far_ends;
mod faults;
mod hang_ups;
mod limits;
mod lost_agents;
mod moved;
mod orphans;
mod ports;
mod refusals;
mod replaced;
mod store_faults;
mod strangers;
mod transfers;

use super::{Event, In, NodeConfig, NodeCore, Out};
use crate::store::{MemoryStore, Store, StoreReply, StoreRequest};
use bytes::Bytes;
use holdline_relay::Command;
use holdline_wire::build::{Body, Builder};
use holdline_wire::dialog::{Dialog, DialogId};
use holdline_wire::header::Name;
use holdline_wire::machine::{Input, Machine, Output};
use holdline_wire::{Message, Method, Time, TransportKey};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

const AGENT: &str = "127.0.0.1:5070";
const UA: &str = "127.0.0.1:5091";

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What the store does with requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StoreMode {
    /// Replies at once.
    Prompt,
    /// Keeps them until [`Bench::serve_store`].
    Slow,
    /// Says that it is down.
    Down,
}

/// A node and what it said.
struct Bench {
    core: NodeCore,
    now: Time,
    address: SocketAddr,
    store: Rc<RefCell<MemoryStore>>,
    mode: StoreMode,
    waiting: VecDeque<StoreRequest>,
    to_agent: VecDeque<Message>,
    to_ua: VecDeque<Message>,
    relay: Vec<Command>,
    events: Vec<Event>,
    branches: u32,
}

impl Bench {
    fn new() -> Bench {
        Bench::at("127.0.0.11:5060", "aaaaaaaaaaaaaaaa", Rc::default())
    }

    fn at(address: &str, incarnation: &str, store: Rc<RefCell<MemoryStore>>) -> Bench {
        let seed = [incarnation.as_bytes()[0]; 32];
        Bench::with(
            NodeConfig::new(addr(address), addr(UA), incarnation, seed),
            store,
        )
    }

    fn with(config: NodeConfig, store: Rc<RefCell<MemoryStore>>) -> Bench {
        let now = Time::ZERO + ms(1000);
        Bench {
            address: config.sip,
            core: NodeCore::new(config, now),
            now,
            store,
            mode: StoreMode::Prompt,
            waiting: VecDeque::new(),
            to_agent: VecDeque::new(),
            to_ua: VecDeque::new(),
            relay: Vec::new(),
            events: Vec::new(),
            branches: 0,
        }
    }

    fn input(&mut self, input: Input<In>) {
        self.core.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Send { to, bytes } => {
                    let message = Message::parse(bytes).expect("the node sends proper SIP");
                    if to.remote == addr(UA) {
                        self.to_ua.push_back(message);
                    } else {
                        self.to_agent.push_back(message);
                    }
                }
                Output::Close(_) => {}
                Output::Other(Out::Relay(command)) => self.relay.push(command),
                Output::Other(Out::Event(event)) => self.events.push(event),
                Output::Other(Out::Store(request)) => self.waiting.push_back(request),
            }
        }
        if self.mode != StoreMode::Slow && !self.waiting.is_empty() {
            self.serve_store();
        }
    }

    /// The store does what it was asked.
    fn serve_store(&mut self) {
        let batch: Vec<StoreRequest> = self.waiting.drain(..).collect();
        let replies = if self.mode == StoreMode::Down {
            let answer = crate::store::Answer::Down;
            batch
                .iter()
                .map(|r| StoreReply {
                    id: r.id,
                    answer: answer.clone(),
                })
                .collect()
        } else {
            let now = self.now.since(Time::ZERO);
            self.store.borrow_mut().perform(now, &batch)
        };
        for reply in replies {
            self.input(Input::Other(In::Store(reply)));
        }
    }

    /// Time passes; the core's deadlines are met on time.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.core.poll_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Deadline);
        }
        self.now = end;
    }

    fn receive(&mut self, remote: &str, bytes: Bytes) {
        let from = TransportKey::udp(self.address, addr(remote));
        self.input(Input::Message { from, bytes });
    }

    fn agent_sends(&mut self, bytes: Bytes) {
        self.receive(AGENT, bytes);
    }

    fn ua_sends(&mut self, bytes: Bytes) {
        self.receive(UA, bytes);
    }

    /// The next message upstream; `what` is a method or a status.
    fn agent_gets(&mut self, what: &str) -> Message {
        expect(&mut self.to_agent, what)
    }

    /// The next message downstream.
    fn ua_gets(&mut self, what: &str) -> Message {
        expect(&mut self.to_ua, what)
    }

    fn quiet(&self) {
        assert!(self.to_agent.is_empty(), "upstream: {:?}", self.to_agent);
        assert!(self.to_ua.is_empty(), "downstream: {:?}", self.to_ua);
    }

    fn branch(&mut self) -> String {
        self.branches += 1;
        format!("z9hG4bKtest{}", self.branches)
    }

    /// A response of the downstream UA.
    fn ua_responds(&mut self, request: &Message, status: u16, sdp: Option<&str>) {
        let bytes = response(request, status, "ua-tag", UA, sdp);
        self.ua_sends(bytes);
    }

    /// The agent hangs up, and the downstream UA hears of it.
    fn agent_hangs_up(&mut self, agent: &mut Dialog) {
        self.agent_requests(agent, Method::Bye, &[]);
        let bye = self.ua_gets("BYE");
        self.ua_responds(&bye, 200, None);
        self.agent_gets("200");
    }

    /// The agent's request inside `dialog`.
    fn agent_requests(&mut self, dialog: &mut Dialog, method: Method, extra: &[(Name, &str)]) {
        let branch = self.branch();
        self.agent_sends(in_dialog(dialog, &method, &branch, extra, None));
    }

    /// The downstream UA's request inside `dialog`.
    fn ua_requests(&mut self, dialog: &mut Dialog, method: Method) {
        let branch = self.branch();
        self.ua_sends(in_dialog(dialog, &method, &branch, &[], None));
    }

    fn agent_acks(&mut self, dialog: &Dialog, number: u32) {
        let branch = self.branch();
        self.agent_sends(dialog.ack(number, &branch).finish(None).unwrap());
    }

    /// A call that is up; the dialogs as agent and UA see them.
    fn establish(&mut self, call: &str) -> Up {
        self.establish_with(call, "")
    }

    /// The same; its INVITE says `extra` beside.
    fn establish_with(&mut self, call: &str, extra: &str) -> Up {
        let invite = invite(call, extra, OFFER);
        self.agent_sends(invite.clone());
        self.agent_gets("100");
        let patience = match self.mode {
            StoreMode::Slow => ms(20),
            StoreMode::Prompt | StoreMode::Down => Duration::ZERO,
        };
        self.pass(patience);
        let downstream = self.ua_gets("INVITE");
        self.ua_responds(&downstream, 200, Some(ANSWER));
        self.ua_gets("ACK");
        self.pass(patience);
        let ok = self.agent_gets("200");
        let invite = Message::parse(invite).unwrap();
        let agent_flow = TransportKey::udp(addr(AGENT), self.address);
        let agent = Dialog::uac(&invite, &ok, agent_flow).unwrap();
        let ua_flow = TransportKey::udp(addr(UA), self.address);
        let ua = Dialog::uas(&downstream, "ua-tag", ua_flow).unwrap();
        self.agent_acks(&agent, 1);
        Up { agent, ua, ok }
    }

    /// The downstream dialog that was replaced gets its BYE when its UA has had a second to end it
    /// (spec: X28).
    fn ua_loses_the_old_dialog(&mut self, up: &Up) {
        self.pass(ms(999));
        assert!(self.to_ua.is_empty(), "too early: {:?}", self.to_ua);
        self.pass(ms(1));
        let bye = self.ua_gets("BYE");
        assert_eq!(bye.call_id(), &*up.ua.id.call_id);
        assert_eq!(bye.to_tag(), Some(&*up.ua.id.local_tag));
        assert!(bye.cseq().number > 1 << 20, "higher than the old node's");
        assert!(bye.text(Name::Reason).unwrap().contains("moved"));
        self.ua_responds(&bye, 481, None);
    }

    /// Nothing is left of any call, after the last transaction has had its time.
    fn no_leaks(&mut self) {
        self.pass(Duration::from_secs(130));
        assert_eq!(self.core.live_calls(), 0, "calls");
        assert_eq!(self.core.ports_in_use(), 0, "ports");
        assert_eq!(self.core.transactions(), (0, 0), "transactions");
        assert_eq!(self.core.dialogs(), 0, "tags");
        assert_eq!(self.core.store_waiting(), 0, "store operations");
        assert_eq!(self.store.borrow().live(), 0, "rows");
        let next = self.core.poll_deadline().expect("the beat");
        assert!(next <= self.now + ms(200), "deadlines");
    }
}

/// A call that is up.
struct Up {
    agent: Dialog,
    ua: Dialog,
    /// The 200 that the agent got.
    ok: Message,
}

impl Up {
    /// What a failover INVITE says to replace this call: `to-tag` is the node's (spec: D24).
    fn replaces(&self) -> String {
        format!(
            "Replaces: {}\r\n",
            self.agent.id.replaces_for_peer().to_value()
        )
    }

    /// The upstream dialog as the node sees it: its key in the store.
    fn key(&self) -> DialogId {
        DialogId {
            call_id: self.agent.id.call_id.clone(),
            local_tag: self.agent.id.remote_tag.clone(),
            remote_tag: self.agent.id.local_tag.clone(),
        }
    }
}

fn expect(queue: &mut VecDeque<Message>, what: &str) -> Message {
    let message = queue
        .pop_front()
        .unwrap_or_else(|| panic!("nothing came, not {what}"));
    let got = match message.is_request() {
        true => message.method().to_string(),
        false => message.status().to_string(),
    };
    assert_eq!(got, what, "{}", String::from_utf8_lossy(message.bytes()));
    message
}

const OFFER: &str = "v=0\r\no=pbx 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 20000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=sendrecv\r\n";
const ANSWER: &str = "v=0\r\no=ua 7 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 25000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=sendrecv\r\n";

/// An INVITE of the agent outside any dialog.
fn invite(call: &str, extra: &str, sdp: &str) -> Bytes {
    let text = format!(
        "INVITE sip:2001@demo.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP {AGENT};branch=z9hG4bK{call};rport\r\n\
         Max-Forwards: 69\r\n\
         From: \"Alice\" <sip:1001@pbx.example>;tag=agent-{call}\r\n\
         To: <sip:2001@demo.example>\r\n\
         Call-ID: {call}\r\n\
         CSeq: 1 INVITE\r\n\
         Contact: <sip:{AGENT}>\r\n\
         P-Asserted-Identity: <sip:+4930123@pbx.example>\r\n\
         Supported: replaces, 100rel\r\n\
         {extra}Content-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    text.into()
}

fn sdp_body(sdp: &str) -> Body {
    Body::sdp(Bytes::copy_from_slice(sdp.as_bytes()))
}

fn response(request: &Message, status: u16, tag: &str, own: &str, sdp: Option<&str>) -> Bytes {
    let source = addr("127.0.0.11:5060");
    let tag = (status > 100).then_some(tag);
    let mut builder = Builder::response(request, source, status, b"", tag);
    if status < 300 {
        builder = builder.header(Name::Contact, format!("<sip:{own}>"));
    }
    builder.finish(sdp.map(sdp_body).as_ref()).unwrap()
}

fn in_dialog(
    dialog: &mut Dialog,
    method: &Method,
    branch: &str,
    extra: &[(Name, &str)],
    sdp: Option<&str>,
) -> Bytes {
    let mut builder = dialog.request(method, branch);
    builder = builder.header(Name::Contact, format!("<sip:{}>", dialog.flow.local));
    for (name, value) in extra {
        builder = builder.header(*name, value);
    }
    builder.finish(sdp.map(sdp_body).as_ref()).unwrap()
}

fn text(body: &Bytes) -> String {
    String::from_utf8_lossy(body).into_owned()
}
