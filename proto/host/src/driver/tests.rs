use super::*;
use crate::SocketOptions;
use crate::metrics::ReceiveDrops;
use crate::supervision::Watch;
use bytes::Bytes;
use holdline_wire::machine::{Input, LocalFault, Output, TransportFault};
use holdline_wire::{Flow, TransportKey};
use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{self, RecvTimeoutError};

/// Answers `echo...` to its sender, and tells of everything it hears.
#[derive(Default)]
struct Echo {
    outputs: VecDeque<Output<Told>>,
    deadline: Option<Time>,
    heard: usize,
}

#[derive(Debug)]
enum Order {
    Send(TransportKey, &'static [u8]),
    Close(TransportKey),
    DeadlineIn(Duration),
    Block(Duration),
    Late(Duration),
}

#[derive(Debug, PartialEq)]
enum Told {
    Message(TransportKey, Bytes),
    Fault(TransportKey, TransportFault),
    Deadline(Duration),
    Late(Duration),
}

impl Machine for Echo {
    type In = Order;
    type Out = Told;

    fn handle(&mut self, now: Time, input: Input<Order>) {
        self.heard += 1;
        let output = match input {
            Input::Message { from, bytes } => {
                if bytes.starts_with(b"echo") {
                    self.outputs.push_back(Output::Send {
                        to: from,
                        bytes: bytes.clone(),
                    });
                }
                Output::Other(Told::Message(from, bytes))
            }
            Input::Fault { key, fault, .. } => Output::Other(Told::Fault(key, fault)),
            Input::Deadline => {
                let Some(at) = self.deadline.take_if(|at| *at <= now) else {
                    return;
                };
                Output::Other(Told::Deadline(now.since(at)))
            }
            Input::Other(Order::Send(to, bytes)) => Output::Send {
                to,
                bytes: Bytes::from_static(bytes),
            },
            Input::Other(Order::Close(key)) => Output::Close(key),
            Input::Other(Order::DeadlineIn(after)) => {
                self.deadline = Some(now + after);
                return;
            }
            Input::Other(Order::Block(length)) => {
                std::thread::sleep(length);
                return;
            }
            Input::Other(Order::Late(late)) => Output::Other(Told::Late(late)),
        };
        self.outputs.push_back(output);
    }

    fn poll_output(&mut self) -> Option<Output<Told>> {
        self.outputs.pop_front()
    }

    fn poll_deadline(&self) -> Option<Time> {
        self.deadline
    }
}

struct Running {
    handle: Handle<Order>,
    told: mpsc::Receiver<Told>,
    local: SocketAddr,
    metrics: Metrics,
}

impl Running {
    fn start(listen: &str, options: DriverOptions) -> Running {
        Running::with_sockets(listen, SocketOptions::default(), options)
    }

    fn with_sockets(listen: &str, sockets: SocketOptions, options: DriverOptions) -> Running {
        let metrics = Metrics::new("test", "0");
        let sockets = SipSockets::bind(&[listen.parse().unwrap()], sockets).unwrap();
        metrics.register(ReceiveDrops::new(sockets.inodes()));
        let local = sockets.local_addrs()[0];
        let (sender, told) = mpsc::channel();
        let driver =
            Driver::new(Echo::default(), sockets, Clock::start(), options, &metrics).unwrap();
        let handle = driver
            .on_output(move |_, out| sender.send(out).unwrap_or(()))
            .on_late(|late| Some(Order::Late(late)))
            .spawn("echo")
            .unwrap();
        Running {
            handle,
            told,
            local,
            metrics,
        }
    }

    fn order(&self, order: Order) {
        self.handle.inbox.send(order).unwrap();
    }

    /// What it tells next, lateness aside: a busy machine may cause that at any time.
    fn next(&self) -> Told {
        loop {
            match self
                .told
                .recv_timeout(Duration::from_secs(10))
                .expect("it tells something")
            {
                Told::Late(_) => {}
                other => return other,
            }
        }
    }

    fn value(&self, metric: &str) -> u64 {
        let text = self.metrics.text();
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(metric)?.strip_prefix(' '));
        line.expect("the metric is there").parse().unwrap()
    }
}

