//! A whole program, but for what is its own: from the command line to the exit code, and between them
//! its clock, sockets, relay, pages, signals and threads.

mod entry;
mod running;
mod start;
mod status;

pub use entry::{About, End, main};
pub use running::{Common, Running, Wired};
pub use start::{Needs, Program};
pub use status::Snapshot;
