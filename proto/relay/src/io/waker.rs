//! What wakes a thread that waits.

use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Wakes the thread that polls it, with one system call however many ask.
pub(super) struct Waker {
    fd: EventFd,
    rung: AtomicBool,
}

impl Waker {
    /// An error where there is no descriptor left.
    pub(super) fn new() -> io::Result<Waker> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Waker {
            fd: EventFd::from_flags(flags)?,
            rung: AtomicBool::new(false),
        })
    }

    /// Makes the descriptor readable.
    pub(super) fn wake(&self) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        // It cannot fail but by overflow, when it is readable anyway.
        let _ = self.fd.write(1);
    }

    /// Makes it unreadable again; to be called before what it tells of is looked for, so that a
    /// later wake is not lost.
    pub(super) fn clear(&self) {
        // It fails where it was not readable.
        let _ = self.fd.read();
        // A swap and no store: it must not sink below the look at what was queued.
        self.rung.swap(false, Ordering::AcqRel);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
