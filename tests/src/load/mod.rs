//! The load generator: both ends of many calls against agent and nodes, measuring what the
//! listeners hear while things break.
//!
//! Two threads: one for signalling (two [`crate::ua::Ua`] on UDP sockets), one for media. Every
//! RTP packet carries a mark: whose it is, its number, when it was sent. So a listener knows
//! what is missing, what is foreign, and how long there was silence; the kernel says when packets
//! came; and the tool knows how late it was itself.

mod act;
mod clock;
mod csv;
mod driver;
mod duration;
mod end;
mod findings;
mod hearing;
mod ledger;
mod mark;
mod media;
mod options;
mod report;
mod stamped;
mod steps;
mod story;
#[cfg(test)]
mod tests;

pub use act::{Act, Actors, Step};
pub use csv::csv;
pub use driver::Fault;
pub use duration::duration;
pub use hearing::{Hearing, Pause, Window};
pub use ledger::{Ending, Entry, Move, MoveKind};
pub use mark::{Side, sender};
pub use media::Lateness;
pub use options::{MediaMode, Options};
pub use report::{AfterFault, Breaks, Call, Percentiles, Report};
pub use story::run;
