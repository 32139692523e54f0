//! What the tests of every package feed the programs with: the torture messages that we wrote, each
//! with what is to become of it ([`torture`]), and test data that others wrote, where it is at hand
//! ([`others`]). For tests only: what is wrong with the files is said by a panic.

pub mod others;
#[cfg(test)]
mod tests;
mod torture;

pub use torture::{Answer, Asks, Fate, Torture, torture};

use std::path::{Path, PathBuf};

/// A path from the project's root.
fn from_root(path: impl AsRef<Path>) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or(root).join(path)
}
