//! The programs on hosts of their own.

use crate::failure::Error;
use crate::netns::Lan;
use crate::rig::{AGENT, Block, Rig, Setup};
use std::collections::BTreeMap;

/// What each node is willing to carry.
const CAPACITY: &str = "capacity = 4000";

/// An agent and nodes, each on a host of its own on one switch; the first `nodes` are started.
pub fn hosts(nodes: usize) -> Result<Rig, Error> {
    let lan = Lan::new(&Block::LAN.hosts(), &BTreeMap::new())?;
    Rig::start_as(Setup {
        block: Block::LAN,
        lan: Some(lan),
        adapt: &|name, text| match name {
            AGENT => text,
            _ => text.replace("capacity = 500", CAPACITY),
        },
        nodes,
    })
}
