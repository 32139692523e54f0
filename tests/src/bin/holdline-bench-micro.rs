//! What messages and decisions cost, with their allocations.

use bytes::Bytes;
use holdline_tests::bench::allocations::{self, Counting};
use holdline_tests::bench::{
    Arguments, Caller, Cluster, Cost, Description, Figures, Plan, Section, callee, run,
};
use holdline_tests::rig::Error;
use holdline_wire::Message;
use holdline_wire::build::{Body, Builder};
use holdline_wire::header::Name;
use std::hint::black_box;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Instant;

#[global_allocator]
static COUNTED: Counting = Counting;

/// Calls on the node that dies.
const CALLS: u32 = 1_000;
/// Calls from INVITE to BYE: more virtual time than any timer of theirs takes.
const WHOLE_CALLS: u32 = 4_000;
/// A run is the median of so many batches of so many pieces of work.
const BATCHES: usize = 200;
const BATCH: u32 = 500;
/// Microseconds and allocations of parsing an INVITE at most.
const TARGET: (f64, f64) = (1.5, 4.0);

fn main() -> ExitCode {
    run("micro", bench)
}

/// Time (microseconds), allocations and bytes of one kind of work.
struct Measured {
    name: &'static str,
    time: Figures,
    allocations: f64,
    bytes: f64,
}

fn measure(name: &'static str, runs: u32, mut work: impl FnMut()) -> Measured {
    let mut time = Figures::default();
    for _ in 0..runs {
        let batch = |_| {
            let start = Instant::now();
            (0..BATCH).for_each(|_| work());
            start.elapsed().as_secs_f64() * 1e6 / f64::from(BATCH)
        };
        time.push((0..BATCHES).map(batch).collect::<Figures>().median());
    }
    let before = allocations::so_far();
    (0..BATCH).for_each(|_| work());
    let after = allocations::so_far();
    let each = |after: u64, before: u64| (after - before) as f64 / f64::from(BATCH);
    eprintln!("micro: {name}: {:.3} us", time.median());
    Measured {
        name,
        time,
        allocations: each(after.0, before.0),
        bytes: each(after.1, before.1),
    }
}

/// An INVITE as a carrier sends it, and the 200 to it.
fn messages() -> Result<(Bytes, Bytes), Error> {
    let at = |text: &str| text.parse::<SocketAddr>();
    let plan = Plan {
        caller: at("192.0.2.20:5060")?,
        callee: at("192.0.2.30:5060")?,
        next_hop: at("192.0.2.30:5060")?,
        description: Description::Audio,
        first_port: 20_000,
    };
    let invite = Caller::new(plan).invite(1);
    let (answers, _) = callee(&plan, plan.caller, &Message::parse(invite.clone())?);
    let answer = answers.last().cloned().ok_or("the callee is silent")?;
    Ok((invite, answer))
}

/// As a B2BUA passes a request on: every header, one of them its own.
fn print(message: &Message, body: &Body) -> Bytes {
    let start = Builder::request(message.method(), message.request_uri());
    let copy = message
        .fields()
        .fold(start, |builder, field| match field.name {
            Name::CallId => builder.header(field.name, "another@192.0.2.1"),
            _ => builder.raw(field.raw_name, field.value),
        });
    copy.finish(Some(body)).expect("it was a message")
}

fn bench(arguments: &Arguments) -> Result<Section, Error> {
    let (invite, answer) = messages()?;
    let mut section = Section::new(
        "Messages and decisions",
        "micro",
        arguments.runs,
        &format!(
            "INVITE of {} bytes, 200 of {} bytes; a run is the median of {BATCHES} batches of {BATCH}; \
             {CALLS} calls on a node that dies, with two nodes left",
            invite.len(),
            answer.len()
        ),
    );
    let runs = arguments.runs;
    let (request, response) = (
        Message::parse(invite.clone())?,
        Message::parse(answer.clone())?,
    );
    let (offer, agreed) = (Body::sdp(request.body()), Body::sdp(response.body()));
    let source = "192.0.2.20:5060".parse()?;
    let measured = [
        measure("parse INVITE", runs, || {
            drop(black_box(Message::parse(black_box(invite.clone()))))
        }),
        measure("parse 200", runs, || {
            drop(black_box(Message::parse(black_box(answer.clone()))))
        }),
        measure("print INVITE", runs, || {
            drop(black_box(print(black_box(&request), &offer)))
        }),
        measure("print 200", runs, || {
            let builder = Builder::response(black_box(&request), source, 200, b"", Some("callee"))
                .header(Name::Contact, "<sip:192.0.2.30:5060>")
                .header(Name::Supported, "replaces");
            drop(black_box(builder.finish(Some(&agreed))));
        }),
    ];
    let mut rows: Vec<_> = measured.iter().map(row).collect();
    let name = "a call, INVITE to BYE";
    let (row, _) = decide(name, runs, WHOLE_CALLS, || {
        Cluster::whole_calls(WHOLE_CALLS)
    })?;
    rows.push(row);
    let name = "move a call of a dead node";
    let (row, each) = decide(name, runs, CALLS, || {
        Cluster::with_calls(CALLS)?.kill(CALLS)
    })?;
    rows.push(row);
    section.table(
        [
            "work",
            "us, median",
            "spread",
            "allocations",
            "bytes allocated",
        ],
        &rows,
    );
    let invite = &measured[0];
    let met = invite.time.median() <= TARGET.0 && invite.allocations <= TARGET.1;
    section.say(format!(
        "A call is all that the agent's core does for it, sockets not counted: 14 messages and \
         their timers, while 100 calls come each virtual second and 200 are up. To \
         move a call is all that it does from the verdict until the INVITE with Replaces leaves, \
         without the pacing between calls: {CALLS} take {:.1} ms of one core. Nothing is sealed yet, so no ticket is in it. Target for parsing an INVITE: {} us and {} \
         allocations. {}",
        each * f64::from(CALLS) / 1e3,
        TARGET.0,
        TARGET.1,
        if met { "Met." } else { "Missed." }
    ));
    Ok(section)
}

/// A row about the agent's core, and its median in microseconds for each of `calls`.
fn decide(
    name: &str,
    runs: u32,
    calls: u32,
    mut work: impl FnMut() -> Result<Cost, Error>,
) -> Result<([String; 5], f64), Error> {
    let (mut time, mut allocations) = (Figures::default(), 0);
    for _ in 0..runs {
        let cost = work()?;
        time.push(cost.time.as_secs_f64() * 1e6 / f64::from(calls));
        allocations = cost.allocations;
    }
    eprintln!("micro: {name}: {:.2} us", time.median());
    let row = [
        format!("agent's core: {name}"),
        format!("{:.2}", time.median()),
        time.spread(2),
        format!("{:.1}", allocations as f64 / f64::from(calls)),
        String::new(),
    ];
    Ok((row, time.median()))
}

fn row(measured: &Measured) -> [String; 5] {
    [
        measured.name.to_owned(),
        format!("{:.3}", measured.time.median()),
        measured.time.spread(3),
        format!("{:.1}", measured.allocations),
        format!("{:.0}", measured.bytes),
    ]
}
