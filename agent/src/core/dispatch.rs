//! Where each message, fault and report belongs.

use crate::cluster::{self, NodeId, Trouble};
use crate::core::AgentCore;
use crate::core::cluster_events::told_utilization;
use crate::core::event::Event;
use crate::core::keys::Owner;
use crate::core::refusal::{self, Whose};
use holdline_b2bua::{CallKey, Ignored, Refusal, options, served, stray, unrouted};
use holdline_leg::Leg;
use holdline_relay::Report;
use holdline_wire::dialog::DialogId;
use holdline_wire::header::{InstanceFarEnd, Name};
use holdline_wire::machine::Output;
use holdline_wire::message::ParseError;
use holdline_wire::transaction::{self, ServerId};
use holdline_wire::trunk::TrunkDocument;
use holdline_wire::{Message, Method, Time, TransportKey};

impl AgentCore {
    /// A well-formed message.
    pub(super) fn on_message(&mut self, now: Time, from: TransportKey, message: Message) {
        let node = self.env.cluster.node_at(from.remote);
        if !message.is_request() {
            if self.on_probe_answer(now, node, &message) {
                return;
            }
        } else if node.is_none() && !self.may_call(&from) && !self.belongs(&message, &from) {
            return self.ignore(from, Ignored::Source);
        }
        match node {
            Some(node) => self.env.cluster.heard_sip(now, node, None, None),
            // A request shows only that we can hear.
            None if !message.is_request() && self.is_witness(&from) => {
                self.env.cluster.heard_calling_server(now);
            }
            None => {}
        }
        if node.is_none() {
            self.env.callers.heard(from.remote.ip());
        }
        let refused = self.env.layer.refused();
        self.env.layer.receive(now, from, message);
        if self.env.layer.refused() > refused {
            self.ignore(from, Ignored::Overload);
        }
    }

    /// Whether a calling server's message shows that our network works (spec: X21): one on this
    /// machine shows nothing about nodes elsewhere.
    fn is_witness(&self, from: &TransportKey) -> bool {
        let nodes = self
            .env
            .cluster
            .nodes()
            .filter_map(|node| self.env.cluster.address(node));
        let local = nodes.take(1).any(|node| node.ip().is_loopback());
        let near = from.remote.ip().is_loopback() || from.remote.ip() == from.local.ip();
        self.may_call(from) && (local || !near)
    }

    /// Bytes that are no message, or one that must be refused.
    pub(super) fn on_garbage(&mut self, from: TransportKey, error: ParseError) {
        let known = self.may_call(&from) || self.env.cluster.node_at(from.remote).is_some();
        match error {
            ParseError::KeepAlive => {}
            ParseError::Refuse {
                status,
                reason,
                request,
            } if known => {
                let (env, refusal) = (&mut self.env, Refusal::bare(status));
                let stamp = &env.stamp;
                let answer = env
                    .stateless
                    .answer(stamp, &request, from, &refusal, reason);
                let answer = answer.map(|(to, bytes)| Output::Send { to, bytes });
                env.outputs.extend(answer);
                self.ignore(from, Ignored::Malformed);
            }
            ParseError::Refuse { .. } => self.ignore(from, Ignored::Source),
            ParseError::Garbage(_) => self.ignore(from, Ignored::Garbage),
        }
    }

    fn may_call(&self, from: &TransportKey) -> bool {
        self.env
            .settings
            .allow
            .iter()
            .any(|net| net.contains(&from.remote.ip()))
    }

    fn ignore(&mut self, from: TransportKey, why: Ignored) {
        self.env.ignored += 1;
        self.env.event(Event::Ignored {
            from: from.remote,
            why,
        });
    }

