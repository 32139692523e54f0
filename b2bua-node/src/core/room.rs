//! How much of the media ports is for new calls, and what is kept for those of other nodes (spec: X51).

use holdline_relay::Ports;

/// Pairs that a call with one stream needs: one a side.
const ONE_CALL: usize = 2;
/// One part in so many of the pairs is for calls that the death of other nodes brings.
const KEPT: usize = 16;

/// Port pairs that new calls leave alone, since other nodes' calls may come here: a sixteenth of
/// them, and no less than one call needs. Where there are not enough for two calls, none.
pub(super) fn kept(ports: &Ports) -> usize {
    let usable = ports.usable();
    if usable < 2 * ONE_CALL {
        return 0;
    }
    (usable / KEPT).max(ONE_CALL)
}

/// How much of what is for new calls is in use, percent, rounded up; 100 where not one more fits.
pub(super) fn percent(ports: &Ports) -> usize {
    let for_calls = ports.usable() - kept(ports);
    let left = ports.available().saturating_sub(kept(ports));
    if left < ONE_CALL {
        return 100;
    }
    let used = for_calls.saturating_sub(left);
    (used * 100).div_ceil(for_calls).min(100)
}
