//! The codec for a call that is being placed: what somebody else needs to take it back, should
//! the node that placed it die (spec: X26).
//!
//! Layout: a version octet, the Via as a text (see [`crate::record`]), the length of the first
//! [`DialogRecord`] in four octets, that record, and the record of the early dialog if there is
//! one.

use crate::build::{BuildError, Builder};
use crate::dialog::DialogId;
use crate::header::Name;
use crate::method::Method;
use crate::record::{DialogRecord, Input, RecordError, check_string, put_text};
use bytes::Bytes;

/// The layout that this code writes and reads.
const VERSION: u8 = 1;

/// A downstream INVITE that may still be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The INVITE's topmost Via, whose branch and sent-by a CANCEL has to repeat (RFC 3261 9.1).
    pub via: Box<str>,
    /// The INVITE as it left: the remote target is its Request-URI, the route set what it
    /// preloaded, the address where it went; the tags of node and peer, which were not known
    /// then, are empty.
    pub invited: DialogRecord,
    /// The dialog as the peer's last provisional response has it: should the peer have answered
    /// meanwhile, only a BYE ends that.
    pub early: Option<DialogRecord>,
}

impl AttemptRecord {
    /// The row's key: the dialog towards the agent, without the tag of the node, which the agent
    /// need not have heard of.
    pub fn key(&self) -> DialogId {
        self.invited.upstream.unanswered()
    }

    /// The attempt as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let invited = self.invited.encode();
        let mut out = vec![VERSION];
        put_text(&mut out, self.via.as_bytes());
        let length = u32::try_from(invited.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&invited);
        if let Some(early) = &self.early {
            out.extend_from_slice(&early.encode());
        }
        out
    }

    /// Whether [`AttemptRecord::decode`] takes what [`AttemptRecord::encode`] makes of it.
    pub fn check(&self) -> Result<(), RecordError> {
        check_string(&self.via)?;
        self.invited.check()?;
        self.early.as_ref().map_or(Ok(()), DialogRecord::check)
    }

    /// Reads an attempt; every length is checked.
    pub fn decode(bytes: &[u8]) -> Result<AttemptRecord, RecordError> {
        let mut input = Input(bytes);
        if input.octet()? != VERSION {
            return Err(RecordError("unknown version"));
        }
        let via = input.string()?;
        let length = u32::from_be_bytes(input.array()?);
        let invited = input.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        let early = match input.0 {
            [] => None,
            rest => Some(DialogRecord::decode(rest)?),
        };
        Ok(AttemptRecord {
            via,
            invited: DialogRecord::decode(invited)?,
            early,
        })
    }

    /// The CANCEL that whoever reads the record may send in the place of the node that noted it:
    /// the callee matches it by its Via alone (RFC 3261 9.1, 9.2). `reason` says why (RFC 3326).
    pub fn cancel(&self, reason: &str) -> Result<Bytes, BuildError> {
        let record = &self.invited;
        let id = &record.downstream;
        let from = [&record.local[..], b";tag=", id.local_tag.as_bytes()].concat();
        let mut builder =
            Builder::request(&Method::Cancel, &record.remote_target).header(Name::Via, &self.via);
        for route in &record.route_set {
            builder = builder.header(Name::Route, route);
        }
        builder
            .header(Name::MaxForwards, 70)
            .raw(b"From", &from)
            .raw(b"To", &record.remote)
            .header(Name::CallId, &id.call_id)
            .header(Name::CSeq, format_args!("{} CANCEL", record.first_cseq))
            .header(Name::Reason, reason)
            .finish(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;
    use crate::transport::Protocol;

    fn attempt() -> AttemptRecord {
        let id = |call: &str, local: &str| DialogId {
            call_id: call.into(),
            local_tag: local.into(),
            remote_tag: "".into(),
        };
        AttemptRecord {
            via: "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKa;rport".into(),
            invited: DialogRecord {
                generation: 0,
                trunk: "192.0.2.1".into(),
                upstream: DialogId {
                    remote_tag: "agent".into(),
                    ..id("up", "")
                },
                downstream: id("down", "ours"),
                local: b"\"A\" <sip:1001@pbx.example>"[..].into(),
                remote: b"<sip:2001@carrier.example>"[..].into(),
                remote_target: "sip:2001@carrier.example".into(),
                route_set: vec!["<sip:p.example;lr>".into()],
                protocol: Protocol::Udp,
                address: "192.0.2.77:5060".parse().unwrap(),
                first_cseq: 1,
            },
            early: None,
        }
    }

    // spec: X26
    #[test]
    fn an_attempt_survives_the_way_through_a_store() {
        let rings = DialogRecord {
            remote_target: "sip:gw@192.0.2.77".into(),
            ..attempt().invited
        };
        for early in [None, Some(rings)] {
            let attempt = AttemptRecord { early, ..attempt() };
            assert_eq!(
                AttemptRecord::decode(&attempt.encode()),
                Ok(attempt.clone())
            );
            assert_eq!(attempt.check(), Ok(()));
            let bytes = attempt.encode();
            for length in 0..bytes.len() {
                // Cut just before the second record it is one that never rang.
                let cut = AttemptRecord::decode(&bytes[..length]);
                assert!(cut.is_err() || cut.is_ok_and(|cut| cut.early.is_none()));
            }
        }
        let long = AttemptRecord {
            via: "x".repeat(5000).into(),
            ..attempt()
        };
        assert!(long.check().is_err() && AttemptRecord::decode(&long.encode()).is_err());
    }

    // spec: X26
    #[test]
    fn the_cancel_repeats_what_the_callee_matches_it_by() {
        let cancel = attempt().cancel("SIP;cause=200;text=\"x\"").unwrap();
        let cancel = Message::parse(cancel).unwrap();
        assert_eq!(*cancel.method(), Method::Cancel);
        assert_eq!(cancel.request_uri(), "sip:2001@carrier.example");
        let via = cancel.top_via();
        assert_eq!((via.branch, via.port), ("z9hG4bKa", Some(5060)));
        assert_eq!(cancel.from_tag(), "ours");
        assert_eq!(cancel.to_tag(), None);
        assert_eq!(cancel.call_id(), "down");
        assert_eq!(cancel.cseq().number, 1);
        assert_eq!(
            cancel.text(Name::Route).as_deref(),
            Some("<sip:p.example;lr>")
        );
    }
}
