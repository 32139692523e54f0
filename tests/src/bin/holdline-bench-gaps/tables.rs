//! The figures of all sizes as Markdown.

use crate::death::Measured;
use holdline_tests::bench::{Figures, Section};

fn cell(figures: &Figures) -> String {
    format!("{:.1} ({})", figures.median(), figures.spread(1))
}

/// Writes the tables.
pub fn tell(section: &mut Section, measured: &[Measured]) {
    section.say(
        "Median of the runs, and in parentheses their spread, milliseconds. The gap of a call is \
         the longest silence that either listener heard; p50, p99 and largest are over the moved \
         calls of a run. The floor is the same load without a death, over all calls: packets come \
         every 20 ms, so it is the 20 ms and what this machine adds.",
    );
    let rows: Vec<[String; 7]> = measured.iter().map(gaps).collect();
    section.table(
        [
            "calls",
            "moved",
            "gap p50",
            "gap p99",
            "largest gap",
            "floor p50",
            "floor, largest",
        ],
        &rows,
    );
    let rows: Vec<[String; 5]> = measured.iter().map(stages).collect();
    section.table(
        [
            "calls",
            "detection: death to suspicion",
            "decision: suspicion to verdict",
            "death to first call moved",
            "death to last call moved",
        ],
        &rows,
    );
    let rows: Vec<[String; 6]> = measured.iter().map(trust).collect();
    section.table(
        [
            "calls",
            "tool late at most",
            "the same without a death",
            "runs marked late",
            "calls moved without a death",
            "calls lost",
        ],
        &rows,
    );
    section.say(
        "A run is marked when the load generator itself was late by more than 10 ms, in sending \
         or in answering: then its gaps may be the tool's own. A call that moved without a death \
         was moved by a false verdict: the machine was too busy to answer in time.",
    );
}

fn gaps(size: &Measured) -> [String; 7] {
    let [p50, p99, max] = size.gap.each_ref().map(cell);
    let [floor, _, largest] = size.floor.each_ref().map(cell);
    let moved = format!("{:.0} ({})", size.moved.median(), size.moved.spread(0));
    [size.calls.to_string(), moved, p50, p99, max, floor, largest]
}

fn stages(size: &Measured) -> [String; 5] {
    let [detection, decision, first, last] = [
        &size.detection,
        &size.decision,
        &size.first_moved,
        &size.last_moved,
    ]
    .map(cell);
    [size.calls.to_string(), detection, decision, first, last]
}

fn trust(size: &Measured) -> [String; 6] {
    let [without, with] = size.late.each_ref().map(cell);
    let [quiet, marked] = size.marked;
    let marked = format!("{marked} with a death, {quiet} without");
    [
        size.calls.to_string(),
        with,
        without,
        marked,
        size.moved_without.to_string(),
        size.lost.to_string(),
    ]
}
