//! Bodies, read up to a limit.

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;

use super::answer::Refusal;

/// Reads the body of a request, of at most `limit` bytes.
pub(super) async fn read(request: Request, limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut body: Body = request.into_body();
    let least = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if least > limit {
        return Err(Refusal::TooLarge);
    }
    let mut bytes = Vec::with_capacity(least);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|_| Refusal::Bad("the body is broken off".to_owned()))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len().saturating_add(data.len()) > limit {
                return Err(Refusal::TooLarge);
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}
