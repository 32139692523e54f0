//! Scenarios that read as what happens. The rules of `holdline_tests::sim` hold in each of them:
//! no verdict without a reason, nothing but probes to the dead, one dialog at the far end, media
//! back in time, every end explained, nothing left.

use holdline_tests::sim::Outcome;
use holdline_tests::sim::plan::{Act, End, FarEnd, Party, Scarce, What};
use holdline_tests::sim::story::Story;
use holdline_tests::ua::{ContactUser, Refusing};
use holdline_wire::machine::LocalFault;
use std::time::Duration;

/// The story's outcome, in which no rule was broken.
fn told(story: Story) -> Outcome {
    let outcome = story.run();
    assert!(outcome.failures.is_empty(), "{:#?}", outcome.failures);
    outcome
}

/// Seconds from `from` to the verdict on `node`.
fn verdict(outcome: &Outcome, node: usize, from: f64) -> f64 {
    let verdicts = outcome.verdicts.iter();
    let mut found = verdicts
        .filter(|(_, n)| *n == node)
        .map(|(at, _)| at.as_secs_f64());
    let found = found.find(|at| *at >= from);
    found.map_or(f64::INFINITY, |at| at - from)
}

/// All calls are up until they are hung up, and those of the node have moved once.
fn all_moved_once(outcome: &Outcome) {
    assert!(outcome.moved() > 0, "the node carried nothing");
    assert_eq!(outcome.lost(), 0);
    assert!(
        outcome.most_moves() == 1,
        "a call moved {} times",
        outcome.most_moves()
    );
}

// spec: X20, D24
#[test]
fn a_killed_process_is_known_dead_at_once() {
    let outcome = told(Story::new(1).kill(1, 5.0));
    assert!(verdict(&outcome, 1, 5.0) < 0.1);
    all_moved_once(&outcome);
}

// spec: X20, D24
#[test]
fn a_killed_process_is_known_dead_soon_where_no_refusal_is_heard() {
    let outcome = told(Story::new(2).without_icmp().kill(1, 5.0));
    assert!(verdict(&outcome, 1, 5.0) < 0.3);
    all_moved_once(&outcome);
}

// spec: X28, X22
#[test]
fn a_hung_process_loses_its_calls_and_ends_none_when_it_goes_on() {
    let outcome = told(Story::new(3).hang(1, 5.0, 4.0));
    assert!(verdict(&outcome, 1, 5.0) < 0.3);
    all_moved_once(&outcome);
}

// spec: X20
#[test]
fn a_cut_link_is_known_soon() {
    let outcome = told(Story::new(4).cut(1, 5.0));
    assert!(verdict(&outcome, 1, 5.0) < 0.3);
    all_moved_once(&outcome);
}

// spec: D21, X28
#[test]
fn a_node_that_hears_nothing_is_left_though_its_voice_is_heard() {
    let deaf = What::Deaf(Party::Agent, Party::Node(1));
    let outcome = told(Story::new(5).trouble(deaf, 5.0, Some(6.0)));
    assert!(verdict(&outcome, 1, 5.0) < 1.6);
    all_moved_once(&outcome);
}

// spec: X20, X28
#[test]
fn a_node_that_is_not_heard_is_left_though_it_hears() {
    let dumb = What::Deaf(Party::Node(1), Party::Agent);
    let outcome = told(Story::new(6).trouble(dumb, 5.0, Some(6.0)));
    assert!(verdict(&outcome, 1, 5.0) < 0.3);
    all_moved_once(&outcome);
}

/// The node lives, reaches the downstream UA, and is only parted from the agent: its late BYE and
/// RTP reach nobody, and the downstream UA has one dialog.
// spec: X28
#[test]
fn a_false_verdict_does_no_harm() {
    let parted = What::Parted(Party::Node(1), Party::Agent);
    let outcome = told(Story::new(7).trouble(parted, 5.0, Some(5.0)));
    assert!(verdict(&outcome, 1, 5.0) < 0.3);
    all_moved_once(&outcome);
}

