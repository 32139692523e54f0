//! A whole program, but for what is its own.

mod entry;

pub use entry::{About, End, main};
