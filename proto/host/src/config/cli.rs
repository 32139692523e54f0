//! The command line: `--config FILE`, `--check`, `--version`, `--help`.

use super::{ConfigError, Configuration, load};
use clap::{Arg, ArgAction, Command, value_parser};
use std::ffi::OsString;
use std::path::PathBuf;

/// What the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cli {
    /// The configuration file.
    pub config: PathBuf,
    /// Only check it.
    pub check: bool,
}

impl Cli {
    /// Reads the program's arguments; on `--help`, `--version` or a mistake it prints and exits
    /// (0, or 2 for a mistake).
    pub fn parse(name: &'static str, version: &'static str, about: &'static str) -> Cli {
        Cli::try_parse(name, version, about, std::env::args_os()).unwrap_or_else(|e| e.exit())
    }

    fn try_parse(
        name: &'static str,
        version: &'static str,
        about: &'static str,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Cli, clap::Error> {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .required(true)
            .value_parser(value_parser!(PathBuf))
            .help("The configuration file (TOML)");
        let check = Arg::new("check")
            .long("check")
            .action(ArgAction::SetTrue)
            .help("Check the configuration, say what is wrong, and exit (2 if anything is)");
        let command = Command::new(name)
            .version(version)
            .about(about)
            .arg(config)
            .arg(check);
        let mut matches = command.try_get_matches_from(arguments)?;
        Ok(Cli {
            config: matches.remove_one("config").unwrap_or_default(),
            check: matches.get_flag("check"),
        })
    }

    /// The configuration, also checked by `validate` for what no single value shows. With
    /// `--check` it prints `FILE: ok` and exits 0; an error is printed and exits 2.
    pub fn load_or_exit<T: Configuration>(
        &self,
        validate: impl FnOnce(&T) -> Result<(), String>,
    ) -> T {
        match self.load(validate) {
            Ok(_) if self.check => {
                println!("{}: ok", self.config.display());
                std::process::exit(0);
            }
            Ok(config) => config,
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(2);
            }
        }
    }

    /// [`Cli::load_or_exit`] without the exits: for a reload.
    pub fn load<T: Configuration>(
        &self,
        validate: impl FnOnce(&T) -> Result<(), String>,
    ) -> Result<T, ConfigError> {
        let config = load(&self.config)?;
        match validate(&config) {
            Ok(()) => Ok(config),
            Err(message) => {
                let file = self.config.clone();
                Err(ConfigError {
                    file,
                    line: None,
                    key: None,
                    message,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        let all = ["node"].iter().chain(arguments).map(OsString::from);
        Cli::try_parse("node", "1.2.3", "A node.", all)
    }

    #[test]
    fn the_command_line_names_a_file() {
        let cli = parse(&["--config", "/etc/node.toml", "--check"]).unwrap();
        assert_eq!(
            cli,
            Cli {
                config: "/etc/node.toml".into(),
                check: true
            }
        );
        assert!(!parse(&["--config=x"]).unwrap().check);
        let mistake = parse(&[]).unwrap_err();
        assert_eq!(
            (mistake.kind(), mistake.exit_code()),
            (ErrorKind::MissingRequiredArgument, 2)
        );
        let version = parse(&["--version"]).unwrap_err();
        assert_eq!(
            (version.to_string().trim(), version.exit_code()),
            ("node 1.2.3", 0)
        );
        assert!(
            parse(&["--help"])
                .unwrap_err()
                .to_string()
                .contains("--check")
        );
    }
}