// spec: X20, D1
#[test]
fn a_path_of_300_ms_is_no_death_and_hides_none() {
    let outcome = told(Story::new(8).delay_ms(150).cut(1, 8.0));
    assert_eq!(outcome.verdicts.len(), 1);
    assert!(verdict(&outcome, 1, 8.0) < 1.0);
    all_moved_once(&outcome);
}

// spec: X21a
#[test]
fn a_fifth_of_all_lost_moves_nobody() {
    let outcome = told(
        Story::new(9)
            .loss_percent(20)
            .hang_up_all(End::Caller, 60.0),
    );
    assert_eq!(outcome.verdicts.len(), 0, "{:?}", outcome.verdicts);
    assert_eq!(outcome.moved(), 0);
}

/// Calls are on their way to a node that dies in its turn.
// spec: X24
#[test]
fn a_second_death_during_the_move_is_survived() {
    let outcome = told(Story::new(10).nodes(4).calls(40).kill(1, 5.0).kill(2, 5.06));
    assert!(verdict(&outcome, 2, 5.06) < 0.1);
    assert_eq!(outcome.lost(), 0);
}

/// Nobody is left for 8 s: the calls are held, and the first node that returns takes them all.
// spec: X24
#[test]
fn calls_outlive_the_death_of_all_nodes() {
    let story = Story::new(11).kill(0, 5.0).kill(1, 5.0).reboot(2, 5.0, 8.0);
    let outcome = told(story);
    assert_eq!(outcome.moved(), 20);
    assert_eq!(outcome.lost(), 0);
}

// spec: X39
#[test]
fn a_reboot_in_100_ms_loses_no_call() {
    let outcome = told(Story::new(12).reboot(1, 5.0, 0.1));
    assert!(outcome.moved() > 0);
    assert_eq!(outcome.lost(), 0);
}

// spec: X22
#[test]
fn a_node_that_flaps_waits_longer_each_time() {
    let story = Story::new(13).without_icmp();
    let story = story
        .reboot(1, 5.0, 2.0)
        .reboot(1, 12.0, 2.0)
        .reboot(1, 20.0, 2.0);
    let outcome = told(story);
    let back = |from: f64| {
        let alive = outcome
            .returns
            .iter()
            .find(|(at, n)| *n == 1 && at.as_secs_f64() > from);
        alive.map_or(f64::INFINITY, |(at, _)| at.as_secs_f64() - from)
    };
    let waits = [back(7.0), back(14.0), back(22.0)];
    assert!(waits[0] < waits[1] && waits[1] < waits[2], "{waits:?}");
    assert!(waits[2] < 10.0, "{waits:?}");
}

// spec: X21
#[test]
fn an_agent_that_stands_still_condemns_nobody() {
    for (seed, lasts) in [(14, 0.3), (15, 1.0), (16, 3.0)] {
        let outcome = told(Story::new(seed).stop_agent(5.0, lasts));
        assert_eq!(
            outcome.verdicts.len(),
            0,
            "{lasts} s: {:?}",
            outcome.verdicts
        );
        assert_eq!(outcome.moved(), 0);
    }
}

/// The rules demand that the other end is told, too.
// spec: X27
#[test]
fn a_hang_up_during_the_move_ends_the_call_at_both_ends() {
    for (seed, by) in [(17, End::Caller), (18, End::Callee)] {
        for offset in [0.01, 0.05, 0.09, 0.12] {
            told(Story::new(seed).cut(1, 5.0).hang_up_all(by, 5.0 + offset));
        }
    }
}

/// A re-INVITE of either end is on its way, or the call was just held, when its node dies: it is held
/// on the new node, and taken back there.
// spec: X27
#[test]
fn a_hold_that_is_under_way_survives_the_death() {
    for (seed, by) in [(19, End::Caller), (20, End::Callee)] {
        for offset in [-0.1, -0.03, -0.02, -0.01, 0.0, 0.03, 0.08] {
            let story = Story::new(seed).cut(1, 5.0);
            let story = story.all(by, Act::Hold, 5.0 + offset);
            let outcome = told(story.all(by, Act::Unhold, 8.0).hang_up_all(by, 12.0));
            all_moved_once(&outcome);
        }
    }
}

