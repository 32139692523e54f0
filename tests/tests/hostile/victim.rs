//! A live dialog as its attacker knows it: every identifier, and an address that is let in.

use crate::tap::Seen;
use bytes::Bytes;
use holdline_tests::rig::{Error, NODES, Rig};
use holdline_wire::Message;
use holdline_wire::header::Name;
use holdline_wire::record::DialogRecord;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// How long a node may take to say whether a dialog is its own.
const PATIENCE: Duration = Duration::from_secs(2);

/// One leg of a call that is up, from the side of the peer whom the attacker speaks for.
#[derive(Clone, Debug)]
pub struct Victim {
    /// Where in the system, for reports.
    pub leg: &'static str,
    /// The attacked socket.
    pub to: SocketAddr,
    /// The source that is let in there.
    pub from: IpAddr,
    pub call_id: String,
    /// The values with their tags.
    pub from_value: String,
    pub to_value: String,
    /// The peer's Contact URI, where it is known.
    pub contact: Option<String>,
    /// The number of the peer's last request; an equal one is still in order.
    pub cseq: u32,
    /// The peer's session description, where it is known.
    pub sdp: Option<Bytes>,
}

/// The number of a call, from the user part that caller and callee give it.
fn number(text: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(text);
    let (_, rest) = text.split_once("call-")?;
    let end = rest.find(|c: char| !c.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

/// One leg of each call: the agent's two, the node's two, in turns.
pub fn victims(rig: &Rig, seen: &[Seen]) -> Result<Vec<Victim>, Error> {
    let mut victims = Vec::new();
    for seen in seen {
        let call = number(seen.invite.header(Name::From).unwrap_or_default());
        if call.is_some_and(|call| call % 4 == 0) {
            victims.push(agent_near(rig, seen));
        }
    }
    for record in records(rig)? {
        let call = number(&record.local).or_else(|| number(&record.remote));
        match call.ok_or("a record without a call number")? % 4 {
            1 => victims.push(agent_far(rig, &record)),
            2 => victims.push(node_near(rig, &record)?),
            3 => victims.push(node_far(rig, &record)?),
            _ => {}
        }
    }
    Ok(victims)
}

/// What the nodes keep of every call.
fn records(rig: &Rig) -> Result<Vec<DialogRecord>, Error> {
    let store = rusqlite::Connection::open(rig.dir().join("dialogs.db"))?;
    let mut rows = store.prepare("SELECT record FROM dialogs WHERE fate = 0")?;
    let rows = rows.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    rows.map(|bytes| Ok(DialogRecord::decode(&bytes?)?))
        .collect()
}

/// The calling server towards the agent.
fn agent_near(rig: &Rig, seen: &Seen) -> Victim {
    let value = |message: &Message, name| message.text(name).unwrap_or_default();
    Victim {
        leg: "agent, near",
        to: rig.block.agent_sip(),
        from: rig.block.caller().ip(),
        call_id: seen.invite.call_id().to_owned(),
        from_value: value(&seen.invite, Name::From),
        to_value: value(&seen.answer, Name::To),
        contact: seen.invite.contact().map(|contact| contact.uri.to_owned()),
        cseq: seen.invite.cseq().number,
        sdp: seen.invite.sdp(),
    }
}

fn victim(leg: &'static str, call_id: &str, from: (&str, &str), to: (&str, &str)) -> Victim {
    Victim {
        leg,
        to: SocketAddr::from(([127, 0, 0, 1], 9)),
        from: IpAddr::from([127, 0, 0, 1]),
        call_id: call_id.to_owned(),
        from_value: format!("{};tag={}", from.0, from.1),
        to_value: format!("{};tag={}", to.0, to.1),
        contact: None,
        cseq: 1,
        sdp: None,
    }
}

/// A node towards the agent. (Only its address is a node's: another port is just somebody who may
/// call.)
fn agent_far(rig: &Rig, record: &DialogRecord) -> Victim {
    let id = &record.upstream;
    let party = ("<sip:node@cluster>", "<sip:agent@cluster>");
    let ends = ((party.0, &*id.local_tag), (party.1, &*id.remote_tag));
    Victim {
        to: rig.block.agent_sip(),
        from: rig.block.node_sip(0).ip(),
        ..victim("agent, far", &id.call_id, ends.0, ends.1)
    }
}

/// The agent towards its node.
fn node_near(rig: &Rig, record: &DialogRecord) -> Result<Victim, Error> {
    let id = &record.upstream;
    let party = ("<sip:agent@cluster>", "<sip:node@cluster>");
    let ends = ((party.0, &*id.remote_tag), (party.1, &*id.local_tag));
    let victim = Victim {
        from: rig.block.agent_sip().ip(),
        ..victim("node, near", &id.call_id, ends.0, ends.1)
    };
    at_its_node(rig, victim)
}

/// The downstream UA towards the node.
fn node_far(rig: &Rig, record: &DialogRecord) -> Result<Victim, Error> {
    let id = &record.downstream;
    let texts = [&record.remote, &record.local].map(|text| String::from_utf8_lossy(text));
    let ends = ((&*texts[0], &*id.remote_tag), (&*texts[1], &*id.local_tag));
    let victim = Victim {
        from: rig.block.callee().ip(),
        ..victim("node, far", &id.call_id, ends.0, ends.1)
    };
    at_its_node(rig, victim)
}

/// Asks every node whether the dialog is there: the others say 481, or nothing.
fn at_its_node(rig: &Rig, victim: Victim) -> Result<Victim, Error> {
    let socket = UdpSocket::bind((victim.from, 0))?;
    let via = socket.local_addr()?;
    for n in 0..NODES {
        let to = rig.block.node_sip(n);
        let asked = Victim {
            to,
            ..victim.clone()
        };
        let probe = format!(
            "MESSAGE sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bKwhose{n};rport\r\n\
             Max-Forwards: 9\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} MESSAGE\r\n\
             Content-Length: 0\r\n\r\n",
            asked.from_value, asked.to_value, asked.call_id, asked.cseq
        );
        socket.send_to(probe.as_bytes(), to)?;
    }
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 65_536];
    loop {
        let (length, to) = socket.recv_from(&mut buffer)?;
        let answer = Message::parse(Bytes::copy_from_slice(&buffer[..length]))?;
        if answer.status() == 200 {
            return Ok(Victim { to, ..victim });
        }
    }
}
