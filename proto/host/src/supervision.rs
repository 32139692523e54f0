//! Threads and tasks of ours that end though the program goes on: without its core, its relay or its
//! store a program looks alive and carries nothing, so it ends as a whole and says why (spec: X52).

use crate::log::direct;
use std::any::Any;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long the program may take to end once something has failed; then the process exits.
const AFTER_FAILURE: Duration = Duration::from_millis(700);
/// The same for an end that was asked for: with the default of a drain it comes within 25 s.
const ORDERLY: Duration = Duration::from_secs(4);
/// The exit code of that.
const FAILURE: i32 = 1;
/// Names a thread or task that is to panic, in builds with debug assertions only.
const PLANTED: &str = "HOLDLINE_PLANTED_PANIC";
/// How long it has lived then.
const PLANTED_AFTER: Duration = Duration::from_millis(500);

/// Watches threads and tasks. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The first that failed, and why.
    failure: OnceLock<String>,
    failed: CancellationToken,
    /// Why the program takes no new calls, by an operator's wish.
    leaving: OnceLock<&'static str>,
    ending: AtomicBool,
    /// Whether the process exits by itself, however its main thread hangs.
    exits: bool,
}

impl Watch {
    /// One that tells of failures and leaves the end to others.
    pub fn new() -> Watch {
        Watch::default()
    }

    /// That of a whole program, which exits with code 1 within a second of a failure.
    pub fn of_program() -> Watch {
        Watch(Arc::new(Inner {
            exits: true,
            ..Inner::default()
        }))
    }

    /// Starts a thread. A panic or an error is a failure, unless the program is
    /// [ending](Watch::ending). `Ok` says that its owner told it to end: should that be another
    /// thread, which panicked, that one is the cause.
    pub fn thread(
        &self,
        name: &str,
        work: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let (watch, own) = (self.clone(), name.to_owned());
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let work = || {
                    if is_planted(&own) {
                        std::thread::sleep(PLANTED_AFTER);
                        panic!("planted by a test");
                    }
                    work()
                };
                match catch_unwind(AssertUnwindSafe(work)) {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => watch.has_ended(&own, &error.to_string()),
                    Err(payload) => {
                        watch.has_ended(&own, &panic_reason(&*payload));
                        // Who joins it learns of it, too.
                        resume_unwind(payload);
                    }
                }
            })
    }

    /// A task that is a failure when it ends or panics; one that is dropped is none.
    pub async fn task(self, name: &'static str, task: impl Future<Output = ()>) {
        let mut task = pin!(task);
        let polled = poll_fn(|context| {
            match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(())) => Poll::Ready("it came to its end".to_owned()),
                Err(payload) => Poll::Ready(panic_reason(&*payload)),
            }
        });
        let reason = tokio::select! {
            reason = polled => reason,
            reason = planted(name) => reason,
        };
        self.has_ended(name, &reason);
    }

    /// The program is sound but not ready any more, from now on.
    pub fn not_ready(&self, reason: &'static str) {
        let _ = self.0.leaving.set(reason);
    }

    /// Why the program is not ready, as far as this watch knows.
    pub fn reason_not_ready(&self) -> Option<&str> {
        self.failure().or_else(|| self.0.leaving.get().copied())
    }

    /// From now on threads and tasks may end: the program does. Where one of them hangs, the process
    /// exits all the same.
    pub fn ending(&self) {
        self.0.ending.store(true, Ordering::Release);
        if self.0.exits {
            exit_after(ORDERLY);
        }
    }

    /// What failed and why, once something has.
    pub fn failure(&self) -> Option<&str> {
        self.0.failure.get().map(String::as_str)
    }

    /// Cancelled with the first failure. The program must end then.
    pub fn failed(&self) -> CancellationToken {
        self.0.failed.clone()
    }

    fn has_ended(&self, name: &str, reason: &str) {
        if self.0.ending.load(Ordering::Acquire) {
            return;
        }
        // Readiness first: whoever asks from here on gets 503.
        let failure = format!("{name} has ended: {reason}");
        if self.0.failure.set(failure.clone()).is_err() {
            return;
        }
        if name == direct::THREAD {
            direct::write_directly(&format!("ERROR {failure}. The program ends.\n"));
        } else {
            tracing::error!(
                thread = name,
                reason,
                "a thread has ended: the program ends"
            );
        }
        self.0.failed.cancel();
        if self.0.exits {
            exit_after(AFTER_FAILURE);
        }
    }
}