/// Calls ring, with early media or without, when a node dies: those of it are placed again, the caller
/// hears nothing of it, and all are answered.
// spec: X26
#[test]
fn calls_that_ring_on_a_node_that_dies_are_answered_all_the_same() {
    for early_media in [false, true] {
        let story = Story::new(21).calls(30).ringing(4.0, early_media);
        let outcome = told(story.kill(1, 3.0));
        assert_eq!(outcome.verdicts.len(), 1);
        assert_eq!((outcome.answered, outcome.lost()), (30, 0), "{early_media}");
    }
}

/// Ports for these calls alone: each moves by its own.
// spec: X51
#[test]
fn with_every_port_in_use_all_calls_move() {
    let scarce = Scarce {
        agent: Some(24),
        ..Scarce::default()
    };
    let outcome = told(Story::new(21).calls(12).scarce(scarce).kill(0, 5.0));
    assert_eq!(outcome.answered, 12);
    all_moved_once(&outcome);
}

// spec: X51
#[test]
fn ports_of_other_sockets_cost_no_call() {
    let scarce = Scarce {
        foreign: Some(5),
        ..Scarce::default()
    };
    let outcome = told(Story::new(22).scarce(scarce).kill(1, 5.0));
    assert_eq!((outcome.answered, outcome.lost()), (20, 0));
}

/// The node with ports for three calls is nobody's first choice, and all others go elsewhere.
// spec: X51
#[test]
fn a_node_without_ports_costs_no_call() {
    let scarce = Scarce {
        small: Some((2, 6)),
        ..Scarce::default()
    };
    let outcome = told(Story::new(23).scarce(scarce).kill(0, 5.0));
    assert_eq!((outcome.answered, outcome.lost()), (20, 0));
}
/// It says 404 to a user that it does not know, before it reads Replaces.
// spec: X24a
#[test]
fn a_far_end_that_looks_users_up_keeps_its_calls() {
    for (seed, contact) in [(22, ContactUser::Nobody), (23, ContactUser::Trunk)] {
        let outcome = told(Story::new(seed).looked_up(contact).kill(1, 5.0));
        all_moved_once(&outcome);
    }
}

/// It refuses a few calls, with a Retry-After that must not shut out the others; the rules demand
/// that each is asked for once.
// spec: X53
#[test]
fn a_far_end_that_refuses_some_calls_gets_the_others() {
    for (seed, status) in [(24, 503), (25, 408)] {
        let refusing = Refusing {
            first: u32::MAX,
            status,
            retry_after: Some(30),
            replaces: false,
        };
        let outcome = told(Story::new(seed).refusing(&[2, 3], refusing));
        assert_eq!(outcome.answered, 18);
    }
}

// spec: X53, X24
#[test]
fn a_far_end_that_has_no_room_for_a_move_is_asked_again() {
    let refusing = Refusing {
        first: 1,
        status: 503,
        retry_after: Some(1),
        replaces: true,
    };
    let all: Vec<u32> = (1..=20).collect();
    let outcome = told(Story::new(26).refusing(&all, refusing).kill(1, 5.0));
    all_moved_once(&outcome);
}

/// What the agent sends does not leave its machine, whatever keeps it and whether it is told; or its
/// link is cut: nobody is dead for it, and the calls are there afterwards.
// spec: X52 X21
#[test]
fn an_agent_whose_own_network_fails_condemns_nobody() {
    let told = LocalFault::ALL.map(|kind| What::Unsent(Some(kind), None));
    let silent = [What::Unsent(None, None), What::Unplugged];
    for (seed, what) in (22..).zip(told.into_iter().chain(silent)) {
        for lasts in [1.0, 10.0] {
            let outcome = told_moving_nobody(Story::new(seed).trouble(what, 5.0, Some(lasts)));
            assert_eq!(outcome.lost(), 0, "{what:?} for {lasts} s");
        }
    }
}

fn told_moving_nobody(story: Story) -> Outcome {
    let outcome = told(story);
    assert_eq!(outcome.verdicts, []);
    assert_eq!(outcome.moved(), 0);
    outcome
}

