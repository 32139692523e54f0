//! Hosts on one switch, and what can be done to their links.

use super::slow::Slow;
use super::{Delay, Namespace};
use crate::failure::Error;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};

/// Debian has both programs where not every user looks.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The bridge's name in the switch.
pub const BRIDGE: &str = "br0";
/// The only interface of a host.
pub const INTERFACE: &str = "eth0";

/// Hosts on a switch. All is gone when it is dropped and the processes on its hosts have ended.
#[derive(Debug)]
pub struct Lan {
    switch: Namespace,
    hosts: BTreeMap<String, Namespace>,
    // Its interfaces live as long as it does.
    _slow: Vec<Slow>,
}

impl Lan {
    /// Why this machine can make none; nothing where it can.
    pub fn obstacle() -> Option<String> {
        for (program, version) in [("ip", "-V"), ("nft", "-v")] {
            if run(program, &[version], "").is_err() {
                return Some(format!("the program {program} is not here"));
            }
        }
        let tried = Namespace::new().map_err(Error::from);
        let tried = tried.and_then(|switch| prepare(&switch));
        tried.err().map(|error| error.to_string())
    }

    /// Hosts by name with their addresses, all in one /24; those in `slow` behind a link with
    /// such a delay.
    pub fn new(
        hosts: &[(String, Vec<IpAddr>)],
        slow: &BTreeMap<String, Delay>,
    ) -> Result<Lan, Error> {
        let switch = Namespace::new()?;
        prepare(&switch)?;
        let mut lan = Lan {
            switch,
            hosts: BTreeMap::new(),
            _slow: Vec::new(),
        };
        for (name, addresses) in hosts {
            let host = Namespace::new()?;
            host.within(no_ipv6)??;
            match slow.get(name) {
                None => lan.cable(name, &host)?,
                Some(delay) => {
                    let slow = Slow::new([(&host, INTERFACE), (&lan.switch, &port(name))], *delay)?;
                    lan._slow.push(slow);
                }
            }
            let mut batch = format!("link set lo up\nlink set {INTERFACE} up\n");
            for address in addresses {
                batch += &format!("addr add {address}/24 dev {INTERFACE}\n");
            }
            host.within(|| run("ip", &["-batch", "-"], &batch))??;
            let port = port(name);
            let batch = format!("link set {port} master {BRIDGE}\nlink set {port} up\n");
            lan.on_switch("ip", &["-batch", "-"], &batch)?;
            lan.hosts.insert(name.clone(), host);
        }
        Ok(lan)
    }

    /// An ordinary link from the switch to `host`.
    fn cable(&self, name: &str, host: &Namespace) -> Result<(), Error> {
        let path = host.path();
        let path = path.to_str().ok_or("the namespace's path is no text")?;
        let batch = format!(
            "link add {} type veth peer name {INTERFACE} netns {path}\n",
            port(name)
        );
        self.on_switch("ip", &["-batch", "-"], &batch)
    }

    /// The network of a host.
    pub fn host(&self, name: &str) -> Result<&Namespace, Error> {
        let host = self.hosts.get(name);
        host.ok_or_else(|| format!("there is no host {name}").into())
    }

    /// The switch: whoever listens at [`BRIDGE`] there sees all frames.
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// Cuts the link of a host: nobody is told, no ICMP comes.
    pub fn unplug(&self, name: &str) -> Result<(), Error> {
        self.on_switch("ip", &["link", "set", &port(name), "down"], "")
    }

    /// Mends it.
    pub fn plug(&self, name: &str) -> Result<(), Error> {
        self.on_switch("ip", &["link", "set", &port(name), "up"], "")
    }

    /// Loses so many of 100 packets from one host to another, at random; 100: all of them.
    pub fn lose(&self, from: &str, to: &str, percent: u8) -> Result<(), Error> {
        let ends = format!("iifname {} oifname {}", port(from), port(to));
        self.drop(&format!("{ends} {}", share(percent)))
    }

    /// The same on all links, each packet once. Not ARP: a host whose three questions for a
    /// neighbour are lost is silent for a second, which says nothing about anybody's calls.
    pub fn lose_everywhere(&self, percent: u8) -> Result<(), Error> {
        self.drop(&format!("ether type ip {}", share(percent)))
    }