    /// What the transactions tell.
    pub(super) fn on_layer(&mut self, now: Time, output: transaction::Output<Owner>) {
        use transaction::Event as Told;
        let event = match output {
            transaction::Output::Send(to, bytes) => {
                if let Some(node) = self.env.cluster.node_at(to.remote) {
                    self.env.cluster.signalled(now, node);
                }
                return self.env.outputs.push_back(Output::Send { to, bytes });
            }
            transaction::Output::Event(event) => event,
        };
        match event {
            Told::Request {
                server,
                message,
                from,
                cancels,
            } => {
                self.on_request(now, server, &message, from, cancels);
            }
            Told::Ack { message, .. } => {
                if let Some(owner) = self.addressed(&message) {
                    self.with_leg(now, owner, |leg, ctx| leg.on_ack(ctx, &message));
                }
            }
            Told::Response {
                client,
                owner,
                message,
                from,
            } => {
                self.note_response(now, owner, &message);
                // A new incarnation moves the call before its 481 could end it (spec: X39).
                while let Some(event) = self.env.cluster.poll_event() {
                    self.on_cluster(now, event);
                }
                self.note_farewell(owner, *message.method() == Method::Bye, message.status());
                self.note_lost_attempt(now, owner, &message);
                match owner {
                    Owner::Left(number) => self.env.left_answered(now, number, &message, from),
                    Owner::Told(number) => {
                        self.env.told_answered(now, number, message.status());
                    }
                    _ => {}
                }
                if let Owner::Asked(key) = owner {
                    self.caller_answered(now, key, message.status());
                }
                self.with_leg(now, owner, |leg, ctx| {
                    leg.on_response(ctx, client, &message, from)
                });
            }
            Told::Timeout {
                client,
                owner,
                transport,
            } => {
                self.note_farewell(owner, true, 408);
                match owner {
                    Owner::Left(number) => self.env.left_unanswered(now, number),
                    Owner::Told(number) => self.env.told_answered(now, number, 408),
                    _ => {}
                }
                if let Owner::Asked(key) = owner {
                    self.caller_is_silent(now, key);
                }
                if let Owner::Far(key, epoch) = owner {
                    self.env.pacing.no_final_answer((key, epoch));
                }
                if !transport {
                    self.note_timeout(now, owner);
                }
                self.with_leg(now, owner, |leg, ctx| {
                    leg.on_timeout(ctx, client, transport)
                });
            }
            Told::NoAck { server, invite } => self.on_no_ack(now, server, &invite),
            Told::Stray { .. } => {}
        }
    }

    fn on_request(
        &mut self,
        now: Time,
        server: ServerId,
        message: &Message,
        from: TransportKey,
        cancels: Option<ServerId>,
    ) {
        // RFC 3261 9.2: a CANCEL is matched by the transaction that it cancels.
        let cancelled = cancels.and_then(|invite| self.env.invites.get(&invite).copied());
        let owner = cancelled.map(Owner::Near).or(self.addressed(message));
        let method = message.method();
        if let Some(owner) = owner {
            self.with_leg(now, owner, |leg, ctx| {
                leg.on_request(ctx, server, message, cancels);
            });
        } else if message.to_tag().is_some() || *method == Method::Cancel {
            let ended = message.to_tag().and_then(|tag| self.env.tags.ended(tag));
            let cancels = *method == Method::Cancel && self.env.layer.knows_invite_of(message);
            self.env.refuse(now, server, &stray(method, ended, cancels));
        } else {
            self.out_of_dialog(now, server, message, from);
        }
    }

    fn out_of_dialog(
        &mut self,
        now: Time,
        server: ServerId,
        message: &Message,
        from: TransportKey,
    ) {
        match message.method() {
            Method::Invite if self.env.cluster.node_at(from.remote).is_some() => {
                // Calls from the cluster to the calling server are not configured.
                self.env.refuse_call(now, server, &Refusal::bare(403));
            }
            Method::Invite => self.on_new_call(now, server, message, from),
            Method::Options => {
                let takes_calls = !self.draining && self.env.cluster.any_alive();
                let refused = served(message).err();
                let answer = refused.unwrap_or_else(|| options(takes_calls));
                self.env.refuse(now, server, &answer);
            }
            method => self.env.refuse(now, server, &unrouted(method)),
        }
    }

