//! What did not leave this machine, or was refused (spec: X52).

use super::*;
use holdline_wire::machine::{LocalFault, TransportFault};

impl Bench {
    fn fault(&mut self, remote: &str, fault: TransportFault, quoted: &[u8]) {
        let key = TransportKey::udp(self.address, addr(remote));
        let quoted = Bytes::copy_from_slice(quoted);
        self.input(Input::Fault { key, fault, quoted });
    }
}

// spec: X52
#[test]
fn a_failure_of_our_own_ends_no_call() {
    for kind in LocalFault::ALL {
        let mut bench = Bench::new();
        let mut up = bench.establish("c1");
        bench.agent_requests(&mut up.agent, Method::Info, &[]);
        let info = bench.ua_gets("INFO");
        for _ in 0..20 {
            bench.fault(UA, TransportFault::Local(kind), info.bytes());
            bench.fault(AGENT, TransportFault::Local(kind), b"");
        }
        bench.quiet();
        bench.ua_responds(&info, 200, None);
        bench.agent_gets("200");
        bench.agent_hangs_up(&mut up.agent);
        bench.no_leaks();
    }
}

// spec: X52
#[test]
fn a_new_call_that_cannot_leave_is_refused_at_once_so_that_another_node_is_asked() {
    let mut bench = Bench::new();
    bench.agent_sends(invite("c1", "", OFFER));
    bench.agent_gets("100");
    let down = bench.ua_gets("INVITE");
    let no_route = TransportFault::Local(LocalFault::NoRoute);
    bench.fault(UA, no_route, down.bytes());
    bench.agent_gets("503");
}

// spec: X52 X41
#[test]
fn a_refusal_of_what_was_not_sent_ends_nothing() {
    let mut bench = Bench::new();
    bench.agent_sends(invite("c1", "", OFFER));
    bench.agent_gets("100");
    let down = bench.ua_gets("INVITE");
    bench.fault(
        UA,
        TransportFault::Refused,
        b"INVITE sip:somebody@else SIP/2.0",
    );
    bench.quiet();
    bench.fault(UA, TransportFault::Refused, down.bytes());
    bench.agent_gets("503");
}
