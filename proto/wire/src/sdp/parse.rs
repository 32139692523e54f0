//! Reading: lines, sections, and of each stream what a relay must know.

use super::media::is_unicast;
use super::{
    Codec, Direction, Line, MAX_BYTES, MAX_FORMATS, MAX_STREAMS, Media, Parts, Sdp, SdpError,
};
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

impl Sdp {
    /// Reads it. Tolerates bare LF, a missing last line break, Latin-1, unknown lines; refuses
    /// what cannot be relayed rightly (no v=, no c= for a live stream, bad m-line) and what is
    /// larger than [`MAX_BYTES`] or [`MAX_STREAMS`].
    pub fn parse(bytes: Bytes) -> Result<Sdp, SdpError> {
        if bytes.len() > MAX_BYTES {
            return Err(SdpError {
                line: 1,
                what: "at most 64 KiB",
            });
        }
        Sdp::read(bytes)
    }

    /// Reads a description of any length: an edit of ours may pass the limit of what comes in.
    pub(super) fn read(bytes: Bytes) -> Result<Sdp, SdpError> {
        let lines = lines(&bytes);
        let parts = Parts {
            lines,
            ..Parts::default()
        };
        let mut sdp = Sdp {
            bytes,
            parts: Arc::new(parts),
            direction: Direction::SendRecv,
        };
        if sdp.parts.lines.is_empty() || sdp.text(0).trim_ascii_end() != b"v=0" {
            return Err(SdpError {
                line: 1,
                what: "v=0",
            });
        }
        let sections = sections(&sdp)?;
        Arc::make_mut(&mut sdp.parts).sections = sections;
        let session = sdp.session();
        sdp.direction = sdp
            .said_direction(session.clone())
            .unwrap_or(Direction::SendRecv);
        let shared = connection_of(&sdp, session);
        let media: Result<Vec<Media>, SdpError> = sdp
            .parts
            .sections
            .iter()
            .map(|section| stream(&sdp, section.clone(), shared))
            .collect();
        Arc::make_mut(&mut sdp.parts).media = media?;
        Ok(sdp)
    }

    /// The direction that those lines say; the last word counts.
    pub(super) fn said_direction(&self, lines: Range<usize>) -> Option<Direction> {
        lines.rev().find_map(|line| direction_of(self.text(line)))
    }
}

/// The direction that an attribute line names.
pub(super) fn direction_of(line: &[u8]) -> Option<Direction> {
    attribute(line).and_then(|(name, _)| Direction::named(name))
}

/// The name and the value of an a= line; the value is empty where there is none.
pub(super) fn attribute(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = line.strip_prefix(b"a=")?;
    let colon = memchr::memchr(b':', text).unwrap_or(text.len());
    let value = text.get(colon + 1..).unwrap_or_default();
    Some((text[..colon].trim_ascii(), value.trim_ascii()))
}

