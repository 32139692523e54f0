//! RTP as it was on the wire.

use super::{Error, Event, Script};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
/// The script's exit status without the right to a packet socket.
const NO_RIGHT: i32 = 3;

/// Watches RTP to some addresses on the loopback interface; it ends on drop.
#[derive(Debug)]
pub struct Trace {
    script: Script,
}

/// What was sent to one destination; see `tests/endpoints/README.md`.
#[derive(Clone, Debug, Deserialize)]
pub struct Flow {
    /// The destination.
    pub address: SocketAddr,
    /// Who sent.
    pub sources: Vec<SocketAddr>,
    /// Packets.
    pub packets: u64,
    /// Packets by SSRC, in hexadecimal.
    pub ssrcs: BTreeMap<String, u64>,
    /// Payload types.
    pub payload_types: Vec<u8>,
    /// Steps of the sequence number other than 1.
    pub sequence_steps: Vec<Step>,
    /// Steps of the timestamp back or not in whole packet times.
    pub timestamp_steps: Vec<Step>,
    /// Timestamps that did not go with the time of arrival; by how many seconds.
    pub clock_steps: Vec<ClockStep>,
    /// Times without a packet.
    pub gaps: Vec<Gap>,
}

/// A step of a number.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Step {
    /// When, in seconds of CLOCK_MONOTONIC.
    pub t: f64,
    /// By how much.
    pub step: i64,
}

/// A step of the timestamp against time.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct ClockStep {
    /// When.
    pub t: f64,
    /// How far the timestamp ran ahead, seconds.
    pub by: f64,
}

/// A time without a packet.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Gap {
    /// When it was over.
    pub t: f64,
    /// How long it was.
    pub seconds: f64,
}

impl Trace {
    /// Starts it; nothing where this user may not open packet sockets.
    pub fn start(addresses: &[IpAddr], dir: &Path) -> Result<Option<Trace>, Error> {
        let args: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        let mut script = Script::start("rtp-trace", "rtp_trace.py", &args, dir)?;
        match script.wait(0, PATIENCE, "its start", |event| event.is("ready")) {
            Ok(_) => Ok(Some(Trace { script })),
            Err(error) => match script.exit_code() {
                Some(NO_RIGHT) => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// What was seen so far, by destination; an error if the kernel dropped any of it.
    pub fn report(&mut self) -> Result<BTreeMap<SocketAddr, Flow>, Error> {
        let mark = self.script.mark();
        self.script.command("report")?;
        let told = |event: &Event| event.is("reported");
        let reported = self.script.wait(mark, PATIENCE, "its report", told)?;
        if reported.number("dropped") != Some(0.0) {
            return Err(format!("the trace has holes: {}", reported.value()).into());
        }
        let flows = self.script.events(mark).into_iter();
        flows
            .filter(|event| event.is("flow"))
            .map(|event| {
                let flow: Flow = serde_json::from_value(event.value().clone())?;
                Ok((flow.address, flow))
            })
            .collect()
    }
}
