//! The log over HTTP: Rekor v2 to write, tlog-tiles to read, and `/add` for raw entries.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Uri;
use axum::response::Response;
use custos_core::limits::MAX_ENTRY_BYTES;
use custos_log::note::MAX_NOTE_BYTES;
use custos_log::tile::{FULL_TILE_BYTES, MAX_BUNDLE_BYTES, TilePath};

use super::answer::{Refusal, cached, with_json, with_type};
use super::{LogService, Services, Shared, blocking, body, require_token, require_type};
use crate::entries;
use crate::sequencer::AppendError;
use crate::server::Submission;

const FOREVER: &str = "public, max-age=31536000, immutable";

pub(super) async fn create_entry(
    State(services): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    let log = log(&services)?;
    if services.submission == Submission::WithToken {
        require_token(&services, &request)?;
    }
    require_type(&request, "application/json")?;
    let body = body::read(request, entries::MAX_REQUEST).await?;
    let leaf = entries::leaf_of_request(&body).map_err(|error| Refusal::Bad(error.to_string()))?;
    let recorded = log
        .sequencer
        .record(leaf.clone())
        .await
        .map_err(|error| refused(&error))?;
    with_json(201, &recorded.to_entry(&leaf))
}

pub(super) async fn add(
    State(services): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    let log = log(&services)?;
    require_token(&services, &request)?;
    let leaf = body::read(request, MAX_ENTRY_BYTES).await?;
    if leaf.is_empty() {
        return Err(Refusal::Bad(
            "the body is the entry; it is empty".to_owned(),
        ));
    }
    let index = log
        .sequencer
        .append(leaf)
        .await
        .map_err(|error| refused(&error))?;
    Ok(with_type(
        200,
        "text/plain; charset=utf-8",
        index.to_string().into_bytes(),
    ))
}

pub(super) async fn checkpoint(State(services): State<Shared>) -> Result<Response, Refusal> {
    let bytes = read(&services, "checkpoint".to_owned(), MAX_NOTE_BYTES).await?;
    let response = with_type(200, "text/plain; charset=utf-8", bytes);
    Ok(cached(response, "no-cache"))
}

pub(super) async fn tile(State(services): State<Shared>, uri: Uri) -> Result<Response, Refusal> {
    let path = uri.path();
    let path = path.strip_prefix("/api/v2").unwrap_or(path);
    let path = path.strip_prefix('/').unwrap_or(path);
    // Only names that the specification knows ever reach the disk, in their one spelling.
    let parsed: TilePath = path.parse().map_err(|_| Refusal::NotFound)?;
    let limit = match parsed {
        TilePath::Tile(_) => FULL_TILE_BYTES,
        TilePath::Entries(_) => MAX_BUNDLE_BYTES,
        _ => return Err(Refusal::NotFound),
    };
    let bytes = read(&services, parsed.to_string(), limit).await?;
    let response = with_type(200, "application/octet-stream", bytes);
    Ok(cached(response, FOREVER))
}

async fn read(services: &Services, path: String, limit: usize) -> Result<Vec<u8>, Refusal> {
    let disk = Arc::clone(&log(services)?.disk);
    match blocking(move || disk.read(&path, limit)).await? {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.is_not_found() => Err(Refusal::NotFound),
        Err(_) => Err(Refusal::Internal),
    }
}

fn log(services: &Services) -> Result<&LogService, Refusal> {
    services.log.as_ref().ok_or(Refusal::NotFound)
}

fn refused(error: &AppendError) -> Refusal {
    match error {
        AppendError::Busy => Refusal::Busy,
        // Nothing was acknowledged, and trying again is safe; what is wrong stands at the server.
        AppendError::Log(_) => Refusal::Unavailable("the log cannot write now".to_owned()),
    }
}
