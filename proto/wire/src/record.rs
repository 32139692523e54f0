//! The one codec for what outlives a node: a call's dialog identifiers and how to reach the
//! downstream UA (spec: D2, D30). No media state: neither SDP nor RTP has a field here, and none
//! may be added.
//!
//! Layout: a version octet, then the fields in the order of [`DialogRecord`]. Numbers are
//! big-endian; a text is a length of two octets and its bytes; a list is a count of one octet and
//! its texts; a protocol is one octet; an address is 4 or 6, the IP octets and the port.

use crate::dialog::DialogId;
use crate::transport::Protocol;
use memchr::memchr2;
use std::net::{IpAddr, SocketAddr};

/// The layout that this code writes and reads.
const VERSION: u8 = 1;
/// The longest text in a record, in bytes.
pub const MAX_TEXT: usize = 4096;
/// The most routes in a record.
pub const MAX_ROUTES: usize = 32;
/// The longest record, in bytes.
pub const MAX_RECORD: usize = 64 * 1024;

/// What a survivor needs to rebuild a call (spec: D30).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogRecord {
    /// How often the call has moved; 0 when placed.
    pub generation: u32,
    /// The trunk (source) that made the upstream dialog: the agent's address.
    pub trunk: Box<str>,
    /// The upstream dialog as the node sees it.
    pub upstream: DialogId,
    /// The downstream dialog as the node sees it.
    pub downstream: DialogId,
    /// Our side of the downstream dialog: `display <uri>`.
    pub local: Box<[u8]>,
    /// The downstream UA's side.
    pub remote: Box<[u8]>,
    /// The downstream UA's Contact URI.
    pub remote_target: Box<str>,
    /// Route values in sending order.
    pub route_set: Vec<Box<str>>,
    /// The protocol and resolved address of the downstream peer.
    pub protocol: Protocol,
    /// Where downstream requests were sent. (Flow label and scope of an IPv6 address are not
    /// recorded: they mean nothing on another machine.)
    pub address: SocketAddr,
    /// The CSeq number of the first downstream INVITE.
    pub first_cseq: u32,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("dialog record: {0}")]
pub struct RecordError(pub &'static str);

impl DialogRecord {
    /// The record as bytes: a version octet, then fields with explicit lengths. A record beyond
    /// the bounds (see [`DialogRecord::check`]) gives bytes that no one decodes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.push(VERSION);
        out.extend_from_slice(&self.generation.to_be_bytes());
        put_text(&mut out, self.trunk.as_bytes());
        for dialog in [&self.upstream, &self.downstream] {
            for part in [&dialog.call_id, &dialog.local_tag, &dialog.remote_tag] {
                put_text(&mut out, part.as_bytes());
            }
        }
        put_text(&mut out, &self.local);
        put_text(&mut out, &self.remote);
        put_text(&mut out, self.remote_target.as_bytes());
        out.push(u8::try_from(self.route_set.len()).unwrap_or(u8::MAX));
        for route in &self.route_set {
            put_text(&mut out, route.as_bytes());
        }
        out.push(protocol_octet(self.protocol));
        match self.address.ip() {
            IpAddr::V4(ip) => {
                out.push(4);
                out.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.push(6);
                out.extend_from_slice(&ip.octets());
            }
        }
        out.extend_from_slice(&self.address.port().to_be_bytes());
        out.extend_from_slice(&self.first_cseq.to_be_bytes());
        out
    }

    /// Whether the record keeps the bounds ([`MAX_TEXT`], [`MAX_ROUTES`], [`MAX_RECORD`]) and its
    /// texts can stand in a header: what [`DialogRecord::decode`] will ask of it.
    pub fn check(&self) -> Result<(), RecordError> {
        let mut texts = [&self.local, &self.remote].into_iter();
        let [up, down] = [&self.upstream, &self.downstream];
        let ids = [up, down].map(|id| [&id.call_id, &id.local_tag, &id.remote_tag]);
        let strings = || {
            let own = [&self.trunk, &self.remote_target];
            own.into_iter().chain(ids.into_iter().flatten())
        };
        let routes = || self.route_set.iter();
        let length = |text: &[u8]| 2 + text.len();
        let all = strings().chain(routes()).map(|s| length(s.as_bytes()));
        let ip = if self.address.is_ipv4() { 4 } else { 16 };
        // Version, generation, count of routes, protocol, family, port, CSeq.
        let fixed = 1 + 4 + 1 + 1 + 1 + ip + 2 + 4;
        let whole = fixed + all.sum::<usize>() + length(&self.local) + length(&self.remote);
        if whole > MAX_RECORD {
            return Err(RecordError("longer than 64 KiB"));
        }
        strings().try_for_each(|text| check_string(text))?;
        texts.try_for_each(|text| check_text(text))?;
        if self.route_set.len() > MAX_ROUTES {
            return Err(RecordError("more than 32 routes"));
        }
        routes().try_for_each(|text| check_string(text))
    }

    /// Reads a record; every length is checked, trailing bytes are an error.
    pub fn decode(bytes: &[u8]) -> Result<DialogRecord, RecordError> {
        if bytes.len() > MAX_RECORD {
            return Err(RecordError("longer than 64 KiB"));
        }
        let mut input = Input(bytes);
        if input.octet()? != VERSION {
            return Err(RecordError("unknown version"));
        }
        let record = DialogRecord {
            generation: input.number()?,
            trunk: input.string()?,
            upstream: input.dialog()?,
            downstream: input.dialog()?,
            local: input.text()?.into(),
            remote: input.text()?.into(),
            remote_target: input.string()?,
            route_set: input.routes()?,
            protocol: input.protocol()?,
            address: input.address()?,
            first_cseq: input.number()?,
        };
        input.end(record)
    }
}

