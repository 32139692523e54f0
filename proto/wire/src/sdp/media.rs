//! One media stream as a description has it, and the codecs behind its formats.

use super::Direction;
use std::net::{IpAddr, SocketAddr};

/// One media stream as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video` ...
    pub kind: Box<str>,
    /// The port; 0 means refused or removed.
    pub port: u16,
    /// `RTP/AVP`, `RTP/SAVP` ...
    pub proto: Box<str>,
    /// The formats in order (payload numbers for RTP).
    pub formats: Vec<Box<str>>,
    /// The connection address, from the m-section or the session level; `None` for a host name.
    pub address: Option<IpAddr>,
    /// Where RTCP goes: a=rtcp (RFC 3605), the same port with rtcp-mux, else port + 1. `None`
    /// where RTP has no usable address, and for streams that are not RTP.
    pub rtcp: Option<SocketAddr>,
    /// Whether a=rtcp-mux is there (RFC 5761).
    pub mux: bool,
    /// The direction; sendrecv where nothing is said. A zero address (RFC 2543 hold) reads as
    /// sendonly narrowed accordingly.
    pub direction: Direction,
    /// a=ptime, milliseconds.
    pub ptime: Option<u16>,
    /// The codec of each format, in the same order.
    pub(super) codecs: Vec<Option<Codec>>,
}

impl Media {
    /// Where RTP goes, if the stream is alive and its address is a usable unicast one.
    pub fn rtp_addr(&self) -> Option<SocketAddr> {
        let ip = self
            .address
            .filter(|ip| self.port != 0 && is_unicast(*ip))?;
        Some(SocketAddr::new(ip, self.port))
    }

    /// The RTP clock rate of the first format (a=rtpmap, else RFC 3551's table, else 8000), Hz.
    pub fn clock_rate(&self) -> u32 {
        self.codecs
            .first()
            .and_then(Option::as_ref)
            .map_or(8000, |codec| codec.rate)
    }

    /// Whether the stream is RTP, plain or secure: only then do payload numbers and RTCP mean
    /// anything.
    pub fn is_rtp(&self) -> bool {
        let mut parts = self.proto.split('/');
        parts.any(|part| part.eq_ignore_ascii_case("RTP"))
    }

    /// The codec behind one of this stream's formats (a=rtpmap, else RFC 3551's table).
    pub fn codec(&self, format: &str) -> Option<&Codec> {
        let at = self.formats.iter().position(|f| **f == *format)?;
        self.codecs.get(at)?.as_ref()
    }
}

/// Whether media can be sent to `ip` and to one receiver only.
pub(super) fn is_unicast(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !(ip.is_unspecified() || ip.is_multicast() || broadcast)
}

/// What a payload number stands for: the three parts of an a=rtpmap (RFC 8866 section 6.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    /// The encoding name as written.
    pub name: Box<str>,
    /// The RTP clock rate, Hz.
    pub rate: u32,
    /// The audio channels; 1 where nothing is said.
    pub channels: u16,
}

impl Codec {
    /// Whether both name the same encoding, whatever the case of the letters.
    pub fn is_same(&self, other: &Codec) -> bool {
        self.name.eq_ignore_ascii_case(&other.name)
            && self.rate == other.rate
            && self.channels == other.channels
    }

    /// Whether the format only accompanies a codec: key presses (RFC 4733), comfort noise
    /// (RFC 3389). Such formats alone carry no conversation.
    pub fn is_auxiliary(&self) -> bool {
        ["telephone-event", "CN"]
            .iter()
            .any(|name| self.name.eq_ignore_ascii_case(name))
    }

    /// Reads what follows the payload number in an a=rtpmap: `opus/48000/2`.
    pub(super) fn of_rtpmap(encoding: &str) -> Option<Codec> {
        let mut parts = encoding.trim().split('/');
        let name = parts.next().filter(|name| !name.is_empty())?;
        let rate = parts.next()?.parse().ok().filter(|rate| *rate != 0)?;
        let channels = parts.next().and_then(|n| n.parse().ok()).unwrap_or(1);
        Some(Codec {
            name: name.into(),
            rate,
            channels,
        })
    }

