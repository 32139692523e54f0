//! What an operator asks for by signals.

use crate::tasks::Tasks;
use nix::sys::signal::Signal as Number;
use std::io;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The first SIGTERM or SIGINT: take no new calls, end when the others have ended.
    Drain,
    /// A further one: end now.
    Force,
    /// SIGHUP: read the configuration again; keep the old one if the new one is wrong.
    Reload,
}

/// Signals that mean nothing here and would end a program that does not catch them. SIGQUIT is not
/// among them: it ends the program and leaves a core file, which is what it is for.
const HARMLESS: [(&str, Number); 7] = [
    ("SIGUSR1", Number::SIGUSR1),
    ("SIGUSR2", Number::SIGUSR2),
    ("SIGALRM", Number::SIGALRM),
    ("SIGVTALRM", Number::SIGVTALRM),
    ("SIGPROF", Number::SIGPROF),
    ("SIGIO", Number::SIGIO),
    ("SIGPIPE", Number::SIGPIPE),
];

/// Calls `on_signal` for each signal. It runs on a task: it hands over and returns.
pub fn listen(tasks: &Tasks, mut on_signal: impl FnMut(Signal) + Send + 'static) -> io::Result<()> {
    let (mut terminate, mut interrupt, mut hang_up) = {
        // The streams belong to a runtime's reactor.
        let _runtime = tasks.enter();
        let open = |kind| -> io::Result<Stream> { signal(kind) };
        let terminate = open(SignalKind::terminate())?;
        (
            terminate,
            open(SignalKind::interrupt())?,
            open(SignalKind::hangup())?,
        )
    };
    ignore_harmless(tasks)?;
    tasks.spawn_watched("signals", async move {
        let mut draining = false;
        loop {
            let received = tokio::select! {
                _ = terminate.recv() => end(&mut draining),
                _ = interrupt.recv() => end(&mut draining),
                _ = hang_up.recv() => Signal::Reload,
            };
            tracing::info!(signal = ?received, "signal received");
            on_signal(received);
        }
    });
    Ok(())
}

/// Catches them, and says once for each of them that it did.
fn ignore_harmless(tasks: &Tasks) -> io::Result<()> {
    let _runtime = tasks.enter();
    for (name, number) in HARMLESS {
        let mut stream = signal(SignalKind::from_raw(number as i32))?;
        tasks.spawn(async move {
            if stream.recv().await.is_some() {
                tracing::warn!("{name} received: it means nothing here and is ignored");
            }
        });
    }
    Ok(())
}

fn end(draining: &mut bool) -> Signal {
    if std::mem::replace(draining, true) {
        Signal::Force
    } else {
        Signal::Drain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::Machinery;
    use std::process::Command;
    use std::sync::mpsc;
    use std::time::Duration;

    fn send(name: &str) {
        let own = std::process::id().to_string();
        let sent = Command::new("kill").args([name, &own]).status();
        assert!(sent.unwrap().success());
    }

    #[test]
    fn the_first_asks_for_a_drain_the_second_forces_and_others_do_no_harm() {
        let machinery = Machinery::start().unwrap();
        let (sender, signals) = mpsc::channel();
        listen(&machinery.tasks(), move |s| sender.send(s).unwrap_or(())).unwrap();
        let expected = [
            ("-HUP", Signal::Reload),
            ("-TERM", Signal::Drain),
            ("-HUP", Signal::Reload),
            ("-INT", Signal::Force),
        ];
        for (name, asked) in expected {
            for (harmless, _) in HARMLESS {
                send(harmless.replace("SIG", "-").as_str());
            }
            send(name);
            assert_eq!(
                signals.recv_timeout(Duration::from_secs(10)).unwrap(),
                asked
            );
        }
    }
}
