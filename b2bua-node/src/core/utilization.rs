//! How full the node is (spec: D33).

use holdline_wire::Time;
use std::time::Duration;

/// The header changes at most once in this time.
const STEADY: Duration = Duration::from_secs(1);

/// What `Instance-Utilization` says.
#[derive(Debug)]
pub(super) struct Utilization {
    capacity: usize,
    percent: u8,
    changed: Option<Time>,
}

impl Utilization {
    pub fn new(capacity: usize) -> Utilization {
        Utilization {
            capacity,
            percent: if capacity == 0 { 100 } else { 0 },
            changed: None,
        }
    }

    /// 0 to 100, rounded up: a node with a call is never at 0.
    pub fn percent(&self) -> u8 {
        self.percent
    }

    /// Takes the number of live calls and how much of the media ports is in use, percent; true
    /// where the percentage has changed: it is the higher of the two (spec: X51).
    pub fn update(&mut self, now: Time, calls: usize, ports: usize) -> bool {
        let of_calls = match self.capacity {
            0 => 100,
            capacity => (calls * 100).div_ceil(capacity),
        };
        let percent = u8::try_from(of_calls.max(ports).min(100)).unwrap_or(100);
        let steady = self
            .changed
            .is_some_and(|changed| now.since(changed) < STEADY);
        if percent == self.percent || steady {
            return false;
        }
        self.percent = percent;
        self.changed = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: D33
    #[test]
    fn it_is_rounded_up_and_changes_at_most_once_a_second() {
        let at = |millis| Time::ZERO + Duration::from_millis(millis);
        let mut utilization = Utilization::new(300);
        assert_eq!(utilization.percent(), 0);
        assert!(utilization.update(at(0), 1, 0));
        assert_eq!(utilization.percent(), 1);
        assert!(!utilization.update(at(999), 150, 0));
        assert_eq!(utilization.percent(), 1);
        assert!(utilization.update(at(1000), 151, 0));
        assert_eq!(utilization.percent(), 51);
        assert!(utilization.update(at(2000), 400, 0));
        assert_eq!(utilization.percent(), 100);
        assert!(utilization.update(at(3000), 3, 70));
        assert_eq!(utilization.percent(), 70, "ports are scarcer");
    }
}
