//! The store on a thread of its own, behind a bounded queue: the core never waits for a disk.

use super::{Answer, Store, StoreReply, StoreRequest};
use prometheus::{Histogram, IntCounter};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use holdline_host::{Clock, Metrics, Watch};

/// Operations that wait; more are answered with [`Answer::Down`] at once.
const QUEUE: usize = 8192;
/// Operations that one commit takes: the more wait, the fewer commits each costs.
const BATCH: usize = 256;

/// The way to the store's thread, which ends when the last of these is dropped.
#[derive(Clone)]
pub struct StoreQueue {
    sender: SyncSender<StoreRequest>,
    refused: IntCounter,
}

impl StoreQueue {
    /// Hands a request over. A full queue gives the reply that the core needs.
    pub fn ask(&self, request: StoreRequest) -> Result<(), StoreReply> {
        self.sender.try_send(request).map_err(|error| {
            self.refused.inc();
            let (std::sync::mpsc::TrySendError::Full(request)
            | std::sync::mpsc::TrySendError::Disconnected(request)) = error;
            let answer = Answer::Down;
            StoreReply {
                id: request.id,
                answer,
            }
        })
    }
}

/// Starts the thread that `store` is on from then on; `reply` may wait. `watch` is told when it ends.
pub fn start(
    store: impl Store + Send + 'static,
    clock: Clock,
    metrics: &Metrics,
    watch: &Watch,
    reply: impl FnMut(StoreReply) + Send + 'static,
) -> io::Result<(StoreQueue, JoinHandle<()>)> {
    let (sender, receiver) = sync_channel(QUEUE);
    let took = metrics.histogram(
        "store_commit_seconds",
        "How long the store took for a batch of operations.",
        &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5],
    );
    let refused = metrics.counter(
        "store_refused_total",
        "Store operations that found the queue full.",
    );
    let thread = watch.thread("holdline-store", move || {
        serve(store, &receiver, clock, &took, reply);
        Ok(())
    })?;
    Ok((StoreQueue { sender, refused }, thread))
}

fn serve(
    mut store: impl Store,
    receiver: &Receiver<StoreRequest>,
    clock: Clock,
    took: &Histogram,
    mut reply: impl FnMut(StoreReply),
) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Ok(first) = receiver.recv() {
        batch.clear();
        batch.push(first);
        while batch.len() < BATCH {
            match receiver.try_recv() {
                Ok(request) => batch.push(request),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        let began = clock.now();
        let since_1970: Duration = clock.wall_at_start() + began.since(holdline_wire::Time::ZERO);
        let replies = store.perform(since_1970, &batch);
        took.observe(clock.now().since(began).as_secs_f64());
        replies.into_iter().for_each(&mut reply);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MemoryStore, Op};
    use holdline_wire::dialog::DialogId;
    use std::sync::mpsc::channel;

    fn claim(id: u64) -> StoreRequest {
        let replaced = DialogId {
            call_id: "a".into(),
            local_tag: "b".into(),
            remote_tag: "c".into(),
        };
        let op = Op::Claim {
            replaced,
            abandoned: Vec::new(),
            by: "n".into(),
        };
        StoreRequest { id, op }
    }

    /// Stands still until it is told to go on.
    struct Slow(MemoryStore, std::sync::mpsc::Receiver<()>);

    impl Store for Slow {
        fn identity(&self) -> &str {
            self.0.identity()
        }
        fn perform(&mut self, now: Duration, batch: &[StoreRequest]) -> Vec<StoreReply> {
            let _ = self.1.recv();
            self.0.perform(now, batch)
        }
    }

    #[test]
    fn replies_come_in_order_and_a_full_queue_says_so() {
        let (open, wait) = channel::<()>();
        let (told, replies) = channel();
        let metrics = Metrics::new("test", "0");
        let slow = Slow(MemoryStore::default(), wait);
        let (queue, thread) = start(
            slow,
            Clock::start(),
            &metrics,
            &Watch::new(),
            move |reply| {
                let _ = told.send(reply);
            },
        )
        .unwrap();
        // Those of the first batch may have been taken already.
        let mut taken = 0;
        let refused = loop {
            match queue.ask(claim(taken)) {
                Ok(()) => taken += 1,
                Err(reply) => break reply,
            }
        };
        assert_eq!((refused.id, refused.answer), (taken, Answer::Down));
        let queued = QUEUE as u64;
        assert!((queued..=queued + BATCH as u64).contains(&taken), "{taken}");
        drop((open, queue));
        let ids: Vec<u64> = replies.iter().map(|reply: StoreReply| reply.id).collect();
        assert!(ids.into_iter().eq(0..taken));
        thread.join().unwrap();
    }
}
