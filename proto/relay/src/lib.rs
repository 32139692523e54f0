//! The relay of RTP and RTCP between the two sides of a stream: a pure port table and the epoll
//! threads that move packets. The only package with `unsafe`. It judges nothing: it reports.

pub mod command;

pub use command::{Command, GroupId, GroupTick, Peer, Report, Side, SideSpec, Stats, StreamId, Tick};
