//! What every core of a B2BUA has, whatever it calls and why: the parts that the agent and the node
//! would otherwise have twice. Each is a type with a state of its own, or a function; none knows the
//! core that it serves. Pure: no socket, no clock, no thread.
//!
//! - which requests are served at all, and how others are refused: [`served`], [`hops`],
//!   [`replaces`], [`options`], [`stray`], [`answer`], [`Stateless`]
//! - what is done in dialogs that no leg has: [`say_bye`], [`decline`]
//! - whom a call is for, and what a transfer names: [`Callee`], [`transfer`]
//! - where a tag leads, while a dialog lives and for a while afterwards: [`Tags`]
//! - the ports and streams of all calls: [`Streams`]
//! - things that are done at a pace: [`Turns`]
//! - why calls end and messages are ignored: [`Cause`], [`Ignored`]

mod admission;
mod answering;
mod callee;
mod cause;
mod fault;
mod hang_up;
mod streams;
mod tags;
pub mod transfer;
mod turns;

pub use admission::{Refusal, hops, options, replaces, served, stray, unrouted};
pub use answering::{Stateless, answer};
pub use callee::Callee;
pub use cause::{Cause, Ignored};
pub use fault::send_failed;
pub use hang_up::{decline, say_bye};
pub use streams::{Streams, pairs_needed, status_of};
pub use tags::Tags;
pub use turns::Turns;

slotmap::new_key_type! {
    /// Names a call of a core; never reused.
    pub struct CallKey;
}
