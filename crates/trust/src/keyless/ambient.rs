//! ID tokens that the surroundings give: CI jobs, and machines in a cloud.
//!
//! As Sigstore's own clients look for them: `SIGSTORE_ID_TOKEN` (GitLab's `id_tokens`), cosign's
//! file, GitHub Actions, Buildkite, Google Cloud. Each is asked for a token of one audience, so
//! that it serves nowhere else.

use std::path::{Path, PathBuf};

use custos_core::json;
use custos_core::limits::Limits;
use custos_net::{NetError, Request, Response, Roots, Secret, Url, percent_encode};
use serde::Deserialize;

use super::services::{Failed, KeylessError, Service};
use super::token::{AUDIENCE, IdentityToken, MAX_TOKEN};
use crate::signers::Surroundings;

/// Where cosign, and whoever mounts a token for it, has it.
const TOKEN_FILE: &str = "/var/run/sigstore/cosign/oidc-token";
/// What a machine of Google's calls itself.
const PRODUCT: &str = "/sys/class/dmi/id/product_name";

/// Looks for a token, and returns `None` where nothing gives one.
pub fn token(surroundings: &Surroundings) -> Result<Option<IdentityToken>, KeylessError> {
    token_at(surroundings, &Places::default())
}

/// Files of the machine.
pub(super) struct Places {
    pub(super) token: PathBuf,
    pub(super) product: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            token: TOKEN_FILE.into(),
            product: PRODUCT.into(),
        }
    }
}

pub(super) fn token_at(
    surroundings: &Surroundings,
    places: &Places,
) -> Result<Option<IdentityToken>, KeylessError> {
    let var = |name: &str| surroundings.var(name);
    if let Some(text) = var("SIGSTORE_ID_TOKEN") {
        return parse(&text).map(Some);
    }
    if places.token.is_file() {
        return read(&places.token).map(Some);
    }
    if var("GITHUB_ACTIONS").is_some() {
        return github(surroundings).map(Some);
    }
    if var("BUILDKITE").is_some() {
        return buildkite(surroundings).map(Some);
    }
    if var("GITLAB_CI").is_some() {
        return Err(missing(
            "this GitLab job has no SIGSTORE_ID_TOKEN: add to it\n\
             `id_tokens: { SIGSTORE_ID_TOKEN: { aud: sigstore } }`",
        ));
    }
    if var("CIRCLECI").is_some() {
        return Err(missing(
            "the token that CircleCI sets is for another audience: write one with\n\
             `circleci run oidc get --claims '{\"aud\": \"sigstore\"}' > FILE`\n\
             and pass --identity-token FILE",
        ));
    }
    if var("GCE_METADATA_HOST").is_some() || is_google(&places.product) {
        return google(surroundings).map(Some);
    }
    Ok(None)
}

/// Reads a token from a file.
pub fn read(path: &Path) -> Result<IdentityToken, KeylessError> {
    let text = crate::signers::read_text(path).map_err(|error| KeylessError::NoToken {
        why: error.to_string(),
    })?;
    parse(&text)
}

fn parse(text: &str) -> Result<IdentityToken, KeylessError> {
    IdentityToken::parse(text).map_err(KeylessError::Token)
}

fn missing(why: &str) -> KeylessError {
    KeylessError::NoToken {
        why: why.to_owned(),
    }
}

// https://docs.github.com/actions/reference/security/oidc
fn github(surroundings: &Surroundings) -> Result<IdentityToken, KeylessError> {
    let url = surroundings.var("ACTIONS_ID_TOKEN_REQUEST_URL");
    let secret = surroundings.var("ACTIONS_ID_TOKEN_REQUEST_TOKEN");
    let (Some(url), Some(secret)) = (url, secret) else {
        return Err(missing(
            "this job may not ask for ID tokens: add `permissions: { id-token: write }`",
        ));
    };
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = address(&format!("{url}{separator}audience={AUDIENCE}"))?;
    let secret = Secret::new(secret);
    let request = Request::get(url).with_bearer(&secret);
    let answer = call(surroundings, &request, &secret)?;
    let found: Value = from_json(&answer)?;
    parse(&found.value)
}

#[derive(Deserialize)]
struct Value {
    value: String,
}

// https://buildkite.com/docs/apis/agent-api/oidc
fn buildkite(surroundings: &Surroundings) -> Result<IdentityToken, KeylessError> {
    let needed = |name: &str| {
        let lacks = || missing(&format!("this Buildkite job has no {name}"));
        surroundings.var(name).ok_or_else(lacks)
    };
    let secret = Secret::new(needed("BUILDKITE_AGENT_ACCESS_TOKEN")?);
    let job = percent_encode(&needed("BUILDKITE_JOB_ID")?);
    let endpoint = surroundings
        .var("BUILDKITE_AGENT_ENDPOINT")
        .unwrap_or_else(|| "https://agent.buildkite.com/v3".to_owned());
    let url = address(&format!(
        "{}/jobs/{job}/oidc/tokens",
        endpoint.trim_end_matches('/')
    ))?;
    let body = format!("{{\"audience\":\"{AUDIENCE}\"}}");
    let authorization = Secret::from(format!("Token {}", secret.expose()));
    let request = Request::post(url, "application/json", body)
        .with_secret_header("authorization", authorization);
    let answer = call(surroundings, &request, &secret)?;
    let found: Token = from_json(&answer)?;
    parse(&found.token)
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

// https://cloud.google.com/compute/docs/instances/verifying-instance-identity
fn google(surroundings: &Surroundings) -> Result<IdentityToken, KeylessError> {
    let host = surroundings
        .var("GCE_METADATA_HOST")
        .unwrap_or_else(|| "metadata.google.internal".to_owned());
    let url = address(&format!(
        "http://{host}/computeMetadata/v1/instance/service-accounts/default/identity\
         ?audience={AUDIENCE}&format=full"
    ))?;
    let request = Request::get(url).with_header("metadata-flavor", "Google");
    let answer = call(surroundings, &request, &Secret::new(""))?;
    let text = std::str::from_utf8(answer.body()).map_err(|_| broken())?;
    parse(text)
}

fn is_google(product: &Path) -> bool {
    use std::io::Read as _;
    let mut name = String::new();
    std::fs::File::open(product)
        .and_then(|file| file.take(128).read_to_string(&mut name))
        .is_ok_and(|_| name.contains("Google"))
}

fn call(
    surroundings: &Surroundings,
    request: &Request,
    secret: &Secret,
) -> Result<Response, KeylessError> {
    let failed = |error: NetError| {
        let service = Service::Issuer;
        Failed { service, error }.hiding(secret)
    };
    // The surroundings name the server, so it may be a metadata service.
    surroundings
        .client(request.url(), Roots::System)
        .and_then(|client| client.send(request))
        .and_then(Response::success)
        .map_err(failed)
}

fn from_json<T: serde::de::DeserializeOwned>(answer: &Response) -> Result<T, KeylessError> {
    let limits = Limits::SMALL.with_max_bytes(4 * MAX_TOKEN);
    json::from_slice(answer.body(), &limits).map_err(|_| broken())
}

fn broken() -> KeylessError {
    KeylessError::Malformed {
        service: Service::Issuer,
        what: "an answer without a token",
    }
}

fn address(text: &str) -> Result<Url, KeylessError> {
    text.parse().map_err(|_| KeylessError::NotAUrl {
        text: text.split('?').next().unwrap_or_default().to_owned(),
    })
}