/// For a main thread that hangs in its orderly end, or has a thread to join that hangs.
fn exit_after(patience: Duration) {
    let wait = move || {
        std::thread::sleep(patience);
        std::process::exit(FAILURE);
    };
    let thread = std::thread::Builder::new().name("holdline-exit".into());
    if thread.spawn(wait).is_err() {
        std::process::exit(FAILURE);
    }
}

fn panic_reason(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", text.unwrap_or("no message"))
}

fn is_planted(name: &str) -> bool {
    cfg!(debug_assertions) && std::env::var(PLANTED).is_ok_and(|planted| planted == name)
}

async fn planted(name: &str) -> String {
    if !is_planted(name) {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(PLANTED_AFTER).await;
    let payload = catch_unwind(|| panic!("planted by a test")).unwrap_err();
    panic_reason(&*payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::Machinery;

    /// Waits for a failure, and gives what it says.
    fn failure_of(watch: &Watch) -> String {
        for _ in 0..1000 {
            if watch.failed().is_cancelled() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        watch.failure().unwrap_or("nothing failed").to_owned()
    }

    // spec: X52
    #[test]
    fn a_thread_that_panics_or_fails_is_a_failure() {
        let watch = Watch::new();
        let thread = watch.thread("worker", || panic!("by {}", "accident"));
        assert!(thread.unwrap().join().is_err());
        assert_eq!(
            failure_of(&watch),
            "worker has ended: it panicked: by accident"
        );
        // The first one is the cause; what falls with it is not.
        let second = watch.thread("other", || panic!("as well")).unwrap();
        assert!(second.join().is_err());
        assert!(failure_of(&watch).starts_with("worker"));

        let watch = Watch::new();
        let poll = || Err(io::Error::from_raw_os_error(9));
        watch.thread("worker", poll).unwrap().join().unwrap();
        let failure = failure_of(&watch);
        assert!(
            failure.starts_with("worker has ended: Bad file"),
            "{failure}"
        );

        let watch = Watch::new();
        watch.thread("worker", || Ok(())).unwrap().join().unwrap();
        assert_eq!(watch.failure(), None, "it was told to");
    }

    // spec: X52
    #[test]
    fn a_task_that_ends_is_a_failure_and_one_that_is_dropped_is_none() {
        let watch = Watch::new();
        let machinery = Machinery::start_under(&watch).unwrap();
        let tasks = machinery.tasks();
        tasks.spawn_watched("stays", std::future::pending());
        tasks.spawn_watched("panics", async { panic!("on purpose") });
        assert_eq!(
            failure_of(&watch),
            "panics has ended: it panicked: on purpose"
        );
        assert!(machinery.end(Duration::from_secs(10)));

        let watch = Watch::new();
        let machinery = Machinery::start_under(&watch).unwrap();
        machinery
            .tasks()
            .spawn_watched("stays", std::future::pending());
        assert!(machinery.end(Duration::from_secs(10)));
        assert_eq!(watch.failure(), None);
    }

    #[test]
    fn in_the_end_all_may_end() {
        let watch = Watch::new();
        watch.ending();
        let gone = || Err(io::Error::other("no socket is left"));
        watch.thread("worker", gone).unwrap().join().unwrap();
        assert_eq!(watch.failure(), None);
        assert!(!watch.failed().is_cancelled());
    }
}
