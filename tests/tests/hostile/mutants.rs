//! A hundred thousand mutants of in-dialog messages while twenty calls run.

use crate::gauge::{Metrics, Program, assert_healthy, programs, resident};
use crate::mutant::{BRANCH, Mutants};
use crate::sender::Sender;
use crate::tap::Tap;
use crate::victim::{Victim, victims};
use crate::{assert_unharmed, plan};
use holdline_tests::rig::{Error, Moment, Rig};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

/// In two rounds, so that memory can be compared.
const MUTANTS: usize = 100_000;
const CALLS: u32 = 20;
/// How many leave before answers are read.
const BATCH: usize = 50;
/// At most so many a second: faster they would only be lost at the sockets.
const RATE: u32 = 8_000;
/// How long listeners are listened to: both rounds, and the time between them.
const AFTER: u64 = 55;
/// How long until the last transaction is forgotten (64*T1, RFC 3261 17), and some more.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// Transactions that calls and probes have at a time, at most: each node gets four OPTIONS a
/// second, more when a probe is late, and remembers each for 32 s.
const FEW: u64 = 250;
/// What a program may hold more after the second round than after the first, MiB.
const FLAT: u64 = 16;
/// And at any moment beyond what it held before: each mutant is a transaction of a few KB, that
/// must be remembered for 32 s.
const PEAK: u64 = 256;

/// Sends the mutants with those numbers, to every victim in turn.
fn attack(
    rig: &Rig,
    victims: &[Victim],
    sender: &mut Sender,
    mutants: &mut Mutants,
    numbers: Range<usize>,
) -> Result<(), Error> {
    let vias: Vec<_> = victims
        .iter()
        .map(|victim| sender.open(victim.from))
        .collect::<Result<_, _>>()?;
    let (start, first, count) = (Instant::now(), numbers.start, numbers.len());
    for number in numbers {
        let at = number % victims.len();
        let bytes = mutants.next(&victims[at], vias[at]);
        sender.send(victims[at].from, victims[at].to, &bytes)?;
        if number % BATCH == 0 {
            sender.read();
            let due = Duration::from_secs(1) * u32::try_from(number - first)? / RATE;
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
    }
    // The last answers are on their way.
    for _ in 0..10 {
        sender.read();
        std::thread::sleep(Duration::from_millis(100));
    }
    let took = start.elapsed().as_secs_f64();
    println!("{count} mutants in {took:.1} s");
    assert_healthy(rig)
}

/// How many of each leg's mutants a core answered: what only the parser saw got 400, 505 or
/// nothing.
fn reached(victims: &[Victim], sender: &Sender) -> usize {
    let mut legs: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (number, status) in sender.status().iter().enumerate() {
        let leg = legs.entry(victims[number % victims.len()].leg).or_default();
        leg[0] += 1;
        leg[1] += usize::from(!matches!(status, 0 | 400 | 505));
    }
    for (leg, [sent, answered]) in &legs {
        println!("{leg}: the core answered {answered} of {sent}");
    }
    println!("by status: {:?}", sender.told());
    legs.values().map(|[_, answered]| answered).sum()
}

/// What a program held and counted at a moment.
struct Before {
    program: Program,
    resident: u64,
    received: u64,
    ignored: u64,
}

impl Before {
    fn of(rig: &Rig, program: Program) -> Result<Before, Error> {
        let metrics = Metrics::read(program.http)?;
        Ok(Before {
            resident: resident(rig, &program.name),
            received: metrics.sum("sip_datagrams_received_total"),
            ignored: metrics.sum("sip_ignored_total"),
            program,
        })
    }

    /// Says what changed; datagrams that came and were not ignored.
    fn compare(&self, rig: &Rig) -> Result<u64, Error> {
        let metrics = Metrics::read(self.program.http)?;
        let now = resident(rig, &self.program.name);
        let received = metrics.sum("sip_datagrams_received_total") - self.received;
        let ignored = metrics.sum("sip_ignored_total") - self.ignored;
        println!(
            "{}: {} MiB, was {}; {} datagrams, {} ignored, {} dropped by the kernel",
            self.program.name,
            now,
            self.resident,
            received,
            ignored,
            metrics.sum("sip_receive_drops_total"),
        );
        assert!(now < self.resident + PEAK, "{}", self.program.name);
        Ok(received - ignored)
    }

    /// Waits until no transaction of the mutants is left; what the program holds then, MiB.
    fn settled(&self, rig: &Rig) -> Result<u64, Error> {
        let what = format!("{} forgets its transactions", self.program.name);
        rig.wait(&what, FORGOTTEN, || {
            Ok(Metrics::read(self.program.http)?.sum("sip_transactions") < FEW)
        })?;
        Ok(resident(rig, &self.program.name))
    }
}

/// Both rounds, and what they did; what each program holds after the first.
fn rounds(rig: &Rig, tap: &Tap, sender: &mut Sender) -> Result<Vec<(Before, u64)>, Error> {
    let victims = victims(rig, &tap.dialogs())?;
    assert_eq!(victims.len(), CALLS as usize);
    let mut mutants = Mutants::new(*b"mutants of in-dialog messages, 1");
    let before = programs(rig).into_iter().map(|it| Before::of(rig, it));
    let before = before.collect::<Result<Vec<_>, _>>()?;
    attack(rig, &victims, sender, &mut mutants, 0..MUTANTS / 2)?;
    let mut after_one = Vec::new();
    for before in before {
        let held = before.settled(rig)?;
        after_one.push((before, held));
    }
    attack(rig, &victims, sender, &mut mutants, MUTANTS / 2..MUTANTS)?;
    let core = reached(&victims, sender);
    assert!(core >= MUTANTS * 3 / 10, "{core} reached a core");
    let mut taken = 0;
    for (before, _) in &after_one {
        taken += before.compare(rig)?;
    }
    println!("{taken} datagrams were not ignored, by the programs' own count");
    assert!(taken >= MUTANTS as u64 * 3 / 10);
    Ok(after_one)
}

/// Mutants from sources that are let in, with the identifiers of live dialogs: at least three in
/// ten get past the parser, no call is harmed, and memory stays flat.
#[test]
fn a_hundred_thousand_mutants_harm_no_call() {
    let mut rig = Rig::start().unwrap();
    let tap = Tap::open(&rig.block).unwrap();
    let mut sender = Sender::new(BRANCH, MUTANTS);
    let mut after_one = Vec::new();
    let report = rig.load_via(tap.address(), &plan(CALLS, AFTER), |rig, moment| {
        match moment {
            Moment::AllUp { failed } => assert_eq!(failed, 0),
            Moment::Fault(_) => after_one = rounds(rig, &tap, &mut sender)?,
            Moment::Observed => {
                sender.read();
                assert_healthy(rig)?;
            }
        }
        Ok(())
    });
    assert_unharmed(&report.unwrap(), CALLS as usize);
    for (before, held) in &after_one {
        let (name, now) = (&before.program.name, before.settled(&rig).unwrap());
        println!("{name}: {now} MiB at the end, {held} after the first round");
        assert!(now <= held + FLAT, "{name} grows");
        let metrics = Metrics::read(before.program.http).unwrap();
        assert_eq!(metrics.sum("calls"), 0, "{name}");
    }
    println!("{} answers to INVITEs acknowledged", sender.acks());
}
