//! `b2bua-node`: see `docs/configuration.md`.

use b2bua_node::config::Config;
use b2bua_node::shell;
use holdline_host::program::{self, About};
use std::process::ExitCode;

/// The same one, for the same reasons, as the agent's: see `docs/dev/benchmarks.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let about = About {
        name: "b2bua-node",
        version: env!("CARGO_PKG_VERSION"),
        line: "A B2BUA with media whose calls survive it",
    };
    program::main(about, |config| &config.log, Config::validate, shell::run)
}
