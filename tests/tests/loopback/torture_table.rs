//! What the agent and a node answer to each torture message of RFC 4475 and RFC 5118, beside what
//! the RFC asks: the table in `docs/dev/conformance.md`, made by
//! `UPDATE=1 cargo test --profile checked -p holdline-tests --test loopback torture_table`.

use crate::far_end::FarEnd;
use crate::torture::messages_of_others;
use holdline_tests::rig::{Block, Error, Rig, SIP_PORT, build, node_name};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

const DOCUMENT: &str = "docs/dev/conformance.md";
const HEADING: &str = "## Torture messages\n";
/// How long answers are awaited: a call to the far end and back, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long is listened for answers that are not to come, after all others were there.
const QUIET: Duration = Duration::from_millis(500);
/// Each message comes from an address of its own: the last octet of the first.
const FIRST_SOURCE: u8 = 40;

/// What an RFC asks of an element that gets a message.
enum Asks {
    /// To understand it: any answer but that the message is bad.
    Accept,
    /// One of these answers.
    Status(&'static [u16]),
    /// To refuse it as bad, or to understand it all the same.
    Either,
    /// Silence: it is a response to nothing.
    Silence,
    /// Nothing but to survive.
    Nothing,
}

use Asks::{Accept, Either, Nothing, Silence, Status};

/// A message, what its RFC asks in words and as a rule, and a remark of ours.
struct Row(&'static str, &'static str, Asks, &'static str);

const NO_REGISTRAR: &str = "no registrar";

/// RFC 4475 in the order of its sections.
const RFC_4475: [Row; 50] = [
    Row(
        "wsinv",
        "accept",
        Accept,
        "its To has a tag: a re-INVITE of no call",
    ),
    Row("intmeth", "accept; the method is unknown", Accept, ""),
    Row("esc01", "accept", Accept, ""),
    Row("escnull", "accept", Accept, NO_REGISTRAR),
    Row(
        "esc02",
        "accept; the method is unknown and not REGISTER",
        Accept,
        "",
    ),
    Row("lwsdisp", "accept", Accept, ""),
    Row("longreq", "accept", Accept, ""),
    Row(
        "dblreq",
        "accept; ignore what follows",
        Accept,
        NO_REGISTRAR,
    ),
    Row("semiuri", "accept", Accept, ""),
    Row("transports", "accept", Accept, ""),
    Row("mpart01", "accept", Accept, ""),
    Row("unreason", "a response to nothing: drop", Silence, ""),
    Row("noreason", "a response to nothing: drop", Silence, ""),
    Row("badinv01", "400", Status(&[400]), ""),
    Row("clerr", "400", Status(&[400]), ""),
    Row("ncl", "400", Status(&[400]), ""),
    Row("scalar02", "400", Status(&[400]), ""),
    Row("scalarlg", "a bad response: drop", Silence, ""),
    Row("quotbal", "400", Status(&[400]), ""),
    Row("ltgtruri", "400", Status(&[400]), ""),
    Row("lwsruri", "400", Status(&[400]), ""),
    Row("lwsstart", "400, or repair", Either, ""),
    Row("trws", "400, or repair", Either, ""),
    Row("escruri", "400, or leave the headers out", Either, ""),
    Row("baddate", "400, or ignore the date", Either, ""),
    Row(
        "regbadct",
        "400",
        Status(&[400]),
        "differs: no registrar, so nobody reads its Contact",
    ),
    Row("badaspec", "400, or repair", Either, ""),
    Row("baddn", "400, or repair", Either, ""),
    Row("badvers", "505", Status(&[505]), ""),
    Row("mismatch01", "400", Status(&[400]), ""),
    Row("mismatch02", "400 or 501", Status(&[400, 501]), ""),
    Row("bigcode", "a bad response: drop", Silence, ""),
    Row("badbranch", "400, or accept without the branch", Either, ""),
    Row(
        "insuf",
        "to survive, ideally 400",
        Status(&[0, 400]),
        "no Call-ID, To, From: nothing to answer with",
    ),
    Row("unkscm", "416", Status(&[416]), ""),
    Row("novelsc", "416", Status(&[416]), ""),
    Row(
        "unksm2",
        "accept, or refuse the scheme in To",
        Either,
        NO_REGISTRAR,
    ),
    Row("bext01", "420", Status(&[420]), ""),
    Row(
        "invut",
        "415",
        Status(&[415]),
        "differs: bodies pass a B2BUA, the far end answers",
    ),
    Row(
        "regaut01",
        "accept, as without credentials",
        Accept,
        NO_REGISTRAR,
    ),
    Row("multi01", "400", Status(&[400]), ""),
    Row("mcl01", "400", Status(&[400]), ""),
    Row("bcast", "a response to nothing: drop", Silence, ""),
    Row(
        "zeromf",
        "483, or answer as the last one",
        Status(&[483, 200, 404]),
        "",
    ),
    Row("cparam01", "accept", Accept, NO_REGISTRAR),
    Row("cparam02", "accept", Accept, NO_REGISTRAR),
    Row("regescrt", "accept", Accept, NO_REGISTRAR),
    Row(
        "sdp01",
        "406",
        Status(&[406]),
        "differs: Accept passes a B2BUA, the far end answers",
    ),
    Row(
        "inv2543",
        "accept, for the sake of RFC 2543",
        Either,
        "no Contact: no dialog can come of it",
    ),
    Row("test", "not in the RFC", Nothing, ""),
];

/// RFC 5118 in the order of its sections.
const RFC_5118: [Row; 12] = [
    Row("ipv6-good", "accept", Accept, NO_REGISTRAR),
    Row("ipv6-bad", "400", Status(&[400]), ""),
    Row("port-ambiguous", "accept", Accept, NO_REGISTRAR),
    Row("port-unambiguous", "accept", Accept, NO_REGISTRAR),
    Row(
        "via-received-param-with-delim",
        "accept; a BYE of no call",
        Accept,
        "",
    ),
    Row("via-received-param-no-delim", "accept", Accept, ""),
    Row("ipv6-in-sdp", "accept", Accept, ""),
    Row("mult-ip-in-header", "accept; a BYE of no call", Accept, ""),
    Row("mult-ip-in-sdp", "accept", Accept, ""),
    Row("ipv4-mapped-ipv6", "accept", Accept, ""),
    Row("ipv6-bug-abnf-3-colons", "400, or repair", Either, ""),
    Row("ipv6-correct-abnf-2-colons", "accept", Accept, ""),
];

impl Asks {
    /// Whether an answer is what is asked; none is 0.
    fn allow(&self, answer: u16) -> bool {
        match self {
            Accept => answer != 0 && answer != 400,
            Status(statuses) => statuses.contains(&answer),
            Either => answer != 0,
            Silence => answer == 0,
            Nothing => true,
        }
    }
}

/// Who sends one message: all sockets that an answer to it may go to.
struct Source(Vec<UdpSocket>);

impl Source {
    /// From `ip`. Answers go to the port in Via, 5060 where there is none: every number in the
    /// message that may be that port gets a socket.
    fn open(ip: IpAddr, message: &[u8]) -> Result<Source, Error> {
        let text = String::from_utf8_lossy(message);
        let numbers = text.split(':').skip(1).filter_map(|rest| {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok().filter(|port: &u16| *port > 1024)
        });
        let mut ports: Vec<u16> = numbers.chain([SIP_PORT]).collect();
        ports.sort_unstable();
        ports.dedup();
        // The message leaves from the standard port.
        ports.sort_by_key(|port| *port != SIP_PORT);
        let mut sockets = Vec::new();
        for port in ports {
            let socket = UdpSocket::bind((ip, port))?;
            socket.set_nonblocking(true)?;
            sockets.push(socket);
        }
        Ok(Source(sockets))
    }

    /// The final answer of `victim`, if it is there.
    fn answer(&self, victim: SocketAddr) -> Option<u16> {
        let mut buffer = [0; 65_536];
        for socket in &self.0 {
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let status = buffer[..length].strip_prefix(b"SIP/2.0 ");
                let status = status.and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok());
                let status = status.and_then(|digits| digits.parse().ok());
                if from == victim && status >= Some(200) {
                    return status;
                }
            }
        }
        None
    }
}

