//! An INVITE with Replaces, as RFC 3891 has the one who receives it act.

use super::leg::{Leg, LegId, State};
use super::{By, DialogId, Message, Name, Out, ReplacesPolicy, Time, Timer, Ua};
use holdline_wire::header::Replaces;

impl Ua {
    /// The leg that `invite` is to replace: `None` for an ordinary call, an error status where it
    /// must be refused, 0 for no answer at all (RFC 3891 section 3).
    pub(super) fn replaced_leg(
        &mut self,
        now: Time,
        invite: &Message,
    ) -> Result<Option<LegId>, u16> {
        let values: Vec<Vec<u8>> = invite
            .fields()
            .filter(|field| field.name == Name::Replaces)
            .map(|field| field.value.to_vec())
            .collect();
        let [value] = values.as_slice() else {
            return if values.is_empty() {
                Ok(None)
            } else {
                Err(400)
            };
        };
        match self.profile.replaces {
            ReplacesPolicy::Accept => {}
            ReplacesPolicy::Unsupported => return Ok(None),
            ReplacesPolicy::Refuse(status) => return Err(status),
            ReplacesPolicy::Silent => return Err(0),
        }
        let replaces = Replaces::parse(value).ok_or(400u16)?;
        self.forget_ended(now);
        self.match_dialog(&replaces).map(Some)
    }

    fn match_dialog(&self, replaces: &Replaces) -> Result<LegId, u16> {
        let id = DialogId {
            call_id: replaces.call_id.clone(),
            local_tag: replaces.to_tag.clone(),
            remote_tag: replaces.from_tag.clone(),
        };
        let leg = self.by_dialog.get(&id).map(|leg| (*leg, &self.legs[leg]));
        match leg {
            // Its user hung up, be it that BYE has to wait for their ACK.
            Some((_, leg)) if leg.state == State::Ending || leg.bye_due => Err(603),
            Some((_, leg)) if leg.state == State::Up && replaces.early_only => Err(486),
            Some((found, leg)) if leg.state == State::Up => {
                debug_assert_eq!(leg.id(), id);
                Ok(found)
            }
            // An early dialog can be replaced only where this side placed the call; and we have
            // no use for that.
            Some(_) => Err(481),
            None if self.ended.contains(&id) => Err(603),
            None => Err(481),
        }
    }

    /// The INVITE of leg `new` is to replace leg `old`: it is answered at once, or when it is due.
    pub(super) fn replace_in_time(&mut self, now: Time, new: LegId, old: LegId) {
        self.replacing.insert(new, old);
        self.most_replacing = self.most_replacing.max(self.replacing.len());
        let most = self.profile.freezes_beyond.unwrap_or(usize::MAX);
        if self.replacing.len() > most {
            self.frozen = true;
        } else if self.profile.replaces_delay.is_zero() {
            self.replace(now, new, old);
        } else {
            let at = now + self.profile.replaces_delay;
            self.timers.set(Timer::Replace(new, old), at);
        }
    }

    /// Answers the INVITE of leg `new` and ends leg `old` with BYE.
    pub(super) fn replace(&mut self, now: Time, new: LegId, old: LegId) {
        self.replacing.remove(&new);
        let up = |leg: &Leg| leg.state == State::Up && !leg.bye_due;
        if !self.legs.get(&old).is_some_and(up) {
            // Its user hung up while the INVITE waited for its answer.
            return self.decline(now, new, 603);
        }
        let unfinished = {
            let leg = &self.legs[&old];
            leg.reinvite_due || leg.client.is_some()
        };
        self.answer(now, new);
        let (old_id, leg) = (self.legs[&old].id(), self.leg(new));
        // A hold that was under way is done in the new dialog (spec: X27).
        leg.reinvite_due = unfinished;
        let (call, new_id, stream) = (leg.call, leg.id(), leg.session.stream().clone());
        self.call_mut(call).counts.replaces_accepted += 1;
        self.tell(Out::Replaced {
            call,
            old: old_id,
            new: new_id,
            stream,
        });
        let moving = self.profile.moving;
        let leg = self.leg(old);
        leg.quiet = true;
        if moving.is_zero() {
            return self.bye(now, old);
        }
        leg.replaced_by = Some(new);
        leg.state = State::Ending;
        self.timers.set(Timer::Moved(old), now + moving);
    }

    /// The call has left leg `old`.
    pub(super) fn moved(&mut self, now: Time, old: LegId) {
        if let Some(leg) = self.legs.get_mut(&old) {
            leg.replaced_by = None;
            self.bye(now, old);
        }
    }

    /// A BYE came in leg `old`, in which the call still is, though leg `new` is answered: it ends
    /// in both.
    pub(super) fn lose_both(&mut self, now: Time, old: LegId, new: LegId) {
        self.close_leg(now, old);
        if self.legs.get(&new).is_some_and(Leg::is_live) {
            let leg = self.leg(new);
            leg.ended_by = By::Peer;
            let call = leg.call;
            self.call_mut(call).counts.byes_too_early += 1;
            self.bye(now, new);
        }
    }

    /// Nothing comes of the INVITE of leg `new`, and nobody hears of it but its sender.
    pub(super) fn decline(&mut self, now: Time, new: LegId, status: u16) {
        if let Some(server) = self.legs.get(&new).and_then(|leg| leg.server) {
            self.answer_invite(now, new, server, status);
        }
        self.counts.replaces_refused += 1;
        self.close_leg(now, new);
    }
}
