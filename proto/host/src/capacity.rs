//! How many calls a program can carry: what is configured, or what its media ports and open files
//! allow where that is less (spec: X51). It is known at the start, so that utilization and refusals
//! count it, instead of being found out when a call, or a move, gets no socket.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fmt;
use std::io;

/// What decides how many calls there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The configuration.
    Configured,
    /// `media.ports`.
    Ports,
    /// The limit of open files.
    Descriptors,
}

impl Bound {
    /// The bound in a word, for `/status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Bound::Configured => "configured",
            Bound::Ports => "ports",
            Bound::Descriptors => "descriptors",
        }
    }
}

/// Port pairs of a call: RTP and RTCP of one audio stream on each side.
const PAIRS_OF_A_CALL: usize = 2;
/// A socket for each of their ports.
const SOCKETS_OF_A_CALL: u64 = 4;
/// Open files for HTTP (128 connections), SIP, the store, epoll and logs.
const RESERVE: u64 = 160;
/// Connected SIP sockets have one in so many open files, at most as many as there may be.
const CONNECTED: u64 = 16;

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// The configured number of calls, and its key.
    pub configured: (usize, &'static str),
    /// Whether the operator set it: fewer ports than a default reckons with are no fault.
    pub asked: bool,
    /// Pairs of media ports.
    pub port_pairs: usize,
    /// The limit of open files.
    pub descriptors: u64,
    /// Connected SIP sockets that are open at a time, at most.
    pub connected: usize,
}

/// How many calls there may be, and why no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Live calls at most.
    pub calls: usize,
    /// What bounds them.
    pub bound: Bound,
    means: Means,
}

impl Capacity {
    /// The least of what is configured and what ports and open files allow for calls with audio.
    pub fn of(means: Means) -> Capacity {
        let (configured, _) = means.configured;
        let connected = (means.connected as u64).min(means.descriptors / CONNECTED);
        let sockets = means.descriptors.saturating_sub(RESERVE + connected);
        let by_sockets = usize::try_from(sockets / SOCKETS_OF_A_CALL).unwrap_or(usize::MAX);
        let mut least = (configured, Bound::Configured);
        for (calls, bound) in [
            (means.port_pairs / PAIRS_OF_A_CALL, Bound::Ports),
            (by_sockets, Bound::Descriptors),
        ] {
            if calls < least.0 {
                least = (calls, bound);
            }
        }
        Capacity {
            calls: least.0,
            bound: least.1,
            means,
        }
    }

    /// Says it in the log: a warning where there is less than was asked for, or where open files are few. An error where not a
    /// single call fits.
    pub fn tell(&self) -> io::Result<()> {
        if self.calls == 0 {
            return Err(io::Error::other(format!("no call would fit. {self}")));
        }
        match self.bound {
            Bound::Ports if self.means.asked => tracing::warn!("{self}"),
            Bound::Descriptors => tracing::warn!("{self}"),
            Bound::Configured | Bound::Ports => tracing::info!("{self}"),
        }
        Ok(())
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Means {
            configured: (configured, key),
            port_pairs,
            descriptors,
            ..
        } = self.means;
        let calls = self.calls;
        match self.bound {
            Bound::Configured => write!(f, "capacity: {calls} calls, as configured ({key})"),
            Bound::Ports => write!(
                f,
                "capacity: {calls} calls, bound by media.ports ({port_pairs} pairs, two for a call); \
                 {key} is {configured}: give media.ports more of them, or lower {key}"
            ),
            Bound::Descriptors => write!(
                f,
                "capacity: {calls} calls, bound by open files (hard limit {descriptors}, four for a call); \
                 {key} is {configured}: raise LimitNOFILE of the systemd unit or the hard limit of ulimit -n, \
                 or lower {key}"
            ),
        }
    }
}

/// Raises this process's limit of open files as far as it may by itself: what it is then. A shell's
/// usual soft limit of 1,024 is too little for 220 calls, and most systems' hard limit is far above.
pub fn raise_open_files() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(configured: usize, port_pairs: usize, descriptors: u64) -> Means {
        Means {
            configured: (configured, "node.capacity"),
            asked: true,
            port_pairs,
            descriptors,
            connected: 0,
        }
    }

    // spec: X51
    #[test]
    fn capacity_is_the_least_of_what_is_configured_and_what_there_is() {
        let of = |means| {
            let capacity = Capacity::of(means);
            (capacity.calls, capacity.bound)
        };
        assert_eq!(of(means(1000, 5000, 1 << 20)), (1000, Bound::Configured));
        assert_eq!(of(means(1000, 5000, 1024)), (216, Bound::Descriptors));
        assert_eq!(of(means(1000, 1600, 1 << 20)), (800, Bound::Ports));
        assert_eq!(of(means(1000, 160, 1024)), (80, Bound::Ports));
        assert_eq!(of(means(1, 2, 164)), (1, Bound::Configured));
        assert_eq!(of(means(1, 2, 163)), (0, Bound::Descriptors));
        assert_eq!(of(means(1000, 5000, 0)), (0, Bound::Descriptors));
        let many = Means {
            connected: 4096,
            ..means(1_000_000, 30_000, 1024)
        };
        assert_eq!(of(many), (200, Bound::Descriptors));
        assert!(Capacity::of(means(1, 0, 1024)).tell().is_err());
    }

    #[test]
    fn what_bounds_it_is_told_with_what_to_do() {
        let text = |means| Capacity::of(means).to_string();
        let configured = text(means(100, 5000, 1 << 20));
        assert_eq!(
            configured,
            "capacity: 100 calls, as configured (node.capacity)"
        );
        let files = text(means(1000, 5000, 1024));
        for part in ["216 calls", "1024", "node.capacity is 1000", "LimitNOFILE"] {
            assert!(files.contains(part), "{files}");
        }
        let ports = text(means(1000, 160, 1024));
        assert!(ports.contains("80 calls, bound by media.ports"), "{ports}");
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let limit = raise_open_files().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (limit, limit));
    }
}