fn peer(ip: &str) -> UdpSocket {
    let socket = UdpSocket::bind((ip.parse::<std::net::IpAddr>().unwrap(), 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    socket
}

/// An address where nobody listens.
fn closed(ip: &str) -> SocketAddr {
    peer(ip).local_addr().unwrap()
}

fn read(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 100];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..length].to_vec(), from)
}

#[test]
fn a_message_comes_in_and_goes_out_by_the_listening_socket() {
    for (listen, ip) in [("udp:127.0.0.1:0", "127.0.0.1"), ("udp:[::1]:0", "::1")] {
        let running = Running::start(listen, Default::default());
        let peer = peer(ip);
        peer.send_to(b"echo 1", running.local).unwrap();
        assert_eq!(read(&peer), (b"echo 1".to_vec(), running.local));
        let key = TransportKey::udp(running.local, peer.local_addr().unwrap());
        assert_eq!(
            running.next(),
            Told::Message(key, Bytes::from_static(b"echo 1"))
        );
        assert_eq!(running.value("holdline_sip_datagrams_received_total"), 1);
        assert_eq!(running.value("holdline_sip_datagrams_sent_total"), 1);
        running.handle.stop().unwrap();
    }
}

// spec: X20
#[test]
fn a_refusal_names_the_flow_whether_it_listens_or_is_connected() {
    for (listen, ip) in [("udp:127.0.0.1:0", "127.0.0.1"), ("udp:[::1]:0", "::1")] {
        let running = Running::start(listen, Default::default());
        let (gone, alive) = (closed(ip), peer(ip));
        let listening = TransportKey::udp(running.local, gone);
        running.order(Order::Send(listening, b"lost"));
        assert_eq!(
            running.next(),
            Told::Fault(listening, TransportFault::Refused)
        );

        let connected = TransportKey {
            flow: Flow::Probe(7),
            ..listening
        };
        running.order(Order::Send(connected, b"lost"));
        assert_eq!(
            running.next(),
            Told::Fault(connected, TransportFault::Refused)
        );

        // A refusal by one peer takes nothing from another, nor from the next that listens there.
        let to = listening.to(alive.local_addr().unwrap());
        for _ in 0..20 {
            running.order(Order::Send(listening, b"lost"));
            running.order(Order::Send(to, b"kept"));
        }
        for _ in 0..20 {
            assert_eq!(read(&alive).0, b"kept");
        }
        let back = UdpSocket::bind(gone).unwrap();
        back.set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        running.order(Order::Send(connected, b"heard"));
        assert_eq!(read(&back).0, b"heard");
        running.handle.stop().unwrap();
    }
}

#[test]
fn a_connected_socket_has_a_port_of_its_own_until_it_is_closed() {
    let running = Running::start("udp:127.0.0.1:0", Default::default());
    let (peer, stranger) = (peer("127.0.0.1"), peer("127.0.0.1"));
    let key = TransportKey {
        flow: Flow::Probe(1),
        ..TransportKey::udp(running.local, peer.local_addr().unwrap())
    };
    running.order(Order::Send(key, b"probe"));
    let (bytes, port) = read(&peer);
    assert_eq!(bytes, b"probe");
    assert_ne!(port, running.local);
    stranger.send_to(b"forged", port).unwrap();
    peer.send_to(b"answer", port).unwrap();
    assert_eq!(
        running.next(),
        Told::Message(key, Bytes::from_static(b"answer"))
    );
    assert_eq!(running.value("holdline_sip_connected_sockets"), 1);

    running.order(Order::Close(key));
    running.order(Order::Close(key));
    running.order(Order::Send(key, b"probe"));
    let (_, reopened) = read(&peer);
    assert_ne!(reopened, port);
    assert_eq!(running.value("holdline_sip_connected_sockets"), 1);
}

// spec: X52
#[test]
fn where_no_socket_can_be_opened_a_message_leaves_by_the_listening_one() {
    let options = SocketOptions {
        max_connected: 0,
        ..SocketOptions::default()
    };
    let running = Running::with_sockets("udp:127.0.0.1:0", options, Default::default());
    let peer = peer("127.0.0.1");
    let key = TransportKey {
        flow: Flow::Probe(1),
        ..TransportKey::udp(running.local, peer.local_addr().unwrap())
    };
    running.order(Order::Send(key, b"probe"));
    assert_eq!(read(&peer), (b"probe".to_vec(), running.local));
    assert_eq!(running.value("holdline_sip_send_errors_total"), 0);
    let counted = running.value("holdline_sip_local_faults_total{kind=\"no_descriptor\"}");
    assert_eq!(counted, 1);
}

