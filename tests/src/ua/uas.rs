//! What the user agent makes of requests, and its answers.

use super::leg::{Leg, LegId, State};
use super::session::Session;
use super::{
    Builder, By, CallNumber, Dialog, DialogId, Message, Method, Name, Out, ReplacesPolicy,
    ServerId, Time, Timer, TransportKey, Ua, call_of_user,
};
use bytes::Bytes;
use holdline_wire::uri::SipUri;

/// Why an INVITE is refused early (RFC 3326), as a gateway would say it.
const REFUSED: &str = "Q.850;cause=34;text=\"no circuit\"";

impl Ua {
    pub(super) fn on_request(
        &mut self,
        now: Time,
        server: ServerId,
        message: &Message,
        from: TransportKey,
    ) {
        let in_dialog = message.to_tag().is_some();
        match message.method() {
            Method::Invite if !in_dialog => self.on_invite(now, server, message, from),
            // A CANCEL that matches nothing.
            Method::Cancel => self.refuse_request(now, server, message, from, 481, &[]),
            _ if in_dialog => self.on_in_dialog(now, server, message, from),
            Method::Options | Method::Info | Method::Message | Method::Notify => {
                let tag = self.tokens.tag();
                self.respond(now, server, message, from, 200, Some(&tag), 0, None);
            }
            _ => {
                self.counts.unknown_dialog += 1;
                self.refuse_request(now, server, message, from, 481, &[]);
            }
        }
    }

    /// The leg whose dialog an in-dialog request names.
    pub(super) fn leg_of(&self, request: &Message) -> Option<LegId> {
        self.by_dialog.get(&DialogId::of_request(request)).copied()
    }

    fn on_in_dialog(&mut self, now: Time, server: ServerId, message: &Message, from: TransportKey) {
        let bye = *message.method() == Method::Bye;
        // A dialog that we are just ending still gets a clean answer to a crossing BYE.
        let known = self
            .leg_of(message)
            .filter(|id| bye || self.legs[id].is_live());
        let Some(id) = known else {
            self.counts.unknown_dialog += 1;
            return self.refuse_request(now, server, message, from, 481, &[]);
        };
        let call = self.legs[&id].call;
        let accepted = self
            .leg(id)
            .dialog
            .as_mut()
            .map(|dialog| dialog.accept(message));
        if let Some(Err(reject)) = accepted {
            self.call_mut(call).counts.out_of_order += 1;
            return self.refuse_request(now, server, message, from, reject.status, &[]);
        }
        match message.method() {
            Method::Invite => {
                self.call_mut(call).counts.reinvites_received += 1;
                self.on_offer_in_dialog(now, server, message, from, id);
            }
            Method::Update => {
                self.call_mut(call).counts.updates_received += 1;
                self.on_offer_in_dialog(now, server, message, from, id);
            }
            Method::Bye => self.on_bye(now, server, message, from, id),
            method => {
                let status = if *method == Method::Refer { 202 } else { 200 };
                self.respond(now, server, message, from, status, None, call, None);
                self.tell(Out::Request {
                    call,
                    method: method.clone(),
                });
            }
        }
    }

    fn on_bye(
        &mut self,
        now: Time,
        server: ServerId,
        message: &Message,
        from: TransportKey,
        id: LegId,
    ) {
        let leg = &self.legs[&id];
        let (call, live, early) = (leg.call, leg.is_live(), leg.server);
        let replaced_by = leg.replaced_by;
        self.respond(now, server, message, from, 200, None, call, None);
        if let Some(new) = replaced_by {
            return self.lose_both(now, id, new);
        }
        if !live {
            return;
        }
        self.call_mut(call).counts.byes_received += 1;
        if let Some(invite) = early {
            self.answer_invite(now, id, invite, 487);
        }
        if let Some(client) = self.leg(id).client.take() {
            self.layer.abandon(client);
        }
        self.end(now, id, By::Peer, message.text(Name::Reason), 0);
    }

    /// A CANCEL that matches an INVITE which has no final answer (RFC 3261 9.2).
    pub(super) fn on_cancel(
        &mut self,
        now: Time,
        server: ServerId,
        message: &Message,
        from: TransportKey,
        invite: ServerId,
    ) {
        let found = self.legs.iter().find(|(_, leg)| leg.server == Some(invite));
        let found = found.map(|(id, leg)| (*id, leg.local_tag.clone()));
        let tag = found.as_ref().map(|(_, tag)| tag.as_str());
        self.respond(now, server, message, from, 200, tag, 0, None);
        match found {
            Some((id, _)) if self.replacing.contains_key(&id) => self.decline(now, id, 487),
            Some((id, _)) => {
                self.answer_invite(now, id, invite, 487);
                self.end(now, id, By::Peer, message.text(Name::Reason), 487);
            }
            // An INVITE that we leave unanswered on purpose (`ReplacesPolicy::Silent`).
            None => {
                if let Some((request, source)) = self.layer.request_of(invite) {
                    let request = request.clone();
                    self.refuse_request(now, invite, &request, source, 487, &[]);
                }
            }
        }
    }

