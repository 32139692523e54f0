//! CPU per relayed RTP packet: agent and node beside a bare epoll relay and rtpengine.

use holdline_tests::bench::{
    Arguments, Crowd, Description, Figures, Plan, Rtpengine, Section, Stand, Voices, floor,
    raise_open_files, run,
};
use holdline_tests::rig::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

const CALLS: u32 = 200;
/// Length of a measurement.
const WINDOW: Duration = Duration::from_secs(20);
/// Packets that flow before it.
const WARM: Duration = Duration::from_secs(1);
/// How the floor is named where it runs.
const FLOOR: &str = "floor";
/// Above the floor at most.
const TARGET: f64 = 1.3;

fn main() -> ExitCode {
    // The floor is this program itself, as a process of its own.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, streams] = &arguments[..]
        && flag == "--floor"
    {
        return match floor::relay(Path::new(streams)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{FLOOR}: {error}");
                ExitCode::FAILURE
            }
        };
    }
    run("relay", bench)
}

/// A system under test: its calls are up, and these are the ends of their streams.
struct System {
    stand: Stand,
    /// Programs whose packets are counted apart.
    programs: Vec<&'static str>,
    voices: Voices,
    figures: Vec<Figures>,
    lost: f64,
    late: Duration,
}

impl System {
    fn new(
        stand: Stand,
        programs: &[&'static str],
        pairs: &[(SocketAddr, SocketAddr)],
    ) -> Result<System, Error> {
        Ok(System {
            voices: Voices::open(pairs)?,
            figures: vec![Figures::default(); programs.len()],
            programs: programs.to_vec(),
            stand,
            lost: 0.0,
            late: Duration::ZERO,
        })
    }

    /// Microseconds of CPU that each program spends on a packet.
    fn measure(&mut self, window: Duration) -> Result<(), Error> {
        self.voices.speak(WARM)?;
        let cpu = |system: &System| -> Result<Vec<f64>, Error> {
            system
                .programs
                .iter()
                .map(|name| system.stand.cpu(name))
                .collect()
        };
        let before = cpu(self)?;
        let heard = self.voices.speak(window)?;
        let after = cpu(self)?;
        for (n, figures) in self.figures.iter_mut().enumerate() {
            let each = (after[n] - before[n]) * 1e6 / heard.received as f64;
            eprintln!("  {}: {each:.2} us", self.programs[n]);
            figures.push(each);
        }
        let lost = 1.0 - heard.received as f64 / heard.sent as f64;
        self.lost = self.lost.max(lost);
        self.late = self.late.max(heard.late);
        eprintln!(
            "  {} packets, {:.3} % lost, generator {:?} late",
            heard.received,
            100.0 * lost,
            heard.late
        );
        Ok(())
    }
}

fn plan(stand: &Stand) -> Plan {
    Plan {
        caller: stand.block.caller(),
        callee: stand.block.callee(),
        next_hop: stand.block.agent_sip(),
        description: Description::Audio,
        first_port: 10_000,
    }
}

/// The addresses of both ends of a call.
fn ends(plan: &Plan, number: u32) -> (SocketAddr, SocketAddr) {
    (
        plan.rtp(plan.caller.ip(), number),
        plan.rtp(plan.callee.ip(), number),
    )
}

fn ours() -> Result<System, Error> {
    let stand = Stand::start()?;
    let plan = plan(&stand);
    let mut crowd = Crowd::new(plan)?;
    crowd.place(CALLS, 100.0)?;
    let mut pairs = Vec::new();
    for number in 0..CALLS {
        let (to_caller, to_callee) = crowd.media(number).ok_or("a call has no media")?;
        let (caller, callee) = ends(&plan, number);
        pairs.extend([(caller, to_caller), (callee, to_callee)]);
    }
    System::new(stand, &["agent", "node"], &pairs)
}

fn bare() -> Result<System, Error> {
    let stand = Stand::bare()?;
    let (plan, ip) = (plan(&stand), stand.block.agent_sip().ip());
    let (mut pairs, mut streams) = (Vec::new(), Vec::new());
    for number in 0..CALLS {
        let (caller, callee) = ends(&plan, number);
        let port = 10_000 + 4 * u16::try_from(number)?;
        let (near, far) = (SocketAddr::new(ip, port), SocketAddr::new(ip, port + 2));
        streams.push([
            floor::Side {
                local: near,
                peer: caller,
            },
            floor::Side {
                local: far,
                peer: callee,
            },
        ]);
        pairs.extend([(caller, near), (callee, far)]);
    }
    let list = stand.dir().join("streams");
    floor::write(&list, &streams)?;
    let program = std::env::current_exe()?;
    stand.launch(
        FLOOR,
        &program,
        &["--floor", list.to_str().ok_or("a path is no text")?],
    )?;
    stand.wait("the floor listens", || {
        std::net::UdpSocket::bind(streams[streams.len() - 1][1].local).is_err()
    })?;
    System::new(stand, &[FLOOR], &pairs)
}

fn rtpengine() -> Result<Option<System>, Error> {
    let stand = Stand::bare()?;
    let Some(mut engine) = Rtpengine::start(&stand)? else {
        return Ok(None);
    };
    let plan = plan(&stand);
    let mut pairs = Vec::new();
    for number in 0..CALLS {
        let (caller, callee) = ends(&plan, number);
        let (to_caller, to_callee) = engine.call(number, (caller, callee))?;
        pairs.extend([(caller, to_caller), (callee, to_callee)]);
    }
    System::new(stand, &[Rtpengine::NAME], &pairs).map(Some)
}

fn bench(arguments: &Arguments) -> Result<Section, Error> {
    raise_open_files()?;
    let window = arguments.seconds.map_or(WINDOW, Duration::from_secs);
    let mut section = Section::new(
        "CPU of a relayed packet",
        "relay",
        arguments.runs,
        &format!(
            "{CALLS} calls, G.711 at 20 ms both ways ({} packets/s), {} s each run; RTP and RTCP \
             ports open on both sides everywhere",
            CALLS * 100,
            window.as_secs()
        ),
    );
    let mut systems = vec![bare()?, ours()?];
    match rtpengine() {
        Ok(Some(system)) => systems.push(system),
        Ok(None) => section.say("rtpengine is not installed here: it is missing below."),
        Err(error) => section.say(format!("rtpengine could not be measured: {error}")),
    }
    for number in 1..=arguments.runs {
        eprintln!("relay: run {number} of {}", arguments.runs);
        for system in &mut systems {
            system.measure(window)?;
        }
    }
    let floor = systems[0].figures[0].clone();
    let mut rows = Vec::new();
    for system in &systems {
        for (name, figures) in system.programs.iter().zip(&system.figures) {
            let ratio = figures.over(&floor);
            rows.push([
                (*name).to_owned(),
                format!("{:.2}", figures.median()),
                figures.spread(2),
                format!("{:.2}", ratio.median()),
                ratio.spread(2),
                format!("{:.3} %", 100.0 * system.lost.max(0.0)),
                format!("{} ms", system.late.as_millis()),
            ]);
        }
    }
    section.table(
        [
            "program",
            "us a packet, median",
            "spread",
            "to the floor, median",
            "spread",
            "most lost",
            "generator late, most",
        ],
        &rows,
    );
    let missed = systems[1].programs.iter().zip(&systems[1].figures);
    let missed: Vec<&str> = missed
        .filter(|(_, figures)| figures.over(&floor).median() > TARGET)
        .map(|(name, _)| *name)
        .collect();
    section.say(format!(
        "User and system time of the whole process (`/proc/PID/stat`), divided by the packets that \
         arrived at the other end. The floor is one `epoll_wait` for many, one `recv` and one \
         `send` a packet, as an own process. Where over 1 % was lost something else was running: \
         take it again. Target: at most {TARGET} times the floor. {}",
        if missed.is_empty() {
            "Met.".to_owned()
        } else {
            format!("Missed by: {}.", missed.join(", "))
        }
    ));
    Ok(section)
}
