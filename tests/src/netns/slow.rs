//! A link that takes time: two TAP interfaces, and a thread that carries frames from one to the
//! other and lets each wait. (The kernel's own netem is not everywhere.)

use super::Namespace;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A frame is at most as long as Ethernet's, and none is longer than the interfaces' MTU.
const FRAME: usize = 2048;
/// Frames under way at most; more are lost, as on a link that is full.
const UNDER_WAY: usize = 100_000;
/// How often the thread looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// How long each frame takes, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// At least so long.
    pub least: Duration,
    /// And up to so much longer, drawn for each frame by itself: those close together overtake
    /// each other.
    pub jitter: Duration,
}

/// The link; its interfaces vanish with it.
#[derive(Debug)]
pub struct Slow {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Slow {
    /// A link between two namespaces, with the name of its interface in each.
    pub fn new(ends: [(&Namespace, &str); 2], delay: Delay) -> io::Result<Slow> {
        let open = |(namespace, name): (&Namespace, &str)| namespace.within(|| tap(name))?;
        let taps = [open(ends[0])?, open(ends[1])?];
        let over = Arc::new(AtomicBool::new(false));
        let told = over.clone();
        let carry = move || carry(taps, delay, &told);
        let thread = std::thread::Builder::new().name("slow link".into());
        Ok(Slow {
            over,
            thread: Some(thread.spawn(carry)?),
        })
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A frame under way: when it arrives, a number that makes the order total, to which end.
type Frame = Reverse<(Instant, u64, usize, Vec<u8>)>;

fn carry(mut taps: [File; 2], delay: Delay, over: &AtomicBool) {
    // The same draws in every run.
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut under_way: BinaryHeap<Frame> = BinaryHeap::new();
    let (mut number, mut buffer) = (0, [0; FRAME]);
    while !over.load(Ordering::Relaxed) {
        for (from, tap) in taps.iter_mut().enumerate() {
            while let Ok(length) = tap.read(&mut buffer) {
                if under_way.len() < UNDER_WAY {
                    let jitter = delay.jitter.as_micros().max(1) as u64;
                    let jitter = Duration::from_micros(random.next_u64() % jitter);
                    let at = Instant::now() + delay.least + jitter;
                    under_way.push(Reverse((at, number, 1 - from, buffer[..length].to_vec())));
                    number += 1;
                }
            }
        }
        let now = Instant::now();
        while under_way.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            if let Some(Reverse((_, _, to, frame))) = under_way.pop() {
                // One that an interface which is down does not take is lost.
                let _ = taps[to].write(&frame);
            }
        }
        let next = under_way.peek().map_or(LOOK, |Reverse((at, ..))| *at - now);
        let wait = PollTimeout::from(next.min(LOOK).as_millis() as u8 + 1);
        let mut fds = [&taps[0], &taps[1]].map(|tap| PollFd::new(tap.as_fd(), PollFlags::POLLIN));
        let _ = poll(&mut fds, wait);
    }
}

/// `struct ifreq` as far as TUNSETIFF reads it (netdevice(7)).
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    rest: [u8; 22],
}

/// Makes a TAP interface in the namespace of this thread; it is there as long as the file is open.
fn tap(name: &str) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    let mut request = Request {
        name: [0; libc::IFNAMSIZ],
        flags: (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short,
        rest: [0; 22],
    };
    let room = request.name.iter_mut().take(libc::IFNAMSIZ - 1);
    for (to, from) in room.zip(name.bytes()) {
        *to = from;
    }
    // Neither the standard library nor nix knows how to name a TAP interface.
    #[allow(unsafe_code)]
    // SAFETY: the file is open, and TUNSETIFF reads and writes a `struct ifreq`, which is 40 bytes
    // long, laid out as `Request`, and alive for the call.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    match done {
        0 => Ok(file),
        _ => Err(io::Error::last_os_error()),
    }
}
