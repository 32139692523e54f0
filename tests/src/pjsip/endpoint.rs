//! A PJSIP user agent.

use super::{Error, Event, Script, Tones, tones};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a recording may take to reach the moment that is asked about.
const RECORDING_PATIENCE: Duration = Duration::from_secs(5);
/// How long an endpoint may take to start.
const START: Duration = Duration::from_secs(20);
/// How long a call may take to come up, or a hold to be answered.
const SETUP: Duration = Duration::from_secs(10);
/// How late the recording's clock may be, seconds (see `tests/endpoints/README.md`).
const RECORDING_LAG: f64 = 0.1;

/// What an endpoint is like.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its name, the user of its URI.
    pub name: String,
    /// Its SIP address.
    pub address: SocketAddr,
    /// Its first RTP port.
    pub rtp_port: u16,
    /// The tone that it sends, Hz.
    pub tone: u32,
    /// Whether it answers by itself.
    pub answers: bool,
}

/// A running user agent; it ends on drop.
#[derive(Debug)]
pub struct Endpoint {
    script: Script,
}

impl Endpoint {
    /// Starts it; recordings and logs go to `dir`.
    pub fn start(setup: &Setup, dir: &Path) -> Result<Endpoint, Error> {
        let text = |value: &dyn ToString| value.to_string();
        let mut args: Vec<String> = [
            ("--name", setup.name.clone()),
            ("--bind", text(&setup.address.ip())),
            ("--port", text(&setup.address.port())),
            ("--rtp-port", text(&setup.rtp_port)),
            ("--tone", text(&setup.tone)),
            ("--codecs", "PCMU,PCMA".into()),
            ("--record-dir", dir.display().to_string()),
            (
                "--log",
                text(&dir.join(format!("{}.pjsip.log", setup.name)).display()),
            ),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
        if setup.answers {
            args.extend(["--auto-answer".into(), "--ring-ms".into(), "100".into()]);
        }
        let script = Script::start(&setup.name, "pjsip_ua.py", &args, dir)?;
        script.wait(0, START, "its start", |event| event.is("ready"))?;
        Ok(Endpoint { script })
    }

    /// The script, for its events and other commands.
    pub fn script(&mut self) -> &mut Script {
        &mut self.script
    }

    /// Calls a URI and waits for the answer; the Call-ID.
    pub fn call(&mut self, uri: &str) -> Result<String, Error> {
        let mark = self.script.mark();
        self.script.command(&format!("call {uri}"))?;
        let calling = self
            .script
            .wait(mark, SETUP, "a call placed", |event| event.is("calling"))?;
        let call = calling.text("call_id").to_owned();
        self.wait_state(mark, &call, "confirmed")?;
        Ok(call)
    }

    /// Waits until a call is in a state.
    pub fn wait_state(&self, from: usize, call: &str, state: &str) -> Result<Event, Error> {
        self.script.wait(from, SETUP, state, |event| {
            event.is("state") && event.text("call_id") == call && event.text("state") == state
        })
    }

    /// Waits for the call that somebody places to `user` here; its Call-ID.
    pub fn wait_incoming(&self, from: usize, user: &str) -> Result<String, Error> {
        let to = format!("sip:{user}@");
        let incoming = self.script.wait(from, SETUP, "a call", |event| {
            event.is("incoming") && event.text("local").contains(&to)
        })?;
        let call = incoming.text("call_id").to_owned();
        self.wait_state(from, &call, "confirmed")?;
        Ok(call)
    }

    /// The call that a Replaces has put in the place of `old`, if one has by now.
    pub fn replaced(&self, old: &str) -> Option<Event> {
        let mut events = self.script.events(0).into_iter();
        events.find(|event| event.is("replaced") && event.text("old") == old)
    }

    /// Puts a call on hold and waits for the answer.
    pub fn hold(&mut self, call: &str) -> Result<(), Error> {
        self.offer("hold", call, "sendonly")
    }

    /// Takes a call back from hold and waits for the answer.
    pub fn unhold(&mut self, call: &str) -> Result<(), Error> {
        self.offer("unhold", call, "sendrecv")
    }

    fn offer(&mut self, command: &str, call: &str, direction: &str) -> Result<(), Error> {
        let mark = self.script.mark();
        self.script.command(&format!("{command} {call}"))?;
        self.wait_direction(mark, call, direction)
    }

    /// Waits until a call's media have this direction, as this endpoint sees it.
    pub fn wait_direction(&self, from: usize, call: &str, direction: &str) -> Result<(), Error> {
        self.script.wait(from, SETUP, direction, |event| {
            event.is("media")
                && event.text("call_id") == call
                && event.text("direction") == direction
        })?;
        Ok(())
    }

    /// The direction of a call's media, as of its last change.
    pub fn direction(&self, call: &str) -> String {
        let of_call = |event: &Event| event.is("media") && event.text("call_id") == call;
        let last = self.script.events(0).into_iter().rfind(of_call);
        last.map_or_else(String::new, |event| event.text("direction").to_owned())
    }

    /// Where a call's RTP is awaited.
    pub fn local_rtp(&self, call: &str) -> Result<SocketAddr, Error> {
        let events = self.script.events(0);
        let mut of_call = events.iter().filter(|event| event.text("call_id") == call);
        let told = of_call.find_map(|event| event.text("local_rtp").parse().ok());
        told.ok_or_else(|| "that call had no media".into())
    }

    /// Hangs up and waits for the answer to our BYE.
    pub fn hangup(&mut self, call: &str) -> Result<(), Error> {
        let mark = self.script.mark();
        self.script.command(&format!("hangup {call}"))?;
        self.script.wait(mark, SETUP, "an answered BYE", |event| {
            event.is_sip("received", "BYE", Some(200)) && event.text("call_id") == call
        })?;
        Ok(())
    }

    /// Transfers the peer of `call` to the peer of `to` (REFER with Replaces), and waits until it
    /// says that it has got there.
    pub fn transfer(&mut self, call: &str, to: &str) -> Result<(), Error> {
        let mark = self.script.mark();
        self.script.command(&format!("transfer {call} {to}"))?;
        self.script
            .wait(mark, SETUP, "a finished transfer", |event| {
                event.is("transfer-status")
                    && event.text("call_id") == call
                    && event.value()["status"] == 200
            })?;
        Ok(())
    }

    /// Changes the tone that is sent.
    pub fn tone(&mut self, hertz: u32) -> Result<(), Error> {
        self.script.command(&format!("tone {hertz}"))
    }

    /// The Call-IDs of the live calls.
    pub fn calls(&mut self) -> Result<Vec<String>, Error> {
        let mark = self.script.mark();
        self.script.command("calls")?;
        let told = |event: &Event| event.is("calls");
        let event = self.script.wait(mark, SETUP, "its calls", told)?;
        let calls = event.value()["calls"].as_array().into_iter().flatten();
        let id = |call: &serde_json::Value| call["call_id"].as_str().map(str::to_owned);
        Ok(calls.filter_map(id).collect())
    }

    /// Offers that came for a call inside its dialog: re-INVITE and UPDATE.
    pub fn offers_received(&self, call: &str) -> Vec<Event> {
        let mut events = self.script.events(0);
        events.retain(|event| {
            event.text("call_id") == call
                && !event.text("to_tag").is_empty()
                && ["INVITE", "UPDATE"]
                    .iter()
                    .any(|method| event.is_sip("received", method, None))
        });
        events
    }

    /// What was heard in a call from one moment to another, looked at in tones of `hertz`. The
    /// recording of a call that replaced another has the other's Call-ID.
    pub fn heard(&self, call: &str, hertz: &[u32], from: f64, to: f64) -> Result<Tones, Error> {
        let of_call = |event: &Event| event.is("record") && event.text("call_id") == call;
        let mut events = self.script.events(0).into_iter();
        let record = events.find(of_call).ok_or("that call was not recorded")?;
        let start = record.t();
        let file = Path::new(record.text("path"));
        let (from, to) = (from - start, to - start + RECORDING_LAG);
        // PJSIP writes in pieces, on a busy machine late: the file may need a moment to get there.
        let patience = Instant::now() + RECORDING_PATIENCE;
        loop {
            match tones(file, hertz, from, to) {
                Err(_) if Instant::now() < patience => std::thread::sleep(RECORDING_PATIENCE / 50),
                heard => return heard,
            }
        }
    }
}
