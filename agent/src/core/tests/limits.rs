//! Calls that the agent ends by itself: nobody is heard, they last too long, or the calling server
//! does not know them any more.

use super::world::{ANSWER, Call, HELD, World, ms, seconds};
use crate::core::{Event, In, Limits};
use holdline_relay::{Command, Report, Side, StreamId};
use holdline_wire::header::Name;
use holdline_wire::machine::Input;
use holdline_wire::{Message, Method};

impl World {
    fn hears(&mut self, stream: StreamId, side: Side) {
        self.input(Input::Other(In::Media(Report::Heard { stream, side })));
    }

    fn falls_silent(&mut self, stream: StreamId, side: Side) {
        let since = self.now;
        let report = Report::Quiet {
            stream,
            side,
            since,
        };
        self.input(Input::Other(In::Media(report)));
    }

    /// A call that is up, in which both sides are heard.
    fn spoken(&mut self) -> (Call, StreamId) {
        let call = self.call_up();
        let installed = |command: &Command| match command {
            Command::Install { stream, .. } => Some(*stream),
            _ => None,
        };
        let stream = self.relay.iter().rev().find_map(installed).expect("media");
        self.hears(stream, Side::Near);
        self.hears(stream, Side::Far);
        (call, stream)
    }

    /// What the calling server got, repetitions left out.
    fn pbx_got(&mut self) -> Vec<Message> {
        let mut seen = std::collections::BTreeSet::new();
        let all = self.to_pbx.drain(..);
        all.filter(|message| seen.insert(message.bytes().clone()))
            .collect()
    }

    /// The OPTIONS inside dialogs that it got.
    fn pbx_is_asked(&mut self) -> Vec<Message> {
        let got = self.pbx_got();
        let asks =
            |message: &Message| *message.method() == Method::Options && message.to_tag().is_some();
        got.into_iter().filter(asks).collect()
    }

    fn ended(&self, cause: &'static str) -> usize {
        let of = |event: &&Event| matches!(event, Event::CallEnded { cause: c, .. } if c.as_str() == cause);
        self.events.iter().filter(of).count()
    }

    /// The node got BYE for the call, with this reason.
    fn node_hears_the_end(&mut self, node: usize, why: &str) {
        let bye = self.node_got(node, "BYE");
        let reason = bye.text(Name::Reason).unwrap();
        assert_eq!(reason, format!("SIP;cause=408;text=\"{why}\""));
        self.node_responds(node, &bye, 200, None);
    }

    /// Time passes; the calling server answers what it is asked with `status`.
    fn pass_answering(&mut self, time: u64, status: u16) -> usize {
        let mut asked = 0;
        for _ in 0..time * 5 {
            self.pass(ms(200));
            for options in self.pbx_is_asked() {
                asked += 1;
                self.pbx_responds(&options, status, None);
            }
        }
        asked
    }
}

// spec: X27
#[test]
fn a_call_in_which_nobody_is_heard_any_more_ends_on_both_sides() {
    let mut world = World::with_nodes(1);
    let (call, stream) = world.spoken();
    world.falls_silent(stream, Side::Near);
    world.falls_silent(stream, Side::Far);
    world.pass_answering(54, 200);
    assert_eq!(world.core.live_calls(), 1);
    world.pass(seconds(2));
    let got = world.pbx_got();
    let bye = got.iter().find(|m| *m.method() == Method::Bye).unwrap();
    let reason = bye.text(Name::Reason).unwrap();
    assert_eq!(reason, "SIP;cause=408;text=\"no media\"");
    world.pbx_responds(bye, 200, None);
    world.node_hears_the_end(call.node, "no media");
    assert_eq!(world.ended("no_media"), 1);
    world.pass(seconds(100));
    world.core.assert_no_trace();
}

// spec: X27
#[test]
fn a_call_on_hold_for_an_hour_does_not_end() {
    let mut world = World::with_nodes(1);
    let (mut call, stream) = world.spoken();
    world.pbx_requests(&mut call, Method::Invite, Some(HELD));
    let passed = world.node_got(call.node, "INVITE");
    let held = ANSWER.replace("a=sendrecv", "a=recvonly");
    world.node_responds(call.node, &passed, 200, Some(&held));
    let branch = world.branch();
    world.pbx_sends(call.pbx.ack(2, &branch).finish(None).unwrap());
    world.node_got(call.node, "ACK");
    world.falls_silent(stream, Side::Near);
    world.falls_silent(stream, Side::Far);
    world.pass_answering(3600, 200);
    assert_eq!(world.core.live_calls(), 1);
}

