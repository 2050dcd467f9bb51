//! Whether the server works, and how much it does.

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Serialize;

use super::answer::{Refusal, with_json, with_type};
use super::{Shared, require_token};

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_entries: Option<u64>,
}

pub(super) async fn health(State(services): State<Shared>) -> Result<Response, Refusal> {
    let failed = services
        .log
        .as_ref()
        .is_some_and(|log| log.sequencer.failed().is_set());
    let size = services.log.as_ref().map(|log| log.sequencer.size());
    let (code, status) = if failed { (503, "failed") } else { (200, "ok") };
    with_json(
        code,
        &Health {
            status,
            log_entries: size,
        },
    )
}

pub(super) async fn metrics(
    State(services): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    require_token(&services, &request)?;
    let size = services.log.as_ref().map(|log| log.sequencer.size());
    let text = services.metrics.to_text(size);
    Ok(with_type(
        200,
        "text/plain; version=0.0.4; charset=utf-8",
        text.into_bytes(),
    ))
}
