//! A script that runs: commands in, events out.

use super::{Error, Event, now, python};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a script has to end after its input did.
const PATIENCE: Duration = Duration::from_secs(3);
/// Events of a script's end that a failed wait shows.
const TAIL: usize = 20;

/// A running script. It ends with its input, so also when this process dies.
#[derive(Debug)]
pub struct Script {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    heard: Arc<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    log: Mutex<Log>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Log {
    events: Vec<Event>,
    over: bool,
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: Event) {
        self.lock().events.push(event);
        self.more.notify_all();
    }

    fn end(&self) {
        self.lock().over = true;
        self.more.notify_all();
    }
}

impl Script {
    /// Starts a script of `tests/endpoints`; what it says on standard error goes to
    /// `NAME.log` in `dir`.
    pub fn start(name: &str, script: &str, args: &[String], dir: &Path) -> Result<Script, Error> {
        let log = File::create(dir.join(format!("{name}.log")))?;
        let mut child = Command::new(python()?)
            .arg(super::python::script(script))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let heard = Arc::new(Heard::default());
        let output = child.stdout.take().ok_or("no standard output")?;
        let listener = Arc::clone(&heard);
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            for event in lines.filter_map(|line| Event::read(&line)) {
                listener.push(event);
            }
            listener.end();
        });
        Ok(Script {
            name: name.to_owned(),
            input: child.stdin.take(),
            child,
            heard,
        })
    }

    /// Sends a command.
    pub fn command(&mut self, line: &str) -> Result<(), Error> {
        let input = self.input.as_mut().ok_or("the script has ended")?;
        writeln!(input, "{line}").map_err(|error| format!("{}: {line}: {error}", self.name))?;
        Ok(())
    }

    /// How many events there were: where a later wait begins.
    pub fn mark(&self) -> usize {
        self.heard.lock().events.len()
    }

    /// The events so far, from a mark on.
    pub fn events(&self, from: usize) -> Vec<Event> {
        let log = self.heard.lock();
        log.events.get(from..).unwrap_or_default().to_vec()
    }

    /// Waits for the first event from `from` on that is `wanted`; `what` is for the error.
    pub fn wait(
        &self,
        from: usize,
        patience: Duration,
        what: &str,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event, Error> {
        let until = Instant::now() + patience;
        let mut next = from;
        let mut log = self.heard.lock();
        loop {
            let new = log.events.get(next..).unwrap_or_default();
            if let Some(event) = new.iter().find(|event| wanted(event)) {
                return Ok(event.clone());
            }
            next = next.max(log.events.len());
            let left = until.saturating_duration_since(Instant::now());
            if log.over || left.is_zero() {
                let why = if log.over { "it ended" } else { "in vain" };
                let tail = &log.events[from.min(log.events.len())..];
                let tail: String = tail[tail.len().saturating_sub(TAIL)..]
                    .iter()
                    .map(|event| format!("\n  {}", event.value()))
                    .collect();
                let name = &self.name;
                return Err(format!(
                    "{name}: waited {patience:?} for {what}, {why} (now {:.3}):{tail}",
                    now()
                )
                .into());
            }
            let woken = self.heard.more.wait_timeout(log, left);
            log = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends its input and waits for its end: the exit status.
    pub fn exit_code(&mut self) -> Option<i32> {
        drop(self.input.take());
        self.child.wait().ok()?.code()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.input.take());
        let until = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
