//! Where a response goes (RFC 3261 section 18.2.2, RFC 3581 section 4).

use crate::message::Message;
use crate::transport::TransportKey;
use std::net::SocketAddr;

/// The port that a sent-by without one means (RFC 3261 section 18.1.1).
const DEFAULT_PORT: u16 = 5060;

/// The flow for the response to `request`, which came by `from`: by a connected socket the same one,
/// for it reaches its own peer only; else, on UDP, the source address, with the source port where the request has rport and
/// otherwise with the port of its sent-by.
///
/// A received that the request brought and maddr are not followed: they would let its sender
/// choose whom our responses hit.
pub fn response_destination(request: &Message, from: TransportKey) -> TransportKey {
    let via = request.top_via();
    if from.protocol.is_reliable() || !from.is_listening() || via.rport.is_some() {
        return from;
    }
    let port = via.port.filter(|port| *port != 0).unwrap_or(DEFAULT_PORT);
    from.to(SocketAddr::new(from.remote.ip(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Protocol;

    fn destination(sent_by: &str, protocol: Protocol) -> String {
        let text = format!(
            "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP {sent_by}\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:h>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
        );
        let request = Message::parse(text.into()).unwrap();
        let address = |text: &str| text.parse().unwrap();
        let from = TransportKey::udp(address("127.0.0.1:5060"), address("192.0.2.1:4000"));
        response_destination(&request, TransportKey { protocol, ..from })
            .remote
            .to_string()
    }

    #[test]
    fn a_response_goes_to_the_source_by_rport_else_to_the_port_of_sent_by() {
        let udp = |sent_by| destination(sent_by, Protocol::Udp);
        assert_eq!(udp("192.0.2.1;branch=z9hG4bK1;rport"), "192.0.2.1:4000");
        assert_eq!(
            udp("10.0.0.1:5070;rport=9;branch=z9hG4bK1"),
            "192.0.2.1:4000"
        );
        assert_eq!(udp("10.0.0.1:5070;branch=z9hG4bK1"), "192.0.2.1:5070");
        assert_eq!(udp("pbx.example.com;branch=z9hG4bK1"), "192.0.2.1:5060");
        assert_eq!(
            udp("h;received=198.51.100.9;maddr=198.51.100.8"),
            "192.0.2.1:5060"
        );
        assert_eq!(
            destination("10.0.0.1:5070", Protocol::Tcp),
            "192.0.2.1:4000"
        );
    }
}
