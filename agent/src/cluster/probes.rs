//! The probes of one node: which are out, how long answers take, how many get lost.

use super::config::HealthConfig;
use holdline_wire::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// One OPTIONS request to a node; never reused. The caller ties it to the branch it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub u64);

/// The most probes that are remembered as outstanding.
const OUTSTANDING_MAX: usize = 192;

/// So many of them at most are within their patience in a burst: there is room for as many that are
/// beyond it as a verdict may need ([`HealthConfig::unanswered_max`]), and for some beside the burst.
pub(super) const PATIENT: u32 = 150;

/// After so many probes the loss statistics are halved, so that they follow the path.
const LOSS_WINDOW: u32 = 256;

#[derive(Clone, Copy, Debug)]
struct Sent {
    id: ProbeId,
    at: Time,
    /// From when its age counts: later than `at` where our own lateness was taken off.
    aging: Time,
}

/// What is known of one node's probes.
#[derive(Clone, Debug, Default)]
pub(super) struct Probes {
    out: VecDeque<Sent>,
    /// Smoothed RTT and its mean deviation (RFC 6298 section 2).
    rtt: Option<(Duration, Duration)>,
    done: u32,
    lost: u32,
    /// It takes over calls until then.
    pub busy_until: Time,
}

impl Probes {
    pub fn sent(&mut self, now: Time, id: ProbeId) {
        if self.out.len() == OUTSTANDING_MAX {
            self.out.pop_front();
        }
        self.out.push_back(Sent {
            id,
            at: now,
            aging: now,
        });
    }

    /// It did not leave this machine: nobody was asked.
    pub fn unsent(&mut self, id: ProbeId) {
        self.out.retain(|probe| probe.id != id);
    }

    /// Takes an answer; gives when its probe was sent, if it is still known. An answer that our
    /// own lateness held up is no measure of the RTT.
    pub fn answered(&mut self, now: Time, id: ProbeId, config: &HealthConfig) -> Option<Time> {
        let found = self
            .out
            .iter()
            .position(|p| p.id == id)
            .and_then(|i| self.out.remove(i));
        if let Some(probe) = found {
            self.count(false);
            if probe.aging == probe.at {
                self.measure(now.since(probe.at));
            }
        }
        while self
            .out
            .front()
            .is_some_and(|p| p.aging + config.loss_after < now)
        {
            self.out.pop_front();
            self.count(true);
        }
        found.map(|p| p.at)
    }

    fn measure(&mut self, sample: Duration) {
        self.rtt = Some(match self.rtt {
            None => (sample, sample / 2),
            Some((srtt, var)) => (
                (srtt * 7 + sample) / 8,
                (var * 3 + srtt.abs_diff(sample)) / 4,
            ),
        });
    }

    fn count(&mut self, lost: bool) {
        if self.done >= LOSS_WINDOW {
            self.done /= 2;
            self.lost /= 2;
        }
        self.done += 1;
        self.lost += u32::from(lost);
    }

    /// Forgets what is outstanding: it was sent to a process that is gone.
    pub fn forget(&mut self) {
        self.out.clear();
    }

    /// Our own lateness: no outstanding probe aged during it (spec: X21).
    pub fn shift(&mut self, now: Time, by: Duration) {
        for probe in &mut self.out {
            probe.aging = (probe.aging + by).min(now);
        }
    }

