//! The SDP of one dialog: one audio stream, offers and answers by RFC 3264.

use super::event::Stream;
use super::profile::Profile;
use bytes::Bytes;
use holdline_wire::sdp::{Direction, Media, Sdp};
use std::fmt::Write;
use std::net::SocketAddr;

/// The session of one dialog from our side.
#[derive(Clone, Debug)]
pub(super) struct Session {
    local: SocketAddr,
    id: u32,
    ptime: u16,
    media: bool,
    version: u32,
    last: Bytes,
    /// The direction in the offer of ours that waits for its answer.
    offered: Option<Direction>,
    answered: bool,
    stream: Stream,
    event_format: Box<str>,
}

impl Session {
    /// A session at `local` of a user agent that behaves as `profile` says.
    pub(super) fn new(local: SocketAddr, id: u32, profile: &Profile) -> Session {
        let formats = &profile.formats;
        Session {
            local,
            id,
            ptime: profile.ptime,
            media: profile.media,
            version: 0,
            last: Bytes::new(),
            offered: None,
            answered: false,
            stream: Stream {
                local,
                remote: None,
                direction: Direction::Inactive,
                formats: formats.iter().map(|f| f.to_string().into()).collect(),
            },
            event_format: "101".into(),
        }
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Whether an offer of ours waits for its answer.
    pub(super) fn is_offering(&self) -> bool {
        self.offered.is_some()
    }

    /// An offer with the formats in use and `direction`.
    pub(super) fn offer(&mut self, direction: Direction) -> Bytes {
        self.offered = Some(direction);
        self.answered = false;
        let line = self.media_line(direction, &self.stream.formats.clone());
        self.describe(line)
    }

    /// The last offer failed: nothing changes.
    pub(super) fn withdraw(&mut self) {
        self.offered = None;
    }

    /// Answers `offer`, wanting `will`; 488 where there is no codec in common. `Ok` says whether
    /// the stream changed.
    pub(super) fn answer(&mut self, offer: &Bytes, will: Direction) -> Result<(Bytes, bool), u16> {
        let sdp = Sdp::parse(offer.clone()).map_err(|_| 488u16)?;
        if !self.media {
            let lines = sdp.media().iter().map(refusal).collect();
            return Ok((self.describe(lines), false));
        }
        let index = sdp.media().iter().position(is_audio).ok_or(488u16)?;
        let media = &sdp.media()[index];
        let events = event_formats(offer);
        let known = |f: &str| matches!(f, "8" | "0") || events.iter().any(|e| **e == *f);
        let formats: Vec<Box<str>> = media.formats.iter().filter(|f| known(f)).cloned().collect();
        if !formats.iter().any(|f| matches!(&**f, "8" | "0")) {
            return Err(488);
        }
        if let Some(event) = formats.iter().find(|f| events.contains(f)) {
            self.event_format = event.clone();
        }
        let direction = will.narrowed_by(media.direction);
        let mut lines = String::new();
        for (at, other) in sdp.media().iter().enumerate() {
            if at == index {
                lines += &self.media_line(direction, &formats);
            } else {
                lines += &refusal(other);
            }
        }
        let changed = self.adopt(media, direction, formats);
        Ok((self.describe(lines), changed))
    }

    /// Takes the answer to our offer. `Ok((changed, differed))`: whether the stream changed, and
    /// whether this answer differs from an earlier one to the same offer.
    pub(super) fn take_answer(&mut self, answer: &Bytes) -> Result<(bool, bool), u16> {
        let sdp = Sdp::parse(answer.clone()).map_err(|_| 488u16)?;
        let media = sdp.media().first().ok_or(488u16)?;
        let Some(offered) = self.offered else {
            return Ok((false, false));
        };
        let ours = &self.stream.formats;
        let formats: Vec<_> = media
            .formats
            .iter()
            .filter(|f| ours.contains(f))
            .cloned()
            .collect();
        let direction = offered.narrowed_by(media.direction);
        let changed = self.adopt(media, direction, formats);
        let differed = self.answered && changed;
        self.answered = true;
        Ok((changed, differed))
    }

    /// The final answer is in: a later one belongs to another offer.
    pub(super) fn settle(&mut self) {
        self.offered = None;
    }

    fn adopt(&mut self, peer: &Media, direction: Direction, formats: Vec<Box<str>>) -> bool {
        let refused = peer.port == 0 || formats.is_empty();
        let next = Stream {
            local: self.local,
            remote: peer.rtp_addr().filter(|_| !refused),
            direction: if refused {
                Direction::Inactive
            } else {
                direction
            },
            formats: if formats.is_empty() {
                self.stream.formats.clone()
            } else {
                formats
            },
        };
        let changed = next != self.stream;
        self.stream = next;
        changed
    }

    fn media_line(&self, direction: Direction, formats: &[Box<str>]) -> String {
        if !self.media {
            return format!("m=audio 0 RTP/AVP {}\r\n", formats.join(" "));
        }
        let mut text = format!(
            "m=audio {} RTP/AVP {}\r\n",
            self.local.port(),
            formats.join(" ")
        );
        for format in formats {
            let _ = match &**format {
                "8" => write!(text, "a=rtpmap:8 PCMA/8000\r\n"),
                "0" => write!(text, "a=rtpmap:0 PCMU/8000\r\n"),
                event => write!(
                    text,
                    "a=rtpmap:{event} telephone-event/8000\r\na=fmtp:{event} 0-16\r\n"
                ),
            };
        }
        let (ptime, direction) = (self.ptime, direction.as_str());
        let _ = write!(text, "a=ptime:{ptime}\r\na={direction}\r\n");
        text
    }

    /// The whole description; its version grows when it changed (RFC 3264 section 8).
    fn describe(&mut self, media: String) -> Bytes {
        let text = |version: u32| {
            let ip = self.local.ip();
            let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
            let id = self.id;
            Bytes::from(format!(
                "v=0\r\no=- {id} {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\n\
                 t=0 0\r\n{media}"
            ))
        };
        if text(self.version) != self.last {
            self.version += 1;
            self.last = text(self.version);
        }
        self.last.clone()
    }
}

/// The line that refuses a stream (RFC 3264 section 6).
fn refusal(media: &Media) -> String {
    let formats = media.formats.join(" ");
    format!("m={} 0 {} {formats}\r\n", media.kind, media.proto)
}

fn is_audio(media: &Media) -> bool {
    &*media.kind == "audio" && &*media.proto == "RTP/AVP" && media.port != 0
}

/// The payload numbers that `sdp` maps to telephone-event at 8000 Hz.
fn event_formats(sdp: &Bytes) -> Vec<Box<str>> {
    sdp.split(|b| *b == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok()?.strip_prefix("a=rtpmap:"))
        .filter_map(|map| map.trim_end().split_once(' '))
        .filter(|(_, codec)| codec.eq_ignore_ascii_case("telephone-event/8000"))
        .map(|(format, _)| format.into())
        .collect()
}
