//! Many nodes that do nothing but answer OPTIONS, and the trunk document that names them.

use crate::failure::Error;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the threads look whether they are still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// The nodes; they vanish on drop.
pub struct Responder {
    answered: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Responder {
    /// Starts `count` of them, at the port of `first` and those after it; pages at `http`.
    pub fn start(first: SocketAddr, count: u16, http: SocketAddr) -> Result<Responder, Error> {
        let at = |n| SocketAddr::new(first.ip(), first.port() + n);
        let nodes: Vec<SocketAddr> = (0..count).map(at).collect();
        let poll = Poll::new()?;
        let mut sockets = Vec::new();
        for (n, at) in nodes.iter().enumerate() {
            let mut socket = UdpSocket::bind(*at)?;
            poll.registry()
                .register(&mut socket, Token(n), Interest::READABLE)?;
            sockets.push(socket);
        }
        let (answered, over) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let document = document(&nodes, http);
        let listener = TcpListener::bind(http)?;
        listener.set_nonblocking(true)?;
        let told = [over.clone(), over.clone()];
        let [answering, serving] = told;
        let count = answered.clone();
        let threads = vec![
            std::thread::spawn(move || answer(poll, &sockets, &count, &answering)),
            std::thread::spawn(move || serve(&listener, &document, &serving)),
        ];
        Ok(Responder {
            answered,
            over,
            threads,
        })
    }

    /// OPTIONS answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn document(nodes: &[SocketAddr], http: SocketAddr) -> String {
    let instance = |at: &SocketAddr| {
        format!(
            r#"{{"IP":"{}","port":"{}","status":"active"}}"#,
            at.ip(),
            at.port()
        )
    };
    let instances: Vec<String> = nodes.iter().map(instance).collect();
    format!(
        r#"{{"cloud-sip-trunk-name":"bench.example","uri":"http://{http}/trunk","version":1,
        "webhook-registration":"http://{http}/hook","instances":[{}]}}"#,
        instances.join(",")
    )
}

fn answer(mut poll: Poll, sockets: &[UdpSocket], answered: &AtomicU64, over: &AtomicBool) {
    let mut events = Events::with_capacity(256);
    let mut buffer = vec![0; 65_536];
    while !over.load(Ordering::Relaxed) {
        match poll.poll(&mut events, Some(LOOK)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
            _ => {}
        }
        for event in &events {
            let socket = &sockets[event.token().0];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if let Some(response) = response(&buffer[..length]) {
                    let _ = socket.send_to(response.as_bytes(), from);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// 200 to OPTIONS: what a response must repeat (RFC 3261 section 8.2.6), line by line.
fn response(request: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(request).ok()?;
    text.strip_prefix("OPTIONS ")?;
    let mut response = "SIP/2.0 200 OK\r\n".to_owned();
    for line in text.split("\r\n").skip(1) {
        let name = line.split(':').next().unwrap_or_default();
        let repeated = ["Via", "From", "To", "Call-ID", "CSeq"];
        if !repeated
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
        {
            continue;
        }
        response += line;
        if name.eq_ignore_ascii_case("To") {
            response += ";tag=responder";
        }
        response += "\r\n";
    }
    Some(response + "Instance-Utilization: 10\r\nContent-Length: 0\r\n\r\n")
}

fn serve(listener: &TcpListener, document: &str, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let Ok((mut stream, _)) = listener.accept() else {
            std::thread::sleep(LOOK);
            continue;
        };
        // One that says nothing must not keep us.
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_read_timeout(Some(LOOK * 4));
        let _ = stream.read(&mut [0; 4096]);
        let length = document.len();
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{document}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdline_wire::Message;

    #[test]
    fn options_are_answered_and_nothing_else() {
        let request = "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP b;branch=z9hG4bKx\r\nFrom: <sip:b>;tag=1\r\n\
                       To: <sip:a>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 0\r\nContent-Length: 0\r\n\r\n";
        let answer = response(request.as_bytes()).unwrap();
        let answer = Message::parse(answer.into_bytes().into()).unwrap();
        assert_eq!((answer.status(), answer.call_id()), (200, "c"));
        assert_eq!(answer.to_tag(), Some("responder"));
        assert!(response(b"INVITE sip:a SIP/2.0\r\n\r\n").is_none());
    }
}