    /// A new INVITE: an ordinary call, or one that replaces a dialog.
    fn on_invite(&mut self, now: Time, server: ServerId, message: &Message, from: TransportKey) {
        if let Some((status, retry_after)) = self.refuses_early(message) {
            let mut headers = vec![("Reason", REFUSED.to_owned())];
            headers.extend(retry_after.map(|seconds| ("Retry-After", seconds.to_string())));
            return self.refuse_request(now, server, message, from, status, &headers);
        }
        let unsupported = self.unsupported(message);
        if !unsupported.is_empty() {
            if message.header(Name::Replaces).is_some() {
                self.counts.replaces_refused += 1;
            }
            let list = [("Unsupported", unsupported.join(", "))];
            return self.refuse_request(now, server, message, from, 420, &list);
        }
        let replaced = match self.replaced_leg(now, message) {
            Ok(replaced) => replaced,
            Err(0) => return,
            Err(status) => {
                self.counts.replaces_refused += 1;
                return self.refuse_request(now, server, message, from, status, &[]);
            }
        };
        if let (None, Some(status)) = (replaced, self.profile.refuse_calls) {
            return self.refuse_request(now, server, message, from, status, &[]);
        }
        match self.open_incoming(server, message, from, replaced) {
            Ok(id) => match replaced {
                Some(old) => self.replace_in_time(now, id, old),
                None => self.ring(now, id),
            },
            Err(status) => self.refuse_request(now, server, message, from, status, &[]),
        }
    }

    /// Whether an INVITE is refused before anything else is looked at, and with which Retry-After.
    fn refuses_early(&mut self, invite: &Message) -> Option<(u16, Option<u32>)> {
        let replaces = invite.header(Name::Replaces).is_some();
        let user = SipUri::parse(invite.request_uri()).and_then(|uri| uri.user);
        let unknown = self.profile.looks_up && user.and_then(call_of_user).is_none();
        let refusing = self.profile.refusing;
        let call = call_number(invite).unwrap_or_default();
        let counts = &mut self.call_mut(call).counts;
        counts.invites_received += 1;
        if unknown {
            counts.users_unknown += 1;
            return Some((404, None));
        }
        let refusing = refusing.filter(|refusing| refusing.replaces == replaces)?;
        (counts.invites_refused < refusing.first).then(|| {
            counts.invites_refused += 1;
            (refusing.status, refusing.retry_after)
        })
    }

    fn unsupported(&self, message: &Message) -> Vec<String> {
        let known = self.profile.replaces != ReplacesPolicy::Unsupported;
        message
            .list(Name::Require)
            .into_iter()
            .map(|token| String::from_utf8_lossy(token).into_owned())
            .filter(|token| !(known && token.eq_ignore_ascii_case("replaces")))
            .collect()
    }

    fn open_incoming(
        &mut self,
        server: ServerId,
        message: &Message,
        from: TransportKey,
        replaced: Option<LegId>,
    ) -> Result<LegId, u16> {
        let named = call_number(message);
        let call = match replaced {
            Some(old) => self.legs[&old].call,
            None => named.unwrap_or_else(|| {
                self.next_unnumbered += 1;
                self.next_unnumbered
            }),
        };
        let local_tag = self.tokens.tag();
        let dialog = Dialog::uas(message, &local_tag, from).ok_or(400u16)?;
        let local = *self.ports.front().ok_or(503u16)?;
        let mut session = Session::new(local, self.tokens.number(), &self.profile);
        let will = self.call_mut(call).will;
        match message.sdp() {
            Some(offer) => drop(session.answer(&offer, will)?),
            None => drop(session.offer(will)),
        }
        self.ports.pop_front();
        let busy = self.live_dialogs(call) > 0;
        let counts = &mut self.call_mut(call).counts;
        counts.duplicate_calls += u32::from(replaced.is_none() && busy);
        let other = named.is_some_and(|named| named != call);
        counts.replaces_of_other_call += u32::from(replaced.is_some() && other);
        let mut leg = Leg::new(call, false, message.clone(), local_tag, session);
        leg.known_target = dialog.remote_target.clone();
        leg.dialog = Some(dialog);
        leg.server = Some(server);
        let id = self.open_leg(leg);
        self.index_dialog(id);
        Ok(id)
    }

