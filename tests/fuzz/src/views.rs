//! One header value, read by every view that there is.

use holdline_wire::Method;
use holdline_wire::header::{
    CSeq, InstanceUtilization, Name, NameAddr, Replaces, SessionExpires, Via,
};
use holdline_wire::uri::SipUri;

/// The properties of one value.
pub fn check(value: &[u8]) {
    address(value);
    via(value);
    if let Some(replaces) = Replaces::parse(value) {
        let written = replaces.to_value();
        assert!(is_one_line(written.as_bytes()), "{written:?}");
        assert_eq!(Replaces::parse(written.as_bytes()), Some(replaces));
    }
    if let Some(cseq) = CSeq::parse(value) {
        assert!(cseq.number < 1 << 31);
        let written = format!("{} {}", cseq.number, cseq.method);
        assert_eq!(CSeq::parse(written.as_bytes()), Some(cseq));
    }
    if let Some(expires) = SessionExpires::parse(value) {
        let written = expires.seconds.to_string();
        let read = SessionExpires::parse(written.as_bytes()).map(|e| e.seconds);
        assert_eq!(read, Some(expires.seconds));
    }
    if let Some(InstanceUtilization(percent)) = InstanceUtilization::parse(value) {
        assert!(percent <= 100);
    }
    if let Ok(text) = std::str::from_utf8(value) {
        uri(text);
        assert_eq!(Method::from_name(text).as_str(), text);
        let name = Name::resolve(text);
        assert_eq!(name, Name::resolve(name.as_str()));
    }
}

/// Whether it can stand in a header without ending it. (A NUL ends nothing: RFC 4475 section
/// 3.1.1.2 has one in a quoted string.)
fn is_one_line(value: &[u8]) -> bool {
    !value.iter().any(|byte| matches!(byte, b'\r' | b'\n'))
}

fn address(value: &[u8]) {
    let Some(read) = NameAddr::parse(value) else {
        return;
    };
    assert!(!read.uri.is_empty() && is_one_line(read.uri.as_bytes()));
    assert!(read.tag() != Some(""));
    uri(read.uri);
    let bare = read.without_params();
    let again = NameAddr::parse(&bare).expect("an address without its parameters is one");
    assert_eq!((again.display, again.uri), (read.display, read.uri));
    assert_eq!(again.params, b"");
}

fn via(value: &[u8]) {
    let Some(read) = Via::parse(value) else {
        return;
    };
    assert!(!read.host.is_empty());
    let Via {
        transport,
        host,
        branch,
        ..
    } = read;
    let port = read.port.map(|port| format!(":{port}")).unwrap_or_default();
    let written = format!("SIP/2.0/{transport} {host}{port}");
    assert!(is_one_line(written.as_bytes()) && is_one_line(branch.as_bytes()));
    let again = Via::parse(written.as_bytes()).expect("a Via without its parameters is one");
    assert_eq!(
        (again.transport, again.host, again.port),
        (transport, host, read.port)
    );
}

fn uri(text: &str) {
    let Some(read) = SipUri::parse(text) else {
        return;
    };
    assert!(is_one_line(text.as_bytes()) && !read.host.is_empty());
    // The parts put together are the whole.
    let scheme = &text[..text.find(':').expect("a scheme")];
    let user = read.user.map(|user| format!("{user}@")).unwrap_or_default();
    let written = format!("{scheme}:{user}{}", read.host);
    assert!(text.starts_with(&written), "{written} {text}");
    let rest = &text[written.len()..];
    let tail = match (read.headers, rest.ends_with('?')) {
        ("", false) => read.params.to_owned(),
        (headers, _) => format!("{}?{headers}", read.params),
    };
    assert!(rest.ends_with(&tail), "{tail} {text}");
    let port = read.port.map_or(0, usize::from);
    assert_eq!(port != 0 || rest.len() > tail.len(), read.port.is_some());
    let _ = (read.socket_addr(), read.param("transport"));
    if let Some(embedded) = read.header("Replaces") {
        let _ = Replaces::parse(&embedded);
    }
}
