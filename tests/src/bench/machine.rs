//! What the kernel says of processes and of itself (proc(5)).

use nix::unistd::{SysconfVar, sysconf};
use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::io;
use std::time::Duration;

/// User and system time of a process and of all its children, in steps of 10 ms each.
pub fn cpu(pid: u32) -> io::Result<Duration> {
    let mut stats = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(number) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some(stat) = read_to_string(entry.path().join("stat"))
            .ok()
            .as_deref()
            .and_then(stat)
        {
            stats.insert(number, stat);
        }
    }
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        family.extend(
            stats
                .iter()
                .filter(|(_, s)| s.0 == parent)
                .map(|(child, _)| child),
        );
        at += 1;
    }
    let ticks: u64 = family
        .iter()
        .filter_map(|pid| stats.get(pid))
        .map(|s| s.1)
        .sum();
    let frequency = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100);
    if stats.contains_key(&pid) {
        Ok(Duration::from_secs_f64(ticks as f64 / frequency as f64))
    } else {
        Err(io::Error::other(format!("process {pid} is gone")))
    }
}

/// Parent and ticks of processor: fields 4, 14 and 15 of `/proc/PID/stat`.
fn stat(text: &str) -> Option<(u32, u64)> {
    // The name in parentheses may hold spaces: count from its end.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks = |n: usize| fields.get(n)?.parse::<u64>().ok();
    Some((fields.get(1)?.parse().ok()?, ticks(11)? + ticks(12)?))
}

/// User memory of one process, bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// RssAnon: heap, stacks, whatever is its own.
    pub anonymous: u64,
    /// Private_Dirty of `smaps_rollup`: the same and the pages of files that it has written to.
    pub private_dirty: u64,
}

impl Memory {
    /// That of `pid` now.
    pub fn of(pid: u32) -> io::Result<Memory> {
        let status = read_to_string(format!("/proc/{pid}/status"))?;
        let smaps = read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        Ok(Memory {
            anonymous: kilobytes(&status, "RssAnon:")?,
            private_dirty: kilobytes(&smaps, "Private_Dirty:")?,
        })
    }
}

/// Memory of the kernel, of the whole machine, bytes.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// All slabs: sockets, their inodes, files, epoll items.
    pub slab: u64,
    /// Buffers that UDP sockets hold or have reserved.
    pub udp_buffers: u64,
    /// UDP sockets.
    pub udp_sockets: u64,
    /// Live objects and bytes of each slab cache; empty where only root may read them.
    pub caches: BTreeMap<String, (u64, u64)>,
}

impl Kernel {
    /// That of now.
    pub fn now() -> io::Result<Kernel> {
        let sockets = read_to_string("/proc/net/sockstat")?;
        let udp = sockets.lines().find(|line| line.starts_with("UDP:"));
        let udp: Vec<&str> = udp.unwrap_or_default().split(' ').collect();
        let number = |name: &str| {
            let at = udp.iter().position(|word| *word == name);
            at.and_then(|at| udp.get(at + 1)?.parse::<u64>().ok())
                .unwrap_or_default()
        };
        let page = sysconf(SysconfVar::PAGE_SIZE)?.unwrap_or(4096);
        Ok(Kernel {
            slab: kilobytes(&read_to_string("/proc/meminfo")?, "Slab:")?,
            udp_buffers: number("mem") * u64::try_from(page).unwrap_or_default(),
            udp_sockets: number("inuse"),
            caches: read_to_string("/proc/slabinfo")
                .map(|text| caches(&text))
                .unwrap_or_default(),
        })
    }

    /// The caches that grew by most bytes since `before`: name, objects, bytes.
    pub fn grown(&self, before: &Kernel) -> Vec<(String, u64, u64)> {
        let grown = |(name, now): (&String, &(u64, u64))| {
            let then = before.caches.get(name).copied().unwrap_or_default();
            let (objects, bytes) = (now.0.saturating_sub(then.0), now.1.saturating_sub(then.1));
            (bytes > 0).then(|| (name.clone(), objects, bytes))
        };
        let mut all: Vec<_> = self.caches.iter().filter_map(grown).collect();
        all.sort_by_key(|(_, _, bytes)| std::cmp::Reverse(*bytes));
        all
    }
}

/// Active objects of each cache, and their bytes (slabinfo(5)).
fn caches(text: &str) -> BTreeMap<String, (u64, u64)> {
    let cache = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?;
        let active: u64 = words.next()?.parse().ok()?;
        let size: u64 = words.nth(1)?.parse().ok()?;
        Some((name.to_owned(), (active, active * size)))
    };
    text.lines().filter_map(cache).collect()
}

fn kilobytes(text: &str, name: &str) -> io::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    number
        .map(|kilobytes| kilobytes * 1024)
        .ok_or_else(|| io::Error::other(format!("the kernel does not say {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let text = "7 (a) b (c) S 3 7 7 0 -1 0 0 0 0 0 12 30 1 1 20 0 1 0 0 0 0";
        assert_eq!(stat(text), Some((3, 42)));
        assert!(cpu(std::process::id()).is_ok());
        assert!(cpu(u32::MAX).is_err());
        let own = Memory::of(std::process::id()).unwrap();
        assert!(own.anonymous > 0 && own.private_dirty > 0);
    }

    #[test]
    fn slabs_are_counted_by_object() {
        let text = "slabinfo - version: 2.1\n# name <active_objs> ...\nUDP 30 32 1280 8 1 : x\n";
        assert_eq!(caches(text), [("UDP".to_owned(), (30, 38400))].into());
    }

    #[test]
    fn a_socket_is_seen() {
        let _socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(Kernel::now().unwrap().udp_sockets > 0);
    }
}
