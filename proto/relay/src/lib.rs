//! The relay of RTP and RTCP between the two sides of a stream: a pure port table and the epoll
//! threads that move packets. The only package with `unsafe`. It judges nothing: it reports.

mod command;
mod media;
mod table;

mod comfort;
mod gather;
mod outbox;
mod port;
mod ports;
mod quiet;
mod relay;
mod stream;
mod sys;
mod tally;
mod worker;

pub use command::{
    Comfort, Command, GroupId, GroupTick, Peer, Report, Side, SideSpec, Stats, StreamId, Tick,
};
pub use media::{Carrier, MediaError, Place, Ports, Session};
pub use outbox::ReportSink;
pub use relay::{
    QUIET_AFTER, Relay, RelayConfig, RelayCounters, RelayHandle, SendError, StartThread, Work,
};
pub use table::{Applied, Channel, Reason, Table, Verdict};
