//! What the far end says: a refusal of its own shuts nobody out, and one that looks a user up before
//! it reads Replaces keeps its calls. Both ends are user agents of the test's own, without media.

use holdline_tests::rig::{NODES, Rig};
use holdline_tests::ua::{
    By, CallNumber, ContactUser, In, Out, Placement, Profile, Refusing, Ua, ports,
};
use holdline_wire::machine::{Input, Machine, Output};
use holdline_wire::token::Tokens;
use holdline_wire::{Time, TransportKey};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// For what takes milliseconds, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// A user agent on a socket, and what it told.
struct End {
    ua: Ua,
    sip: UdpSocket,
    told: Vec<Out>,
}

impl End {
    fn new(profile: Profile, seed: u8) -> End {
        let at = profile.address;
        let sip = UdpSocket::bind(at).unwrap();
        sip.set_nonblocking(true).unwrap();
        let mut ua = Ua::new(profile, Tokens::new([seed; 32]));
        ua.handle(
            Time::ZERO,
            Input::Other(In::Ports(ports(at.ip(), 40_000, 200))),
        );
        let told = Vec::new();
        End { ua, sip, told }
    }

    /// Takes what came and does what is due.
    fn turn(&mut self, now: Time, input: Option<Input<In>>) {
        let mut buffer = [0; 4096];
        let local = self.sip.local_addr().unwrap();
        let mut inputs: Vec<Input<In>> = input.into_iter().collect();
        while let Ok((len, remote)) = self.sip.recv_from(&mut buffer) {
            let bytes = buffer[..len].to_vec().into();
            let from = TransportKey::udp(local, remote);
            inputs.push(Input::Message { from, bytes });
        }
        if self.ua.poll_deadline().is_some_and(|at| at <= now) {
            inputs.push(Input::Deadline);
        }
        for input in inputs {
            self.ua.handle(now, input);
            while let Some(output) = self.ua.poll_output() {
                match output {
                    // What is refused is as lost as on the wire.
                    Output::Send { to, bytes } => drop(self.sip.send_to(&bytes, to.remote)),
                    Output::Other(out) => self.told.push(out),
                    Output::Close(_) => {}
                }
            }
        }
    }
}

/// Both ends and their time.
struct Ends {
    caller: End,
    callee: End,
    agent: SocketAddr,
    start: Instant,
}

impl Ends {
    fn new(rig: &Rig, callee: Profile) -> Ends {
        Ends {
            caller: End::new(Profile::new(rig.block.caller()), 1),
            callee: End::new(callee, 2),
            agent: rig.block.agent_sip(),
            start: Instant::now(),
        }
    }

    fn call(&mut self, number: CallNumber) {
        let host = self.caller.ua.profile().address.to_string();
        let placement = Placement::new(number, &host, self.agent);
        let now = Time::ZERO + self.start.elapsed();
        self.caller
            .turn(now, Some(Input::Other(In::Call(placement))));
    }

    /// Goes on until `done`.
    fn until(&mut self, what: &str, mut done: impl FnMut(&Ends) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < end, "waited in vain until {what}");
            let now = Time::ZERO + self.start.elapsed();
            self.caller.turn(now, None);
            self.callee.turn(now, None);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_up(&self, number: CallNumber) -> bool {
        self.caller.ua.is_up(number) && self.callee.ua.is_up(number)
    }

    /// Calls, and how the call was refused: status and first Reason.
    fn refused(&mut self, number: CallNumber) -> (u16, Option<String>) {
        self.call(number);
        self.until("the call is refused", |ends| ends.ending(number).is_some());
        self.ending(number).expect("just found")
    }

    fn ending(&self, number: CallNumber) -> Option<(u16, Option<String>)> {
        self.caller.told.iter().find_map(|out| match out {
            Out::Ended {
                call,
                by: By::Peer,
                reason,
                status,
            } if *call == number => Some((*status, reason.clone())),
            _ => None,
        })
    }

    /// The node with the most of `count` calls, once the agent tells of them all, is killed; how many
    /// it had.
    fn kill_busiest(&mut self, rig: &mut Rig, count: usize) -> usize {
        self.until("the agent tells of all calls", |_| {
            let nodes = rig.status().unwrap().trunk.nodes;
            nodes.iter().map(|node| node.calls).sum::<usize>() == count
        });
        let (node, calls) = rig.busiest().unwrap();
        rig.kill_node(node).unwrap();
        calls
    }

