//! The ACK for a 2xx, both ways (RFC 3261 13.2.2.4, 13.3.1.4).

use crate::leg::{Ctx, Leg, take_entry};
use crate::passage::Passage;
use crate::signal::Signal;
use bytes::Bytes;
use holdline_wire::dialog::Dialog;
use holdline_wire::sdp::Sdp;
use holdline_wire::transaction::ClientId;
use holdline_wire::{Message, Method, TransportKey};

/// The answer that refuses every stream of `offer`: the ACK for an offer that comes too late
/// still has to carry one (RFC 3261 13.2.2.4).
fn refusing(dialog: &Dialog, offer: &Option<Bytes>) -> Passage {
    let answer = offer.clone().and_then(|offer| {
        let refused = Sdp::parse(offer).ok()?.anchored(&[]);
        Some(refused.with_origin(1, 1, dialog.flow.local.ip()))
    });
    Passage::new(Vec::new(), answer.map(|answer| answer.bytes().clone()))
}

/// Sends the ACK for the 2xx that made `dialog` to the INVITE of `client`, numbered `number`.
fn acknowledge<O: Copy>(
    ctx: &mut Ctx<'_, O>,
    dialog: &Dialog,
    client: ClientId,
    number: u32,
    passage: &Passage,
) {
    let branch = ctx.tokens.branch();
    let built = passage
        .write(dialog.ack(number, &branch))
        .finish(passage.body.as_ref());
    // A peer whose ACK cannot be printed as it is still needs one.
    let built = built.or_else(|_| dialog.ack(number, &branch).finish(None));
    if let Ok(bytes) = built {
        let tag = &dialog.id.remote_tag;
        ctx.layer.acknowledge(client, tag, dialog.next_hop(), bytes);
    }
}

impl<O: Copy> Leg<O> {
    /// The peer's ACK for a 2xx of ours.
    pub fn on_ack(&mut self, ctx: &mut Ctx<'_, O>, ack: &Message) {
        let acknowledged = self.answered.keys().copied().find(|server| {
            let invite = ctx.layer.request_of(*server);
            invite.is_none_or(|(invite, _)| invite.cseq().number == ack.cseq().number)
        });
        let Some(server) = acknowledged else { return };
        take_entry(&mut self.answered, &server);
        ctx.layer.acked(server);
        if self.is_up() {
            self.signals.push_back(Signal::Ack {
                passage: Passage::of(ack),
            });
            self.send_deferred(ctx);
        } else if self.setup == Some(server) {
            self.finish_closing(ctx);
        }
    }

    fn send_deferred(&mut self, ctx: &mut Ctx<'_, O>) {
        if self.answered.is_empty()
            && let Some(deferred) = self.deferred.take()
        {
            let (id, method, passage) = *deferred;
            self.send(ctx, id, &method, &passage);
        }
    }

    /// Sends the ACK that a 2xx to our INVITE waits for.
    pub(crate) fn send_ack(&mut self, ctx: &mut Ctx<'_, O>, passage: &Passage) {
        let Some(due) = self.ack_due.take() else {
            return;
        };
        if let Some(dialog) = self.dialog.take() {
            acknowledge(ctx, &dialog, due.client, due.number, passage);
            self.dialog = Some(dialog);
        }
    }

    /// The other leg will not say anything more: the 2xx gets its ACK all the same.
    pub(crate) fn send_last_ack(&mut self, ctx: &mut Ctx<'_, O>) {
        if let (Some(due), Some(dialog)) = (&self.ack_due, &self.dialog) {
            let passage = refusing(dialog, &due.offer);
            self.send_ack(ctx, &passage);
        }
    }

    /// A 2xx came again: so does our ACK. False where it had none yet.
    pub(crate) fn repeat_ack(
        &self,
        ctx: &mut Ctx<'_, O>,
        client: ClientId,
        response: &Message,
    ) -> bool {
        let tag = response.to_tag();
        tag.is_some_and(|tag| ctx.layer.acknowledge_again(client, tag))
    }

    /// ACK and BYE for an answer that nobody wants: it came after our CANCEL (RFC 3261 15), or
    /// from another branch of a fork (RFC 3261 13.2.2.4). The dialog that it made.
    pub(crate) fn decline_answer(
        &mut self,
        ctx: &mut Ctx<'_, O>,
        client: ClientId,
        invite: &Message,
        response: &Message,
        from: TransportKey,
    ) -> Option<Dialog> {
        let mut dialog = Dialog::uac(invite, response, from)?;
        if let Some(early) = &self.dialog {
            dialog.local_seq = dialog.local_seq.max(early.local_seq);
        }
        let offer = response.sdp().filter(|_| !self.offered);
        let passage = refusing(&dialog, &offer);
        acknowledge(ctx, &dialog, client, response.cseq().number, &passage);
        let branch = ctx.tokens.branch();
        let bye = dialog.request(&Method::Bye, &branch).finish(None);
        if let Ok(bytes) = bye {
            let hop = dialog.next_hop();
            ctx.layer.request(ctx.now, hop, bytes, self.owner, None);
        }
        Some(dialog)
    }
}
