use super::*;
use crate::tasks::Machinery;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};

fn document(version: u64) -> String {
    format!(
        "{{\"cloud-sip-trunk-name\": \"trunk.example.org\", \"uri\": \"http://x/\", \
         \"version\": {version}, \"webhook-registration\": \"http://x/hook\", \
         \"instances\": [{{\"IP\": \"127.0.0.1\", \"port\": \"5060\", \"status\": \"active\"}}]}}"
    )
}

fn ok(body: &str, etag: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nETag: {etag}\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// What the server does with one connection, by its number; it gets the request's head.
type Script = fn(usize, &str, &mut TcpStream);

/// A server that answers each connection by the script and closes it.
fn server(script: Script) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            // Each on a thread: one that dawdles must not hold up the next.
            std::thread::spawn(move || script(number, &head, &mut stream));
        }
    });
    address
}

fn say(stream: &mut TcpStream, text: &str) {
    // The client hangs up on what it does not want to read.
    let _ = stream.write_all(text.as_bytes());
}

struct Source {
    fetched: Receiver<Fetched>,
    refresh: Refresh,
    _machinery: Machinery,
}

fn source(address: SocketAddr, interval: Duration, state_dir: Option<&Path>) -> Source {
    let machinery = Machinery::start().unwrap();
    let (sender, fetched) = mpsc::channel();
    let options = SourceOptions {
        interval,
        timeout: Duration::from_secs(1),
        state_dir: state_dir.map(Path::to_owned),
        ..SourceOptions::new(format!("http://user:pass@{address}/trunk"))
    };
    let refresh = start(&machinery.tasks(), options, move |f| {
        sender.send(f).unwrap_or(())
    })
    .unwrap();
    Source {
        fetched,
        refresh,
        _machinery: machinery,
    }
}

impl Source {
    fn next(&self) -> Fetched {
        self.fetched
            .recv_timeout(Duration::from_secs(10))
            .expect("a result comes")
    }

    fn failure(&self) -> String {
        self.failed().1
    }

