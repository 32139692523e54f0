//! A second witness: what `dumpcap` saw on the loopback interface, or on the switch between the
//! hosts, read by `tshark`.

use super::{Rig, Sig};
use crate::failure::Error;
use crate::netns::BRIDGE;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The capture's name in the household.
const CAPTURE: &str = "capture";
/// How long it may take to begin and to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Megabytes that the kernel may keep for it while it waits for the processor.
const BUFFER: &str = "64";

/// A capture under way.
pub struct Capture {
    file: PathBuf,
}

impl Capture {
    /// Whether this machine has the programs and lets us capture.
    pub fn is_possible() -> bool {
        let said = |program: &str, arg: &str| {
            let mut command = Command::new(program);
            command.arg(arg).stdin(Stdio::null()).stderr(Stdio::null());
            let output = command.output().ok().filter(|out| out.status.success())?;
            String::from_utf8(output.stdout).ok()
        };
        let interfaces = said("dumpcap", "-D").unwrap_or_default();
        said("tshark", "--version").is_some() && interfaces.contains("lo (Loopback)")
    }

    /// Begins; `filter` is as of pcap-filter(7).
    pub fn start(rig: &Rig, filter: &str) -> Result<Capture, Error> {
        let file = rig.dir().join("capture.pcapng");
        let path = file.to_str().ok_or("the directory's name is no text")?;
        let interface = rig.lan().map_or("lo", |_| BRIDGE);
        let args = [
            "-i", interface, "-q", "-B", BUFFER, "-f", filter, "-w", path,
        ];
        let household = rig.household();
        let spawn = || household.spawn(CAPTURE, Path::new("dumpcap"), &args);
        match rig.lan() {
            Ok(lan) => lan.switch().within(spawn)??,
            Err(_) => spawn()?,
        }
        // It makes the file once the interface is open and the filter is in place.
        rig.wait("the capture begins", PATIENCE, || {
            if !household.is_running(CAPTURE) {
                return Err(rig.failure("dumpcap has ended"));
            }
            Ok(file.metadata().is_ok_and(|file| file.len() > 0))
        })?;
        Ok(Capture { file })
    }

    /// Ends it.
    pub fn stop(self, rig: &Rig) -> Result<Captured, Error> {
        // What is in the kernel's buffer is read out twice a second.
        std::thread::sleep(Duration::from_millis(600));
        rig.household().signal(CAPTURE, Sig::Terminate)?;
        rig.household().reap(CAPTURE)?;
        Ok(Captured { file: self.file })
    }
}

/// A capture that is over.
pub struct Captured {
    file: PathBuf,
}

impl Captured {
    /// The values of `fields` in every packet that `filter` (a display filter) lets through.
    pub fn fields(&self, filter: &str, fields: &[&str]) -> Result<Vec<Vec<String>>, Error> {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&self.file).args(["-Y", filter]);
        command.args(["-T", "fields", "-E", "occurrence=f"]);
        for field in fields {
            command.args(["-e", field]);
        }
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let text = String::from_utf8(output.stdout)?;
        let values = |line: &str| line.split('\t').map(str::to_owned).collect();
        Ok(text.lines().map(values).collect())
    }
}

/// `frame.time_epoch` as nanoseconds since 1970: a float would round them away.
pub fn nanoseconds(epoch: &str) -> Option<u64> {
    let (seconds, fraction) = epoch.split_once('.')?;
    let fraction = format!("{fraction:0<9}");
    let fraction: u64 = fraction.get(..9)?.parse().ok()?;
    seconds
        .parse::<u64>()
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_keep_their_nanoseconds() {
        assert_eq!(
            nanoseconds("1795384420.637679910"),
            Some(1_795_384_420_637_679_910)
        );
        assert_eq!(nanoseconds("1.5"), Some(1_500_000_000));
        assert_eq!(nanoseconds("soon"), None);
    }
}
