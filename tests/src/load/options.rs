//! The command line of `holdline-load`.

use crate::ua::ReplacesPolicy;
use clap::Parser;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Places calls, speaks and listens at both ends, causes faults, and reports what the listeners
/// heard.
#[derive(Clone, Debug, Parser)]
#[command(name = "holdline-load", version)]
pub struct Options {
    /// How many calls.
    #[arg(long, default_value_t = 10)]
    pub calls: u32,
    /// Where INVITEs go: the agent.
    #[arg(long, default_value = "127.0.0.1:5060")]
    pub agent: SocketAddr,
    /// Send INVITEs straight to the callee: a test of this tool alone.
    #[arg(long)]
    pub direct: bool,
    /// The caller's SIP address.
    #[arg(long, default_value = "127.0.0.1:5070")]
    pub caller_listen: SocketAddr,
    /// The callee's SIP address, where the nodes send calls.
    #[arg(long, default_value = "127.0.0.1:5091")]
    pub callee_listen: SocketAddr,
    /// RTP ports to take, both ends together; even ones are used.
    #[arg(long, default_value = "40000-49999", value_parser = port_range)]
    pub rtp_ports: (u16, u16),
    /// How fast calls are placed (and, at the end, held and hung up).
    #[arg(long, default_value_t = 50.0, value_parser = rate)]
    pub calls_per_second: f64,
    /// How long the callee rings.
    #[arg(long, default_value_t = 0)]
    pub ring_ms: u64,
    /// What the callee does with Replaces: accept, unsupported, silent or a status such as 403.
    #[arg(long, default_value = "accept", value_parser = replaces_policy)]
    pub callee_replaces: ReplacesPolicy,
    /// How long to wait for all calls to be up, after the last was placed.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub setup_timeout: Duration,
    /// A shell command that causes a fault; HOLDLINE_CALLS, HOLDLINE_FAULT (from 1),
    /// HOLDLINE_AGENT, HOLDLINE_CALLER and HOLDLINE_CALLEE are in its environment. Repeatable.
    #[arg(long)]
    pub fault_command: Vec<String>,
    /// When, counted from the moment all calls are up; one for each command.
    #[arg(long, value_parser = duration)]
    pub fault_at: Vec<Duration>,
    /// How long to listen after the last fault (or, without one, after all calls are up).
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub after: Duration,
    /// What to exercise on every call at the end: hold, unhold, bye.
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
    /// Print what happens as JSON lines.
    #[arg(long)]
    pub progress: bool,
    /// The seed of tags, Call-IDs and SSRCs; by default the time.
    #[arg(long)]
    pub seed: Option<u64>,
}

/// Something to exercise on every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Step {
    /// Hold: by the caller for even numbers, by the callee for odd ones.
    Hold,
    /// Unhold, by the one who held.
    Unhold,
    /// Hang up: by the caller for even numbers, by the callee for odd ones.
    Bye,
}

impl Options {
    /// The faults with their moments, the earliest first.
    pub fn faults(&self) -> Result<Vec<(Duration, String)>, String> {
        if self.fault_at.len() != self.fault_command.len() {
            return Err("give one --fault-at for each --fault-command".into());
        }
        if self.calls == 0 {
            return Err("--calls must be at least 1".into());
        }
        let commands = self.fault_command.iter().cloned();
        let mut faults: Vec<_> = self.fault_at.iter().copied().zip(commands).collect();
        faults.sort_by_key(|(at, _)| *at);
        Ok(faults)
    }

    /// Whether `step` is to be exercised.
    pub fn exercises(&self, step: Step) -> bool {
        self.then.contains(&step)
    }
}

/// Reads `3s`, `250ms`, `1.5` (seconds).
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, scale) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let value: f64 = number
        .trim()
        .parse()
        .map_err(|_| format!("{text:?} is no duration"))?;
    Duration::try_from_secs_f64(value * scale).map_err(|error| error.to_string())
}

fn port_range(text: &str) -> Result<(u16, u16), String> {
    let range = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)));
    range
        .filter(|(first, last)| first < last)
        .ok_or(format!("{text:?} is no port range"))
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
    fn durations_ports_and_rates_are_read() {
        assert_eq!(duration("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert!(duration("-1s").is_err() && duration("soon").is_err());
        assert_eq!(port_range("4000-5000"), Ok((4000, 5000)));
        assert!(port_range("5000-4000").is_err() && rate("0").is_err());
        assert_eq!(replaces_policy("403"), Ok(ReplacesPolicy::Refuse(403)));
    }

    #[test]
    fn each_fault_needs_its_moment() {
        let parse = |args: &[&str]| Options::try_parse_from([&["holdline-load"], args].concat());
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
        let faults = parse(&two).unwrap().faults().unwrap();
        assert_eq!(faults[0], (Duration::from_secs(1), "a".to_owned()));
        assert!(parse(&two[..2]).unwrap().faults().is_err());
        assert_eq!(
            parse(&["--then", "hold,bye"]).unwrap().then,
            [Step::Hold, Step::Bye]
        );
    }
}
