//! The calling side of a call is gone: its agent is silent, or is another process now. That alone
//! ends nothing: for `upstream.lost_after` the agent may be heard again, or media or a request of
//! it in the call (spec: X42).

use crate::core::agents::{Heard, Look};
use crate::core::keys::RunId;
use crate::core::keys::Timer;
use crate::core::why::Why;
use crate::core::{Event, NodeCore};
use holdline_b2bua::CallKey;
use holdline_relay::Side;
use holdline_wire::header::{InstanceAgent, Name};
use holdline_wire::{Message, Method, Time, TransportKey};

impl NodeCore {
    /// A request outside any dialog came from the agents' side; whose it is.
    pub(super) fn hear_agent(
        &mut self,
        now: Time,
        request: &Message,
        from: TransportKey,
    ) -> Option<RunId> {
        let who = request.header(Name::InstanceAgent);
        let who = who.and_then(InstanceAgent::parse);
        let probe = *request.method() == Method::Options;
        let agents = &mut self.env.agents;
        let Heard {
            run,
            back,
            replaces,
        } = agents.heard(now, who, from.remote.ip(), probe);
        if let Some(run) = run {
            // The response says it.
            self.note_told(run);
        }
        if let Some(run) = run.filter(|_| back) {
            self.agent_is_back(now, run);
        }
        if let Some(old) = replaces {
            self.agent_is_gone(now, old, true);
        }
        run
    }

    /// An agent is answered: it hears that the node leaves, should it. After two answers it knows.
    fn note_told(&mut self, run: RunId) {
        if let Some(told) = self.untold.get_mut(&run) {
            *told += 1;
            if *told >= 2 {
                self.untold.remove(&run);
            }
        }
    }

    /// The calling side said something in this call's dialog.
    pub(super) fn hear_agent_of(&mut self, now: Time, key: CallKey) {
        if let Some(run) = self.calls.get(key).and_then(|call| call.owner)
            && self.env.agents.heard_run(now, run)
        {
            self.agent_is_back(now, run);
        }
    }

    /// The call belongs to this process of its agent.
    pub(super) fn belong(&mut self, key: CallKey, run: RunId) {
        if let Some(call) = self.calls.get_mut(key) {
            call.owner = Some(run);
        }
        if let Some(at) = self.env.agents.join(run, key) {
            self.env.timers.set_late(Timer::Agent(run), at);
        }
    }

    /// It is time to look whether the agent is still there.
    pub(super) fn look_for_agent(&mut self, now: Time, run: RunId) {
        match self.env.agents.look(now, run, self.env.late_at) {
            Look::Again(at) => self.env.timers.set_late(Timer::Agent(run), at),
            Look::Gone => self.agent_is_gone(now, run, false),
            Look::Never => {}
        }
    }

    fn agent_is_gone(&mut self, now: Time, run: RunId, restarted: bool) {
        if !self.env.agents.lose(run) {
            return;
        }
        let calls = self.env.agents.calls(run);
        if calls.is_empty() {
            return;
        }
        let agent = self.env.agents.name(run).into();
        self.env.event(Event::AgentGone {
            agent,
            calls: calls.len(),
            restarted,
        });
        for key in calls {
            self.miss(now, key);
        }
    }

    fn agent_is_back(&mut self, now: Time, run: RunId) {
        let calls = self.env.agents.calls(run);
        if calls.is_empty() {
            return;
        }
        let agent = self.env.agents.name(run).into();
        let calls_kept = calls.len();
        self.env.event(Event::AgentBack {
            agent,
            calls: calls_kept,
        });
        for key in calls {
            self.env.timers.cancel(Timer::Lost(key));
        }
        self.look_for_agent(now, run);
    }

    /// The call's time begins, where nothing is heard of its calling side.
    pub(super) fn miss(&mut self, now: Time, key: CallKey) {
        if self.is_missed(key) {
            let patience = self.env.config.limits.lost_after;
            self.env.timers.set_late(Timer::Lost(key), now + patience);
        }
    }

    fn is_missed(&self, key: CallKey) -> bool {
        let call = self.calls.get(key);
        call.is_some_and(|call| {
            let gone = call.owner.is_some_and(|run| self.env.agents.is_gone(run));
            gone && !call.session.hears(Side::Near)
        })
    }

    /// Its time is over.
    pub(super) fn lost(&mut self, now: Time, key: CallKey) {
        if !self.is_missed(key) {
            return;
        }
        // What came while the node itself stood still was not heard.
        let since = self.env.late_at + self.env.config.limits.lost_after;
        if since > now && self.env.late_at > Time::ZERO {
            return self.env.timers.set_late(Timer::Lost(key), since);
        }
        self.end_soon(now, key, Why::Lost);
    }

    /// Whether a call that was to end for `why` still is to.
    pub(super) fn is_to_end(&self, key: CallKey, why: Why) -> bool {
        match why {
            Why::Lost => self.is_missed(key),
            Why::NoMedia => {
                let call = self.calls.get(key);
                call.is_some_and(|call| call.session.is_dead_silent())
            }
            Why::TooLong => self.calls.contains_key(key),
        }
    }
}
