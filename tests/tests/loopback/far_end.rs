//! A far end that takes every call, with nothing to install: what is answered by it, the programs
//! let through.

use holdline_tests::rig::Error;
use holdline_wire::Method;
use holdline_wire::build::{Body, Builder};
use holdline_wire::header::Name;
use holdline_wire::message::Message;
use std::fmt::Write;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where it says that it wants media; nobody reads them.
const MEDIA_PORT: u16 = 40_000;
/// How soon it notices that it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// A thread that answers 200 to whatever is asked at its address, until it is dropped.
pub struct FarEnd {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FarEnd {
    /// Starts it at `address`.
    pub fn start(address: SocketAddr) -> Result<FarEnd, Error> {
        let socket = UdpSocket::bind(address)?;
        socket.set_read_timeout(Some(LOOK))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let serve = move || {
            let mut buffer = [0; 65_536];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                if let Some(answer) = answer(&buffer[..length], from, address) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        };
        Ok(FarEnd {
            stop,
            thread: Some(std::thread::spawn(serve)),
        })
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// 200 to any request but ACK; to an INVITE with a session description.
fn answer(bytes: &[u8], from: SocketAddr, own: SocketAddr) -> Option<Vec<u8>> {
    let request = Message::parse(bytes.to_vec().into()).ok()?;
    if !request.is_request() || *request.method() == Method::Ack {
        return None;
    }
    let response = Builder::response(&request, from, 200, b"OK", Some("far-end"))
        .record_routes(&request)
        .header(Name::Contact, format_args!("<sip:{own}>"));
    let is_invite = *request.method() == Method::Invite;
    let sdp = is_invite.then(|| Body::sdp(session(&request, own).into()));
    response.finish(sdp.as_ref()).ok().map(|bytes| bytes.into())
}

/// One audio stream for the first that is offered, none for the others.
fn session(invite: &Message, own: SocketAddr) -> String {
    let ip = own.ip();
    let mut text = format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {MEDIA_PORT} RTP/AVP 8\r\n"
    );
    let offer = String::from_utf8_lossy(&invite.sdp().unwrap_or_default()).into_owned();
    let others = offer.lines().filter_map(|line| line.strip_prefix("m="));
    for other in others.skip(1) {
        let mut words = other.split(' ');
        let (kind, _, rest) = (words.next(), words.next(), words.collect::<Vec<_>>());
        let _ = write!(
            text,
            "m={} 0 {}\r\n",
            kind.unwrap_or_default(),
            rest.join(" ")
        );
    }
    text
}
