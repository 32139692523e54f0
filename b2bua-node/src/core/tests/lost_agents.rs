//! An agent is gone: its calls end at the far end, and nobody else's do (spec: X42).

use super::*;
use holdline_relay::{Report, Side, StreamId};

/// What an agent says of itself.
fn said_by(incarnation: &str) -> String {
    format!("Instance-Agent: pbx-1;incarnation={incarnation}\r\n")
}

impl Bench {
    /// A probe of the agent's process `incarnation`.
    fn probe(&mut self, incarnation: &str) {
        self.branches += 1;
        let n = self.branches;
        let text = format!(
            "OPTIONS sip:127.0.0.11:5060 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:50001;branch=z9hG4bKprobe{n};rport\r\n\
             Max-Forwards: 0\r\n\
             From: <sip:probe@{AGENT}>;tag=probe{n}\r\n\
             To: <sip:127.0.0.11:5060>\r\n\
             Call-ID: probe{n}\r\n\
             CSeq: 1 OPTIONS\r\n\
             {}Content-Length: 0\r\n\r\n",
            said_by(incarnation)
        );
        self.receive("127.0.0.1:50001", text.into());
        let answers = |message: &Message| *message.method() == Method::Options;
        assert!(self.to_agent.iter().any(answers), "no answer to a probe");
        self.to_agent.retain(|message| !answers(message));
    }

    /// Probes each 250 ms for so long.
    fn probed_for(&mut self, incarnation: &str, seconds: u64) {
        for _ in 0..4 * seconds {
            self.pass(ms(250));
            self.probe(incarnation);
        }
    }

    /// The first stream of the newest call.
    pub(super) fn newest_stream(&self) -> StreamId {
        let installed = |command: &Command| match command {
            Command::Install { stream, .. } => Some(*stream),
            _ => None,
        };
        self.relay.iter().rev().find_map(installed).expect("media")
    }

    pub(super) fn hears(&mut self, stream: StreamId, side: Side) {
        self.input(Input::Other(In::Media(Report::Heard { stream, side })));
    }

    pub(super) fn falls_silent(&mut self, stream: StreamId, side: Side) {
        let since = self.now;
        let report = Report::Quiet {
            stream,
            side,
            since,
        };
        self.input(Input::Other(In::Media(report)));
    }

    /// The calls end at the far end, and what they leave is gone: so many.
    fn ends_at_the_far_end(&mut self, count: usize) {
        for _ in 0..count {
            let bye = self.ua_gets("BYE");
            let reason = bye.text(Name::Reason).unwrap();
            assert!(reason.contains("calling side lost"), "{reason}");
            self.ua_responds(&bye, 200, None);
            self.agent_gets("BYE");
        }
        assert_eq!(self.core.live_calls(), 0);
    }

    /// A call of the agent's process `incarnation`, in which both sides are heard.
    fn call_of(&mut self, incarnation: &str, name: &str) -> (Up, StreamId) {
        let up = self.establish_with(name, &said_by(incarnation));
        let stream = self.newest_stream();
        self.hears(stream, Side::Near);
        self.hears(stream, Side::Far);
        (up, stream)
    }
}

// spec: X42
#[test]
fn a_silent_agents_calls_end_after_their_time() {
    let mut bench = Bench::new();
    bench.probed_for("one", 3);
    let (_, stream) = bench.call_of("one", "a");
    bench.probed_for("one", 2);
    bench.falls_silent(stream, Side::Near);
    bench.pass(Duration::from_secs(34));
    bench.quiet();
    bench.pass(Duration::from_secs(2));
    bench.ends_at_the_far_end(1);
    bench.to_agent.clear();
    bench.no_leaks();
}

// spec: X42
#[test]
fn a_draining_node_with_a_lost_agents_call_ends() {
    let mut bench = Bench::new();
    let (_, stream) = bench.call_of("one", "a");
    bench.probe("one");
    bench.input(Input::Other(In::Operator(super::super::Operator::Drain)));
    bench.falls_silent(stream, Side::Near);
    bench.pass(Duration::from_secs(40));
    bench.ends_at_the_far_end(1);
    assert!(bench.core.status().draining);
    assert_eq!(bench.core.status().calls, 0);
}

// spec: X42
#[test]
fn a_restarted_agents_old_calls_end_and_its_new_ones_do_not() {
    let mut bench = Bench::new();
    let (_, old) = bench.call_of("one", "a");
    bench.probe("one");
    bench.probe("two");
    bench.falls_silent(old, Side::Near);
    bench.call_of("two", "b");
    bench.probed_for("two", 29);
    bench.quiet();
    bench.probed_for("two", 3);
    let bye = bench.ua_gets("BYE");
    bench.ua_responds(&bye, 200, None);
    assert_eq!(bench.core.live_calls(), 1);
    bench.probed_for("two", 100);
    assert_eq!(bench.core.live_calls(), 1);
}

