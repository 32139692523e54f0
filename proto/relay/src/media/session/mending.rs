//! A port that could not be opened, most likely since another socket has it: the stream gets
//! another one (spec: X51). Whether anybody was told of the first is for the core to know.

use super::parts::{Stream, has};
use super::{MediaError, Session, peer_of};
use crate::command::{Command, Side, SideSpec, StreamId};
use crate::media::pool::Ports;
use bytes::Bytes;
use std::net::SocketAddr;

impl Session {
    /// Whether `port` is what the stream has on `side` now: else what is told of it is about an
    /// attempt that is no longer in charge.
    pub fn holds(&self, stream: StreamId, side: Side, port: u16) -> bool {
        let mut streams = self.streams.iter().flatten();
        streams.any(|known| known.id == stream && known.port(side) == port)
    }

    /// Whether the stream carries what was agreed, and is not just being asked for.
    pub fn is_agreed(&self, stream: StreamId) -> bool {
        let at = |known: &Option<Stream>| known.is_some_and(|known| known.id == stream);
        let Some(index) = self.streams.iter().position(at) else {
            return false;
        };
        self.in_force()
            .is_some_and(|(near, far)| has(&near, index) && has(&far, index))
    }

    /// Whether `side` has offered the stream and got no final answer, which is what tells it our
    /// port there.
    pub fn is_untold(&self, stream: StreamId, side: Side) -> bool {
        let asked = self.exchange.as_ref();
        asked.is_some_and(|exchange| exchange.offerer == side) && !self.is_agreed(stream)
    }

    /// Gives the stream another port on `side` in place of one that could not be opened.
    pub fn mend(
        &mut self,
        ports: &mut Ports,
        out: &mut Vec<Command>,
        stream: StreamId,
        side: Side,
    ) -> Result<(), MediaError> {
        let place = self.place;
        let mut streams = self.streams.iter_mut().flatten();
        let Some(known) = streams.find(|known| known.id == stream) else {
            return Ok(());
        };
        let port = ports.take().ok_or(MediaError::NoPort)?;
        ports.put(known.exchange_port(side, port));
        let unknown = |ip, port| SideSpec {
            local: SocketAddr::new(ip, port),
            peer: None,
        };
        // Of a known stream only what is not open is opened.
        out.push(Command::Install {
            stream,
            near: unknown(place.near, known.near),
            far: unknown(place.far, known.far),
            group: self.group,
            clock_rate: known.clock_rate,
            steady: place.steady,
        });
        self.tell_peers(out);
        Ok(())
    }

    /// The offer under way once more, for the side that it is for, with the ports of now.
    pub fn offer_again(&mut self) -> Option<Bytes> {
        let exchange = self.exchange.as_ref()?;
        let (side, offer) = (exchange.offerer.other(), exchange.offer.clone());
        Some(self.describe(side, &offer))
    }

    /// The mirrored answer and the offer of [`Session::mirror`] once more.
    pub fn mirror_again(&mut self) -> Option<(Bytes, Bytes)> {
        let offer = self.offer_again()?;
        Some((self.mirrored(), offer))
    }

    /// Tells the relay once more whom each side speaks to, as far as that is known.
    fn tell_peers(&self, out: &mut Vec<Command>) {
        if let Some((near, far)) = self.in_force() {
            self.set_peers(out, &near, &far);
        }
        let Some(exchange) = &self.exchange else {
            return;
        };
        if let Some(answer) = &exchange.answer {
            let (near, far) = exchange.sides(answer);
            return self.set_peers(out, &near, &far);
        }
        // Of what is only being asked for, the side that asks.
        let agreed = self.in_force();
        for (index, media) in exchange.offer.media().iter().enumerate() {
            let known = agreed
                .as_ref()
                .is_some_and(|(near, far)| has(near, index) && has(far, index));
            let stream = self.streams.get(index).copied().flatten();
            if let Some(stream) = stream.filter(|_| !known && media.port != 0) {
                out.push(Command::SetPeer {
                    stream: stream.id,
                    side: exchange.offerer,
                    peer: peer_of(media, media.mux),
                });
            }
        }
    }
}
