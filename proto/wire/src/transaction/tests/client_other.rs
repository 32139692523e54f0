//! RFC 3261 figure 6.

use super::*;

const BRANCH: &str = "z9hG4bKoptions";

fn trying(key: TransportKey) -> Rig {
    let mut rig = Rig::new(key);
    rig.send(request("OPTIONS", BRANCH));
    assert_eq!(rig.lines(), ["send OPTIONS"]);
    rig
}

#[test]
fn trying_repeats_at_timer_e_up_to_t2_and_ends_at_timer_f() {
    let mut rig = trying(udp());
    let times = [
        500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
    ];
    let mut expected = at(&times, "send OPTIONS");
    expected.push("32000 timeout".into());
    assert_eq!(rig.until(100_000), expected);
    rig.assert_empty();
}

#[test]
fn trying_over_a_reliable_transport_only_waits_for_timer_f() {
    let mut rig = trying(tcp());
    assert_eq!(rig.until(100_000), ["32000 timeout"]);
    rig.assert_empty();
}

#[test]
fn proceeding_repeats_every_t2_and_still_ends_at_timer_f() {
    let mut rig = trying(udp());
    rig.until(100);
    assert_eq!(rig.take(response(100, "OPTIONS", BRANCH)), ["told 100"]);
    assert_eq!(rig.take(response(182, "OPTIONS", BRANCH)), ["told 182"]);
    let times = [500, 4500, 8500, 12_500, 16_500, 20_500, 24_500, 28_500];
    let mut expected = at(&times, "send OPTIONS");
    expected.push("32000 timeout".into());
    assert_eq!(rig.until(100_000), expected);
    rig.assert_empty();
}

#[test]
fn completed_absorbs_until_timer_k() {
    for status in [200, 301, 404, 503, 604] {
        let mut rig = trying(udp());
        assert_eq!(
            rig.take(response(status, "OPTIONS", BRANCH)),
            [format!("told {status}")]
        );
        assert_eq!(rig.until(4_999), [""; 0]);
        assert_eq!(rig.take(response(status, "OPTIONS", BRANCH)), [""; 0]);
        assert_eq!(rig.layer.len(), (1, 0));
        assert_eq!(rig.until(5_000), [""; 0]);
        rig.assert_empty();
        let stray = format!("stray {status}");
        assert_eq!(rig.take(response(status, "OPTIONS", BRANCH)), [stray]);
    }
}

#[test]
fn completed_ends_at_once_over_a_reliable_transport() {
    let mut rig = trying(tcp());
    assert_eq!(rig.take(response(200, "OPTIONS", BRANCH)), ["told 200"]);
    rig.assert_empty();
}