/// Sends every message to `victim`; what it answered, by the message's name. Those that are
/// `awaited` have time; the others are over soon after them.
pub fn answers(
    rig: &Rig,
    victim: SocketAddr,
    messages: &[(String, Vec<u8>)],
    awaited: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, u16>, Error> {
    let IpAddr::V4(caller) = rig.block.caller().ip() else {
        return Err("no IPv4 address".into());
    };
    let [a, b, c, _] = caller.octets();
    let mut waiting = Vec::new();
    for (last, (name, bytes)) in (FIRST_SOURCE..=u8::MAX).zip(messages) {
        let source = Source::open(Ipv4Addr::new(a, b, c, last).into(), bytes)?;
        source.0[0].send_to(&unlike(bytes, last), victim)?;
        waiting.push((name, source));
    }
    assert_eq!(waiting.len(), messages.len(), "an address for each message");
    let mut answers = BTreeMap::new();
    let mut until = Instant::now() + PATIENCE;
    let mut all_there = false;
    while !waiting.is_empty() && Instant::now() < until {
        waiting.retain(|(name, source)| match source.answer(victim) {
            Some(status) => {
                answers.insert((*name).clone(), status);
                false
            }
            None => true,
        });
        if !all_there && !waiting.iter().any(|(name, _)| awaited(name)) {
            all_there = true;
            until = Instant::now() + QUIET;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(answers)
}

/// The message with a branch of its own, where it has more than the magic cookie: many of them
/// share one, and would count as one another's retransmission.
fn unlike(message: &[u8], number: u8) -> Vec<u8> {
    let cookie = b"branch=z9hG4bK";
    let at = message
        .windows(cookie.len())
        .position(|bytes| bytes == cookie);
    let at = at.map(|at| at + cookie.len());
    let mut bytes = message.to_vec();
    if let Some(at) = at.filter(|&at| message.get(at).is_some_and(u8::is_ascii_alphanumeric)) {
        let number = number.to_string();
        bytes.splice(at..at, number.into_bytes());
    }
    bytes
}

/// A rig whose agent takes calls from all 256 addresses of the block.
pub fn open_rig() -> Result<Rig, Error> {
    build()?;
    let block = Block::unique()?;
    let (half, whole) = (block.allow(), whole(&block));
    Rig::start_at(block, |text| {
        assert!(text.contains(&half), "{text}");
        text.replace(&half, &whole)
    })
}

/// All addresses of the block.
fn whole(block: &Block) -> String {
    format!("{}/24", block.caller().ip())
}

/// Has node 1 take calls from everybody in the block, as it takes them from the agent.
pub fn open_node(rig: &mut Rig) -> Result<(), Error> {
    let path = rig.config(&node_name(0));
    let text = std::fs::read_to_string(&path)?;
    let only = format!("allow = [\"{}/32\"]", rig.block.agent_sip().ip());
    assert!(text.contains(&only), "{text}");
    let all = format!("allow = [\"{}\"]", whole(&rig.block));
    std::fs::write(&path, text.replace(&only, &all))?;
    rig.kill_node(0)?;
    rig.start_node(0)?;
    rig.wait("the node is there again", PATIENCE, || {
        let page = holdline_tests::rig::get(rig.block.node_http(0), "/readyz");
        Ok(page.is_ok_and(|page| page.status == 200))
    })
}

/// The section of the document, and the rows that are not as asked and do not say so.
fn section(agent: &BTreeMap<String, u16>, node: &BTreeMap<String, u16>) -> (String, Vec<String>) {
    let mut text = format!(
        "{HEADING}\n\
         What the agent and a node answer to a stranger who may call, and what the RFC asks. \"No answer\" is what a\n\
         response to no request gets. Registrations get 405 as there is no registrar. Made by `UPDATE=1 cargo test --profile checked -p holdline-tests --test loopback \
         torture_table`\n\
         and checked by `make test` where these messages are at hand. Our own have such a table in `tests/corpus/torture.toml`.\n"
    );
    let mut bad = Vec::new();
    for (rfc, rows) in [("RFC 4475", &RFC_4475[..]), ("RFC 5118", &RFC_5118[..])] {
        let _ = write!(
            text,
            "\n| {rfc} | what it asks | agent | node | remark |\n| --- | --- | --- | --- | --- |\n"
        );
        for Row(name, words, asks, remark) in rows {
            let status =
                |answers: &BTreeMap<String, u16>| answers.get(*name).copied().unwrap_or_default();
            let (agent, node) = (status(agent), status(node));
            let as_asked = asks.allow(agent) && asks.allow(node);
            if as_asked == remark.starts_with("differs: ") {
                bad.push(format!("{name}: agent {agent}, node {node}, {words}"));
            }
            let said = |status: u16| match status {
                0 => "no answer".to_owned(),
                status => status.to_string(),
            };
            let (agent, node) = (said(agent), said(node));
            let _ = writeln!(text, "| {name} | {words} | {agent} | {node} | {remark} |");
        }
    }
    (text, bad)
}

/// The document with that section in the place of the old one, or at its end.
fn renewed(document: &str, section: &str) -> String {
    let begin = document.find(HEADING).unwrap_or(document.len());
    let rest = &document[begin..];
    let end = rest[1.min(rest.len())..]
        .find("\n## ")
        .map(|end| begin + end + 2);
    let (before, after) = (
        document[..begin].trim_end(),
        end.map(|end| &document[end..]),
    );
    let after = after.map(|after| format!("\n{after}")).unwrap_or_default();
    format!("{before}\n\n{section}{after}")
}

/// The table is what the programs answer, and every row that differs from what the RFC asks says
/// why.
#[test]
fn torture_table_is_what_is_answered() -> Result<(), Error> {
    let messages = messages_of_others();
    if messages.len() < RFC_4475.len() + RFC_5118.len() {
        return Ok(());
    }
    let mut rig = open_rig()?;
    let _far = FarEnd::start(rig.block.callee())?;
    let awaited = |name: &str| {
        let mut rows = RFC_4475.iter().chain(&RFC_5118);
        rows.any(|row| row.0 == name && !row.2.allow(0))
    };
    let agent = answers(&rig, rig.block.agent_sip(), &messages, awaited)?;
    open_node(&mut rig)?;
    let node = answers(&rig, rig.block.node_sip(0), &messages, awaited)?;
    rig.all_running()?;

    let (section, bad) = section(&agent, &node);
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(DOCUMENT);
    let document = std::fs::read_to_string(&path)?;
    let renewed = renewed(&document, &section);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &renewed)?;
    } else {
        assert!(
            document == renewed,
            "{DOCUMENT} is out of date: UPDATE=1 and look at what changed:\n{section}"
        );
    }
    assert!(
        bad.is_empty(),
        "not as the RFC asks, or so and called different: {bad:#?}"
    );
    Ok(())
}