// spec: X52
#[test]
fn what_cannot_be_sent_is_a_local_fault() {
    let running = Running::start("udp:127.0.0.1:0", Default::default());
    let stream = TransportKey {
        protocol: holdline_wire::Protocol::Tcp,
        ..TransportKey::udp(running.local, closed("127.0.0.1"))
    };
    running.order(Order::Send(stream, b"no such transport"));
    assert_eq!(
        running.next(),
        Told::Fault(stream, TransportFault::Local(LocalFault::Other))
    );
    static LONG: [u8; 65_530] = [b'x'; 65_530];
    let long = TransportKey::udp(running.local, closed("127.0.0.1"));
    running.order(Order::Send(long, &LONG));
    assert_eq!(
        running.next(),
        Told::Fault(long, TransportFault::Local(LocalFault::Other))
    );
    assert_eq!(running.value("holdline_sip_send_errors_total"), 2);
}

#[test]
fn a_deadline_is_served_while_messages_pour_in() {
    let running = Running::start("udp:127.0.0.1:0", Default::default());
    let local = running.local;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let flood = std::thread::spawn(move || {
        let peer = peer("127.0.0.1");
        while !stopped.is_cancelled() {
            peer.send_to(b"x", local).unwrap();
        }
    });
    std::thread::sleep(Duration::from_millis(50));
    running.order(Order::DeadlineIn(Duration::from_millis(20)));
    let began = std::time::Instant::now();
    let late = loop {
        match running.next() {
            Told::Deadline(late) => break late,
            _ => assert!(began.elapsed() < Duration::from_secs(10)),
        }
    };
    stop.cancel();
    flood.join().unwrap();
    // Generous: the test shares its processors. Starved, it would never be served.
    assert!(late < Duration::from_millis(500), "{late:?}");
}

// spec: X21
#[test]
fn the_core_hears_that_its_loop_was_late_before_it_judges_by_a_deadline() {
    let options = DriverOptions {
        late: Duration::from_millis(100),
        ..Default::default()
    };
    let running = Running::start("udp:127.0.0.1:0", options);
    running.order(Order::DeadlineIn(Duration::from_millis(50)));
    running.order(Order::Block(Duration::from_millis(300)));
    let first = running.told.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(
        matches!(first, Told::Late(late) if late >= Duration::from_millis(290)),
        "{first:?}"
    );
    assert!(matches!(running.next(), Told::Deadline(_)));
    assert!(running.value("holdline_loop_late_total") >= 1);
    // And nothing is late that only slept.
    assert_eq!(
        running.told.recv_timeout(Duration::from_millis(200)),
        Err(RecvTimeoutError::Timeout)
    );
}

