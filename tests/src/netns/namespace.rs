//! One network namespace (network_namespaces(7)): a host's network without the host.

use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The namespace of the thread that reads it.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace, kept by nothing but an open file and who lives in it: the kernel removes it with
/// the last of them, however this process ends. It has no name in `/run/netns`, so there is
/// nothing to sweep up and nothing to collide with.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// A new one, empty but for its loopback interface, which is down. Takes CAP_SYS_ADMIN.
    pub fn new() -> io::Result<Namespace> {
        let _back = Return::here()?;
        unshare(CloneFlags::CLONE_NEWNET)?;
        Ok(Namespace {
            file: File::open(OWN)?,
        })
    }

    /// One that is there, by a path such as [`Namespace::path`] or `/run/netns/NAME`.
    pub fn open(path: &Path) -> io::Result<Namespace> {
        Ok(Namespace {
            file: File::open(path)?,
        })
    }

    /// Does `work` in it, on this thread: sockets that are opened and processes that are started
    /// meanwhile stay there.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        let _back = Return::here()?;
        setns(&self.file, CloneFlags::CLONE_NEWNET)?;
        Ok(work())
    }

    /// Where other processes find it while this one lives (`ip link ... netns PATH`,
    /// `nsenter --net=PATH`).
    pub fn path(&self) -> PathBuf {
        let (pid, fd) = (std::process::id(), self.file.as_raw_fd());
        format!("/proc/{pid}/fd/{fd}").into()
    }
}

/// Brings the thread back where it was, also after a panic.
struct Return(File);

impl Return {
    fn here() -> io::Result<Return> {
        File::open(OWN).map(Return)
    }
}

impl Drop for Return {
    fn drop(&mut self) {
        if let Err(error) = setns(&self.0, CloneFlags::CLONE_NEWNET) {
            // Whatever followed would happen in the wrong network.
            eprintln!("the way back from a network namespace is barred: {error}");
            std::process::abort();
        }
    }
}