/// Writes a text; one too long for its length keeps the largest length, which no reader takes.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text);
}

/// Whether a text can be kept: these texts go into header fields, where a line break would end
/// the field.
fn check_text(text: &[u8]) -> Result<(), RecordError> {
    if text.len() > MAX_TEXT {
        Err(RecordError("a text longer than 4 KiB"))
    } else if memchr2(b'\r', b'\n', text).is_some() {
        Err(RecordError("a text that no header can hold"))
    } else {
        Ok(())
    }
}

/// The same for a tag, a Call-ID or a URI. (NUL stands only in a quoted display name, escaped:
/// RFC 3261 section 25.1.)
pub(crate) fn check_string(text: &str) -> Result<(), RecordError> {
    check_text(text.as_bytes())?;
    if text.contains('\0') {
        return Err(RecordError("a text that no header can hold"));
    }
    Ok(())
}

/// The number of a protocol in a record.
fn protocol_octet(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Udp => 1,
        Protocol::Tcp => 2,
        Protocol::Tls => 3,
    }
}

/// The bytes of a record that are still to be read.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(RecordError("cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn end<T>(&self, whole: T) -> Result<T, RecordError> {
        match self.0 {
            [] => Ok(whole),
            _ => Err(RecordError("trailing bytes")),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(RecordError("cut short"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn octet(&mut self) -> Result<u8, RecordError> {
        self.array().map(|[octet]| octet)
    }

    fn number(&mut self) -> Result<u32, RecordError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a [u8], RecordError> {
        let length = usize::from(u16::from_be_bytes(self.array()?));
        if length > MAX_TEXT {
            return Err(RecordError("a text longer than 4 KiB"));
        }
        let text = self.take(length)?;
        check_text(text)?;
        Ok(text)
    }

    pub(crate) fn string(&mut self) -> Result<Box<str>, RecordError> {
        let text = std::str::from_utf8(self.text()?);
        let text = text.map_err(|_| RecordError("a text that is not UTF-8"))?;
        check_string(text)?;
        Ok(text.into())
    }

    fn dialog(&mut self) -> Result<DialogId, RecordError> {
        Ok(DialogId {
            call_id: self.string()?,
            local_tag: self.string()?,
            remote_tag: self.string()?,
        })
    }

    fn routes(&mut self) -> Result<Vec<Box<str>>, RecordError> {
        let count = usize::from(self.octet()?);
        if count > MAX_ROUTES {
            return Err(RecordError("more than 32 routes"));
        }
        (0..count).map(|_| self.string()).collect()
    }

    fn protocol(&mut self) -> Result<Protocol, RecordError> {
        let octet = self.octet()?;
        [Protocol::Udp, Protocol::Tcp, Protocol::Tls]
            .into_iter()
            .find(|protocol| protocol_octet(*protocol) == octet)
            .ok_or(RecordError("unknown protocol"))
    }

    fn address(&mut self) -> Result<SocketAddr, RecordError> {
        let ip = match self.octet()? {
            4 => IpAddr::from(self.array::<4>()?),
            6 => IpAddr::from(self.array::<16>()?),
            _ => return Err(RecordError("unknown address family")),
        };
        Ok(SocketAddr::new(ip, u16::from_be_bytes(self.array()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Tokens;

    fn record() -> DialogRecord {
        let dialog = |call_id: &str| DialogId {
            call_id: call_id.into(),
            local_tag: "ours".into(),
            remote_tag: "theirs".into(),
        };
        DialogRecord {
            generation: 3,
            trunk: "192.0.2.1:5060".into(),
            upstream: dialog("up@example.com"),
            downstream: dialog("down"),
            local: b"\"Andr\xe9\" <sip:2001@example.com>"[..].into(),
            remote: b"<sip:+4930123456@carrier.example;user=phone>"[..].into(),
            remote_target: "sip:gw@[2001:db8::5]:5070;transport=tcp".into(),
            route_set: vec!["<sip:p1.example;lr>".into(), "<sip:p2.example;lr>".into()],
            protocol: Protocol::Tcp,
            address: "[2001:db8::5]:5070".parse().unwrap(),
            first_cseq: 4711,
        }
    }

    // spec: D30
    #[test]
    fn a_record_survives_the_way_through_a_store() {
        let mut records = vec![record()];
        for protocol in [Protocol::Udp, Protocol::Tls] {
            records.push(DialogRecord {
                protocol,
                address: "192.0.2.77:5060".parse().unwrap(),
                route_set: Vec::new(),
                generation: u32::MAX,
                trunk: "".into(),
                ..record()
            });
        }
        // An escaped NUL in a quoted display name (RFC 3261 section 25.1).
        records.push(DialogRecord {
            remote: b"\"\\\0\" <sip:2001@example.com>"[..].into(),
            ..record()
        });
        records.push(DialogRecord {
            route_set: vec!["<sip:p.example;lr>".into(); MAX_ROUTES],
            local: vec![b'x'; MAX_TEXT].into(),
            ..record()
        });
        for record in records {
            assert_eq!(DialogRecord::decode(&record.encode()), Ok(record.clone()));
            assert_eq!(record.check(), Ok(()));
        }
    }

    /// The layout is what nodes of different releases share: changing it needs a new version.
    #[test]
    fn the_layout_of_version_1_stands() {
        let id = |call: &str| DialogId {
            call_id: call.into(),
            local_tag: "l".into(),
            remote_tag: "r".into(),
        };
        let record = DialogRecord {
            generation: 1,
            trunk: "t".into(),
            upstream: id("u"),
            downstream: id("d"),
            local: b"a"[..].into(),
            remote: b"b"[..].into(),
            remote_target: "c".into(),
            route_set: vec!["e".into()],
            protocol: Protocol::Udp,
            address: "192.0.2.1:5060".parse().unwrap(),
            first_cseq: 2,
        };
        let bytes =
            b"\x01\0\0\0\x01\0\x01t\0\x01u\0\x01l\0\x01r\0\x01d\0\x01l\0\x01r\0\x01a\0\x01b\
            \0\x01c\x01\0\x01e\x01\x04\xc0\0\x02\x01\x13\xc4\0\0\0\x02";
        assert_eq!(record.encode(), bytes);
    }

    #[test]
    fn what_breaks_a_bound_is_refused() {
        let long = "x".repeat(MAX_TEXT + 1);
        let huge = "x".repeat(70_000);
        for (record, why) in [
            (
                DialogRecord {
                    trunk: long.as_str().into(),
                    ..record()
                },
                "a text longer than 4 KiB",
            ),
            (
                DialogRecord {
                    trunk: huge.as_str().into(),
                    ..record()
                },
                "longer than 64 KiB",
            ),
            (
                DialogRecord {
                    route_set: vec!["".into(); 33],
                    ..record()
                },
                "more than 32 routes",
            ),
            (
                DialogRecord {
                    route_set: vec!["".into(); 289],
                    ..record()
                },
                "more than 32 routes",
            ),
            (
                DialogRecord {
                    remote: b"<sip:a>\r\nVia: x"[..].into(),
                    ..record()
                },
                "a text that no header can hold",
            ),
            (
                DialogRecord {
                    remote_target: "sip:a\0b".into(),
                    ..record()
                },
                "a text that no header can hold",
            ),
        ] {
            assert_eq!(record.check(), Err(RecordError(why)));
            let read = DialogRecord::decode(&record.encode());
            assert_eq!(read, Err(RecordError(why)), "as its reader says");
        }
        let good = record().encode();
        let with = |at: usize, octet: u8| {
            let mut bytes = good.clone();
            bytes[at] = octet;
            DialogRecord::decode(&bytes)
        };
        // From the end: CSeq 4, port 2, IPv6 16, family 1, protocol 1.
        assert_eq!(
            with(good.len() - 23, 5),
            Err(RecordError("unknown address family"))
        );
        assert_eq!(
            with(good.len() - 24, 0),
            Err(RecordError("unknown protocol"))
        );
        assert_eq!(with(0, 2), Err(RecordError("unknown version")));
        assert_eq!(with(7, 0xff), Err(RecordError("a text that is not UTF-8")));
        let trailing = [&good[..], b"\0"].concat();
        assert_eq!(
            DialogRecord::decode(&trailing),
            Err(RecordError("trailing bytes"))
        );
        for length in 0..good.len() {
            assert!(
                DialogRecord::decode(&good[..length]).is_err(),
                "cut at {length}"
            );
        }
    }

    #[test]
    fn no_mutation_panics_and_what_decodes_encodes_to_the_same() {
        let mut random = Tokens::new([30; 32]);
        let good = record().encode();
        let mut decoded = 0;
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len() as u64) as usize;
                match random.below(3) {
                    0 => bytes[at] = random.below(256) as u8,
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, random.below(256) as u8),
                }
            }
            if let Ok(record) = DialogRecord::decode(&bytes) {
                decoded += 1;
                assert_eq!(record.encode(), bytes);
            }
        }
        assert!(decoded > 0, "some mutations only change a letter");
    }
}
