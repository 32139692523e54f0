use super::{sdp, session};
use crate::Message;
use crate::sdp::{Direction, Sdp, SdpError};
use holdline_corpus::{others, torture};

fn error(text: &str) -> SdpError {
    Sdp::parse(text.to_owned().into_bytes().into()).expect_err(text)
}

#[test]
fn every_field_is_read() {
    let sdp = sdp(&session(
        "a=recvonly\nm=audio 4000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\na=ptime:30\n\
         m=video 5000/2 RTP/AVPF 31\nc=IN IP6 2001:db8::7\na=sendrecv\na=rtcp-mux\n\
         m=image 0 udptl t38\nm=audio 6000 RTP/SAVP 8\na=rtcp:7001 IN IP4 192.0.2.44\na=inactive\n",
    ));
    let [audio, video, fax, secure] = sdp.media() else {
        panic!("{:?}", sdp.media())
    };

    assert_eq!(
        (&*audio.kind, audio.port, &*audio.proto),
        ("audio", 4000, "RTP/AVP")
    );
    assert_eq!(audio.formats, ["0".into(), "101".into()]);
    assert_eq!(audio.rtp_addr(), Some("192.0.2.1:4000".parse().unwrap()));
    assert_eq!(audio.rtcp, Some("192.0.2.1:4001".parse().unwrap()));
    assert_eq!((audio.mux, audio.ptime), (false, Some(30)));
    assert_eq!(audio.direction, Direction::RecvOnly, "from the session");

    assert_eq!(
        video.rtp_addr(),
        Some("[2001:db8::7]:5000".parse().unwrap())
    );
    assert_eq!(
        video.rtcp,
        video.rtp_addr(),
        "with mux RTCP shares the port"
    );
    assert!(video.mux && video.is_rtp());
    assert_eq!(
        video.direction,
        Direction::SendRecv,
        "the stream overrides the session"
    );

    assert_eq!((fax.port, fax.rtp_addr(), fax.rtcp), (0, None, None));
    assert!(!fax.is_rtp());

    assert_eq!(secure.rtcp, Some("192.0.2.44:7001".parse().unwrap()));
    assert_eq!(secure.direction, Direction::Inactive);
}

// spec: X27
#[test]
fn a_zero_address_is_a_hold() {
    for (address, said, direction) in [
        ("IP4 0.0.0.0", "", Direction::SendOnly),
        ("IP4 0.0.0.0", "a=sendrecv\n", Direction::SendOnly),
        ("IP4 0.0.0.0", "a=sendonly\n", Direction::SendOnly),
        ("IP4 0.0.0.0", "a=recvonly\n", Direction::Inactive),
        ("IP4 0.0.0.0", "a=inactive\n", Direction::Inactive),
        ("IP6 ::", "", Direction::SendOnly),
        ("IP6 held.invalid", "", Direction::SendOnly),
        ("IP4 media.example.com", "", Direction::SendRecv),
    ] {
        let at_stream = format!("m=audio 4000 RTP/AVP 0\nc=IN {address}\n{said}");
        let at_session = format!(
            "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN {address}\nt=0 0\n{said}m=audio 4000 RTP/AVP 0\n"
        );
        for text in [session(&at_stream), at_session] {
            let sdp = sdp(&text);
            assert_eq!(sdp.media()[0].direction, direction, "{text}");
            assert_eq!(sdp.media()[0].rtp_addr(), None);
        }
    }
}

#[test]
fn rtcp_goes_where_the_stream_says() {
    for (lines, rtcp) in [
        ("a=rtcp:4010", Some("192.0.2.1:4010")),
        ("a=rtcp:4010 IN IP6 2001:db8::1", Some("[2001:db8::1]:4010")),
        ("a=rtcp:4010 IN IP4 0.0.0.0", None),
        ("a=rtcp:4010 IN IP4 rtcp.example", None),
        ("a=rtcp:0", None),
        ("a=rtcp:x", Some("192.0.2.1:4001")),
        ("a=rtcp:4010\na=rtcp-mux", Some("192.0.2.1:4000")),
    ] {
        let sdp = sdp(&session(&format!("m=audio 4000 RTP/AVP 0\n{lines}\n")));
        assert_eq!(
            sdp.media()[0].rtcp,
            rtcp.map(|a| a.parse().unwrap()),
            "{lines}"
        );
    }
    let last = sdp(&session("m=audio 65535 RTP/AVP 0\n"));
    assert_eq!(
        last.media()[0].rtcp,
        None,
        "there is no port after the last"
    );
}

#[test]
fn mapped_addresses_mean_ipv4() {
    let sdp = sdp(&session(
        "m=audio 4000 RTP/AVP 0\nc=IN IP6 ::ffff:192.0.2.10\n",
    ));
    assert_eq!(
        sdp.media()[0].rtp_addr(),
        Some("192.0.2.10:4000".parse().unwrap())
    );
}

