//! Where the messages are: our own beside this file, others' in a folder that may be missing.

use bytes::Bytes;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A folder of the test data written by others; says so loudly where it is missing.
pub fn folder(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("HOLDLINE_TESTDATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata"),
        PathBuf::from,
    );
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    // Not by a macro: the output of a test that passes would be hidden.
    let note = format!("SKIPPED: no {}; set HOLDLINE_TESTDATA\n", folder.display());
    std::io::stderr().write_all(note.as_bytes()).unwrap();
    None
}

/// All files under `folder` whose name ends with `suffix`, by path.
pub fn files(folder: &Path, suffix: &str) -> Vec<(String, Bytes)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(suffix) {
                let bytes = Bytes::from(std::fs::read(&path).unwrap());
                found.push((path.to_string_lossy().into_owned(), bytes));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no {suffix} under {}", folder.display());
    found
}

/// The messages of our own corpus. They are stored with the line ends that they have on the wire.
pub fn own() -> Vec<(String, Bytes)> {
    files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus"),
        ".sip",
    )
}

/// The last part of a path, without what follows its first dot.
pub fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split('.').next().unwrap_or(name)
}