    /// The smoothed RTT, once measured.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt.map(|(srtt, _)| srtt)
    }

    /// The smoothed RTT, or the initial one.
    pub fn rtt_or(&self, config: &HealthConfig) -> Duration {
        self.rtt().unwrap_or(config.initial_rtt)
    }

    /// How long an answer may take before its probe is unanswered; longer while the node takes
    /// over calls.
    pub fn patience(&self, now: Time, config: &HealthConfig) -> Duration {
        let usual = self.usual_patience(config);
        if now < self.busy_until {
            return usual.max(config.answer_min_busy);
        }
        usual
    }

    /// RTT and four times its spread (RFC 6298 section 2.3).
    pub fn usual_patience(&self, config: &HealthConfig) -> Duration {
        self.spread_rtt(config).max(config.answer_min)
    }

    /// The same, however short that is.
    pub fn spread_rtt(&self, config: &HealthConfig) -> Duration {
        let spread =
            |(srtt, var): (Duration, Duration)| srtt + (var * 4).min(config.answer_spread_max);
        self.rtt.map_or(config.initial_rtt, spread)
    }

    /// The probability that a probe or its answer is lost, one standard deviation on the safe
    /// side; a new node starts at a pessimistic 10 % (spec: X21a).
    pub fn loss(&self, config: &HealthConfig) -> f64 {
        let lost = f64::from(self.lost);
        let p = (lost + lost.sqrt() + 1.0) / (f64::from(self.done) + 10.0);
        p.min(config.loss_ceiling).max(config.loss_floor)
    }

    /// How many unanswered probes in a row loss alone explains less often than `rare`
    /// (spec: X21a).
    pub fn needed(&self, rare: f64, config: &HealthConfig) -> usize {
        let n = (rare.ln() / self.loss(config).ln()).ceil();
        // Within 1..=unanswered_max, so the cast is exact.
        n.min(config.unanswered_max as f64).max(1.0) as usize
    }

    /// Probes sent within `from..=until` that have waited longer than their patience.
    pub fn unanswered(&self, now: Time, from: Time, until: Time, config: &HealthConfig) -> usize {
        let patience = self.patience(now, config);
        let counts = |p: &&Sent| p.at >= from && p.at <= until && now.since(p.aging) >= patience;
        self.out.iter().filter(counts).count()
    }

    /// How long the first probe sent since `from` that is still out has waited.
    pub fn waiting(&self, now: Time, from: Time) -> Duration {
        let first = self.out.iter().find(|p| p.at >= from);
        first.map_or(Duration::ZERO, |p| now.since(p.aging))
    }

    /// When the next outstanding probe becomes unanswered.
    pub fn next_unanswered(&self, now: Time, config: &HealthConfig) -> Option<Time> {
        let patience = self.patience(now, config);
        self.out
            .iter()
            .map(|p| p.aging + patience)
            .filter(|&at| at > now)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(loss_every: u64) -> Probes {
        let config = HealthConfig::default();
        let mut probes = Probes::default();
        for n in 0..400u64 {
            let at = Time::from_nanos(n * 250_000_000);
            probes.sent(at, ProbeId(n));
            if loss_every == 0 || n % loss_every != 0 {
                probes.answered(at + Duration::from_millis(8), ProbeId(n), &config);
            }
        }
        probes
    }

    // spec: X21a
    #[test]
    fn the_proof_grows_with_the_loss_of_the_path() {
        let config = HealthConfig::default();
        let (clean, lossy) = (run(0), run(5));
        assert_eq!(clean.loss(&config), config.loss_floor);
        assert!(
            (0.18..0.30).contains(&lossy.loss(&config)),
            "{}",
            lossy.loss(&config)
        );
        assert_eq!(clean.needed(1e-6, &config), 3);
        assert!(lossy.needed(1e-9, &config) >= 12);
        assert_eq!(Probes::default().needed(1e-9, &config), 9);
    }

    // spec: D20
    #[test]
    fn the_rtt_is_smoothed_and_own_lateness_is_no_rtt() {
        let config = HealthConfig::default();
        let mut probes = run(0);
        assert_eq!(probes.rtt(), Some(Duration::from_millis(8)));
        let at = Time::from_nanos(200_000_000_000);
        probes.sent(at, ProbeId(9999));
        let late = at + Duration::from_millis(700);
        probes.shift(late, Duration::from_millis(690));
        probes.answered(late, ProbeId(9999), &config);
        assert_eq!(probes.rtt(), Some(Duration::from_millis(8)));
    }

    #[test]
    fn what_is_outstanding_is_bounded() {
        let mut probes = Probes::default();
        (0..10_000).for_each(|n| probes.sent(Time::from_nanos(n), ProbeId(n)));
        assert_eq!(probes.out.len(), OUTSTANDING_MAX);
    }
}
