//! A request of our own inside a dialog, which the other leg knows nothing of.

use crate::leg::{Ctx, Leg};
use holdline_wire::Method;

impl<O: Copy> Leg<O> {
    /// Asks the peer whether it knows the dialog: OPTIONS inside it (RFC 3261 11, 12.2.2), which 481
    /// answers where it does not. `owner` hears what comes of it; the leg does not. False where
    /// the dialog is not up.
    pub fn ask(&mut self, ctx: &mut Ctx<'_, O>, owner: O) -> bool {
        if !self.is_up() {
            return false;
        }
        let Some(dialog) = self.dialog.as_mut() else {
            return false;
        };
        let branch = ctx.tokens.branch();
        let Ok(bytes) = dialog.request(&Method::Options, &branch).finish(None) else {
            return false;
        };
        let hop = dialog.next_hop();
        ctx.layer.request(ctx.now, hop, bytes, owner, None);
        true
    }
}
