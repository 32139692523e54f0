//! The message parser and printer against messages that others wrote, messages that we wrote,
//! and what chance makes of both.

mod flows;
mod grammar;
mod mutation;
mod own;
mod own_torture;
mod testdata;
mod torture;
