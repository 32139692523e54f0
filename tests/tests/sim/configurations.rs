//! What `--check` accepts runs, and what it accepts is what the documents say.

use super::failing;
use b2bua_node::config::Config as NodeConfig;
use holdline_agent::config::Config as AgentConfig;
use holdline_host::config::{Bound, Configuration, Kind};
use holdline_tests::sim::{Campaign, Options};

/// How many worlds the tests see; `make sim` runs thousands.
const CONFIGURATIONS: u64 = 60;

// spec: X50
#[test]
fn every_accepted_configuration_runs_a_minute_of_calls() {
    let options = Options {
        campaign: Campaign::Configuration,
        ..Options::default()
    };
    let failed = failing(1..=CONFIGURATIONS, options);
    let story = "cargo run --profile checked -p holdline-tests --bin holdline-sim -- --configurations --story --seed N";
    assert!(
        failed.is_empty(),
        "{} of {CONFIGURATIONS} configurations failed; see {story}\n{}",
        failed.len(),
        failed.join("\n")
    );
}

/// The rows of a program in the document: key, default, meaning.
fn rows(program: &str) -> Vec<[String; 3]> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let text = std::fs::read_to_string(path).expect("the document is there");
    let lines = text
        .lines()
        .skip_while(|line| *line != format!("## {program}"))
        .skip(1);
    let lines = lines.take_while(|line| !line.starts_with("## "));
    let cells = |line: &str| -> Option<[String; 3]> {
        let mut cells = line.strip_prefix("| `")?.splitn(3, " | ");
        let mut next = || cells.next().map(str::to_owned);
        Some([next()?.trim_end_matches('`').to_owned(), next()?, next()?])
    };
    lines.filter_map(cells).collect()
}

/// The range as the document writes it.
fn range(bound: &Bound) -> Option<String> {
    let shown = |value| bound.kind.shown(value);
    Some(match bound.kind {
        // Said in words where there is but one.
        Kind::Items if bound.least == bound.most => return None,
        Kind::Items => format!("{bound}"),
        Kind::Number => format!("{} to {}", shown(bound.least), shown(bound.most)),
        Kind::Span => format!(
            "`\"{}\"` to `\"{}\"`",
            shown(bound.least),
            shown(bound.most)
        ),
    })
}

fn missing<C: Configuration>(program: &str) -> Vec<String> {
    let rows = rows(program);
    let row = |key: &str| rows.iter().find(|row| row[0] == key);
    let mut missing = Vec::new();
    let bounds = C::bounds();
    for bound in bounds.iter().filter(|bound| bound.key != "trunk") {
        let Some([_, default, meaning]) = row(bound.key) else {
            missing.push(format!("{program}: no row for {}", bound.key));
            continue;
        };
        if let Some(range) = range(bound).filter(|range| !meaning.contains(range)) {
            missing.push(format!("{}: expected the range {range}", bound.key));
        }
        let told = bound.default.map(|value| bound.kind.shown(value));
        if told.is_some_and(|told| !default.contains(&told)) {
            missing.push(format!("{}: another default than {default}", bound.key));
        }
    }
    for relation in C::relations() {
        let says = |key: &str, other: &str| row(key).is_some_and(|row| row[2].contains(other));
        if !says(relation.more, relation.less) && !says(relation.less, relation.more) {
            missing.push(format!("neither key of {relation:?} names the other"));
        }
    }
    // A number or a duration that has no bounds.
    let bounded = |key: &str| bounds.iter().any(|bound| bound.key == key);
    let counts = |default: &str| {
        let text = default.trim_matches('`');
        let value = text.trim_matches('"');
        // Digits in quotes have no unit: a word of its own kind.
        let word = text != value && value.chars().all(char::is_numeric);
        value.starts_with(char::is_numeric) && !word
    };
    for [key, default, _] in &rows {
        if counts(default) && !bounded(key) {
            missing.push(format!("{key} ({default}) has no bounds in {program}"));
        }
    }
    missing
}

// spec: X50
#[test]
fn the_document_tells_the_range_of_every_number_and_its_relations() {
    let mut missing = missing::<AgentConfig>("Agent");
    missing.extend(self::missing::<NodeConfig>("Node"));
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
