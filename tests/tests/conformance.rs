//! Keeps `docs/dev/conformance.md` true: the tests that it lists for a row are those that name the row
//! (`// spec: D24`), and no row is called done without one.
//!
//! After adding a test: `UPDATE=1 cargo test -p holdline-tests --test conformance`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const DOCUMENT: &str = "docs/dev/conformance.md";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust files of the workspace's own.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// A row's name: `D24`, `X24a`.
fn is_row(word: &str) -> bool {
    let mut letters = word.chars();
    matches!(letters.next(), Some('D' | 'X'))
        && letters.next().is_some_and(|letter| letter.is_ascii_digit())
        && word.len() <= 4
        && word[1..]
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric())
}

/// The rows that a comment line names.
fn rows_of(line: &str) -> Vec<String> {
    let Some((_, named)) = line.trim_start().split_once("// spec:") else {
        return Vec::new();
    };
    let words = named.split(|c: char| !c.is_ascii_alphanumeric());
    words
        .filter(|word| is_row(word))
        .map(str::to_owned)
        .collect()
}

fn function_name(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

/// Row → the tests that name it, as `folder/file.rs: test`.
fn named_tests() -> BTreeMap<String, BTreeSet<String>> {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files
        .iter()
        .filter(|file| !file.ends_with("tests/conformance.rs"))
    {
        let text = fs::read_to_string(file).expect("a source file");
        let place = file
            .strip_prefix(root())
            .expect("inside")
            .display()
            .to_string();
        let mut waiting: Vec<String> = Vec::new();
        let mut current: Option<String> = None;
        let mut is_test = false;
        for line in text.lines() {
            is_test |= line.trim_start().starts_with("#[test]");
            let rows = rows_of(line);
            if let Some(name) = function_name(line) {
                current = is_test.then(|| name.to_owned());
                is_test = false;
                if let Some(name) = &current {
                    for row in waiting.drain(..) {
                        found
                            .entry(row)
                            .or_default()
                            .insert(format!("{place}: {name}"));
                    }
                }
                waiting.clear();
            } else if let (Some(name), true) = (&current, line.starts_with("        ")) {
                for row in rows {
                    found
                        .entry(row)
                        .or_default()
                        .insert(format!("{place}: {name}"));
                }
            } else {
                waiting.extend(rows);
            }
        }
    }
    found
}

/// The document with its last column made anew; the rows called done that have no test.
fn renewed(document: &str) -> (String, Vec<String>) {
    let tests = named_tests();
    let (mut lines, mut bare) = (Vec::new(), Vec::new());
    for line in document.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if cells.len() != 6 || !is_row(cells[1]) {
            lines.push(line.to_owned());
            continue;
        }
        let named = tests.get(cells[1]).cloned().unwrap_or_default();
        if named.is_empty() && !cells[3].starts_with("open") {
            bare.push(cells[1].to_owned());
        }
        let named: Vec<String> = named.iter().map(|test| format!("`{test}`")).collect();
        let named = named.join("<br>");
        lines.push(format!(
            "| {} | {} | {} | {named} |",
            cells[1], cells[2], cells[3]
        ));
    }
    (lines.join("\n") + "\n", bare)
}

#[test]
fn the_table_lists_the_tests_that_name_each_row() {
    let path = root().join(DOCUMENT);
    let document = fs::read_to_string(&path).expect("docs/dev/conformance.md");
    let (renewed, bare) = renewed(&document);
    assert!(bare.is_empty(), "called done without a test: {bare:?}");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, renewed).expect("written");
        return;
    }
    assert!(
        document == renewed,
        "{DOCUMENT} is out of date: run `UPDATE=1 cargo test -p holdline-tests --test conformance`"
    );
}

#[test]
fn every_row_that_a_test_names_is_in_the_table() {
    let document = fs::read_to_string(root().join(DOCUMENT)).expect("docs/dev/conformance.md");
    let listed: BTreeSet<&str> = document
        .lines()
        .filter_map(|line| line.split('|').map(str::trim).nth(1))
        .filter(|cell| is_row(cell))
        .collect();
    let unknown: Vec<String> = named_tests()
        .into_keys()
        .filter(|row| !listed.contains(row.as_str()))
        .collect();
    assert!(
        unknown.is_empty(),
        "rows that the table does not have: {unknown:?}"
    );
}