    fn failed(&self) -> (Failure, String) {
        match self.next() {
            Fetched::Failed { failure, reason } => (failure, reason),
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    /// The version of the next document, and whether it came from disk.
    fn version(&self) -> (u64, bool) {
        match self.next() {
            Fetched::Document {
                document, stored, ..
            } => (document.version, stored),
            other => panic!("expected a document, got {other:?}"),
        }
    }
}

const LONG: Duration = Duration::from_secs(600);

// spec: D11, X10
#[test]
fn a_document_is_fetched_at_the_start_again_when_asked_and_only_if_it_changed() {
    let address = server(|number, head, stream| match number {
        0 => {
            assert!(head.starts_with("GET /trunk HTTP/1.1\r\n"), "{head}");
            assert!(!head.to_lowercase().contains("if-none-match"), "{head}");
            say(stream, &ok(&document(1), "\"one\""));
        }
        1 if head.to_lowercase().contains("if-none-match: \"one\"\r\n") => {
            say(stream, "HTTP/1.1 304 Not Modified\r\n\r\n");
        }
        _ => say(stream, &ok(&document(2), "\"two\"")),
    });
    let source = source(address, LONG, None);
    match source.next() {
        Fetched::Document {
            document: read,
            bytes,
            etag,
            stored,
        } => {
            assert_eq!((read.version, stored), (1, false));
            assert_eq!(bytes, document(1));
            assert_eq!(etag.as_deref(), Some("\"one\""));
        }
        other => panic!("expected a document, got {other:?}"),
    }
    source.refresh.now();
    assert_eq!(source.next(), Fetched::NotModified);
    source.refresh.now();
    assert_eq!(source.version(), (2, false));
    assert!(
        source
            .fetched
            .recv_timeout(Duration::from_millis(500))
            .is_err(),
        "nobody asked"
    );
}

// spec: X10
#[test]
fn it_polls_at_the_interval() {
    let address = server(|_, _, stream| say(stream, &ok(&document(1), "\"one\"")));
    let source = source(address, Duration::from_millis(300), None);
    let began = std::time::Instant::now();
    for _ in 0..4 {
        assert_eq!(source.version(), (1, false));
    }
    assert!(
        began.elapsed() >= Duration::from_millis(3 * 270),
        "{:?}",
        began.elapsed()
    );
}

// spec: X50
#[test]
fn an_interval_without_end_ends_no_task() {
    let address = server(|_, _, stream| say(stream, &ok(&document(1), "\"one\"")));
    let source = source(address, Duration::MAX, None);
    assert_eq!(source.version(), (1, false));
    source.refresh.now();
    assert_eq!(source.version(), (1, false));
}

// spec: X10, X12
#[test]
fn what_is_no_document_is_a_failure_with_its_reason_and_is_tried_again() {
    let address = server(|number, head, stream| match number {
        0 => say(
            stream,
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
        ),
        1 => say(stream, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
        2 => say(stream, "HTTP/1.1 304 Not Modified\r\n\r\n"),
        3 => say(stream, &ok("{\"version\": \x1b1}", "\"bad\"")),
        4 => {
            // A tag that came with an invalid document is not asked for.
            assert!(!head.to_lowercase().contains("if-none-match"), "{head}");
            say(stream, &ok(&document(1), "\"one\""));
        }
        _ => say(stream, "this is not HTTP\r\n\r\n"),
    });
    let source = source(address, LONG, None);
    let redirect = "status 302: redirects are not followed";
    assert_eq!(source.failed(), (Failure::Redirect, redirect.to_owned()));
    assert_eq!(source.failed(), (Failure::Status, "status 500".to_owned()));
    assert_eq!(source.failed(), (Failure::Status, "status 304".to_owned()));
    let (failure, invalid) = source.failed();
    assert_eq!(failure, Failure::Invalid);
    assert!(invalid.starts_with("trunk document: "), "{invalid}");
    assert!(!invalid.contains('\x1b'), "{invalid}");
    assert_eq!(source.version(), (1, false));
    source.refresh.now();
    let (failure, garbage) = source.failed();
    assert_eq!(failure, Failure::Transport);
    assert!(!garbage.contains("pass"), "{garbage}");
}

#[test]
fn what_is_too_long_too_slow_or_cut_off_is_a_failure() {
    let address = server(|number, _, stream| match number {
        0 => {
            let spaces = " ".repeat(MAX_DOCUMENT);
            say(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            );
            say(stream, &spaces);
            say(stream, &spaces);
        }
        1 => {
            say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n");
            for _ in 0..50 {
                std::thread::sleep(Duration::from_millis(100));
                say(stream, " ");
            }
        }
        2 => say(stream, &ok(&document(1), "\"one\"").replace("5060", "")),
        3 => say(
            stream,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n     \r\n",
        ),
        _ => say(stream, &ok(&document(1), "\"one\"")),
    });
    let source = source(address, LONG, None);
    let too_long = "the document is longer than 1048576 bytes";
    assert_eq!(source.failed(), (Failure::TooLong, too_long.to_owned()));
    let late = "no whole answer in 1s".to_owned();
    assert_eq!(source.failed(), (Failure::Timeout, late));
    for _ in 0..2 {
        let (failure, cut) = source.failed();
        assert_eq!(failure, Failure::Transport);
        assert!(cut.contains("body") || cut.contains("end of file"), "{cut}");
    }
    assert_eq!(source.version(), (1, false));
}

// spec: X10
#[test]
fn the_last_good_document_survives_a_restart_with_the_source_away() {
    let dir = std::env::temp_dir().join(format!("holdline-trunk-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let address = server(|number, _, stream| match number {
        0 => say(stream, &ok(&document(7), "\"seven\"")),
        1 => say(stream, &ok("{}", "\"bad\"")),
        2..=3 => say(stream, "HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n"),
        4 => std::thread::sleep(Duration::from_secs(3)),
        _ => say(stream, &ok(&document(8), "\"eight\"")),
    });
    let before = source(address, LONG, Some(&dir));
    assert_eq!(before.version(), (7, false));
    before.refresh.now();
    assert!(before.failure().starts_with("trunk document"));
    drop(before);

    let after = source(address, LONG, Some(&dir));
    assert_eq!(after.failure(), "status 503");
    assert_eq!(after.version(), (7, true));
    assert_eq!(after.failure(), "status 503");
    assert_eq!(after.failure(), "no whole answer in 1s");
    assert_eq!(after.version(), (8, false));
    drop(after);

    // Whom the source answers at once gets nothing old.
    let last = source(address, LONG, Some(&dir));
    assert_eq!(last.version(), (8, false));
    assert!(
        last.fetched
            .recv_timeout(Duration::from_millis(300))
            .is_err()
    );
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_source_that_cannot_be_asked_is_an_error_at_the_start() {
    let machinery = Machinery::start().unwrap();
    for uri in [
        "https://example.org/",
        "trunk.json",
        "file:///etc/passwd",
        "http://",
    ] {
        let started = start(&machinery.tasks(), SourceOptions::new(uri), |_| ());
        assert!(matches!(started, Err(SourceError::Uri)), "{uri}");
    }
}
