//! What a file names: its imports and paths, and where the items behind them are written.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;

/// A module by its path in the crate, which says what file it is.
pub type Module = Vec<String>;

/// What one file names.
pub struct File {
    /// The names that `use` brings in, and the paths behind them.
    imports: BTreeMap<String, Vec<String>>,
    /// The paths that it works with. What a `pub use` only passes on is none of them.
    pub named: BTreeSet<Vec<String>>,
}

/// The code as words and signs. Those of texts in quotes are read too: they name nothing of ours.
fn words(code: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut words = Vec::new();
    for line in code.lines() {
        let mut rest = line.split("//").next().unwrap_or_default().trim_start();
        while let Some(first) = rest.chars().next() {
            let end = match first {
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                _ if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            words.push(&rest[..end]);
            rest = rest[end..].trim_start();
        }
    }
    words
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|word| (*word).to_owned()).collect()
}

/// The paths of a `use`, each after the name that it gets.
fn leaves(tree: &[&str]) -> Vec<(String, Vec<String>)> {
    let (mut path, mut bases, mut name) = (Vec::<&str>::new(), vec![0], None);
    // `a::{self, b}` brings in `a`.
    let mut is_whole = false;
    let (mut found, mut words) = (Vec::new(), tree.iter().copied().chain([","]));
    while let Some(word) = words.next() {
        let base = bases[bases.len() - 1];
        match word {
            "::" => {}
            "as" => name = words.next(),
            "{" => bases.push(path.len()),
            "self" => is_whole = true,
            "," | "}" => {
                if let Some(last) = path.last().filter(|_| path.len() > base || is_whole) {
                    found.push((name.take().unwrap_or(*last).to_owned(), owned(&path)));
                }
                is_whole = false;
                bases.truncate(bases.len() - usize::from(word == "}"));
                path.truncate(bases[bases.len() - 1]);
            }
            _ => path.push(word),
        }
    }
    found
}

/// Whether the word `use` at this place begins an import: it also stands in texts and in `use<'a>`.
fn is_statement(words: &[&str], at: usize) -> bool {
    let begins = |before: &&str| matches!(*before, ";" | "{" | "}" | "]" | ")" | "pub");
    words[..at].last().is_none_or(begins) && words.get(at + 1) != Some(&"<")
}

/// Whether the word at this place is a field or a method: behind one dot, not the two of a range.
fn is_member(words: &[&str], at: usize) -> bool {
    words[..at].ends_with(&["."]) && !words[..at].ends_with(&[".", "."])
}

/// Reads what a file imports and names.
pub fn read(text: &str) -> File {
    // The tests of a file stand at its end, and may look at whatever they like.
    let code = text.split("#[cfg(test)]\nmod tests {").next();
    let words = words(code.unwrap_or_default());
    let (mut imports, mut named) = (BTreeMap::new(), BTreeSet::new());
    let mut at = 0;
    while at < words.len() {
        let start = at;
        at += 1;
        match words[start] {
            "mod" => at += 1,
            "use" if is_statement(&words, start) => {
                let end = words[at..].iter().position(|word| *word == ";");
                at += end.unwrap_or_default();
                let passed_on = start > 0 && matches!(words[start - 1], "pub" | ")");
                for (name, path) in leaves(&words[start + 1..at]) {
                    named.extend((!passed_on).then(|| path.clone()));
                    imports.insert(name, path);
                }
            }
            _ if is_member(&words, start) => {}
            _ => {
                while words.get(at) == Some(&"::") && at + 1 < words.len() {
                    at += 2;
                }
                let path: Vec<&str> = words[start..at].iter().copied().step_by(2).collect();
                named.insert(owned(&path));
            }
        }
    }
    File { imports, named }
}

/// Where the item that `path` names in `from` is written, through every re-export; without an item
/// where it names a module. `None` where it leaves the crate.
pub fn find(
    files: &BTreeMap<Module, File>,
    from: &[String],
    path: &[String],
    depth: u8,
) -> Option<(Module, Option<String>)> {
    let mut at = from.to_vec();
    for (n, word) in path.iter().enumerate() {
        let child = [&at[..], slice::from_ref(word)].concat();
        let import = files.get(&at).and_then(|file| file.imports.get(word));
        let import = import.filter(|_| depth < 9);
        // An item may be called like the module that it is re-exported from.
        let is_item = n + 1 == path.len() && import.is_some();
        match word.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => at.truncate(at.len().checked_sub(1)?),
            _ if files.contains_key(&child) && !is_item => at = child,
            _ => match import {
                Some(import) => match find(files, &at, import, depth + 1)? {
                    (module, None) => at = module,
                    found => return Some(found),
                },
                None => return (n > 0).then(|| (at, Some(word.clone()))),
            },
        }
    }
    Some((at, None))
}
