//! The least HTTP client that reads the programs' pages.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest answer that is read, bytes.
const MAX_ANSWER: u64 = 8 << 20;

/// An answer.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

impl Page {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// GET as of HTTP/1.0: the answer ends where the connection does (RFC 1945 section 7.2.2).
pub fn get(server: SocketAddr, path: &str) -> io::Result<Page> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::other("that is no HTTP answer"))
}

fn parse(answer: &[u8]) -> Option<Page> {
    let end = answer.windows(4).position(|at| at == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(Page {
        status,
        body: answer[end + 4..].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_read() {
        let page = parse(b"HTTP/1.1 503 Busy\r\nA: b\r\n\r\nno node\r\n\r\n").unwrap();
        assert_eq!(
            (page.status, page.text().as_str()),
            (503, "no node\r\n\r\n")
        );
        assert!(parse(b"HTTP/1.1 200 OK\r\n").is_none());
    }
}
