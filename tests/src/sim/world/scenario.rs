//! What the plan says happens: calls, documents, the death; and what both ends tell.

use super::World;
use crate::sim::host::{Core, HostId, Item};
use crate::sim::plan::{Act, Death, Document, End};
use crate::sim::world::{AGENT, CALLEE, CALLER, NODES};
use crate::ua::{self, CallNumber, Placement, Ua};

impl World {
    pub(super) fn place(&mut self, index: usize) {
        let call = self.plan.calls[index].number;
        let agent = self.hosts[AGENT].sip;
        self.note(Some(call), "caller places the call");
        self.about = Some(call);
        self.watch.call(call);
        let placement = Placement::new(call, "pbx.example", agent);
        self.give(CALLER, Item::Ua(ua::In::Call(placement)));
    }

    pub(super) fn act(&mut self, index: usize, step: usize) {
        let call = self.plan.calls[index].number;
        let step = self.plan.calls[index].steps[step];
        let head = format!("{:?}: {:?}", step.by, step.act);
        self.note(Some(call), &head);
        self.judge_before(index, step);
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

    pub(super) fn document(&mut self, kind: Document) {
        let dead = self.plan.disaster.node;
        let instances: Vec<String> = (0..self.plan.nodes)
            .filter(|n| kind != Document::Without || *n != dead)
            .map(|n| {
                let at = self.hosts[NODES + n].sip;
                let (ip, port) = (at.ip(), at.port());
                format!(r#"{{"IP":"{ip}","port":"{port}","status":"active"}}"#)
            })
            .collect();
        self.version += 1;
        let mut text = format!(
            r#"{{"cloud-sip-trunk-name":"trunk.example","uri":"http://10.0.1.1/trunk",
            "version":{},"webhook-registration":"http://10.0.1.1/hooks","instances":[{}]}}"#,
            self.version,
            instances.join(",")
        );
        if kind == Document::Broken {
            text.truncate(text.len() / 2);
        }
        self.note(None, &format!("trunk document: {kind:?}"));
        self.give(
            AGENT,
            Item::Agent(holdline_agent::core::In::Trunk(text.into())),
        );
    }

    pub(super) fn strike(&mut self) {
        let disaster = self.plan.disaster;
        let victim = NODES + disaster.node;
        let head = format!("{}: {:?}", self.hosts[victim].name, disaster.death);
        self.note(None, &head);
        self.mark_affected(self.hosts[victim].sip);
        self.dirty = true;
        match disaster.death {
            Death::Cut(_) => self.hosts[victim].cut = true,
            Death::Killed(_) => {
                self.hosts[victim].kill();
                self.relays.close_all(victim);
                self.samples.forget(victim);
            }
            Death::Paused(_) => self.hosts[victim].paused = true,
        }
    }

    pub(super) fn revive(&mut self) {
        let disaster = self.plan.disaster;
        let victim = NODES + disaster.node;
        let head = format!("{} is back", self.hosts[victim].name);
        self.note(None, &head);
        self.dirty = true;
        if let Death::Killed(_) = disaster.death {
            let core = self.node_core(disaster.node, self.hosts[victim].run);
            self.hosts[victim].core = Some(Core::Node(Box::new(core)));
        }
        self.hosts[victim].cut = false;
        self.hosts[victim].paused = false;
        self.wake(victim);
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
        self.watch.heard_ua(self.now, end, &out);
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