    /// The codec that RFC 3551 (table 4 and 5) gives a payload number by itself.
    pub(super) fn of_static(format: &str) -> Option<Codec> {
        let (name, rate, channels) = match format.parse().ok()? {
            0u8 => ("PCMU", 8000, 1),
            3 => ("GSM", 8000, 1),
            4 => ("G723", 8000, 1),
            5 => ("DVI4", 8000, 1),
            6 => ("DVI4", 16000, 1),
            7 => ("LPC", 8000, 1),
            8 => ("PCMA", 8000, 1),
            // Sampled at 16 kHz; its RTP clock is 8 kHz by an old mistake (section 4.5.2).
            9 => ("G722", 8000, 1),
            10 => ("L16", 44100, 2),
            11 => ("L16", 44100, 1),
            12 => ("QCELP", 8000, 1),
            13 => ("CN", 8000, 1),
            14 => ("MPA", 90000, 1),
            15 => ("G728", 8000, 1),
            16 => ("DVI4", 11025, 1),
            17 => ("DVI4", 22050, 1),
            18 => ("G729", 8000, 1),
            25 => ("CelB", 90000, 1),
            26 => ("JPEG", 90000, 1),
            28 => ("nv", 90000, 1),
            31 => ("H261", 90000, 1),
            32 => ("MPV", 90000, 1),
            33 => ("MP2T", 90000, 1),
            34 => ("H263", 90000, 1),
            _ => return None,
        };
        Some(Codec {
            name: name.into(),
            rate,
            channels,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::sdp::Sdp;

    fn stream(m_and_after: &str) -> Sdp {
        let text = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{m_and_after}\r\n"
        );
        Sdp::parse(text.into_bytes().into()).unwrap()
    }

    #[test]
    fn clock_rates_come_from_rtpmap_then_from_rfc_3551() {
        for (lines, rate) in [
            ("m=audio 4000 RTP/AVP 0", 8000),
            ("m=audio 4000 RTP/AVP 6 0", 16000),
            ("m=audio 4000 RTP/AVP 9", 8000),
            ("m=audio 4000 RTP/AVP 10", 44100),
            ("m=audio 4000 RTP/AVP 11", 44100),
            ("m=audio 4000 RTP/AVP 14", 90000),
            ("m=audio 4000 RTP/AVP 16", 11025),
            ("m=video 4000 RTP/AVP 31", 90000),
            (
                "m=audio 4000 RTP/AVP 96 0\r\na=rtpmap:96 opus/48000/2",
                48000,
            ),
            ("m=audio 4000 RTP/AVP 97\r\na=rtpmap:96 opus/48000/2", 8000),
            ("m=audio 4000 RTP/AVP 97\r\na=rtpmap:97 broken", 8000),
            ("m=audio 4000 RTP/AVP 97\r\na=rtpmap:97 broken/0", 8000),
            ("m=image 4000 udptl t38", 8000),
            ("m=image 4000 udptl 10", 8000),
        ] {
            assert_eq!(stream(lines).media()[0].clock_rate(), rate, "{lines}");
        }
    }

    #[test]
    fn codecs_are_found_by_format() {
        let sdp = stream("m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000");
        let media = &sdp.media()[0];
        assert_eq!(&*media.codec("0").unwrap().name, "PCMU");
        assert!(media.codec("101").unwrap().is_auxiliary());
        assert_eq!(media.codec("8"), None);
    }

    #[test]
    fn only_a_unicast_address_takes_media() {
        for (address, usable) in [
            ("IP4 192.0.2.9", true),
            ("IP4 127.0.0.1", true),
            ("IP4 0.0.0.0", false),
            ("IP4 255.255.255.255", false),
            ("IP4 224.2.1.1/127/3", false),
            ("IP6 ff15::101/3", false),
            ("IP6 2001:db8::9", true),
            ("IP6 ::", false),
            ("IP4 media.example.com", false),
        ] {
            let sdp = stream(&format!("m=audio 4000 RTP/AVP 0\r\nc=IN {address}"));
            assert_eq!(sdp.media()[0].rtp_addr().is_some(), usable, "{address}");
            assert_eq!(sdp.media()[0].rtcp.is_some(), usable, "{address}");
        }
        assert_eq!(stream("m=audio 0 RTP/AVP 0").media()[0].rtp_addr(), None);
    }
}
