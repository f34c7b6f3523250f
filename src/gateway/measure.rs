//! Counts and times requests by route pattern.
//!
//! Handles are made once per route, since making one costs more than a cached answer. Addresses and
//! queries never become labels.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use dashmap::DashMap;

use crate::telemetry::metrics::{self, Counter, Histogram, Metric};

/// The route of a request that no pattern took.
pub(in crate::gateway) const UNMATCHED: &str = "unmatched";

/// Status classes in the order of their first digit, informational ones included.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The handles of every route seen; as many as there are patterns.
#[derive(Debug, Clone, Default)]
pub(in crate::gateway) struct Measures(Arc<DashMap<String, RouteMeasures>>);

#[derive(Debug)]
struct RouteMeasures {
    seconds: Histogram,
    classes: [Counter; CLASSES.len()],
}

impl RouteMeasures {
    fn of(route: &str) -> Self {
        let class = |class| metrics::counter(Metric::GatewayRequests, &[route, class]);
        Self {
            seconds: metrics::histogram(Metric::GatewaySeconds, &[route]),
            classes: CLASSES.map(class),
        }
    }

    fn done(&self, status: StatusCode, took: Duration) {
        self.seconds.time(took);
        if let Some(counter) = self.classes.get(usize::from(status.as_u16() / 100).wrapping_sub(1))
        {
            counter.add(1);
        }
    }
}

impl Measures {
    /// A response head of `route` went out.
    pub(in crate::gateway) fn done(&self, route: &str, status: StatusCode, took: Duration) {
        if let Some(known) = self.0.get(route) {
            known.done(status, took);
            return;
        }
        let made = self.0.entry(route.to_owned()).or_insert_with(|| RouteMeasures::of(route));
        made.done(status, took);
    }
}
