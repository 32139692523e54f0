//! What both programs show of themselves: the head of `/status`, and `/readyz`.

use crate::capacity::Capacity;
use crate::http::Pages;
use crate::metrics::Metrics;
use crate::published::Published;
use crate::report::CallMetrics;
use crate::supervision::Watch;
use crate::vitals::Vitals;
use bytes::Bytes;
use holdline_wire::Time;
use serde::Serialize;

/// All that is shown of a core at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<S> {
    /// What both have.
    pub vitals: Vitals,
    /// Why it takes no calls though it does not drain.
    pub unready: Option<&'static str>,
    /// Peers that have not heard yet that the program leaves, and are to: a drain waits for them.
    pub untold: usize,
    /// What only this program shows at `/status`: an object.
    pub own: S,
}

impl<S> Snapshot<S> {
    /// Why it takes no calls.
    fn reason(&self) -> Option<&'static str> {
        match self.vitals.draining {
            true => Some("draining"),
            false => self.unready,
        }
    }
}

/// What does not change while the program runs.
#[derive(Clone, Debug)]
pub(super) struct Constants {
    /// The start of the program's clock, in seconds since 1970.
    pub started_at_unix: f64,
    pub incarnation: String,
    pub capacity: Capacity,
}

/// `/status`. Its times count from the program's start, so it says when that was.
#[derive(Serialize)]
struct Page<'a, S> {
    started_at_unix: f64,
    at: f64,
    incarnation: &'a str,
    capacity: usize,
    capacity_bound_by: &'static str,
    ready: bool,
    ignored: u64,
    #[serde(flatten)]
    vitals: Vitals,
    #[serde(flatten)]
    own: &'a S,
}

impl Constants {
    fn page<S: Serialize>(
        &self,
        at: Time,
        snapshot: &Snapshot<S>,
        ready: bool,
        ignored: u64,
    ) -> Bytes {
        let page = Page {
            started_at_unix: self.started_at_unix,
            at: at.as_secs_f64(),
            incarnation: &self.incarnation,
            capacity: self.capacity.calls,
            capacity_bound_by: self.capacity.bound.as_str(),
            ready,
            ignored,
            vitals: snapshot.vitals,
            own: &snapshot.own,
        };
        serde_json::to_vec(&page).unwrap_or_default().into()
    }
}

/// The pages that both programs have, of the last snapshot and when it was made.
pub(super) fn pages<S: Serialize + Send + Sync + 'static>(
    metrics: &Metrics,
    watch: &Watch,
    constants: Constants,
    calls: CallMetrics,
    snapshots: &Published<(Time, Snapshot<S>)>,
) -> Pages {
    let (ready, shown, watched) = (snapshots.clone(), snapshots.clone(), watch.clone());
    let pages = Pages::new(
        metrics.clone(),
        move || match ready.read().1.reason() {
            Some(reason) => Err(reason.into()),
            None => Ok(()),
        },
        move || {
            let now = shown.read();
            let (at, snapshot) = &*now;
            let ready = snapshot.reason().is_none() && watched.reason_not_ready().is_none();
            constants.page(*at, snapshot, ready, calls.ignored_in_all())
        },
    );
    pages.watched_by(watch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::Means;
    use std::time::Duration;

    #[derive(Serialize)]
    struct Own {
        moving: usize,
    }

    #[test]
    fn the_status_names_what_it_shows() {
        let constants = Constants {
            started_at_unix: 1.5e9,
            incarnation: "9f".into(),
            capacity: Capacity::of(Means {
                configured: (1000, "node.capacity"),
                asked: true,
                port_pairs: 1600,
                descriptors: 1 << 20,
                connected: 0,
            }),
        };
        let snapshot = Snapshot {
            vitals: Vitals::new(3, (12, 1600), (4, 5), false),
            unready: None,
            untold: 0,
            own: Own { moving: 1 },
        };
        let at = Time::ZERO + Duration::from_millis(2500);
        let page = constants.page(at, &snapshot, true, 7);
        let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
        let expected = serde_json::json!({
            "started_at_unix": 1.5e9,
            "at": 2.5,
            "incarnation": "9f",
            "capacity": 800,
            "capacity_bound_by": "ports",
            "ready": true,
            "ignored": 7,
            "calls": 3,
            "ports": { "used": 12, "total": 1600 },
            "transactions": { "client": 4, "server": 5 },
            "draining": false,
            "moving": 1,
        });
        assert_eq!(page, expected);
    }

    #[test]
    fn a_drain_is_the_first_reason_not_to_be_ready() {
        let reason = |draining, unready| {
            let vitals = Vitals {
                draining,
                ..Vitals::default()
            };
            let snapshot = Snapshot {
                vitals,
                unready,
                untold: 0,
                own: (),
            };
            snapshot.reason()
        };
        assert_eq!(reason(false, None), None);
        assert_eq!(
            reason(false, Some("no node is alive")),
            Some("no node is alive")
        );
        assert_eq!(reason(true, Some("no node is alive")), Some("draining"));
    }
}
