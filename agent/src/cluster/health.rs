//! What the agent hears, does not hear, and is refused: the inputs of health.

use super::evidence::{EvidenceKind, Gone, Refusal, Trouble};
use super::node::{Incarnation, Lost, Node, State};
use super::{Cluster, ClusterEvent, NodeId, ProbeId};
use holdline_relay::Tick;
use holdline_wire::Time;
use std::time::Duration;

/// What a message proves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sign {
    /// Any SIP message.
    Sip,
    /// An answered probe, with when it was sent if it is still known, and whether the answer came in its
    /// time.
    Probe(Option<Time>, bool),
}

impl Cluster {
    /// A SIP message came from the node: a sign of life (spec: D20). `utilization` is a
    /// response's Instance-Utilization (spec: D22), `incarnation` what it tells of its process
    /// (spec: X39).
    pub fn heard_sip(
        &mut self,
        now: Time,
        id: NodeId,
        utilization: Option<u8>,
        incarnation: Option<&str>,
    ) {
        self.heard(now, id, Sign::Sip, utilization, incarnation);
    }

    /// The node answered a probe, with whatever status: the process lives. One that says 503
    /// gets no new call until it says something else.
    pub fn probe_answered(
        &mut self,
        now: Time,
        id: NodeId,
        probe: ProbeId,
        status: u16,
        utilization: Option<u8>,
        incarnation: Option<&str>,
    ) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        // As it was before this answer.
        let patience = node.probes.usual_patience(&self.config);
        let sent = node.probes.answered(now, probe, &self.config);
        let timely = sent.is_some_and(|sent| now.since(sent) <= patience);
        self.heard(now, id, Sign::Probe(sent, timely), utilization, incarnation);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.refuses_calls = status == 503;
        }
    }

    fn heard(
        &mut self,
        now: Time,
        id: NodeId,
        sign: Sign,
        utilization: Option<u8>,
        incarnation: Option<&str>,
    ) {
        // A late answer, or one to a question that was given up, shows that we can hear, but not that what
        // we have sent since has left us.
        let timely = matches!(sign, Sign::Probe(_, true));
        let first = timely && self.nobody_answers(now);
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let told = node.take_incarnation(incarnation);
        if told == Incarnation::Stale {
            return;
        }
        let restarted = told == Incarnation::New && node.is_up();
        if told == Incarnation::New {
            node.forget_process(now, &self.config);
            node.draining = false;
        }
        if let Some(percent) = utilization {
            let has_room = node.take_utilization(now, percent);
            if has_room {
                self.events.push_back(ClusterEvent::Room { node: id });
            }
        }
        node.last_heard = Some(now);
        if restarted {
            self.clear(now, id);
            if let Some(incarnation) = incarnation.map(str::to_owned) {
                self.events.push_back(ClusterEvent::Restarted {
                    node: id,
                    incarnation,
                });
            }
        }
        self.sign_of_life(now, id, sign);
        if matches!(sign, Sign::Probe(..)) {
            self.notice_lost_memory(now, id);
        }
        if timely {
            self.witness(now, |suspect| suspect != id);
        }
        if first {
            self.ask_newcomers_anew(now);
        }
        self.reschedule(now, id);
    }

    /// The node answered 481 in a dialog it should know; `dialog` is the caller's number for it.
    /// Several such, and nothing heard of its media, are a restart where the node tells no
    /// incarnation (spec: X39). The call itself is the caller's to move.
    pub fn dialog_unknown(&mut self, now: Time, id: NodeId, dialog: u64) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.note_lost(now, Lost::Dialog(dialog), &self.config);
        }
    }

    /// It answers, but does not know what it was doing: a new process (spec: X39).
    fn notice_lost_memory(&mut self, now: Time, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        if matches!(node.state, State::Alive) && node.lost_its_memory(now, &self.config) {
            node.forget_process(now, &self.config);
            let incarnation = String::new();
            self.events.push_back(ClusterEvent::Restarted {
                node: id,
                incarnation,
            });
        }
    }

    /// A packet to the node was refused (spec: X20). The caller has checked that a live flow of
    /// ours is quoted (spec: X41).
    pub fn refused(&mut self, now: Time, id: NodeId, refusal: Refusal) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        if let Refusal::Media(stream) = refusal {
            node.note_lost(now, Lost::Stream(stream), &self.config);
        }
        let kind = match refusal {
            Refusal::Probe => EvidenceKind::ProbeRefused,
            Refusal::Signalling => EvidenceKind::SignallingRefused,
            Refusal::Media(stream) if !node.takes_media_refusal(now, stream) => return,
            Refusal::Media(stream) => EvidenceKind::MediaRefused { stream: stream.0 },
        };
        if matches!(node.state, State::Returning(_)) && !matches!(refusal, Refusal::Media(_)) {
            node.state = State::Dead(Gone::Dead);
        }
        if node.draining && node.is_up() && refusal == Refusal::Probe {
            // It has announced it: one refusal is proof enough (spec: D34).
            self.die(now, id, kind);
        }
        self.raise(now, id, kind);
        self.reschedule(now, id);
    }

    /// A request in a dialog with the node went wrong: it is asked whether it lives (spec: X20).
    pub fn troubled(&mut self, now: Time, id: NodeId, trouble: Trouble) {
        let rest = self.nodes.get(&id).map(|node| node.troubles_from);
        if rest.is_none_or(|rest| now < rest) {
            return;
        }
        let kind = match trouble {
            Trouble::Timeout => EvidenceKind::RequestUnanswered,
            Trouble::Unavailable => EvidenceKind::ServiceUnavailable,
        };
        self.raise(now, id, kind);
        self.reschedule(now, id);
    }

    /// A tick of the relay: which nodes' streams were heard, and how late it was itself. Its
    /// groups are nodes; the near side's silence or sound is not told here.
    pub fn media(&mut self, now: Time, tick: &Tick) {
        let pause = self
            .last_tick
            .map_or(Duration::ZERO, |last| tick.at.since(last));
        self.last_tick = Some(tick.at);
        let late = tick.late.max(pause.saturating_sub(self.config.tick));
        if late > self.config.own_late {
            let by = late + self.config.late_grace;
            self.nodes
                .values_mut()
                .for_each(|n| n.media.shift(tick.at, by));
        }
        for group in tick.groups.iter().filter(|g| g.packets > 0) {
            let id = NodeId::from(group.group);
            let Some(node) = self.nodes.get_mut(&id) else {
                continue;
            };
            node.media.heard(group, &self.config);
            let since = node.suspicion().map(|s| (s.suspected_at, s.media_silent));
            if since.is_some_and(|(at, silent)| silent && group.newest > at) {
                self.media_returned(now, id);
                self.reschedule(now, id);
            }
        }
        // Nobody is a witness by its media: they come in though nothing gets out (spec: X52).
        self.look_for_silence(now, tick.at);
        self.look_at_the_refused(now, tick.at);
    }

    /// Suspects with refused streams: sockets were drained, so what is missing now never came.
    fn look_at_the_refused(&mut self, now: Time, at: Time) {
        let gone = |&id: &NodeId| self.media_are_gone(now, at, id);
        let found: Vec<_> = self
            .suspects
            .iter()
            .copied()
            .filter_map(|id| Some((id, gone(&id)?)))
            .collect();
        for (id, kind) in found {
            self.die(now, id, kind);
            self.reschedule(now, id);
        }
    }

    fn look_for_silence(&mut self, now: Time, at: Time) {
        let silent = |(&id, node): (&NodeId, &Node)| {
            let silence = node
                .media
                .silent(at, &self.config)
                .filter(|_| node.is_up())?;
            Some((id, silence.as_millis() as u64))
        };
        let silent: Vec<_> = self.nodes.iter().filter_map(silent).collect();
        for (id, ms) in silent {
            self.raise(now, id, EvidenceKind::MediaSilent { ms });
            self.reschedule(now, id);
        }
    }

    /// A calling server answered us over the network that also leads to the nodes (not over
    /// loopback): our own network works, in both directions (spec: X21).
    pub fn heard_calling_server(&mut self, now: Time) {
        self.witness(now, |_| true);
    }

    /// Our own loop came round `late`: nothing could be heard in that time, so nobody was
    /// silent in it (spec: X21). To be called before what queued up is handled.
    pub fn loop_late(&mut self, now: Time, late: Duration) {
        if late <= self.config.own_late {
            return;
        }
        let late_ns = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
        let from = Time::from_nanos(now.as_nanos().saturating_sub(late_ns));
        let fresh = now.since(from.max(self.late_until));
        self.late_until = now;
        if fresh.is_zero() {
            return;
        }
        let by = fresh + self.config.late_grace;
        for node in self.nodes.values_mut() {
            node.probes.shift(now, by);
            node.media.shift(now, by);
            node.shift_silence(now, by);
        }
        if fresh >= self.config.probe_interval {
            self.ask_suspects_anew(now);
        }
    }

    /// We stood still for so long that a suspect may have been restarted meanwhile: what it did not
    /// answer before says nothing of how it is now (spec: X21).
    fn ask_suspects_anew(&mut self, now: Time) {
        let suspects: Vec<_> = self.suspects.iter().copied().collect();
        for id in suspects {
            if let Some(suspicion) = self.nodes.get_mut(&id).and_then(Node::suspicion_mut) {
                suspicion.since = now;
            }
            self.pace(now, id);
            self.reschedule(now, id);
        }
    }

    /// Nobody had answered, and somebody does now: newcomers could not.
    fn ask_newcomers_anew(&mut self, now: Time) {
        let joining = |(_, node): &(&NodeId, &Node)| matches!(node.state, State::Joining);
        let newcomers: Vec<_> = self
            .nodes
            .iter()
            .filter(joining)
            .map(|(id, _)| *id)
            .collect();
        for id in newcomers {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.origin = now;
            }
            self.reschedule(now, id);
        }
    }

    /// Does what is due: probes, and verdicts. Being called late is noticed (spec: X21).
    pub fn handle_deadline(&mut self, now: Time) {
        if let Some(due) = self.deadlines.next() {
            self.loop_late(now, now.since(due));
        }
        while let Some(id) = self.deadlines.pop(now) {
            self.step(now, id);
            self.reschedule(now, id);
        }
    }
}
