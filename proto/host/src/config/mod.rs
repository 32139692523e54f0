//! The one TOML file of a program: `${ENV}` in string values, bounds, errors that name file, line
//! and key, and the command line that every program has.

mod bounds;
mod cli;
mod limit;
pub mod tables;
mod types;

pub use bounds::{Bound, Configuration, Kind, Relation};
pub use cli::Cli;
pub use ipnet::IpNet;
pub use limit::Limit;
pub use types::{ListenAddr, PortRange, SipTarget, duration, optional_duration};

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The longest configuration that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// What is wrong with a configuration, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Its line, from 1; `None` where the whole file is meant.
    pub line: Option<usize>,
    /// The key, with the tables it is in: `sip.listen[1]`.
    pub key: Option<String>,
    /// What was expected.
    pub message: String,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if let Some(key) = &self.key {
            write!(f, " {key}:")?;
        }
        // A parser's message may run over several lines; one error is one line.
        write!(f, " {}", self.message.replace('\n', ", "))
    }
}

/// Reads a program's configuration. `T` denies unknown fields (`#[serde(deny_unknown_fields)]`),
/// so that a misspelt key is an error and not a silent default.
pub fn load<T: Configuration>(file: &Path) -> Result<T, ConfigError> {
    let whole = |message: String| ConfigError {
        file: file.to_owned(),
        line: None,
        key: None,
        message,
    };
    let length = std::fs::metadata(file)
        .map_err(|e| whole(e.to_string()))?
        .len();
    if length > MAX_FILE {
        return Err(whole(format!(
            "expected at most {MAX_FILE} bytes, got {length}"
        )));
    }
    let text = std::fs::read_to_string(file).map_err(|e| whole(e.to_string()))?;
    parse(file, &text, &|name| std::env::var(name).ok())
}

/// [`load`] for a text that is already read, with the environment as an argument.
pub fn parse<T: Configuration>(
    file: &Path,
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<T, ConfigError> {
    let locate = |table: Option<&DeTable<'_>>, span: Option<Range<usize>>, message: &str| {
        let start = span.map(|s| s.start);
        ConfigError {
            file: file.to_owned(),
            line: start.map(|at| 1 + text.bytes().take(at).filter(|b| *b == b'\n').count()),
            key: start.zip(table).and_then(|(at, table)| key_at(table, at)),
            message: message.to_owned(),
        }
    };
    let mut table = DeTable::parse(text).map_err(|e| locate(None, e.span(), e.message()))?;
    let expanded = expand_table(table.get_mut(), environment);
    expanded.map_err(|(span, message)| locate(Some(table.get_ref()), Some(span), &message))?;
    let fault = |(span, key, message): bounds::Fault| {
        let found = locate(None, span, &message);
        ConfigError { key, ..found }
    };
    let bounds = T::bounds();
    bounds::check_bounds(table.get_ref(), &bounds).map_err(fault)?;
    let keys = table.clone();
    let read = T::deserialize(toml::Deserializer::from(table))
        .map_err(|e| locate(Some(keys.get_ref()), e.span(), e.message()))?;
    // Last: a misspelt key would be told as a relation to the default of the one that was meant.
    bounds::check_relations(keys.get_ref(), &bounds, &T::relations()).map_err(fault)?;
    Ok(read)
}

type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;
type Misplaced = (Range<usize>, String);

fn expand_table(table: &mut DeTable<'_>, environment: Environment) -> Result<(), Misplaced> {
    table
        .iter_mut()
        .try_for_each(|(_, value)| expand_value(value, environment))
}

fn expand_value(
    value: &mut Spanned<DeValue<'_>>,
    environment: Environment,
) -> Result<(), Misplaced> {
    let span = value.span();
    match value.get_mut() {
        DeValue::String(text) if text.contains("${") => {
            *text = expand(text, environment)
                .map_err(|message| (span, message))?
                .into();
            Ok(())
        }
        DeValue::Array(items) => items
            .iter_mut()
            .try_for_each(|v| expand_value(v, environment)),
        DeValue::Table(table) => expand_table(table, environment),
        _ => Ok(()),
    }
}

/// Replaces each `${NAME}`; `$${` stands for `${` itself. What a variable holds is not expanded
/// again.
fn expand(text: &str, environment: Environment) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, variable) = (&rest[..start], &rest[start + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = variable;
            continue;
        }
        expanded.push_str(before);
        let end = variable.find('}').ok_or("expected } after ${")?;
        let name = &variable[..end];
        let value = environment(name)
            .ok_or_else(|| format!("the environment variable {name} is not set"))?;
        expanded.push_str(&value);
        rest = &variable[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The path of the innermost key whose name or value covers the byte `at`.
fn key_at(table: &DeTable<'_>, at: usize) -> Option<String> {
    let mut around: Option<(usize, String)> = None;
    for (key, value) in table {
        let name = key.get_ref();
        let inner = match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, at).map(|rest| format!("{name}.{rest}")),
            DeValue::Array(items) => key_in_array(items.iter(), at).map(|r| format!("{name}{r}")),
            _ => None,
        };
        if inner.is_some() {
            return inner;
        }
        let covers = key.span().contains(&at) || value.span().contains(&at);
        // Of two tables that cover it (a header is a value of its parent), the narrower one.
        let width = value.span().len();
        if covers && around.as_ref().is_none_or(|(w, _)| width < *w) {
            around = Some((width, name.to_string()));
        }
    }
    around.map(|(_, name)| name)
}

fn key_in_array<'a, 'i: 'a>(
    items: impl Iterator<Item = &'a Spanned<DeValue<'i>>>,
    at: usize,
) -> Option<String> {
    for (index, item) in items.enumerate() {
        let inner = match item.get_ref() {
            DeValue::Table(table) => key_at(table, at).map(|rest| format!("[{index}].{rest}")),
            DeValue::Array(items) => {
                key_in_array(items.iter(), at).map(|r| format!("[{index}]{r}"))
            }
            _ => None,
        };
        if inner.is_some() {
            return inner;
        }
        if item.span().contains(&at) {
            return Some(format!("[{index}]"));
        }
    }
    None
}

#[cfg(test)]
mod tests;
