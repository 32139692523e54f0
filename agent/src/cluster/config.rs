//! Every threshold of health and placement, each with the row it serves.

use std::time::Duration;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The thresholds of [`super::Cluster`], made by [`HealthConfig::of`]. The defaults suit a data centre and
/// hold on a path with 5 % loss and 20 ms of jitter.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthConfig {
    /// Between two regular probes of a node (spec: D20): 250 ms.
    pub probe_interval: Duration,
    /// The moments of regular probes are multiples of this, so that the probes of many nodes share
    /// wake-ups (they cost more than the probes): 5 ms.
    pub probe_grain: Duration,
    /// Between the first probes of nodes that join together, so that a few are usable at once
    /// and many are no burst (spec: D4, D20): 1 ms.
    pub first_probes: Duration,
    /// With nothing from the node for its RTT and this long it is dead (spec: D21): 1.5 s.
    pub silence: Duration,
    /// Regular probes unanswered in a row that make a node suspect (spec: X20): 2.
    pub unanswered_suspect: usize,
    /// Silence that makes a node suspect whatever its RTT (a living node's answers come once an
    /// interval): three intervals, 750 ms.
    pub silence_suspect: Duration,
    /// A node that answered no probe for this long is leaving, whatever other SIP it sends
    /// (spec: D34); before that any SIP message of it is a sign of life (spec: D20): twice `silence`,
    /// 3 s.
    pub leaving_after: Duration,
    /// The RTT of a node that was never measured (T1 of RFC 3261): 500 ms.
    pub initial_rtt: Duration,
    /// A probe younger than this is never unanswered, however short the RTT: 20 ms.
    pub answer_min: Duration,
    /// The same for a node that is just taking over calls of a dead one: 80 ms.
    pub answer_min_busy: Duration,
    /// How long it counts as doing so after each call that it is sent: 500 ms.
    pub busy_time: Duration,
    /// What the RTT's spread may add to the RTT before a probe counts as unanswered: 500 ms.
    pub answer_spread_max: Duration,
    /// An outstanding probe older than this counts as lost when another one is answered: 1 s.
    pub loss_after: Duration,
    /// The shortest spacing of quick probes (spec: X20); it is half the RTT where that is
    /// longer: 5 ms.
    pub quick_min: Duration,
    /// The longest spacing of quick probes: 100 ms.
    pub quick_max: Duration,
    /// The least probability of losing a probe that is believed (spec: X21a): 0.01.
    pub loss_floor: f64,
    /// The most that is believed; beyond it nothing could be decided in time: 0.5.
    pub loss_ceiling: f64,
    /// How rarely loss alone may explain a verdict from probes alone (spec: X21a): 1e-9.
    pub false_alone: f64,
    /// The same where all media of the node fell silent, or a SIP message was refused: the other
    /// half of the proof: 1e-6.
    pub false_corroborated: f64,
    /// The fewest unanswered probes in a row for a verdict from probes alone (spec: X21a): 6.
    pub unanswered_min: usize,
    /// The most that are asked for, however lossy the path: 30.
    pub unanswered_max: usize,
    /// Lateness of our own loop or relay above this voids silence (spec: X21): 10 ms.
    pub own_late: Duration,
    /// What is voided beyond the lateness itself, to drain what queued up (spec: X21): 10 ms.
    pub late_grace: Duration,
    /// The relay's tick; a longer pause between two ticks is lateness (spec: X21): 10 ms.
    pub tick: Duration,
    /// How many other nodes are probed along with a suspect, to see that our own network works
    /// (spec: X21): 3.
    pub witnesses: usize,
    /// Media count as being heard after this long without a pause (spec: X20): 200 ms, or
    /// `media_silence_min` where that is longer.
    pub media_arm: Duration,
    /// The shortest silence of all streams that is suspicious (spec: X20): 40 ms.
    pub media_silence_min: Duration,
    /// The longest that the usual spacing of packets can raise it to; streams with longer
    /// pauses are no evidence: 250 ms, or twice `media_silence_min` where that is longer.
    pub media_silence_max: Duration,
    /// How long silence is not looked at after a false suspicion; doubles with each: 500 ms.
    pub media_backoff: Duration,
    /// The longest it doubles to, and how long media must be heard to forget it: 30 s.
    pub media_backoff_max: Duration,
    /// After a suspicion was cleared, refusals of media raise none for this long: 200 ms.
    pub refusal_pause: Duration,
    /// Refused streams of a node of which nothing is heard any more that are proof of its death
    /// (spec: X20): 3.
    pub refused_streams: usize,
    /// How long an answer is waited for then, beyond the RTT and its spread: 2 ms.
    pub refused_patience: Duration,
    /// Packets of its other streams that must be missing then, more where many get lost: 12.
    pub missing_min: usize,
    /// So long after a message could not be sent the next one is not expected to leave either
    /// (spec: X52): two probing intervals, at least 500 ms.
    pub fault_memory: Duration,
    /// How old a message may be that is refused (spec: X52): 2 s.
    pub refused_within: Duration,
    /// How many refused streams or unknown dialogs (fewer where it carries fewer calls, but two)
    /// show that a node without incarnations was restarted (spec: X39): 3.
    pub lost_traces: usize,
    /// Within what time they count together (spec: X39): 2 s.
    pub lost_window: Duration,
    /// Answered probes in a row before a dead node is used again (spec: X22): 3.
    pub return_run: u32,
    /// The most that flapping doubles it to (spec: X22): 16 times, 48.
    pub return_run_max: u32,
    /// How long a death counts as a flap (spec: X22): 5 min.
    pub flap_memory: Duration,
    /// How long a utilization is believed (spec: D22): 5 s, or three intervals where that is longer.
    pub utilization_fresh: Duration,
    /// The utilization of a node that tells none (spec: D22): 50.
    pub utilization_unknown: u8,
    /// The least T1 towards a node (spec: X24): 20 ms.
    pub t1_min: Duration,
}

