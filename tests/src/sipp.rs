//! SIPp as an endpoint: a scenario of `tests/endpoints/sipp` as a child process of a rig.
//!
//! Its verdict is its exit status, its statistics, and the trace of what it sent and received.
//! It plays what a scenario says and answers nothing that the scenario does not expect, so a call
//! that succeeds saw exactly those messages.

use crate::failure::Error;
use crate::rig::Household;
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// SIPp, in Debian's package `sip-tester`.
const PROGRAM: &str = "sipp";
/// Where it takes commands, at the address of its SIP.
const CONTROL_PORT: u16 = 8888;
/// "Place no more calls, end when those that run are over."
const QUIT: &[u8] = b"q";
/// What stands before each message in its trace.
const DASHES: &str = "----------------------------------------------- ";
/// How long it has to start.
const START: Duration = Duration::from_secs(5);
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(10);
/// When it gives up by itself, seconds: should this program die, it does not stay.
const LIFETIME: &str = "90";

/// What SIPp is to play.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// Its name in the household and of its files.
    pub name: &'a str,
    /// The scenario's file in `tests/endpoints/sipp`.
    pub scenario: &'a str,
    /// Its SIP address.
    pub address: SocketAddr,
    /// Where its RTP goes out and is awaited (never read); it takes the next odd port as well.
    pub media_port: u16,
    /// For a calling server: what it calls.
    pub calls: Option<Calls>,
    /// Words of the scenario, and what stands in their place in this run.
    pub instead: &'a [(&'a str, &'a str)],
}

/// What a calling server does.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    /// Whom it calls through.
    pub to: SocketAddr,
    /// How many calls.
    pub count: usize,
    /// How long each talks before the scenario goes on.
    pub talk: Duration,
}

/// A running SIPp; the household ends it.
pub struct Sipp {
    name: String,
    address: SocketAddr,
    household: Household,
    dir: PathBuf,
}

/// What SIPp says of a finished run.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Its exit status: 0 where every call went as the scenario says.
    pub status: Option<i32>,
    /// Calls that did.
    pub successful: u64,
    /// Calls that did not.
    pub failed: u64,
    /// What was unexpected, in its words.
    pub errors: String,
    /// All messages, in order.
    pub messages: Vec<Traced>,
}

/// A message in SIPp's trace.
#[derive(Clone, Debug)]
pub struct Traced {
    /// Sent, not received.
    pub sent: bool,
    /// The message.
    pub text: String,
}

impl Sipp {
    /// Starts SIPp, with its files in `dir`; one that is called listens on return.
    pub fn start(household: &Household, dir: &Path, setup: &Setup<'_>) -> Result<Sipp, Error> {
        let sipp = Sipp {
            name: setup.name.to_owned(),
            address: setup.address,
            household: household.clone(),
            dir: dir.to_owned(),
        };
        let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("endpoints/sipp");
        let mut scenario = std::fs::read_to_string(scenario.join(setup.scenario))?;
        for (word, instead) in setup.instead {
            if !scenario.contains(word) {
                return Err(format!("no {word:?} in {}", setup.scenario).into());
            }
            scenario = scenario.replace(word, instead);
        }
        std::fs::write(sipp.file("xml"), scenario)?;
        let args = sipp.arguments(setup);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        household.spawn(setup.name, Path::new(PROGRAM), &args)?;
        if setup.calls.is_none() {
            sipp.wait("listens", START, || UdpSocket::bind(setup.address).is_err())?;
        }
        Ok(sipp)
    }

