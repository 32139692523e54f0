//! baresip as an endpoint: a child process of a rig, driven over its control port (module
//! `ctrl_tcp`), with a sine for a microphone and recordings for ears.

use crate::failure::Error;
use crate::pjsip::{Tones, now, tones};
use crate::rig::Household;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// baresip, in Debian's package `baresip-core`.
const PROGRAM: &str = "baresip";
/// Where it takes commands, at the address of its SIP.
const CONTROL_PORT: u16 = 4444;
/// How long it has to start.
const START: Duration = Duration::from_secs(10);
/// How long it has to answer a command, or to do what it was told.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(10);
/// The longest message that it may send us.
const MAX_MESSAGE: usize = 65_536;
/// RTP ports that it may use, from the first on.
const PORTS: u16 = 10;
/// Of its recordings: bytes before the samples, and bytes a second.
const HEADER: u64 = 44;
const BYTES_PER_SECOND: f64 = 16_000.0;

/// What an endpoint is like.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its name, the user of its URI.
    pub name: String,
    /// Its SIP address.
    pub address: SocketAddr,
    /// Its first RTP port. It sends RTP from 127.0.0.1, whatever the address of its SIP is, and so
    /// asks for it there: choose a port that no other endpoint of this machine has.
    pub rtp_port: u16,
    /// The tone that it sends, Hz.
    pub tone: u32,
    /// Whether it answers by itself.
    pub answers: bool,
}

/// A running baresip; the household ends it.
pub struct Baresip {
    name: String,
    control: TcpStream,
    heard: Arc<Mutex<Vec<Told>>>,
    records: PathBuf,
    asked: u32,
}

/// What it told: an event, or a response to a command.
#[derive(Clone, Debug)]
pub struct Told {
    /// When it was read, seconds of CLOCK_MONOTONIC.
    pub t: f64,
    /// The message.
    pub value: Value,
}

impl Told {
    /// Whether it is an event of this type, `CALL_ESTABLISHED` and the like.
    pub fn is(&self, kind: &str) -> bool {
        self.value["type"] == kind
    }
}

impl Baresip {
    /// Starts it, with its files in `dir`, and waits until it takes commands.
    pub fn start(household: &Household, dir: &Path, setup: &Setup) -> Result<Baresip, Error> {
        let home = dir.join(&setup.name);
        let records = home.join("records");
        std::fs::create_dir_all(&records)?;
        std::fs::write(home.join("config"), config(setup, &records))?;
        std::fs::write(home.join("accounts"), account(setup))?;
        let home = home.to_str().ok_or("the directory's name is no text")?;
        household.spawn(&setup.name, Path::new(PROGRAM), &["-f", home])?;
        let at = SocketAddr::new(setup.address.ip(), CONTROL_PORT);
        let until = Instant::now() + START;
        let control = loop {
            match TcpStream::connect(at) {
                Ok(control) => break control,
                Err(_) if Instant::now() < until => std::thread::sleep(LOOK),
                Err(error) => {
                    let (name, tails) = (&setup.name, household.log_tails());
                    return Err(format!("{name} takes no commands: {error}\n{tails}").into());
                }
            }
        };
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (listener, stream) = (Arc::clone(&heard), BufReader::new(control.try_clone()?));
        std::thread::spawn(move || listen(stream, &listener));
        Ok(Baresip {
            name: setup.name.clone(),
            control,
            heard,
            records,
            asked: 0,
        })
    }

