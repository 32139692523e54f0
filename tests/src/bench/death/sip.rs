//! The SIP of one moved call, as it was on the wire.

use crate::failure::Error;
use crate::rig::{Block, Captured, nanoseconds};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// A SIP message.
struct Message {
    at: SystemTime,
    from: IpAddr,
    to: IpAddr,
    /// The method of a request, or of the CSeq.
    method: String,
    status: u16,
    call_id: String,
    /// The user of a request's URI.
    user: String,
    replaces: bool,
}

/// When what happened; none where it was not seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    /// INVITE with Replaces leaves the agent.
    pub invite: Option<SystemTime>,
    /// That of the new node to the downstream UA.
    pub downstream_invite: Option<SystemTime>,
    /// The downstream UA answers 200.
    pub downstream_answer: Option<SystemTime>,
    /// 183 of the new node.
    pub progress: Option<SystemTime>,
    /// Its 200.
    pub answer: Option<SystemTime>,
}

const FIELDS: [&str; 9] = [
    "frame.time_epoch",
    "ip.src",
    "ip.dst",
    "sip.Method",
    "sip.CSeq.method",
    "sip.Status-Code",
    "sip.Call-ID",
    "sip.r-uri.user",
    "sip.Replaces",
];

/// The filter of a capture that has what [`moments`] needs.
pub fn filter(block: &Block) -> String {
    let (agent, callee) = (block.agent_sip(), block.callee());
    format!(
        "udp and ((host {} and port {}) or (host {} and port {}))",
        agent.ip(),
        agent.port(),
        callee.ip(),
        callee.port()
    )
}

/// What the capture knows of the move of `call` after `death`.
pub fn moments(
    captured: &Captured,
    block: &Block,
    call: u32,
    death: SystemTime,
) -> Result<Moments, Error> {
    let rows = captured.fields("sip", &FIELDS)?;
    let messages: Vec<Message> = rows.iter().filter_map(|row| message(row)).collect();
    let agent = block.agent_sip().ip();
    let callee = block.callee().ip();
    let user = format!("call-{call}");
    let invite = |ends: &dyn Fn(&Message) -> bool| {
        let later = messages.iter().filter(|message| message.at >= death);
        let mut invites = later.filter(|m| m.status == 0 && m.method == "INVITE" && m.replaces);
        invites.find(|message| message.user == user && ends(message))
    };
    let answer = |to: Option<&Message>, status: u16| {
        let call_id = &to?.call_id;
        let mut answers = messages.iter().filter(|m| m.call_id == *call_id);
        let answer = answers.find(|m| m.status == status && m.method == "INVITE");
        answer.map(|message| message.at)
    };
    let upstream = invite(&|m| m.from == agent);
    let downstream = invite(&|m| m.to == callee);
    Ok(Moments {
        invite: upstream.map(|message| message.at),
        downstream_invite: downstream.map(|message| message.at),
        downstream_answer: answer(downstream, 200),
        progress: answer(upstream, 183),
        answer: answer(upstream, 200),
    })
}

fn message(row: &[String]) -> Option<Message> {
    let text = |n: usize| row.get(n).map(String::as_str).unwrap_or_default();
    let at = Duration::from_nanos(nanoseconds(text(0))?);
    let method = if text(3).is_empty() { text(4) } else { text(3) };
    Some(Message {
        at: SystemTime::UNIX_EPOCH + at,
        from: text(1).parse().ok()?,
        to: text(2).parse().ok()?,
        method: method.to_owned(),
        status: text(5).parse().unwrap_or(0),
        call_id: text(6).to_owned(),
        user: text(7).to_owned(),
        replaces: !text(8).is_empty(),
    })
}