    /// No packet between the two any more.
    pub fn part(&self, one: &str, other: &str) -> Result<(), Error> {
        self.lose(one, other, 100)?;
        self.lose(other, one, 100)
    }

    /// Takes back every loss and partition.
    pub fn heal(&self) -> Result<(), Error> {
        self.on_switch(
            "nft",
            &["flush", "chain", "bridge", "faults", "forward"],
            "",
        )
    }

    /// Takes the interface of a host down: the host itself knows, and has no route any more.
    pub fn down(&self, name: &str) -> Result<(), Error> {
        self.on_host(name, "ip", &["link", "set", INTERFACE, "down"], "")
    }

    /// Takes it up again.
    pub fn up(&self, name: &str) -> Result<(), Error> {
        self.on_host(name, "ip", &["link", "set", INTERFACE, "up"], "")
    }

    /// The host has no way to these addresses any more, and knows it; it hears them still.
    pub fn bar(&self, name: &str, to: &[IpAddr]) -> Result<(), Error> {
        self.route(name, "add unreachable", to)
    }

    /// Gives the ways back that [`Lan::bar`] has taken.
    pub fn unbar(&self, name: &str, to: &[IpAddr]) -> Result<(), Error> {
        self.route(name, "del unreachable", to)
    }

    fn route(&self, name: &str, what: &str, to: &[IpAddr]) -> Result<(), Error> {
        let lines: String = to.iter().map(|ip| format!("route {what} {ip}\n")).collect();
        self.on_host(name, "ip", &["-batch", "-"], &lines)
    }

    /// The host's own packet filter lets nothing out: whoever sends is refused (EPERM).
    pub fn filter(&self, name: &str) -> Result<(), Error> {
        let rules = format!(
            "add table ip own\n\
             add chain ip own out {{ type filter hook output priority 0; }}\n\
             add rule ip own out oifname {INTERFACE} drop\n"
        );
        self.on_host(name, "nft", &["-f", "-"], &rules)
    }

    /// It lets everything out again.
    pub fn unfilter(&self, name: &str) -> Result<(), Error> {
        self.on_host(name, "nft", &["delete", "table", "ip", "own"], "")
    }

    fn on_host(&self, name: &str, program: &str, args: &[&str], input: &str) -> Result<(), Error> {
        self.host(name)?.within(|| run(program, args, input))?
    }

    fn drop(&self, which: &str) -> Result<(), Error> {
        let rule = format!("add rule bridge faults forward {which} counter drop\n");
        self.on_switch("nft", &["-f", "-"], &rule)
    }

    fn on_switch(&self, program: &str, args: &[&str], input: &str) -> Result<(), Error> {
        self.switch.within(|| run(program, args, input))?
    }
}

/// The bridge, and a place for rules that drop.
fn prepare(switch: &Namespace) -> Result<(), Error> {
    switch.within(|| {
        no_ipv6()?;
        no_packet_filter()?;
        let bridge = format!("link add {BRIDGE} type bridge\nlink set {BRIDGE} up\n");
        run("ip", &["-batch", "-"], &bridge)?;
        let chain = "add table bridge faults\n\
                     add chain bridge faults forward { type filter hook forward priority 0; }\n";
        run("nft", &["-f", "-"], chain)
    })?
}

/// The switch's end of a host's link.
fn port(host: &str) -> String {
    format!("p-{host}")
}

fn share(percent: u8) -> String {
    match percent {
        100.. => String::new(),
        _ => format!("numgen random mod 100 < {percent}"),
    }
}

/// IPv6 would only speak up by itself.
fn no_ipv6() -> Result<(), Error> {
    for which in ["all", "default"] {
        let switch = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
        // A kernel without IPv6 has none.
        if std::path::Path::new(&switch).exists() {
            std::fs::write(switch, "1")?;
        }
    }
    Ok(())
}

/// A bridge need not ask the IP packet filter of the machine about each frame: that has nothing to
/// say here and costs more than the frame.
fn no_packet_filter() -> Result<(), Error> {
    let switch = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    if std::path::Path::new(switch).exists() {
        std::fs::write(switch, "0")?;
    }
    Ok(())
}

/// Runs a program to its end; what it says is the error.
fn run(program: &str, args: &[&str], input: &str) -> Result<(), Error> {
    let mut child = Command::new(program)
        .args(args)
        .env("PATH", PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {}: {} ({input})", args.join(" "), said.trim()).into())
}