    /// What it told so far.
    pub fn told(&self) -> Vec<Told> {
        let heard = self.heard.lock();
        heard.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How much that is: where a later wait begins.
    pub fn mark(&self) -> usize {
        self.told().len()
    }

    /// Waits for the first message from `from` on that is `wanted`; `what` is for the error.
    pub fn wait(
        &self,
        from: usize,
        what: &str,
        wanted: impl Fn(&Told) -> bool,
    ) -> Result<Told, Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            let told = self.told();
            let new = told.get(from..).unwrap_or_default();
            if let Some(told) = new.iter().find(|told| wanted(told)) {
                return Ok(told.clone());
            }
            if Instant::now() > until {
                let name = &self.name;
                return Err(format!("{name}: waited {PATIENCE:?} for {what}: {new:#?}").into());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for an event of a type.
    pub fn wait_event(&self, from: usize, kind: &str) -> Result<Told, Error> {
        self.wait(from, kind, |told| told.is(kind))
    }

    /// Has a command of the module `menu` done, and waits for what it says to it.
    pub fn command(&mut self, command: &str, params: &str) -> Result<String, Error> {
        self.asked += 1;
        let token = self.asked.to_string();
        let mark = self.mark();
        let text = json!({"command": command, "params": params, "token": token}).to_string();
        write!(self.control, "{}:{text},", text.len())?;
        let answer = self.wait(mark, command, |told| {
            told.value["response"] == true && told.value["token"] == *token
        })?;
        if answer.value["ok"] != true {
            return Err(format!("{}: {command}: {}", self.name, answer.value).into());
        }
        Ok(answer.value["data"].as_str().unwrap_or_default().to_owned())
    }

    /// Calls a URI and waits for the answer.
    pub fn call(&mut self, uri: &str) -> Result<(), Error> {
        let mark = self.mark();
        self.command("dial", uri)?;
        self.wait_event(mark, "CALL_ESTABLISHED")?;
        Ok(())
    }

    /// How many calls it has that are up.
    pub fn calls(&mut self) -> Result<usize, Error> {
        Ok(self
            .command("listcalls", "")?
            .matches("ESTABLISHED")
            .count())
    }

    /// What was heard in the last `seconds` of audio of its newest call, among tones of `hertz`.
    /// Its recordings hold the packets that came and no silence between them.
    pub fn heard_last(&self, hertz: &[u32], seconds: f64) -> Result<Tones, Error> {
        let entries = std::fs::read_dir(&self.records)?.flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
        files.retain(|path| path.to_string_lossy().ends_with("-dec.wav"));
        // Their names hold the time of their begin.
        let file = files.iter().max().ok_or("no recording")?;
        let bytes = std::fs::metadata(file)?.len().saturating_sub(HEADER);
        let end = bytes as f64 / BYTES_PER_SECOND;
        tones(file, hertz, end - seconds, end)
    }
}

/// Reads netstrings of JSON until the end.
fn listen(mut stream: impl BufRead, heard: &Mutex<Vec<Told>>) {
    while let Some(value) = netstring(&mut stream) {
        let told = Told { t: now(), value };
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(told);
    }
}

fn netstring(stream: &mut impl BufRead) -> Option<Value> {
    let mut length = Vec::new();
    stream.take(10).read_until(b':', &mut length).ok()?;
    let length = std::str::from_utf8(length.strip_suffix(b":")?).ok()?;
    let length: usize = length.parse().ok()?;
    let mut text = vec![0; length.min(MAX_MESSAGE) + 1];
    stream.read_exact(&mut text).ok()?;
    serde_json::from_slice(text.strip_suffix(b",")?).ok()
}

fn config(setup: &Setup, records: &Path) -> String {
    let (sip, ip) = (setup.address, setup.address.ip());
    let (first, last) = (setup.rtp_port, setup.rtp_port + PORTS - 1);
    let (name, tone, records) = (&setup.name, setup.tone, records.display());
    format!(
        "sip_listen {sip}\n\
         net_interface 127.0.0.1\n\
         rtp_ports {first}-{last}\n\
         audio_source ausine,{tone}\n\
         ausrc_srate 48000\n\
         ausrc_channels 2\n\
         audio_player aubridge,{name}\n\
         auplay_srate 8000\n\
         auplay_channels 1\n\
         audio_buffer 20-160\n\
         module_path /usr/lib/baresip/modules\n\
         module g711.so\n\
         module ausine.so\n\
         module aubridge.so\n\
         module sndfile.so\n\
         snd_path {records}\n\
         module_app account.so\n\
         module_app menu.so\n\
         module ctrl_tcp.so\n\
         ctrl_tcp_listen {ip}:{CONTROL_PORT}\n"
    )
}

fn account(setup: &Setup) -> String {
    let mode = if setup.answers { "auto" } else { "manual" };
    let (name, address) = (&setup.name, setup.address);
    format!("<sip:{name}@{address}>;regint=0;answermode={mode};audio_codecs=PCMA/8000/1\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netstrings_are_read_one_after_another() {
        let mut stream: &[u8] = b"9:{\"a\":\"b\"},2:{},3:{}x,";
        assert_eq!(netstring(&mut stream), Some(json!({"a": "b"})));
        assert_eq!(netstring(&mut stream), Some(json!({})));
        assert_eq!(netstring(&mut stream), None);
    }
}
