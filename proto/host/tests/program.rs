//! A whole program of these parts, as the agent and the node are put together: configuration,
//! logs, a core on its thread, HTTP, signals, an orderly end.

use bytes::Bytes;
use holdline_host::config::{self, Bound, Configuration, ListenAddr, Relation};
use holdline_host::http::{self, Pages};
use holdline_host::log::{self, LogConfig};
use holdline_host::metrics::ReceiveDrops;
use holdline_host::signals::{self, Signal};
use holdline_host::{Clock, Driver, Machinery, Metrics, Published, SipSockets, Watch, clock};
use holdline_wire::Time;
use holdline_wire::machine::{Input, Machine, Output};
use holdline_wire::token::Tokens;
use serde::Deserialize;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    listen: Vec<ListenAddr>,
    http: SocketAddr,
    log: LogConfig,
}

impl Configuration for Config {
    const BOUNDS: &'static [&'static [Bound]] = &[&[Bound::items("listen", 1, 4)]];
    const RELATIONS: &'static [&'static [Relation]] = &[];
}

/// Tags each message; ends when a drain is asked for and it has answered two.
struct Tagger {
    tokens: Tokens,
    answered: u32,
    draining: bool,
    outputs: VecDeque<Output<Finished>>,
}

struct Drain;
struct Finished;

impl Machine for Tagger {
    type In = Drain;
    type Out = Finished;

    fn handle(&mut self, _: Time, input: Input<Drain>) {
        match input {
            Input::Message { from, .. } => {
                self.answered += 1;
                let bytes = Bytes::from(self.tokens.tag());
                self.outputs.push_back(Output::Send { to: from, bytes });
            }
            Input::Other(Drain) => self.draining = true,
            Input::Fault { .. } | Input::Deadline => {}
        }
        if self.draining && self.answered >= 2 {
            self.outputs.push_back(Output::Other(Finished));
        }
    }

    fn poll_output(&mut self) -> Option<Output<Finished>> {
        self.outputs.pop_front()
    }

    fn poll_deadline(&self) -> Option<Time> {
        None
    }
}

#[derive(Default)]
struct Status {
    answered: u32,
    draining: bool,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a `main.rs` does between the command line and its exit code.
fn run(config: &Config, started: &Sender<(SocketAddr, SocketAddr)>) -> Result<bool, Failure> {
    let metrics = Metrics::new("tagger", "0.0.1");
    let watch = Watch::new();
    let _log = log::start(&config.log, &metrics, &watch)?;
    let clock = Clock::start();
    // Sockets first: what is in use is told before anything runs.
    let sockets = SipSockets::bind(&config.listen, Default::default())?;
    let listener = http::bind(config.http)?;
    started.send((sockets.local_addrs()[0], listener.local_addr()?))?;
    metrics.register(ReceiveDrops::new(sockets.inodes()));

    let tokens = Tokens::new(clock::seed()?);
    let core = Tagger {
        tokens,
        answered: 0,
        draining: false,
        outputs: VecDeque::new(),
    };
    let machinery = Machinery::start_under(&watch)?;
    let status = Published::new(Status::default());
    let finished = Arc::new(tokio::sync::Notify::new());
    let (publish, finish) = (status.clone(), Arc::clone(&finished));
    let handle = Driver::new(core, sockets, clock, Default::default(), &metrics)?
        .on_output(move |_, Finished| finish.notify_one())
        .on_snapshot(move |_, core: &Tagger| {
            publish.publish(Status {
                answered: core.answered,
                draining: core.draining,
            });
        })
        .spawn_under(&watch, "tagger-core")?;

    let ready = status.clone();
    let pages = Pages::new(
        metrics,
        move || {
            if ready.read().draining {
                Err("draining".into())
            } else {
                Ok(())
            }
        },
        move || Bytes::from(format!("{{\"answered\":{}}}", status.read().answered)),
    );
    http::serve(
        &machinery.tasks(),
        listener,
        pages.watched_by(&watch).router(axum::Router::new()),
    )?;
    let (inbox, force) = (handle.inbox(), Arc::clone(&finished));
    signals::listen(&machinery.tasks(), move |signal| match signal {
        Signal::Drain => drop(inbox.try_send(Drain)),
        Signal::Force => force.notify_one(),
        Signal::Reload => {}
    })?;

    let failed = watch.failed();
    machinery.block_on(async {
        tokio::select! {
            () = finished.notified() => {}
            () = failed.cancelled() => {}
        }
    });
    watch.ending();
    let clean = handle.stop().is_ok();
    Ok(machinery.end(Duration::from_secs(5)) && clean)
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
    let text = "listen = [\"udp:${ADDRESS}:0\"]\nhttp = \"127.0.0.1:0\"\n[log]\nlevel = \"warn\"\n";
    let environment = |name: &str| (name == "ADDRESS").then(|| "127.0.0.1".to_owned());
    let config: Config = config::parse(Path::new("tagger.toml"), text, &environment).unwrap();
    let (sender, started) = mpsc::channel();
    let program = std::thread::spawn(move || run(&config, &sender));
    let (sip, http) = started.recv_timeout(Duration::from_secs(10)).unwrap();

    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let ask = || {
        peer.send_to(b"tag?", sip).unwrap();
        peer.recv(&mut [0; 100]).unwrap()
    };
    assert_eq!(ask(), 24);
    until(http, "/status", "\"answered\":1");
    until(http, "/readyz", "200 OK");
    let metrics = get(http, "/metrics");
    assert!(
        metrics.contains("holdline_sip_datagrams_received_total 1\n"),
        "{metrics}"
    );

    let own = std::process::id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &own])
            .status()
            .unwrap()
            .success()
    );
    until(http, "/readyz", "503");
    until(http, "/healthz", "200 OK");
    assert_eq!(ask(), 24);
    assert!(program.join().unwrap().unwrap(), "it ended in order");
}
