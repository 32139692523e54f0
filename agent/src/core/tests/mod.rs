//! The core in virtual time, between a calling server and nodes that the tests play by hand,
//! message by message.

mod announced;
mod attempts;
mod check;
mod far_end;
mod far_ends;
mod faults;
mod hang_ups;
mod in_flight;
mod leftovers;
mod limits;
mod moves;
mod pacing;
mod placing;
mod ports;
mod restarts;
mod ringing;
mod strangers;
mod transfers;
mod verdicts;
mod world;

use world::{ANSWER, HELD, OFFER, World, ms, seconds};
