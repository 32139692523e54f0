//! The command line of `holdline-load`.

use super::act::{Act, Actors, Step};
use super::duration::duration;
use super::mark::Side;
use crate::ua::ReplacesPolicy;
use clap::Parser;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const AFTER_HELP: &str = "\
Moments count from the time at which all calls are up; with --hold-time, from the first INVITE.
Durations: 3s, 250ms, 1.5 (seconds).

Exit codes:
  0  every call was kept and no gap was longer than --max-gap
  1  a call was lost or a gap was longer
  2  it could not be run: the command line, an address in use, no call came up

A run in which the tool itself was late by more than 10 ms says so (tool_was_late): its gaps may
be the tool's own. That does not change the exit code.

Examples:
  holdline-load --calls 500 --fault-command 'kill -9 4711' --fault-at 3s
  holdline-load --media none --hold-time 1s --calls 3000 --calls-per-second 100
  holdline-load --media silent --calls 4000 --calls-per-second 200 --after 60s --then bye";

/// Places calls, speaks and listens at both ends, causes faults, and reports what the listeners
/// heard.
#[derive(Clone, Debug, Parser)]
#[command(name = "holdline-load", version, after_help = AFTER_HELP)]
pub struct Options {
    /// How many calls.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub calls: u32,
    /// Where INVITEs go: the agent.
    #[arg(long, default_value = "127.0.0.1:5060")]
    pub agent: SocketAddr,
    /// Send INVITEs straight to the other end: a test of this tool alone.
    #[arg(long)]
    pub direct: bool,
    /// Who places the calls. The callee's go to --cluster. As of now the agent answers calls from
    /// the cluster with 403, so with it in between none of them comes up.
    #[arg(long, default_value = "caller", value_enum)]
    pub placed_by: Side,
    /// Where INVITEs of the callee go: a node.
    #[arg(long)]
    pub cluster: Option<SocketAddr>,
    /// The caller's SIP address.
    #[arg(long, default_value = "127.0.0.1:5070")]
    pub caller_listen: SocketAddr,
    /// The callee's SIP address, where the nodes send calls.
    #[arg(long, default_value = "127.0.0.1:5091")]
    pub callee_listen: SocketAddr,
    /// The network namespace in which the callee listens, if not that of the caller: a path such
    /// as /run/netns/NAME.
    #[arg(long)]
    pub callee_netns: Option<PathBuf>,
    /// RTP ports to take, both ends together; even ones are used.
    #[arg(long, default_value = "40000-49999", value_parser = port_range)]
    pub rtp_ports: (u16, u16),
    /// Who speaks, and whether there is media at all.
    #[arg(long, default_value = "both", value_enum)]
    pub media: MediaMode,
    /// Milliseconds of sound in a packet.
    #[arg(long, default_value_t = 20, value_parser = ptime)]
    pub ptime: u16,
    /// How fast calls are placed (and, at the end, held and hung up).
    #[arg(long, default_value_t = 50.0, value_parser = rate)]
    pub calls_per_second: f64,
    /// How long the called end rings.
    #[arg(long, default_value_t = 0)]
    pub ring_ms: u64,
    /// What the callee does with Replaces: accept, unsupported, silent or a status such as 403.
    #[arg(long, default_value = "accept", value_parser = replaces_policy)]
    pub callee_replaces: ReplacesPolicy,
    /// What the callee says of itself in Server.
    #[arg(long)]
    pub callee_server: Option<String>,
    /// How long the callee takes to answer an INVITE with Replaces.
    #[arg(long, default_value = "0", value_parser = duration)]
    pub replaces_delay: Duration,
    /// How long after that answer a BYE in the replaced dialog still ends the call at the callee.
    #[arg(long, default_value = "0", value_parser = duration)]
    pub callee_moving: Duration,
    /// The callee answers nothing any more once more than so many INVITEs with Replaces wait for
    /// its answer at a time.
    #[arg(long)]
    pub freeze_beyond: Option<usize>,
    /// How long to wait for all calls to be up, after the last was placed.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub setup_timeout: Duration,
    /// End every call by itself so long after it came up; the run is over with the last of them,
    /// and --after and --then mean nothing.
    #[arg(long, value_parser = duration)]
    pub hold_time: Option<Duration>,
    /// Who hangs up, after --hold-time and at the end.
    #[arg(long, default_value = "both", value_enum)]
    pub hang_up_by: Actors,
    /// Let calls do something while they are watched: MOMENT:STEP, MOMENT:STEP:WHO or MOMENT:STEP:WHO:CALLS, say 3s:hold,
    /// 4s:unhold:caller, 3.02s:bye:callee:20; STEP is hold, unhold or bye, CALLS the number of
    /// calls (the first ones), paced by --calls-per-second. Repeatable.
    #[arg(long)]
    pub act: Vec<Act>,
    /// A shell command that causes a fault; HOLDLINE_CALLS, HOLDLINE_FAULT (from 1),
    /// HOLDLINE_AGENT, HOLDLINE_CALLER and HOLDLINE_CALLEE are in its environment. Repeatable.
    #[arg(long)]
    pub fault_command: Vec<String>,
    /// When; one for each command.
    #[arg(long, value_parser = duration)]
    pub fault_at: Vec<Duration>,
    /// How long to listen after the last fault and act (or, without any, after all calls are up).
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub after: Duration,
    /// What to exercise on every call at the end: hold, unhold, bye. Without media, only bye.
    #[arg(long, default_value = "hold,unhold,bye", value_delimiter = ',')]
    pub then: Vec<Step>,
    /// How long a step may take after its last command.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub step_timeout: Duration,
    /// The largest gap with which a call counts as kept.
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub max_gap: Duration,
    /// Write the report there as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write a line for each call there, comma-separated, with a head line.
    #[arg(long)]
    pub csv: Option<PathBuf>,
    /// Print what happens as JSON lines.
    #[arg(long)]
    pub progress: bool,
    /// The seed of tags, Call-IDs and SSRCs; by default the time.
    #[arg(long)]
    pub seed: Option<u64>,
}

