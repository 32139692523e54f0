//! Properties that hold for every description: seeded random ones, and mutations of them.

use crate::sdp::{Anchor, Direction, Media, Sdp};
use crate::token::Tokens;
use std::net::SocketAddr;

const DIRECTIONS: [Direction; 4] = [
    Direction::SendRecv,
    Direction::SendOnly,
    Direction::RecvOnly,
    Direction::Inactive,
];

fn one_in(random: &mut Tokens, n: u64) -> bool {
    random.below(n) == 0
}

fn pick<T: Clone>(random: &mut Tokens, of: &[T]) -> T {
    of[random.below(of.len() as u64) as usize].clone()
}

/// An address of an endpoint: all of them stand in 192.0.2.0/24 or 2001:db8:1::/48, or are zero.
fn endpoint(random: &mut Tokens) -> String {
    let n = random.below(200) + 1;
    match random.below(6) {
        0 => format!("IN IP6 2001:db8:1::{n:x}"),
        1 => "IN IP4 0.0.0.0".to_owned(),
        _ => format!("IN IP4 192.0.2.{n}"),
    }
}

/// A valid description, with lines in a random choice.
fn description(random: &mut Tokens) -> Vec<u8> {
    let shared = !one_in(random, 3);
    let mut lines = vec![
        "v=0".to_owned(),
        "o=- 123456789012345678901234 1 IN IP4 192.0.2.1".into(),
    ];
    lines.push("s=Caf\u{e9}".to_owned());
    if shared {
        lines.push(format!("c={}", endpoint(random)));
    }
    lines.push("t=0 0".to_owned());
    if one_in(random, 4) {
        lines.push(format!("a={}", pick(random, &DIRECTIONS).as_str()));
    }
    if one_in(random, 4) {
        lines.push("a=ice-lite".to_owned());
    }
    for _ in 0..random.below(5) {
        stream(random, shared, &mut lines);
    }
    let line_break = pick(random, &["\r\n", "\n"]);
    let mut text = lines.join(line_break);
    if !one_in(random, 4) {
        text.push_str(line_break);
    }
    // Latin-1, as endpoints that never heard of UTF-8 write it.
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect()
}

fn stream(random: &mut Tokens, shared: bool, lines: &mut Vec<String>) {
    let port = if one_in(random, 5) {
        0
    } else {
        1024 + 2 * random.below(30000)
    };
    let count = if one_in(random, 6) { "/2" } else { "" };
    let proto = pick(
        random,
        &["RTP/AVP", "RTP/AVP", "RTP/AVPF", "RTP/SAVP", "udptl"],
    );
    let mut formats: Vec<u64> = vec![0, 8, 9, 18, 96, 97, 101];
    formats.retain(|_| !one_in(random, 3));
    if formats.is_empty() {
        formats.push(8);
    }
    let list: Vec<String> = formats.iter().map(u64::to_string).collect();
    lines.push(format!("m=audio {port}{count} {proto} {}", list.join(" ")));
    if one_in(random, 5) {
        lines.push("i=\u{dc}ber".to_owned());
    }
    if !shared || one_in(random, 3) {
        lines.push(format!("c={}", endpoint(random)));
    }
    let names = ["opus/48000/2", "iLBC/8000", "telephone-event/8000"];
    for (number, name) in [96, 97, 101].into_iter().zip(names) {
        if formats.contains(&number) {
            lines.push(format!("a=rtpmap:{number} {name}"));
            lines.push(format!("a=fmtp:{number} x={number}"));
        }
    }
    let extra = [
        "a=ptime:20",
        "a=rtcp-mux",
        "a=rtcp:5001",
        "a=rtcp:5001 IN IP4 192.0.2.3",
        "a=candidate:1 1 UDP 1 192.0.2.4 4000 typ host",
        "a=ssrc:1 cname:\u{e4}",
        "a=fmtp:* y",
        "b=AS:64",
        "whatever",
    ];
    for line in extra {
        if one_in(random, 3) {
            lines.push(line.to_owned());
        }
    }
    if one_in(random, 2) {
        lines.push(format!("a={}", pick(random, &DIRECTIONS).as_str()));
    }
}

