//! The load generator: both ends of many calls against agent and nodes, measuring what the
//! listeners hear while things break.
//!
//! Two threads: one for signalling (two [`crate::ua::Ua`] on UDP sockets), one for media. Every
//! RTP packet carries a mark: whose it is, its number, when it was sent. So a listener knows
//! what is missing, what is foreign, and how long there was silence; and the tool knows how late
//! it was itself.

mod clock;
mod driver;
mod end;
mod hearing;
mod ledger;
mod mark;
mod media;
mod options;
mod report;
mod story;
#[cfg(test)]
mod tests;

pub use driver::Fault;
pub use hearing::{Hearing, Pause, Window};
pub use ledger::{Ending, Entry, Move, MoveKind};
pub use mark::Side;
pub use media::Lateness;
pub use options::{Options, Step};
pub use report::{AfterFault, Breaks, Call, Percentiles, Report};
pub use story::run;
