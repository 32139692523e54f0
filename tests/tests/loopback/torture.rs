//! The torture messages of RFC 4475 and RFC 5118, at the real sockets, while calls run.

use crate::{assert_all_kept, plan};
use holdline_tests::rig::{AGENT, Error, Moment, NODES, Rig, SIP_PORT, get, node_name};
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an answer to a stranger is waited for.
const NO_ANSWER: Duration = Duration::from_millis(500);
/// How long a program has to count what it was sent.
const COUNTED: Duration = Duration::from_secs(3);
/// Between two messages.
const PACE: Duration = Duration::from_millis(2);

/// A folder of the test data.
pub fn folder(name: &str) -> PathBuf {
    let root = std::env::var_os("HOLDLINE_TESTDATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testdata"),
        PathBuf::from,
    );
    root.join(name)
}

/// The messages of a folder by name; says so loudly where it is missing.
pub fn messages_of(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        let note = format!("SKIPPED: no {}; set HOLDLINE_TESTDATA\n", folder.display());
        std::io::stderr().write_all(note.as_bytes()).unwrap();
        return Vec::new();
    };
    let read = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, std::fs::read(entry.path()).unwrap())
    };
    let mut messages: Vec<_> = entries.flatten().map(read).collect();
    messages.sort();
    messages
}

/// All messages, and a few of our own.
fn messages() -> Vec<(String, Vec<u8>)> {
    let mut messages = own();
    for name in ["rfc4475", "rfc5118/wire"] {
        messages.extend(messages_of(&folder(name)));
    }
    messages.sort();
    messages
}

/// A few of our own, so that something is sent also where the others' are missing.
fn own() -> Vec<(String, Vec<u8>)> {
    let options = "OPTIONS sip:x@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nMax-Forwards: 1\r\n\
                   From: <sip:a@h>;tag=1\r\nTo: <sip:x@h>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";
    [
        ("own-options", options.as_bytes().to_vec()),
        ("own-empty", Vec::new()),
        ("own-zeros", vec![0; 1400]),
        ("own-no-end", b"INVITE sip:x@h SIP/2.0\r\nVia: ".to_vec()),
        ("own-long", vec![b'a'; 65_000]),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .to_vec()
}

/// The programs whose sockets are fed: their names, SIP and pages.
fn victims(rig: &Rig) -> [(String, SocketAddr, SocketAddr); 2] {
    let block = &rig.block;
    [
        (AGENT.to_owned(), block.agent_sip(), block.agent_http()),
        (node_name(0), block.node_sip(0), block.node_http(0)),
    ]
}

fn feed(socket: &UdpSocket, to: SocketAddr, messages: &[(String, Vec<u8>)]) {
    for (name, bytes) in messages {
        socket
            .send_to(bytes, to)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        std::thread::sleep(PACE);
    }
}

/// Whether a message is one to be counted: no answer to nothing, no keep-alive.
fn is_counted(bytes: &[u8]) -> bool {
    !bytes.starts_with(b"SIP/") && !bytes.trim_ascii().is_empty()
}

/// Messages that a program did not answer, as `/metrics` counts them.
fn ignored(http: SocketAddr) -> Result<u64, Error> {
    let text = get(http, "/metrics")?.text();
    let lines = text
        .lines()
        .filter(|line| line.starts_with("holdline_sip_ignored_total{"));
    let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    Ok(values.sum())
}

fn healthy(rig: &Rig) -> Result<(), Error> {
    rig.all_running()?;
    for (name, _, http) in victims(rig) {
        let page = get(http, "/healthz")?;
        assert_eq!(page.status, 200, "{name} is not healthy");
    }
    Ok(())
}

/// A stranger's messages get no answer, whatever they are, and are counted.
fn torture_by_stranger(rig: &Rig, messages: &[(String, Vec<u8>)]) -> Result<(), Error> {
    let socket = UdpSocket::bind((rig.block.stranger(), SIP_PORT))?;
    socket.set_read_timeout(Some(NO_ANSWER))?;
    let counted = messages.iter().filter(|(_, bytes)| is_counted(bytes));
    let counted = counted.count();
    for (name, sip, http) in victims(rig) {
        let before = ignored(http)?;
        feed(&socket, sip, messages);
        let mut buffer = [0; 65_536];
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                panic!("{name} answered a stranger from {from}: {text}");
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
        rig.wait(&format!("{name} counts what it ignored"), COUNTED, || {
            Ok(ignored(http)? - before >= counted as u64)
        })?;
        healthy(rig)?;
    }
    Ok(())
}

/// One who may call sends them: the caller's machine to the agent, from the port that most of the
/// messages want answers at; the agent's machine to the node, which knows no other.
fn torture_by_peer(rig: &Rig, messages: &[(String, Vec<u8>)]) -> Result<(), Error> {
    for (name, sip, _) in victims(rig) {
        let from = if name == AGENT {
            (rig.block.caller().ip(), SIP_PORT)
        } else {
            (rig.block.agent_sip().ip(), 0)
        };
        let socket = UdpSocket::bind(from)?;
        feed(&socket, sip, messages);
        std::thread::sleep(NO_ANSWER);
        // Something was answered: the messages were read, not lost.
        let mut buffer = [0; 65_536];
        socket.set_nonblocking(true)?;
        let answers = std::iter::from_fn(|| socket.recv(&mut buffer).ok()).count();
        println!("{name}: {answers} answers to {} messages", messages.len());
        assert!(answers > 0, "{name} read none of them");
        healthy(rig)?;
    }
    Ok(())
}

/// Every torture message goes to the agent and to a node, from somebody who may call and from a
/// stranger, while calls run: nobody falls, the calls hear nothing of it, and new ones come up.
// spec: X40
#[test]
fn torture_harms_no_running_call() {
    let messages = messages();
    let mut rig = Rig::start().unwrap();
    let mut pids = Vec::new();
    let report = rig.load(&plan(20, &[1], 8), |rig, moment| {
        match moment {
            Moment::AllUp { failed } => {
                assert_eq!(failed, 0);
                pids = (0..NODES).map(|n| rig.node_pid(n)).collect();
            }
            // No fault of a node: gaps are measured from here on.
            Moment::Fault(_) => {
                torture_by_stranger(rig, &messages)?;
                torture_by_peer(rig, &messages)?;
            }
            Moment::Observed => healthy(rig)?,
        }
        Ok(())
    });
    assert_all_kept(&report.unwrap(), 20);
    let after: Vec<_> = (0..NODES).map(|n| rig.node_pid(n)).collect();
    assert_eq!(pids, after);
    let status = rig.status().unwrap();
    assert!(status.failovers.is_empty(), "a node was held for dead");
    let again = rig.load(&plan(20, &[], 1), |_, _| Ok(())).unwrap();
    assert_all_kept(&again, 20);
}