/// An anchor for most streams; relays stand in 198.51.100.0/24 or 2001:db8:2::/48.
fn anchors(random: &mut Tokens, streams: usize) -> Vec<Option<Anchor>> {
    (0..streams)
        .map(|_| {
            let port = 20000 + 2 * random.below(5000);
            let host = pick(
                random,
                &[
                    "198.51.100.1",
                    "198.51.100.1",
                    "198.51.100.2",
                    "[2001:db8:2::1]",
                ],
            );
            let rtp: SocketAddr = format!("{host}:{port}").parse().unwrap();
            (!one_in(random, 6)).then_some(Anchor { rtp })
        })
        .collect()
}

/// The lines that anchoring may not touch, with their breaks.
fn untouched(bytes: &[u8]) -> Vec<Vec<u8>> {
    let starts: [&[u8]; 6] = [
        b"c=",
        b"m=",
        b"a=rtcp:",
        b"a=candidate",
        b"a=ice-",
        b"a=sendrecv",
    ];
    let directions: [&[u8]; 3] = [b"a=sendonly", b"a=recvonly", b"a=inactive"];
    bytes
        .split_inclusive(|b| *b == b'\n')
        .filter(|line| {
            !starts
                .iter()
                .chain(&directions)
                .any(|start| line.starts_with(start))
        })
        .map(|line| line.trim_ascii_end().to_vec())
        .collect()
}

fn live(media: &Media) -> bool {
    media.port != 0
}

#[test]
fn anchoring_changes_what_it_must_and_nothing_else() {
    let mut random = Tokens::new([41; 32]);
    let mut seen = 0;
    for round in 0..3000 {
        let before = Sdp::parse(description(&mut random).into()).unwrap();
        let anchors = anchors(&mut random, before.media().len());
        let after = before.anchored(&anchors);
        let show = || format!("round {round}: {before:?}\n{anchors:?}\n{after:?}");

        assert_eq!(
            untouched(before.bytes()),
            untouched(after.bytes()),
            "{}",
            show()
        );
        let line_break = |sdp: &Sdp| sdp.bytes().windows(2).any(|two| two == b"\r\n");
        assert_eq!(line_break(&before), line_break(&after), "{}", show());
        assert_eq!(before.media().len(), after.media().len());
        let streams = before.media().iter().zip(after.media()).zip(&anchors);
        for ((old, new), anchor) in streams {
            assert_eq!(
                (&old.formats, &old.codecs),
                (&new.formats, &new.codecs),
                "{}",
                show()
            );
            assert_eq!(
                (old.mux, old.ptime, &old.proto),
                (new.mux, new.ptime, &new.proto)
            );
            let Some(anchor) = anchor.filter(|_| live(old)) else {
                assert_eq!(new.port, 0, "{}", show());
                continue;
            };
            seen += 1;
            assert_eq!(new.rtp_addr(), Some(anchor.rtp), "{}", show());
            assert_eq!(old.direction, new.direction, "{}", show());
            let rtcp = anchor.rtp.port() + u16::from(!old.mux);
            let rtcp = old.is_rtp().then(|| SocketAddr::new(anchor.rtp.ip(), rtcp));
            assert_eq!(new.rtcp, rtcp, "{}", show());
        }
        if before
            .media()
            .iter()
            .zip(&anchors)
            .all(|(media, a)| live(media) && a.is_some())
        {
            let text = String::from_utf8_lossy(after.bytes());
            let without_origin = text.replacen("192.0.2.1", "", 1);
            let leaks = !anchors.is_empty()
                && ["192.0.2.", "2001:db8:1:", "0.0.0.0"]
                    .iter()
                    .any(|a| without_origin.contains(a));
            assert!(!leaks, "{}", show());
        }
        let again = after.anchored(&anchors);
        assert_eq!(again.bytes(), after.bytes(), "{}", show());
    }
    assert!(seen > 3000, "{seen} anchored streams");
}

