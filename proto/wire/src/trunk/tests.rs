use super::*;
use crate::token::Tokens;
use holdline_corpus::others;

const DRAFT: &str = r#"{
  "cloud-sip-trunk-name": "trunk-1.cloud.example",
  "uri": "https://config.cloud.example/trunks/1",
  "version": 7,
  "webhook-registration": "https://config.cloud.example/trunks/1/webhooks",
  "instances": [
    {"IP": "192.0.2.10", "port": "5060", "status": "active"},
    {"IP": "192.0.2.10", "port": "5062", "status": "inactive"},
    {"IP": "2001:db8::10", "port": 5060, "status": "active"}
  ]
}"#;

fn refusal(json: &str) -> (String, &'static str) {
    let error = TrunkDocument::parse(json.as_bytes()).expect_err(json);
    (error.member, error.expected)
}

/// The draft's document with one text replaced by another.
fn draft_with(old: &str, new: &str) -> String {
    assert!(DRAFT.contains(old), "{old}");
    DRAFT.replacen(old, new, 1)
}

// spec: D11
#[test]
fn the_document_of_the_draft_is_read() {
    let document = TrunkDocument::parse(DRAFT.as_bytes()).unwrap();
    assert_eq!(document.name, "trunk-1.cloud.example");
    assert_eq!(document.uri, "https://config.cloud.example/trunks/1");
    assert_eq!(document.version, 7);
    assert_eq!(
        document.webhook_registration,
        "https://config.cloud.example/trunks/1/webhooks"
    );
    let instance = |address: &str, active| Instance {
        address: address.parse().unwrap(),
        active,
    };
    assert_eq!(
        document.instances,
        [
            instance("192.0.2.10:5060", true),
            instance("192.0.2.10:5062", false),
            instance("[2001:db8::10]:5060", true),
        ]
    );
}