    fn wait(&self, what: &str, patience: Duration, done: impl Fn() -> bool) -> Result<(), Error> {
        let until = Instant::now() + patience;
        while !done() {
            if Instant::now() > until {
                let (name, tails) = (&self.name, self.household.log_tails());
                let errors = std::fs::read_to_string(self.file("errors")).unwrap_or_default();
                let complaint = format!("{name}: waited {patience:?} in vain until it {what}");
                return Err(format!("{complaint}\n{errors}\n{tails}").into());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.dir.join(format!("{}.{ending}", self.name))
    }

    fn arguments(&self, setup: &Setup<'_>) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let address = setup.address.ip().to_string();
        let mut args: Vec<String> = [
            ("-sf", path(&self.file("xml"))),
            ("-i", address.clone()),
            ("-p", setup.address.port().to_string()),
            ("-mi", address.clone()),
            ("-mp", setup.media_port.to_string()),
            ("-ci", address),
            ("-cp", CONTROL_PORT.to_string()),
            ("-error_file", path(&self.file("errors"))),
            ("-message_file", path(&self.file("messages"))),
            ("-stf", path(&self.file("csv"))),
            ("-fd", "1".into()),
            ("-timeout", LIFETIME.into()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
        args.extend(
            [
                "-trace_err",
                "-trace_msg",
                "-trace_stat",
                "-timeout_error",
                "-nostdin",
            ]
            .map(str::to_owned),
        );
        if let Some(calls) = setup.calls {
            let count = calls.count.to_string();
            let talk = calls.talk.as_millis().to_string();
            args.extend(["-m", &count, "-l", &count, "-r", "50", "-d", &talk].map(str::to_owned));
            args.push(calls.to.to_string());
        }
        args
    }

    /// Lets it end when its calls are over, if it would wait for more.
    pub fn no_more(&self) -> Result<(), Error> {
        let socket = UdpSocket::bind((self.address.ip(), 0))?;
        socket.send_to(QUIT, (self.address.ip(), CONTROL_PORT))?;
        Ok(())
    }

    /// The messages so far, in order.
    pub fn messages(&self) -> Result<Vec<Traced>, Error> {
        let trace = std::fs::read(self.file("messages")).unwrap_or_default();
        Ok(traced(&String::from_utf8_lossy(&trace)))
    }

    /// Waits for its end, and says how it went.
    pub fn finish(&self, patience: Duration) -> Result<Verdict, Error> {
        self.wait("ends", patience, || !self.household.is_running(&self.name))?;
        let status = self.household.reap(&self.name)?;
        let csv = std::fs::read_to_string(self.file("csv"))?;
        let last = last_row(&csv).ok_or("SIPp wrote no statistics")?;
        let number = |name: &str| last.get(name).and_then(|value| value.parse().ok());
        Ok(Verdict {
            status,
            successful: number("SuccessfulCall(C)").ok_or("no successful calls told")?,
            failed: number("FailedCall(C)").ok_or("no failed calls told")?,
            errors: std::fs::read_to_string(self.file("errors")).unwrap_or_default(),
            messages: self.messages()?,
        })
    }
}

/// The last line of SIPp's statistics, by the names in the first.
fn last_row(csv: &str) -> Option<BTreeMap<&str, &str>> {
    let mut lines = csv.lines();
    let names = lines.next()?.split(';');
    Some(names.zip(lines.next_back()?.split(';')).collect())
}

/// The messages of SIPp's trace: each after a line of dashes with the time, a line that says
/// which way it went, and an empty one.
fn traced(trace: &str) -> Vec<Traced> {
    let pieces = trace
        .split(DASHES)
        .filter_map(|piece| piece.split_once("\n\n"));
    pieces
        .map(|(way, text)| Traced {
            sent: way.contains("message sent"),
            text: text.trim_start().to_owned(),
        })
        .collect()
}

impl Traced {
    /// Whether it is a request with this method.
    pub fn is_request(&self, method: &str) -> bool {
        let line = self.text.lines().next().unwrap_or_default();
        line.starts_with(&format!("{method} ")) && line.ends_with("SIP/2.0")
    }

    /// The value of the first header with this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.text.lines().take_while(|line| !line.is_empty());
        lines.find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_is_read_message_by_message() {
        let trace = format!(
            "{DASHES}2026-01-01 00:00:00.000000\nUDP message received [44] bytes :\n\n\
             BYE sip:a@h SIP/2.0\nReason: SIP;cause=420\n\nCall-ID: none\n\
             {DASHES}2026-01-01 00:00:00.000001\nUDP message sent (20 bytes):\n\n\
             SIP/2.0 200 OK\n\n"
        );
        let messages = traced(&trace);
        assert_eq!(messages.len(), 2);
        assert!(messages[0].is_request("BYE") && !messages[0].sent);
        assert_eq!(messages[0].header("reason"), Some("SIP;cause=420"));
        assert_eq!(messages[0].header("Call-ID"), None);
        assert!(messages[1].sent && !messages[1].is_request("SIP/2.0"));
    }

    #[test]
    fn the_last_row_counts() {
        let csv = "CallRate(P);FailedCall(C);\n1;0;\n2;3;\n";
        assert_eq!(last_row(csv).unwrap()["FailedCall(C)"], "3");
    }
}
