//! Benchmarks of the real programs beside a floor or a peer: `make bench`, `docs/dev/benchmarks.md`.
//!
//! Each benchmark is a binary `holdline-bench-WHAT`, which prints its progress and writes one
//! Markdown section. All CPU times are of whole processes, read from `/proc`, and all systems of
//! a benchmark bear the same messages or packets from the same generator.

pub mod allocations;
mod arguments;
mod crowd;
pub mod death;
mod ends;
mod figures;
pub mod floor;
mod hosts;
mod kamailio;
mod machine;
mod nodes;
mod pacing;
mod responder;
mod rtp;
mod rtpengine;
mod stand;

pub use arguments::{Arguments, run};
pub use crowd::{Crowd, Tally};
pub use ends::{Caller, Description, Plan, callee, number_of};
pub use figures::{Figures, Section};
pub use holdline_host::capacity::raise_open_files;
pub use hosts::hosts;
pub use kamailio::Kamailio;
pub use machine::{Kernel, Memory, cpu};
pub use nodes::{Cluster, Cost};
pub use responder::Responder;
pub use rtp::Voices;
pub use rtpengine::Rtpengine;
pub use stand::Stand;
