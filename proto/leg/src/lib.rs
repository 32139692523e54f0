//! One B2BUA leg (dialog, transactions, offers) as a pure state machine, and the neutral signals
//! by which the two legs of a call speak to each other: a leg never sees the other's messages.

mod ack;
mod asking;
mod call_setup;
mod ending;
mod identity;
mod in_dialog;
mod leg;
mod passage;
mod pending;
mod signal;
mod transfer;
mod unavailable;

pub use call_setup::{Minted, Setup};
pub use identity::Stamp;
pub use leg::{Ctx, Leg, State};
pub use passage::Passage;
pub use signal::{EndCause, RequestId, Signal};
pub use transfer::{Referred, refer_elsewhere, referred};
