//! What a node says of itself, above all when it is about to leave (spec: D34, X59).

use super::*;
use crate::core::Operator;
use holdline_wire::header::{InstanceState, InstanceStore};

impl Bench {
    fn operator(&mut self, wish: Operator) {
        self.input(Input::Other(In::Operator(wish)));
    }

    fn options(&mut self, from: &str) -> Message {
        self.options_of(from, "")
    }

    /// From the agent that a header names.
    fn options_of(&mut self, from: &str, header: &str) -> Message {
        let branch = self.branch();
        let bytes = format!(
            "OPTIONS sip:127.0.0.11 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch={branch};rport\r\n\
             From: <sip:a@h>;tag={branch}\r\nTo: <sip:b@h>\r\nCall-ID: {branch}\r\n\
             CSeq: 1 OPTIONS\r\nMax-Forwards: 1\r\n{header}Content-Length: 0\r\n\r\n"
        );
        self.receive(from, bytes.into());
        let mut answers = match from {
            UA => std::mem::take(&mut self.to_ua),
            _ => std::mem::take(&mut self.to_agent),
        };
        answers.pop_back().expect("an answer")
    }

    fn state(&mut self) -> (u16, Option<InstanceState>, String) {
        let answer = self.options(AGENT);
        let state = answer.header(Name::InstanceState);
        let percent = answer.text(Name::InstanceUtilization).unwrap_or_default();
        (
            answer.status(),
            state.and_then(InstanceState::parse),
            percent,
        )
    }

    fn store_told(&mut self) -> Option<InstanceStore> {
        let answer = self.options(AGENT);
        InstanceStore::parse(answer.header(Name::InstanceStore)?)
    }
}

// spec: D34
#[test]
fn a_draining_node_is_alive_full_and_says_what_it_does() {
    let mut bench = Bench::new();
    let mut up = bench.establish("c1");
    bench.pass(ms(1500));
    assert_eq!(
        bench.state(),
        (200, Some(InstanceState::Active), "1".into())
    );
    bench.operator(Operator::Drain);
    let draining = (200, Some(InstanceState::Draining), "100".into());
    assert_eq!(bench.state(), draining);
    // The far end asks another one.
    let answer = bench.options(UA);
    assert_eq!(answer.status(), 503);
    assert!(answer.header(Name::RetryAfter).is_some());
    assert!(answer.header(Name::InstanceState).is_none());
    // The call that is there goes on.
    bench.agent_requests(&mut up.agent, Method::Info, &[]);
    let info = bench.ua_gets("INFO");
    bench.ua_responds(&info, 200, None);
    bench.agent_gets("200");
    // A new one hears why it is refused.
    bench.agent_sends(invite("c2", "", OFFER));
    let refusal = bench.agent_gets("503");
    assert!(refusal.header(Name::RetryAfter).is_some());
    assert_eq!(refusal.text(Name::InstanceRefusal).unwrap(), "draining");
    bench.operator(Operator::Resume);
    assert_eq!(
        bench.state(),
        (200, Some(InstanceState::Active), "1".into())
    );
    assert_eq!(bench.options(UA).status(), 200);
    bench.agent_hangs_up(&mut up.agent);
    bench.no_leaks();
}

// spec: D34
#[test]
fn agents_that_probe_hear_that_the_node_leaves_before_it_may_end() {
    let agents = ["pbx-1", "pbx-2"].map(|id| format!("Instance-Agent: {id};incarnation=a\r\n"));
    let probed = || {
        let mut bench = Bench::new();
        for _ in 0..4 {
            for agent in &agents {
                bench.options_of(AGENT, agent);
            }
            bench.pass(ms(250));
        }
        assert_eq!(bench.core.status().untold, 0, "nothing is to be told");
        bench.operator(Operator::Drain);
        assert_eq!(bench.core.status().untold, 2);
        for _ in 0..2 {
            assert_eq!(bench.core.status().untold, 2, "an answer may be lost");
            bench.options_of(AGENT, &agents[0]);
        }
        assert_eq!(bench.core.status().untold, 1, "one knows");
        bench
    };
    let mut bench = probed();
    for _ in 0..2 {
        bench.options_of(AGENT, &agents[1]);
    }
    assert_eq!(bench.core.status().untold, 0, "both do");
    // One that is gone itself holds nobody up, and a wish that is taken back nobody either.
    let mut bench = probed();
    bench.pass(ms(700));
    assert_eq!(bench.core.status().untold, 0);
    let mut bench = probed();
    bench.operator(Operator::Resume);
    assert_eq!(bench.core.status().untold, 0);
    // Who does not probe cannot be told, nor who does not say that it is an agent.
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.options(AGENT);
        bench.pass(ms(250));
    }
    let mut up = bench.establish("c1");
    bench.operator(Operator::Drain);
    assert_eq!(bench.core.status().untold, 0);
    bench.agent_hangs_up(&mut up.agent);
}

// spec: D24 D34
#[test]
fn a_draining_node_takes_over_a_call_that_has_no_other_home() {
    let store = Rc::default();
    let mut dead = Bench::at("127.0.0.11:5060", "aaaaaaaaaaaaaaaa", Rc::clone(&store));
    let up = dead.establish("c1");
    let mut bench = Bench::at("127.0.0.12:5060", "bbbbbbbbbbbbbbbb", store);
    bench.operator(Operator::Drain);
    super::failover::take_over(&mut bench, &up, "f1");
}

// spec: X59
#[test]
fn the_store_and_whether_it_works_are_told_to_agents() {
    let mut bench = Bench::new();
    assert_eq!(bench.store_told(), None, "it has no name");
    let config = NodeConfig {
        store: Some("s1".into()),
        ..bench.core.config().clone()
    };
    let mut bench = Bench::with(config, Rc::default());
    let told = |up| InstanceStore {
        id: "s1".into(),
        up,
    };
    assert_eq!(bench.store_told(), Some(told(true)));
    assert!(bench.options(UA).header(Name::InstanceStore).is_none());
    bench.mode = StoreMode::Down;
    let mut up = bench.establish("c1");
    bench.agent_hangs_up(&mut up.agent);
    bench.pass(ms(100));
    assert_eq!(bench.store_told(), Some(told(false)));
    assert_eq!(bench.state().1, Some(InstanceState::Active));
}

// spec: X59
#[test]
fn a_node_without_calls_finds_that_its_store_is_back() {
    let mut bench = Bench::new();
    bench.mode = StoreMode::Down;
    bench.agent_sends(invite("c1", "", OFFER));
    bench.agent_gets("100");
    let down = bench.ua_gets("INVITE");
    bench.ua_responds(&down, 486, None);
    bench.ua_gets("ACK");
    bench.agent_gets("486");
    bench.pass(Duration::from_secs(40));
    assert!(!bench.core.status().store_up);
    bench.mode = StoreMode::Prompt;
    bench.pass(ms(1500));
    assert!(bench.core.status().store_up);
}
