//! The figures of all cases as Markdown.

use crate::case::Case;
use crate::run::Measured;
use holdline_tests::bench::{Figures, Section};

/// What stands where there is nothing to tell.
const NONE: &str = "–";

fn cell(figures: &Figures) -> String {
    if figures.median().is_nan() {
        return NONE.to_owned();
    }
    format!("{:.1} ({})", figures.median(), figures.spread(1))
}

fn against(figures: &Figures, target: Option<f64>) -> String {
    match target {
        None => cell(figures),
        Some(target) => {
            let met = if figures.median() <= target {
                "met"
            } else {
                "**missed**"
            };
            format!("{}, ≤ {target:.0}: {met}", cell(figures))
        }
    }
}

fn title(case: &Case) -> String {
    case.title.to_owned()
}

/// Writes the tables.
pub fn tell(section: &mut Section, measured: &[Measured]) {
    section.say(
        "Median of the runs, and in parentheses their spread, milliseconds; then the target and \
         whether the median meets it. The gap of a call is the longest silence that either listener \
         heard from the fault to the end, the worse direction; p50, p99 and largest are over the moved \
         calls of a run. The target of the detection is held against the verdict, which is the later.",
    );
    let rows: Vec<_> = measured.iter().map(gaps).collect();
    section.table(
        [
            "case",
            "moved",
            "fault to verdict",
            "gap p50",
            "gap p99",
            "largest gap",
        ],
        &rows,
    );
    section.say("![The distribution of the gaps of moved calls](failover-gaps.svg)");
    let rows: Vec<_> = measured.iter().map(stages).collect();
    section.table(
        [
            "case",
            "detection: fault to suspicion",
            "decision: suspicion to verdict",
            "move: verdict to first call answered",
            "move: verdict to last call answered",
            "evidence of the last run",
        ],
        &rows,
    );
    let rows: Vec<_> = measured.iter().map(trust).collect();
    section.table(
        [
            "case",
            "gap of unmoved calls, p50",
            "largest",
            "tool late at most",
            "runs marked late",
            "calls lost",
            "false verdicts",
        ],
        &rows,
    );
    section.say(
        "The gap of the calls that did not move, in the same runs, is the floor of this machine at \
         this load: the time of a packet and what the machine adds. Below the time of two packets no moved call can be \
         told from an unmoved one. A run is marked when the load generator itself was late by more than \
         10 ms: then its gaps may be the tool's own. A false verdict is one on a node that nobody touched. Where all calls \
         are on one node, the two others are started once the calls are up. A fault's time is taken before the \
         command that causes it, which for a cut link takes some milliseconds.",
    );
}

fn gaps(of: &Measured) -> [String; 6] {
    let targets = &of.case.targets;
    let [p50, p99, max] = [0, 1, 2].map(|n| against(&of.gaps[n], targets.gaps[n]));
    let moved = format!("{:.0} ({})", of.moved.median(), of.moved.spread(0));
    let verdict = against(&of.verdict, Some(targets.verdict));
    [title(of.case), moved, verdict, p50, p99, max]
}

fn stages(of: &Measured) -> [String; 6] {
    let [detection, decision, first, last] =
        [&of.detection, &of.decision, &of.first_moved, &of.last_moved].map(cell);
    [
        title(of.case),
        detection,
        decision,
        first,
        last,
        of.evidence.clone(),
    ]
}

fn trust(of: &Measured) -> [String; 7] {
    let [floor, largest] = of.floor.each_ref().map(cell);
    [
        title(of.case),
        floor,
        largest,
        cell(&of.late),
        of.marked.to_string(),
        of.lost.to_string(),
        of.false_verdicts.to_string(),
    ]
}
