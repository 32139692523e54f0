//! What the user agent sends by itself: calls, re-INVITEs, BYE and CANCEL.

use super::session::Session;
use super::{
    Builder, By, CallNumber, ClientId, In, Leg, LegId, Message, Method, Name, Out, Owner,
    Placement, Sent, State, Time, Ua,
};
use holdline_wire::sdp::Direction;

impl Ua {
    pub(super) fn command(&mut self, now: Time, command: In) {
        match command {
            In::Call(placement) => self.place(now, placement),
            In::Hold(call) => self.set_will(now, call, Direction::SendOnly),
            In::Unhold(call) => self.set_will(now, call, Direction::SendRecv),
            In::Refresh(call) => self.reinvite_call(now, call),
            In::Hangup(call) => self.hang_up(now, call),
            In::Send {
                call,
                method,
                headers,
            } => self.send_other(now, call, method, &headers),
            In::Ports(ports) => self.ports.extend(ports),
        }
    }

    fn place(&mut self, now: Time, placement: Placement) {
        let call = placement.call;
        let Some(local) = self.ports.pop_front() else {
            return self.tell(Out::Ended {
                call,
                by: By::Local,
                reason: None,
                status: 0,
            });
        };
        let mut session = Session::new(local, self.tokens.number(), &self.profile);
        let will = self.call_mut(call).will;
        let offer = session.offer(will);
        let local_tag = self.tokens.tag();
        let flow = self.flow_to(placement.next_hop);
        let mut builder = Builder::request(&Method::Invite, &placement.target)
            .via(&flow, &self.tokens.branch())
            .header(Name::MaxForwards, 70)
            .header(Name::From, format!("{};tag={local_tag}", placement.from))
            .header(Name::To, &placement.to)
            .header(Name::CallId, self.tokens.call_id())
            .header(Name::CSeq, "1 INVITE");
        for (name, value) in &placement.headers {
            builder = builder.raw(name.as_bytes(), value.as_bytes());
        }
        let bytes = self.complete(builder, call, Some(offer));
        let invite = Message::parse(bytes.clone()).expect("our own INVITE is well formed");
        let id = self.open_leg(Leg::new(call, true, invite, local_tag, session));
        let owner = Owner {
            leg: id,
            sent: Sent::Invite,
        };
        let client = self.layer.request(now, flow, bytes, owner, None);
        self.leg(id).client = Some(client);
    }

    /// A leg that is known to be there.
    pub(super) fn leg(&mut self, id: LegId) -> &mut Leg {
        self.legs.get_mut(&id).expect("the caller looked it up")
    }

    fn set_will(&mut self, now: Time, call: CallNumber, will: Direction) {
        self.call_mut(call).will = will;
        self.reinvite_call(now, call);
    }

    fn reinvite_call(&mut self, now: Time, call: CallNumber) {
        if let Some(id) = self.live_leg(call) {
            self.leg(id).reinvite_due = true;
            self.reinvite_if_due(now, id);
        }
    }

    /// Sends the re-INVITE that is due unless another offer is in progress (RFC 3261 14.1).
    pub(super) fn reinvite_if_due(&mut self, now: Time, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        let busy = leg.client.is_some() || !leg.unacked.is_empty() || leg.session.is_offering();
        if leg.state != State::Up || !leg.reinvite_due || busy {
            return;
        }
        leg.reinvite_due = false;
        let call = leg.call;
        let will = self.call_mut(call).will;
        let offer = self.leg(id).session.offer(will);
        if let Some(client) =
            self.request_in(now, id, &Method::Invite, Sent::Reinvite, &[], Some(offer))
        {
            self.leg(id).client = Some(client);
        }
    }

    /// Sends a request in the leg's dialog.
    fn request_in(
        &mut self,
        now: Time,
        id: LegId,
        method: &Method,
        sent: Sent,
        headers: &[(String, String)],
        sdp: Option<bytes::Bytes>,
    ) -> Option<ClientId> {
        let branch = self.tokens.branch();
        let leg = self.legs.get_mut(&id)?;
        let (call, dialog) = (leg.call, leg.dialog.as_mut()?);
        let mut builder = dialog.request(method, &branch);
        let hop = dialog.next_hop();
        for (name, value) in headers {
            builder = builder.raw(name.as_bytes(), value.as_bytes());
        }
        let bytes = self.complete(builder, call, sdp);
        Some(
            self.layer
                .request(now, hop, bytes, Owner { leg: id, sent }, None),
        )
    }

    fn send_other(
        &mut self,
        now: Time,
        call: CallNumber,
        method: Method,
        headers: &[(String, String)],
    ) {
        let Some(id) = self.live_leg(call) else {
            return;
        };
        if let Some(client) = self.request_in(now, id, &method, Sent::Other, headers, None) {
            self.others.insert(client, method);
        }
    }

    fn hang_up(&mut self, now: Time, call: CallNumber) {
        let Some(id) = self.live_leg(call) else {
            return;
        };
        match self.legs[&id].state {
            State::Calling => {
                self.leg(id).cancelled = true;
                if let Some(client) = self.legs[&id].client {
                    self.layer.cancel(now, client, &[]);
                }
            }
            State::Ringing => self.refuse(now, id, 486),
            State::Up if self.legs[&id].unacked.is_empty() => self.bye(now, id),
            State::Up => self.leg(id).bye_due = true,
            State::Ending => {}
        }
    }

    /// Sends BYE and counts the dialog as over (RFC 3261 15.1.1).
    pub(super) fn bye(&mut self, now: Time, id: LegId) {
        let leg = self.leg(id);
        leg.state = State::Ending;
        for unacked in std::mem::take(&mut leg.unacked) {
            self.layer.acked(unacked.server);
        }
        if let Some(client) = self.leg(id).client.take() {
            self.layer.abandon(client);
        }
        let ended = self.legs[&id].id();
        self.remember_ended(now, ended);
        let headers = self.profile.bye_headers.clone();
        self.request_in(now, id, &Method::Bye, Sent::Bye, &headers, None);
    }
}