    fn ring(&mut self, now: Time, id: LegId) {
        let call = self.legs[&id].call;
        self.tell(Out::Incoming { call });
        if self.profile.trying {
            self.provisional(now, id, 100, None);
        }
        let offered = self.legs[&id].invite.sdp().is_some();
        if self.profile.early_media && offered {
            let sdp = self.local_sdp(id);
            self.provisional(now, id, 183, sdp);
        } else {
            self.provisional(now, id, 180, None);
        }
        self.timers.set(Timer::Ring(id), now + self.profile.ring);
    }

    fn provisional(&mut self, now: Time, id: LegId, status: u16, sdp: Option<Bytes>) {
        let leg = &self.legs[&id];
        let (Some(server), invite, call) = (leg.server, leg.invite.clone(), leg.call) else {
            return;
        };
        let (tag, from) = (leg.local_tag.clone(), leg.flow());
        self.respond(now, server, &invite, from, status, Some(&tag), call, sdp);
    }

    /// Our SDP for the initial INVITE: the answer to its offer, or an offer.
    fn local_sdp(&mut self, id: LegId) -> Option<Bytes> {
        let call = self.legs[&id].call;
        let will = self.call_mut(call).will;
        match self.legs[&id].invite.sdp() {
            Some(offer) => self.answer_offer(id, &offer).ok().map(|(answer, _)| answer),
            None => Some(self.leg(id).session.offer(will)),
        }
    }

    /// Answers 200 on a leg that rings.
    pub(super) fn answer(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.get(&id) else {
            return;
        };
        let (Some(server), invite) = (leg.server, leg.invite.clone()) else {
            return;
        };
        let (tag, call, from) = (leg.local_tag.clone(), leg.call, leg.flow());
        let replaced = invite.header(Name::Replaces).is_some();
        let sdp = self.local_sdp(id);
        self.respond(now, server, &invite, from, 200, Some(&tag), call, sdp);
        let leg = self.leg(id);
        leg.server = None;
        leg.state = State::Up;
        let stream = leg.session.stream().clone();
        self.await_ack(server, invite.cseq().number, id);
        if !replaced || self.profile.replaces == ReplacesPolicy::Unsupported {
            self.tell(Out::Answered { call, stream });
        }
    }

    /// Refuses a ringing call of ours.
    pub(super) fn refuse(&mut self, now: Time, id: LegId, status: u16) {
        if let Some(server) = self.legs[&id].server {
            self.answer_invite(now, id, server, status);
        }
        self.end(now, id, By::Local, None, status);
    }

    pub(super) fn answer_invite(&mut self, now: Time, id: LegId, server: ServerId, status: u16) {
        let leg = &self.legs[&id];
        let (invite, tag) = (leg.invite.clone(), leg.local_tag.clone());
        let (call, from) = (leg.call, leg.flow());
        self.respond(now, server, &invite, from, status, Some(&tag), call, None);
    }

    /// Answers a request that makes or changes nothing.
    pub(super) fn refuse_request(
        &mut self,
        now: Time,
        server: ServerId,
        request: &Message,
        from: TransportKey,
        status: u16,
        headers: &[(&str, String)],
    ) {
        let tag = self.tokens.tag();
        let mut builder = Builder::response(request, from.remote, status, b"", Some(&tag));
        for (name, value) in headers {
            builder = builder.raw(name.as_bytes(), value.as_bytes());
        }
        if let Ok(bytes) = builder.finish(None) {
            self.layer.respond(now, server, status, bytes);
        }
    }

    /// Answers a request with our Contact, and SDP where there is some.
    #[allow(clippy::too_many_arguments)] // All of them are what a response is made of.
    pub(super) fn respond(
        &mut self,
        now: Time,
        server: ServerId,
        request: &Message,
        from: TransportKey,
        status: u16,
        to_tag: Option<&str>,
        call: CallNumber,
        sdp: Option<Bytes>,
    ) {
        let to_tag = to_tag.filter(|_| status != 100);
        let builder = Builder::response(request, from.remote, status, b"", to_tag);
        let bytes = self.complete(builder, call, sdp);
        self.layer.respond(now, server, status, bytes);
    }
}

/// The call number in the Request-URI, or else in From.
fn call_number(message: &Message) -> Option<CallNumber> {
    let user = |uri: &str| SipUri::parse(uri).and_then(|uri| call_of_user(uri.user?));
    user(message.request_uri()).or_else(|| user(message.from().uri))
}
