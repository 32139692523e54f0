//! Keeps `docs/dev/conformance.md` true: the tests that it lists for a row are those that name the
//! row (`// spec: D24`), and no row is called done without one. And `docs/dev/spec.md` whole: it says
//! of every row that anybody names what it demands.
//!
//! After adding a test: `UPDATE=1 cargo test -p holdline-tests --test conformance`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const DOCUMENT: &str = "docs/dev/conformance.md";
const SPECIFICATION: &str = "docs/dev/spec.md";
/// The mark of a row that nothing is claimed for yet.
const COMING: &str = "*coming*";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(document: &str) -> String {
    fs::read_to_string(root().join(document)).expect(document)
}

/// All files of the workspace's own in `folder` whose names end so.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|has| has == ending) {
            found.push(path);
        }
    }
}

/// A row's name: `D24`, `X24a`.
fn is_row(word: &str) -> bool {
    let Some(number) = word.strip_prefix(['D', 'X']) else {
        return false;
    };
    let digits = number.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
    matches!(digits.len(), 1 | 2)
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && number.len() <= digits.len() + 1
}

/// The row that a cell of the table names, as a link or bare.
fn row_in(cell: &str) -> Option<&str> {
    let link = cell.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let word = link.map_or(cell, |(word, _)| word);
    is_row(word).then_some(word)
}

/// The link of a row to what it demands.
fn link(row: &str) -> String {
    format!("[{row}](spec.md#{})", row.to_lowercase())
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
    let mut sources = Vec::new();
    files(&root(), "rs", &mut sources);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in sources
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

/// The document with its links and its last column made anew; the rows called done that have no
/// test.
fn renewed(document: &str) -> (String, Vec<String>) {
    let tests = named_tests();
    let (mut lines, mut bare) = (Vec::new(), Vec::new());
    for line in document.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let row = cells.get(1).and_then(|cell| row_in(cell));
        let Some(row) = row.filter(|_| cells.len() == 6) else {
            lines.push(line.to_owned());
            continue;
        };
        let named = tests.get(row).cloned().unwrap_or_default();
        if named.is_empty() && !cells[3].starts_with("open") {
            bare.push(row.to_owned());
        }
        let named: Vec<String> = named.iter().map(|test| format!("`{test}`")).collect();
        let named = named.join("<br>");
        let (row, what, state) = (link(row), cells[2], cells[3]);
        lines.push(format!("| {row} | {what} | {state} | {named} |"));
    }
    (lines.join("\n") + "\n", bare)
}

/// Row → its state, as the table has them.
fn states(document: &str) -> BTreeMap<String, String> {
    let cells = |line: &str| {
        let mut cells = line.split('|').map(str::trim);
        let row = row_in(cells.nth(1)?)?.to_owned();
        Some((row, cells.nth(1)?.to_owned()))
    };
    document.lines().filter_map(cells).collect()
}

/// The rows that the specification has, each behind its anchor, and whether they are to come.
fn specified() -> BTreeMap<String, bool> {
    let mut rows = BTreeMap::new();
    for line in read(SPECIFICATION).lines() {
        let Some(line) = line.strip_prefix("| <a id=\"") else {
            continue;
        };
        let cell = line.split(" |").next().unwrap_or_default();
        let (anchor, named) = cell.split_once("\"></a>").expect("an anchor");
        let (row, mark) = named.split_once(' ').unwrap_or((named, ""));
        assert!(is_row(row) && anchor == row.to_lowercase(), "{cell}");
        assert!(mark.is_empty() || mark == COMING, "{cell}");
        let before = rows.insert(row.to_owned(), mark == COMING);
        assert!(before.is_none(), "{row} stands twice in {SPECIFICATION}");
    }
    rows
}

/// Row → a place that names it: a comment of the code, or a document.
fn named_anywhere() -> BTreeMap<String, String> {
    let (mut sources, mut documents) = (Vec::new(), vec![root().join("README.md")]);
    files(&root(), "rs", &mut sources);
    files(&root().join("docs"), "md", &mut documents);
    let mut found = BTreeMap::new();
    for file in sources.iter().chain(&documents) {
        let text = fs::read_to_string(file).expect("a text");
        let is_code = file.extension().is_some_and(|ending| ending == "rs");
        for line in text.lines() {
            let said = match line.split_once("//") {
                Some((_, comment)) if is_code => comment,
                None if is_code => continue,
                _ => line,
            };
            let words = said.split(|c: char| !c.is_ascii_alphanumeric());
            for row in words.filter(|word| is_row(word)) {
                let place = || file.display().to_string();
                found.entry(row.to_owned()).or_insert_with(place);
            }
        }
    }
    found
}

#[test]
fn the_table_lists_the_tests_that_name_each_row() {
    let document = read(DOCUMENT);
    let (renewed, bare) = renewed(&document);
    assert!(bare.is_empty(), "called done without a test: {bare:?}");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(root().join(DOCUMENT), renewed).expect("written");
        return;
    }
    assert!(
        document == renewed,
        "{DOCUMENT} is out of date: run `UPDATE=1 cargo test -p holdline-tests --test conformance`"
    );
}

#[test]
fn every_row_that_a_test_names_is_in_the_table() {
    let listed = states(&read(DOCUMENT));
    let unknown: Vec<String> = named_tests()
        .into_keys()
        .filter(|row| !listed.contains_key(row))
        .collect();
    assert!(
        unknown.is_empty(),
        "rows that the table does not have: {unknown:?}"
    );
}

#[test]
fn the_specification_says_what_every_named_row_demands() {
    let specified = specified();
    let unknown: Vec<(String, String)> = named_anywhere()
        .into_iter()
        .filter(|(row, _)| !specified.contains_key(row))
        .collect();
    assert!(
        unknown.is_empty(),
        "rows that {SPECIFICATION} does not have, and who names them: {unknown:?}"
    );
}

#[test]
fn what_the_specification_calls_coming_is_what_the_table_has_not_or_has_open() {
    let states = states(&read(DOCUMENT));
    for (row, coming) in specified() {
        let state = states.get(&row).map_or("not there", String::as_str);
        let claimed = state != "not there" && !state.starts_with("open");
        assert!(
            coming != claimed,
            "{row}: {SPECIFICATION} and {DOCUMENT} ({state}) disagree on whether it is to come"
        );
    }
}
