//! The timestamp authority over HTTP (RFC 3161 section 3.4), at the paths of Sigstore's.

use axum::extract::{Request, State};
use axum::response::Response;

use super::answer::{Refusal, with_type};
use super::{Shared, body, require_type};
use crate::timestamp::{Failure, MAX_REQUEST};

pub(super) async fn reply(
    State(services): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    let authority = services.authority.as_ref().ok_or(Refusal::NotFound)?;
    require_type(&request, "application/timestamp-query")?;
    let body = body::read(request, MAX_REQUEST).await?;
    let reply = authority
        .timestamp_authority()
        .reply(&body, services.clock.now())
        .map_err(|_| Refusal::Internal)?;
    let status = match reply.failure {
        None => 201,
        Some(Failure::TimeNotAvailable) => 503,
        Some(_) => 400,
    };
    Ok(with_type(status, "application/timestamp-reply", reply.der))
}

pub(super) async fn chain(State(services): State<Shared>) -> Result<Response, Refusal> {
    let authority = services.authority.as_ref().ok_or(Refusal::NotFound)?;
    let pem = authority.timestamp_authority().chain_pem();
    Ok(with_type(
        200,
        "application/pem-certificate-chain",
        pem.into_bytes(),
    ))
}
