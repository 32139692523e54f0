//! Hosts of their own for the programs of a rig: network namespaces on one switch, whose links
//! can be cut, lose packets and be slow. What a process sees there is what it would see on a LAN:
//! a host that is up refuses what nobody takes (and limits how often, icmp(7)), one whose link is down
//! says nothing.
//!
//! Nothing has a name outside of this process, so several runs live side by side and nothing is
//! left of a run that ends by force.

mod lan;
mod namespace;
mod slow;

pub use lan::{BRIDGE, Lan};
pub use namespace::Namespace;
pub use slow::Delay;
