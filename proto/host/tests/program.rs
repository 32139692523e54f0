//! A whole program of these parts, as the agent and the node are put together: configuration,
//! logs, a core on its thread, HTTP, signals, an orderly end.

use bytes::Bytes;
use holdline_host::config::tables::Media;
use holdline_host::config::{self, Bound, Configuration, ListenAddr, Relation};
use holdline_host::drain::DrainOptions;
use holdline_host::log::{self, LogConfig};
use holdline_host::program::{Common, End, Needs, Program, Snapshot};
use holdline_host::{Metrics, Vitals, Watch, clock};
use holdline_wire::machine::{Input, Machine, Output};
use holdline_wire::token::Tokens;
use holdline_wire::{Time, transport::TransportKey};
use serde::Deserialize;
use serde_json::json;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    listen: Vec<ListenAddr>,
    http: SocketAddr,
    media: Media,
    log: LogConfig,
}

impl Configuration for Config {
    const BOUNDS: &'static [&'static [Bound]] = &[&[Bound::items("listen", 1, 4)]];
    const RELATIONS: &'static [&'static [Relation]] = &[];
}

/// Tags each message; may end when a drain is asked for and it has answered two.
struct Tagger {
    tokens: Tokens,
    answered: usize,
    draining: bool,
    outputs: VecDeque<Output<Finished>>,
}

struct Finished;

impl Machine for Tagger {
    type In = Common;
    type Out = Finished;

    fn handle(&mut self, _: Time, input: Input<Common>) {
        match input {
            Input::Message { from, .. } => {
                self.answered += 1;
                let bytes = Bytes::from(self.tokens.tag());
                self.outputs.push_back(Output::Send { to: from, bytes });
                self.outputs.push_back(Output::Other(Finished));
            }
            Input::Other(Common::Drain) => self.draining = true,
            Input::Other(_) | Input::Fault { .. } | Input::Deadline => {}
        }
    }

    fn poll_output(&mut self) -> Option<Output<Finished>> {
        self.outputs.pop_front()
    }

    fn poll_deadline(&self) -> Option<Time> {
        None
    }
}

/// What a shell does, with a core that calls on `peer` as soon as it runs.
fn run(config: &Config, peer: SocketAddr, started: &Sender<SocketAddr>) -> Result<(), End> {
    let (metrics, watch) = (Metrics::new("tagger", "0.0.1"), Watch::new());
    let drain = DrainOptions {
        grace: Duration::ZERO,
        timeout: Duration::from_secs(20),
        left: "they are forgotten",
    };
    let needs = Needs {
        sip: &config.listen,
        http: config.http,
        media: &config.media,
        calls: (2, "two"),
        asked: true,
        judges: false,
        drain,
    };
    let program = Program::bind(&metrics, &watch, needs)?;
    let mut core = Tagger {
        tokens: Tokens::new(clock::seed()?),
        answered: 0,
        draining: false,
        outputs: VecDeque::new(),
    };
    let (local, calls) = (program.sip, program.calls.clone());
    core.outputs.push_back(Output::Send {
        to: TransportKey::udp(local, peer),
        bytes: Bytes::from_static(b"hello"),
    });
    let own = move |Finished| {
        calls.answered.inc();
        None
    };
    let show = |_, core: &Tagger| Snapshot {
        vitals: Vitals::new(
            2_usize.saturating_sub(core.answered),
            (0, 4),
            (0, 0),
            core.draining,
        ),
        unready: None,
        untold: 0,
        own: json!({ "answered": core.answered }),
    };
    let running = program
        .wire(core, |common| common)?
        .run(own, show, axum::Router::new())?;
    let _ = started.send(local);
    running.until_told(Vec::new())
}

/// A file of the program whose pages are at `http`.
fn configured(http: SocketAddr) -> Config {
    let text = format!(
        "listen = [\"udp:${{ADDRESS}}:0\"]\nhttp = \"{http}\"\n[media]\naddress = \"127.0.0.1\"\n\
         ports = \"31000-31007\"\n[log]\nlevel = \"warn\"\n"
    );
    let environment = |name: &str| (name == "ADDRESS").then(|| "127.0.0.1".to_owned());
    config::parse(Path::new("tagger.toml"), &text, &environment).unwrap()
}

fn udp() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let patience = Duration::from_secs(10);
    socket.set_read_timeout(Some(patience)).unwrap();
    socket
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Pages come from snapshots, which follow the core within a moment.
fn until(address: SocketAddr, path: &str, part: &str) {
    for _ in 0..100 {
        if get(address, path).contains(part) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{path} never says {part}: {}", get(address, path));
}

#[test]
fn a_program_serves_drains_and_ends() {
    // A port that is free, at an address that nobody else uses: the file cannot leave it to the kernel,
    // or nobody would know it.
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    let own = SocketAddr::from(([127, 88, high, low.max(1)], 0));
    let free = TcpListener::bind(own).unwrap();
    let http = free.local_addr().unwrap();
    drop(free);
    let config = configured(http);
    let metrics = Metrics::new("test", "0");
    let _log = log::start(&config.log, &metrics, &Watch::new()).unwrap();
    let (sender, started) = mpsc::channel();
    let peer = udp();
    let address = peer.local_addr().unwrap();
    let program = std::thread::spawn(move || run(&config, address, &sender).unwrap());
    let sip = started.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(peer.recv(&mut [0; 100]).unwrap(), b"hello".len());

    let ask = || {
        peer.send_to(b"tag?", sip).unwrap();
        peer.recv(&mut [0; 100]).unwrap()
    };
    assert_eq!(ask(), 24);
    until(http, "/status", "\"answered\":1");
    until(http, "/readyz", "200 OK");
    let metrics = get(http, "/metrics");
    for line in [
        "holdline_sip_datagrams_received_total 1\n",
        "holdline_calls_answered_total 1\n",
        "holdline_calls_capacity 2\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }

    let own = std::process::id().to_string();
    let told = Command::new("kill").args(["-TERM", &own]).status();
    assert!(told.unwrap().success());
    until(http, "/readyz", "503");
    until(http, "/healthz", "200 OK");
    assert_eq!(ask(), 24);
    assert!(program.join().is_ok(), "it ended in order");
}

/// Its core would call on the peer at once, as the other test shows: of a start that fails nobody hears.
#[test]
fn a_program_whose_pages_have_no_address_does_not_start() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = configured(other.local_addr().unwrap());
    let (peer, (sender, started)) = (udp(), mpsc::channel());
    let refused = run(&config, peer.local_addr().unwrap(), &sender);
    let Err(End::Failed(error)) = refused else {
        panic!("it ran");
    };
    let told = format!("cannot listen on http {}", config.http);
    assert!(error.to_string().starts_with(&told), "{error}");
    peer.set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    assert!(peer.recv(&mut [0; 100]).is_err(), "it was called on");
    assert!(started.try_recv().is_err());
}
