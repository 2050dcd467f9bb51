//! Counters, and their text form (Prometheus exposition format 0.0.4).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Kinds of requests, by what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Add,
    Certificate,
    Entry,
    Other,
    Read,
    Status,
    Timestamp,
}

impl Route {
    const ALL: [Self; 7] = [
        Self::Add,
        Self::Certificate,
        Self::Entry,
        Self::Other,
        Self::Read,
        Self::Status,
        Self::Timestamp,
    ];

    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/add" => Self::Add,
            "/api/v2/signingCert" => Self::Certificate,
            "/api/v2/log/entries" => Self::Entry,
            "/api/v1/timestamp" => Self::Timestamp,
            "/healthz" | "/metrics" => Self::Status,
            "/checkpoint" | "/api/v2/checkpoint" => Self::Read,
            path if path.starts_with("/tile/") || path.starts_with("/api/v2/tile/") => Self::Read,
            _ => Self::Other,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Certificate => "certificate",
            Self::Entry => "entry",
            Self::Other => "other",
            Self::Read => "read",
            Self::Status => "status",
            Self::Timestamp => "timestamp",
        }
    }
}

// Upper bounds of the buckets, in milliseconds.
const BUCKETS: [u64; 8] = [1, 5, 20, 50, 100, 300, 1_000, 5_000];

#[derive(Default)]
struct PerRoute {
    // By first digit of the status: 2xx, 3xx, 4xx, 5xx.
    answers: [AtomicU64; 4],
    buckets: [AtomicU64; BUCKETS.len()],
    micros: AtomicU64,
}

/// What the server counted since its start.
#[derive(Default)]
pub(crate) struct Metrics {
    routes: [PerRoute; Route::ALL.len()],
    in_flight: AtomicI64,
    overload: AtomicU64,
}

impl Metrics {
    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, route: Route, status: u16, took: Duration) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let at = Route::ALL.iter().position(|other| *other == route);
        let Some(counters) = at.and_then(|at| self.routes.get(at)) else {
            return;
        };
        let class = usize::from(status.div_euclid(100).saturating_sub(2)).min(3);
        if let Some(counter) = counters.answers.get(class) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.iter().position(|bound| millis < *bound);
        if let Some(counter) = bucket.and_then(|at| counters.buckets.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        counters.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// A request was cut off before it had an answer.
    pub(crate) fn abandon(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn overload(&self) {
        self.overload.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the text, with the size of the log if there is one.
    pub(crate) fn to_text(&self, log_size: Option<u64>) -> String {
        let mut out = String::with_capacity(8 * 1024);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# TYPE custos_http_requests_total counter");
        for (route, counters) in Route::ALL.iter().zip(&self.routes) {
            for (class, counter) in ["2xx", "3xx", "4xx", "5xx"].iter().zip(&counters.answers) {
                let (name, count) = (route.name(), count(counter));
                let _ = writeln!(
                    out,
                    "custos_http_requests_total{{route=\"{name}\",status=\"{class}\"}} {count}"
                );
            }
        }
        let _ = writeln!(out, "# TYPE custos_http_request_seconds histogram");
        for (route, counters) in Route::ALL.iter().zip(&self.routes) {
            let name = route.name();
            let total = counters
                .answers
                .iter()
                .fold(0_u64, |sum, counter| sum.saturating_add(count(counter)));
            let mut below = 0_u64;
            for (bound, counter) in BUCKETS.iter().zip(&counters.buckets) {
                below = below.saturating_add(count(counter));
                let bound = seconds(bound.saturating_mul(1_000));
                let _ = writeln!(
                    out,
                    "custos_http_request_seconds_bucket{{route=\"{name}\",le=\"{bound}\"}} {below}"
                );
            }
            let sum = seconds(count(&counters.micros));
            let _ = writeln!(
                out,
                "custos_http_request_seconds_bucket{{route=\"{name}\",le=\"+Inf\"}} {total}\n\
                 custos_http_request_seconds_sum{{route=\"{name}\"}} {sum}\n\
                 custos_http_request_seconds_count{{route=\"{name}\"}} {total}"
            );
        }
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        let overload = count(&self.overload);
        let _ = writeln!(
            out,
            "# TYPE custos_http_in_flight gauge\ncustos_http_in_flight {in_flight}\n\
             # TYPE custos_http_overload_total counter\ncustos_http_overload_total {overload}"
        );
        if let Some(size) = log_size {
            let _ = writeln!(
                out,
                "# TYPE custos_log_entries gauge\ncustos_log_entries {size}"
            );
        }
        out
    }
}

fn seconds(micros: u64) -> String {
    format!(
        "{}.{:06}",
        micros.div_euclid(1_000_000),
        micros.rem_euclid(1_000_000)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stand_in_the_text() {
        let metrics = Metrics::default();
        for (status, millis) in [(200, 0), (201, 30), (404, 10_000)] {
            metrics.begin();
            metrics.end(Route::Entry, status, Duration::from_millis(millis));
        }
        metrics.begin();
        let text = metrics.to_text(Some(7));
        for line in [
            "custos_http_requests_total{route=\"entry\",status=\"2xx\"} 2",
            "custos_http_requests_total{route=\"entry\",status=\"4xx\"} 1",
            "custos_http_request_seconds_bucket{route=\"entry\",le=\"0.001000\"} 1",
            "custos_http_request_seconds_bucket{route=\"entry\",le=\"5.000000\"} 2",
            "custos_http_request_seconds_bucket{route=\"entry\",le=\"+Inf\"} 3",
            "custos_http_request_seconds_sum{route=\"entry\"} 10.030000",
            "custos_http_in_flight 1",
            "custos_log_entries 7",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
