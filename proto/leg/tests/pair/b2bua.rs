//! Two legs of one B2BUA: the smallest core there can be.

use bytes::Bytes;
use holdline_leg::{Ctx, Leg, Passage, Setup, Stamp};
use holdline_wire::build::Builder;
use holdline_wire::token::Tokens;
use holdline_wire::transaction::{Event, Layer, Output, ServerId, Timers};
use holdline_wire::{Message, Method, Time, TransportKey};
use std::net::SocketAddr;

pub const US: &str = "127.0.0.1:5060";
pub const CALLER: &str = "127.0.0.2:5060";
pub const CALLEE: &str = "127.0.0.3:5060";

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A leg's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    Near,
    Far,
}

pub struct B2bua {
    pub now: Time,
    pub layer: Layer<Half>,
    pub tokens: Tokens,
    stamp: Stamp,
    pub near: Option<Leg<Half>>,
    pub far: Option<Leg<Half>>,
    /// What the peers get, since it was looked at last.
    pub sent: Vec<(SocketAddr, Message)>,
}

impl B2bua {
    pub fn new(seed: u8) -> B2bua {
        B2bua {
            now: Time::ZERO,
            layer: Layer::new(Timers::default()),
            tokens: Tokens::new([seed; 32]),
            stamp: Stamp {
                contact: format!("<sip:{US}>").into(),
                on_responses: Vec::new(),
            },
            near: None,
            far: None,
            sent: Vec::new(),
        }
    }

    /// A datagram arrives.
    pub fn receive(&mut self, from: SocketAddr, bytes: Bytes) {
        let message = Message::parse(bytes).expect("a message");
        let flow = TransportKey::udp(addr(US), from);
        self.layer.receive(self.now, flow, message);
        self.drain();
    }

    /// Time passes up to the next deadline that is due until `until`.
    pub fn deadline(&mut self, now: Time) {
        self.now = now;
        self.layer.handle_deadline(now);
        self.drain();
    }

    /// Runs `step` on one leg.
    pub fn with(&mut self, half: Half, step: impl FnOnce(&mut Leg<Half>, &mut Ctx<'_, Half>)) {
        let leg = match half {
            Half::Near => &mut self.near,
            Half::Far => &mut self.far,
        };
        if let Some(leg) = leg {
            let mut ctx = Ctx {
                now: self.now,
                layer: &mut self.layer,
                tokens: &mut self.tokens,
                stamp: &self.stamp,
            };
            step(leg, &mut ctx);
        }
    }

    pub fn drain(&mut self) {
        loop {
            while let Some(output) = self.layer.poll_output() {
                match output {
                    Output::Send(to, bytes) => {
                        let message = Message::parse(bytes).expect("we send messages only");
                        self.sent.push((to.remote, message));
                    }
                    Output::Event(event) => self.on_event(event),
                }
            }
            if !self.pump() {
                return;
            }
        }
    }

    fn pump(&mut self) -> bool {
        for (half, other) in [(Half::Near, Half::Far), (Half::Far, Half::Near)] {
            let mut signal = None;
            self.with(half, |leg, _| signal = leg.poll_signal());
            if let Some(signal) = signal {
                self.with(other, |leg, ctx| leg.apply(ctx, signal));
                return true;
            }
        }
        false
    }

    fn on_event(&mut self, event: Event<Half>) {
        match event {
            Event::Request {
                server,
                message,
                from,
                cancels,
            } => self.on_request(server, &message, from, cancels),
            Event::Ack { message, .. } => {
                if let Some(half) = self.addressed(&message) {
                    self.with(half, |leg, ctx| leg.on_ack(ctx, &message));
                }
            }
            Event::Response {
                client,
                owner,
                message,
                from,
            } => self.with(owner, |leg, ctx| {
                leg.on_response(ctx, client, &message, from);
            }),
            Event::Timeout {
                client,
                owner,
                transport,
            } => self.with(owner, |leg, ctx| leg.on_timeout(ctx, client, transport)),
            Event::NoAck { server, .. } => {
                self.with(Half::Near, |leg, ctx| leg.on_no_ack(ctx, server));
                self.with(Half::Far, |leg, ctx| leg.on_no_ack(ctx, server));
            }
            Event::Stray { .. } => {}
        }
    }

    fn on_request(
        &mut self,
        server: ServerId,
        message: &Message,
        from: TransportKey,
        cancels: Option<ServerId>,
    ) {
        let opens = message.to_tag().is_none();
        let half = match self.addressed(message) {
            None if opens && cancels.is_some() => Some(Half::Near),
            half => half,
        };
        if let Some(half) = half {
            self.with(half, |leg, ctx| {
                leg.on_request(ctx, server, message, cancels);
            });
        } else if opens && *message.method() == Method::Invite && self.near.is_none() {
            self.place(server, message, from);
        } else {
            let gone = Builder::response(message, from.remote, 481, b"", Some("gone"));
            let bytes = gone.finish(None).unwrap();
            self.layer.respond(self.now, server, 481, bytes);
        }
    }

    fn place(&mut self, server: ServerId, invite: &Message, from: TransportKey) {
        let mut ctx = Ctx {
            now: self.now,
            layer: &mut self.layer,
            tokens: &mut self.tokens,
            stamp: &self.stamp,
        };
        let near = Leg::incoming(&mut ctx, Half::Near, server, invite, from);
        self.near = Some(near.expect("a Contact"));
        let setup = Setup {
            request_uri: format!("sip:bob@{CALLEE}").into(),
            from: invite.from().without_params().into(),
            to: invite.to().without_params().into(),
            routes: Vec::new(),
            flow: from.to(addr(CALLEE)),
            max_forwards: 69,
            cseq: 1,
            headers: Vec::new(),
            passage: Passage::of(invite),
            timers: None,
        };
        self.far = Some(Leg::call(&mut ctx, Half::Far, &setup).unwrap());
    }

    fn addressed(&self, message: &Message) -> Option<Half> {
        let is =
            |leg: &Option<Leg<Half>>| leg.as_ref().is_some_and(|leg| leg.is_addressed_by(message));
        match (is(&self.near), is(&self.far)) {
            (true, _) => Some(Half::Near),
            (_, true) => Some(Half::Far),
            _ => None,
        }
    }

    /// Lets everything time out; then nothing may be left.
    pub fn assert_ends_clean(&mut self) {
        while let Some(next) = self.layer.poll_deadline() {
            self.deadline(next.max(self.now));
        }
        assert!(self.near.as_ref().is_none_or(Leg::is_over), "near is over");
        assert!(self.far.as_ref().is_none_or(Leg::is_over), "far is over");
        assert!(self.layer.is_empty(), "left: {:?}", self.layer.len());
    }

    /// Hangs one side up from within.
    pub fn end(&mut self, half: Half, reason: &str) {
        let passage = Passage::reason(reason);
        self.with(half, |leg, ctx| leg.end(ctx, &passage));
        self.drain();
    }
}
