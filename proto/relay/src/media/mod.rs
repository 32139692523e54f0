//! The media of a call: who said what, which ports stand between the two sides, and what the relay
//! is told of it. Pure.

mod pool;
mod session;

pub use pool::Ports;
pub use session::{Carrier, MediaError, Place, Session};
