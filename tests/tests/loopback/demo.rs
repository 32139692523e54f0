//! The demo itself: nothing that it started stays, however it ends.

use holdline_tests::rig::{Error, binary, build};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long the demo's programs have to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The processes whose parent is `parent` (field 4 of `/proc/PID/stat`).
fn children(parent: u32) -> BTreeSet<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// A process's state and parent.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn is_gone(pid: u32) -> bool {
    stat(pid).is_none_or(|(state, _)| state == 'Z')
}

/// Starts the demo, sends it `signal` once its calls are up, and waits until its programs are
/// gone. Its exit status, and its directory.
fn end_demo_by(signal: Signal) -> Result<(ExitStatus, PathBuf), Error> {
    build()?;
    let mut demo = Command::new(binary("holdline-demo")?)
        .args(["--calls", "5", "--before", "60"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let pid = demo.id();
    let output = demo.stdout.take().ok_or("no output")?;
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let up = lines.find(|line| line.contains("calls are up"));
    let started = children(pid);
    kill(Pid::from_raw(pid.cast_signed()), signal)?;
    let status = demo.wait()?;
    assert!(up.is_some(), "the demo did not get its calls up");
    assert_eq!(
        started.len(),
        5,
        "three nodes, an agent and the load generator"
    );
    let since = Instant::now();
    while !started.iter().all(|&pid| is_gone(pid)) {
        assert!(since.elapsed() < PATIENCE, "something outlives the demo");
        std::thread::sleep(Duration::from_millis(10));
    }
    let entries = std::fs::read_dir(std::env::temp_dir())?.flatten();
    let name = format!("holdline-{pid}-");
    let dir = entries.map(|entry| entry.path()).find(|path| {
        path.file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with(&name))
    });
    Ok((status, dir.unwrap_or_default()))
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let (status, dir) = end_demo_by(Signal::SIGINT).unwrap();
    assert_eq!(status.code(), Some(130));
    assert_eq!(dir, Path::new(""), "its directory is still there");
}

#[test]
fn a_killed_demo_takes_its_programs_along() {
    let (status, dir) = end_demo_by(Signal::SIGKILL).unwrap();
    assert_eq!(status.code(), None);
    // Nobody was left to remove it.
    std::fs::remove_dir_all(dir).unwrap();
}
