//! The node of the cluster: a B2BUA with media between the agent and the downstream UA, which
//! takes over the calls of nodes that died.

pub mod config;
pub mod core;
pub mod report;
pub mod shell;
pub mod store;
