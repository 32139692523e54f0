//! The small tokio runtime beside the core's thread, and the orderly end of what runs on it.

use crate::supervision::Watch;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Threads for HTTP, signals and other things that may wait. None of them is the core's.
const WORKERS: usize = 2;

/// Starts tasks, and tells them to end.
#[derive(Clone, Debug)]
pub struct Tasks {
    handle: Handle,
    token: CancellationToken,
    tracker: TaskTracker,
    watch: Watch,
}

/// The runtime: dropped by `main` when all is over.
#[derive(Debug)]
pub struct Machinery {
    runtime: Runtime,
    tasks: Tasks,
}

impl Machinery {
    /// Starts the runtime, with a watch of its own.
    pub fn start() -> io::Result<Machinery> {
        Machinery::start_under(&Watch::new())
    }

    /// Starts the runtime; `watch` is told of tasks that end.
    pub fn start_under(watch: &Watch) -> io::Result<Machinery> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("holdline-io")
            .enable_all()
            .build()?;
        let tasks = Tasks {
            handle: runtime.handle().clone(),
            token: CancellationToken::new(),
            tracker: TaskTracker::new(),
            watch: watch.clone(),
        };
        Ok(Machinery { runtime, tasks })
    }

    /// For starting tasks.
    pub fn tasks(&self) -> Tasks {
        self.tasks.clone()
    }

    /// Waits, on this thread, for a future: the main thread's wait for the end.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Tells all tasks to end and waits for them at most so long. True: all have ended.
    pub fn end(self, patience: Duration) -> bool {
        self.tasks.token.cancel();
        self.tasks.tracker.close();
        let tracker = self.tasks.tracker.clone();
        let waited = self
            .runtime
            .block_on(async { tokio::time::timeout(patience, tracker.wait()).await });
        // A name look-up may hang in a thread of its own.
        self.runtime.shutdown_background();
        waited.is_ok()
    }
}

impl Tasks {
    /// Starts a task, which is dropped at its next wait when the program ends. One that has
    /// something to finish watches [`Tasks::token`] instead and uses [`Tasks::spawn_to_the_end`].
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let token = self.token.clone();
        self.spawn_to_the_end(async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Starts a task without which the program is of no use: should it end, the program does.
    pub fn spawn_watched(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn(self.watch.clone().task(name, task));
    }

    /// Starts a task that ends by itself soon after [`Tasks::token`] is cancelled.
    pub fn spawn_to_the_end(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn_on(task, &self.handle);
    }

    /// Makes the runtime the current one of this thread, for what must be created in one.
    pub(crate) fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.handle.enter()
    }

    /// Cancelled when the program ends.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn tasks_end_when_told_and_a_stubborn_one_is_left() {
        let machinery = Machinery::start().unwrap();
        let tasks = machinery.tasks();
        let (sender, ended) = mpsc::channel();
        let token = tasks.token();
        tasks.spawn_to_the_end(async move {
            token.cancelled().await;
            sender.send(()).unwrap();
        });
        tasks.spawn(std::future::pending());
        assert!(machinery.end(Duration::from_secs(10)));
        ended.try_recv().unwrap();

        let machinery = Machinery::start().unwrap();
        machinery.tasks().spawn_to_the_end(std::future::pending());
        assert!(!machinery.end(Duration::from_millis(20)));
    }
}
