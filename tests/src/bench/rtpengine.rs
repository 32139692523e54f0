//! rtpengine in user space as a peer, told what to do by its ng protocol: a cookie and a
//! dictionary in bencode, over UDP.

use super::stand::Stand;
use crate::failure::Error;
use bytes::Bytes;
use holdline_wire::sdp::Sdp;
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

/// Where Debian has it.
const PROGRAM: &str = "/usr/bin/rtpengine";
/// The port of its ng protocol.
const PORT: u16 = 2223;

/// A running rtpengine.
pub struct Rtpengine {
    socket: UdpSocket,
    count: u32,
}

impl Rtpengine {
    /// The name under which a stand runs it.
    pub const NAME: &str = "rtpengine";

    /// Starts it at the stand's agent address; `None` where it is not installed.
    pub fn start(stand: &Stand) -> Result<Option<Rtpengine>, Error> {
        if !Path::new(PROGRAM).exists() {
            return Ok(None);
        }
        let ip = stand.block.agent_sip().ip();
        let (interface, control) = (
            format!("--interface={ip}"),
            format!("--listen-ng={ip}:{PORT}"),
        );
        // No kernel module, one thread as the agent's relay, and patience with silent calls.
        let arguments = [
            "--config-file=none",
            "--table=-1",
            "--foreground",
            "--log-stderr",
            "--log-level=4",
            "--num-threads=1",
            "--port-min=10000",
            "--port-max=59999",
            "--timeout=3600",
            "--silent-timeout=3600",
            "--delete-delay=0",
            &interface,
            &control,
        ];
        stand.launch(Self::NAME, Path::new(PROGRAM), &arguments)?;
        let socket = UdpSocket::bind((stand.block.caller().ip(), 0))?;
        socket.connect((ip, PORT))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        let mut engine = Rtpengine { socket, count: 0 };
        stand.wait("rtpengine answers", || {
            engine.ask(&[("command", b"ping")]).is_ok()
        })?;
        Ok(Some(engine))
    }

    /// Sets a call up between two RTP addresses; where each end is to send: the first, the second.
    pub fn call(
        &mut self,
        number: u32,
        ends: (SocketAddr, SocketAddr),
    ) -> Result<(SocketAddr, SocketAddr), Error> {
        let call_id = format!("bench-{number}");
        let (offer, answer) = (describe(ends.0), describe(ends.1));
        let to_second = self.ask(&[
            ("command", b"offer"),
            ("call-id", call_id.as_bytes()),
            ("from-tag", b"caller"),
            ("sdp", offer.as_bytes()),
        ])?;
        let to_first = self.ask(&[
            ("command", b"answer"),
            ("call-id", call_id.as_bytes()),
            ("from-tag", b"caller"),
            ("to-tag", b"callee"),
            ("sdp", answer.as_bytes()),
        ])?;
        Ok((address(&to_first)?, address(&to_second)?))
    }

    fn ask(&mut self, request: &[(&str, &[u8])]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
        self.count += 1;
        let mut datagram = format!("{} d", self.count).into_bytes();
        for (name, value) in request {
            for text in [name.as_bytes(), value] {
                datagram.extend(format!("{}:", text.len()).bytes());
                datagram.extend(text);
            }
        }
        datagram.push(b'e');
        self.socket.send(&datagram)?;
        let mut buffer = vec![0; 65_536];
        let length = self.socket.recv(&mut buffer)?;
        let answer = &buffer[..length];
        let start = answer
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or_default()
            + 1;
        let answer = texts(&answer[start..]);
        match answer.get(&b"result"[..]).map(Vec::as_slice) {
            Some(b"ok" | b"pong") => Ok(answer),
            _ => Err(format!("rtpengine refuses: {:?}", answer.get(&b"error-reason"[..])).into()),
        }
    }
}

fn describe(at: SocketAddr) -> String {
    let (ip, port) = (at.ip(), at.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}

fn address(answer: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<SocketAddr, Error> {
    let sdp = answer
        .get(&b"sdp"[..])
        .ok_or("rtpengine sends no description")?;
    let sdp = Sdp::parse(Bytes::copy_from_slice(sdp))?;
    let address = sdp.media().first().and_then(|media| media.rtp_addr());
    address.ok_or_else(|| "rtpengine names no address".into())
}

/// The texts of a dictionary in bencode up to the first value that is none.
fn texts(mut rest: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found = BTreeMap::new();
    rest = rest.strip_prefix(b"d").unwrap_or_default();
    while let Some((name, value)) = text(&mut rest).zip(text(&mut rest)) {
        found.insert(name, value);
    }
    found
}

fn text(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let colon = rest.iter().position(|byte| *byte == b':')?;
    let length: usize = std::str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
    let (text, after) = rest[colon + 1..].split_at_checked(length)?;
    *rest = after;
    Some(text.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bencode_is_read_as_far_as_it_holds_texts() {
        let found = texts(b"d3:sdp4:v=0\n6:result2:ok4:listli1eee");
        assert_eq!(found.len(), 2);
        assert_eq!(found[&b"sdp"[..]], b"v=0\n");
        assert!(texts(b"d9:short").is_empty() && texts(b"").is_empty());
    }
}
