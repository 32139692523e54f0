//! From the command line to the exit code.

use crate::config::{Cli, Configuration};
use crate::log::{self, LogConfig};
use crate::metrics::Metrics;
use crate::supervision::Watch;
use std::error::Error;
use std::process::ExitCode;

/// What a program is, for its users.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it does, in a line.
    pub line: &'static str,
}

/// Why a program ended that was not told to.
#[derive(Debug)]
pub enum End {
    /// What it was given cannot be used, which its operator must see to: exit code 2.
    Refused(String),
    /// Something failed: exit code 1.
    Failed(Box<dyn Error>),
}

impl<E: Error + 'static> From<E> for End {
    fn from(error: E) -> End {
        End::Failed(Box::new(error))
    }
}

/// The whole of a program: reads the command line and the file that it names, whose `[log]` table
/// `log` gives and which `validate` checks for what no single value shows, and does `run`, which comes
/// back when the program is to end.
pub fn main<C: Configuration>(
    about: About,
    log: fn(&C) -> &LogConfig,
    validate: fn(&C) -> Result<(), String>,
    run: fn(&C, &Metrics, &Watch) -> Result<(), End>,
) -> ExitCode {
    let About {
        name,
        version,
        line,
    } = about;
    let cli = Cli::parse(name, version, line);
    let config: C = cli.load_or_exit(validate);
    let metrics = Metrics::new(name, version);
    let watch = Watch::of_program();
    let refuse = |reason: &dyn std::fmt::Display| {
        eprintln!("{name}: {reason}");
        ExitCode::from(2)
    };
    let guard = match log::start(log(&config), &metrics, &watch) {
        Ok(guard) => guard,
        Err(error) => return refuse(&error),
    };
    match run(&config, &metrics, &watch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(End::Refused(reason)) => {
            // What the log has to say of it comes first.
            guard.flush();
            refuse(&reason)
        }
        Err(End::Failed(error)) => {
            tracing::error!(%error, "{name} failed");
            guard.flush();
            ExitCode::FAILURE
        }
    }
}
