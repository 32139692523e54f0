//! Random walks over everything that can happen to a call's media. Whatever happens, ports and
//! commands add up.

use crate::call::Call;
use holdline_relay::{Carrier, Command, GroupId, Side, StreamId};
use holdline_wire::token::Tokens;
use std::collections::{BTreeMap, BTreeSet};

/// What the commands so far leave open: each stream's two ports.
#[derive(Default)]
struct Opened {
    live: BTreeMap<StreamId, (u16, u16)>,
    seen: BTreeSet<StreamId>,
}

impl Opened {
    fn take(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Install {
                    stream, near, far, ..
                } => {
                    let ports = (near.local.port(), far.local.port());
                    let known = self.live.insert(stream, ports);
                    let new = self.seen.insert(stream);
                    assert!(new || known.is_some(), "{stream:?} is new or mended");
                }
                Command::Remove { stream } => {
                    assert!(self.live.remove(&stream).is_some(), "{stream:?} goes once");
                }
                Command::Move { stream, far, .. } => {
                    let ports = self.live.get_mut(&stream).expect("only live streams move");
                    ports.1 = far.local.port();
                }
                Command::SetPeer { stream, .. }
                | Command::Clock { stream, .. }
                | Command::Comfort { stream, .. } => {
                    assert!(
                        self.live.contains_key(&stream),
                        "only live streams are told more"
                    );
                }
            }
        }
        let mut ports = BTreeSet::new();
        for (near, far) in self.live.values() {
            assert!(
                ports.insert(*near) && ports.insert(*far),
                "one stream a port"
            );
        }
    }
}

/// Some m-lines: each live or refused.
fn some_media(random: &mut Tokens, lines: u64) -> String {
    (0..lines)
        .map(|index| {
            let port = if random.below(4) == 0 {
                0
            } else {
                4000 + 2 * index
            };
            format!("m=audio {port} RTP/AVP 0 8\r\n")
        })
        .collect()
}

fn side(random: &mut Tokens) -> Side {
    if random.below(2) == 0 {
        Side::Near
    } else {
        Side::Far
    }
}

/// Ports of attempts that may still be answered, as the walk knows them from the commands.
fn parked(call: &Call, opened: &Opened) -> usize {
    call.ports.usage().0 - 2 * opened.live.len()
}

fn walk(seed: u8) -> Vec<String> {
    let mut random = Tokens::new([seed; 32]);
    let (mut call, mut opened) = (Call::new(48), Opened::default());
    let (mut told, mut lines, mut attempts) = (Vec::new(), 1, 0);
    for step in 0..400 {
        lines = (lines + random.below(2)).clamp(1, 4);
        let from = side(&mut random);
        let media = some_media(&mut random, lines);
        let what = match random.below(13) {
            0..=2 => format!("{:?}", call.carry(from, Carrier::Request, &media)),
            3 => format!("{:?}", call.carry(from, Carrier::Provisional, &media)),
            4..=5 => format!("{:?}", call.carry(from, Carrier::Final, &media)),
            6 => format!("{:?}", call.carry(from, Carrier::Ack, &media)),
            7 => format!("{:?}", call.refused()),
            8..=9 => {
                attempts += 1;
                format!("{:?}", call.try_move(GroupId(2), attempts))
            }
            10 => {
                let session = random.below(attempts + 1);
                format!("{:?}", call.adopt(GroupId(3), session))
            }
            11 => format!("{:?}", call.mend_any(from)),
            _ => {
                call.settle();
                assert_eq!(call.ports.usage().0, 2 * call.session.streams().count());
                "settled".to_owned()
            }
        };
        opened.take(call.commands());
        let live: Vec<StreamId> = opened.live.keys().copied().collect();
        let known: BTreeSet<StreamId> = call.session.streams().collect();
        assert_eq!(live, known.into_iter().collect::<Vec<_>>(), "step {step}");
        // At most one parked set of far ports for each attempt.
        assert!(
            parked(&call, &opened) <= 4 * attempts as usize,
            "step {step}"
        );
        told.push(what);
    }
    call.release();
    opened.take(call.commands());
    assert_eq!(
        (opened.live.len(), call.ports.usage().0),
        (0, 0),
        "all is given back"
    );
    told
}

#[test]
fn ports_and_commands_add_up_whatever_happens() {
    for seed in 0..60 {
        walk(seed);
    }
    assert_eq!(walk(1), walk(1), "the same seed gives the same walk");
}

/// Versions grow by the change, never otherwise.
#[test]
fn a_version_grows_exactly_when_the_description_changes() {
    let mut random = Tokens::new([9; 32]);
    let mut call = Call::new(48);
    let mut last: Option<(u64, String)> = None;
    let mut changes = 0;
    for _ in 0..200 {
        let media = format!("m=audio 4000 RTP/AVP {}\r\n", 8 * random.below(2));
        let sent = call.offer(Side::Near, &media);
        call.answer(Side::Far, &media);
        let origin: Vec<&str> = crate::call::origin_of(&sent).split(' ').collect();
        let version: u64 = origin[2].parse().unwrap();
        let body = sent.replace(crate::call::origin_of(&sent), "");
        if let Some((before, old)) = last {
            let changed = u64::from(old != body);
            assert_eq!(version, before + changed);
            changes += changed;
        }
        last = Some((version, body));
    }
    assert!(changes > 50, "{changes}");
}
