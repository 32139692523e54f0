use super::types::check_media;
use super::*;
use serde::Deserialize;
use std::time::Duration;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    sip: Sip,
    #[serde(default, deserialize_with = "optional_duration")]
    hold_time: Option<Duration>,
    #[serde(default)]
    peers: Vec<Peer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sip {
    listen: Vec<ListenAddr>,
    #[serde(default = "second", deserialize_with = "duration")]
    probe_interval: Duration,
}

impl Configuration for Example {
    const BOUNDS: &'static [&'static [Bound]] = &[
        &[
            Bound::items("sip.listen", 1, 4),
            Bound::span("sip.probe_interval", 50, 5000).by_default(1000),
        ],
        &[
            Bound::span("hold_time", 1000, 120_000).by_default(20_000),
            Bound::number("peers[].weight", 1, 100),
            Bound::items("peers[].networks", 1, 8),
        ],
    ];
    const RELATIONS: &'static [&'static [Relation]] =
        &[&[Relation::at_least("hold_time", 4, "sip.probe_interval")]];
}

fn second() -> Duration {
    Duration::from_secs(1)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Peer {
    target: SipTarget,
    networks: Vec<IpNet>,
    ports: PortRange,
    #[serde(default)]
    weight: u16,
}

fn environment(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("127.0.0.1".into()),
        "ODD" => Some("${HOST}".into()),
        _ => None,
    }
}

fn read(text: &str) -> Result<Example, ConfigError> {
    parse(Path::new("node.toml"), text, &environment)
}

