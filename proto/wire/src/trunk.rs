//! The trunk document (spec: D11, X10): what the cluster tells the agent about itself.

use std::net::SocketAddr;

/// One node as the document lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its SIP address.
    pub address: SocketAddr,
    /// `active`: takes new calls; `inactive`: keeps the calls it has (spec: D14).
    pub active: bool,
}

/// A valid trunk document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkDocument {
    /// `cloud-sip-trunk-name`: a host name.
    pub name: String,
    /// `uri`.
    pub uri: String,
    /// `version`.
    pub version: u64,
    /// `webhook-registration`.
    pub webhook_registration: String,
    /// `instances`, each address once.
    pub instances: Vec<Instance>,
}

/// Why a document is refused: which member, what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("trunk document: {member}: expected {expected}")]
pub struct TrunkError {
    /// The path of the member, e.g. `instances[2].port`.
    pub member: String,
    /// What was expected there.
    pub expected: &'static str,
}

/// The longest document that is read, in bytes.
pub const MAX_DOCUMENT: usize = 1 << 20;

impl TrunkDocument {
    /// Reads and checks a document. Unknown members are ignored; a port may be a string or a
    /// number; duplicate instances, an unknown status or a bad host name are errors.
    pub fn parse(_json: &[u8]) -> Result<TrunkDocument, TrunkError> {
        todo!()
    }
    /// The document as JSON, ports as strings like the draft's.
    pub fn to_json(&self) -> String {
        todo!()
    }
}