#[test]
fn sloppy_descriptions_are_read() {
    for text in [
        "v=0\nm=audio 0 RTP/AVP",
        "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r",
        "v=0 \nc=IN\tIP4  192.0.2.1 \nm=audio  4000  RTP/AVP  0 \n\n\n",
        "v=0\nwhat is this\nc=IN IP4 192.0.2.1\n=\nm=audio 4000 RTP/AVP 0\na=SendRecv\nz\n",
        "v=0\nc=IN IP4\nm=audio 0 RTP/AVP 0\nm=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.1\n",
    ] {
        let sdp = Sdp::parse(text.as_bytes().to_vec().into()).expect(text);
        let media = sdp.media().last().unwrap();
        assert_eq!(media.rtp_addr().is_some(), media.port != 0, "{text}");
    }
    assert!(sdp("v=0\n").media().is_empty());
}

#[test]
fn what_cannot_be_relayed_is_refused_at_its_line() {
    let stream = "m=, a kind, a port, a protocol and 1 to 128 formats";
    for (text, line, what) in [
        ("", 1, "v=0"),
        ("\nv=0\n", 1, "v=0"),
        ("v=1\n", 1, "v=0"),
        ("o=- 1 1 IN IP4 192.0.2.1\n", 1, "v=0"),
        (
            "v=0\nm=audio 4000 RTP/AVP 0\n",
            2,
            "a c= line for this stream",
        ),
        (
            "v=0\nm=audio 4000 RTP/AVP 0\nc=IN IP4\n",
            3,
            "c=IN, IP4 or IP6, and an address",
        ),
        (
            "v=0\nc=\nm=audio 4000 RTP/AVP 0\n",
            2,
            "c=IN, IP4 or IP6, and an address",
        ),
        ("v=0\nm=\n", 2, stream),
        ("v=0\nm= audio 0 RTP/AVP 0\n", 2, stream),
        ("v=0\nm=audio 4000 RTP/AVP\n", 2, stream),
        ("v=0\nm=audio 65536 RTP/AVP 0\n", 2, stream),
        ("v=0\nm=audio -1 RTP/AVP 0\n", 2, stream),
        ("v=0\nm=audio +1 RTP/AVP 0\n", 2, stream),
        ("v=0\nm=audio 1/ RTP/AVP 0\n", 2, stream),
        ("v=0\nm=audio 1/x RTP/AVP 0\n", 2, stream),
        ("v=0\nm=audio  RTP/AVP 0\n", 2, stream),
        ("v=0\nm=\u{e4}udio 0 RTP/AVP 0\n", 2, stream),
    ] {
        assert_eq!(error(text), SdpError { line, what }, "{text:?}");
    }
}

#[test]
fn size_is_bounded() {
    let streams = |count| "v=0\n".to_owned() + &"m=audio 0 RTP/AVP 0\n".repeat(count);
    assert_eq!(sdp(&streams(64)).media().len(), 64);
    assert_eq!(error(&streams(65)).what, "at most 64 streams");
    let formats = |count| format!("v=0\nm=audio 0 RTP/AVP{}\n", " 0".repeat(count));
    assert_eq!(sdp(&formats(128)).media()[0].formats.len(), 128);
    assert_eq!(error(&formats(129)).line, 2);
    let long = |count: usize| "v=0\ns=".to_owned() + &"x".repeat(count - 6);
    assert!(Sdp::parse(long(65536).into_bytes().into()).is_ok());
    assert_eq!(error(&long(65537)).what, "at most 64 KiB");
}

/// The bodies in the call flows and torture messages that others wrote.
#[test]
fn bodies_of_known_call_flows_are_read() {
    let mut files = others::files("flows", ".sip");
    files.extend(others::files("rfc5118/wire", ""));
    let mut read = 0;
    for (path, message) in &files {
        let Some(body) = memchr::memmem::find(message, b"\nv=0") else {
            continue;
        };
        let sdp = Sdp::parse(message[body + 1..].to_vec().into());
        let sdp = sdp.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(!sdp.media().is_empty(), "{path}");
        read += 1;
    }
    assert!(files.is_empty() || read > 70, "only {read} bodies found");
}

/// The bodies of our own torture messages: read, but for two that are broken.
#[test]
fn bodies_of_our_torture_messages_are_read() {
    let mut refused = Vec::new();
    for message in torture() {
        let Ok(read) = Message::parse(message.bytes.into()) else {
            continue;
        };
        match read.sdp().map(Sdp::parse) {
            Some(Ok(sdp)) => assert!(!sdp.media().is_empty(), "{}", message.name),
            Some(Err(_)) => refused.push(message.name),
            None => {}
        }
    }
    assert_eq!(refused, ["broken-offer", "offer-of-seventy-streams"]);
}
