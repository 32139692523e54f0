//! Where the messages are: our own beside this file and in the torture corpus, others' in a folder
//! that may be missing.

use bytes::Bytes;
use holdline_corpus::others;
pub use holdline_corpus::others::{folder, stem};
use std::path::Path;

/// Every file below `folder` whose name ends with `suffix`, sorted by path.
pub fn files(folder: &Path, suffix: &str) -> Vec<(String, Bytes)> {
    let files = others::files_under(folder, suffix).into_iter();
    files.map(|(path, bytes)| (path, bytes.into())).collect()
}

/// The messages of our own corpus. They are stored with the line ends that they have on the wire.
pub fn own() -> Vec<(String, Bytes)> {
    files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus"),
        ".sip",
    )
}