    /// Whether a request of somebody whom we do not know belongs to a call: it names a live leg, and
    /// comes from an address of that dialog (an SBC may speak from several). For a dialog that
    /// moved away its tag is proof enough: a node that left the trunk document may have come back
    /// with a BYE (spec: X28, X40).
    fn belongs(&self, message: &Message, from: &TransportKey) -> bool {
        let leg = self.addressed(message).and_then(|owner| self.leg(owner));
        let own = leg.and_then(|leg| leg.dialog());
        own.is_some_and(|dialog| dialog.speaks_from(from.remote.ip())) || self.is_buried(message)
    }

    fn leg(&self, owner: Owner) -> Option<&Leg<Owner>> {
        match owner {
            Owner::Near(key) => Some(&self.calls.get(key)?.near),
            Owner::Far(key, epoch) => {
                let call = self.calls.get(key)?;
                let mut legs = call.far.iter().chain(&call.others);
                Some(&legs.find(|far| far.epoch == epoch)?.leg)
            }
            Owner::Left(_) | Owner::Told(_) | Owner::Asked(_) | Owner::Nobody => None,
        }
    }

    /// The live leg that an in-dialog request names by all three identifiers.
    fn addressed(&self, message: &Message) -> Option<Owner> {
        let owner = self.env.tags.leg(message.to_tag()?)?;
        let leg = self.leg(owner)?;
        leg.is_addressed_by(message).then_some(owner)
    }

    fn is_buried(&self, message: &Message) -> bool {
        let ended = message.to_tag().and_then(|tag| self.env.tags.ended(tag));
        ended.is_some()
    }

