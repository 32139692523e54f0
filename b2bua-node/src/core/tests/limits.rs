//! Calls that end by themselves: nobody is heard, or they last too long.

use super::*;
use holdline_relay::{Side, StreamId};

impl Bench {
    /// A call in which both sides are heard.
    fn spoken(&mut self) -> (Up, StreamId) {
        let up = self.establish("a");
        let stream = self.newest_stream();
        self.hears(stream, Side::Near);
        self.hears(stream, Side::Far);
        (up, stream)
    }

    fn both_fall_silent(&mut self, stream: StreamId) {
        self.falls_silent(stream, Side::Near);
        self.falls_silent(stream, Side::Far);
    }

    /// The call ended on both sides, for this.
    fn ended(&mut self, why: &str, cause: &'static str) {
        for message in [self.agent_gets("BYE"), self.ua_gets("BYE")] {
            let reason = message.text(Name::Reason).unwrap();
            assert_eq!(reason, format!("SIP;cause=408;text=\"{why}\""));
        }
        let over =
            |event: &Event| matches!(event, Event::Over { cause: c, .. } if c.as_str() == cause);
        assert!(self.events.iter().any(over), "{:?}", self.events);
        assert_eq!(self.core.live_calls(), 0);
        self.no_leaks();
    }

    /// A re-INVITE of the agent, answered by the downstream UA.
    pub(super) fn reinvite(&mut self, agent: &mut Dialog, direction: &str, answer: &str) {
        let describe = |sdp: &str, direction: &str| sdp.replace("a=sendrecv", direction);
        let (offer, answer) = (describe(OFFER, direction), describe(ANSWER, answer));
        let branch = self.branch();
        let invite = in_dialog(agent, &Method::Invite, &branch, &[], Some(&offer));
        self.agent_sends(invite);
        self.agent_gets("100");
        let passed = self.ua_gets("INVITE");
        self.ua_responds(&passed, 200, Some(&answer));
        let ok = self.agent_gets("200");
        self.agent_acks(agent, ok.cseq().number);
        self.ua_gets("ACK");
    }
}

// spec: X27
#[test]
fn a_call_in_which_nobody_is_heard_any_more_ends() {
    let mut bench = Bench::new();
    let (_, stream) = bench.spoken();
    bench.falls_silent(stream, Side::Near);
    bench.pass(Duration::from_secs(600));
    bench.quiet();
    bench.falls_silent(stream, Side::Far);
    bench.pass(Duration::from_secs(54));
    bench.quiet();
    bench.pass(Duration::from_secs(2));
    bench.ended("no media", "no_media");
}

// spec: X27
#[test]
fn a_call_that_is_heard_again_or_was_never_heard_goes_on() {
    let mut bench = Bench::new();
    let (_, stream) = bench.spoken();
    bench.both_fall_silent(stream);
    bench.pass(Duration::from_secs(50));
    bench.hears(stream, Side::Far);
    bench.pass(Duration::from_secs(300));
    bench.quiet();
    assert_eq!(bench.core.live_calls(), 1);

    let mut never = Bench::new();
    never.establish("a");
    let stream = never.newest_stream();
    never.hears(stream, Side::Far);
    never.falls_silent(stream, Side::Far);
    never.pass(Duration::from_secs(3600));
    never.quiet();
    assert_eq!(never.core.live_calls(), 1);
}

// spec: X27
#[test]
fn a_call_on_hold_goes_on_for_an_hour_and_has_all_its_time_afterwards() {
    let mut bench = Bench::new();
    let (mut up, stream) = bench.spoken();
    bench.reinvite(&mut up.agent, "a=sendonly", "a=recvonly");
    bench.both_fall_silent(stream);
    bench.pass(Duration::from_secs(3650));
    bench.quiet();
    bench.reinvite(&mut up.agent, "a=sendrecv", "a=sendrecv");
    bench.pass(Duration::from_secs(59));
    bench.quiet();
    assert_eq!(bench.core.live_calls(), 1);
    bench.pass(Duration::from_secs(62));
    bench.ended("no media", "no_media");
}

// spec: X27
#[test]
fn a_fax_is_silent_as_long_as_it_likes() {
    let mut bench = Bench::new();
    let (mut up, stream) = bench.spoken();
    let fax = |sdp: &str, port: u16| {
        let (head, _) = sdp.split_once("m=").unwrap();
        format!("{head}m=audio 0 RTP/AVP 8\r\nm=image {port} udptl t38\r\n")
    };
    let branch = bench.branch();
    let offer = fax(OFFER, 20_002);
    let invite = in_dialog(&mut up.agent, &Method::Invite, &branch, &[], Some(&offer));
    bench.agent_sends(invite);
    bench.agent_gets("100");
    let passed = bench.ua_gets("INVITE");
    bench.ua_responds(&passed, 200, Some(&fax(ANSWER, 25_002)));
    let ok = bench.agent_gets("200");
    bench.agent_acks(&up.agent, ok.cseq().number);
    bench.ua_gets("ACK");
    bench.both_fall_silent(stream);
    bench.pass(Duration::from_secs(3600));
    bench.quiet();
    assert_eq!(bench.core.live_calls(), 1);
}

// spec: X27
#[test]
fn a_node_that_stood_still_ends_no_call_for_the_silence_meanwhile() {
    let mut bench = Bench::new();
    let (_, stream) = bench.spoken();
    bench.both_fall_silent(stream);
    bench.now = bench.now + Duration::from_secs(300);
    bench.input(Input::Deadline);
    bench.pass(Duration::from_secs(5));
    bench.quiet();
    bench.hears(stream, Side::Far);
    bench.pass(Duration::from_secs(120));
    bench.quiet();
    assert_eq!(bench.core.live_calls(), 1);
}

// spec: X27
#[test]
fn no_call_lasts_longer_than_the_longest() {
    let config = NodeConfig::new(addr("127.0.0.11:5060"), addr(UA), "aaaa", [1; 32]);
    let limits = crate::core::Limits {
        longest: Some(Duration::from_secs(120)),
        ..config.limits
    };
    let mut bench = Bench::with(NodeConfig { limits, ..config }, Rc::default());
    bench.spoken();
    bench.pass(Duration::from_secs(119));
    bench.quiet();
    bench.pass(Duration::from_secs(2));
    bench.ended("call too long", "too_long");
}
