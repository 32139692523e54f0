//! One pass over the buffer that finds every header field and judges what all else stands on.

use super::lines::{NoLine, line};
use super::positions::{Index, Slot, Span, Start, position};
use super::{MAX_HEADERS, MAX_MESSAGE, Message, ParseError};
use crate::header::scan::{Members, decimal, is_lws, is_token, trim, trim_end};
use crate::header::{CSeq, Kind, NameAddr, checked_uri, kind_of, scan_via};
use crate::method::Method;
use crate::uri::SipUri;
use bytes::{Buf, Bytes};
use memchr::{memchr, memrchr2};
use std::sync::Arc;

/// The first thing that is wrong with a message; what follows from it is not told.
#[derive(Default)]
struct Fault(Option<(u16, &'static str)>);

impl Fault {
    fn bad(&mut self, reason: &'static str) {
        self.0.get_or_insert((400, reason));
    }
}

/// The header section as it is read.
struct Fields {
    slots: Vec<Slot>,
    /// The first slot of each mandatory header.
    via: Option<u16>,
    from: Option<u16>,
    to: Option<u16>,
    call_id: Option<u16>,
    cseq: Option<u16>,
    content_length: Option<u32>,
    /// Where the body starts.
    body: usize,
}

impl Message {
    /// Reads one message from a datagram. Bytes past Content-Length are cut off; a body shorter
    /// than Content-Length is refused with 400. After `Ok`, the mandatory headers (Via, From, To,
    /// Call-ID, CSeq; RFC 3261 section 8.1.1) are there and well formed, so their getters cannot
    /// fail. Leading CR LF, folded lines, `Subject : x` and compact names are understood.
    pub fn parse(mut bytes: Bytes) -> Result<Message, ParseError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(ParseError::Garbage("at most 65535 bytes"));
        }
        let blank = bytes
            .iter()
            .take_while(|b| matches!(b, b'\r' | b'\n'))
            .count();
        if blank == bytes.len() {
            return Err(if blank > 0 {
                ParseError::KeepAlive
            } else {
                ParseError::Garbage("a start line")
            });
        }
        bytes.advance(blank);
        let data: &[u8] = &bytes;
        let mut fault = Fault::default();
        let first = line(data, 0, false).map_err(|_| ParseError::Garbage("a start line"))?;
        let start = start_line(data, &data[..first.end], &mut fault)?;
        let is_request = matches!(start, Start::Request { .. });
        let fields = header_section(data, first.next, &mut fault)?;
        let end = body_end(data, &fields, &mut fault);
        let index = judge(data, start, fields, &mut fault)?;
        if end < bytes.len() {
            bytes.truncate(end);
        }
        let message = Message {
            bytes,
            index: Arc::new(index),
        };
        match fault.0 {
            None => Ok(message),
            Some((status, reason)) if is_request => Err(ParseError::Refuse {
                status,
                reason,
                request: Box::new(message),
            }),
            Some((_, reason)) => Err(ParseError::Garbage(reason)),
        }
    }
}

fn start_line(data: &[u8], text: &[u8], fault: &mut Fault) -> Result<Start, ParseError> {
    let is_response = text
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"));
    if is_response {
        status_line(data, text)
    } else {
        request_line(data, text, fault)
    }
}

fn status_line(data: &[u8], text: &[u8]) -> Result<Start, ParseError> {
    let rest = match text.split_at_checked(7) {
        Some((version, [b' ', rest @ ..])) if version.eq_ignore_ascii_case(b"SIP/2.0") => rest,
        _ => return Err(ParseError::Garbage("SIP/2.0")),
    };
    let (code, reason) = rest.split_at_checked(3).unwrap_or((rest, b""));
    let status = decimal(code).and_then(|code| u16::try_from(code).ok());
    match (status, reason) {
        (Some(status @ 100..=699), [] | [b' ', ..]) => {
            let reason = Span::locate(data, reason.get(1..).unwrap_or_default());
            Ok(Start::Response { status, reason })
        }
        _ => Err(ParseError::Garbage("a status code of 100 to 699")),
    }
}

