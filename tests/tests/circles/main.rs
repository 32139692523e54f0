//! No circle of files in any package: what two files want of each other belongs into one of them,
//! or into a third. Read are imports and paths; which method calls which is not seen.

mod knots;
mod names;

use knots::{Files, circles};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// How many packages there are.
const PACKAGES: usize = 9;

/// Reads the files below `folder`, but no tests, into the crate whose `lib.rs` or `main.rs` is above
/// them.
fn collect(folder: &Path, root: Option<&Path>, crates: &mut BTreeMap<String, Files>) {
    let has = |name: &str| folder.join(name).exists();
    let is_library = has("lib.rs");
    let is_root = is_library || has("main.rs");
    let root = if is_root { Some(folder) } else { root };
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let is_tests = root.is_some() && stem == "tests";
        let is_other_root = is_library && stem == "main";
        if is_tests || is_other_root || stem == "target" || stem.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            collect(&path, root, crates);
        } else if let Some(root) = root
            && path.extension().is_some_and(|end| end == "rs")
        {
            let text = fs::read_to_string(&path).expect("a source is text");
            let path = path.with_extension("");
            let parts = path.strip_prefix(root).into_iter().flatten();
            let parts = parts.map(|part| part.to_string_lossy().into_owned());
            let module = parts.filter(|part| !["lib", "main", "mod"].contains(&&**part));
            let root = root.strip_prefix(workspace()).unwrap_or(root);
            let files = crates.entry(root.display().to_string()).or_default();
            files.insert(module.collect(), names::read(&text));
        }
    }
}

fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("it is in the workspace")
}

#[test]
fn no_crate_has_a_circle_of_files() {
    let mut crates = BTreeMap::new();
    collect(workspace(), None, &mut crates);
    assert!(crates.len() >= PACKAGES, "only {:?} read", crates.keys());
    let told = crates.iter().flat_map(|(root, files)| {
        let circles = circles(files).into_iter();
        circles.map(move |what| format!("{root}: {what}"))
    });
    let told: Vec<String> = told.collect();
    assert!(told.is_empty(), "circles of files:\n{}", told.join("\n"));
}

/// A made-up crate.
fn files(sources: &[(&str, &str)]) -> Files {
    let read = sources.iter().map(|(path, text)| {
        let module = path.split_terminator("::").map(str::to_owned);
        (module.collect(), names::read(text))
    });
    read.collect()
}

/// One with a circle, which runs through a re-export with another name.
const CIRCLE: &[(&str, &str)] = &[
    ("", "mod call; mod core;"),
    (
        "call",
        "use crate::core::{self as inner, Rest};\npub struct Call;",
    ),
    (
        "core",
        "mod env; mod left;\npub use self::left::Left as Rest;",
    ),
    ("core::env", "use crate::call::Call;\npub struct Env;"),
    ("core::left", "pub struct Left(super::env::Env);"),
];

#[test]
fn a_circle_is_told_with_what_makes_it() {
    let circle = "call names Left of core::left, core::left names Env of core::env, \
        core::env names Call of call";
    assert_eq!(circles(&files(CIRCLE)), [circle]);
    assert!(circles(&files(&CIRCLE[..3])).is_empty());
}

#[test]
fn what_re_exports_tests_comments_and_other_crates_name_makes_no_circle() {
    let call = "use super::Core; // crate::other::Other\nimpl Core { fn f(&self) { self.draw() } }\n\
        #[cfg(test)]\nmod tests {\n    use crate::other::Other;\n}";
    let core = "mod call;\npub use call::{Call, draw};\nuse std::fmt;\npub struct Core;\n\
        fn f(other: Other) { other.draw(); fmt::Call::g() }";
    let files = files(&[
        ("", "mod core; mod other;\npub use core::Core;"),
        ("core", core),
        ("core::call", call),
        ("other", "use crate::core::{Call, draw};"),
    ]);
    assert!(circles(&files).is_empty(), "{:?}", circles(&files));
}

#[test]
fn an_item_called_like_its_file_is_found_behind_a_re_export() {
    let files = files(&[
        (
            "load",
            "mod act; mod duration;\npub use duration::duration;",
        ),
        ("load::act", "use super::duration;\npub struct Act;"),
        (
            "load::duration",
            "use super::act::Act;\npub fn duration() {}",
        ),
    ]);
    assert_eq!(circles(&files).len(), 1);
}
