//! The one codec for what outlives a node: a call's dialog identifiers and how to reach the
//! downstream UA (spec: D2, D30). No media state.

use crate::dialog::DialogId;
use crate::transport::Protocol;
use std::net::SocketAddr;

/// What a survivor needs to rebuild a call (spec: D30).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogRecord {
    /// How often the call has moved; 0 when placed.
    pub generation: u32,
    /// The trunk (source) that made the upstream dialog: the agent's address.
    pub trunk: Box<str>,
    /// The upstream dialog as the node sees it.
    pub upstream: DialogId,
    /// The downstream dialog as the node sees it.
    pub downstream: DialogId,
    /// Our side of the downstream dialog: `display <uri>`.
    pub local: Box<[u8]>,
    /// The downstream UA's side.
    pub remote: Box<[u8]>,
    /// The downstream UA's Contact URI.
    pub remote_target: Box<str>,
    /// Route values in sending order.
    pub route_set: Vec<Box<str>>,
    /// The protocol and resolved address of the downstream peer.
    pub protocol: Protocol,
    /// Where downstream requests were sent.
    pub address: SocketAddr,
    /// The CSeq number of the first downstream INVITE.
    pub first_cseq: u32,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("dialog record: {0}")]
pub struct RecordError(pub &'static str);

impl DialogRecord {
    /// The record as bytes: a version octet, then fields with explicit lengths.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
    /// Reads a record; every length is checked, trailing bytes are an error.
    pub fn decode(_bytes: &[u8]) -> Result<DialogRecord, RecordError> {
        todo!()
    }
}
