//! Editing: a set of changed, dropped and added lines, put into a fresh buffer in one pass.

use super::parse::{attribute, direction_of, words};
use super::{Direction, Sdp};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

impl Sdp {
    /// Replaces the o= line's session id and version (and its address), for a description that
    /// stands in a new dialog of ours.
    #[must_use]
    pub fn with_origin(&self, session: u64, version: u64, address: IpAddr) -> Sdp {
        let mut edit = Edit::new(self);
        edit.set_origin(None, session, version, address);
        edit.finish()
    }

    /// Sets the direction of stream `index`. (A zero address still narrows what it reads as.)
    #[must_use]
    pub fn with_direction(&self, index: usize, direction: Direction) -> Sdp {
        let mut edit = Edit::new(self);
        if self
            .parts
            .media
            .get(index)
            .is_some_and(|media| media.direction != direction)
        {
            edit.set_direction(index, direction);
        }
        edit.finish()
    }

    /// Keeps of stream `index` only the formats in `keep` (in this description's order), with
    /// their rtpmap, fmtp and rtcp-fb lines. With none left the stream is refused: port 0.
    #[must_use]
    pub fn with_formats(&self, index: usize, keep: &[Box<str>]) -> Sdp {
        let mut edit = Edit::new(self);
        if index < self.parts.media.len() {
            edit.keep_formats(index, keep);
        }
        edit.finish()
    }
}

/// An edit of one description that is under way.
pub(super) struct Edit<'a> {
    pub(super) sdp: &'a Sdp,
    /// New texts of lines; `None` drops the line.
    changed: BTreeMap<usize, Option<Vec<u8>>>,
    /// New lines, each list after the line with that number.
    added: BTreeMap<usize, Vec<Vec<u8>>>,
    /// The direction at session level as edited so far.
    session_direction: Direction,
}

