//! A user agent that answers whatever it is asked: one leg with nobody behind it.

use crate::b2bua::{US, addr};
use crate::peers::{ANSWER, OFFER};
use bytes::Bytes;
use holdline_leg::{Ctx, Leg, Passage, RequestId, Setup, Signal, Stamp};
use holdline_wire::build::Builder;
use holdline_wire::token::Tokens;
use holdline_wire::transaction::{Event, Layer, Output, ServerId, Timers};
use holdline_wire::{Message, Method, Time, TransportKey};
use std::net::SocketAddr;

pub struct Ua {
    pub now: Time,
    pub layer: Layer<()>,
    tokens: Tokens,
    stamp: Stamp,
    at: SocketAddr,
    pub leg: Option<Leg<()>>,
    /// What it says.
    pub sent: Vec<Bytes>,
    asked: u64,
}

fn passage(sdp: &str) -> Passage {
    Passage::new(Vec::new(), (!sdp.is_empty()).then(|| sdp.to_owned().into()))
}

impl Ua {
    pub fn new(seed: u8, at: &str) -> Ua {
        Ua {
            now: Time::ZERO,
            layer: Layer::new(Timers::default()),
            tokens: Tokens::new([seed; 32]),
            stamp: Stamp {
                contact: format!("<sip:{at}>").into(),
                on_responses: Vec::new(),
            },
            at: addr(at),
            leg: None,
            sent: Vec::new(),
            asked: 0,
        }
    }

    fn with(&mut self, step: impl FnOnce(&mut Leg<()>, &mut Ctx<'_, ()>)) {
        if let Some(leg) = &mut self.leg {
            let mut ctx = Ctx {
                now: self.now,
                layer: &mut self.layer,
                tokens: &mut self.tokens,
                stamp: &self.stamp,
            };
            step(leg, &mut ctx);
        }
    }

    pub fn call(&mut self, sdp: &str) {
        let setup = Setup {
            request_uri: format!("sip:bob@{US}").into(),
            from: b"<sip:alice@a.example>"[..].into(),
            to: b"<sip:bob@b.example>"[..].into(),
            routes: Vec::new(),
            flow: TransportKey::udp(self.at, addr(US)),
            max_forwards: 70,
            cseq: 1,
            headers: Vec::new(),
            passage: passage(sdp),
            timers: None,
        };
        let mut ctx = Ctx {
            now: self.now,
            layer: &mut self.layer,
            tokens: &mut self.tokens,
            stamp: &self.stamp,
        };
        self.leg = Some(Leg::call(&mut ctx, (), &setup).unwrap());
        self.drain();
    }

    /// Answers the call that came: provisional, 2xx or refusal.
    pub fn answer(&mut self, status: u16, sdp: &str) {
        let (reason, passage) = (Bytes::new(), passage(sdp));
        let signal = Signal::Answer {
            status,
            reason,
            passage,
        };
        self.with(|leg, ctx| leg.apply(ctx, signal));
        self.drain();
    }

    pub fn ask(&mut self, method: Method, sdp: &str) {
        self.asked += 1;
        let id = RequestId(ServerId(u64::MAX - self.asked));
        let passage = passage(sdp);
        let signal = Signal::Request {
            id,
            method,
            passage,
        };
        self.with(|leg, ctx| leg.apply(ctx, signal));
        self.drain();
    }

    pub fn hang_up(&mut self) {
        self.with(|leg, ctx| leg.end(ctx, &Passage::default()));
        self.drain();
    }

    pub fn receive(&mut self, bytes: Bytes) {
        let flow = TransportKey::udp(self.at, addr(US));
        self.layer
            .receive(self.now, flow, Message::parse(bytes).unwrap());
        self.drain();
    }

    pub fn deadline(&mut self) {
        self.layer.handle_deadline(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            while let Some(output) = self.layer.poll_output() {
                match output {
                    Output::Send(_, bytes) => self.sent.push(bytes),
                    Output::Event(event) => self.on_event(event),
                }
            }
            let mut signal = None;
            self.with(|leg, _| signal = leg.poll_signal());
            match signal {
                Some(signal) => self.on_signal(signal),
                None => return,
            }
        }
    }

    fn on_signal(&mut self, signal: Signal) {
        let answer = match signal {
            Signal::Request {
                id,
                method,
                mut passage,
            } => {
                let sdp = match (method, passage.sdp()) {
                    (_, Some(_)) => ANSWER,
                    (Method::Invite, None) => OFFER,
                    _ => "",
                };
                passage = self::passage(sdp);
                Signal::Reply {
                    id,
                    status: 200,
                    reason: Bytes::new(),
                    passage,
                }
            }
            // Where our offerless INVITE brought an offer, the ACK answers it.
            Signal::Answer { .. } | Signal::Reply { .. } => Signal::Ack {
                passage: passage(ANSWER),
            },
            _ => return,
        };
        self.with(|leg, ctx| leg.apply(ctx, answer));
    }

    fn on_event(&mut self, event: Event<()>) {
        match event {
            Event::Request {
                server,
                message,
                from,
                cancels,
            } => {
                let opens = message.to_tag().is_none() && *message.method() == Method::Invite;
                let ours = self
                    .leg
                    .as_ref()
                    .is_some_and(|leg| leg.is_addressed_by(&message));
                if opens && self.leg.is_none() {
                    let mut ctx = Ctx {
                        now: self.now,
                        layer: &mut self.layer,
                        tokens: &mut self.tokens,
                        stamp: &self.stamp,
                    };
                    self.leg = Leg::incoming(&mut ctx, (), server, &message, from).ok();
                } else if ours || cancels.is_some() {
                    self.with(|leg, ctx| leg.on_request(ctx, server, &message, cancels));
                } else {
                    let gone = Builder::response(&message, from.remote, 481, b"", Some("gone"));
                    let bytes = gone.finish(None).unwrap();
                    self.layer.respond(self.now, server, 481, bytes);
                }
            }
            Event::Ack { message, .. } => self.with(|leg, ctx| leg.on_ack(ctx, &message)),
            Event::Response {
                client,
                message,
                from,
                ..
            } => self.with(|leg, ctx| leg.on_response(ctx, client, &message, from)),
            Event::Timeout {
                client, transport, ..
            } => self.with(|leg, ctx| leg.on_timeout(ctx, client, transport)),
            Event::NoAck { server, .. } => self.with(|leg, ctx| leg.on_no_ack(ctx, server)),
            Event::Stray { .. } => {}
        }
    }
}
