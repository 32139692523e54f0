//! A line for each call, for spreadsheets (RFC 4180).

use super::hearing::Hearing;
use super::report::{Call, Report};
use std::fmt::Write;

const HEAD: &str = "call,kept,moved,placed_ms,up_ms,setup_ms,ended_ms,ended_by,gap_ms,\
                    caller_gap_ms,caller_packets,caller_lost,\
                    callee_gap_ms,callee_packets,callee_lost,tool_was_late,faults";

/// The calls of a report with a head line. Times count from the tool's start.
pub fn csv(report: &Report) -> String {
    let mut text = format!("{HEAD}\r\n");
    for call in &report.calls {
        line(&mut text, call, report.tool_was_late);
    }
    text
}

fn line(text: &mut String, call: &Call, late: bool) {
    let story = &call.story;
    let ms = |ns: u64| format!("{:.3}", ns as f64 / 1e6);
    let some_ms = |ns: Option<u64>| ns.map(ms).unwrap_or_default();
    let setup = story.up_ns.map(|up| up - story.placed_ns);
    let ended = story.ended.iter().flatten().min_by_key(|end| end.at_ns);
    let by = match story.ended.each_ref().map(Option::as_ref) {
        [Some(end), _] if end.by == "local" => "caller",
        [_, Some(end)] if end.by == "local" => "callee",
        [None, None] => "",
        _ => "others",
    };
    let Call {
        call: number,
        kept,
        moved,
        gap_ms,
        ..
    } = call;
    let _ = write!(text, "{number},{kept},{moved},{},", ms(story.placed_ns));
    let _ = write!(text, "{},{},", some_ms(story.up_ns), some_ms(setup));
    let _ = write!(
        text,
        "{},{by},{gap_ms}",
        some_ms(ended.map(|end| end.at_ns))
    );
    for heard in [&call.caller_heard, &call.callee_heard] {
        let _ = match heard {
            Some(heard) => write!(text, ",{}", listener(heard)),
            None => write!(text, ",,,"),
        };
    }
    let faults = call.faults.join("; ").replace('"', "\"\"");
    let _ = write!(text, ",{late},\"{faults}\"\r\n");
}

fn listener(heard: &Hearing) -> String {
    let lost: i64 = heard.windows.iter().map(|window| window.lost).sum();
    let gap = heard.largest_gap().as_secs_f64() * 1e3;
    format!("{gap:.3},{},{lost}", heard.packets())
}
