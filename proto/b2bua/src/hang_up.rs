//! BYE in a dialog that no leg has: what a call left behind, or an answer that came too late.

use holdline_leg::Ctx;
use holdline_wire::dialog::Dialog;
use holdline_wire::header::Name;
use holdline_wire::{Message, Method, TransportKey};

/// Says BYE in `dialog`, with these headers; false where it cannot be written.
pub fn say_bye<O: Copy>(
    ctx: &mut Ctx<'_, O>,
    dialog: &mut Dialog,
    headers: &[(Name<'_>, &str)],
    owner: O,
) -> bool {
    let branch = ctx.tokens.branch();
    let mut bye = dialog.request(&Method::Bye, &branch);
    for (name, value) in headers {
        bye = bye.header(*name, value);
    }
    let Ok(bytes) = bye.finish(None) else {
        return false;
    };
    ctx.layer
        .request(ctx.now, dialog.next_hop(), bytes, owner, None);
    true
}

/// A 2xx to `invite` for which there is no leg (any more): ACK and BYE (RFC 3261 13.2.2.4).
/// Anything else is no such answer, and nothing is done.
pub fn decline<O: Copy>(
    ctx: &mut Ctx<'_, O>,
    invite: &Message,
    answer: &Message,
    from: TransportKey,
    headers: &[(Name<'_>, &str)],
    owner: O,
) {
    if *answer.method() != Method::Invite || !(200..300).contains(&answer.status()) {
        return;
    }
    let Some(mut dialog) = Dialog::uac(invite, answer, from) else {
        return;
    };
    let branch = ctx.tokens.branch();
    if let Ok(ack) = dialog.ack(answer.cseq().number, &branch).finish(None) {
        ctx.layer.send_ack(dialog.next_hop(), ack);
    }
    say_bye(ctx, &mut dialog, headers, owner);
}