/// Sends 3,000 messages of 1,200 bytes while the core is busy; how many the kernel dropped.
fn dropped_of_a_burst(listening_buffer: usize) -> u64 {
    let sockets = SocketOptions {
        listening_buffer,
        ..SocketOptions::default()
    };
    let running = Running::with_sockets("udp:127.0.0.1:0", sockets, DriverOptions::default());
    running.order(Order::Block(Duration::from_millis(500)));
    std::thread::sleep(Duration::from_millis(50));
    let peer = peer("127.0.0.1");
    for _ in 0..3000 {
        peer.send_to(&[b'x'; 1200], running.local).unwrap();
    }
    let label = format!(
        "holdline_sip_receive_drops_total{{local=\"{}\"}}",
        running.local
    );
    for _ in 0..1000 {
        let received = running.value("holdline_sip_datagrams_received_total");
        // A counter without drops is not shown.
        let is_shown = running.metrics.text().contains(&label);
        let dropped = if is_shown { running.value(&label) } else { 0 };
        if received + dropped == 3000 {
            return dropped;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("each is received or counted as dropped");
}

#[test]
fn a_burst_fits_the_receive_buffer_and_what_does_not_is_counted() {
    assert!(dropped_of_a_burst(64 * 1024) > 1000);
    let options = SocketOptions::default();
    let given = SipSockets::bind(&["udp:127.0.0.1:0".parse().unwrap()], options).unwrap();
    if given.listening_buffers()[0] < options.listening_buffer {
        eprintln!("SKIPPED: the kernel gives no receive buffer of 8 MiB here");
        return;
    }
    assert_eq!(dropped_of_a_burst(options.listening_buffer), 0);
}

#[test]
fn a_full_inbox_refuses_and_counts() {
    let options = DriverOptions {
        inbox: 2,
        ..Default::default()
    };
    let running = Running::start("udp:127.0.0.1:0", options);
    running.order(Order::Block(Duration::from_millis(500)));
    std::thread::sleep(Duration::from_millis(100));
    let inbox = running.handle.inbox();
    let refused = (0..3).filter(|_| inbox.try_send(Order::DeadlineIn(Duration::ZERO)).is_err());
    assert_eq!(refused.count(), 1);
    assert_eq!(running.value("holdline_inbox_dropped_total"), 1);
    // A thread that may wait gets through.
    inbox.send(Order::DeadlineIn(Duration::ZERO)).unwrap();
    let ended = running.handle.ended();
    running.handle.stop().unwrap();
    assert!(ended.is_cancelled());
    assert!(matches!(
        inbox.try_send(Order::Block(Duration::ZERO)),
        Err(InboxError::Ended(Order::Block(_)))
    ));
}

#[test]
fn a_snapshot_is_published_after_changes_and_on_request() {
    let sockets = SipSockets::bind(&["udp:127.0.0.1:0".parse().unwrap()], Default::default());
    let options = DriverOptions {
        snapshot_every: Duration::from_millis(150),
        ..Default::default()
    };
    let metrics = Metrics::new("test", "0");
    let driver = Driver::new(
        Echo::default(),
        sockets.unwrap(),
        Clock::start(),
        options,
        &metrics,
    )
    .unwrap();
    let (sender, snapshots) = mpsc::channel();
    let handle = driver
        .on_snapshot(move |now, core: &Echo| sender.send((now, core.heard)).unwrap_or(()))
        .spawn("echo")
        .unwrap();
    let next = || snapshots.recv_timeout(Duration::from_secs(10)).unwrap();
    let (first, heard) = next();
    assert_eq!(heard, 0);
    for _ in 0..50 {
        handle.inbox.send(Order::Block(Duration::ZERO)).unwrap();
    }
    let (second, heard) = next();
    assert_eq!(heard, 50);
    assert!(second.since(first) >= Duration::from_millis(150));
    assert!(
        snapshots.recv_timeout(Duration::from_millis(300)).is_err(),
        "nothing has changed"
    );
    handle.snapshot_now();
    assert_eq!(next().1, 50);
    handle.stop().unwrap();
    assert_eq!(next().1, 50);
}

#[test]
fn a_core_that_panics_is_known_to_have_ended() {
    struct Broken;
    impl Machine for Broken {
        type In = ();
        type Out = ();
        fn handle(&mut self, _: Time, _: Input<()>) {
            panic!("on purpose");
        }
        fn poll_output(&mut self) -> Option<Output<()>> {
            None
        }
        fn poll_deadline(&self) -> Option<Time> {
            None
        }
    }
    let sockets = SipSockets::bind(&["udp:127.0.0.1:0".parse().unwrap()], Default::default());
    let metrics = Metrics::new("test", "0");
    let driver = Driver::new(
        Broken,
        sockets.unwrap(),
        Clock::start(),
        DriverOptions::default(),
        &metrics,
    );
    let watch = Watch::new();
    let handle = driver.unwrap().spawn_under(&watch, "broken").unwrap();
    let ended = handle.ended();
    handle.inbox().send(()).unwrap();
    for _ in 0..1000 {
        if ended.is_cancelled() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(ended.is_cancelled());
    assert!(handle.stop().is_err());
    assert_eq!(
        watch.failure(),
        Some("broken has ended: it panicked: on purpose")
    );
}

#[test]
fn an_address_in_use_is_named() {
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = format!("udp:{}", holder.local_addr().unwrap());
    let Err(error) = SipSockets::bind(&[address.parse().unwrap()], Default::default()) else {
        panic!("the address is in use");
    };
    let text = error.to_string();
    assert!(
        text.starts_with(&format!(
            "cannot listen on {address}: Address already in use"
        )),
        "{text}"
    );
}
