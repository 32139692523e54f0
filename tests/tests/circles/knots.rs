//! The circles among the files of a crate.

use crate::names::{File, Module, find};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The files of a crate.
pub type Files = BTreeMap<Module, File>;
/// Which file names what of which other.
type Edges = BTreeMap<Module, BTreeMap<Module, BTreeSet<String>>>;

fn edges(files: &Files) -> Edges {
    let mut edges = Edges::new();
    for (from, file) in files {
        for path in &file.named {
            if let Some((to, Some(item))) = find(files, from, path, 0)
                && to != *from
            {
                let edge = edges.entry(from.clone()).or_default().entry(to);
                edge.or_default().insert(item);
            }
        }
    }
    edges
}

/// The shortest ways from `start` to all files that can be reached, itself included only where a
/// circle leads back.
fn ways<'a>(edges: &'a Edges, start: &'a Module) -> BTreeMap<&'a Module, Vec<&'a Module>> {
    let (mut ways, mut open) = (BTreeMap::new(), VecDeque::from([vec![start]]));
    while let Some(way) = open.pop_front() {
        let named = edges.get(way[way.len() - 1]);
        for next in named.into_iter().flat_map(BTreeMap::keys) {
            if !ways.contains_key(next) {
                open.push_back([&way[..], &[next]].concat());
                ways.insert(next, way.clone());
            }
        }
    }
    ways
}

/// The sets of files in which every one can be reached from every other.
fn knots(edges: &Edges) -> BTreeSet<BTreeSet<&Module>> {
    let ways: BTreeMap<_, _> = edges.keys().map(|from| (from, ways(edges, from))).collect();
    let leads = |from: &Module, to: &Module| ways.get(from).is_some_and(|w| w.contains_key(to));
    let on_circles = edges.keys().filter(|file| leads(file, file));
    let knot = |file: &Module| {
        let both_ways = |other: &&Module| leads(file, other) && leads(other, file);
        edges.keys().filter(both_ways).collect()
    };
    on_circles.map(knot).collect()
}

/// The shortest circle through `start`, in words.
fn told(edges: &Edges, start: &Module) -> String {
    let circle = &ways(edges, start)[start];
    let step = |n: usize| {
        let (from, to) = (circle[n], circle[(n + 1) % circle.len()]);
        let items: Vec<&str> = edges[from][to].iter().map(String::as_str).collect();
        format!("{} names {} of {}", name(from), items.join(", "), name(to))
    };
    (0..circle.len()).map(step).collect::<Vec<_>>().join(", ")
}

fn name(module: &Module) -> String {
    match module.as_slice() {
        [] => "the root".to_owned(),
        path => path.join("::"),
    }
}

/// The circles of a crate, in words: the shortest one of each set of files that all lead to each other.
pub fn circles(files: &Files) -> Vec<String> {
    let edges = edges(files);
    let knots = knots(&edges);
    let first = knots.iter().filter_map(|knot| knot.first());
    first.map(|start| told(&edges, start)).collect()
}
