//! Between a core and the relay: commands one way, reports the other, and nobody waits.

use crate::driver::{Inbox, InboxError};
use crate::metrics::Metrics;
use crate::supervision::Watch;
use holdline_relay::{Command, Relay, RelayConfig, RelayHandle, Report, ReportSink, SendError};
use prometheus::IntCounter;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Commands that wait for room in the relay's queue. A move of every stream of a full node at once
/// stays below it.
const MAX_BACKLOG: usize = 1 << 17;

/// The running relay as a core's shell sees it. Clones share it; the last one dropped stops it.
#[derive(Clone)]
pub struct RelayLink {
    relay: Arc<RelayHandle>,
    /// Only the core's thread takes this lock, from its two handlers.
    backlog: Arc<Mutex<VecDeque<Command>>>,
    dropped: IntCounter,
}

impl RelayLink {
    /// Starts the relay. Its reports go to the core's inbox, made to inputs by `wrap`; where that
    /// is full they wait in the relay, which merges ticks. `watch` is told when a thread of it ends.
    pub fn start<T: Send + 'static>(
        config: RelayConfig,
        inbox: Inbox<T>,
        wrap: impl Fn(Report) -> T + Send + 'static,
        metrics: &Metrics,
        watch: &Watch,
    ) -> io::Result<RelayLink> {
        let start = |name: &str, work| watch.thread(name, work);
        let relay = Arc::new(Relay::start_on(&start, config, Reports { inbox, wrap })?);
        let weak = Arc::downgrade(&relay);
        let counters = move || {
            weak.upgrade()
                .map(|relay| relay.counters())
                .unwrap_or_default()
        };
        let ignored = counters.clone();
        metrics.counter_from(
            "relay_ignored_commands_total",
            "Relay commands that named an unknown stream.",
            move || ignored().ignored_commands,
        );
        let merged = counters.clone();
        metrics.counter_from(
            "relay_merged_ticks_total",
            "Reports of the relay that waited for the core and were merged.",
            move || merged().merged_ticks,
        );
        let unreachable = counters.clone();
        metrics.counter_from(
            "relay_unreachable_peers_total",
            "Media addresses to which there is no route.",
            move || unreachable().unreachable_peers,
        );
        metrics.counter_from(
            "relay_silence_packets_total",
            "Packets of silence sent in place of a far side that was absent.",
            move || counters().silence_packets,
        );
        let dropped = metrics.counter(
            "relay_commands_dropped_total",
            "Relay commands lost because the relay did not keep up or has ended.",
        );
        Ok(RelayLink {
            relay,
            backlog: Arc::default(),
            dropped,
        })
    }

    /// Sends a command, after those that wait; for `Driver::on_output`.
    pub fn send(&self, command: Command) {
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        if backlog.len() < MAX_BACKLOG {
            backlog.push_back(command);
        } else {
            self.dropped.inc();
        }
        self.hand_over(&mut backlog);
    }

    /// Sends what waits; true while something is left. For `Driver::on_turn`.
    pub fn flush(&self) -> bool {
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        self.hand_over(&mut backlog);
        !backlog.is_empty()
    }

    fn hand_over(&self, backlog: &mut VecDeque<Command>) {
        while let Some(command) = backlog.front() {
            match self.relay.send(*command) {
                Ok(()) => {
                    backlog.pop_front();
                }
                Err(SendError::Full) => return,
                Err(SendError::Stopped) => {
                    self.dropped.inc_by(backlog.len() as u64);
                    backlog.clear();
                }
            }
        }
    }
}

struct Reports<T, F> {
    inbox: Inbox<T>,
    wrap: F,
}

impl<T: Send + 'static, F: Fn(Report) -> T + Send + 'static> ReportSink for Reports<T, F> {
    fn offer(&mut self, report: Report) -> Result<(), Report> {
        // The copy is for giving it back: a hundred small ones a second.
        match self.inbox.offer((self.wrap)(report.clone())) {
            Err(InboxError::Full(_)) => Err(report),
            // Nobody is left to be told.
            Ok(()) | Err(InboxError::Ended(_)) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Driver, DriverOptions};
    use crate::{Clock, SipSockets};
    use holdline_relay::{GroupId, SideSpec, StreamId};
    use holdline_wire::Time;
    use holdline_wire::machine::{Input, Machine, Output};
    use std::net::UdpSocket;
    use std::sync::mpsc;
    use std::time::Duration;

    /// Passes orders to the relay and reports to the test.
    #[derive(Default)]
    struct Switch(VecDeque<Output<Either>>);

    #[derive(Debug)]
    enum Either {
        Order(Command),
        Report(Report),
    }

    impl Machine for Switch {
        type In = Either;
        type Out = Either;
        fn handle(&mut self, _: Time, input: Input<Either>) {
            if let Input::Other(either) = input {
                self.0.push_back(Output::Other(either));
            }
        }
        fn poll_output(&mut self) -> Option<Output<Either>> {
            self.0.pop_front()
        }
        fn poll_deadline(&self) -> Option<Time> {
            None
        }
    }

    #[test]
    fn commands_reach_the_relay_and_reports_the_core_through_full_queues() {
        let clock = Clock::start();
        let metrics = Metrics::new("test", "0");
        let sockets = SipSockets::bind(&["udp:127.0.0.1:0".parse().unwrap()], Default::default());
        let options = DriverOptions {
            inbox: 1,
            ..DriverOptions::default()
        };
        let core = Switch::default();
        let driver = Driver::new(core, sockets.unwrap(), clock, options, &metrics).unwrap();
        let config = RelayConfig {
            queue: 1,
            ..RelayConfig::new(clock.epoch())
        };
        let link = RelayLink::start(
            config,
            driver.inbox(),
            Either::Report,
            &metrics,
            &Watch::new(),
        );
        let link = link.unwrap();
        let (sender, reports) = mpsc::channel();
        let turn = link.clone();
        let handle = driver
            .on_output(move |_, out| match out {
                Either::Order(command) => link.send(command),
                Either::Report(report) => sender.send(report).unwrap_or(()),
            })
            .on_turn(move || turn.flush())
            .spawn("switch")
            .unwrap();

        let port = || {
            let free = UdpSocket::bind("127.0.0.1:0").unwrap();
            SideSpec {
                local: free.local_addr().unwrap(),
                peer: None,
            }
        };
        let order = |command| handle.inbox().send(Either::Order(command)).unwrap();
        // The last one stays: without a stream there is no tick.
        for n in 0..=50 {
            let (stream, group) = (StreamId(n), GroupId(1));
            let (near, far) = (port(), port());
            order(Command::Install {
                stream,
                near,
                far,
                group,
                clock_rate: 8000,
                steady: false,
            });
            if n < 50 {
                order(Command::Remove { stream });
            }
        }
        let (mut removed, mut ticks) = (Vec::new(), 0);
        while removed.len() < 50 || ticks < 3 {
            match reports
                .recv_timeout(Duration::from_secs(10))
                .expect("reports go on")
            {
                Report::Removed { stream, .. } => removed.push(stream.0),
                Report::Tick(tick) => {
                    assert!(tick.at <= clock.now(), "one clock");
                    ticks += 1;
                }
                // Another test may have taken the port meanwhile.
                Report::BindFailed { .. } => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        assert_eq!(removed, (0..50).collect::<Vec<_>>());
        let text = metrics.text();
        assert!(
            text.contains("\nholdline_relay_commands_dropped_total 0\n"),
            "{text}"
        );
        assert!(
            text.contains("\nholdline_relay_ignored_commands_total 0\n"),
            "{text}"
        );
        handle.stop().unwrap();
    }
}
