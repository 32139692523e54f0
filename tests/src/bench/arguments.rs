//! What every benchmark is told, and how it ends.

use super::Section;
use crate::failure::Error;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// The command line of every benchmark.
#[derive(Clone, Debug, Parser)]
pub struct Arguments {
    /// How often each figure is taken; the report has the median and the spread.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// The directory for the Markdown section.
    #[arg(long)]
    pub out: PathBuf,
    /// Seconds of each measurement, where it is not so long by default.
    #[arg(long)]
    pub seconds: Option<u64>,
}

/// Runs the benchmark `what` and writes its section.
pub fn run(what: &str, work: impl FnOnce(&Arguments) -> Result<Section, Error>) -> ExitCode {
    let arguments = Arguments::parse();
    let done = work(&arguments).and_then(|section| {
        std::fs::create_dir_all(&arguments.out)?;
        let path = arguments.out.join(format!("{what}.md"));
        Ok(std::fs::write(path, section.into_text())?)
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdline-bench-{what}: {error}");
            ExitCode::FAILURE
        }
    }
}
