//! A session description: read within bounds, edited line by line, and never led past the relay.

use crate::memory;
use crate::script::Script;
use bytes::Bytes;
use holdline_wire::sdp::{
    Anchor, Direction, MAX_BYTES, MAX_FORMATS, MAX_STREAMS, Media, Sdp, SdpError,
};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

const DIRECTIONS: [Direction; 4] = [
    Direction::SendRecv,
    Direction::SendOnly,
    Direction::RecvOnly,
    Direction::Inactive,
];

/// What the relay answers for: attributes with these names are rewritten or removed.
const OF_THE_RELAY: [&str; 14] = [
    "candidate",
    "end-of-candidates",
    "ice-lite",
    "ice-mismatch",
    "ice-options",
    "ice-pacing",
    "ice-pwd",
    "ice-ufrag",
    "remote-candidates",
    "rtcp",
    "sendrecv",
    "sendonly",
    "recvonly",
    "inactive",
];

/// What reading may hold: a position for each line, and what is kept of streams and formats.
fn read_bytes(text: &[u8]) -> usize {
    64 * 1024 + 100 * text.len()
}

/// The properties of one description. The first two bytes choose what is done with it.
pub fn check(data: &[u8]) {
    let mut script = Script(data);
    let choice = script.short();
    let text = Bytes::copy_from_slice(script.0);
    let limit = read_bytes(&text);
    let Ok(sdp) = memory::within(limit, || Sdp::parse(text.clone())) else {
        return;
    };
    assert_eq!(sdp.bytes(), &text);
    assert!(sdp.media().len() <= MAX_STREAMS && text.len() <= MAX_BYTES);
    let bounded = |media: &Media| media.formats.len() <= MAX_FORMATS;
    assert!(sdp.media().iter().all(bounded));

    let anchors = anchors(choice, sdp.media().len());
    let anchored = sdp.anchored(&anchors);
    goes_by_the_relay(&sdp, &anchored, &anchors);
    untouched_lines_stay(&sdp, &anchored);
    let twice = anchored.anchored(&anchors);
    assert_eq!(
        twice.bytes(),
        anchored.bytes(),
        "anchoring twice changes more"
    );

    let mirrored = sdp.mirrored(&anchors, 5);
    accepts_as_it_is(&sdp, &mirrored, &anchors);
    let used = sdp.in_use(&mirrored);
    for (old, new) in sdp.media().iter().zip(used.media()) {
        assert!(
            new.formats
                .iter()
                .all(|format| old.formats.contains(format))
        );
    }
    let origin = sdp.with_origin(1, 2, Ipv6Addr::LOCALHOST.into());
    assert_eq!(origin.media(), sdp.media());
    let mut edited = vec![anchored, mirrored, used, origin];
    let direction = DIRECTIONS[usize::from(choice % 4)];
    let index = usize::from(choice >> 2) % MAX_STREAMS;
    edited.push(sdp.with_direction(index, direction));
    if let Some(format) = sdp
        .media()
        .get(index)
        .and_then(|media| media.formats.last())
    {
        edited.push(sdp.with_formats(index, std::slice::from_ref(format)));
    }
    for edited in edited {
        reads_back(&sdp, &edited);
    }
}

/// An address of ours for each stream but those that `choice` leaves out.
fn anchors(choice: u16, streams: usize) -> Vec<Option<Anchor>> {
    (0..streams)
        .map(|stream| {
            let bit = 1 << (stream % 16);
            let port = 20_000 + 2 * stream as u16;
            let rtp = if choice.rotate_left(3) & bit == 0 {
                SocketAddr::from((Ipv4Addr::new(198, 51, 100, 1), port))
            } else {
                SocketAddr::from((Ipv6Addr::LOCALHOST, port))
            };
            (choice & bit == 0).then_some(Anchor { rtp })
        })
        .collect()
}

/// Every live stream has the relay's address, for RTP and RTCP; one without an anchor is refused.
fn goes_by_the_relay(before: &Sdp, after: &Sdp, anchors: &[Option<Anchor>]) {
    assert_eq!(before.media().len(), after.media().len());
    for ((old, new), anchor) in before.media().iter().zip(after.media()).zip(anchors) {
        let Some(anchor) = anchor.filter(|_| old.port != 0) else {
            assert_eq!(new.port, 0);
            continue;
        };
        assert_eq!(new.rtp_addr(), Some(anchor.rtp));
        assert_eq!(new.rtcp.is_some(), new.is_rtp());
        assert!(new.rtcp.is_none_or(|rtcp| rtcp.ip() == anchor.rtp.ip()));
        assert_eq!(new.direction, old.direction);
        assert_eq!((&new.formats, &new.proto), (&old.formats, &old.proto));
        assert_eq!((new.mux, new.ptime), (old.mux, old.ptime));
    }
    assert!(!text_lines(after).any(|line| is_attribute(line, &["candidate"])));
}

fn text_lines(sdp: &Sdp) -> impl Iterator<Item = &[u8]> {
    let lines = sdp.bytes().split(|byte| *byte == b'\n');
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Whether a line is an attribute with one of those names.
fn is_attribute(line: &[u8], names: &[&str]) -> bool {
    let Some(attribute) = line.strip_prefix(b"a=") else {
        return false;
    };
    let name = attribute.split(|byte| *byte == b':').next();
    let name = name.unwrap_or_default().trim_ascii();
    let is = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
    names.iter().any(is)
}

/// Whether anchoring may change a line.
fn may_change(line: &[u8]) -> bool {
    line.starts_with(b"c=") || line.starts_with(b"m=") || is_attribute(line, &OF_THE_RELAY)
}

fn untouched_lines_stay(before: &Sdp, after: &Sdp) {
    // Where the last line has no break, adding one after it gives it one: empty lines count not.
    let others = |sdp| text_lines(sdp).filter(|line| !may_change(line) && !line.is_empty());
    assert!(others(before).eq(others(after)), "{before:?}\n{after:?}");
}

/// The mirrored answer takes what has an anchor, with our address and the direction turned.
fn accepts_as_it_is(offer: &Sdp, answer: &Sdp, anchors: &[Option<Anchor>]) {
    assert_eq!(offer.media().len(), answer.media().len());
    for ((old, new), anchor) in offer.media().iter().zip(answer.media()).zip(anchors) {
        let Some(anchor) = anchor.filter(|_| old.port != 0) else {
            assert_eq!(new.port, 0);
            continue;
        };
        assert_eq!(new.rtp_addr(), Some(anchor.rtp));
        assert_eq!(new.direction, old.direction.reversed());
        assert_eq!(new.formats, old.formats);
    }
}

/// An edit has as many streams, few lines more, and reads the same again.
fn reads_back(before: &Sdp, after: &Sdp) {
    assert_eq!(before.media().len(), after.media().len());
    // A c= line and a direction for each stream, an o= line.
    let most = text_lines(before).count() + 2 * before.media().len() + 2;
    assert!(text_lines(after).count() <= most);
    match Sdp::parse(after.bytes().clone()) {
        Ok(again) => assert_eq!(again.media(), after.media()),
        // An edit may make the longest description a little longer.
        Err(SdpError { what, .. }) => {
            assert_eq!(what, "at most 64 KiB");
            assert!(after.bytes().len() > MAX_BYTES);
        }
    }
}
