//! RTP and RTCP of one node as evidence: are its streams being heard, and did all fall silent?

use super::config::HealthConfig;
use super::rhythm::Rhythm;
use holdline_relay::GroupTick;
use holdline_wire::Time;
use std::time::Duration;

/// What the relay's ticks say of one node's streams together. Each stream alone proves nothing
/// (hold, mute, silence suppression), all of them together only raise a suspicion (spec: X20).
#[derive(Clone, Debug, Default)]
pub(super) struct MediaEvidence {
    /// The newest packet, or later where our own lateness was taken off.
    newest: Option<Time>,
    /// The newest packet as it came, for people.
    last: Option<Time>,
    /// The first packet after the last long pause.
    run_start: Time,
    /// The longest usual spacing of packets; decays slowly.
    spacing: Duration,
    /// How densely packets come.
    rhythm: Rhythm,
    /// Before this, silence raises no suspicion: it was wrong of late.
    ignored_until: Time,
    /// How long it is ignored after the next false suspicion; zero: the configured least.
    backoff: Duration,
    /// This silence raised a suspicion, or is explained: not again before packets return.
    used: bool,
}

impl MediaEvidence {
    /// Packets came.
    pub fn heard(&mut self, tick: &GroupTick, config: &HealthConfig) {
        let newest = tick.newest;
        self.rhythm.heard(newest, tick.packets, tick.pause);
        self.last = self.last.max(Some(newest));
        match self.newest {
            Some(last) => {
                let pause = newest.since(last);
                if pause > config.media_silence_max || self.used {
                    self.run_start = newest;
                } else if pause > self.spacing {
                    self.spacing = pause;
                } else {
                    self.spacing -= (self.spacing - pause) / 256;
                }
                self.newest = Some(newest.max(last));
            }
            None => {
                self.newest = Some(newest);
                self.run_start = newest;
            }
        }
        self.used = false;
        if newest.since(self.run_start.max(self.ignored_until)) > config.media_backoff_max {
            self.backoff = Duration::ZERO;
        }
    }

    /// The silence that is suspicious: above what loss of one packet or jitter explains.
    fn threshold(&self, config: &HealthConfig) -> Duration {
        (self.spacing * 3 / 2 + config.tick)
            .min(config.media_silence_max)
            .max(config.media_silence_min)
    }

    /// How long all streams have been silent at `at`, if they were being heard, and if that is
    /// suspicious and not used up by an earlier suspicion.
    pub fn silent(&self, at: Time, config: &HealthConfig) -> Option<Duration> {
        let newest = self.newest?;
        let steady = newest.since(self.run_start.max(self.ignored_until)) >= config.media_arm;
        let silence = at.since(newest);
        (steady && !self.used && silence >= self.threshold(config)).then_some(silence)
    }

    /// How many packets are missing at `at`; none while the silence is no longer than pauses often
    /// are.
    pub fn missing(&self, at: Time) -> u32 {
        let silence = self
            .newest
            .map_or(Duration::ZERO, |newest| at.since(newest));
        self.rhythm.missing(silence)
    }

    /// The silence raised a suspicion.
    pub fn raised(&mut self) {
        self.used = true;
    }

    /// The suspicion was false: the node answers though its streams are silent.
    pub fn was_false(&mut self, now: Time, config: &HealthConfig) {
        let wait = self
            .backoff
            .min(config.media_backoff_max)
            .max(config.media_backoff);
        self.ignored_until = now + wait;
        self.backoff = wait * 2;
    }

    /// When the newest packet came.
    pub fn last(&self) -> Option<Time> {
        self.last
    }

    /// Whether a packet came after `at`.
    pub fn heard_after(&self, at: Time) -> bool {
        self.newest.is_some_and(|newest| newest > at)
    }

    /// Our own lateness: nobody was silent during it (spec: X21).
    pub fn shift(&mut self, at: Time, by: Duration) {
        if let Some(newest) = &mut self.newest {
            *newest = (*newest + by).min(at).max(*newest);
        }
    }

    /// No stream is left, or the process is a new one: what was heard says nothing any more.
    pub fn forget(&mut self) {
        *self = MediaEvidence {
            backoff: self.backoff,
            ..MediaEvidence::default()
        };
    }
}
