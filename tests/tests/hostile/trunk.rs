//! What a trunk's source may answer, over real HTTP, to agents of which one has calls: the last
//! good document stays, the reason is counted and logged, and no call hears of it.

use crate::gauge::{Metrics, assert_healthy};
use crate::{assert_unharmed, plan};
use holdline_corpus::others;
use holdline_tests::rig::{AGENT, Block, Error, Moment, Rig, SIP_PORT, binary, build, get};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const CALLS: u32 = 5;
/// How long listeners are listened to: all answers come meanwhile.
const AFTER: u64 = 30;
/// How often the agents ask. (Not oftener than 200 ms, whatever is configured.)
const POLL: &str = "200ms";
/// Agents beside the one with calls, so that the suite's files are served in parallel.
const HELPERS: u8 = 8;
/// How long the answers of one agent may take altogether.
const PATIENCE: Duration = Duration::from_secs(60);

/// One answer of the source.
#[derive(Clone)]
enum Answer {
    /// These bytes, and the end of the connection.
    Bytes(Vec<u8>),
    /// These bytes one by one, slower than anybody waits.
    Drip(Vec<u8>),
}

/// What a path answers, the last first; then again and again what it answers at the end.
type Answers = (Vec<Answer>, Option<Answer>);

/// The answers of each path.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<BTreeMap<String, Answers>>>);

impl Script {
    fn put(&self, path: &str, answers: Vec<Answer>, at_the_end: Answer) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = answers.into_iter().rev().collect();
        all.insert(path.to_owned(), (answers, Some(at_the_end)));
    }

    fn next(&self, path: &str) -> Option<Answer> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (answers, at_the_end) = all.get_mut(path)?;
        answers.pop().or_else(|| at_the_end.clone())
    }

    /// How many answers of `path` are left.
    fn left(&self, path: &str) -> usize {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(path).map_or(0, |(answers, _)| answers.len())
    }
}