// spec: X27
#[test]
fn no_call_lasts_longer_than_the_longest() {
    let mut world = World::with(1, |settings| {
        settings.limits = Limits {
            longest: Some(seconds(120)),
            ..settings.limits
        };
    });
    let (call, _) = world.spoken();
    world.pass(seconds(119));
    world.pbx_noticed_nothing();
    world.pass(seconds(2));
    let bye = world.pbx_gets("BYE");
    world.pbx_responds(&bye, 200, None);
    world.node_hears_the_end(call.node, "call too long");
    assert_eq!(world.ended("too_long"), 1);
}

// spec: X27
#[test]
fn a_calling_server_that_knows_its_calls_no_more_loses_them_at_the_far_end() {
    let mut world = World::with_nodes(1);
    let streams: Vec<StreamId> = (0..8).map(|_| world.spoken().1).collect();
    world.pbx_got();
    for stream in streams {
        world.falls_silent(stream, Side::Near);
    }
    world.pass(ms(10));
    let asked = world.pbx_is_asked();
    assert_eq!(asked.len(), 3, "some dialogs tell enough");
    for options in asked {
        world.pbx_responds(&options, 481, None);
    }
    world.pass_answering(5, 481);
    for _ in 0..8 {
        world.node_hears_the_end(0, "calling side lost");
    }
    assert_eq!(world.ended("caller_lost"), 8);
    assert_eq!(world.core.live_calls(), 0);
    world.pass(seconds(100));
    world.core.assert_no_trace();
}

// spec: X27
#[test]
fn a_calling_server_that_answers_keeps_its_silent_calls() {
    for status in [200, 405, 501, 401] {
        let mut world = World::with_nodes(1);
        let streams: Vec<StreamId> = (0..5).map(|_| world.spoken().1).collect();
        world.pbx_got();
        for stream in streams {
            world.falls_silent(stream, Side::Near);
        }
        let asked = world.pass_answering(300, status);
        assert!((5..50).contains(&asked), "asked {asked} times");
        assert_eq!(world.core.live_calls(), 5, "{status}");
    }
}

// spec: X27
#[test]
fn a_calling_server_that_answers_nothing_is_asked_twice_and_then_loses_all_silent_calls() {
    let mut world = World::with_nodes(1);
    let streams: Vec<StreamId> = (0..30).map(|_| world.spoken().1).collect();
    world.pbx_got();
    for stream in streams {
        world.falls_silent(stream, Side::Near);
    }
    world.pass(seconds(60));
    let asked = world.pbx_is_asked().len();
    assert!((3..=20).contains(&asked), "asked {asked} times");
    assert_eq!(world.core.live_calls(), 30);
    world.pass(seconds(90));
    assert_eq!(world.ended("caller_lost"), 30);
    for _ in 0..30 {
        world.node_hears_the_end(0, "calling side lost");
    }
    world.pass(seconds(100));
    world.core.assert_no_trace();
}

// spec: X27
#[test]
fn a_calling_server_that_says_anything_keeps_the_calls_of_which_it_says_nothing() {
    let mut world = World::with_nodes(1);
    let (mut talks, _) = world.spoken();
    let (_, silent) = world.spoken();
    world.pbx_got();
    world.falls_silent(silent, Side::Near);
    for _ in 0..60 {
        world.pass(seconds(10));
        world.pbx_requests(&mut talks, Method::Info, None);
        let info = world.node_got(talks.node, "INFO");
        world.node_responds(talks.node, &info, 200, None);
    }
    assert_eq!(world.core.live_calls(), 2);
}

// spec: X27
#[test]
fn one_lost_call_is_found_while_others_speak() {
    let mut world = World::with_nodes(1);
    let (_, lost) = world.spoken();
    let (_, held) = world.spoken();
    world.spoken();
    world.pbx_got();
    world.falls_silent(lost, Side::Near);
    world.pass(seconds(20));
    assert_eq!(world.pbx_is_asked().len(), 0);
    world.pass(seconds(6));
    let asked = world.pbx_is_asked();
    assert_eq!(asked.len(), 1);
    world.falls_silent(held, Side::Near);
    world.pbx_responds(&asked[0], 481, None);
    world.pass_answering(120, 200);
    assert_eq!(world.ended("caller_lost"), 1);
    assert_eq!(world.core.live_calls(), 2);
}

// spec: X42
#[test]
fn probes_and_invites_say_who_the_agent_is() {
    let mut world = World::with_nodes(1);
    let told = |message: &Message| {
        message
            .text(Name::InstanceAgent)
            .map(|text| text.to_string())
    };
    let (_, probe) = world.probes.last().unwrap();
    let own = Some("pbx-1;incarnation=first".to_owned());
    assert_eq!(told(probe), own);
    let (_, _, placed) = world.call("");
    assert_eq!(told(&placed), own);
}
