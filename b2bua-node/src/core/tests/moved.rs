//! What is left at the node that a call has moved away from (spec: X28, X39).

use super::failover::take_over;
use super::*;
use crate::store::rules::Fate;
use holdline_wire::Method;

fn moved() -> (Bench, Bench, Up) {
    let mut a = Bench::new();
    let mut b = Bench::at("127.0.0.12:5060", "bbbbbbbbbbbbbbbb", a.store.clone());
    let up = a.establish("c1");
    take_over(&mut b, &up, "f1");
    (a, b, up)
}

// spec: X28
#[test]
fn a_bye_that_says_moved_is_never_relayed() {
    let (mut a, b, mut up) = moved();
    a.agent_requests(&mut up.agent, Method::Bye, &[(Name::InstanceBye, "moved")]);
    a.agent_gets("200");
    a.quiet();
    assert_eq!((a.core.live_calls(), a.core.ports_in_use()), (0, 0));
    // The downstream UA's BYE for the replaced dialog.
    a.ua_requests(&mut up.ua, Method::Bye);
    a.ua_gets("200");
    a.quiet();
    assert_eq!(b.store.borrow().live(), 1, "the moved call's row stays");
}

/// Words of a Reason are people's: a caller who was taken out of a conference has not moved.
// spec: X28
#[test]
fn a_hang_up_whose_reason_speaks_of_moving_is_a_hang_up() {
    for text in ["Participant removed", "Moved Temporarily", "moved"] {
        let mut bench = Bench::new();
        let mut up = bench.establish("c1");
        let reason = format!("SIP;cause=200;text=\"{text}\"");
        bench.agent_requests(&mut up.agent, Method::Bye, &[(Name::Reason, &reason)]);
        let bye = bench.ua_gets("BYE");
        assert_eq!(bye.text(Name::Reason).as_deref(), Some(&*reason));
        bench.ua_responds(&bye, 200, None);
        bench.agent_gets("200");
        assert_eq!(bench.core.live_calls(), 0);
    }
}

/// The downstream UA cannot make a call vanish, nor can another host of the agents' network.
// spec: X28
#[test]
fn only_the_trunk_that_made_a_dialog_says_that_it_moved() {
    let mut bench = Bench::new();
    let mut up = bench.establish("c1");
    let branch = bench.branch();
    let moved = [(Name::InstanceBye, "moved")];
    let bye = in_dialog(&mut up.agent, &Method::Bye, &branch, &moved, None);
    bench.receive("127.0.0.99:5060", bye);
    let bye = bench.ua_gets("BYE");
    assert!(
        bye.header(Name::InstanceBye).is_none(),
        "it stays between agent and node"
    );
    let mut bench = Bench::new();
    let mut up = bench.establish("c1");
    let branch = bench.branch();
    let bye = in_dialog(&mut up.ua, &Method::Bye, &branch, &moved, None);
    bench.ua_sends(bye);
    let bye = bench.agent_gets("BYE");
    assert!(bye.header(Name::InstanceBye).is_none());
}

// spec: X28
#[test]
fn the_row_of_a_moved_call_survives_the_old_nodes_hang_up() {
    let (mut a, b, mut up) = moved();
    a.ua_requests(&mut up.ua, Method::Bye);
    a.ua_gets("200");
    a.agent_gets("BYE");
    assert_eq!(b.store.borrow().live(), 1);
    assert_eq!(b.store.borrow().fate(&up.key()), Some(&Fate::Moved(1)));
}

// spec: X28
#[test]
fn a_node_that_was_paused_asks_before_it_sends() {
    let (mut a, _b, mut up) = moved();
    let other = a.establish("c2");
    a.now = a.now + ms(1500);
    a.mode = StoreMode::Slow;
    // What was queued while it stood still.
    a.ua_requests(&mut up.ua, Method::Bye);
    a.quiet();
    assert_eq!(a.core.live_calls(), 2);
    a.mode = StoreMode::Prompt;
    a.serve_store();
    assert_eq!(
        a.core.live_calls(),
        1,
        "the moved call is gone without a word"
    );
    a.ua_gets("200");
    a.quiet();
    assert!(matches!(
        a.store.borrow().fate(&other.key()),
        Some(Fate::Live(_))
    ));
    assert!(
        a.events
            .iter()
            .any(|event| matches!(event, Event::Paused { calls: 2, .. }))
    );
}

