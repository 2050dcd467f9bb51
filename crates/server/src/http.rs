//! The routes, and what holds for all of them: a cap on requests at work, a time limit, counts.
//!
//! Public are the routes that Sigstore's clients use; they carry their own proof (an ID token, a
//! signature) or give away what is public. Everything else needs a bearer token.

mod answer;
mod body;
mod certificates;
mod log;
mod status;
mod timestamps;

pub(crate) use certificates::parses as certificate_request_parses;
pub(crate) use log::max_entries_answer;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use custos_core::clock::Clock;
use custos_log::disk::Disk;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::authority::Authority;
use crate::metrics::{Metrics, Route};
use crate::oidc::TokenVerifier;
use crate::sequencer::Sequencer;
use crate::server::{AccessTokens, Submission, Tuning};
use answer::Refusal;

/// What the routes work with.
pub(crate) struct Services {
    pub(crate) authority: Option<Arc<Authority>>,
    pub(crate) verifier: TokenVerifier,
    pub(crate) log: Option<LogService>,
    pub(crate) access: AccessTokens,
    pub(crate) submission: Submission,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) tuning: Tuning,
    pub(crate) at_work: Semaphore,
    pub(crate) issuing: Arc<Semaphore>,
    pub(crate) entry_bytes: Arc<Semaphore>,
}

/// The log, for writing and for reading.
pub(crate) struct LogService {
    pub(crate) sequencer: Sequencer,
    pub(crate) disk: Arc<dyn Disk>,
}

pub(crate) type Shared = Arc<Services>;

/// Returns the routes.
pub(crate) fn router(services: Shared) -> Router {
    Router::new()
        .route("/api/v2/signingCert", post(certificates::sign))
        .route("/api/v2/trustBundle", get(certificates::trust_bundle))
        .route("/api/v2/configuration", get(certificates::configuration))
        .route("/api/v1/timestamp", post(timestamps::reply))
        .route("/api/v1/timestamp/certchain", get(timestamps::chain))
        .route("/api/v2/log/entries", post(log::create_entry))
        .route("/api/v2/checkpoint", get(log::checkpoint))
        .route("/api/v2/tile/{*path}", get(log::tile))
        .route("/checkpoint", get(log::checkpoint))
        .route("/tile/{*path}", get(log::tile))
        .route("/add", post(log::add))
        .route("/healthz", get(status::health))
        .route("/metrics", get(status::metrics))
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&services), guard))
        .with_state(services)
}

// Counts a request as ended even if its connection goes away in between.
struct InFlight<'a> {
    metrics: &'a Metrics,
    done: bool,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.metrics.abandon();
        }
    }
}

async fn guard(State(services): State<Shared>, request: Request, next: Next) -> Response {
    let route = Route::of(request.uri().path());
    let begin = Instant::now();
    services.metrics.begin();
    let mut in_flight = InFlight {
        metrics: &services.metrics,
        done: false,
    };
    let response = match services.at_work.try_acquire() {
        // Whoever watches the server must see it when it is busy.
        Err(_) if route != Route::Status => {
            services.metrics.overload();
            Refusal::Busy.into()
        }
        permit => {
            let outcome = timeout(services.tuning.request_time, next.run(request)).await;
            drop(permit);
            outcome.unwrap_or_else(|_| Refusal::TookTooLong.into())
        }
    };
    in_flight.done = true;
    services
        .metrics
        .end(route, response.status().as_u16(), begin.elapsed());
    response
}

fn require_token(services: &Services, request: &Request) -> Result<(), Refusal> {
    let token = bearer(request).ok_or(Refusal::Unauthenticated)?;
    if services.access.contain(token) {
        Ok(())
    } else {
        Err(Refusal::Unauthenticated)
    }
}

// The token of an `Authorization: Bearer` header, if there is exactly one.
fn bearer(request: &Request) -> Option<&str> {
    let mut values = request.headers().get_all("authorization").iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim())
        .filter(|token| !token.is_empty())
}

// Browsers ask before they send these types to another site, and get no leave from us.
fn require_type(request: &Request, wanted: &str) -> Result<(), Refusal> {
    let found = request
        .headers()
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    if found.is_some_and(|found| found.trim().eq_ignore_ascii_case(wanted)) {
        Ok(())
    } else {
        Err(Refusal::WrongType)
    }
}

// Runs what blocks (files, other servers) on a thread of its own.
async fn blocking<T, F>(work: F) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Refusal::Internal)
}

fn status_of(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
