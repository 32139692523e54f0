//! Torture messages at the real sockets, while calls run: our own, and those of RFC 4475 and
//! RFC 5118 where they are at hand.

use crate::{assert_all_kept, plan};
use holdline_corpus::others::{files, stem};
use holdline_corpus::{Answer, torture};
use holdline_tests::rig::{AGENT, Error, Moment, NODES, Rig, SIP_PORT, get, node_name};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// How long an answer to a stranger is waited for.
const NO_ANSWER: Duration = Duration::from_millis(500);
/// How long a program has to count what it was sent.
const COUNTED: Duration = Duration::from_secs(3);
/// Between two messages.
const PACE: Duration = Duration::from_millis(2);

/// Our own torture messages, and those of others.
fn messages() -> Vec<(String, Vec<u8>)> {
    let own = torture().into_iter();
    let mut messages: Vec<_> = own.map(|own| (own.name, own.bytes)).collect();
    messages.extend(messages_of_others());
    // More than anybody sends in one datagram.
    messages.push(("longest".to_owned(), vec![b'a'; 65_000]));
    messages
}

/// The torture messages of others, where they are: a name without its end, and the bytes.
pub fn messages_of_others() -> Vec<(String, Vec<u8>)> {
    let mut messages = Vec::new();
    for folder in ["rfc4475", "rfc5118/wire"] {
        let files = files(folder, "").into_iter();
        messages.extend(files.map(|(path, bytes)| (stem(&path).to_owned(), bytes)));
    }
    messages
}

/// The programs whose sockets are fed: their names, SIP and pages.
fn victims(rig: &Rig) -> [(String, SocketAddr, SocketAddr); 2] {
    let block = &rig.block;
    [
        (AGENT.to_owned(), block.agent_sip(), block.agent_http()),
        (node_name(0), block.node_sip(0), block.node_http(0)),
    ]
}

/// Sends them, `between` after each.
fn feed(
    socket: &UdpSocket,
    to: SocketAddr,
    messages: &[(String, Vec<u8>)],
    mut between: impl FnMut(),
) {
    for (name, bytes) in messages {
        socket
            .send_to(bytes, to)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        std::thread::sleep(PACE);
        between();
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
        feed(&socket, sip, messages, || {});
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

/// How many of our own messages a program answers by itself, to the port that they come from.
/// (What becomes of calls is the far end's to say.)
fn own_answers(agent: bool) -> usize {
    let own = torture().into_iter().filter(|own| {
        let answer = if agent { own.agent } else { own.node };
        let rport = own.bytes.windows(6).any(|part| part == b";rport");
        rport && matches!(answer, Answer::Status(_))
    });
    own.count()
}

/// One who may call sends them: the caller's machine to the agent, from the port that most of the
/// messages want answers at; the agent's machine to the node, which knows no other.
fn torture_by_peer(rig: &Rig, messages: &[(String, Vec<u8>)]) -> Result<(), Error> {
    for (name, sip, _) in victims(rig) {
        let is_agent = name == AGENT;
        let from = if is_agent {
            (rig.block.caller().ip(), SIP_PORT)
        } else {
            (rig.block.agent_sip().ip(), 0)
        };
        let socket = UdpSocket::bind(from)?;
        socket.set_nonblocking(true)?;
        // Retransmissions are the same bytes.
        let (mut answers, mut buffer) = (BTreeSet::new(), [0; 65_536]);
        let mut listen = || {
            while let Ok(length) = socket.recv(&mut buffer) {
                answers.insert(buffer[..length].to_vec());
            }
            answers.len()
        };
        feed(&socket, sip, messages, || {
            listen();
        });
        // As many are answered as must be: the messages were read, not lost.
        let expected = own_answers(is_agent);
        assert!(expected > 0);
        rig.wait(&format!("{name} answers {expected}"), COUNTED, || {
            Ok(listen() >= expected)
        })?;
        println!(
            "{name}: {} answers to {} messages",
            listen(),
            messages.len()
        );
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
