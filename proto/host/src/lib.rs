//! What a program needs of its machine: a thread for its core with the SIP sockets, a clock,
//! configuration, HTTP, logs, metrics and signals.

pub mod clock;
pub mod config;
pub mod driver;
pub mod metrics;
pub mod sip_sockets;

pub use clock::Clock;
pub use driver::{Driver, DriverOptions, Handle, Inbox, InboxError};
pub use metrics::Metrics;
pub use sip_sockets::{SipSockets, SocketOptions};
