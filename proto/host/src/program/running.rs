//! A core with its sockets and its relay: started, watched, and ended in order.

use super::entry::End;
use super::status::{Constants, Snapshot, pages};
use crate::drain::{self, DrainOptions, Progress};
use crate::driver::{Driver, Handle, Inbox};
use crate::http::serve;
use crate::metrics::Metrics;
use crate::published::Published;
use crate::relay_link::RelayLink;
use crate::report::CallMetrics;
use crate::supervision::Watch;
use crate::tasks::{Machinery, Tasks};
use axum::Router;
use holdline_relay::{Command, Report};
use holdline_wire::Time;
use holdline_wire::machine::Machine;
use serde::Serialize;
use std::io;
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long tasks have to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// What both cores are told in the same way.
#[derive(Clone, Debug)]
pub enum Common {
    /// The relay reports.
    Media(Report),
    /// The loop that runs the core was late by this much (spec: X21).
    Late(Duration),
    /// The operator wants no new calls.
    Drain,
}

/// A core that does not run yet, beside a relay that does.
pub struct Wired<M: Machine> {
    pub(super) constants: Constants,
    pub(super) machinery: Machinery,
    pub(super) driver: Driver<M>,
    pub(super) relay: RelayLink,
    pub(super) hears: fn(Common) -> M::In,
    pub(super) calls: CallMetrics,
    pub(super) metrics: Metrics,
    pub(super) watch: Watch,
    pub(super) listener: TcpListener,
    pub(super) drain: DrainOptions,
}

impl<M> Wired<M>
where
    M: Machine + Send + 'static,
    M::In: Send + 'static,
    M::Out: 'static,
{
    /// A sender of the core's inbox, for what `own` hands work to.
    pub fn inbox(&self) -> Inbox<M::In> {
        self.driver.inbox()
    }

    /// Runs the core, serves the pages beside those of `router`, and heeds signals. `own` sees to an
    /// output that is no command to the relay, and gives those back; `show` says what there is to see
    /// of the core. Both run on its thread and never wait.
    pub fn run<S: Serialize + Send + Sync + 'static>(
        self,
        mut own: impl FnMut(M::Out) -> Option<Command> + Send + 'static,
        mut show: impl FnMut(Time, &M) -> Snapshot<S> + Send + 'static,
        router: Router,
    ) -> io::Result<Running<M::In>> {
        let (relay, turn, hears) = (self.relay.clone(), self.relay, self.hears);
        let first = show(Time::ZERO, self.driver.core());
        self.calls
            .show(&first.vitals, self.constants.capacity.calls);
        let published = Published::new((Time::ZERO, first));
        let (publish, calls) = (published.clone(), self.calls.clone());
        let capacity = self.constants.capacity.calls;
        let handle = self
            .driver
            .on_output(move |_, output| {
                if let Some(command) = own(output) {
                    relay.send(command);
                }
            })
            .on_turn(move || turn.flush())
            .on_late(move |late| Some(hears(Common::Late(late))))
            .on_snapshot(move |now, core| {
                let snapshot = show(now, core);
                calls.show(&snapshot.vitals, capacity);
                publish.publish((now, snapshot));
            })
            .spawn_under(&self.watch, "holdline-core")?;

        let tasks = self.machinery.tasks();
        let pages = pages(
            &self.metrics,
            &self.watch,
            self.constants,
            self.calls,
            &published,
        );
        serve(&tasks, self.listener, pages.router(router))?;
        let inbox = handle.inbox();
        let begin = move || {
            let _ = inbox.try_send(hears(Common::Drain));
        };
        let end = drain::start(&tasks, &self.watch, self.drain, begin, move || {
            let now = published.read();
            let snapshot = &now.1;
            Progress {
                draining: snapshot.vitals.draining,
                calls: snapshot.vitals.calls,
                untold: snapshot.untold,
            }
        })?;
        Ok(Running {
            handle,
            machinery: self.machinery,
            watch: self.watch,
            end,
        })
    }
}

/// A program that runs.
pub struct Running<T> {
    handle: Handle<T>,
    machinery: Machinery,
    watch: Watch,
    end: CancellationToken,
}

impl<T> Running<T> {
    /// A sender of the core's inbox.
    pub fn inbox(&self) -> Inbox<T> {
        self.handle.inbox()
    }

    /// For starting tasks of the program's own.
    pub fn tasks(&self) -> Tasks {
        self.machinery.tasks()
    }

    /// Waits until the program has drained or something of it fails, and ends it in order: the core,
    /// `threads`, which end when what the core had of them is gone, and the tasks.
    pub fn until_told(self, threads: Vec<JoinHandle<()>>) -> Result<(), End> {
        let failed = self.watch.failed();
        self.machinery.block_on(async {
            tokio::select! {
                () = self.end.cancelled() => {}
                () = failed.cancelled() => {}
            }
        });
        if let Some(failure) = self.watch.failure() {
            // Threads may hang: none is waited for.
            return Err(End::Failed(failure.into()));
        }
        let is_sound = self.handle.stop().is_ok() && threads.into_iter().all(|t| t.join().is_ok());
        self.machinery.end(PATIENCE);
        match is_sound {
            true => Ok(()),
            false => Err(End::Failed("a thread panicked".into())),
        }
    }
}
