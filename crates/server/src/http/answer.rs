//! Answers: JSON in the shape of a gRPC gateway, so that Sigstore's clients show the message.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use custos_core::json;
use serde::Serialize;

use super::status_of;

pub(super) const JSON: &str = "application/json";

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request is wrong; the message says how.
    Bad(String),
    /// The token of the request is not accepted; the message says why.
    BadToken(String),
    /// Too many requests at work, or the log's queue is full.
    Busy,
    /// Something of ours failed.
    Internal,
    /// There is nothing here, or the service is not switched on.
    NotFound,
    /// The request did not end in time.
    TookTooLong,
    /// More bytes than the route takes.
    TooLarge,
    /// No or a wrong bearer token.
    Unauthenticated,
    /// A service that we depend on does not answer; the message says which.
    Unavailable(String),
    /// The method is not one of this route.
    WrongMethod,
    /// Another content type.
    WrongType,
}

impl Refusal {
    // HTTP status and gRPC code (google.rpc.Code).
    const fn codes(&self) -> (u16, u8) {
        match self {
            Self::Bad(_) => (400, 3),
            Self::BadToken(_) | Self::Unauthenticated => (401, 16),
            Self::NotFound => (404, 5),
            Self::WrongMethod => (405, 12),
            Self::TooLarge => (413, 3),
            Self::WrongType => (415, 3),
            Self::Internal => (500, 13),
            Self::Busy | Self::Unavailable(_) => (503, 14),
            Self::TookTooLong => (504, 4),
        }
    }

    fn message(self) -> String {
        match self {
            Self::Bad(message) | Self::BadToken(message) | Self::Unavailable(message) => message,
            other => match other {
                Self::Busy => "the server is busy; try again",
                Self::NotFound => "not found",
                Self::TookTooLong => "the request took too long",
                Self::TooLarge => "the request is too large",
                Self::Unauthenticated => "a valid bearer token is needed",
                Self::WrongMethod => "this method is not one of this path",
                Self::WrongType => "the content type is not the one that this path takes",
                _ => "internal error",
            }
            .to_owned(),
        }
    }
}

#[derive(Serialize)]
struct Status {
    code: u8,
    message: String,
    details: [(); 0],
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = refusal.codes();
        let unauthenticated = refusal == Refusal::Unauthenticated;
        let body = Status {
            code,
            message: refusal.message(),
            details: [],
        };
        let body = json::to_vec(&body).unwrap_or_default();
        let mut response = with_type(status, JSON, body);
        // A tile that is not there yet will be; nobody may keep that it was not.
        set(&mut response, CACHE_CONTROL, "no-store");
        if status == 503 {
            set(&mut response, RETRY_AFTER, "1");
        }
        if unauthenticated {
            set(&mut response, WWW_AUTHENTICATE, "Bearer");
        }
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.into()
    }
}

/// Returns an answer with this status, type and body.
pub(super) fn with_type(
    status: u16,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status_of(status);
    set(&mut response, CONTENT_TYPE, content_type);
    // No browser is to guess that data are a page.
    set(
        &mut response,
        HeaderName::from_static("x-content-type-options"),
        "nosniff",
    );
    response
}

/// Returns an answer with JSON in it.
pub(super) fn with_json<T: Serialize>(status: u16, value: &T) -> Result<Response, Refusal> {
    let body = json::to_vec(value).map_err(|_| Refusal::Internal)?;
    Ok(with_type(status, JSON, body))
}

/// Says how long an answer may be kept by others.
pub(super) fn cached(mut response: Response, directive: &'static str) -> Response {
    set(&mut response, CACHE_CONTROL, directive);
    response
}

fn set(response: &mut Response, name: HeaderName, value: &'static str) {
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
}

pub(super) async fn not_found() -> Refusal {
    Refusal::NotFound
}

pub(super) async fn wrong_method() -> Refusal {
    Refusal::WrongMethod
}