/// Serves the script for as long as this program runs.
fn serve(block: &Block, script: Script) -> Result<SocketAddr, Error> {
    let listener = TcpListener::bind((block.callee().ip(), 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let script = script.clone();
            std::thread::spawn(move || drop(answer(stream, &script)));
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream, script: &Script) -> std::io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    match script.next(path) {
        Some(Answer::Bytes(bytes)) => stream.write_all(&bytes),
        Some(Answer::Drip(bytes)) => bytes.iter().try_for_each(|byte| {
            std::thread::sleep(Duration::from_millis(100));
            stream.write_all(&[*byte])
        }),
        None => Ok(()),
    }
}

/// An answer in order, but for what is in it.
fn ok(body: &[u8]) -> Vec<u8> {
    with_length(body, body.len())
}

fn with_length(body: &[u8], length: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn status(line: &str) -> Answer {
    let answer = format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    Answer::Bytes(answer.into_bytes())
}

/// Every way to get it wrong below the document, and the reason that it is counted by.
fn broken_answers(good: &[u8]) -> Vec<(&'static str, Answer)> {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let headers: String = (0..2000).map(|n| format!("X-{n}: y\r\n")).collect();
    let bytes = |text: String| Answer::Bytes(text.into_bytes());
    vec![
        ("too long", Answer::Bytes(ok(&vec![b' '; 2 << 20]))),
        (
            "too long",
            bytes(format!("{chunked}200001\r\n{}", " ".repeat(0x20_0001))),
        ),
        (
            "transport",
            Answer::Bytes(with_length(good, good.len() + 9)),
        ),
        ("invalid", Answer::Bytes(with_length(good, good.len() - 9))),
        ("invalid", Answer::Bytes(ok(b""))),
        (
            "invalid",
            Answer::Bytes(ok(b"{\"version\": \"\x1b[2J\x07\xff\"}")),
        ),
        ("transport", bytes(format!("{chunked}zz\r\n"))),
        (
            "transport",
            bytes(format!("{chunked}ffffffffffffffffff\r\n")),
        ),
        (
            "transport",
            bytes("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".into()),
        ),
        (
            "transport",
            bytes("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}".into()),
        ),
        (
            "transport",
            bytes(format!("HTTP/1.1 200 OK\r\n{headers}\r\n{{}}")),
        ),
        ("transport", bytes("\x1b[31mno HTTP\r\n\r\n".into())),
        ("transport", Answer::Bytes(Vec::new())),
        (
            "redirect",
            bytes(
                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
                    .into(),
            ),
        ),
        ("redirect", status("307 Temporary Redirect")),
        ("status", status("204 No Content")),
        ("status", status("404 Not Found")),
        ("status", status("500 Broken")),
        ("status", status("304 Not Modified")),
        ("timeout", Answer::Drip(ok(&vec![b' '; 4000]))),
    ]
}

/// A few documents of ours and, where they are at hand, the files of JSONTestSuite; none of them is
/// a trunk document.
fn suite() -> Vec<Vec<u8>> {
    let own: [&[u8]; 3] = [b"[", b"{}", b"[\"\\ud800\"]"];
    let mut files = own.map(<[u8]>::to_vec).to_vec();
    let others = others::files("json/test_parsing", ".json").into_iter();
    files.extend(others.map(|(_, bytes)| bytes));
    files
}

/// An agent beside the one with calls: its name, pages, and the path that it asks.
struct Helper {
    name: String,
    http: SocketAddr,
    path: String,
    served: usize,
}

/// Starts an agent that has nothing to do but to read its trunk's document.
fn start_helper(rig: &Rig, n: u8, path: String, served: usize) -> Result<Helper, Error> {
    let own = rig.block.agent_sip();
    let IpParts(a, b, c) = parts(own);
    let address = format!("{a}.{b}.{c}.{}", 101 + n);
    let text = std::fs::read_to_string(rig.config(AGENT))?;
    let text = text.replace(&own.ip().to_string(), &address);
    let text = text.replace("/trunk\"", &format!("{path}\""));
    let lines = text.lines().filter(|line| !line.starts_with("state_dir"));
    let text: Vec<&str> = lines.collect();
    let name = format!("helper-{n}");
    let config = rig.config(&name);
    std::fs::write(&config, text.join("\n"))?;
    let config = config.to_string_lossy();
    let program = binary("holdline-agent")?;
    rig.household()
        .spawn(&name, &program, &["--config", &config])?;
    let port = rig.block.agent_http().port();
    let http = format!("{address}:{port}").parse()?;
    Ok(Helper {
        name,
        http,
        path,
        served,
    })
}

struct IpParts(u8, u8, u8);

fn parts(address: SocketAddr) -> IpParts {
    match address.ip() {
        std::net::IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            IpParts(a, b, c)
        }
        std::net::IpAddr::V6(_) => IpParts(127, 0, 0),
    }
}

/// An agent still has the good document.
fn assert_good_document(name: &str, http: SocketAddr) -> Result<(), Error> {
    let metrics = Metrics::read(http)?;
    assert_eq!(metrics.sum("trunk_version"), 1, "{name}");
    Ok(())
}

/// Whatever came is printable in the log.
fn assert_log_is_clean(rig: &Rig, name: &str) -> Result<(), Error> {
    let log = std::fs::read(rig.dir().join(format!("{name}.log")))?;
    let odd = log.iter().find(|byte| !matches!(byte, b' '..=b'~' | b'\n'));
    assert_eq!(odd, None, "the log of {name} has an odd byte");
    let longest = log.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
    assert!(longest.unwrap_or_default() < 4096, "{longest:?}");
    Ok(())
}

/// Serves all of it and looks what the agents make of it.
fn attack(rig: &Rig, script: &Script, good: &[u8]) -> Result<(), Error> {
    let files = suite();
    let mut helpers = Vec::new();
    for n in 0..HELPERS {
        let own = files.iter().skip(n.into()).step_by(HELPERS.into());
        let mut answers = vec![Answer::Bytes(ok(good))];
        answers.extend(own.map(|file| Answer::Bytes(ok(file))));
        let (path, served) = (format!("/helper/{n}"), answers.len() - 1);
        script.put(&path, answers, Answer::Bytes(ok(good)));
        helpers.push(start_helper(rig, n, path, served)?);
    }
    let broken = broken_answers(good);
    let answers = broken.iter().map(|(_, answer)| answer.clone()).collect();
    let http = rig.block.agent_http();
    let before = Metrics::read(http)?;
    script.put("/trunk", answers, Answer::Bytes(ok(good)));
    let done = |path: &str| script.left(path) == 0;
    rig.wait("the broken answers were asked for", PATIENCE, || {
        Ok(done("/trunk") && helpers.iter().all(|helper| done(&helper.path)))
    })?;
    let failed = |m: &Metrics, reason| m.labelled("trunk_fetches_failed_total", "reason", reason);
    let mut wanted: BTreeMap<&str, u64> = BTreeMap::new();
    broken
        .iter()
        .for_each(|(reason, _)| *wanted.entry(reason).or_default() += 1);
    rig.wait("the agent counts every failure", PATIENCE, || {
        let now = Metrics::read(http)?;
        let counted = |reason| failed(&now, reason) - failed(&before, reason);
        Ok(wanted
            .iter()
            .all(|(reason, count)| counted(reason) == *count))
    })?;
    println!("the agent counted {wanted:?}");
    for helper in &helpers {
        let served = helper.served as u64;
        rig.wait("a helper counts every invalid document", PATIENCE, || {
            Ok(failed(&Metrics::read(helper.http)?, "invalid") == served)
        })?;
        assert_good_document(&helper.name, helper.http)?;
        assert_log_is_clean(rig, &helper.name)?;
    }
    println!(
        "{} broken documents refused by {HELPERS} agents",
        files.len()
    );
    assert_good_document(AGENT, http)?;
    assert_eq!(get(http, "/readyz")?.status, 200, "its nodes are gone");
    assert_log_is_clean(rig, AGENT)
}

/// Whatever a trunk's source answers, the last good document stays; every failure is counted by
/// its reason and logged in printable words; calls go on. A good document is taken at once.
// spec: X10, X12
#[test]
fn no_answer_of_a_source_harms_agent_or_calls() {
    build().unwrap();
    let block = Block::unique().unwrap();
    let script = Script::default();
    let source = serve(&block, script.clone()).unwrap();
    let node = |n| {
        format!(
            "{{\"IP\": \"{}\", \"port\": \"{SIP_PORT}\", \"status\": \"active\"}}",
            block.node_sip(n).ip()
        )
    };
    let document = |version: u32| {
        format!(
            "{{\"cloud-sip-trunk-name\": \"demo.example\", \"uri\": \"http://{source}/trunk\", \
             \"version\": {version}, \"webhook-registration\": \"http://{source}/hooks\", \
             \"instances\": [{}, {}, {}]}}",
            node(0),
            node(1),
            node(2)
        )
        .into_bytes()
    };
    let good = document(1);
    script.put("/trunk", Vec::new(), Answer::Bytes(ok(&good)));
    let original = format!("http://{}/trunk", block.node_http(0));
    let adapt = |text: String| {
        let own = format!("http://{source}/trunk\"\npoll = \"{POLL}");
        text.replace(&original, &own)
    };
    let mut rig = Rig::start_at(block, adapt).unwrap();
    let report = rig.load(&plan(CALLS, AFTER), |rig, moment| {
        match moment {
            Moment::AllUp { failed } => assert_eq!(failed, 0),
            Moment::Fault(_) => {
                attack(rig, &script, &good)?;
                script.put("/trunk", Vec::new(), Answer::Bytes(ok(&document(2))));
                let http = rig.block.agent_http();
                rig.wait("the agent takes the next document", PATIENCE, || {
                    Ok(Metrics::read(http)?.sum("trunk_version") == 2)
                })?;
            }
            Moment::Observed => assert_healthy(rig)?,
        }
        Ok(())
    });
    assert_unharmed(&report.unwrap(), CALLS as usize);
}