    /// So many calls, one after the other, each of which comes up.
    fn come_up(&mut self, numbers: std::ops::Range<CallNumber>) {
        for number in numbers {
            self.call(number);
            self.until("the call is up", |ends| {
                let ending = ends.ending(number);
                assert_eq!(ending, None, "call {number}");
                ends.is_up(number)
            });
        }
    }
}

fn refusing(rig: &Rig, status: u16, retry_after: Option<u32>) -> Profile {
    Profile {
        refusing: Some(Refusing {
            first: u32::MAX,
            status,
            retry_after,
            replaces: false,
        }),
        ..Profile::new(rig.block.callee())
    }
}

/// A carrier that has no circuit for one call, and a callee that says 408, refuse that call alone:
/// it is asked once, and the next calls come up on all nodes.
// spec: X53
#[test]
fn what_the_far_end_refuses_shuts_nobody_out() {
    let rig = Rig::start().unwrap();
    let mut ends = Ends::new(&rig, Profile::new(rig.block.callee()));
    for (number, status, told) in [(1, 503, 500), (2, 408, 408), (3, 480, 480), (4, 486, 486)] {
        ends.callee.ua.set_profile(refusing(&rig, status, Some(30)));
        let (refused, reason) = ends.refused(number);
        assert_eq!(refused, told);
        if status == 503 {
            let reason = reason.expect("a Reason");
            assert!(reason.starts_with("SIP;cause=503"), "{reason}");
        }
        let counts = ends.callee.ua.counts(number);
        assert_eq!(counts.invites_received, 1, "{status}");
        ends.callee.ua.set_profile(Profile::new(rig.block.callee()));
        // So many that no node can have been left out.
        let first = 100 * number;
        ends.come_up(first..first + 9);
    }
    ends.until("the agent tells of calls on all nodes", |_| {
        let nodes = rig.status().unwrap().trunk.nodes;
        nodes.iter().filter(|node| node.calls > 0).count() == NODES
    });
}

/// The far end's Contact has no user, or one that it does not know itself, and it says 404 before it
/// reads Replaces (as Asterisk does): the user by which it was called is what finds it.
// spec: X24a
#[test]
fn a_far_end_that_looks_its_user_up_first_keeps_the_calls_of_a_dead_node() {
    for contact in [ContactUser::Nobody, ContactUser::Trunk] {
        let mut rig = Rig::start().unwrap();
        let callee = Profile {
            contact,
            looks_up: true,
            ..Profile::new(rig.block.callee())
        };
        let mut ends = Ends::new(&rig, callee);
        ends.come_up(1..13);
        let calls = ends.kill_busiest(&mut rig, 12);
        ends.until("the calls have moved", |ends| {
            let lost = (1..13).find_map(|number| Some((number, ends.ending(number)?)));
            assert_eq!(lost, None);
            ends.callee.ua.totals().replaces_accepted as usize >= calls
        });
        assert!((1..13).all(|number| ends.is_up(number)));
        let unknown = ends.callee.ua.totals().users_unknown as usize;
        match contact {
            ContactUser::Nobody => assert_eq!(unknown, 0, "asked with the user at once"),
            _ => assert!(unknown >= calls, "asked by its own Contact first"),
        }
    }
}

/// It has no room just now for an INVITE with Replaces: the call is asked once more, after a pause.
// spec: X53, X24
#[test]
fn a_far_end_that_refuses_a_move_for_the_moment_is_asked_again_later() {
    let mut rig = Rig::start().unwrap();
    let callee = Profile {
        refusing: Some(Refusing {
            first: 1,
            status: 503,
            retry_after: Some(1),
            replaces: true,
        }),
        ..Profile::new(rig.block.callee())
    };
    let mut ends = Ends::new(&rig, callee);
    ends.come_up(1..10);
    let calls = ends.kill_busiest(&mut rig, 9);
    ends.until("the calls have moved", |ends| {
        ends.callee.ua.totals().replaces_accepted as usize >= calls
    });
    let totals = ends.callee.ua.totals();
    assert_eq!(totals.invites_refused as usize, calls);
    assert_eq!(totals.invites_received as usize, 9 + 2 * calls);
    assert!((1..10).all(|number| ends.is_up(number)));
}