// spec: X42
#[test]
fn an_agent_that_is_heard_again_keeps_its_calls() {
    let mut bench = Bench::new();
    let (mut up, stream) = bench.call_of("one", "a");
    bench.probe("one");
    bench.falls_silent(stream, Side::Near);
    bench.pass(Duration::from_secs(30));
    bench.probed_for("one", 100);
    bench.quiet();
    assert_eq!(bench.core.live_calls(), 1);
    bench.agent_hangs_up(&mut up.agent);
    bench.no_leaks();
}

// spec: X42
#[test]
fn media_of_the_calling_side_keep_a_call_and_their_end_does_not() {
    let mut bench = Bench::new();
    let (_, stream) = bench.call_of("one", "a");
    bench.probe("one");
    bench.pass(Duration::from_secs(120));
    bench.quiet();
    bench.falls_silent(stream, Side::Near);
    bench.pass(Duration::from_secs(20));
    bench.hears(stream, Side::Near);
    bench.pass(Duration::from_secs(60));
    bench.quiet();
    bench.falls_silent(stream, Side::Near);
    bench.pass(Duration::from_secs(31));
    bench.ends_at_the_far_end(1);
}

// spec: X42
#[test]
fn a_request_of_the_agent_in_the_calls_dialog_gives_it_time_again() {
    let mut bench = Bench::new();
    let (mut up, stream) = bench.call_of("one", "a");
    bench.probe("one");
    bench.falls_silent(stream, Side::Near);
    bench.pass(Duration::from_secs(30));
    bench.agent_requests(&mut up.agent, Method::Info, &[]);
    let info = bench.ua_gets("INFO");
    bench.ua_responds(&info, 200, None);
    bench.agent_gets("200");
    bench.pass(Duration::from_secs(30));
    bench.quiet();
    bench.pass(Duration::from_secs(10));
    bench.ends_at_the_far_end(1);
}

// spec: X42
#[test]
fn who_never_probes_is_not_missed() {
    let mut bench = Bench::new();
    bench.establish("a");
    let stream = bench.newest_stream();
    bench.hears(stream, Side::Near);
    bench.falls_silent(stream, Side::Near);
    bench.pass(Duration::from_secs(600));
    bench.quiet();
    assert_eq!(bench.core.live_calls(), 1);
}

// spec: X42
#[test]
fn many_calls_of_a_lost_agent_end_at_a_pace() {
    let mut bench = Bench::new();
    for n in 0..150 {
        bench.establish_with(&format!("call{n}"), &said_by("one"));
    }
    bench.probe("one");
    bench.pass(Duration::from_secs(34));
    let mut most = 0;
    for _ in 0..80 {
        bench.pass(ms(100));
        let byes: Vec<Message> = bench.to_ua.drain(..).collect();
        most = most.max(byes.len());
        for bye in byes {
            bench.ua_responds(&bye, 200, None);
        }
    }
    assert!(most <= 10, "{most} in 100 ms");
    assert_eq!(bench.core.live_calls(), 0);
}

// spec: X28, X42
#[test]
fn a_call_that_another_node_has_by_then_is_not_ended() {
    let store = Rc::<RefCell<MemoryStore>>::default();
    let mut parted = Bench::at("127.0.0.11:5060", "aaaaaaaaaaaaaaaa", store.clone());
    let (up, stream) = parted.call_of("one", "a");
    parted.probe("one");
    parted.falls_silent(stream, Side::Near);
    let mut survivor = Bench::at("127.0.0.12:5060", "bbbbbbbbbbbbbbbb", store);
    let moved = format!("{}{}", up.replaces(), said_by("one"));
    survivor.agent_sends(invite("b", &moved, OFFER));
    survivor.agent_gets("100");
    survivor.agent_gets("183");
    let downstream = survivor.ua_gets("INVITE");
    survivor.ua_responds(&downstream, 200, Some(ANSWER));
    survivor.agent_gets("200");
    parted.pass(Duration::from_secs(60));
    parted.quiet();
    assert_eq!(parted.core.live_calls(), 0);
    assert!(parted.events.contains(&Event::Moved(1)));
    assert_eq!(survivor.core.live_calls(), 1);
}

// spec: X42
#[test]
fn a_node_that_stood_still_itself_gives_everybody_their_time_again() {
    let mut bench = Bench::new();
    let (_, stream) = bench.call_of("one", "a");
    bench.probe("one");
    bench.falls_silent(stream, Side::Near);
    bench.now = bench.now + Duration::from_secs(50);
    bench.input(Input::Deadline);
    bench.pass(Duration::from_secs(4));
    bench.quiet();
    bench.probed_for("one", 60);
    bench.quiet();
    assert_eq!(bench.core.live_calls(), 1);
}
