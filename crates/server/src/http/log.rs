//! The log over HTTP: Rekor v2 to write, tlog-tiles to read, and `/add` for raw entries.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::response::Response;
use custos_core::limits::MAX_ENTRY_BYTES;
use custos_log::note::MAX_NOTE_BYTES;
use custos_log::tile::{FULL_TILE_BYTES, MAX_BUNDLE_BYTES, TilePath};
use tokio::sync::OwnedSemaphorePermit;

use super::answer::{Refusal, cached, with_json, with_type};
use super::{LogService, Services, Shared, blocking, body, require_token, require_type};
use crate::entries::{MAX_REQUEST, leaf_of_request};
use crate::sequencer::AppendError;
use crate::server::Submission;

const FOREVER: &str = "public, max-age=31536000, immutable";

/// Returns the size of the largest answer with entries, in bytes, as a number of permits.
pub(crate) fn max_entries_answer() -> u32 {
    u32::try_from(MAX_BUNDLE_BYTES).unwrap_or(u32::MAX)
}

pub(super) async fn create_entry(
    State(services): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    let log = log(&services)?;
    if services.submission == Submission::WithToken {
        require_token(&services, &request)?;
    }
    require_type(&request, "application/json")?;
    let body = body::read(request, MAX_REQUEST).await?;
    let leaf = leaf_of_request(&body).map_err(|error| Refusal::Bad(error.to_string()))?;
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
    let name = parsed.to_string();
    let bytes = match parsed {
        TilePath::Tile(_) => read(&services, name, FULL_TILE_BYTES).await?.into(),
        TilePath::Entries(_) => entries(&services, name).await?,
        _ => return Err(Refusal::NotFound),
    };
    let response = with_type(200, "application/octet-stream", bytes);
    Ok(cached(response, FOREVER))
}

// Entries are large, and wait in memory until the client has taken them.
async fn entries(services: &Services, name: String) -> Result<Bytes, Refusal> {
    let places = Arc::clone(&services.entry_bytes);
    let place = places.acquire_many_owned(max_entries_answer()).await;
    let mut place = place.map_err(|_| Refusal::Internal)?;
    let bytes = read(services, name, MAX_BUNDLE_BYTES).await?;
    let spare = place.num_permits().saturating_sub(bytes.len());
    drop(place.split(spare));
    Ok(Bytes::from_owner(Held {
        bytes,
        _place: place,
    }))
}

struct Held {
    bytes: Vec<u8>,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
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
