//! The cases and what is expected of each.

/// What happens to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// SIGKILL: its host refuses from now on.
    Kill,
    /// The link of its host is cut: nobody says anything.
    Cut,
    /// SIGSTOP: it takes everything and answers nothing.
    Stop,
}

impl Blow {
    /// In words.
    pub fn told(self) -> &'static str {
        match self {
            Blow::Kill => "the node is killed",
            Blow::Cut => "the node's link is cut",
            Blow::Stop => "the node is stopped",
        }
    }
}

/// What is expected, milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Targets {
    /// From the fault to the verdict.
    pub verdict: f64,
    /// The gaps of the moved calls: p50, p99, largest.
    pub gaps: [Option<f64>; 3],
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// For the command line and names of files.
    pub key: &'static str,
    /// For people.
    pub title: &'static str,
    /// What happens.
    pub blow: Blow,
    /// Calls.
    pub calls: u32,
    /// Calls placed in a second.
    pub rate: u32,
    /// Milliseconds of sound in a packet.
    pub ptime: u16,
    /// Whether there is any.
    pub media: bool,
    /// Whether all calls are on the node that dies; else it has a third of them.
    pub all_on_one: bool,
    /// What is expected.
    pub targets: Targets,
}

const THIRD: Case = Case {
    key: "kill-200",
    title: "SIGKILL, 200 calls",
    blow: Blow::Kill,
    calls: 200,
    rate: 50,
    ptime: 20,
    media: true,
    all_on_one: false,
    targets: Targets {
        verdict: 10.0,
        gaps: [Some(60.0), Some(110.0), Some(160.0)],
    },
};

const SILENT: Targets = Targets {
    verdict: 100.0,
    gaps: [Some(160.0), Some(250.0), Some(350.0)],
};

/// All of them, in the order of the tables.
pub const CASES: [Case; 6] = [
    THIRD,
    Case {
        key: "kill-1000",
        title: "SIGKILL, 1,000 calls at 60 ms packets",
        calls: 1000,
        rate: 100,
        ptime: 60,
        targets: Targets {
            verdict: 20.0,
            gaps: [Some(200.0), Some(400.0), Some(600.0)],
        },
        ..THIRD
    },
    Case {
        key: "kill-all",
        title: "SIGKILL, all 1,000 calls at 60 ms packets on the dead node",
        calls: 1000,
        rate: 100,
        ptime: 60,
        all_on_one: true,
        targets: Targets {
            verdict: 20.0,
            gaps: [None, Some(800.0), Some(1000.0)],
        },
        ..THIRD
    },
    Case {
        key: "cut-200",
        title: "link cut, 200 calls",
        blow: Blow::Cut,
        targets: SILENT,
        ..THIRD
    },
    Case {
        key: "stop-200",
        title: "SIGSTOP, 200 calls",
        blow: Blow::Stop,
        targets: SILENT,
        ..THIRD
    },
    Case {
        key: "cut-no-rtp",
        title: "link cut, 200 calls without RTP",
        blow: Blow::Cut,
        media: false,
        targets: Targets {
            // The RTT is far below a millisecond here.
            verdict: 1500.0,
            gaps: [None, None, None],
        },
        ..THIRD
    },
];
