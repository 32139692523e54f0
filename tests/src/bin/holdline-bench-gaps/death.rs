//! One death under load, measured; and the same load without one.

use holdline_tests::bench::Figures;
use holdline_tests::bench::death::Death;
use holdline_tests::rig::{Error, Moment, Plan, Report, Rig};
use std::time::Duration;

/// Media before the death.
const BEFORE: Duration = Duration::from_secs(3);
/// Calls placed in a second.
const RATE: u32 = 50;

/// All calls up, `act` in the middle, `after` of listening.
pub fn plan(calls: u32, after: Duration) -> Plan {
    Plan {
        calls,
        calls_per_second: RATE,
        faults: vec![BEFORE],
        after,
    }
}

/// Kills the busiest node under load.
pub fn kill(rig: &mut Rig, plan: &Plan) -> Result<(Report, Death), Error> {
    let (mut killed, mut told) = (None, None);
    let report = rig.load(plan, |rig, moment| {
        match moment {
            Moment::AllUp { .. } => {}
            Moment::Fault(_) => {
                let (node, _) = rig.busiest()?;
                killed = Some((node, rig.kill_node(node)?));
            }
            Moment::Observed => told = Some(rig.status()?),
        }
        Ok(())
    })?;
    let (node, at) = killed.ok_or("nobody was killed")?;
    let status = told.ok_or("the agent was not asked")?;
    let death = Death::of(rig, node, at, status)?;
    Ok((report, death))
}

/// The figures of one number of calls.
#[derive(Default)]
pub struct Measured {
    /// That number.
    pub calls: u32,
    /// Calls that had to move.
    pub moved: Figures,
    /// Death to suspicion, ms.
    pub detection: Figures,
    /// Suspicion to verdict, ms.
    pub decision: Figures,
    /// Death to the first and the last call's answer by its new node, ms.
    pub first_moved: Figures,
    /// Likewise.
    pub last_moved: Figures,
    /// The longest silence of each moved call, worse direction, ms: p50, p99, largest.
    pub gap: [Figures; 3],
    /// The same of all calls without a death.
    pub floor: [Figures; 3],
    /// How late the tool was with a death and without, ms.
    pub late: [Figures; 2],
    /// In how many of those runs the tool marked itself late.
    pub marked: [u32; 2],
    /// Calls that moved in the runs without a death: false verdicts, of a machine too busy.
    pub moved_without: usize,
    /// Calls lost over all runs.
    pub lost: usize,
}

impl Measured {
    /// Nothing yet.
    pub fn new(calls: u32) -> Measured {
        Measured {
            calls,
            ..Measured::default()
        }
    }

    /// Adds a run: without a death, then with one, each with programs of its own.
    pub fn add(&mut self, after: Duration) -> Result<(), Error> {
        let plan = plan(self.calls, after);
        let quiet = Rig::start()?.load(&plan, |_, _| Ok(()))?;
        self.note(0, &quiet);
        self.moved_without += quiet.moved;
        let mut rig = Rig::start()?;
        let (report, death) = kill(&mut rig, &plan)?;
        self.note(1, &report);
        let gap = report.gap_moved;
        eprintln!(
            "  without a death {:.1} ms; {} calls moved, gap p50 {:.1} p99 {:.1} max {:.1} ms{}",
            quiet.gap_unmoved.max_ms,
            report.moved,
            gap.p50_ms,
            gap.p99_ms,
            gap.max_ms,
            if report.tool_was_late {
                " (tool late)"
            } else {
                ""
            }
        );
        let failover = &death.failover;
        self.moved.push(report.moved as f64);
        let decided = death.until(failover.decided_at);
        if let Some(verdict) = &failover.verdict {
            let suspected = death.until(verdict.suspected_at);
            self.detection.push(suspected);
            self.decision.push(decided - suspected);
        }
        let moments = [
            (&mut self.first_moved, failover.first_moved_at),
            (&mut self.last_moved, failover.last_moved_at),
        ];
        for (figures, at) in moments {
            if let Some(at) = at {
                figures.push(death.until(at));
            }
        }
        Ok(())
    }

    fn note(&mut self, with_death: usize, report: &Report) {
        let gaps = [report.gap_unmoved, report.gap_moved][with_death];
        let into = [&mut self.floor, &mut self.gap];
        let values = [gaps.p50_ms, gaps.p99_ms, gaps.max_ms];
        for (figures, value) in into[with_death].iter_mut().zip(values) {
            figures.push(value);
        }
        self.late[with_death].push(report.late_after_fault().as_secs_f64() * 1e3);
        self.marked[with_death] += u32::from(report.tool_was_late);
        self.lost += report.lost;
    }
}