fn error(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

const GOOD: &str = r#"
hold_time = "2s"

[sip]
listen = ["udp:${HOST}:5060", "udp:[::1]:0"]
probe_interval = "250ms"

[[peers]]
target = "sip:${HOST}:5091"
networks = ["10.0.0.0/8", "::1/128"]
ports = "20001-29998"
"#;

#[test]
fn a_good_file_is_read_with_its_variables() {
    let config = read(GOOD).unwrap();
    assert_eq!(config.sip.listen[0].to_string(), "udp:127.0.0.1:5060");
    assert_eq!(config.sip.listen[1].to_string(), "udp:[::1]:0");
    assert_eq!(config.sip.probe_interval, Duration::from_millis(250));
    assert_eq!(config.hold_time, Some(Duration::from_secs(2)));
    let peer = &config.peers[0];
    assert_eq!(peer.target.to_string(), "sip:127.0.0.1:5091");
    assert_eq!(peer.networks.len(), 2);
    assert_eq!(peer.ports.ports(), 20002..=29997);
    assert_eq!(peer.ports.pairs(), 4998);
}

#[test]
fn an_error_names_file_line_and_key() {
    let unknown = error(&GOOD.replace("probe_interval", "probe_intervall"));
    assert!(
        unknown.starts_with("node.toml:6: sip.probe_intervall: unknown field"),
        "{unknown}"
    );
    assert!(
        unknown.contains("expected `listen` or `probe_interval`"),
        "{unknown}"
    );

    let typed = error(&GOOD.replace("\"250ms\"", "250"));
    assert!(
        typed.starts_with("node.toml:6: sip.probe_interval: invalid type"),
        "{typed}"
    );

    let duration = error(&GOOD.replace("250ms", "250"));
    let expected =
        "node.toml:6: sip.probe_interval: expected a duration like 250ms or 30s, got \"250\"";
    assert_eq!(duration, expected);

    let in_array = error(&GOOD.replace("udp:[::1]:0", "tcp:[::1]:0"));
    assert!(
        in_array.starts_with("node.toml:5: sip.listen: expected udp:IP:PORT"),
        "{in_array}"
    );

    let in_table = error(&GOOD.replace("29998", "20003"));
    assert!(
        in_table.starts_with("node.toml:11: peers[0].ports: expected two pairs"),
        "{in_table}"
    );

    let missing = error(&GOOD.replace("target = \"sip:${HOST}:5091\"\n", ""));
    assert!(
        missing.starts_with("node.toml:8: peers[0]: missing field `target`"),
        "{missing}"
    );

    let syntax = error("a = 1\nb = = 2\n");
    assert!(syntax.starts_with("node.toml:2: "), "{syntax}");
    assert_eq!(syntax.lines().count(), 1);
}

#[test]
fn a_missing_variable_is_named_with_its_key() {
    let missing = error(&GOOD.replace("sip:${HOST}", "sip:${HOTS}"));
    let expected = "node.toml:9: peers[0].target: the environment variable HOTS is not set";
    assert_eq!(missing, expected);
    let open = error(&GOOD.replace("udp:${HOST}:5060", "udp:${HOST"));
    assert!(
        open.starts_with("node.toml:5: sip.listen[0]: expected }"),
        "{open}"
    );
}

#[test]
fn expansion_happens_once_and_can_be_escaped() {
    assert_eq!(
        expand("a${HOST}b$${HOST}c$", &environment).unwrap(),
        "a127.0.0.1b${HOST}c$"
    );
    assert_eq!(expand("${ODD}", &environment).unwrap(), "${HOST}");
}

#[test]
fn a_file_that_is_absent_or_too_long_is_an_error() {
    let absent = load::<Example>(Path::new("/nonexistent/node.toml")).unwrap_err();
    assert!(
        absent
            .to_string()
            .starts_with("/nonexistent/node.toml: No such file"),
        "{absent}"
    );
    let long = std::env::temp_dir().join(format!("holdline-config-{}.toml", std::process::id()));
    std::fs::write(&long, vec![b'#'; MAX_FILE as usize + 1]).unwrap();
    let error = load::<Example>(&long).unwrap_err();
    std::fs::remove_file(&long).unwrap();
    assert!(error.message.starts_with("expected at most"), "{error}");
}

#[test]
fn addresses_and_ranges_that_cannot_work_are_refused() {
    for bad in [
        "udp:0.0.0.0:5060",
        "udp:[::]:5060",
        "127.0.0.1:5060",
        "udp:host:5060",
        "udp:1.2.3.4",
    ] {
        assert!(bad.parse::<ListenAddr>().is_err(), "{bad}");
    }
    for bad in [
        "sip:1.2.3.4:0",
        "sip:0.0.0.0",
        "sip:example.org",
        "1.2.3.4",
        "sips:1.2.3.4",
        "sip:1.2.3.4;x=1",
    ] {
        assert!(bad.parse::<SipTarget>().is_err(), "{bad}");
    }
    for good in [
        "sip:1.2.3.4",
        "sip:1.2.3.4;transport=udp",
        "sip:1.2.3.4:5060",
    ] {
        assert_eq!(
            good.parse::<SipTarget>().unwrap().to_string(),
            "sip:1.2.3.4:5060"
        );
    }
    assert_eq!(
        "sip:[::1]".parse::<SipTarget>().unwrap().to_string(),
        "sip:[::1]:5060"
    );
    for bad in [
        "20000",
        "20000-20002",
        "20001-20004",
        "29999-20000",
        "a-b",
        "80-90",
        "1-70000",
    ] {
        assert!(bad.parse::<PortRange>().is_err(), "{bad}");
    }
    assert_eq!("20001-20005".parse::<PortRange>().unwrap().pairs(), 2);
    assert_eq!(
        "65532-65535".parse::<PortRange>().unwrap().ports(),
        65532..=65535
    );
    for bad in [
        "",
        "5",
        "ms",
        "1.5s",
        "-1s",
        "1 s",
        "99999999999999999999s",
        "1d",
    ] {
        assert_eq!(parse_duration_of(bad), None, "{bad}");
    }
}

// spec: X50
#[test]
fn a_value_out_of_bounds_is_told_with_its_line_its_range_and_what_was_given() {
    for (right, wrong, told) in [
        (
            "250ms",
            "6s",
            "node.toml:6: sip.probe_interval: expected 50ms to 5s, got 6s",
        ),
        (
            "250ms",
            "99999999999h",
            "node.toml:6: sip.probe_interval: expected 50ms to 5s, got 99999999999h",
        ),
        (
            "hold_time = \"2s\"",
            "hold_time = \"0s\"",
            "node.toml:2: hold_time: expected 1s to 2m, got 0s",
        ),
        (
            "[\"udp:${HOST}:5060\", \"udp:[::1]:0\"]",
            "[]",
            "node.toml:5: sip.listen: expected 1 to 4 entries, got 0",
        ),
        (
            "ports = ",
            "weight = -1\nports = ",
            "node.toml:11: peers[0].weight: expected 1 to 100, got -1",
        ),
        (
            "ports = ",
            "weight = 0x1_0000\nports = ",
            "node.toml:11: peers[0].weight: expected 1 to 100, got 65536",
        ),
    ] {
        assert_eq!(error(&GOOD.replace(right, wrong)), told);
    }
    let weighted = read(&GOOD.replace("ports = ", "weight = 100\nports = ")).unwrap();
    assert_eq!(weighted.peers[0].weight, 100);
}

// spec: X50
#[test]
fn a_relation_that_does_not_hold_names_both_keys_and_values() {
    assert!(read(&GOOD.replace("250ms", "500ms")).is_ok(), "the edge");
    assert_eq!(
        error(&GOOD.replace("250ms", "501ms")),
        "node.toml:2: hold_time (2s): expected at least 4 times sip.probe_interval (501ms)"
    );
    let by_default = GOOD.replace("probe_interval = \"250ms\"\n", "");
    assert_eq!(
        error(&by_default),
        "node.toml:2: hold_time (2s): expected at least 4 times sip.probe_interval (1s by default)"
    );
}

// spec: X50
#[test]
fn no_duration_is_longer_than_a_day_whatever_its_key() {
    assert_eq!(parse_duration_of("24h"), Some(Duration::from_secs(86_400)));
    assert_eq!(parse_duration_of("25h"), None);
    assert_eq!(parse_duration_of("18446744073709551615ms"), None);
}

// spec: X50
#[test]
fn an_address_that_nobody_can_send_to_is_no_media_address() {
    let listen: ListenAddr = "udp:127.0.0.1:5060".parse().unwrap();
    let range = |ports: &str| ports.parse::<PortRange>().unwrap();
    let check = |media: &str| check_media(media.parse().unwrap(), range("5060-5069"), listen);
    assert_eq!(check("127.0.0.2"), Ok(()));
    let ours = check("127.0.0.1").unwrap_err();
    assert!(
        ours.contains("media.ports (5060-5069)") && ours.contains("sip.listen"),
        "{ours}"
    );
    assert_eq!(
        check_media(listen.socket.ip(), range("5062-5069"), listen),
        Ok(())
    );
    for bad in ["0.0.0.0", "224.0.0.1", "::1"] {
        assert!(check(bad).unwrap_err().contains("media.address"), "{bad}");
    }
}

fn parse_duration_of(text: &str) -> Option<Duration> {
    let value = serde_json::Value::String(text.to_owned());
    duration(value).ok()
}

#[test]
fn media_ports_that_the_kernel_gives_away_are_named_unless_they_are_reserved() {
    let range: PortRange = "30000-39999".parse().unwrap();
    let shared = |handed_out, reserved| range.shared_with(handed_out, reserved);
    assert_eq!(shared("32768\t60999\n", "\n"), Some(32_768..=39_999));
    assert_eq!(
        shared("1024 65535", "8080,30000-35000"),
        Some(30_000..=39_999)
    );
    assert_eq!(shared("32768 60999", "8080,32768-39999\n"), None);
    assert_eq!(shared("40000 60999", ""), None);
    assert_eq!(shared("", ""), None);
}
