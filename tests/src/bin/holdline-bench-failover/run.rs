//! One run of a case, and the figures of all its runs.

use crate::case::{Blow, Case};
use holdline_tests::bench::death::{Death, Story, story_of_a_run};
use holdline_tests::bench::{Figures, hosts};
use holdline_tests::rig::{Error, Moment, NODES, Plan, Report, Rig, node_name};
use std::time::{Duration, SystemTime};

/// Media before the fault.
pub const BEFORE: Duration = Duration::from_secs(3);
/// Where all calls are to be on one node, it is alone until they are.
fn rig_for(case: &Case) -> Result<Rig, Error> {
    hosts(if case.all_on_one { 1 } else { NODES })
}

/// Places the calls, strikes a node, listens.
fn strike(rig: &mut Rig, case: &Case, after: Duration) -> Result<(Report, Death), Error> {
    let plan = Plan {
        calls: case.calls,
        calls_per_second: case.rate,
        faults: vec![BEFORE],
        after,
    };
    let ptime = case.ptime.to_string();
    let media = if case.media { "both" } else { "none" };
    // The gap is what is measured: none is too long for the tool.
    let more = ["--ptime", &ptime, "--media", media, "--max-gap", "60s"];
    let (mut struck, mut told) = (None, None);
    let agent = rig.block.agent_sip();
    let report = rig.load_with(agent, &plan, &more, |rig, moment| {
        match moment {
            Moment::AllUp { failed: 0 } if case.all_on_one => {
                (1..NODES).try_for_each(|n| rig.start_node(n))?;
                rig.wait_all_alive()?;
            }
            Moment::AllUp { failed: 0 } => {}
            Moment::AllUp { failed } => {
                return Err(format!("{failed} calls did not come up").into());
            }
            Moment::Fault(_) => {
                let (node, _) = rig.busiest()?;
                struck = Some((node, blow(rig, node, case.blow)?));
            }
            Moment::Observed => told = Some(rig.status()?),
        }
        Ok(())
    })?;
    let (node, at) = struck.ok_or("nobody was struck")?;
    let status = told.ok_or("the agent was not asked")?;
    let death = Death::of(rig, node, at, status)?;
    Ok((report, death))
}

/// Does it; when it was begun.
fn blow(rig: &mut Rig, node: usize, blow: Blow) -> Result<SystemTime, Error> {
    let at = SystemTime::now();
    match blow {
        Blow::Kill => return rig.kill_node(node),
        Blow::Cut => rig.lan()?.unplug(&node_name(node))?,
        Blow::Stop => rig.pause_node(node)?,
    }
    Ok(at)
}

/// The story of one call of a further run.
pub fn story(case: &Case, after: Duration) -> Result<Story, Error> {
    let mut rig = rig_for(case)?;
    story_of_a_run(&mut rig, case.blow.told(), |rig| strike(rig, case, after))
}

/// The figures of one case, milliseconds.
pub struct Measured {
    /// Which.
    pub case: &'static Case,
    /// Calls that moved.
    pub moved: Figures,
    /// Fault to suspicion.
    pub detection: Figures,
    /// Suspicion to verdict.
    pub decision: Figures,
    /// Fault to verdict.
    pub verdict: Figures,
    /// Verdict to the first call's answer by its new node, and to the last one's.
    pub first_moved: Figures,
    /// Likewise.
    pub last_moved: Figures,
    /// The longest silence of each moved call, worse direction: p50, p99, largest.
    pub gaps: [Figures; 3],
    /// The same of the calls that did not move, in the same runs: p50, largest.
    pub floor: [Figures; 2],
    /// All those silences of moved calls, of all runs.
    pub all_gaps: Vec<f64>,
    /// How late the load generator was after the fault.
    pub late: Figures,
    /// Runs in which it marked itself late.
    pub marked: u32,
    /// Calls lost over all runs.
    pub lost: usize,
    /// Other nodes that were held for dead.
    pub false_verdicts: usize,
    /// What the verdicts rested on, the last run's.
    pub evidence: String,
}

