//! A snapshot that one thread publishes and others read: neither ever waits for the other.

use arc_swap::ArcSwap;
use std::sync::Arc;

/// The latest snapshot of something. Clones share it.
#[derive(Debug)]
pub struct Published<T>(Arc<ArcSwap<T>>);

impl<T> Clone for Published<T> {
    fn clone(&self) -> Published<T> {
        Published(Arc::clone(&self.0))
    }
}

impl<T> Published<T> {
    /// With a first snapshot.
    pub fn new(first: T) -> Published<T> {
        Published(Arc::new(ArcSwap::from_pointee(first)))
    }

    /// Replaces the snapshot, for `Driver::on_snapshot`.
    pub fn publish(&self, snapshot: T) {
        self.0.store(Arc::new(snapshot));
    }

    /// The latest one, for the pages of an HTTP server.
    pub fn read(&self) -> Arc<T> {
        self.0.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_keeps_what_it_read_and_the_next_sees_the_new_one() {
        let published = Published::new(1);
        let reader = published.clone();
        let old = reader.read();
        published.publish(2);
        assert_eq!((*old, *reader.read()), (1, 2));
    }
}
