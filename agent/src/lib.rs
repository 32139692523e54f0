//! The failover agent: a B2BUA between the calling server and the cluster that moves every live
//! call of a node when the node dies. `core` is a pure state machine; the shell around it owns
//! threads, sockets and HTTP.

pub mod cluster;
pub mod config;
pub mod core;
pub mod report;
pub mod shell;