fn request_line(data: &[u8], text: &[u8], fault: &mut Fault) -> Result<Start, ParseError> {
    let no_request = ParseError::Garbage("a request line");
    // RFC 4475 3.1.2.9 and 3.1.2.10: more white space than one space can only be meant one way,
    // as long as it is not inside the URI.
    let text = trim_end(text);
    let Some((before, after)) = memchr(b' ', text).zip(memrchr2(b' ', b'\t', text)) else {
        return Err(no_request);
    };
    let (method, version) = (&text[..before], &text[after + 1..]);
    if !is_token(method)
        || !version
            .get(..4)
            .is_some_and(|v| v.eq_ignore_ascii_case(b"SIP/"))
    {
        return Err(no_request);
    }
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        fault.0.get_or_insert((505, "Version Not Supported"));
    }
    let uri = trim(&text[before..after.max(before)]);
    if !is_request_uri(uri) {
        fault.bad("Bad Request-URI");
    }
    let method = std::str::from_utf8(method).map_err(|_| no_request)?;
    Ok(Start::Request {
        method: Some(Method::from_name(method)),
        uri: Span::locate(data, uri),
    })
}

/// Whether `uri` may be asked for: well formed if SIP, of any other shape if not.
fn is_request_uri(uri: &[u8]) -> bool {
    let Some(text) = checked_uri(uri) else {
        return false;
    };
    let scheme = &uri[..memchr(b':', uri).unwrap_or(0)];
    let is_sip = scheme.eq_ignore_ascii_case(b"sip") || scheme.eq_ignore_ascii_case(b"sips");
    !is_sip || SipUri::parse(text).is_some()
}

fn header_section(data: &[u8], start: usize, fault: &mut Fault) -> Result<Fields, ParseError> {
    let mut fields = Fields {
        slots: Vec::with_capacity(32),
        via: None,
        from: None,
        to: None,
        call_id: None,
        cseq: None,
        content_length: None,
        body: data.len(),
    };
    let mut at = start;
    loop {
        let line = match line(data, at, true) {
            Ok(line) if line.end == line.start => {
                fields.body = line.next;
                return Ok(fields);
            }
            Ok(line) => line,
            Err(NoLine::Cut) => {
                fault.bad("No Empty Line After The Headers");
                return Ok(fields);
            }
            Err(NoLine::BareCr) => return Err(ParseError::Garbage("CR LF")),
        };
        if fields.slots.len() == MAX_HEADERS {
            return Err(ParseError::Garbage("at most 256 headers"));
        }
        fields.take(data, &data[line.start..line.end], fault);
        at = line.next;
    }
}

impl Fields {
    fn take(&mut self, data: &[u8], text: &[u8], fault: &mut Fault) {
        let colon = memchr(b':', text).unwrap_or(0);
        // Only white space of its own line may stand between a name and its colon.
        let name = trim_end(&text[..colon]);
        if !is_token(name) || text[name.len()..colon].contains(&b'\n') {
            return fault.bad("Bad Header Line");
        }
        let value = trim(&text[colon + 1..]);
        let kind = kind_of(name);
        let slot = position(self.slots.len());
        self.slots.push(Slot {
            kind,
            name: Span::locate(data, name),
            value: Span::locate(data, value),
        });
        const VIA: u8 = Kind::Via as u8;
        const FROM: u8 = Kind::From as u8;
        const TO: u8 = Kind::To as u8;
        const CALL_ID: u8 = Kind::CallId as u8;
        const CSEQ: u8 = Kind::CSeq as u8;
        const LENGTH: u8 = Kind::ContentLength as u8;
        let once = match kind {
            VIA => {
                self.via.get_or_insert(slot);
                return;
            }
            FROM => &mut self.from,
            TO => &mut self.to,
            CALL_ID => &mut self.call_id,
            CSEQ => &mut self.cseq,
            LENGTH => return self.take_length(value, fault),
            _ => return,
        };
        if once.is_some() {
            fault.bad("From, To, Call-ID Or CSeq Twice");
        }
        once.get_or_insert(slot);
    }