/// Another node is just taking the call over: a 481 would end it at the downstream UA.
// spec: X28; storms 3901, 5607
#[test]
fn what_the_downstream_ua_asks_of_a_call_that_went_away_is_to_be_asked_again() {
    let (mut a, _b, mut up) = moved();
    // Asked before the node stood still: the agent has not answered yet.
    a.ua_requests(&mut up.ua, Method::Info);
    a.agent_gets("INFO");
    a.now = a.now + ms(1500);
    a.input(Input::Deadline);
    assert_eq!(a.core.live_calls(), 0);
    a.ua_gets("500");
    // Asked afterwards.
    a.ua_requests(&mut up.ua, Method::Info);
    let later = a.ua_gets("500");
    assert!(later.header(Name::RetryAfter).is_some());
    a.ua_requests(&mut up.ua, Method::Bye);
    a.ua_gets("200");
    a.quiet();
}

// spec: X28
#[test]
fn the_drivers_word_about_a_pause_counts_too() {
    let (mut a, _b, _up) = moved();
    a.input(Input::Other(In::LoopLate(ms(999))));
    assert_eq!(a.core.live_calls(), 1);
    a.input(Input::Other(In::LoopLate(ms(1000))));
    assert_eq!((a.core.live_calls(), a.core.ports_in_use()), (0, 0));
    a.quiet();
}

// spec: X28
// spec: X30
#[test]
fn a_paused_node_goes_on_where_the_store_is_down() {
    let mut a = Bench::new();
    let mut up = a.establish("c1");
    a.now = a.now + ms(1500);
    a.mode = StoreMode::Slow;
    a.ua_requests(&mut up.ua, Method::Bye);
    a.quiet();
    a.pass(ms(299));
    a.quiet();
    a.pass(ms(1));
    a.ua_gets("200");
    a.agent_gets("BYE");
    a.quiet();
}

/// An idle node is not a paused one.
#[test]
fn long_silence_is_no_pause() {
    let mut a = Bench::new();
    let mut up = a.establish("c1");
    a.pass(Duration::from_secs(600));
    a.agent_hangs_up(&mut up.agent);
    a.now = a.now + Duration::from_secs(3600);
    a.input(Input::Deadline);
    assert!(
        !a.events
            .iter()
            .any(|event| matches!(event, Event::Paused { .. }))
    );
}

// spec: X39
#[test]
fn a_restarted_node_takes_its_calls_back() {
    let mut old = Bench::new();
    let mut up = old.establish("c1");
    let mut new = Bench::at("127.0.0.11:5060", "dddddddddddddddd", old.store.clone());
    // The downstream UA is to ask again: a 481 would end its dialog before it can be moved.
    new.ua_requests(&mut up.ua, Method::Info);
    assert!(new.ua_gets("500").header(Name::RetryAfter).is_some());
    // For as long as an agent holds a call that waits for a node (storm 6144).
    new.pass(ms(18_000));
    new.ua_requests(&mut up.ua, Method::Info);
    new.ua_gets("500");
    // The agent's requests find nothing.
    new.agent_requests(&mut up.agent, Method::Info, &[]);
    let gone = new.agent_gets("481");
    assert_eq!(
        gone.text(Name::InstanceIncarnation).unwrap(),
        "dddddddddddddddd"
    );
    let again = take_over(&mut new, &up, "f1");
    // The downstream UA's BYE for a dialog that this run never had.
    new.ua_requests(&mut up.ua, Method::Bye);
    new.ua_gets("200");
    // It is not repeated to it.
    new.pass(ms(3000));
    new.quiet();
    assert!(matches!(
        new.store.borrow().fate(&again.key()),
        Some(Fate::Live(_))
    ));
}
