//! Test data that others wrote, each folder under its own licence: never part of the project, and
//! missing on most machines. Every test that reads some passes without it.
//!
//! It is looked for beside the project, in `../shared/testdata`, or where `HOLDLINE_TESTDATA` says
//! (from the project's root on); `HOLDLINE_TESTDATA=none` is a machine without.

use crate::from_root;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Names another place, or none.
const VARIABLE: &str = "HOLDLINE_TESTDATA";
/// The place that is none.
const NONE: &str = "none";
const BESIDE: &str = "../shared/testdata";

/// The folder of that name; where it is missing, one line on the standard error says so, and that
/// what reads it is skipped.
pub fn folder(name: &str) -> Option<PathBuf> {
    let place = std::env::var_os(VARIABLE).unwrap_or_else(|| BESIDE.into());
    let folder = (place != NONE).then(|| from_root(&place).join(name));
    let found = folder.filter(|folder| folder.is_dir());
    if found.is_none() {
        say_skipped(name);
    }
    found
}

/// Once for each folder and program. (Not by `eprintln!`, which the test harness would swallow.)
fn say_skipped(name: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.insert(name.to_owned()) {
        let note = format!("SKIPPED: what reads {name}: no test data of others ({VARIABLE})\n");
        let _ = std::io::stderr().write_all(note.as_bytes());
    }
}

/// The files of that folder, and of the folders in it, whose names end with `suffix`: path and
/// content, sorted. None where the folder is missing, which [`folder`] says.
///
/// # Panics
///
/// If a folder that is there has no such file, or one cannot be read.
pub fn files(name: &str, suffix: &str) -> Vec<(String, Vec<u8>)> {
    folder(name).map_or_else(Vec::new, |folder| files_under(&folder, suffix))
}

/// The same for any folder.
///
/// # Panics
///
/// If there is no such file, or one cannot be read.
pub fn files_under(folder: &Path, suffix: &str) -> Vec<(String, Vec<u8>)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder);
        for entry in entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry of a folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(suffix) {
                let bytes = std::fs::read(&path);
                let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                found.push((path.to_string_lossy().into_owned(), bytes));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no {suffix} under {}", folder.display());
    found
}

/// The last part of a path, without what follows its first dot.
pub fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split('.').next().unwrap_or(name)
}