    fn take_length(&mut self, value: &[u8], fault: &mut Fault) {
        match decimal(value) {
            Some(length) if self.content_length.is_none_or(|other| other == length) => {
                self.content_length = Some(length);
            }
            Some(_) => fault.bad("Two Different Content-Lengths"),
            None => fault.bad("Bad Content-Length"),
        }
    }

    fn value<'a>(&self, data: &'a [u8], slot: u16) -> &'a [u8] {
        self.slots
            .get(usize::from(slot))
            .map_or(&[], |slot| slot.value.of(data))
    }
}

/// Where the body ends: by Content-Length, else with the datagram.
fn body_end(data: &[u8], fields: &Fields, fault: &mut Fault) -> usize {
    let length = fields
        .content_length
        .and_then(|length| usize::try_from(length).ok());
    match length {
        Some(length) if length <= data.len() - fields.body => fields.body + length,
        Some(_) => {
            fault.bad("Body Shorter Than Content-Length");
            data.len()
        }
        None => data.len(),
    }
}

/// Checks the mandatory headers. Without all of them, or without a Via to answer to, nothing can
/// be done; anything else is a fault to answer.
fn judge(
    data: &[u8],
    mut start: Start,
    fields: Fields,
    fault: &mut Fault,
) -> Result<Index, ParseError> {
    let (Some(via), Some(from), Some(to), Some(call_id), Some(cseq)) = (
        fields.via,
        fields.from,
        fields.to,
        fields.call_id,
        fields.cseq,
    ) else {
        return Err(ParseError::Garbage("Via, From, To, Call-ID and CSeq"));
    };
    let mut vias = Members::new(fields.value(data, via), true);
    let top = vias
        .next()
        .and_then(scan_via)
        .ok_or(ParseError::Garbage("a Via"))?;
    if !top.clean || !vias.all(|below| scan_via(below).is_some()) {
        fault.bad("Bad Via");
    }
    let is_party = |slot| NameAddr::parse(fields.value(data, slot)).is_some_and(has_sound_tag);
    if !is_party(from) {
        fault.bad("Bad From");
    }
    if !is_party(to) {
        fault.bad("Bad To");
    }
    if !is_call_id(fields.value(data, call_id)) {
        fault.bad("Bad Call-ID");
    }
    let cseq = CSeq::parse_any(fields.value(data, cseq));
    if cseq.as_ref().is_none_or(|cseq| cseq.number >= 1 << 31) {
        fault.bad("Bad CSeq");
    }
    let cseq = match (&mut start, cseq) {
        (Start::Request { method, .. }, Some(cseq)) => {
            if method.as_ref() == Some(&cseq.method) {
                *method = None;
            } else {
                fault.bad("CSeq Of Another Method");
            }
            cseq
        }
        (Start::Request { method, .. }, None) => CSeq {
            number: 0,
            method: method.take().unwrap_or(Method::Ack),
        },
        (Start::Response { .. }, Some(cseq)) => cseq,
        (Start::Response { .. }, None) => return Err(ParseError::Garbage("a CSeq")),
    };
    let Fields { slots, body, .. } = fields;
    Ok(Index {
        start,
        slots,
        cseq,
        via,
        from,
        to,
        call_id,
        body: position(body),
    })
}

/// Whether a From or To has at most one tag, and that a token (RFC 3261 section 19.3): another
/// could be neither compared nor written into what we send in the dialog. Nor may a quote be open
/// at the end, since a tag of ours would stand inside of it.
fn has_sound_tag(party: NameAddr<'_>) -> bool {
    let mut tags = party.tags();
    let sound = tags.next().is_none_or(is_token);
    sound && tags.next().is_none() && !party.is_open()
}

/// Whether `id` can be compared and copied: text without white space or control characters.
fn is_call_id(id: &[u8]) -> bool {
    let clean = |b: &u8| !is_lws(*b) && *b > b' ' && *b != 0x7f;
    !id.is_empty() && id.iter().all(clean) && std::str::from_utf8(id).is_ok()
}