/// The way to one node is gone, and the agent knows that it is its own machine: its calls leave it in
/// D21's time, and not where that is short.
// spec: X52 D21
#[test]
fn a_node_that_cannot_be_reached_from_here_is_left_in_d21s_time() {
    let barred = What::Unsent(Some(LocalFault::NoRoute), Some(1));
    told_moving_nobody(Story::new(29).trouble(barred, 5.0, Some(1.0)));
    let outcome = told(Story::new(30).trouble(barred, 5.0, Some(10.0)));
    let after = verdict(&outcome, 1, 5.0);
    assert!((1.2..1.9).contains(&after), "{after}");
    all_moved_once(&outcome);
    assert_eq!(outcome.verdicts.len(), 1);
    assert!(
        outcome
            .returns
            .iter()
            .any(|(at, n)| *n == 1 && at.as_secs_f64() > 15.0)
    );
}

/// A node drains while it has calls, and ends before they do; then it comes back.
// spec: D34 D24
#[test]
fn calls_of_a_draining_node_that_ends_move_at_once() {
    let story = Story::new(31).without_icmp();
    let story = story.trouble(What::Drained(1), 5.0, Some(3.0));
    let outcome = told(story.reboot(1, 8.0, 4.0));
    assert!(verdict(&outcome, 1, 8.0) < 0.3);
    all_moved_once(&outcome);
}

/// The store is gone under all nodes: every call is answered, and none is refused.
// spec: X59 X30
#[test]
fn a_store_that_is_gone_refuses_no_call() {
    let mut story = Story::new(32).calls(40);
    story = story.trouble(What::StoreDown, 0.2, Some(8.0));
    let outcome = told_moving_nobody(story);
    assert_eq!((outcome.answered, outcome.lost()), (40, 0));
}

/// The calls of an agent that was killed end at the far end, and nothing is left on the nodes: the
/// calling server hangs up long after it all, and nobody hears it.
// spec: X27, X42
#[test]
fn a_killed_agents_calls_end_at_the_far_end() {
    let story = Story::new(40).kill_agent(5.0, None);
    told(story.hang_up_all(End::Caller, 70.0));
}

// spec: X27, X42
#[test]
fn a_restarted_agents_old_calls_end_at_the_far_end() {
    let story = Story::new(41).kill_agent(5.0, Some(0.5));
    told(story.hang_up_all(End::Caller, 70.0));
}

/// Nobody ends a call that is only on hold, or whose agent stood still for a while.
// spec: X27, X42
#[test]
fn calls_on_hold_are_nobodys_orphans() {
    let story = Story::new(42).calls(3).stop_agent(20.0, 12.0);
    let story = story.all(End::Caller, Act::Hold, 5.0);
    let outcome = told(story.hang_up_all(End::Caller, 900.0));
    assert_eq!(outcome.lost(), 0);
}

/// Forty calls, and as many of them as are on the dead node are asked of the far end in turn; it
/// would freeze at two, and a BYE in an old dialog within 100 ms would end the call.
// spec: X57, X28
#[test]
fn a_far_end_that_bears_one_at_a_time_keeps_its_calls() {
    let asterisk = || FarEnd::asterisk(Duration::from_millis(4));
    let outcome = told(Story::new(61).calls(40).far_end(asterisk()).kill(1, 5.0));
    all_moved_once(&outcome);
    // A survivor dies while they move: what it may have asked for is waited for.
    let story = Story::new(62).calls(40).far_end(asterisk());
    let outcome = told(story.kill(1, 5.0).kill(2, 5.2));
    assert_eq!(outcome.lost(), 0);
    assert!(outcome.moved() > 20);
}

/// It says nothing of itself, and no bound is known: what it bears is found out from eight on.
// spec: X57
#[test]
fn a_far_end_that_is_not_known_is_asked_32_at_a_time_at_most() {
    let far_end = FarEnd {
        delay: Duration::from_millis(25),
        freezes_beyond: Some(32),
        ..FarEnd::default()
    };
    let outcome = told(
        Story::new(63)
            .nodes(2)
            .calls(200)
            .far_end(far_end)
            .kill(1, 8.0),
    );
    all_moved_once(&outcome);
}
