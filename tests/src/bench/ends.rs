//! The least user agents that a benchmark can do with: no timers, no repetitions, little work of
//! their own. A message that is lost makes a call that never ends, which is counted.

use bytes::Bytes;
use holdline_wire::build::{Body, Builder};
use holdline_wire::dialog::Dialog;
use holdline_wire::header::Name;
use holdline_wire::sdp::Sdp;
use holdline_wire::token::Tokens;
use holdline_wire::{Message, Method, TransportKey};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// What descriptions offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Description {
    /// One audio stream, its RTP at [`Plan::rtp`].
    Audio,
    /// No media stream at all (RFC 3264 section 5 allows that).
    Empty,
}

/// Who calls whom.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The caller's SIP address.
    pub caller: SocketAddr,
    /// The callee's SIP address.
    pub callee: SocketAddr,
    /// Where the caller sends.
    pub next_hop: SocketAddr,
    /// What both describe.
    pub description: Description,
    /// The first RTP port of either end; call `n` has the `n`-th even one after it.
    pub first_port: u16,
}

impl Plan {
    /// The RTP address of call `number` at an end.
    pub fn rtp(&self, ip: IpAddr, number: u32) -> SocketAddr {
        // Far more calls than ports are only placed without media: there the addresses repeat.
        let slots = (u16::MAX - self.first_port) / 2;
        let slot = u16::try_from(number % u32::from(slots)).unwrap_or_default();
        SocketAddr::new(ip, self.first_port + 2 * slot)
    }

    fn describe(&self, ip: IpAddr, number: u32) -> Body {
        let mut text =
            format!("v=0\r\no=- {number} 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n");
        if self.description == Description::Audio {
            let port = self.rtp(ip, number).port();
            text += &format!(
                "m=audio {port} RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
                 a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
            );
        }
        Body::sdp(Bytes::from(text))
    }
}

/// Headers of a carrier's INVITE, which make it 1.2 kB long.
const CARRIED: [(&str, &str); 9] = [
    (
        "Allow",
        "INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, UPDATE, PRACK",
    ),
    ("Supported", "replaces, timer"),
    ("Session-Expires", "1800;refresher=uac"),
    ("Min-SE", "90"),
    (
        "History-Info",
        "<sip:+4940987654@trunk.holdline.example;user=phone?Reason=SIP%3Bcause%3D302>;index=1",
    ),
    (
        "P-Asserted-Identity",
        "\"Mueller\" <sip:+4930123456@carrier.example;user=phone>, <tel:+4930123456>",
    ),
    ("Privacy", "none"),
    (
        "P-Charging-Vector",
        "icid-value=\"AyretyU0dm+6O2IrT5tAFrbHLso=023551024\";orig-ioi=carrier.example",
    ),
    ("User-Agent", "Border/9.1 (build 7, \"x\")"),
];

/// The number in the user part of a request's URI: `bench-17`.
pub fn number_of(request: &Message) -> Option<u32> {
    let (user, _) = request.request_uri().split_once('@')?;
    user.strip_prefix("sip:bench-")?.parse().ok()
}

/// One call at the caller.
struct Leg {
    invite: Message,
    dialog: Option<Dialog>,
    media: Option<SocketAddr>,
}

/// What a message did to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is up.
    Up(u32),
    /// It is over, by our BYE.
    Over(u32),
    /// It was refused with this status.
    Refused(u32, u16),
}

/// The calling end.
pub struct Caller {
    plan: Plan,
    tokens: Tokens,
    legs: BTreeMap<u32, Leg>,
}

impl Caller {
    /// A caller without calls.
    pub fn new(plan: Plan) -> Caller {
        Caller {
            plan,
            tokens: Tokens::new([9; 32]),
            legs: BTreeMap::new(),
        }
    }

    /// Calls that are neither refused nor over.
    pub fn live(&self) -> usize {
        self.legs.len()
    }

    /// Where call `number` was told to send its RTP.
    pub fn media(&self, number: u32) -> Option<SocketAddr> {
        self.legs.get(&number)?.media
    }

    /// The INVITE of call `number`.
    pub fn invite(&mut self, number: u32) -> Bytes {
        let Plan {
            caller,
            callee,
            next_hop,
            ..
        } = self.plan;
        let flow = TransportKey::udp(caller, next_hop);
        let tag = self.tokens.tag();
        let mut builder =
            Builder::request(&Method::Invite, &format!("sip:bench-{number}@{callee}"))
                .via(&flow, &self.tokens.branch())
                .header(Name::MaxForwards, 68)
                .header(
                    Name::From,
                    format_args!(
                        "\"Mueller\" <sip:+4930123456@carrier.example;user=phone>;tag={tag}"
                    ),
                )
                .header(
                    Name::To,
                    format_args!("<sip:bench-{number}@trunk.example;user=phone>"),
                )
                .header(
                    Name::CallId,
                    format_args!("{number}-{}", self.tokens.call_id()),
                )
                .header(Name::CSeq, "1 INVITE")
                .header(
                    Name::Contact,
                    format_args!("<sip:+4930123456@{caller};transport=udp>"),
                );
        for (name, value) in CARRIED {
            builder = builder.raw(name.as_bytes(), value.as_bytes());
        }
        let body = self.plan.describe(caller.ip(), number);
        let bytes = builder
            .finish(Some(&body))
            .expect("it has no line breaks in its values");
        let invite = Message::parse(bytes.clone()).expect("it is well formed");
        self.legs.insert(
            number,
            Leg {
                invite,
                dialog: None,
                media: None,
            },
        );
        bytes
    }

