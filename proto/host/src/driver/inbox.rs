//! The bounded queue by which other threads reach a core.

use crate::metrics::DriverMetrics;
use mio::Waker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// Why an input was not taken; it comes back.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InboxError<T> {
    /// The queue is full: the core does not keep up.
    #[error("the core's inbox is full")]
    Full(T),
    /// The core has ended.
    #[error("the core has ended")]
    Ended(T),
}

/// Wakes the core's thread, with one system call however many ask.
#[derive(Debug)]
pub(super) struct Alarm {
    waker: Waker,
    rung: AtomicBool,
}

impl Alarm {
    pub(super) fn new(waker: Waker) -> Alarm {
        Alarm {
            waker,
            rung: AtomicBool::new(false),
        }
    }

    pub(super) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Err(error) = self.waker.wake()
        {
            // The thread still looks each time its longest sleep ends.
            self.rung.store(false, Ordering::Release);
            tracing::error!(%error, "the core's thread was not woken");
        }
    }

    /// To be called before the queue is looked at, so that a later ring is not lost.
    pub(super) fn clear(&self) {
        // A swap and no store: that could sink below the look at the queue, and a ring be lost.
        self.rung.swap(false, Ordering::AcqRel);
    }
}

/// The sending end of a core's queue: relay reports, HTTP results, store replies, commands.
#[derive(Debug)]
pub struct Inbox<T> {
    sender: SyncSender<T>,
    alarm: Arc<Alarm>,
    metrics: DriverMetrics,
}

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Inbox<T> {
        Inbox {
            sender: self.sender.clone(),
            alarm: Arc::clone(&self.alarm),
            metrics: self.metrics.clone(),
        }
    }
}

impl<T> Inbox<T> {
    pub(super) fn new(
        capacity: usize,
        alarm: Arc<Alarm>,
        metrics: DriverMetrics,
    ) -> (Inbox<T>, Receiver<T>) {
        let (sender, receiver) = sync_channel(capacity);
        (
            Inbox {
                sender,
                alarm,
                metrics,
            },
            receiver,
        )
    }

    /// Hands an input over without waiting; a refused one is counted. For tasks, and for threads
    /// that have work of their own.
    pub fn try_send(&self, input: T) -> Result<(), InboxError<T>> {
        let result = self.offer(input);
        if let Err(InboxError::Full(_)) = result {
            self.metrics.inbox_dropped.inc();
        }
        result
    }

    /// [`Inbox::try_send`] for a sender that tries again, so that nothing is lost.
    pub(crate) fn offer(&self, input: T) -> Result<(), InboxError<T>> {
        match self.sender.try_send(input) {
            Ok(()) => {
                self.alarm.ring();
                Ok(())
            }
            Err(TrySendError::Full(input)) => {
                self.alarm.ring();
                Err(InboxError::Full(input))
            }
            Err(TrySendError::Disconnected(input)) => Err(InboxError::Ended(input)),
        }
    }

    /// Hands an input over, waiting for room. Only for threads that may wait: never on the core's
    /// own thread nor in a task.
    pub fn send(&self, input: T) -> Result<(), InboxError<T>> {
        match self.sender.try_send(input) {
            Ok(()) => {}
            Err(TrySendError::Disconnected(input)) => return Err(InboxError::Ended(input)),
            Err(TrySendError::Full(input)) => {
                self.alarm.ring();
                self.sender
                    .send(input)
                    .map_err(|e| InboxError::Ended(e.0))?;
            }
        }
        self.alarm.ring();
        Ok(())
    }
}
