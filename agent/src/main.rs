//! `holdline-agent`: see `docs/configuration.md`.

use holdline_agent::config::Config;
use holdline_host::config::Cli;
use holdline_host::log;
use holdline_host::{Metrics, Watch};
use std::process::ExitCode;

/// A call is some hundred small allocations of all lifetimes, many of over 1 KiB; what it costs in
/// memory and time with and without is in `docs/dev/benchmarks.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NAME: &str = "holdline-agent";
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    let cli = Cli::parse(
        NAME,
        VERSION,
        "Keeps the calls of a SIP trunk when a node dies",
    );
    let config: Config = cli.load_or_exit(Config::validate);
    let metrics = Metrics::new(NAME, VERSION);
    let watch = Watch::of_program();
    let guard = match log::start(&config.log, &metrics, &watch) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("{NAME}: {error}");
            return ExitCode::from(2);
        }
    };
    match holdline_agent::shell::run(&config, &metrics, &watch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "{NAME} failed");
            guard.flush();
            ExitCode::FAILURE
        }
    }
}
