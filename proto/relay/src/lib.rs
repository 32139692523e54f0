//! The relay of RTP and RTCP between the two sides of a stream: a pure port table and the epoll
//! threads that move packets. It judges nothing: it reports.
#![forbid(unsafe_code)]

mod command;
mod io;
mod media;
mod report;
mod table;

pub use command::{Comfort, Command, GroupId, Peer, Side, SideSpec, StreamId};
pub use io::{
    QUIET_AFTER, Relay, RelayConfig, RelayCounters, RelayHandle, ReportSink, SendError,
    StartThread, Work,
};
pub use media::{Carrier, MediaError, Place, Ports, Session};
pub use report::{GroupTick, Report, Tick};
pub use table::{Applied, Channel, Reason, Table, Verdict};
