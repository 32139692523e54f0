//! Header names and typed views over header values.

mod address;
mod instance;
mod name;
pub(crate) mod scan;
mod values;
mod via;

pub use address::NameAddr;
pub use instance::{
    InstanceAgent, InstanceBye, InstanceFarEnd, InstanceRefusal, InstanceState, InstanceStore,
    is_ours,
};
pub use name::Name;
pub use values::{CSeq, InstanceUtilization, Replaces, SessionExpires};
pub use via::Via;

pub(crate) use address::uri as checked_uri;
pub(crate) use name::{Kind, UNKNOWN, kind_of, name_of};
pub(crate) use via::{ip_literal, scan as scan_via, split_host};
