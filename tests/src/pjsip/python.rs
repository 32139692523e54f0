//! The Python that has PJSIP, and where the scripts are.

use super::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The variable that names another Python.
const OVERRIDE: &str = "HOLDLINE_PYTHON";
/// The project's own environment, as `scripts/setup test` makes it, from the workspace's root.
const OWN: &str = "target/endpoints/bin/python";

/// A Python that can import `pjsua2`: the one that `HOLDLINE_PYTHON` names, else the project's
/// own, else the system's.
pub fn python() -> Result<&'static Path, Error> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(find) {
        Ok(path) => Ok(path),
        Err(error) => Err(error.clone().into()),
    }
}

fn find() -> Result<PathBuf, String> {
    let candidates = match std::env::var_os(OVERRIDE) {
        Some(path) => vec![PathBuf::from(path)],
        None => vec![
            Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(OWN),
            PathBuf::from("python3"),
        ],
    };
    let tried = format!("{candidates:?}");
    let found = candidates.into_iter().find(|path| has_pjsip(path));
    found.ok_or_else(|| {
        format!(
            "no Python with the module pjsua2 (tried {tried}): \
             run `scripts/setup test` (make test does), or set {OVERRIDE}"
        )
    })
}

fn has_pjsip(python: &Path) -> bool {
    Command::new(python)
        .args(["-c", "import pjsua2"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A script of `tests/endpoints`.
pub(super) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("endpoints")
        .join(name)
}
