//! Logs: one JSON object a line on standard error, written by a thread of its own, never waited
//! for. Callers are redacted in every line unless the operator says otherwise.

pub(crate) mod direct;
mod redact;

pub use redact::{redact, redact_user};

use crate::metrics::Metrics;
use crate::supervision::Watch;
use direct::THREAD;
use prometheus::IntCounter;
use serde::{Deserialize, Deserializer, de};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Lines that wait for standard error; more are dropped and counted.
const QUEUE: usize = 8192;
/// How long the writing thread lets lines gather: a process that is killed loses those.
const GATHER: Duration = Duration::from_millis(25);
/// Bytes written at a time at most, but for one line.
const AT_ONCE: usize = 64 * 1024;
/// Bytes of network input that one log field shows.
const MAX_ESCAPED: usize = 200;

/// The `[log]` table of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// A level, and levels of single modules: `info,holdline_host=debug`. `HOLDLINE_LOG` in the
    /// environment goes before it.
    #[serde(deserialize_with = "level")]
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
    /// Whether user parts of SIP URIs and phone numbers are taken out.
    pub redact: bool,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            level: "info".into(),
            format: LogFormat::Json,
            redact: true,
        }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object.
    Json,
    /// For people.
    Text,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is not understood.
    #[error("log level {0:?}: expected error, warn, info, debug or trace, and TARGET=LEVEL")]
    Level(String),
    /// The thread could not be started.
    #[error("the log thread did not start: {0}")]
    Thread(#[from] io::Error),
    /// Set up twice in one process.
    #[error("logging is set up already")]
    Again,
}

/// Writes what is left when it is dropped: keep it in `main`.
#[derive(Debug)]
pub struct LogGuard {
    lines: SyncSender<Line>,
}

impl LogGuard {
    /// Waits, at most a second, until every line up to now is written.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.lines.try_send(Line::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(Duration::from_secs(1));
        }
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Sets up the process's logging, panics included. `holdline_log_lines_dropped_total` counts what
/// standard error was too slow for; `watch` is told when the writing thread ends.
pub fn start(config: &LogConfig, metrics: &Metrics, watch: &Watch) -> Result<LogGuard, LogError> {
    let level = std::env::var("HOLDLINE_LOG").unwrap_or_else(|_| config.level.clone());
    let targets = parse_level(&level).ok_or(LogError::Level(level))?;
    let dropped = metrics.counter(
        "log_lines_dropped_total",
        "Log lines that the queue had no room for.",
    );
    let lines = LineSender::start(io::stderr(), config.redact, dropped, watch)?;
    let guard = LogGuard {
        lines: lines.lines.clone(),
    };
    let registry = tracing_subscriber::registry().with(targets);
    let layer = tracing_subscriber::fmt::layer().with_writer(lines);
    match config.format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(layer.with_ansi(false)).try_init(),
    }
    .map_err(|_| LogError::Again)?;
    log_panics();
    Ok(guard)
}

/// A level that is not understood is an error of the file, not of the start.
fn level<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    match parse_level(&text) {
        Some(_) => Ok(text),
        None => Err(de::Error::custom(LogError::Level(text))),
    }
}

/// A panic is a line like any other: redacted, and in the format that the operator reads.
fn log_panics() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        if thread == THREAD {
            // Nobody would write the line.
            return default(panic);
        }
        let reason = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string);
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
        tracing::error!(
            thread,
            reason,
            place,
            backtrace = backtrace.map(|backtrace| backtrace.to_string()),
            "a thread panicked"
        );
    }));
}

fn parse_level(text: &str) -> Option<Targets> {
    // `Targets` takes a word that is no level for a module at the level of trace.
    let is_level = |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
    text.split(',')
        .all(is_level)
        .then(|| text.parse().ok())
        .flatten()
}

/// Bytes from the network for a log field or an error's reason: escaped, and cut after 200.
pub fn escape(bytes: &[u8]) -> String {
    let shown = bytes.get(..MAX_ESCAPED).unwrap_or(bytes);
    let mut escaped = shown.escape_ascii().to_string();
    if shown.len() < bytes.len() {
        escaped.push_str(&format!("… ({} bytes)", bytes.len()));
    }
    escaped
}

