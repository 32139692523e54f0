//! The PJSIP endpoint itself, which the whole-system tests trust: it must not hang up by itself.

use holdline_tests::pjsip::{Endpoint, Error, Setup};
use holdline_tests::rig::Block;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// One peer of the endpoint with one dialog, no more than this test needs.
struct Peer {
    socket: UdpSocket,
    far: SocketAddr,
    call_id: &'static str,
    tag: String,
}

impl Peer {
    /// Calls the endpoint; `replaces` is the value of Replaces.
    fn call(block: &Block, call_id: &'static str, replaces: Option<&str>) -> Result<Peer, Error> {
        let socket = UdpSocket::bind((block.caller().ip(), 0))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let far = block.callee();
        let mut peer = Peer {
            socket,
            far,
            call_id,
            tag: String::new(),
        };
        let ip = block.caller().ip();
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 9000 RTP/AVP 0\r\n"
        );
        let replaces = replaces.map_or_else(String::new, |value| {
            format!("Replaces: {value}\r\nRequire: replaces\r\n")
        });
        let extra = format!("{replaces}Content-Type: application/sdp\r\n");
        peer.send("INVITE", 1, &extra, &sdp)?;
        let answer = peer.wait("SIP/2.0 200")?;
        let to = answer.lines().find(|line| line.starts_with("To:"));
        let tag = to.and_then(|to| to.split(";tag=").nth(1));
        peer.tag = tag.ok_or("no To tag")?.trim().to_owned();
        peer.send("ACK", 1, "", "")?;
        Ok(peer)
    }

    fn send(&self, method: &str, cseq: u32, extra: &str, body: &str) -> Result<(), Error> {
        let (here, far, id) = (self.socket.local_addr()?, self.far, self.call_id);
        let to_tag = match self.tag.as_str() {
            "" => String::new(),
            tag => format!(";tag={tag}"),
        };
        let length = body.len();
        let message = format!(
            "{method} sip:d@{far} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {here};branch=z9hG4bK-{id}-{method}\r\nMax-Forwards: 70\r\n\
             From: <sip:a@{here}>;tag=from-{id}\r\nTo: <sip:d@{far}>{to_tag}\r\n\
             Call-ID: {id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:a@{here}>\r\n\
             {extra}Content-Length: {length}\r\n\r\n{body}"
        );
        self.socket.send_to(message.as_bytes(), far)?;
        Ok(())
    }

    fn wait(&self, start: &str) -> Result<String, Error> {
        let mut buffer = [0; 4096];
        for _ in 0..20 {
            let length = self.socket.recv(&mut buffer)?;
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.starts_with(start) {
                return Ok(text);
            }
        }
        Err(format!("no {start}").into())
    }

    /// This dialog as the value of Replaces (RFC 3891 section 3).
    fn replaces(&self) -> String {
        let (id, tag) = (self.call_id, &self.tag);
        format!("{id};to-tag={tag};from-tag=from-{id}")
    }
}

/// PJSIP gives the number of a call that ended to a later one, here within the very poll in which
/// it ended: a replaced call is told BYE and the next replacement arrives. An object of the first
/// that was destroyed afterwards once hung up the second.
#[test]
fn a_call_that_ended_hangs_up_no_other() -> Result<(), Error> {
    let block = Block::unique()?;
    let dir =
        std::env::temp_dir().join(format!("holdline-endpoint-{}-{block}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let setup = Setup {
        name: "d".into(),
        address: block.callee(),
        rtp_port: 42_000,
        tone: 600,
        answers: true,
    };
    let mut far = Endpoint::start(&setup, &dir)?;
    // Four numbers go round: the first call has 0, this one 1, the second call 2.
    let first = Peer::call(&block, "first", None)?;
    let between = Peer::call(&block, "between", None)?;
    between.send("BYE", 2, "", "")?;
    between.wait("SIP/2.0 200")?;
    let second = Peer::call(&block, "second", None)?;
    // Replaced by 3, so that 0 is free again and is the second replacement's.
    let _moved = Peer::call(&block, "first-moved", Some(&first.replaces()))?;
    first.send("BYE", 2, "", "")?;
    let _also_moved = Peer::call(&block, "second-moved", Some(&second.replaces()))?;
    std::thread::sleep(Duration::from_millis(500));
    let mut live = far.calls()?;
    live.sort();
    assert_eq!(live, ["first-moved", "second-moved"]);
    drop(far);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
