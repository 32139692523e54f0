//! How much memory a reader takes: an allocator that keeps count, so that an input which asks for
//! more than its length can justify is a crash.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

/// Bytes that are allocated, and the most since the last [`within`].
static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn grew(by: usize) {
    let now = NOW.fetch_add(by, Relaxed) + by;
    PEAK.fetch_max(now, Relaxed);
}

// An allocator cannot be written without `unsafe`. Each call is handed on as it came, so the
// system's allocator gets exactly the promises that its caller made to this one.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

/// Runs `read`, which may hold `limit` bytes at most at any moment of it.
pub fn within<T>(limit: usize, read: impl FnOnce() -> T) -> T {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = read();
    let most = PEAK.load(Relaxed).saturating_sub(before);
    assert!(most <= limit, "{most} bytes allocated, {limit} allowed");
    result
}