impl Default for HealthConfig {
    fn default() -> HealthConfig {
        HealthConfig::of(ms(250), ms(1500), ms(40), 3)
    }
}

impl HealthConfig {
    /// Between two probes, the silence that is death, the least silence of all media that is suspicious,
    /// and the answers that bring a node back, as an operator sets them: within their bounds, and
    /// `silence` at least four times `probe_interval`. What belongs together scales with them
    /// (spec: X50).
    pub fn of(
        probe_interval: Duration,
        silence: Duration,
        media_silence: Duration,
        return_run: u32,
    ) -> HealthConfig {
        HealthConfig {
            probe_interval,
            probe_grain: ms(5),
            first_probes: ms(1),
            silence,
            unanswered_suspect: 2,
            // Well above what passes between two answers of a living node, and below `silence`.
            silence_suspect: probe_interval * 3,
            leaving_after: silence * 2,
            initial_rtt: ms(500),
            answer_min: ms(20),
            answer_min_busy: ms(80),
            busy_time: ms(500),
            answer_spread_max: ms(500),
            loss_after: ms(1000),
            quick_min: ms(5),
            quick_max: ms(100),
            loss_floor: 0.01,
            loss_ceiling: 0.5,
            false_alone: 1e-9,
            false_corroborated: 1e-6,
            unanswered_min: 6,
            unanswered_max: 30,
            own_late: ms(10),
            late_grace: ms(10),
            tick: ms(10),
            witnesses: 3,
            // Heard for no shorter than the silence that then counts.
            media_arm: ms(200).max(media_silence),
            media_silence_min: media_silence,
            media_silence_max: ms(250).max(media_silence * 2),
            media_backoff: ms(500),
            media_backoff_max: ms(30_000),
            refusal_pause: ms(200),
            refused_streams: 3,
            refused_patience: ms(2),
            missing_min: 12,
            fault_memory: ms(500).max(probe_interval * 2),
            refused_within: ms(2000),
            lost_traces: 3,
            lost_window: ms(2000),
            return_run,
            return_run_max: return_run.saturating_mul(16),
            flap_memory: ms(300_000),
            // A living node tells it with each probe's answer.
            utilization_fresh: ms(5000).max(probe_interval * 3),
            utilization_unknown: 50,
            t1_min: ms(20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: X50
    #[test]
    fn what_belongs_together_stays_in_its_order_whatever_is_set() {
        for (interval, silence) in [
            (50, 500),
            (125, 500),
            (250, 1500),
            (5000, 20_000),
            (50, 30_000),
        ] {
            for media in [20, 40, 125, 126, 200, 250, 251, 300, 1000] {
                for run in [1, 3, 100] {
                    let h = HealthConfig::of(ms(interval), ms(silence), ms(media), run);
                    let told = format!("{h:?}");
                    assert!(h.probe_interval * 2 < h.silence_suspect, "{told}");
                    assert!(h.silence_suspect < h.silence, "{told}");
                    assert!(h.silence < h.leaving_after, "{told}");
                    assert!(h.media_silence_min < h.media_silence_max, "{told}");
                    assert!(h.media_silence_min <= h.media_arm, "{told}");
                    assert!(h.quick_min < h.quick_max, "{told}");
                    assert!(h.media_backoff < h.media_backoff_max, "{told}");
                    assert!(h.return_run <= h.return_run_max, "{told}");
                    assert!(h.probe_interval * 2 < h.utilization_fresh, "{told}");
                }
            }
        }
    }
}
