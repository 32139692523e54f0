//! A store that is slow or down stops no call (spec: X30).

use super::failover::take_over;
use super::*;
use crate::store::Op;
use crate::store::rules::Fate;

// spec: X30
#[test]
fn the_upstream_answer_waits_20_ms_for_the_store() {
    let mut bench = Bench::new();
    bench.agent_sends(invite("c1", "", OFFER));
    bench.agent_gets("100");
    let down = bench.ua_gets("INVITE");
    bench.mode = StoreMode::Slow;
    bench.ua_responds(&down, 200, Some(ANSWER));
    bench.ua_gets("ACK");
    bench.pass(ms(19));
    bench.quiet();
    bench.pass(ms(1));
    bench.agent_gets("200");
    assert!(bench.events.contains(&Event::StoreLate(1)));
    bench.serve_store();
    assert_eq!(bench.store.borrow().live(), 1);
    bench.quiet();
}

// spec: X30
#[test]
fn a_commit_lets_the_answer_go_at_once() {
    let mut bench = Bench::new();
    bench.agent_sends(invite("c1", "", OFFER));
    let down = bench.ua_gets("INVITE");
    bench.mode = StoreMode::Slow;
    bench.ua_responds(&down, 200, Some(ANSWER));
    bench.agent_gets("100");
    bench.quiet_upstream();
    bench.serve_store();
    bench.agent_gets("200");
}

impl Bench {
    fn quiet_upstream(&self) {
        assert!(self.to_agent.is_empty());
    }
}

// spec: X30
#[test]
fn a_store_that_is_down_stops_no_call_and_gets_it_later() {
    let mut bench = Bench::new();
    bench.mode = StoreMode::Down;
    let mut up = bench.establish("c1");
    assert!(bench.events.contains(&Event::StoreDown));
    assert_eq!(bench.store.borrow().live(), 0);
    bench.mode = StoreMode::Prompt;
    bench.pass(ms(1001));
    assert_eq!(bench.store.borrow().live(), 1);
    assert!(bench.events.contains(&Event::StoreUp));
    bench.agent_requests(&mut up.agent, Method::Bye, &[]);
    bench.no_leaks();
}

// spec: X30
#[test]
fn a_claim_that_the_store_does_not_answer_gets_503() {
    let mut a = Bench::new();
    let up = a.establish("c1");
    let mut b = Bench::at("127.0.0.12:5060", "bbbbbbbbbbbbbbbb", a.store.clone());
    b.mode = StoreMode::Slow;
    b.agent_sends(invite("f1", &up.replaces(), OFFER));
    b.agent_gets("100");
    b.pass(ms(499));
    b.quiet();
    b.pass(ms(1));
    b.agent_gets("503");
    // Its late reply ends nothing: the agent tries elsewhere.
    b.mode = StoreMode::Prompt;
    b.serve_store();
    b.quiet();
    assert!(matches!(
        b.store.borrow().fate(&up.key()),
        Some(Fate::Live(_))
    ));
}

// spec: X30
#[test]
fn a_node_takes_over_its_own_call_without_the_store() {
    let mut bench = Bench::new();
    let up = bench.establish("c1");
    bench.mode = StoreMode::Down;
    let moved = take_over(&mut bench, &up, "f1");
    assert_eq!(bench.core.live_calls(), 1);
    bench.mode = StoreMode::Prompt;
    bench.pass(ms(1001));
    assert!(matches!(
        bench.store.borrow().fate(&moved.key()),
        Some(Fate::Live(_))
    ));
    assert_eq!(bench.store.borrow().fate(&up.key()), Some(&Fate::Moved(1)));
}

/// Its word is lost while the node is parted from it: the call is not left unwritten for long.
// spec: X30
#[test]
fn a_store_that_does_not_answer_is_asked_again_soon_and_then_less_often() {
    let mut bench = Bench::new();
    bench.mode = StoreMode::Slow;
    let up = bench.establish("c1");
    let mut asked = Vec::new();
    let start = bench.now;
    for _ in 0..36 {
        let puts = bench.waiting.drain(..);
        let puts = puts.filter(|request| matches!(request.op, Op::Put { .. }));
        if puts.count() > 0 {
            asked.push(bench.now.since(start).as_millis());
        }
        bench.pass(ms(125));
    }
    assert_eq!(asked, [0, 250, 750, 1750, 3750]);
    assert!(!bench.events.contains(&Event::StoreDown));
    bench.mode = StoreMode::Prompt;
    bench.pass(Duration::from_secs(10));
    assert!(matches!(
        bench.store.borrow().fate(&up.key()),
        Some(Fate::Live(_))
    ));
    assert_eq!(bench.core.store_waiting(), 0);
}

/// Operations that wait are bounded.
#[test]
fn a_silent_store_is_not_asked_without_bound() {
    let config = NodeConfig {
        capacity: 4,
        ..NodeConfig::new(
            addr("127.0.0.11:5060"),
            addr(UA),
            "aaaaaaaaaaaaaaaa",
            [1; 32],
        )
    };
    let mut bench = Bench::with(config, Rc::default());
    bench.mode = StoreMode::Slow;
    for call in 0..40 {
        bench.agent_sends(invite(&format!("c{call}"), "", OFFER));
        bench.agent_gets("100");
        bench.pass(ms(20));
        let down = bench.ua_gets("INVITE");
        bench.ua_responds(&down, 200, Some(ANSWER));
        bench.ua_gets("ACK");
        bench.pass(ms(20));
        let ok = bench.agent_gets("200");
        let invite = Message::parse(invite(&format!("c{call}"), "", OFFER)).unwrap();
        let flow = TransportKey::udp(addr(AGENT), bench.address);
        let mut agent = Dialog::uac(&invite, &ok, flow).unwrap();
        bench.agent_acks(&agent, 1);
        bench.agent_hangs_up(&mut agent);
        assert!(bench.core.store_waiting() <= 24);
    }
    bench.pass(Duration::from_secs(6));
    assert!(bench.core.store_waiting() <= 24);
    // The calls that are over are taken off as soon as it works again.
    bench.mode = StoreMode::Prompt;
    bench.pass(Duration::from_secs(8));
    assert_eq!(bench.core.store_waiting(), 0);
}

/// A call's end that the store did not hear of is told again: no row stays for days.
// spec: X30
#[test]
fn the_end_of_a_call_reaches_a_store_that_was_down() {
    let mut bench = Bench::new();
    let mut up = bench.establish("c1");
    bench.mode = StoreMode::Down;
    bench.agent_hangs_up(&mut up.agent);
    assert!(matches!(
        bench.store.borrow().fate(&up.key()),
        Some(Fate::Live(_))
    ));
    bench.mode = StoreMode::Prompt;
    bench.pass(ms(1001));
    assert_eq!(bench.store.borrow().fate(&up.key()), Some(&Fate::Over));
}
