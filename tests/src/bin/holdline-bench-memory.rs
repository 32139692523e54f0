//! Memory per call: user and kernel, agent and node, with and without media ports.

use holdline_tests::bench::{
    Arguments, Crowd, Description, Figures, Kernel, Memory, Plan, Section, Stand, raise_open_files,
    run,
};
use holdline_tests::rig::Error;
use std::process::ExitCode;
use std::time::Duration;

/// Calls: the programs set aside four sockets for each, with ports or without, and 20,000 open
/// files are a usual limit, of which they say that it is enough for 4,600 calls (spec: X51).
const CALLS: u32 = 4_000;
/// Calls a second.
const RATE: f64 = 400.0;
/// Until the transactions of the last call are forgotten (32 s, RFC 3261 timers) and the kernel
/// has freed what it frees late.
const SETTLE: Duration = Duration::from_secs(36);
/// Bytes of user memory a call at most.
const TARGET: f64 = 8.0 * 1024.0;
const PROGRAMS: [&str; 2] = ["agent", "node"];

fn main() -> ExitCode {
    run("memory", bench)
}

/// Of one run, bytes a call.
#[derive(Default)]
struct Cost {
    /// By program: RssAnon when the last call has just been placed, RssAnon and Private_Dirty later.
    user: [[Figures; 3]; 2],
    /// By kind: slab, UDP buffers.
    kernel: [Figures; 2],
    sockets: Figures,
    /// The caches that grew most: name, objects a call, bytes a call.
    caches: Vec<(String, f64, f64)>,
}

fn look(stand: &Stand) -> Result<[Memory; 2], Error> {
    Ok([
        Memory::of(stand.pid(PROGRAMS[0])?)?,
        Memory::of(stand.pid(PROGRAMS[1])?)?,
    ])
}

fn measure(cost: &mut Cost, description: Description, settle: Duration) -> Result<(), Error> {
    let stand = Stand::start()?;
    let mut crowd = Crowd::new(Plan {
        caller: stand.block.caller(),
        callee: stand.block.callee(),
        next_hop: stand.block.agent_sip(),
        description,
        first_port: 10_000,
    })?;
    let (before, kernel) = (look(&stand)?, Kernel::now()?);
    crowd.place(CALLS, RATE)?;
    let fresh = look(&stand)?;
    std::thread::sleep(settle);
    let (after, now) = (look(&stand)?, Kernel::now()?);
    let each = |now: u64, before: u64| (now as f64 - before as f64) / f64::from(CALLS);
    for n in 0..PROGRAMS.len() {
        cost.user[n][0].push(each(fresh[n].anonymous, before[n].anonymous));
        cost.user[n][1].push(each(after[n].anonymous, before[n].anonymous));
        cost.user[n][2].push(each(after[n].private_dirty, before[n].private_dirty));
    }
    cost.kernel[0].push(each(now.slab, kernel.slab));
    cost.kernel[1].push(each(now.udp_buffers, kernel.udp_buffers));
    cost.sockets.push(each(now.udp_sockets, kernel.udp_sockets));
    let calls = f64::from(CALLS);
    let grown = now.grown(&kernel).into_iter().take(6);
    cost.caches = grown
        .map(|(name, objects, bytes)| (name, objects as f64 / calls, bytes as f64 / calls))
        .collect();
    Ok(())
}

fn bench(arguments: &Arguments) -> Result<Section, Error> {
    let files = raise_open_files()?;
    let settle = arguments.seconds.map_or(SETTLE, Duration::from_secs);
    let mut section = Section::new(
        "Memory of a call",
        "memory",
        arguments.runs,
        &format!(
            "{CALLS} silent calls with media ports, then, with fresh programs, as many without a \
             media stream in their descriptions; placed at {RATE} calls/s, looked at again {} s later; \
             {files} open files a process at most",
            settle.as_secs()
        ),
    );
    let mut missed = Vec::new();
    for (name, description) in [
        ("with ports", Description::Audio),
        ("without ports", Description::Empty),
    ] {
        let mut cost = Cost::default();
        for number in 1..=arguments.runs {
            eprintln!("memory: {name}, run {number} of {}", arguments.runs);
            measure(&mut cost, description, settle)?;
        }
        section.say(format!("### {CALLS} calls {name}"));
        let mut rows = Vec::new();
        for (program, [fresh, later, dirty]) in PROGRAMS.iter().zip(&cost.user) {
            eprintln!("  {program}: {:.0} bytes a call", later.median());
            if later.median() > TARGET {
                missed.push(format!("{program} {name}"));
            }
            rows.push([
                (*program).to_owned(),
                format!("{:.0}", later.median()),
                later.spread(0),
                format!("{:.0}", fresh.median()),
                format!("{:.0}", dirty.median()),
            ]);
        }
        section.table(
            [
                "program",
                "user bytes a call, median",
                "spread",
                "just after the last call",
                "Private_Dirty",
            ],
            &rows,
        );
        section.say(format!(
            "Kernel, agent and node together, for each call: {:.1} UDP sockets, {:.0} bytes of slab \
             ({}), {:.0} bytes of socket buffers ({}).",
            cost.sockets.median(),
            cost.kernel[0].median(),
            cost.kernel[0].spread(0),
            cost.kernel[1].median(),
            cost.kernel[1].spread(0)
        ));
        if !cost.caches.is_empty() {
            let row = |(name, objects, bytes): &(String, f64, f64)| {
                [name.clone(), format!("{objects:.1}"), format!("{bytes:.0}")]
            };
            let rows: Vec<_> = cost.caches.iter().map(row).collect();
            section.table(
                ["slab cache that grew", "objects a call", "bytes a call"],
                &rows,
            );
        }
    }
    section.say(format!(
        "User memory is the growth of RssAnon (`/proc/PID/status`). The kernel's is of the whole \
         machine, on which nothing else must run. Target: at most {TARGET} bytes of user memory a \
         call. {}",
        if missed.is_empty() {
            "Met.".to_owned()
        } else {
            format!("Missed by: {}.", missed.join(", "))
        }
    ));
    Ok(section)
}