enum Line {
    Text(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Hands lines to the writing thread, or drops them.
#[derive(Clone, Debug)]
struct LineSender {
    lines: SyncSender<Line>,
    dropped: IntCounter,
}

impl LineSender {
    fn start(
        output: impl Write + Send + 'static,
        redact: bool,
        dropped: IntCounter,
        watch: &Watch,
    ) -> io::Result<LineSender> {
        let (lines, queue) = sync_channel(QUEUE);
        watch.thread(THREAD, move || {
            write_lines(&queue, output, redact);
            Ok(())
        })?;
        Ok(LineSender { lines, dropped })
    }
}

/// Writes line after line. After the first it sleeps a little, so that many lines of a busy
/// program cost one wake-up and one write.
fn write_lines(queue: &Receiver<Line>, mut output: impl Write, redacting: bool) {
    let mut text = Vec::new();
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        if matches!(next, Some(Line::Text(_))) {
            std::thread::sleep(GATHER);
        }
        while let Some(line) = next {
            match line {
                Line::Text(line) if redacting => {
                    text.extend(redact(&String::from_utf8_lossy(&line)).bytes());
                }
                Line::Text(line) => text.extend(line),
                Line::Flush(done) => {
                    write_out(&mut output, &mut text);
                    let _ = done.send(());
                }
            }
            if text.len() > AT_ONCE {
                write_out(&mut output, &mut text);
            }
            next = queue.try_recv().ok();
        }
        write_out(&mut output, &mut text);
    }
}

/// Standard error may be gone; there is nobody to tell.
fn write_out(output: &mut impl Write, text: &mut Vec<u8>) {
    let _ = output.write_all(text).and_then(|()| output.flush());
    text.clear();
}

impl<'a> MakeWriter<'a> for LineSender {
    type Writer = LineSender;

    fn make_writer(&'a self) -> LineSender {
        self.clone()
    }
}

impl Write for LineSender {
    /// The subscriber writes one whole line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.lines.try_send(Line::Text(line.to_vec())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.dropped.inc(),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(redact: bool) -> String {
        let output = Output::default();
        let dropped = Metrics::new("test", "0").counter("x_total", "x");
        let lines = LineSender::start(output.clone(), redact, dropped, &Watch::new()).unwrap();
        let guard = LogGuard {
            lines: lines.lines.clone(),
        };
        let layer = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(lines);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("call", from = "\"A\" <sip:secretuser@h>");
            let _in_span = span.enter();
            tracing::info!(
                uri = "sip:+493012secret42@h",
                number = 7,
                "to <tel:+4930123456>"
            );
        });
        drop(guard);
        String::from_utf8(output.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_line_is_json_and_names_no_caller() {
        let text = logged(true);
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(line["uri"], "sip:…42@h");
        assert_eq!(line["message"], "to <tel:…56>");
        assert_eq!(line["span"]["from"], "\"A\" <sip:…@h>");
        assert_eq!(line["number"], 7);
        assert!(logged(false).contains("secretuser"), "the test could fail");
    }

    #[test]
    fn a_stuck_output_drops_lines_and_stops_nobody() {
        struct Stuck(Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (open, gate) = sync_channel(0);
        let dropped = Metrics::new("test", "0").counter("x_total", "x");
        let mut lines =
            LineSender::start(Stuck(gate), true, dropped.clone(), &Watch::new()).unwrap();
        for _ in 0..QUEUE + 10 {
            lines.write_all(b"a line\n").unwrap();
        }
        assert!((9..=10).contains(&dropped.get()), "{}", dropped.get());
        drop(open);
    }

    // spec: X52
    #[test]
    fn a_writer_that_panics_is_a_failure() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                panic!("on purpose");
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let watch = Watch::new();
        let dropped = Metrics::new("test", "0").counter("x_total", "x");
        let mut lines = LineSender::start(Broken, true, dropped, &watch).unwrap();
        lines.write_all(b"a line\n").unwrap();
        while watch.failure().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let why = "holdline-log has ended: it panicked: on purpose";
        assert_eq!(watch.failure(), Some(why));
    }

    #[test]
    fn network_bytes_are_escaped_and_cut() {
        assert_eq!(escape(b"a\r\nb\xff\x1b[0m"), "a\\r\\nb\\xff\\x1b[0m");
        assert_eq!(escape(&[b'x'; 200]).len(), 200);
        assert!(escape(&[b'x'; 201]).ends_with("x… (201 bytes)"));
    }

    #[test]
    fn a_level_that_is_not_understood_is_an_error() {
        let config = LogConfig {
            level: "loud".into(),
            ..LogConfig::default()
        };
        let error = start(&config, &Metrics::new("test", "0"), &Watch::new()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("log level \"loud\": expected")
        );
    }
}