    /// Runs `step` on a leg that is still there.
    pub(super) fn with_leg(
        &mut self,
        now: Time,
        owner: Owner,
        step: impl FnOnce(&mut Leg<Owner>, &mut holdline_leg::Ctx<'_, Owner>),
    ) {
        let (key, leg) = match owner {
            Owner::Near(key) => (key, self.calls.get_mut(key).map(|call| &mut call.near)),
            Owner::Far(key, epoch) => {
                let call = self.calls.get_mut(key);
                (
                    key,
                    call.and_then(|call| call.far_leg(epoch))
                        .map(|far| &mut far.leg),
                )
            }
            Owner::Left(_) | Owner::Told(_) | Owner::Asked(_) | Owner::Nobody => return,
        };
        if let Some(leg) = leg {
            step(leg, &mut self.env.ctx(now));
            self.env.touched.insert(key);
        }
    }

    /// The node that a request was sent to tells its utilization (spec: D22) and incarnation.
    fn note_response(&mut self, now: Time, owner: Owner, message: &Message) {
        let Owner::Far(key, epoch) = owner else {
            return;
        };
        if *message.method() == Method::Invite && message.status() >= 200 {
            let accepted = message.status() < 300;
            self.env.pacing.final_answer(now, (key, epoch), accepted);
            self.note_far_end(key, message);
        }
        let call = self.calls.get_mut(key);
        let Some(far) = call.and_then(|call| call.far_leg(epoch)) else {
            return;
        };
        let told = message.text(Name::InstanceIncarnation);
        let incarnation = told.as_deref();
        let in_dialog = far.leg.is_up();
        if in_dialog {
            let same = incarnation.is_some() && incarnation == far.incarnation.as_deref();
            far.disowned = message.status() == 481 && !same;
        } else if *message.method() == Method::Invite {
            let known = incarnation.or_else(|| self.env.cluster.incarnation(far.node));
            far.incarnation = known.map(Into::into);
            let refusal = refusal::Refusal::of(message);
            far.deaf = (200..300).contains(&message.status()) && refusal.no_port;
            far.refusal = (message.status() >= 300).then(|| Box::new(refusal));
        }
        let (node, utilization) = (far.node, told_utilization(message));
        self.env
            .cluster
            .heard_sip(now, node, utilization, incarnation);
        if incarnation.is_none() || self.env.cluster.incarnation(node) == incarnation {
            self.take_told(node, message);
        }
        // One of the far end, passed on as it is, says nothing of the node (spec: X53).
        if in_dialog && message.status() == 503 && Whose::of(message) != Whose::FarEnd {
            self.env.cluster.troubled(now, node, Trouble::Unavailable);
        }
        self.note_room(now, node, (key, epoch), message);
    }

    /// A node's 2xx names the call's far end (spec: X57).
    fn note_far_end(&mut self, key: CallKey, message: &Message) {
        let told = message.header(Name::InstanceFarEnd);
        if let Some(told) = told.and_then(InstanceFarEnd::parse)
            && message.status() < 300
            && let Some(call) = self.calls.get_mut(key)
        {
            call.far_end = self.env.pacing.far_ends.seat(call.far_end, &told);
        }
    }

    /// A node answered nothing at all to a request in its time: it is asked whether it lives
    /// (spec: X20).
    fn note_timeout(&mut self, now: Time, owner: Owner) {
        let Owner::Far(key, epoch) = owner else {
            return;
        };
        let call = self.calls.get_mut(key);
        if let Some(far) = call.and_then(|call| call.far_leg(epoch)) {
            self.env.cluster.troubled(now, far.node, Trouble::Timeout);
        }
    }

    /// The node answered our BYE, or will never do so.
    fn note_farewell(&mut self, owner: Owner, bye: bool, status: u16) {
        let Owner::Far(key, epoch) = owner else {
            return;
        };
        if let Some(call) = self.calls.get_mut(key)
            && let Some(far) = &call.far
            && far.epoch == epoch
            && far.leg.is_over()
            && bye
            && status >= 200
        {
            call.farewell = None;
            if status < 300 {
                self.env.cluster.room_may_be(far.node);
            }
            self.env.touched.insert(key);
        }
    }

    /// A node does not know what it had set up for a call that is up where it was placed last, or was
    /// cancelled: it was restarted. What it had called is up with nobody, and no INVITE of ours replaces it,
    /// so another node ends it there (spec: X26).
    fn note_lost_attempt(&mut self, now: Time, owner: Owner, message: &Message) {
        let Owner::Far(key, epoch) = owner else {
            return;
        };
        let lost = *message.method() == Method::Bye && message.status() == 481;
        let call = self.calls.get_mut(key);
        let has = call.is_some_and(|call| call.generation > 0 || call.far_leg(epoch).is_some());
        if lost && !has {
            let dialog = DialogId::of_response(message).unheard();
            let named = dialog.orphan_for_peer().to_value();
            self.env
                .tell_orphans(now, vec![(Name::InstanceOrphan, named)]);
        }
    }

    /// Nobody acknowledged a 2xx of ours: the first one of a call, or one inside a dialog.
    fn on_no_ack(&mut self, now: Time, server: ServerId, invite: &Message) {
        let initial = self.env.invites.get(&server).map(|key| Owner::Near(*key));
        if let Some(owner) = initial.or_else(|| self.addressed(invite)) {
            self.with_leg(now, owner, |leg, ctx| leg.on_no_ack(ctx, server));
        }
    }

    /// The relay's report.
    pub(super) fn on_report(&mut self, now: Time, report: Report) {
        self.env.streams.note(&report);
        match report {
            Report::Tick(tick) => self.env.cluster.media(now, &tick),
            Report::Refused { group, stream, .. } => {
                self.env
                    .cluster
                    .refused(now, NodeId(group.0), cluster::Refusal::Media(stream));
            }
            Report::BindFailed {
                stream,
                side,
                local,
                errno,
            } => self.on_bind_failed(now, (stream, side), local, errno),
            Report::Left { .. } | Report::Removed { .. } => {}
            Report::Heard { .. } | Report::Quiet { .. } => self.sound(now, &report),
        }
    }

    /// A trunk document as it was fetched.
    pub(super) fn on_trunk(&mut self, now: Time, document: bytes::Bytes) {
        match TrunkDocument::parse(&document) {
            Ok(document) => {
                let changes = self.env.cluster.apply(now, &document);
                let told = self.env.trunk_version.replace(document.version);
                if !changes.is_empty() || told != Some(document.version) {
                    let (version, instances) = (document.version, document.instances.len());
                    self.env.event(Event::TrunkChanged { version, instances });
                }
            }
            Err(error) => self.env.event(Event::TrunkRefused {
                reason: error.to_string(),
            }),
        }
    }
}
