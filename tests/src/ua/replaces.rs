//! An INVITE with Replaces, as RFC 3891 has the one who receives it act.

use super::leg::{LegId, State};
use super::{DialogId, Message, Name, Out, ReplacesPolicy, Time, Ua};
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

    /// Answers the INVITE of leg `new` at once and ends leg `old` with BYE.
    pub(super) fn replace(&mut self, now: Time, new: LegId, old: LegId) {
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
        self.leg(old).quiet = true;
        self.bye(now, old);
    }
}
