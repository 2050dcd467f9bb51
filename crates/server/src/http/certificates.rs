//! Fulcio's routes, version 2.
//!
//! Spec: sigstore/fulcio, `fulcio.proto`. The ID token comes in the `Authorization` header or in
//! the body; possession of the key is shown by a signature over the token's subject or address,
//! or by a certificate signing request (RFC 2986), of which nothing but the key is used.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use custos_core::crypto::PublicKey;
use custos_core::dsse::Base64;
use custos_core::json;
use custos_core::limits::Limits;
use serde::{Deserialize, Serialize};

use super::answer::{Refusal, with_json};
use super::{Services, Shared, bearer, blocking, body, require_type};
use crate::authority::{Authority, AuthorityError, certificate_pem};
use crate::oidc::{Identity, IdentityKind, KeysError, TokenError};
use crate::possession;

const MAX_BODY: usize = 64 * 1024;

pub(super) async fn sign(
    State(services): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    let authority = authority(&services)?;
    require_type(&request, "application/json")?;
    let header = bearer(&request).map(str::to_owned);
    let body = body::read(request, MAX_BODY).await?;
    // Keys of the issuer may have to be fetched. Whoever waits for a slow issuer is not to take
    // all the threads on which the log is read.
    let place = Arc::clone(&services.issuing).acquire_owned().await;
    let issued = blocking(move || {
        let _place = place;
        issue(&services, &authority, header, &body)
    })
    .await??;
    with_json(200, &issued)
}

fn issue(
    services: &Services,
    authority: &Authority,
    header: Option<String>,
    body: &[u8],
) -> Result<SigningCertificate, Refusal> {
    let request = CertificateRequest::parse(body)?;
    let token = request
        .credentials
        .as_ref()
        .and_then(|credentials| credentials.token.clone())
        .or(header)
        .ok_or_else(|| Refusal::BadToken("an OIDC identity token is needed".to_owned()))?;
    let now = services.clock.now();
    let identity = services
        .verifier
        .verify(&token, now)
        .map_err(|error| refused(&error))?;
    let key = request.key(&identity)?;
    let issued = authority
        .issue(&identity, &key, now)
        .map_err(|error| match error {
            AuthorityError::Certificate(error) => Refusal::Bad(error.to_string()),
            AuthorityError::Expired { .. } => Refusal::Unavailable(error.to_string()),
            _ => Refusal::Internal,
        })?;
    Ok(SigningCertificate {
        embedded: ChainHolder {
            chain: CertificateChain {
                certificates: issued.to_pem(),
            },
        },
    })
}

fn refused(error: &TokenError) -> Refusal {
    match error {
        // What the issuer answered, and where it was asked, is not for everybody.
        TokenError::Keys(KeysError::Fetch(_)) => {
            Refusal::Unavailable("the keys of the token's issuer cannot be had now".to_owned())
        }
        TokenError::Keys(_) => Refusal::Unavailable(error.to_string()),
        _ => Refusal::BadToken(error.to_string()),
    }
}

fn authority(services: &Services) -> Result<Arc<Authority>, Refusal> {
    services.authority.clone().ok_or(Refusal::NotFound)
}

pub(super) async fn trust_bundle(State(services): State<Shared>) -> Result<Response, Refusal> {
    let authority = authority(&services)?;
    with_json(
        200,
        &TrustBundle {
            chains: [CertificateChain {
                certificates: vec![
                    certificate_pem(authority.issuing_der()),
                    certificate_pem(authority.root_der()),
                ],
            }],
        },
    )
}

pub(super) async fn configuration(State(services): State<Shared>) -> Result<Response, Refusal> {
    authority(&services)?;
    let issuers = services
        .verifier
        .issuers()
        .map(|issuer| {
            let (domain, trust_domain) = match &issuer.kind {
                IdentityKind::Uri { domain } | IdentityKind::UserName { domain } => {
                    (Some(domain.clone()), None)
                }
                IdentityKind::Spiffe { trust_domain } => (None, Some(trust_domain.clone())),
                _ => (None, None),
            };
            WireIssuer {
                issuer_url: issuer.url.clone(),
                audience: issuer.audience.clone(),
                challenge_claim: issuer.kind.challenge_claim(),
                issuer_type: issuer.kind.name(),
                subject_domain: domain,
                spiffe_trust_domain: trust_domain,
            }
        })
        .collect();
    with_json(200, &Configuration { issuers })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateRequest {
    #[serde(default)]
    credentials: Option<Credentials>,
    #[serde(rename = "publicKeyRequest", alias = "public_key_request", default)]
    public_key: Option<PublicKeyRequest>,
    #[serde(
        rename = "certificateSigningRequest",
        alias = "certificate_signing_request",
        default
    )]
    csr: Option<Base64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    #[serde(rename = "oidcIdentityToken", alias = "oidc_identity_token", default)]
    token: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublicKeyRequest {
    #[serde(rename = "publicKey", alias = "public_key")]
    key: WireKey,
    #[serde(rename = "proofOfPossession", alias = "proof_of_possession")]
    proof: Base64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireKey {
    // A name or a number; the key itself says what it is.
    #[serde(rename = "algorithm", default)]
    _algorithm: Option<serde_json::Value>,
    content: String,
}

impl CertificateRequest {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let limits = Limits::SMALL.with_max_bytes(MAX_BODY);
        json::from_slice(body, &limits).map_err(|error| Refusal::Bad(error.to_string()))
    }

    // The key, after its possession was shown.
    fn key(&self, identity: &Identity) -> Result<PublicKey, Refusal> {
        let bad = |error: &dyn std::error::Error| Refusal::Bad(error.to_string());
        match (&self.public_key, &self.csr) {
            (Some(request), None) => {
                let key = PublicKey::from_pem(&request.key.content).map_err(|e| bad(&e))?;
                let challenge = identity.challenge().as_bytes();
                possession::check(&key, challenge, request.proof.as_slice())
                    .map_err(|e| bad(&e))?;
                Ok(key)
            }
            (None, Some(csr)) => possession::key_of_request(csr.as_slice()).map_err(|e| bad(&e)),
            _ => Err(Refusal::Bad(
                "exactly one of publicKeyRequest and certificateSigningRequest is needed"
                    .to_owned(),
            )),
        }
    }
}

#[derive(Serialize)]
struct SigningCertificate {
    #[serde(rename = "signedCertificateEmbeddedSct")]
    embedded: ChainHolder,
}

#[derive(Serialize)]
struct ChainHolder {
    chain: CertificateChain,
}

#[derive(Serialize)]
struct CertificateChain {
    certificates: Vec<String>,
}

#[derive(Serialize)]
struct TrustBundle {
    chains: [CertificateChain; 1],
}

#[derive(Serialize)]
struct Configuration {
    issuers: Vec<WireIssuer>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireIssuer {
    issuer_url: String,
    audience: String,
    challenge_claim: &'static str,
    issuer_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spiffe_trust_domain: Option<String>,
}

/// Parses a request body, for fuzzing.
pub(crate) fn parses(body: &[u8]) -> bool {
    CertificateRequest::parse(body).is_ok_and(|request| {
        request
            .csr
            .is_some_and(|csr| possession::key_of_request(csr.as_slice()).is_ok())
    })
}