impl<'a> Edit<'a> {
    pub(super) fn new(sdp: &'a Sdp) -> Edit<'a> {
        Edit {
            sdp,
            changed: BTreeMap::new(),
            added: BTreeMap::new(),
            session_direction: sdp.direction,
        }
    }

    /// The edited description, read back from its bytes.
    pub(super) fn finish(self) -> Sdp {
        if self.changed.is_empty() && self.added.is_empty() {
            return self.sdp.clone();
        }
        let bytes = self.sdp.bytes();
        let first = self.sdp.parts.lines[0];
        let line_break: &[u8] = match &bytes[first.end..first.next] {
            b"\n" => b"\n",
            _ => b"\r\n",
        };
        let mut out = Vec::with_capacity(bytes.len() + 64);
        for (number, line) in self.sdp.parts.lines.iter().enumerate() {
            match self.changed.get(&number) {
                None => out.extend_from_slice(&bytes[line.start..line.next]),
                Some(None) => {}
                Some(Some(text)) => {
                    out.extend_from_slice(text);
                    out.extend_from_slice(&bytes[line.end..line.next]);
                }
            }
            for text in self.added.get(&number).into_iter().flatten() {
                // After a last line without a break the break comes first, and again none last.
                match out.last() {
                    Some(b'\n') => {}
                    Some(b'\r') => out.push(b'\n'),
                    _ => out.extend_from_slice(line_break),
                }
                out.extend_from_slice(text);
                if bytes[..line.next].ends_with(b"\n") {
                    out.extend_from_slice(line_break);
                }
            }
        }
        Sdp::read(Bytes::from(out)).unwrap_or_else(|error| {
            debug_assert!(false, "an edit made a description unreadable: {error}");
            self.sdp.clone()
        })
    }

    /// The text of a line as edited so far; a dropped one is empty.
    pub(super) fn text(&self, line: usize) -> &[u8] {
        match self.changed.get(&line) {
            None => self.sdp.text(line),
            Some(text) => text.as_deref().unwrap_or_default(),
        }
    }

    pub(super) fn put(&mut self, line: usize, text: Vec<u8>) {
        if text != self.text(line) {
            self.changed.insert(line, Some(text));
        }
    }

    pub(super) fn drop_line(&mut self, line: usize) {
        self.changed.insert(line, None);
    }

    pub(super) fn add_after(&mut self, line: usize, text: Vec<u8>) {
        self.added.entry(line).or_default().push(text);
    }

    pub(super) fn section(&self, index: usize) -> Range<usize> {
        self.sdp.parts.sections[index].clone()
    }

    /// Drops the attributes with those names among `lines`.
    pub(super) fn drop_attributes(&mut self, lines: Range<usize>, names: &[&str]) {
        for line in lines {
            let Some((name, _)) = attribute(self.text(line)) else {
                continue;
            };
            if names
                .iter()
                .any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
            {
                self.drop_line(line);
            }
        }
    }

    /// Drops the lines of type `letter` among `lines`.
    pub(super) fn drop_type(&mut self, lines: Range<usize>, letter: u8) {
        for line in lines {
            if self.text(line).starts_with(&[letter, b'=']) {
                self.drop_line(line);
            }
        }
    }

    /// Rewrites the port of an m-line; a port count goes.
    pub(super) fn set_port(&mut self, index: usize, port: u16) {
        if self.sdp.parts.media[index].port == 0 && port == 0 {
            return;
        }
        let line = self.section(index).start;
        let text = self.text(line);
        let Some(word) = words(text).get(1).cloned() else {
            return;
        };
        let text = [
            &text[..word.start],
            port.to_string().as_bytes(),
            &text[word.end..],
        ]
        .concat();
        self.put(line, text);
    }

    /// Sets a stream's direction: in its own line, or by what the session says, or in a new line.
    pub(super) fn set_direction(&mut self, index: usize, direction: Direction) {
        let section = self.section(index);
        let mut said: Vec<usize> = section
            .clone()
            .filter(|line| direction_of(self.text(*line)).is_some())
            .collect();
        let text = format!("a={}", direction.as_str()).into_bytes();
        if let Some(last) = said.pop() {
            if direction_of(self.text(last)) != Some(direction) {
                said.into_iter().for_each(|line| self.drop_line(line));
                self.put(last, text);
            }
        } else if self.session_direction != direction {
            let last = section
                .clone()
                .rev()
                .find(|line| !self.sdp.text(*line).is_empty());
            self.add_after(last.unwrap_or(section.start), text);
        }
    }

    /// Turns the session's direction round.
    pub(super) fn reverse_session(&mut self) {
        self.session_direction = self.sdp.direction.reversed();
        for line in self.sdp.session() {
            if let Some(said) = direction_of(self.text(line)) {
                self.put(line, format!("a={}", said.reversed().as_str()).into_bytes());
            }
        }
    }

    /// Replaces the o= line, or adds one; `user` stays as it is where `None`.
    pub(super) fn set_origin(
        &mut self,
        user: Option<&str>,
        session: u64,
        version: u64,
        address: IpAddr,
    ) {
        let found = self
            .sdp
            .session()
            .find(|line| self.text(*line).starts_with(b"o="));
        let old = found.map_or(&b""[..], |line| &self.sdp.text(line)[2..]);
        let old = words(old)
            .first()
            .map_or(&b"-"[..], |word| &old[word.clone()]);
        let user = user.map_or(old, str::as_bytes);
        let rest = format!(" {session} {version} {}", network(address));
        let text = [b"o=", user, rest.as_bytes()].concat();
        match found {
            Some(line) => self.put(line, text),
            None => self.add_after(0, text),
        }
    }

    /// The formats' part of [`Sdp::with_formats`].
    pub(super) fn keep_formats(&mut self, index: usize, keep: &[Box<str>]) {
        let formats = &self.sdp.parts.media[index].formats;
        let kept: Vec<&str> = formats
            .iter()
            .filter(|f| keep.contains(f))
            .map(|f| &**f)
            .collect();
        if kept.len() == formats.len() {
            return;
        }
        if kept.is_empty() {
            return self.set_port(index, 0);
        }
        let section = self.section(index);
        let text = self.text(section.start);
        let Some(proto) = words(text).get(2).cloned() else {
            return;
        };
        let text = [&text[..proto.end], b" ", kept.join(" ").as_bytes()].concat();
        self.put(section.start, text);
        for line in section {
            if format_of(self.text(line)).is_some_and(|f| kept.iter().all(|k| k.as_bytes() != f)) {
                self.drop_line(line);
            }
        }
    }
}

/// The one format that an attribute line is about; `None` for `*` and for other lines.
fn format_of(line: &[u8]) -> Option<&[u8]> {
    let (name, value) = attribute(line)?;
    let about = ["rtpmap", "fmtp", "rtcp-fb"];
    about
        .iter()
        .find(|n| name.eq_ignore_ascii_case(n.as_bytes()))?;
    let format = value.split(|b| matches!(b, b' ' | b'\t')).next()?;
    (format != b"*").then_some(format)
}

/// An address as c=, o= and a=rtcp write it.
pub(super) fn network(ip: IpAddr) -> String {
    let family = if ip.is_ipv4() { 4 } else { 6 };
    format!("IN IP{family} {ip}")
}
