//! The BYE that is owed in a downstream dialog that was replaced: see [`super::replaced`].

use crate::core::NodeCore;
use crate::core::keys::Timer;
use holdline_b2bua::CallKey;
use holdline_wire::dialog::DialogId;
use holdline_wire::{Message, Method, Time};

/// The Reason of a BYE in a downstream dialog that was replaced (spec: X28).
const REPLACED: &str = "SIP;cause=200;text=\"moved\"";

impl NodeCore {
    /// The downstream UA accepted the take-over: its old dialog gets a BYE, later.
    pub(super) fn owe_farewell(&mut self, now: Time, key: CallKey) {
        let takeover = self.calls.get(key).and_then(|call| call.takeover.as_ref());
        let Some(record) = takeover.and_then(|takeover| takeover.record.clone()) else {
            return;
        };
        let Some(number) = self.env.replaced.owe(record) else {
            return;
        };
        let patience = self.env.config.waits.replaced;
        self.env.timers.set(Timer::Replaced(number), now + patience);
        // Twice as many as there can be calls would have to move within a second.
        let most = self.env.config.capacity * 2;
        if let Some(oldest) = self.env.replaced.excess(most) {
            self.env.timers.cancel(Timer::Replaced(oldest));
            self.farewell_due(now, oldest);
        }
    }

    /// The UA of a dialog that was replaced has had its time to end it.
    pub(super) fn farewell_due(&mut self, now: Time, number: u64) {
        if let Some(record) = self.env.replaced.take(number) {
            self.farewell(now, &record, REPLACED);
        }
    }

    /// Whether `request` is a BYE in a dialog that is replaced: then nothing is owed there.
    pub(super) fn ends_replaced(&mut self, request: &Message) -> bool {
        if *request.method() != Method::Bye || self.env.replaced.len() == 0 {
            return false;
        }
        let dialog = DialogId::of_request(request);
        let known = self.env.replaced.knows(&dialog);
        if let Some(number) = self.env.replaced.ended(&dialog) {
            self.env.timers.cancel(Timer::Replaced(number));
        }
        known
    }
}
