//! Calls that are being placed, and calls that have lost their caller.

use super::*;
use holdline_wire::attempt::AttemptRecord;

fn attempt(call: &str) -> Arc<AttemptRecord> {
    let invited = DialogRecord {
        upstream: dialog(call).unanswered(),
        ..(*record(call, 0)).clone()
    };
    Arc::new(AttemptRecord {
        via: "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKa".into(),
        invited,
        early: None,
    })
}

impl Bench {
    fn note(&mut self, seconds: u64, call: &str) -> Answer {
        let attempt = attempt(call);
        self.ask(seconds, Op::Note { attempt })
    }

    fn orphan(&mut self, seconds: u64, upstream: DialogId, trunk: &str) -> Answer {
        let trunk = trunk.into();
        self.ask(seconds, Op::Orphan { upstream, trunk })
    }

    fn claim_instead(&mut self, seconds: u64, call: &str, abandoned: &[&str]) -> Answer {
        let abandoned = abandoned.iter().map(|call| dialog(call).unanswered());
        self.ask(
            seconds,
            Op::Claim {
                replaced: dialog(call),
                abandoned: abandoned.collect(),
                by: "n9".into(),
            },
        )
    }
}

const OURS: &str = "127.0.0.1";

// spec: X26
#[test]
fn an_attempt_is_found_without_the_nodes_tag_and_taken_back_once() {
    on_each("attempt", |store| {
        assert_eq!(store.note(0, "a"), Answer::Done);
        assert_eq!(store.note(0, "a"), Answer::Done, "it rings now");
        assert_eq!(store.claim(1, "a", "n2"), Answer::Unknown, "no dialog yet");
        let key = dialog("a").unanswered();
        assert_eq!(store.orphan(1, key.clone(), "192.0.2.66"), Answer::Unknown);
        let rings = Answer::Rings(attempt("a"));
        assert_eq!(store.orphan(1, key.clone(), OURS), rings);
        assert_eq!(store.orphan(1, key, OURS), Answer::Over);
        // What its node still says of it comes too late.
        assert_eq!(store.note(2, "a"), Answer::Over);
        assert_eq!(store.put(2, "a", 0), Answer::Over);
    });
}

// spec: X26
#[test]
fn an_attempt_that_was_answered_leads_to_its_dialog() {
    on_each("answered", |store| {
        store.note(0, "a");
        assert_eq!(store.put(1, "a", 0), Answer::Done);
        assert_eq!(store.put(1, "a", 0), Answer::Done, "a new target");
        assert_eq!(store.note(1, "a"), Answer::Over, "a late note");
        let key = dialog("a").unanswered();
        assert_eq!(store.orphan(2, key, OURS), Answer::Found(record("a", 0)));
        assert_eq!(store.claim(2, "a", "n2"), Answer::Over);
    });
}

/// The note was lost, the answer was not.
// spec: X26; storm 10121
#[test]
fn an_answer_without_a_note_is_found_by_the_name_of_its_attempt() {
    on_each("unnoted", |store| {
        assert_eq!(store.put(1, "a", 0), Answer::Done);
        let key = dialog("a").unanswered();
        assert_eq!(store.orphan(2, key, OURS), Answer::Found(record("a", 0)));
    });
}

// spec: X26, X28
#[test]
fn an_orphan_that_nobody_noted_is_not_brought_up_later() {
    on_each("fenced", |store| {
        let key = dialog("a").unanswered();
        assert_eq!(store.orphan(0, key, OURS), Answer::Unknown);
        assert_eq!(store.note(60, "a"), Answer::Over);
        assert_eq!(
            store.note(185, "a"),
            Answer::Done,
            "for as long as it rings"
        );
    });
}

// spec: X27
#[test]
fn an_orphan_is_ended_wherever_its_call_moved() {
    on_each("lost", |store| {
        store.put(0, "a", 0);
        assert_eq!(store.orphan(0, dialog("a"), "x"), Answer::Unknown);
        store.replace(0, "a", "b", 1);
        assert_eq!(
            store.orphan(1, dialog("a"), OURS),
            Answer::Found(record("b", 1))
        );
        assert_eq!(store.claim(1, "b", "n2"), Answer::Over);
    });
}

/// A node that died between its commit and its 200.
// spec: X24
#[test]
fn the_dialog_of_an_abandoned_success_is_claimed_in_the_place_of_the_old_one() {
    on_each("abandoned", |store| {
        store.put(0, "a", 0);
        store.replace(0, "a", "b", 1);
        assert_eq!(store.claim_instead(1, "a", &[]), Answer::Moved(1));
        assert_eq!(store.claim_instead(1, "a", &["c"]), Answer::Moved(1));
        let second = Answer::Claimed(record("b", 1));
        assert_eq!(store.claim_instead(1, "a", &["c", "b"]), second);
        store.replace(2, "b", "c", 2);
        let third = Answer::Claimed(record("c", 2));
        assert_eq!(store.claim_instead(3, "a", &["c", "b"]), third);
        assert_eq!(store.claim_instead(3, "a", &["b"]), Answer::Moved(2));
    });
}

// spec: D32
#[test]
fn a_transfer_finds_the_dialog_in_which_the_call_lives_now() {
    on_each("find", |store| {
        store.put(0, "a", 0);
        store.replace(0, "a", "b", 1);
        let upstream = dialog("a");
        let found = Answer::Found(record("b", 1));
        assert_eq!(store.ask(1, Op::Find { upstream }), found);
    });
}

// spec: X28
#[test]
fn a_check_tells_whose_attempts_were_taken_back() {
    on_each("taken", |store| {
        store.note(0, "a");
        store.note(0, "b");
        store.orphan(0, dialog("a").unanswered(), OURS);
        let dialogs = ["a", "b"].map(|call| dialog(call).unanswered()).into();
        let by = "n1".into();
        let checked = Answer::Checked(vec![true, false]);
        assert_eq!(store.ask(1, Op::Check { dialogs, by }), checked);
    });
}
