//! The load generator beside a second witness: `dumpcap` on the loopback interface, read by
//! `tshark`. Where those are not there, or this user may not capture, it is skipped, loudly.

use holdline_tests::load::{Side, sender};
use holdline_tests::rig::{Capture, Captured, Moment, Pause, Plan, Report, Rig, nanoseconds};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// How far the two witnesses may be apart.
const AGREE: Duration = Duration::from_millis(1);
/// How long is listened after the fault.
const AFTER: Duration = Duration::from_secs(4);
/// Nanoseconds around the tool's window.
const EDGE: u64 = 5_000_000;
/// A silence in which at least one packet is missing.
const PAUSE: Duration = Duration::from_millis(30);

/// When each listener's packets came, first copies only: by call and the end that spoke.
type Arrivals = BTreeMap<(u32, Side), Vec<u64>>;

fn arrivals(captured: &Captured) -> Arrivals {
    let fields = ["frame.time_epoch", "udp.payload"];
    let (mut seen, mut arrivals) = (BTreeSet::new(), Arrivals::new());
    for packet in captured.fields("udp", &fields).unwrap() {
        let at = nanoseconds(&packet[0]).expect("every frame has a time");
        let bytes = packet[1].as_bytes().chunks(2).map(|digits| {
            let digits = std::str::from_utf8(digits).expect("a payload is in ASCII");
            u8::from_str_radix(digits, 16).expect("a payload is in hexadecimal digits")
        });
        let payload: Vec<u8> = bytes.collect();
        let (call, side, number) = sender(&payload).expect("nobody else sends there");
        if seen.insert((call, side, number)) {
            arrivals.entry((call, side)).or_default().push(at);
        }
    }
    arrivals
}

fn since_1970(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// The spacings of `times` whose later packet came after `from` and not after `until`.
fn spacings(times: &[u64], from: u64, until: u64) -> Vec<Duration> {
    let pairs = times
        .windows(2)
        .filter(|pair| pair[1] > from && pair[1] <= until);
    pairs
        .map(|pair| Duration::from_nanos(pair[1] - pair[0]))
        .collect()
}

fn assert_agree(who: &str, tool: Duration, capture: Duration) {
    let apart = tool.abs_diff(capture);
    assert!(
        apart < AGREE,
        "{who}: the tool says {tool:?}, the capture {capture:?}"
    );
}

/// Compares every listener, and gives the number of those who missed packets, and the longest of
/// their silences.
fn compare(report: &Report, arrivals: &Arrivals, observed: SystemTime) -> (usize, Duration) {
    let after = AFTER.as_nanos() as u64;
    let (mut silenced, mut longest) = (0, Duration::ZERO);
    for call in &report.calls {
        let ends = [
            (Side::Callee, "caller", &call.caller_heard),
            (Side::Caller, "callee", &call.callee_heard),
        ];
        for (talker, who, heard) in ends {
            let who = format!("call {}, what the {who} hears", call.call);
            let heard = heard.as_ref().unwrap().windows[1];
            let fault = report.faults[0].started_realtime_ns;
            let times = &arrivals[&(call.call, talker)];
            // Where exactly the tool's window begins and ends is a matter of milliseconds.
            let outer = spacings(times, fault - EDGE, since_1970(observed));
            let spacings = spacings(times, fault + EDGE, fault + after);
            let max = |gaps: &[Duration]| gaps.iter().max().copied().unwrap_or_default();
            let (largest, outer) = (max(&spacings), max(&outer));
            let told = Duration::from_nanos(heard.largest_gap_ns);
            assert_agree(&who, told, told.clamp(largest, outer));
            let first = spacings.iter().find(|gap| **gap > PAUSE + AGREE).copied();
            if let (Some(Pause { from_ns, until_ns }), Some(first)) = (heard.first_pause, first) {
                let told = Duration::from_nanos(until_ns - from_ns);
                if told > PAUSE + AGREE * 2 {
                    assert_agree(&who, told, first);
                }
                silenced += 1;
                longest = longest.max(largest);
            }
        }
    }
    (silenced, longest)
}

/// A node dies, and another is stopped for 400 ms: the tool and the capture tell of the same
/// silences, each to a millisecond.
#[test]
fn the_tool_and_a_capture_agree_on_every_gap() {
    if !Capture::is_possible() {
        return eprintln!("SKIPPED: no tshark, or this user may not capture on lo");
    }
    let mut rig = Rig::start().unwrap();
    // What reaches the two ends: nobody else has such ports.
    let (caller, callee) = (rig.block.caller().ip(), rig.block.callee().ip());
    let filter = format!("udp and dst portrange 40000-49999 and (dst {caller} or dst {callee})");
    let capture = Capture::start(&rig, &filter).unwrap();
    let plan = Plan {
        calls: 24,
        calls_per_second: 50,
        faults: vec![Duration::from_secs(1)],
        after: AFTER,
    };
    let mut observed = None;
    let report = rig.load(&plan, |rig, moment| {
        match moment {
            Moment::AllUp { failed } => assert_eq!(failed, 0),
            Moment::Fault(_) => {
                let (node, _) = rig.busiest()?;
                rig.kill_node(node)?;
                std::thread::sleep(Duration::from_millis(1500));
                // Too short for a verdict of death to matter here: either way there is a silence.
                let other = (node + 1) % 3;
                rig.pause_node(other)?;
                std::thread::sleep(Duration::from_millis(400));
                rig.resume_node(other)?;
            }
            Moment::Observed => observed = Some(SystemTime::now()),
        }
        Ok(())
    });
    let report = report.unwrap();
    let arrivals = arrivals(&capture.stop(&rig).unwrap());
    let (silenced, longest) = compare(&report, &arrivals, observed.unwrap());
    println!("{silenced} listeners missed packets, the longest silence was {longest:?}");
    assert!(silenced >= 8, "hardly anybody missed a packet");
}
