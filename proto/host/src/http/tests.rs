use super::*;
use crate::tasks::Machinery;
use axum::http::HeaderMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

struct Site {
    address: SocketAddr,
    ready: Arc<AtomicBool>,
    watch: Watch,
    machinery: Machinery,
}

fn start() -> Site {
    let machinery = Machinery::start().unwrap();
    let ready = Arc::new(AtomicBool::new(true));
    let is_ready = Arc::clone(&ready);
    let pages = Pages::new(
        Metrics::new("test", "1.0"),
        move || {
            if is_ready.load(Ordering::SeqCst) {
                Ok(())
            } else {
                Err("draining".into())
            }
        },
        || Bytes::from_static(b"{\"calls\":3}"),
    );
    let trunk =
        |headers: HeaderMap| async move { Document::json("{\"version\":1}").answer(&headers) };
    let length = |body: Bytes| async move { body.len().to_string() };
    let own = Router::new()
        .route("/trunk", get(trunk))
        .route("/length", axum::routing::post(length));
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let watch = Watch::new();
    let pages = pages.watched_by(&watch);
    serve(&machinery.tasks(), listener, pages.router(own)).unwrap();
    Site {
        address,
        ready,
        watch,
        machinery,
    }
}

impl Site {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    fn ask(&self, head: &str, body: &[u8]) -> String {
        let mut stream = self.connect();
        let request = format!("{head}\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1"), b"")
    }
}

#[test]
fn the_pages_answer_and_a_drain_shows_in_readyz_only() {
    let site = start();
    let metrics = site.get("/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    assert!(
        metrics.contains("content-type: text/plain; version=0.0.4"),
        "{metrics}"
    );
    assert!(metrics.contains("holdline_build_info{"), "{metrics}");
    let status = site.get("/status");
    assert!(
        status.contains("application/json") && status.ends_with("{\"calls\":3}"),
        "{status}"
    );
    assert!(site.get("/readyz").starts_with("HTTP/1.1 200"));
    assert!(site.get("/nothing").starts_with("HTTP/1.1 404"));
    site.ready.store(false, Ordering::SeqCst);
    let ready = site.get("/readyz");
    assert!(
        ready.starts_with("HTTP/1.1 503") && ready.ends_with("draining\n"),
        "{ready}"
    );
    assert!(site.get("/healthz").starts_with("HTTP/1.1 200"));
}

// spec: X52
#[test]
fn a_program_is_not_ready_once_a_thread_of_it_has_ended() {
    let site = start();
    site.watch.not_ready("draining");
    let leaving = site.get("/readyz");
    assert!(leaving.starts_with("HTTP/1.1 503") && leaving.ends_with("draining\n"));
    let thread = site.watch.thread("holdline-relay", || panic!("on purpose"));
    let _ = thread.unwrap().join();
    let ready = site.get("/readyz");
    let why = "holdline-relay has ended: it panicked: on purpose\n";
    assert!(
        ready.starts_with("HTTP/1.1 503") && ready.ends_with(why),
        "{ready}"
    );
}

// spec: X10
#[test]
fn a_document_that_the_client_has_is_not_sent_again() {
    let site = start();
    let first = site.get("/trunk");
    assert!(
        first.starts_with("HTTP/1.1 200") && first.ends_with("{\"version\":1}"),
        "{first}"
    );
    let etag = first
        .lines()
        .find_map(|l| l.strip_prefix("etag: "))
        .unwrap();
    for known in [etag.to_owned(), format!("\"old\", W/{etag}"), "*".into()] {
        let again = site.ask(
            &format!("GET /trunk HTTP/1.1\r\nIf-None-Match: {known}"),
            b"",
        );
        assert!(
            again.starts_with("HTTP/1.1 304") && again.contains(etag),
            "{again}"
        );
        assert!(again.ends_with("\r\n\r\n"), "{again}");
    }
    let other = site.ask("GET /trunk HTTP/1.1\r\nIf-None-Match: \"old\"", b"");
    assert!(other.starts_with("HTTP/1.1 200"), "{other}");
    assert_ne!(Document::json("a"), Document::json("b"));
}

#[test]
fn what_is_too_long_is_refused() {
    let site = start();
    let post = |n: usize| {
        site.ask(
            &format!("POST /length HTTP/1.1\r\nContent-Length: {n}"),
            &vec![b'x'; n],
        )
    };
    assert!(post(MAX_BODY).ends_with("\r\n\r\n65536"));
    // Declared, not sent: the refusal does not wait for it.
    let long = site.ask("POST /length HTTP/1.1\r\nContent-Length: 65537", b"");
    assert!(long.starts_with("HTTP/1.1 413"), "{long}");
    let mut stream = site.connect();
    let head = format!(
        "GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    // The server may close while the rest is on its way.
    let _ = stream.write_all(head.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn connections_are_bounded_and_silent_ones_are_closed() {
    let site = start();
    let mut idle: Vec<TcpStream> = (0..128).map(|_| site.connect()).collect();
    let mut refused = site.connect();
    assert!(is_closed(&mut refused), "one too many");
    // The silent ones lose their places after the time for a request's head.
    assert!(is_closed(&mut idle[0]));
    for stream in &mut idle {
        assert!(is_closed(stream));
    }
    assert!(site.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(site.machinery.end(Duration::from_secs(10)));
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 100]) {
        Ok(0) => true,
        // A head that never came may be answered with 408 first.
        Ok(_) => is_closed(stream),
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn an_address_in_use_is_named() {
    let site = start();
    let error = bind(site.address).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("cannot listen on http {}", site.address)),
        "{error}"
    );
}