/// Who speaks, and whether there is media at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum MediaMode {
    /// Both ends.
    Both,
    /// Only the caller.
    Caller,
    /// Only the callee.
    Callee,
    /// Nobody: ports are negotiated, but this tool opens none.
    Silent,
    /// The calls have no media stream: its port is 0 in every offer (RFC 3264 section 5.1).
    None,
}

impl MediaMode {
    /// Whether `side` sends RTP.
    pub fn speaks(self, side: Side) -> bool {
        match self {
            MediaMode::Both => true,
            MediaMode::Caller => side == Side::Caller,
            MediaMode::Callee => side == Side::Callee,
            MediaMode::Silent | MediaMode::None => false,
        }
    }

    /// Whether `side` has somebody to listen to.
    pub fn listens(self, side: Side) -> bool {
        self.speaks(side.other())
    }

    /// Whether the tool opens sockets for media.
    pub fn has_sockets(self) -> bool {
        !matches!(self, MediaMode::Silent | MediaMode::None)
    }
}

impl Options {
    /// The faults with their moments, the earliest first.
    pub fn faults(&self) -> Result<Vec<(Duration, String)>, String> {
        if self.fault_at.len() != self.fault_command.len() {
            return Err("give one --fault-at for each --fault-command".into());
        }
        let commands = self.fault_command.iter().cloned();
        let mut faults: Vec<_> = self.fault_at.iter().copied().zip(commands).collect();
        faults.sort_by_key(|(at, _)| *at);
        Ok(faults)
    }

    /// Where INVITEs go.
    pub fn next_hop(&self) -> Result<SocketAddr, String> {
        match (self.placed_by, self.direct) {
            (Side::Caller, true) => Ok(self.callee_listen),
            (Side::Callee, true) => Ok(self.caller_listen),
            (Side::Caller, false) => Ok(self.agent),
            (Side::Callee, false) => self
                .cluster
                .ok_or("calls of the callee need --cluster (or --direct)".into()),
        }
    }

    /// When the call (or step) number `n`, from 0, has its turn.
    pub fn pace(&self, n: u32) -> Duration {
        Duration::from_secs_f64(f64::from(n) / self.calls_per_second)
    }

    /// Whether `step` is to be exercised at the end.
    pub fn exercises(&self, step: Step) -> bool {
        self.hold_time.is_none()
            && self.then.contains(&step)
            && (step == Step::Bye || self.media != MediaMode::None)
    }
}

fn port_range(text: &str) -> Result<(u16, u16), String> {
    let range = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)));
    range
        .filter(|(first, last)| first < last)
        .ok_or(format!("{text:?} is no port range"))
}

fn ptime(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(ptime @ (10 | 20 | 30 | 40 | 50 | 60)) => Ok(ptime),
        _ => Err("is one of 10, 20, 30, 40, 50, 60".into()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if rate.is_finite() && rate > 0.0 {
        Ok(rate)
    } else {
        Err("must be above 0".into())
    }
}

fn replaces_policy(text: &str) -> Result<ReplacesPolicy, String> {
    match text {
        "accept" => Ok(ReplacesPolicy::Accept),
        "unsupported" => Ok(ReplacesPolicy::Unsupported),
        "silent" => Ok(ReplacesPolicy::Silent),
        status => match status.parse() {
            Ok(status @ 400..=699) => Ok(ReplacesPolicy::Refuse(status)),
            _ => Err(format!(
                "{text:?} is none of accept, unsupported, silent, 400..699"
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_rates_are_read() {
        assert_eq!(port_range("4000-5000"), Ok((4000, 5000)));
        assert!(port_range("5000-4000").is_err() && rate("0").is_err());
        assert_eq!(replaces_policy("403"), Ok(ReplacesPolicy::Refuse(403)));
        assert!(ptime("30").is_ok() && ptime("25").is_err());
    }

    fn parse(args: &[&str]) -> Options {
        Options::try_parse_from([&["holdline-load"], args].concat()).unwrap()
    }

    #[test]
    fn each_fault_needs_its_moment() {
        let two = [
            "--fault-command",
            "b",
            "--fault-at",
            "5s",
            "--fault-command",
            "a",
            "--fault-at",
            "1s",
        ];
        let faults = parse(&two).faults().unwrap();
        assert_eq!(faults[0], (Duration::from_secs(1), "a".to_owned()));
        assert!(parse(&two[..2]).faults().is_err());
        assert_eq!(parse(&["--then", "hold,bye"]).then, [Step::Hold, Step::Bye]);
    }

    #[test]
    fn calls_of_the_callee_need_a_way() {
        let callee = ["--placed-by", "callee", "--direct"];
        assert!(parse(&callee[..2]).next_hop().is_err());
        let options = parse(&callee);
        assert_eq!(options.next_hop(), Ok(options.caller_listen));
    }

    #[test]
    fn who_listens_needs_somebody_who_speaks() {
        assert!(MediaMode::Caller.listens(Side::Callee));
        assert!(!MediaMode::Caller.listens(Side::Caller));
        assert!(!MediaMode::Silent.listens(Side::Caller));
        assert!(!parse(&["--media", "none"]).exercises(Step::Hold));
    }
}
