//! What a program needs of its machine: a thread for its core with the SIP sockets, a clock,
//! configuration, HTTP, logs, metrics and signals.

pub mod capacity;
pub mod clock;
pub mod config;
pub mod drain;
pub mod driver;
pub mod http;
pub mod log;
pub mod media_ports;
pub mod metrics;
pub mod program;
pub mod published;
pub mod relay_link;
pub mod report;
pub mod signals;
pub mod sip_sockets;
pub mod supervision;
pub mod tasks;
pub mod trunk_source;
pub mod vitals;

pub use clock::Clock;
pub use driver::{Driver, DriverOptions, Handle, Inbox, InboxError};
pub use metrics::Metrics;
pub use published::Published;
pub use relay_link::RelayLink;
pub use sip_sockets::{SipSockets, SocketOptions};
pub use supervision::Watch;
pub use tasks::{Machinery, Tasks};
pub use vitals::Vitals;
