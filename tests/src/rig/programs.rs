//! Where the programs are, and that they are the ones of this source.

use crate::failure::Error;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The programs that a rig starts, by package.
const PACKAGES: [&str; 3] = ["holdline-agent", "b2bua-node", "holdline-tests"];

/// The directory that this very program was built into; tests are one deeper.
fn directory() -> Result<PathBuf, Error> {
    let own = std::env::current_exe()?;
    let dir = own.parent().ok_or("this program is nowhere")?;
    let dir = if dir.ends_with("deps") {
        dir.parent().ok_or("this program is nowhere")?
    } else {
        dir
    };
    Ok(dir.to_owned())
}

/// A program beside this one.
pub fn binary(name: &str) -> Result<PathBuf, Error> {
    let path = directory()?.join(name);
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("{} is not there: build the workspace first", path.display()).into())
    }
}

/// Under cargo, builds the programs in the profile of this one, so that none is older than its
/// source: cargo builds for a test only what its own package holds. Elsewhere they are taken as
/// they are.
pub fn build() -> Result<(), Error> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    let done = DONE.get_or_init(|| build_once().map_err(|error| error.to_string()));
    done.clone().map_err(Error::from)
}

fn build_once() -> Result<(), Error> {
    let Some(cargo) = std::env::var_os("CARGO") else {
        return Ok(());
    };
    let dir = directory()?;
    let profile = match dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let target = dir.parent().ok_or("the target directory has no name")?;
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--bins", "--profile", profile])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", target);
    for package in PACKAGES {
        command.args(["-p", package]);
    }
    if command.status()?.success() {
        Ok(())
    } else {
        Err("the programs do not build".into())
    }
}
