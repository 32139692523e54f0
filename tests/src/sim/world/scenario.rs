//! What the plan says happens to calls and documents, and what both ends tell.

use super::World;
use crate::sim::host::{AGENT, CALLEE, CALLER, Core, HostId, Item, NODES};
use crate::sim::plan::{Act, Document, End, Rules};
use crate::ua::{self, CallNumber, Placement, Profile, Ua};

impl World {
    pub(super) fn place(&mut self, index: usize) {
        let call = self.plan.calls[index].number;
        let agent = self.hosts[AGENT].sip;
        self.note(Some(call), "caller places the call");
        self.about = Some(call);
        self.watch.call(call);
        self.note_placed(call);
        let placement = Placement::new(call, "pbx.example", agent);
        self.give(CALLER, Item::Ua(ua::In::Call(placement)));
    }

    pub(super) fn act(&mut self, index: usize, step: usize) {
        let call = self.plan.calls[index].number;
        let mut step = self.plan.calls[index].steps[step];
        if self.plan.disaster().is_none() {
            let twice = self.is_doubtful(call);
            if self.ua(CALLEE).live_dialogs(call) == 0 || twice {
                // The callee knows nothing of it, or has it twice: it is the caller's to end.
                step.by = End::Caller;
            }
            let up = self.watch.call(call).answered.len() == 2;
            if step.act != Act::Hangup && (!up || twice) {
                return self.note(Some(call), "no hold: the call is not up");
            }
        }
        let head = format!("{:?}: {:?}", step.by, step.act);
        self.note(Some(call), &head);
        if let Rules::Disaster(disaster) = self.plan.rules {
            self.judge_before(disaster.at, index, step);
        }
        self.watch.asked(self.now, call, step.by, step.act);
        let host = match step.by {
            End::Caller => CALLER,
            End::Callee => CALLEE,
        };
        let command = match step.act {
            Act::Hold => ua::In::Hold(call),
            Act::Unhold => ua::In::Unhold(call),
            Act::Hangup => ua::In::Hangup(call),
        };
        self.dirty = true;
        self.give(host, Item::Ua(command));
    }

    pub(super) fn document(&mut self, document: &Document) {
        let listed = (0..self.plan.nodes.len()).filter(|n| !document.without.contains(n));
        let instances: Vec<String> = listed
            .map(|n| {
                let at = self.hosts[NODES + n].sip;
                let (ip, port) = (at.ip(), at.port());
                let inactive = document.inactive.contains(&n);
                let status = if inactive { "inactive" } else { "active" };
                format!(r#"{{"IP":"{ip}","port":"{port}","status":"{status}"}}"#)
            })
            .collect();
        self.version += 1;
        let mut text = format!(
            r#"{{"cloud-sip-trunk-name":"trunk.example","uri":"http://10.0.1.1/trunk",
            "version":{},"webhook-registration":"http://10.0.1.1/hooks","instances":[{}]}}"#,
            self.version,
            instances.join(",")
        );
        if document.broken {
            text.truncate(text.len() / 2);
        }
        self.note(None, &format!("trunk {document:?}"));
        self.give(
            AGENT,
            Item::Agent(holdline_agent::core::In::Trunk(text.into())),
        );
    }

    /// The callee answers the call in hand as its plan says.
    pub(super) fn behave(&mut self) {
        let Some(plan) = self.about.and_then(|call| self.plan.call(call)) else {
            return;
        };
        if let Some(Core::Ua(ua)) = &mut self.hosts[CALLEE].core {
            let profile = Profile {
                ring: plan.ring,
                early_media: plan.early_media,
                replaces: plan.replaces,
                refusing: plan.refusing,
                contact: plan.contact,
                looks_up: plan.looks_up,
                ..ua.profile().clone()
            };
            ua.set_profile(profile);
        }
    }

    /// The user agent on `host`.
    pub(in crate::sim) fn ua(&self, host: HostId) -> &Ua {
        match &self.hosts[host].core {
            Some(Core::Ua(ua)) => ua,
            _ => unreachable!("only asked for the two ends"),
        }
    }

    pub(super) fn heard_ua(&mut self, host: HostId, out: ua::Out) {
        let end = if host == CALLER {
            End::Caller
        } else {
            End::Callee
        };
        let call = call_of(&out);
        let head = format!("{}: {out:?}", self.hosts[host].name);
        self.note(call, &head);
        self.dirty = true;
        let twice = call.is_some_and(|call| self.rings_twice(call));
        self.watch.heard_ua(self.now, end, &out, twice);
        if let (ua::Out::Reinvited { .. }, Some(call)) = (&out, call) {
            self.note_reinvited(call);
        }
        if self.plan.disaster().is_none() {
            return call.into_iter().for_each(|call| self.judge_dialogs(call));
        }
        if let Some(call) = call {
            let live = self.ua(host).live_dialogs(call);
            if live > 1 {
                self.watch.fail(
                    self.now,
                    Some(call),
                    format!("{live} dialogs at the {end:?}"),
                );
            }
        }
    }
}

fn call_of(out: &ua::Out) -> Option<CallNumber> {
    use ua::Out::*;
    Some(match out {
        Listen { call, .. }
        | Release { call, .. }
        | Incoming { call }
        | Ringing { call, .. }
        | Answered { call, .. }
        | MediaChanged { call, .. }
        | Reinvited { call, .. }
        | Replaced { call, .. }
        | TargetMoved { call, .. }
        | Request { call, .. }
        | Response { call, .. }
        | Ended { call, .. } => *call,
    })
}