#[test]
fn an_edit_reads_back_as_it_was_asked_for() {
    let mut random = Tokens::new([42; 32]);
    for _ in 0..1000 {
        let before = Sdp::parse(description(&mut random).into()).unwrap();
        for (index, media) in before.media().iter().enumerate() {
            let wanted = pick(&mut random, &DIRECTIONS);
            let zero = media.address.is_some_and(|ip| ip.is_unspecified());
            let read = if zero {
                wanted.narrowed_by(Direction::RecvOnly)
            } else {
                wanted
            };
            let after = before.with_direction(index, wanted);
            assert_eq!(
                after.media()[index].direction,
                read,
                "{before:?} {wanted:?}"
            );

            let keep: Vec<Box<str>> = media
                .formats
                .iter()
                .filter(|_| !one_in(&mut random, 2))
                .cloned()
                .collect();
            let after = before.with_formats(index, &keep);
            let new = &after.media()[index];
            if keep.is_empty() {
                assert_eq!(new.port, 0);
            } else {
                assert_eq!((&new.formats, new.port), (&keep, media.port), "{before:?}");
                assert!(
                    keep.iter().all(|f| new.codec(f) == media.codec(f)),
                    "{before:?}"
                );
            }
        }
        let id = random.below(u64::MAX);
        let after = before.with_origin(id, id / 2, "198.51.100.1".parse().unwrap());
        assert_eq!(after.media(), before.media());
        let origin = format!("\no=- {id} {} IN IP4 198.51.100.1", id / 2);
        let rest = String::from_utf8_lossy(after.bytes()).replace('\r', "");
        assert_eq!(rest.matches(&origin).count(), 1, "{after:?}");
    }
}

// spec: X31a
#[test]
fn an_answer_that_mirrors_leaves_all_of_the_offer_in_use() {
    let mut random = Tokens::new([43; 32]);
    for _ in 0..3000 {
        let offer = Sdp::parse(description(&mut random).into()).unwrap();
        let anchors = anchors(&mut random, offer.media().len());
        let answer = offer.mirrored(&anchors, 5);
        let used = offer.in_use(&answer);
        for (index, old) in offer.media().iter().enumerate() {
            let (new, answer) = (&used.media()[index], &answer.media()[index]);
            let accepted = live(old) && anchors[index].is_some();
            assert_eq!(live(new), accepted, "{offer:?}\n{answer:?}");
            assert_eq!(live(answer), accepted);
            if accepted {
                assert_eq!(new, old, "{answer:?}");
                assert_eq!(answer.direction, old.direction.reversed());
                assert_eq!(answer.rtp_addr(), anchors[index].map(|a| a.rtp));
            }
        }
    }
}

/// No bytes make reading panic, and whatever could be read, every edit leaves readable (edits
/// assert that themselves in debug builds).
#[test]
fn no_mutation_panics_or_breaks_an_edit() {
    let mut random = Tokens::new([44; 32]);
    let mut read = 0;
    for _ in 0..6000 {
        let mut bytes = description(&mut random);
        for _ in 0..=random.below(5) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(5) {
                0 => bytes[at] = random.below(256) as u8,
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"\r\n=: /ma0"[random.below(8) as usize]),
                3 => bytes.truncate(at + 1),
                _ => {
                    let to = (at + 20).min(bytes.len());
                    bytes.extend_from_within(at..to);
                }
            }
        }
        let Ok(sdp) = Sdp::parse(bytes.into()) else {
            continue;
        };
        read += 1;
        let anchors = anchors(&mut random, sdp.media().len());
        for edited in [
            sdp.anchored(&anchors),
            sdp.mirrored(&anchors, 1),
            sdp.with_origin(1, 2, "::1".parse().unwrap()),
            sdp.with_direction(0, Direction::Inactive),
            sdp.with_formats(0, &["8".into()]),
            sdp.in_use(&sdp.mirrored(&anchors, 1)),
        ] {
            assert_eq!(edited.media().len(), sdp.media().len(), "{sdp:?}");
        }
    }
    assert!(read > 2000, "{read} of 6000 could be read");
}