    /// The BYE of a call that is up, and where it goes.
    pub fn bye(&mut self, number: u32) -> Option<(SocketAddr, Bytes)> {
        let dialog = self.legs.get_mut(&number)?.dialog.as_mut()?;
        let bytes = dialog
            .request(&Method::Bye, &self.tokens.branch())
            .finish(None)
            .ok()?;
        Some((dialog.next_hop().remote, bytes))
    }

    /// Takes a response; what it means, and the ACK that it asks for.
    pub fn receive(&mut self, bytes: Bytes) -> (Option<Step>, Option<(SocketAddr, Bytes)>) {
        let Ok(message) = Message::parse(bytes) else {
            return (None, None);
        };
        let number = message
            .call_id()
            .split_once('-')
            .and_then(|(number, _)| number.parse().ok());
        let Some(number) = number.filter(|_| !message.is_request() && message.status() >= 200)
        else {
            return (None, None);
        };
        let Some(leg) = self.legs.get_mut(&number) else {
            return (None, None);
        };
        match (&message.cseq().method, message.status()) {
            (Method::Bye, _) => {
                self.legs.remove(&number);
                (Some(Step::Over(number)), None)
            }
            (Method::Invite, 200..300) => {
                let fresh = leg.dialog.is_none();
                if fresh {
                    let flow = TransportKey::udp(self.plan.caller, self.plan.next_hop);
                    leg.dialog = Dialog::uac(&leg.invite, &message, flow);
                    leg.media = message
                        .sdp()
                        .and_then(|sdp| Sdp::parse(sdp).ok()?.media().first()?.rtp_addr());
                }
                let branch = self.tokens.branch();
                let ack = leg.dialog.as_ref().and_then(|dialog| {
                    Some((
                        dialog.next_hop().remote,
                        dialog.ack(1, &branch).finish(None).ok()?,
                    ))
                });
                (fresh.then_some(Step::Up(number)), ack)
            }
            (_, status) => {
                self.legs.remove(&number);
                (Some(Step::Refused(number, status)), None)
            }
        }
    }
}

/// What the callee answers to `request`, which came from `source`: 180 and 200 with a description
/// to an INVITE, 200 to the rest. It keeps no state. The second value is the RTP address that an
/// INVITE offered.
pub fn callee(
    plan: &Plan,
    source: SocketAddr,
    request: &Message,
) -> (Vec<Bytes>, Option<SocketAddr>) {
    if !request.is_request() || *request.method() == Method::Ack {
        return (Vec::new(), None);
    }
    let answer = |status, body: Option<&Body>| {
        Builder::response(request, source, status, b"", Some("callee"))
            .record_routes(request)
            .header(Name::Contact, format_args!("<sip:{}>", plan.callee))
            .header(
                Name::Allow,
                "INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, UPDATE",
            )
            .header(Name::Supported, "replaces")
            .finish(body)
    };
    if *request.method() != Method::Invite {
        return (answer(200, None).into_iter().collect(), None);
    }
    let body = plan.describe(plan.callee.ip(), number_of(request).unwrap_or_default());
    let offered = request
        .sdp()
        .and_then(|sdp| Sdp::parse(sdp).ok()?.media().first()?.rtp_addr());
    (
        [answer(180, None), answer(200, Some(&body))]
            .into_iter()
            .flatten()
            .collect(),
        offered,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let at = |text: &str| text.parse().expect("an address");
        Plan {
            caller: at("127.0.0.1:5070"),
            callee: at("127.0.0.2:5091"),
            next_hop: at("127.0.0.2:5091"),
            description: Description::Audio,
            first_port: 20_000,
        }
    }

    #[test]
    fn both_ends_understand_each_other() {
        let plan = plan();
        let mut caller = Caller::new(plan);
        let invite = Message::parse(caller.invite(7)).unwrap();
        assert!(
            (1100..1300).contains(&invite.bytes().len()),
            "{}",
            invite.bytes().len()
        );
        let (answers, offered) = callee(&plan, plan.caller, &invite);
        assert_eq!(
            (answers.len(), offered),
            (2, Some(plan.rtp(plan.caller.ip(), 7)))
        );
        assert_eq!(caller.receive(answers[0].clone()), (None, None));
        let (step, ack) = caller.receive(answers[1].clone());
        assert!(step == Some(Step::Up(7)) && ack.is_some());
        // Repeated, it is only acknowledged again.
        assert!(matches!(
            caller.receive(answers[1].clone()),
            (None, Some(_))
        ));
        assert_eq!(caller.media(7), Some(plan.rtp(plan.callee.ip(), 7)));
        let (_, bye) = caller.bye(7).unwrap();
        let (answers, _) = callee(&plan, plan.caller, &Message::parse(bye).unwrap());
        assert_eq!(caller.receive(answers[0].clone()).0, Some(Step::Over(7)));
        assert_eq!(caller.live(), 0);
    }
}
