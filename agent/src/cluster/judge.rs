//! From evidence to verdict: suspicion, clearing, death and return.

use super::evidence::{Evidence, EvidenceKind, Gone, Suspicion, Verdict};
use super::health::Sign;
use super::node::State;
use super::{Cluster, ClusterEvent, NodeId};
use holdline_wire::Time;
use std::time::Duration;

/// The least time to the next look at a node, so that one wake-up never spins.
const STEP_MIN: Duration = Duration::from_millis(1);

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Cluster {
    /// What is due for one node.
    pub(super) fn step(&mut self, now: Time, id: NodeId) {
        let Some(node) = self.nodes.get(&id) else {
            return;
        };
        if now >= node.next_probe {
            self.before_regular_probe(now, id);
            self.send_probe(now, id);
            if let Some(node) = self.nodes.get_mut(&id) {
                node.schedule_probe(now, &self.config);
            }
        }
        let Some(node) = self.nodes.get(&id) else {
            return;
        };
        match &node.state {
            State::Suspect(s) => {
                if now >= s.next_quick {
                    self.quick_probe(now, id);
                }
                self.judge(now, id);
            }
            State::Joining if now >= self.silence_deadline(id) && self.all_are_silent(now, id) => {
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.origin = now;
                }
            }
            State::Joining if now >= self.silence_deadline(id) => {
                let silence = EvidenceKind::Silent {
                    ms: ms(now.since(node.origin)),
                };
                self.die(now, id, silence);
            }
            _ => {}
        }
    }

    /// Unanswered probes are counted where the next one goes out.
    fn before_regular_probe(&mut self, now: Time, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let probes = node
            .probes
            .unanswered(now, node.origin, Time::NEVER, &self.config);
        let many = probes >= self.config.unanswered_suspect;
        let silence = now.since(node.origin);
        match node.state {
            State::Alive if many => {
                self.raise(now, id, EvidenceKind::ProbesUnanswered { probes });
            }
            State::Alive if silence >= self.config.silence_suspect => {
                self.raise(now, id, EvidenceKind::Silent { ms: ms(silence) });
            }
            State::Returning(_) if many => node.state = State::Dead(Gone::Dead),
            _ => {}
        }
    }

    /// Something speaks against the node.
    pub(super) fn raise(&mut self, now: Time, id: NodeId, kind: EvidenceKind) {
        let patience = self.nearest(now, id).map(|(_, patience)| patience).max();
        // We have just stood still, and nobody was heard since.
        let unwitnessed = now <= self.late_until + self.config.late_grace;
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        if matches!(kind, EvidenceKind::MediaSilent { .. }) {
            node.media.raised();
        }
        match &mut node.state {
            State::Alive => {
                let mut suspicion = Suspicion::new(now);
                suspicion.witness_patience = patience.unwrap_or_default();
                suspicion.unwitnessed = unwitnessed;
                suspicion.last_sign = node.last_heard.max(node.media.last());
                suspicion.add(now, kind);
                node.state = State::Suspect(suspicion);
                self.suspects.insert(id);
                let evidence = Evidence { at: now, kind };
                self.events
                    .push_back(ClusterEvent::Suspect { node: id, evidence });
                self.pace(now, id);
                self.quick_probe(now, id);
            }
            State::Suspect(suspicion) => {
                let known = match kind {
                    EvidenceKind::MediaSilent { .. } => suspicion.media_silent,
                    EvidenceKind::MediaRefused { .. } => !suspicion.accusers.is_empty(),
                    EvidenceKind::RequestUnanswered
                    | EvidenceKind::ServiceUnavailable
                    | EvidenceKind::Unlisted => suspicion.troubled,
                    _ => false,
                };
                suspicion.add(now, kind);
                self.judge(now, id);
                let undecided = self.suspects.contains(&id);
                if undecided && !known {
                    self.pace(now, id);
                    self.quick_probe_unless_just_sent(now, id);
                }
            }
            State::Joining | State::Dead(_) | State::Returning(_) => {}
        }
    }

    /// A message of the node that only a living process sends.
    pub(super) fn sign_of_life(&mut self, now: Time, id: NodeId, sign: Sign) {
        if let Sign::Probe(Some(sent), _) = sign {
            self.way_is_open(now, id, sent);
        }
        let config = &self.config;
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        if matches!(sign, Sign::Probe(..)) {
            node.answer_origin = now;
        } else if now.since(node.answer_origin) > config.leaving_after + node.probes.rtt_or(config)
        {
            // It speaks SIP but answers no probe: it is leaving (spec: D34).
            return;
        }
        node.origin = now;
        let answered = match sign {
            Sign::Probe(sent, _) => sent,
            Sign::Sip => None,
        };
        match &mut node.state {
            State::Joining if matches!(sign, Sign::Probe(..)) => {
                node.state = State::Alive;
                self.events.push_back(ClusterEvent::Alive { node: id });
            }
            State::Suspect(s) => {
                let fresh = answered.is_some_and(|sent| sent >= s.last_refusal);
                if fresh || !s.refused() {
                    self.clear(now, id);
                }
            }
            // One that left is back when it takes calls.
            State::Dead(Gone::Left) if node.draining => {}
            State::Dead(_) if answered.is_some() => self.returns(now, id, 1),
            State::Returning(run) if answered.is_some() => {
                let run = *run + 1;
                self.returns(now, id, run);
            }
            _ => {}
        }
    }

    fn returns(&mut self, now: Time, id: NodeId, run: u32) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        if run < node.return_run(now, &self.config) {
            node.state = State::Returning(run);
        } else {
            node.state = State::Alive;
            self.events.push_back(ClusterEvent::Alive { node: id });
        }
    }

    /// The node answers: the suspicion was false.
    pub(super) fn clear(&mut self, now: Time, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let Some(suspicion) = node.suspicion().cloned() else {
            return;
        };
        if suspicion.media_silent {
            node.media.was_false(now, &self.config);
        }
        node.excuse(now, &suspicion.accusers, &self.config);
        if suspicion.troubled {
            node.troubles_from = now + self.config.refusal_pause;
        }
        node.state = State::Alive;
        self.suspects.remove(&id);
        let after = now.since(suspicion.suspected_at);
        self.cleared(id, &suspicion, after);
    }

    fn cleared(&mut self, id: NodeId, suspicion: &Suspicion, after: Duration) {
        let first = suspicion.evidence.first();
        let evidence = first.map_or(EvidenceKind::ProbeRefused, |first| first.kind);
        self.events.push_back(ClusterEvent::Cleared {
            node: id,
            after,
            evidence,
        });
    }

    /// Its media are heard again: that clears what their silence raised, and nothing else
    /// (spec: D21).
    pub(super) fn media_returned(&mut self, now: Time, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let Some(s) = node.suspicion_mut() else {
            return;
        };
        s.media_silent = false;
        if s.refused() || s.troubled || s.unanswered {
            return;
        }
        let (suspicion, after) = (s.clone(), now.since(s.suspected_at));
        node.state = State::Alive;
        self.suspects.remove(&id);
        self.cleared(id, &suspicion, after);
    }

    /// When silence alone condemns (spec: D21), or would.
    pub(super) fn silence_deadline(&self, id: NodeId) -> Time {
        let Some(node) = self.nodes.get(&id) else {
            return Time::NEVER;
        };
        node.origin + node.probes.rtt_or(&self.config) + self.config.silence
    }

    /// Whether what speaks against the suspect suffices.
    fn judge(&mut self, now: Time, id: NodeId) {
        let config = &self.config;
        let others = self
            .nodes
            .iter()
            .any(|(&other, n)| other != id && n.is_up());
        let overdue = now >= self.silence_deadline(id);
        let Some(node) = self.nodes.get(&id) else {
            return;
        };
        let Some(s) = node.suspicion() else { return };
        // A host that is up limits its ICMP (a handful, then one a second), and media use it up: one
        // refused probe after a refused stream is two refusals in a row as well.
        if s.probe_refused && (s.sip_refused >= 2 || !s.accusers.is_empty()) {
            self.die(now, id, EvidenceKind::ProbeRefused);
            return;
        }
        if overdue && let Some(fault) = self.cut_off_from_here(now, id) {
            return self.die(now, id, EvidenceKind::CutOffFromHere { fault });
        }
        // Silence is judged only up to where somebody else was heard (spec: X21).
        let until = if others { s.last_witness } else { Time::NEVER };
        let probes = node.probes.unanswered(now, s.since, until, config);
        let alone = node
            .probes
            .needed(config.false_alone, config)
            .max(config.unanswered_min);
        let corroborated = node.probes.needed(config.false_corroborated, config);
        let witnessed = !others || !s.unwitnessed;
        // Real packets end a silence (`media_returned`). What our own lateness or packets that were
        // under way add to the newest one after a suspicion does not.
        let unheard = s.media_silent || !node.media.heard_after(s.suspected_at);
        let quiet = witnessed && unheard;
        let proven = (overdue && probes >= alone)
            || (quiet && (s.media_silent || s.sip_refused > 0) && probes >= corroborated)
            || (quiet && (s.refused() || s.troubled) && probes >= alone);
        if proven {
            self.die(now, id, EvidenceKind::ProbesUnanswered { probes });
        }
    }

    /// The proof that a process is gone whose host is up, but refuses no probe any more: several
    /// of its streams are refused, and since then nothing came of it, neither an answer that was
    /// due nor one of many packets (spec: X20). Our own network works: the refusals came.
    pub(super) fn media_are_gone(&self, now: Time, at: Time, id: NodeId) -> Option<EvidenceKind> {
        let config = &self.config;
        let node = self.nodes.get(&id)?;
        let s = node.suspicion()?;
        // A node that takes over calls may be slow, and is sent packets before its ports are open.
        if s.accusers.len() < config.refused_streams || now < node.probes.busy_until {
            return None;
        }
        let patience = node.probes.spread_rtt(config) + config.refused_patience;
        let heard = node.last_heard.is_some_and(|heard| heard > s.suspected_at);
        let missing = node.media.missing(at);
        let enough = node
            .probes
            .needed(config.false_alone, config)
            .max(config.missing_min);
        // It may live again since we stood still: then it is asked anew (spec: X21).
        let asked = s.suspected_at.max(self.late_until);
        let gone =
            !heard && node.probes.waiting(now, asked) >= patience && missing as usize >= enough;
        gone.then_some(EvidenceKind::MediaGone {
            streams: s.accusers.len(),
            packets: missing,
        })
    }

    pub(super) fn die(&mut self, now: Time, id: NodeId, last: EvidenceKind) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let (mut evidence, suspected_at, last_sign) = match &node.state {
            State::Suspect(s) => (s.evidence.clone(), s.suspected_at, s.last_sign),
            _ => (Vec::new(), now, node.last_heard),
        };
        // A refusal that decided is the last piece already.
        if evidence.last().is_none_or(|e| e.kind != last) || last != EvidenceKind::ProbeRefused {
            evidence.push(Evidence {
                at: now,
                kind: last,
            });
        }
        let leaving = node.media.heard_after(suspected_at)
            && !node.suspicion().is_some_and(|s| s.media_silent);
        let gone = match last {
            EvidenceKind::CutOffFromHere { .. } => Gone::Unreachable,
            _ if node.draining => Gone::Left,
            _ => Gone::Dead,
        };
        if node.is_up() && gone == Gone::Dead {
            node.note_death(now);
        }
        node.state = State::Dead(gone);
        node.forget_process(now, &self.config);
        self.suspects.remove(&id);
        let verdict = Verdict {
            gone,
            evidence,
            last_sign,
            suspected_at,
            decided_at: now,
            leaving,
        };
        node.verdict = Some(verdict.clone());
        self.events
            .push_back(ClusterEvent::Dead { node: id, verdict });
    }

    /// Sets when the node is looked at next.
    pub(super) fn reschedule(&mut self, now: Time, id: NodeId) {
        let silent = self.silence_deadline(id);
        let Some(node) = self.nodes.get(&id) else {
            return;
        };
        let mut at = node.next_probe;
        match &node.state {
            State::Suspect(s) => {
                at = at.min(s.next_quick);
                at = at.min(node.probes.next_unanswered(now, &self.config).unwrap_or(at));
                if silent > now {
                    at = at.min(silent);
                }
            }
            State::Joining => at = at.min(silent),
            _ => {}
        }
        self.deadlines.set(id, at.max(now + STEP_MIN));
    }
}
