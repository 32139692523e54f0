//! `holdline-agent`: see `docs/configuration.md`.

use holdline_agent::config::Config;
use holdline_agent::shell;
use holdline_host::program::{self, About};
use std::process::ExitCode;

/// A call is some hundred small allocations of all lifetimes, many of over 1 KiB; what it costs in
/// memory and time with and without is in `docs/dev/benchmarks.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let about = About {
        name: "holdline-agent",
        version: env!("CARGO_PKG_VERSION"),
        line: "Keeps the calls of a SIP trunk when a node dies",
    };
    program::main(about, |config| &config.log, Config::validate, shell::run)
}