impl Measured {
    /// Nothing yet.
    pub fn new(case: &'static Case) -> Measured {
        Measured {
            case,
            moved: Figures::default(),
            detection: Figures::default(),
            decision: Figures::default(),
            verdict: Figures::default(),
            first_moved: Figures::default(),
            last_moved: Figures::default(),
            gaps: Default::default(),
            floor: Default::default(),
            all_gaps: Vec::new(),
            late: Figures::default(),
            marked: 0,
            lost: 0,
            false_verdicts: 0,
            evidence: String::new(),
        }
    }

    /// Adds a run, with programs of its own.
    pub fn add(&mut self, after: Duration) -> Result<(), Error> {
        let mut rig = rig_for(self.case)?;
        let (report, death) = strike(&mut rig, self.case, after)?;
        self.note_report(&report);
        self.note_death(&death);
        let gap = report.gap_moved;
        eprintln!(
            "  verdict {:.1} ms; {} calls moved, {} lost, gap p50 {:.1} p99 {:.1} max {:.1} ms{}",
            death.until(death.failover.decided_at),
            report.moved,
            report.lost,
            gap.p50_ms,
            gap.p99_ms,
            gap.max_ms,
            if report.tool_was_late {
                " (tool late)"
            } else {
                ""
            }
        );
        if report.lost > 0 {
            eprintln!("{}", report.complaints());
        }
        Ok(())
    }

    fn note_report(&mut self, report: &Report) {
        self.moved.push(report.moved as f64);
        self.lost += report.lost;
        self.late
            .push(report.late_after_fault().as_secs_f64() * 1e3);
        self.marked += u32::from(report.tool_was_late);
        if !self.case.media {
            return;
        }
        let (gap, floor) = (report.gap_moved, report.gap_unmoved);
        for (figures, value) in self
            .gaps
            .iter_mut()
            .zip([gap.p50_ms, gap.p99_ms, gap.max_ms])
        {
            figures.push(value);
        }
        if floor.count > 0 {
            self.floor[0].push(floor.p50_ms);
            self.floor[1].push(floor.max_ms);
        }
        let moved = report.calls.iter().filter(|call| call.moved);
        self.all_gaps.extend(moved.map(|call| call.gap_ms));
    }

    fn note_death(&mut self, death: &Death) {
        let failover = &death.failover;
        let decided = death.until(failover.decided_at);
        self.verdict.push(decided);
        if let Some(verdict) = &failover.verdict {
            let suspected = death.until(verdict.suspected_at);
            self.detection.push(suspected);
            self.decision.push(decided - suspected);
            let what = verdict.evidence.iter().map(|e| e.what.as_str());
            self.evidence = what.collect::<Vec<_>>().join(", ");
        }
        for (figures, at) in [
            (&mut self.first_moved, failover.first_moved_at),
            (&mut self.last_moved, failover.last_moved_at),
        ] {
            if let Some(at) = at {
                figures.push(death.until(at) - decided);
            }
        }
        // Nodes that are started late count as dead until then: of before the fault nothing is said.
        let after = |decided: f64| death.until(decided) >= 0.0;
        let others = death.status.failovers.iter();
        let others = others.filter(|other| other.node != failover.node && after(other.decided_at));
        self.false_verdicts += others.count();
    }

    /// Each target beside what was measured: its name, the figures, the target.
    pub fn judged(&self) -> Vec<(&'static str, &Figures, f64)> {
        let targets = &self.case.targets;
        let mut judged = vec![("verdict", &self.verdict, targets.verdict)];
        for ((name, figures), target) in ["gap p50", "gap p99", "largest gap"]
            .into_iter()
            .zip(&self.gaps)
            .zip(targets.gaps)
        {
            judged.extend(target.map(|target| (name, figures, target)));
        }
        judged
    }

    /// Whether a target was missed by the median.
    pub fn missed(&self) -> bool {
        let missed = |(_, figures, target): &(&str, &Figures, f64)| figures.median() > *target;
        self.judged().iter().any(missed)
    }
}
