//! `holdline-load`: places calls through an agent, causes faults, reports what listeners heard.
//!
//! Exit codes and examples: `holdline-load --help`.

use clap::Parser;
use holdline_host::capacity::raise_open_files;
use holdline_tests::load::{Options, csv, run};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = Options::parse();
    match judge(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("holdline-load: {error}");
            ExitCode::from(2)
        }
    }
}

fn judge(options: &Options) -> io::Result<bool> {
    // Two ends for each call, with a socket for each stream.
    raise_open_files()?;
    let report = run(options)?;
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    if let Some(path) = &options.csv {
        std::fs::write(path, csv(&report))?;
    }
    let _ = write!(io::stdout(), "{report}");
    Ok(report.passed())
}
