//! The threads that move packets: sockets, what is heard of them, and the table between them.

mod engine;
mod epoll;
mod faults;
mod gather;
mod outbox;
mod port;
mod ports;
mod relay;
mod ticks;
mod waker;
mod worker;

pub use outbox::ReportSink;
pub use relay::{
    QUIET_AFTER, Relay, RelayConfig, RelayCounters, RelayHandle, SendError, StartThread, Work,
};
