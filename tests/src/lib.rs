//! Oracles and tools around the programs: user agents, the simulated world, the load generator.

pub mod baresip;
pub mod bench;
pub mod failure;
pub mod load;
pub mod netns;
pub mod pjsip;
pub mod rig;
pub mod sim;
pub mod sipp;
pub mod ua;
