//! The story of one call: from the last packet before the death to the new node's 200.

use super::moment::{Death, signed_ms};
use super::sip;
use crate::rig::{Call, Hearing, Pause, Report};
use std::time::SystemTime;

/// Whose moment it is; each has a colour in the drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The one that died.
    Node,
    /// The agent's own account.
    Agent,
    /// SIP on the wire.
    Wire,
    /// A listener.
    Ear,
}

/// A moment.
#[derive(Clone, Debug)]
pub struct Event {
    /// Milliseconds after the death.
    pub ms: f64,
    /// Whose.
    pub who: Who,
    /// What.
    pub what: String,
}

/// The whole.
#[derive(Clone, Debug)]
pub struct Story {
    /// The moments, the first one first.
    pub events: Vec<Event>,
    /// The silences of both listeners: who, from, until, in ms after the death.
    pub silences: Vec<(&'static str, f64, f64)>,
    /// How many calls moved in that run.
    pub moved: usize,
}

impl Story {
    /// The moments as rows of a table.
    pub fn rows(&self) -> Vec<[String; 2]> {
        let row = |event: &Event| [format!("{:.1}", event.ms), event.what.clone()];
        self.events.iter().map(row).collect()
    }
}

fn pauses(call: &Call) -> [(&'static str, Option<Pause>); 2] {
    let pause = |heard: &Option<Hearing>| heard.as_ref()?.windows.get(1)?.first_pause;
    [
        ("caller", pause(&call.caller_heard)),
        ("callee", pause(&call.callee_heard)),
    ]
}

/// The moved and kept call with the median gap, of those in which a listener missed a packet.
pub(super) fn median(report: &Report) -> Option<&Call> {
    let paused = |call: &&Call| pauses(call).iter().any(|(_, pause)| pause.is_some());
    let moved = report.calls.iter().filter(|call| call.moved && call.kept);
    let mut moved: Vec<&Call> = moved.filter(paused).collect();
    moved.sort_by(|a, b| a.gap_ms.total_cmp(&b.gap_ms));
    moved.get(moved.len() / 2).copied()
}

/// What happened to `call`.
pub(super) fn tell(
    report: &Report,
    death: &Death,
    call: &Call,
    sip: &sip::Moments,
    fault: &str,
) -> Story {
    let mut events = Vec::new();
    let mut add = |ms: f64, who, what: &str| {
        events.push(Event {
            ms,
            who,
            what: what.to_owned(),
        });
    };
    add(0.0, Who::Node, fault);
    if let Some(verdict) = &death.failover.verdict {
        let (first, last) = (verdict.evidence.first(), verdict.evidence.last());
        let what = first.map_or("?", |evidence| evidence.what.as_str());
        let suspicion = format!("suspicion: {what}");
        add(death.until(verdict.suspected_at), Who::Agent, &suspicion);
        let what = last.map_or("?", |evidence| evidence.what.as_str());
        let decided = format!("verdict: dead ({what})");
        add(death.until(death.failover.decided_at), Who::Agent, &decided);
    }
    let wire = [
        (sip.invite, "INVITE with Replaces leaves the agent"),
        (
            sip.downstream_invite,
            "the new node's reaches the called end",
        ),
        (sip.downstream_answer, "the called end answers 200"),
        (sip.progress, "183 of the new node reaches the agent"),
        (sip.answer, "200 of the new node reaches the agent"),
    ];
    let ms = |at: SystemTime| signed_ms(death.at, at);
    for (at, what) in wire {
        if let Some(at) = at {
            add(ms(at), Who::Wire, what);
        }
    }
    let mut silences = Vec::new();
    for (who, pause) in pauses(call) {
        let Some(Pause { from_ns, until_ns }) = pause else {
            continue;
        };
        let moments = report.calendar(from_ns).zip(report.calendar(until_ns));
        let Some((from, until)) = moments else {
            continue;
        };
        add(
            ms(from),
            Who::Ear,
            &format!("last packet that the {who} hears"),
        );
        add(
            ms(until),
            Who::Ear,
            &format!("first packet that the {who} hears again"),
        );
        silences.push((who, ms(from), ms(until)));
    }
    events.sort_by(|a, b| a.ms.total_cmp(&b.ms));
    Story {
        events,
        silences,
        moved: report.moved,
    }
}
