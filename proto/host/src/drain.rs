//! How a program leaves when it is told to: no new calls, then an end that comes in time. systemd and
//! kubelet send one SIGTERM, and SIGKILL after 90 or 30 seconds: what is left then dies unprepared.

use crate::signals::{Signal, listen};
use crate::supervision::Watch;
use crate::tasks::Tasks;
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often it is looked whether the last call has ended.
const LOOK: Duration = Duration::from_millis(50);

/// How a drain goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainOptions {
    /// The program stays at least so long, without calls too: whoever sends calls must learn from
    /// `/readyz` first.
    pub grace: Duration,
    /// The program ends after so long, whatever calls are left.
    pub timeout: Duration,
    /// What becomes of those, for the log.
    pub left: &'static str,
}

/// How far a drain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Whether the core knows of it.
    pub draining: bool,
    /// Calls that are left.
    pub calls: usize,
    /// Peers that have not heard yet that the program leaves, and are to.
    pub untold: usize,
}

/// Waits for signals on a task: at the first SIGTERM or SIGINT the program is ready no more and
/// `begin` tells its core. The token is cancelled when the program is to end: with the last call, not
/// before the grace is over or somebody is still to be told, and not after the timeout, or at once with a second signal.
pub fn start(
    tasks: &Tasks,
    watch: &Watch,
    options: DrainOptions,
    begin: impl Fn() + Send + Sync + 'static,
    progress: impl Fn() -> Progress + Send + Sync + 'static,
) -> io::Result<CancellationToken> {
    let (told, mut asked) = mpsc::channel(8);
    listen(tasks, move |signal| {
        let _ = told.try_send(signal);
    })?;
    let end = CancellationToken::new();
    let (over, watch) = (end.clone(), watch.clone());
    tasks.spawn_watched("drain", async move {
        wait_for(&mut asked, Signal::Drain).await;
        watch.not_ready("draining");
        info!(
            grace_s = options.grace.as_secs_f64(),
            timeout_s = options.timeout.as_secs_f64(),
            "draining: no new calls; the program ends with its last call, at the latest after the timeout, \
             and at once with a second SIGTERM or SIGINT"
        );
        tokio::select! {
            () = empty(&options, begin, &progress) => info!("drained: no call is left"),
            () = wait_for(&mut asked, Signal::Force) => {
                warn!(calls = progress().calls, left = options.left, "told to end at once");
            }
            () = tokio::time::sleep(options.timeout) => {
                let calls = progress().calls;
                warn!(calls, left = options.left, "the drain has taken its time: the program ends");
            }
        }
        watch.ending();
        over.cancel();
    });
    Ok(end)
}

async fn wait_for(asked: &mut mpsc::Receiver<Signal>, wanted: Signal) {
    loop {
        match asked.recv().await {
            Some(signal) if signal == wanted => return,
            Some(Signal::Reload) => warn!("SIGHUP does nothing yet: restart to apply changes"),
            Some(Signal::Drain | Signal::Force) => {}
            // The task that sends is watched: the program ends with it.
            None => std::future::pending().await,
        }
    }
}

/// Until no call is left, everybody knows and the grace is over.
async fn empty(options: &DrainOptions, begin: impl Fn(), progress: &impl Fn() -> Progress) {
    let since = Instant::now();
    loop {
        let now = progress();
        if !now.draining {
            // Again where its inbox was full.
            begin();
        } else if now.calls == 0 && now.untold == 0 && since.elapsed() >= options.grace {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}