/// The words of a text, as positions in it.
pub(super) fn words(text: &[u8]) -> Vec<Range<usize>> {
    // A c= line has three, and most other lines few more.
    let mut words = Vec::with_capacity(8);
    let mut start = None;
    for (at, byte) in text.iter().enumerate() {
        match (start, matches!(byte, b' ' | b'\t')) {
            (None, false) => start = Some(at),
            (Some(from), true) => {
                words.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    words.extend(start.map(|from| from..text.len()));
    words
}

/// Splits into lines; a line break is CRLF or LF, the last one may be cut off.
fn lines(bytes: &[u8]) -> Vec<Line> {
    let mut lines = Vec::with_capacity(memchr::memchr_iter(b'\n', bytes).count() + 1);
    let mut start = 0;
    while start < bytes.len() {
        let (end, next) = match memchr::memchr(b'\n', &bytes[start..]) {
            Some(length) => (start + length, start + length + 1),
            None => (bytes.len(), bytes.len()),
        };
        let text = &bytes[start..end];
        let length = text.strip_suffix(b"\r").unwrap_or(text).len();
        lines.push(Line {
            start,
            end: start + length,
            next,
        });
        start = next;
    }
    lines
}

/// The lines of each stream, from its m-line to the next.
fn sections(sdp: &Sdp) -> Result<Vec<Range<usize>>, SdpError> {
    let mut sections: Vec<Range<usize>> = Vec::new();
    for line in 0..sdp.parts.lines.len() {
        if !sdp.text(line).starts_with(b"m=") {
            continue;
        }
        if sections.len() == MAX_STREAMS {
            return Err(SdpError {
                line: line + 1,
                what: "at most 64 streams",
            });
        }
        if let Some(last) = sections.last_mut() {
            last.end = line;
        }
        sections.push(line..sdp.parts.lines.len());
    }
    Ok(sections)
}

/// What a c= line says.
#[derive(Clone, Copy)]
struct Connection {
    /// The address; `None` for a host name or another kind of network.
    address: Option<IpAddr>,
    /// Whether it leads nowhere on purpose: the zero address of RFC 2543's hold, or a name under
    /// .invalid, which stands for it with IPv6 (RFC 6157).
    hole: bool,
}

/// The first c= line among those.
fn connection_of(sdp: &Sdp, mut lines: Range<usize>) -> Result<Option<Connection>, SdpError> {
    let Some(line) = lines.find(|line| sdp.text(*line).starts_with(b"c=")) else {
        return Ok(None);
    };
    let text = &sdp.text(line)[2..];
    let [net, _, address] = &words(text)[..] else {
        return Err(SdpError {
            line: line + 1,
            what: "c=IN, IP4 or IP6, and an address",
        });
    };
    let address = text[address.clone()]
        .split(|b| *b == b'/')
        .next()
        .unwrap_or_default();
    let ip: Option<IpAddr> = std::str::from_utf8(address)
        .ok()
        .filter(|_| text[net.clone()].eq_ignore_ascii_case(b"IN"))
        .and_then(|address| address.parse().ok());
    let invalid = b".invalid";
    let last = &address[address.len().saturating_sub(invalid.len())..];
    Ok(Some(Connection {
        // An IPv4-mapped address means IPv4 (RFC 5118 section 4.10).
        address: ip.map(|ip| ip.to_canonical()),
        hole: ip.map_or(last.eq_ignore_ascii_case(invalid), |ip| ip.is_unspecified()),
    }))
}

/// The four parts of an m-line.
struct MediaLine<'a> {
    kind: &'a str,
    port: u16,
    proto: &'a str,
    formats: Vec<Box<str>>,
}

/// Reads what follows `m=`: kind, port with or without a count, protocol, formats.
fn media_line(text: &[u8]) -> Option<MediaLine<'_>> {
    let text = std::str::from_utf8(text).ok()?;
    // The kind follows the = at once, as edits of the line rely on.
    let is_text = |b: u8| b.is_ascii_graphic() || b == b' ' || b == b'\t';
    if !text.bytes().all(is_text) || text.starts_with([' ', '\t']) {
        return None;
    }
    let mut words = text.split_ascii_whitespace();
    let (kind, port, proto) = (words.next()?, words.next()?, words.next()?);
    let (port, count) = port.split_once('/').unwrap_or((port, "1"));
    let number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if !number(port) || !number(count) || count.is_empty() {
        return None;
    }
    let port = port.parse().ok()?;
    let formats: Vec<Box<str>> = words.take(MAX_FORMATS + 1).map(Into::into).collect();
    // A refused stream needs no format, and some endpoints leave them out.
    let counted = formats.len() <= MAX_FORMATS && (port == 0 || !formats.is_empty());
    counted.then_some(MediaLine {
        kind,
        port,
        proto,
        formats,
    })
}

/// Reads one stream.
fn stream(
    sdp: &Sdp,
    section: Range<usize>,
    shared: Result<Option<Connection>, SdpError>,
) -> Result<Media, SdpError> {
    let line = section.start + 1;
    let head = media_line(&sdp.text(section.start)[2..]).ok_or(SdpError {
        line,
        what: "m=, a kind, a port, a protocol and 1 to 128 formats",
    })?;
    let connection = match connection_of(sdp, section.clone()) {
        Ok(None) => shared,
        own => own,
    };
    let connection = match connection {
        Ok(None) if head.port != 0 => {
            return Err(SdpError {
                line,
                what: "a c= line for this stream",
            });
        }
        Err(error) if head.port != 0 => return Err(error),
        // A refused stream needs no address.
        connection => connection.ok().flatten(),
    };
    let said = sdp.said_direction(section.clone()).unwrap_or(sdp.direction);
    let hole = connection.is_some_and(|c| c.hole);
    let mut media = Media {
        kind: head.kind.into(),
        port: head.port,
        proto: head.proto.into(),
        codecs: vec![None; head.formats.len()],
        formats: head.formats,
        address: connection.and_then(|c| c.address),
        rtcp: None,
        mux: false,
        // Whoever gives no address receives nothing.
        direction: if hole {
            said.narrowed_by(Direction::RecvOnly)
        } else {
            said
        },
        ptime: None,
    };
    let mut rtcp = None;
    for line in section {
        match attribute(sdp.text(line)) {
            Some((name, value)) => attribute_into(&mut media, &mut rtcp, name, value),
            None => continue,
        }
    }
    if media.is_rtp() {
        for (codec, format) in media.codecs.iter_mut().zip(&media.formats) {
            *codec = codec.take().or_else(|| Codec::of_static(format));
        }
        media.rtcp = rtcp_addr(&media, rtcp);
    }
    Ok(media)
}

/// Takes what one attribute says about the stream; one that cannot be read says nothing.
fn attribute_into<'a>(
    media: &mut Media,
    rtcp: &mut Option<&'a [u8]>,
    name: &[u8],
    value: &'a [u8],
) {
    let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
    if is("rtcp-mux") {
        media.mux = true;
    } else if is("rtcp") {
        *rtcp = Some(value);
    } else if is("ptime") {
        media.ptime = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
    } else if is("rtpmap")
        && let Some((format, encoding)) = std::str::from_utf8(value)
            .ok()
            .and_then(|v| v.split_once([' ', '\t']))
    {
        // A second rtpmap for a format does not change the first.
        for (codec, listed) in media.codecs.iter_mut().zip(&media.formats) {
            if codec.is_none() && **listed == *format {
                *codec = Codec::of_rtpmap(encoding);
            }
        }
    }
}

/// Where RTCP goes (RFC 3605, RFC 5761), given the value of a=rtcp.
fn rtcp_addr(media: &Media, rtcp: Option<&[u8]>) -> Option<SocketAddr> {
    let rtp = media.rtp_addr()?;
    if media.mux {
        return Some(rtp);
    }
    let next = rtp
        .port()
        .checked_add(1)
        .map(|port| SocketAddr::new(rtp.ip(), port));
    let Some(value) = rtcp.and_then(|value| std::str::from_utf8(value).ok()) else {
        return next;
    };
    let mut words = value.split_ascii_whitespace();
    let Some(port) = words.next().and_then(|port| port.parse::<u16>().ok()) else {
        return next;
    };
    let ip = match words.nth(2) {
        Some(address) => address.parse::<IpAddr>().ok()?.to_canonical(),
        None => rtp.ip(),
    };
    (port != 0 && is_unicast(ip)).then(|| SocketAddr::new(ip, port))
}
