//! Anchoring: a relay's addresses in place of a description's own.

use super::edit::{Edit, network};
use super::parse::{attribute, words};
use super::{Anchor, Sdp};
use std::net::IpAddr;
use std::ops::Range;

/// Attributes of ICE (RFC 8839): with a relay in the path they would lead past it.
const ICE: [&str; 9] = [
    "candidate",
    "end-of-candidates",
    "ice-lite",
    "ice-mismatch",
    "ice-options",
    "ice-pacing",
    "ice-pwd",
    "ice-ufrag",
    "remote-candidates",
];

impl Sdp {
    /// Puts `anchors[i]` in place of the address of `media()[i]`: c= lines, the m-line's port
    /// (without a port count: a relay has one pair a stream), a=rtcp; ICE candidates and the like,
    /// which would lead past the relay, are removed. With rtcp-mux an a=rtcp line is removed too:
    /// without it the port after RTP is what a peer without mux falls back to, and that is the
    /// relay's. A hold by zero address becomes a=sendonly (or inactive), since the address that
    /// said so is gone. The o= line's address stays. A `None` or missing anchor sets port 0; a
    /// refused stream stays refused. Everything else stays byte for byte.
    #[must_use]
    pub fn anchored(&self, anchors: &[Option<Anchor>]) -> Sdp {
        let mut edit = Edit::new(self);
        edit.anchor(anchors);
        for (index, media) in self.parts.media.iter().enumerate() {
            let section = self.parts.sections[index].clone();
            let live = media.port != 0 && anchors.get(index).is_some_and(Option::is_some);
            if live && self.said_direction(section).unwrap_or(self.direction) != media.direction {
                edit.set_direction(index, media.direction);
            }
        }
        edit.finish()
    }
}

impl Edit<'_> {
    /// The addresses' part of [`Sdp::anchored`].
    pub(super) fn anchor(&mut self, anchors: &[Option<Anchor>]) {
        let sdp = self.sdp;
        self.drop_attributes(0..sdp.parts.lines.len(), &ICE);
        let chosen: Vec<Option<Anchor>> = (0..sdp.parts.media.len())
            .map(|i| {
                anchors
                    .get(i)
                    .copied()
                    .flatten()
                    .filter(|_| sdp.parts.media[i].port != 0)
            })
            .collect();
        let shared = self.anchor_session(&chosen);
        for (index, anchor) in chosen.into_iter().enumerate() {
            let Some(Anchor { rtp }) = anchor else {
                self.set_port(index, 0);
                continue;
            };
            self.set_port(index, rtp.port());
            if self.connections(self.section(index)).next().is_some() {
                self.set_connection(self.section(index), rtp.ip());
            } else if shared != Some(rtp.ip()) {
                self.add_connection(index, rtp.ip());
            }
            self.set_rtcp(index, rtp.port(), rtp.ip());
        }
    }

    /// Gives the session's c= line, if there is one, the address of the first stream that relies
    /// on it, so that in the common case of one relay address no line needs to be added.
    fn anchor_session(&mut self, chosen: &[Option<Anchor>]) -> Option<IpAddr> {
        let session = self.sdp.session();
        self.connections(session.clone()).next()?;
        let relies = |index: usize| self.connections(self.section(index)).next().is_none();
        let live = || {
            chosen
                .iter()
                .enumerate()
                .filter_map(|(i, a)| Some((i, a.as_ref()?.rtp.ip())))
        };
        let (_, ip) = live()
            .find(|(index, _)| relies(*index))
            .or_else(|| live().next())?;
        self.set_connection(session, ip);
        Some(ip)
    }

    /// The c= lines among `lines`.
    fn connections(&self, lines: Range<usize>) -> impl Iterator<Item = usize> {
        lines.filter(|line| self.text(*line).starts_with(b"c="))
    }

    /// Rewrites the first c= line among `lines`; further ones (layered multicast) go.
    fn set_connection(&mut self, lines: Range<usize>, ip: IpAddr) {
        let found: Vec<usize> = self.connections(lines).collect();
        for (nth, line) in found.into_iter().enumerate() {
            match nth {
                0 => self.put(line, format!("c={}", network(ip)).into_bytes()),
                _ => self.drop_line(line),
            }
        }
    }

    /// Adds a c= line to a stream, where the grammar wants it: after m= and i=.
    fn add_connection(&mut self, index: usize, ip: IpAddr) {
        let section = self.section(index);
        let titled = section.len() > 1 && self.text(section.start + 1).starts_with(b"i=");
        let line = section.start + usize::from(titled);
        self.add_after(line, format!("c={}", network(ip)).into_bytes());
    }

    /// Makes a=rtcp lines say the port after `rtp`, with the stream's new address where the line
    /// had one; with mux, or where there is no such port, they go.
    fn set_rtcp(&mut self, index: usize, rtp: u16, ip: IpAddr) {
        let port = rtp
            .checked_add(1)
            .filter(|_| !self.sdp.parts.media[index].mux);
        for line in self.section(index) {
            let Some((name, value)) = attribute(self.text(line)) else {
                continue;
            };
            if !name.eq_ignore_ascii_case(b"rtcp") {
                continue;
            }
            match port {
                None => self.drop_line(line),
                Some(port) if words(value).len() > 1 => {
                    self.put(line, format!("a=rtcp:{port} {}", network(ip)).into_bytes());
                }
                Some(port) => self.put(line, format!("a=rtcp:{port}").into_bytes()),
            }
        }
    }
}