// spec: D11
#[test]
fn what_is_written_is_read_back_with_ports_as_strings() {
    let document = TrunkDocument::parse(DRAFT.as_bytes()).unwrap();
    let json = document.to_json();
    assert!(
        json.contains(r#"{"IP":"2001:db8::10","port":"5060","status":"active"}"#),
        "{json}"
    );
    assert_eq!(TrunkDocument::parse(json.as_bytes()), Ok(document));
}

// spec: X10
#[test]
fn unknown_members_are_ignored_and_no_instance_is_a_valid_answer() {
    let more = draft_with(
        r#""version": 7,"#,
        r#""version": 7, "x": {"a": [null, -1, 1e3], "a": true}, "Version": "eight","#,
    );
    let more = more.replace(r#""port": 5060"#, r#""port": 5060, "weight": 0.5"#);
    let plain = TrunkDocument::parse(DRAFT.as_bytes());
    assert_eq!(TrunkDocument::parse(more.as_bytes()), plain);
    let at = DRAFT.find('[').unwrap();
    let none = format!("{}[]}}", &DRAFT[..at]);
    assert_eq!(TrunkDocument::parse(none.as_bytes()).unwrap().instances, []);
}

// spec: X10
#[test]
fn each_fault_is_named_by_its_member() {
    let name = "trunk-1.cloud.example";
    let long_label = "a".repeat(64);
    let long_name = "abcdefg.".repeat(32) + "example";
    let long_uri = format!("https://config.example/{}", "a".repeat(2048));
    for (old, new, member, expected) in [
        (
            name,
            "trunk_1",
            "cloud-sip-trunk-name",
            "a host name (RFC 1123)",
        ),
        (name, "", "cloud-sip-trunk-name", "a host name (RFC 1123)"),
        (
            name,
            "-a.example",
            "cloud-sip-trunk-name",
            "a host name (RFC 1123)",
        ),
        (
            name,
            "a-.example",
            "cloud-sip-trunk-name",
            "a host name (RFC 1123)",
        ),
        (
            name,
            "a..example",
            "cloud-sip-trunk-name",
            "a host name (RFC 1123)",
        ),
        (
            name,
            "192.0.2.1",
            "cloud-sip-trunk-name",
            "a host name (RFC 1123)",
        ),
        (
            name,
            "trünk.example",
            "cloud-sip-trunk-name",
            "a host name (RFC 1123)",
        ),
        (
            name,
            &long_label,
            "cloud-sip-trunk-name",
            "a host name (RFC 1123)",
        ),
        (
            name,
            &long_name,
            "cloud-sip-trunk-name",
            "a host name (RFC 1123)",
        ),
        (r#""uri""#, r#""url""#, "uri", "an absolute URI"),
        (
            r#""https://config.cloud.example/trunks/1""#,
            "1",
            "uri",
            "an absolute URI",
        ),
        (
            "https://config.cloud.example/trunks/1\"",
            "/trunks/1\"",
            "uri",
            "an absolute URI",
        ),
        (
            "https://config.cloud.example/trunks/1\"",
            "h: x\"",
            "uri",
            "an absolute URI",
        ),
        (
            "https://config.cloud.example/trunks/1\"",
            &(long_uri + "\""),
            "uri",
            "an absolute URI",
        ),
        (
            "https://config.cloud.example/trunks/1/webhooks",
            "file:///etc/passwd",
            "webhook-registration",
            "an absolute http or https URI",
        ),
        (
            "https://config.cloud.example/trunks/1/webhooks",
            "https:///webhooks",
            "webhook-registration",
            "an absolute http or https URI",
        ),
        (
            "https://config.cloud.example/trunks/1/webhooks",
            "https:webhooks",
            "webhook-registration",
            "an absolute http or https URI",
        ),
        ("7,", "-7,", "version", "an integer from 0 to 2^64-1"),
        ("7,", "7.0,", "version", "an integer from 0 to 2^64-1"),
        ("7,", "7e0,", "version", "an integer from 0 to 2^64-1"),
        (
            "7,",
            "18446744073709551616,",
            "version",
            "an integer from 0 to 2^64-1",
        ),
        ("7,", "\"7\",", "version", "an integer from 0 to 2^64-1"),
        (
            "7,",
            "7, \"version\": 8,",
            "version",
            "each member only once",
        ),
        ("7,", "7, \"x\": 1, \"x\": 1,", "x", "each member only once"),
        ("[", "{}, \"nodes\": [", "instances", "an array"),
        ("[", "[null, ", "instances[0]", "an object"),
        (
            "192.0.2.10",
            "node.example",
            "instances[0].IP",
            "a unicast IPv4 or IPv6 address",
        ),
        (
            "192.0.2.10",
            "0.0.0.0",
            "instances[0].IP",
            "a unicast IPv4 or IPv6 address",
        ),
        (
            "192.0.2.10",
            "224.0.0.1",
            "instances[0].IP",
            "a unicast IPv4 or IPv6 address",
        ),
        (
            "2001:db8::10",
            "[2001:db8::10]",
            "instances[2].IP",
            "a unicast IPv4 or IPv6 address",
        ),
        (
            "2001:db8::10",
            "fe80::1%1",
            "instances[2].IP",
            "a unicast IPv4 or IPv6 address",
        ),
        (
            "2001:db8::10",
            "::ffff:192.0.2.10",
            "instances[2]",
            "each address and port only once",
        ),
        (
            "\"5060\"",
            "\"0\"",
            "instances[0].port",
            "1 to 65535, as a string or a number",
        ),
        (
            "\"5060\"",
            "\"+5060\"",
            "instances[0].port",
            "1 to 65535, as a string or a number",
        ),
        (
            "\"5060\"",
            "\"\"",
            "instances[0].port",
            "1 to 65535, as a string or a number",
        ),
        (
            "\"5060\"",
            "\"65536\"",
            "instances[0].port",
            "1 to 65535, as a string or a number",
        ),
        (
            ": 5060",
            ": 65536",
            "instances[2].port",
            "1 to 65535, as a string or a number",
        ),
        (
            ": 5060",
            ": 0",
            "instances[2].port",
            "1 to 65535, as a string or a number",
        ),
        (
            ": 5060",
            ": 5060.5",
            "instances[2].port",
            "1 to 65535, as a string or a number",
        ),
        (
            "\"5062\"",
            "\"5060\"",
            "instances[1]",
            "each address and port only once",
        ),
        (
            "\"inactive\"",
            "\"Inactive\"",
            "instances[1].status",
            "active or inactive",
        ),
        (
            "\"inactive\"",
            "false",
            "instances[1].status",
            "active or inactive",
        ),
        (
            ", \"status\": \"inactive\"",
            "",
            "instances[1].status",
            "active or inactive",
        ),
        (
            "\"5062\",",
            "\"5062\", \"port\": 1,",
            "instances[1].port",
            "each member only once",
        ),
    ] {
        assert_eq!(
            refusal(&draft_with(old, new)),
            (member.to_owned(), expected),
            "{old} → {new}"
        );
    }
}

// spec: X10
#[test]
fn size_depth_and_number_are_bounded() {
    let mut big = DRAFT.to_owned();
    big.push_str(&" ".repeat(MAX_DOCUMENT - DRAFT.len()));
    assert!(TrunkDocument::parse(big.as_bytes()).is_ok());
    big.push(' ');
    assert_eq!(refusal(&big), ("document".to_owned(), "at most 1 MiB"));

    let deep = draft_with(
        "7,",
        &format!("7, \"x\": {}{},", "[".repeat(400), "]".repeat(400)),
    );
    assert_eq!(refusal(&deep).1, "JSON");
    assert_eq!(refusal(&"[".repeat(MAX_DOCUMENT)).1, "JSON");

    let list = |count: u32| -> String {
        let one = |n: u32| {
            let ip = std::net::Ipv4Addr::from(0x0a00_0000 + n);
            format!(r#"{{"IP":"{ip}","port":5060,"status":"active"}}"#)
        };
        let all: Vec<String> = (0..count).map(one).collect();
        let at = DRAFT.find('[').unwrap();
        format!("{}[{}]}}", &DRAFT[..at], all.join(","))
    };
    assert_eq!(
        TrunkDocument::parse(list(4096).as_bytes())
            .unwrap()
            .instances
            .len(),
        4096
    );
    assert_eq!(
        refusal(&list(4097)),
        ("instances".to_owned(), "at most 4096 instances")
    );
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    assert_eq!(
        refusal("{\n  \"uri\": }"),
        ("document (line 2, column 10)".to_owned(), "JSON")
    );
    assert_eq!(refusal(&format!("{DRAFT} x")).1, "JSON");
    assert_eq!(refusal("[]"), ("document".to_owned(), "an object"));
    assert_eq!(refusal("").1, "JSON");
}

#[test]
fn no_mutation_panics() {
    let mut random = Tokens::new([11; 32]);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut bytes = DRAFT.as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(3) {
                0 => bytes[at] = random.below(256) as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"\"{}[],:0-"[random.below(9) as usize]),
            }
        }
        if let Ok(document) = TrunkDocument::parse(&bytes) {
            accepted += 1;
            assert_eq!(
                TrunkDocument::parse(document.to_json().as_bytes()),
                Ok(document)
            );
        }
    }
    assert!(accepted > 0, "some mutations only change a letter");
}

/// The files of JSONTestSuite by name, where they are at hand.
fn json_suite() -> Vec<(String, Vec<u8>)> {
    let files = others::files("json/test_parsing", ".json");
    assert!(
        files.is_empty() || files.len() > 300,
        "{} files",
        files.len()
    );
    let named = |(path, bytes): (String, Vec<u8>)| {
        let name = path.rsplit('/').next().unwrap_or(&path);
        (name.to_owned(), bytes)
    };
    files.into_iter().map(named).collect()
}

// spec: X10
#[test]
fn json_test_suite() {
    for (name, bytes) in json_suite() {
        // None of them is a trunk document, so each is refused: for its syntax or its content.
        let error = TrunkDocument::parse(&bytes).expect_err(&name);
        match &name[..2] {
            "y_" => assert_ne!(error.expected, "JSON", "{name} is JSON: {error}"),
            "n_" => assert_eq!(error.expected, "JSON", "{name} is not JSON: {error}"),
            _ => {}
        }
    }
}

// spec: X10
#[test]
fn json_test_suite_inside_a_document() {
    let (before, after) = DRAFT.split_once("7,").unwrap();
    let plain = TrunkDocument::parse(DRAFT.as_bytes());
    for (name, bytes) in json_suite()
        .into_iter()
        .filter(|(name, _)| name.starts_with("y_"))
    {
        // What is JSON may stand in a member that is not known, and changes nothing.
        let bytes = [
            before.as_bytes(),
            b"7, \"x\": ",
            &bytes,
            b",",
            after.as_bytes(),
        ]
        .concat();
        assert_eq!(TrunkDocument::parse(&bytes), plain, "{name}");
    }
}

/// A reason goes into logs: a long foreign name is not repeated whole.
// spec: X10
#[test]
fn a_reason_is_short_whatever_the_document_says() {
    let name = "\u{e4}".repeat(100_000);
    let twice = format!("{{\"{name}\": 1, \"{name}\": 2}}");
    let (member, expected) = refusal(&twice);
    assert_eq!(member, "\u{e4}".repeat(64));
    assert_eq!(expected, "each member only once");
}
