//! A key in a service, and how services fail.

use std::fmt;
use std::time::Duration;

use custos_core::crypto::{KeyId, PublicKey, Scheme, SignatureError};
use custos_core::digest::Digest;
use custos_core::entry::entry_algorithm;
use custos_core::json;
use custos_core::limits::Limits;
use custos_net::{Class, Client, NetError, Request, Response, Secret};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::surroundings::{Surroundings, SurroundingsError};
use crate::signer::{SignError, Signer};

/// Times that a busy service is asked.
const ATTEMPTS: u32 = 3;
/// Longest pause that a service may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// Most characters of what a service says that an error repeats.
const MAX_DETAIL: usize = 300;

/// Signs with a key that stays in its service.
///
/// The public key was fetched when the signer was made; each signature is verified with it before
/// it is handed out, so that neither a wrong key nor a damaged answer makes a bad bundle.
pub struct RemoteSigner {
    key: PublicKey,
    scheme: Scheme,
    service: Box<dyn KeyService>,
}

/// What a service does for a signer.
pub(super) trait KeyService: Send + Sync {
    /// Signs a digest made with the hash of `scheme`. ECDSA signatures come as DER.
    fn sign_digest(&self, scheme: Scheme, digest: &[u8]) -> Result<Vec<u8>, ServiceError>;

    /// Returns the exact name of the key in the service, with its version.
    fn key_name(&self) -> &str;
}

impl RemoteSigner {
    pub(super) fn new(key: PublicKey, service: impl KeyService + 'static) -> Self {
        Self {
            scheme: key.kind().statement_scheme(),
            key,
            service: Box::new(service),
        }
    }

    /// Returns the exact name of the key in its service: an ARN, a resource name with its version,
    /// a key URL. A reference by alias was resolved once, so all signatures are of this one key.
    pub fn key_name(&self) -> &str {
        self.service.key_name()
    }

    /// Signs `message`, with an error that says what the service did. [`Signer::sign`] does the
    /// same.
    pub fn sign_remotely(&self, message: &[u8]) -> Result<Vec<u8>, ServiceError> {
        self.sign_digest_remotely(&entry_algorithm(self.scheme).digest(message))
    }

    fn sign_digest_remotely(&self, digest: &Digest) -> Result<Vec<u8>, ServiceError> {
        let signature = self.service.sign_digest(self.scheme, digest.as_bytes())?;
        self.key
            .verify_digest(self.scheme, digest, &signature)
            .map_err(|_| ServiceError::SignatureInvalid { key: self.key.id() })?;
        Ok(signature)
    }
}

impl Signer for RemoteSigner {
    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn scheme(&self) -> Scheme {
        self.scheme
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.sign_remotely(message)
            .map_err(|error| SignError::Service(Box::new(error)))
    }

    fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, SignError> {
        if digest.algorithm() != entry_algorithm(self.scheme) {
            return Err(SignError::Signature(SignatureError::SchemeDoesNotFitKey));
        }
        self.sign_digest_remotely(digest)
            .map_err(|error| SignError::Service(Box::new(error)))
    }
}

impl fmt::Debug for RemoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteSigner({} {:?})", self.key_name(), self.key)
    }
}

/// The DER `Ecdsa-Sig-Value` (RFC 3279) of `r` and `s`, which stand one after the other, each as
/// long as the field of the curve (RFC 7518 section 3.4).
pub(super) fn ecdsa_der(raw: &[u8]) -> Option<Vec<u8>> {
    let half = match raw.len() {
        64 => 32,
        96 => 48,
        132 => 66,
        _ => return None,
    };
    let (r, s) = raw.split_at(half);
    let mut inside = Vec::new();
    for number in [r, s] {
        let start = number.iter().position(|byte| *byte != 0)?;
        let digits = number.get(start..)?;
        let padded = digits.first().is_some_and(|first| *first >= 0x80);
        let length = digits.len().checked_add(usize::from(padded))?;
        inside.extend([0x02, u8::try_from(length).ok()?]);
        inside.extend(padded.then_some(0));
        inside.extend(digits);
    }
    let length = u8::try_from(inside.len()).ok()?;
    let mut der = vec![0x30];
    if length >= 0x80 {
        der.push(0x81);
    }
    der.push(length);
    der.extend(inside);
    Some(der)
}

/// One service: its name in errors, its client, and how hard it is asked.
#[derive(Debug, Clone)]
pub(super) struct Api {
    service: &'static str,
    client: Client,
    pause: Duration,
}

impl Api {
    pub(super) const fn new(
        service: &'static str,
        client: Client,
        surroundings: &Surroundings,
    ) -> Self {
        Self {
            service,
            client,
            pause: surroundings.pause(),
        }
    }

    pub(super) const fn service(&self) -> &'static str {
        self.service
    }

    /// Makes a call that may be repeated, and reads the JSON of its answer.
    pub(super) fn json<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, ServiceError> {
        let answer = self.bytes(call)?;
        json::from_slice(answer.body(), &Limits::SMALL).map_err(|_| ServiceError::Answer {
            service: self.service,
            operation: call.operation,
            what: "it is not the documented JSON",
        })
    }

    /// Makes a call that may be repeated.
    pub(super) fn bytes(&self, call: &Call<'_>) -> Result<Response, ServiceError> {
        let mut pause = self.pause;
        let mut attempt = 1_u32;
        loop {
            let error = match self.once(call) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if attempt >= ATTEMPTS || !error.is_worth_repeating() {
                return Err(error);
            }
            std::thread::sleep(
                error
                    .asked_pause()
                    .map_or(pause, |asked| asked.min(MAX_PAUSE)),
            );
            pause = pause.saturating_mul(4);
            attempt = attempt.saturating_add(1);
        }
    }

    fn once(&self, call: &Call<'_>) -> Result<Response, ServiceError> {
        let answer = self
            .client
            .send(&call.request)
            .map_err(ServiceError::net(self.service, call.operation))?;
        let status = answer.status();
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let fault = Fault::read(answer.body());
        let mut detail = fault.to_string();
        for secret in call.secrets {
            detail = secret.redact(&detail);
        }
        Err(ServiceError::Refused {
            service: self.service,
            operation: call.operation,
            standing: Standing::of(status, &fault.code),
            status,
            detail,
            retry_after: answer.retry_after(),
        })
    }
}

/// A call of a service.
pub(super) struct Call<'a> {
    /// What the service calls it.
    pub(super) operation: &'static str,
    pub(super) request: Request,
    /// What must not be repeated in an error.
    pub(super) secrets: &'a [&'a Secret],
}

/// What a service says about an error, in any of the shapes that the services have.
struct Fault {
    code: String,
    message: String,
}

impl Fault {
    fn read(body: &[u8]) -> Self {
        let value = json::from_slice(body, &Limits::SMALL).unwrap_or(Value::Null);
        let text = |value: &Value, names: &[&str]| {
            let found = names.iter().find_map(|name| value.get(name)?.as_str());
            found.unwrap_or_default().to_owned()
        };
        // Google, Azure: {"error": {"status"|"code", "message"}}.
        if let Some(inner) = value.get("error").filter(|inner| inner.is_object()) {
            return Self {
                code: text(inner, &["status", "code"]),
                message: text(inner, &["message"]),
            };
        }
        // Vault: {"errors": ["..."]}.
        if let Some(errors) = value.get("errors").and_then(Value::as_array) {
            let errors: Vec<&str> = errors.iter().filter_map(Value::as_str).collect();
            return Self {
                code: String::new(),
                message: errors.join("; "),
            };
        }
        // AWS: {"__type", "message"}; OAuth: {"error", "error_description"};
        // Kubernetes: {"reason", "message"}.
        let code = text(&value, &["__type", "error", "reason"]);
        let code = code.rsplit('#').next().unwrap_or_default().to_owned();
        // What AWS says about a bad signature repeats the request with its session token.
        let names: &[&str] = if code.contains("Signature") {
            &[]
        } else {
            &["message", "Message", "error_description"]
        };
        Self {
            message: text(&value, names),
            code,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.code.is_empty() || self.message.is_empty() {
            ""
        } else {
            ": "
        };
        let text = format!("{}{separator}{}", self.code, self.message);
        let shown: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_DETAIL)
            .collect();
        f.write_str(shown.trim())
    }
}

/// What the answer of a service means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// Who we are is not accepted, or may not do this.
    Denied,
    /// The key exists but cannot be used: disabled, deleted soon, of another purpose.
    KeyUnusable,
    /// There is no such key.
    NotFound,
    /// Too many requests.
    Throttled,
    /// The service is out of order.
    Unavailable,
    /// Anything else.
    Rejected,
}

impl Standing {
    fn of(status: u16, code: &str) -> Self {
        match code {
            "AccessDeniedException"
            | "UnrecognizedClientException"
            | "ExpiredTokenException"
            | "InvalidSignatureException"
            | "InvalidClientTokenId"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "invalid_client"
            | "invalid_grant"
            | "unauthorized_client"
            | "access_denied" => Self::Denied,
            "NotFoundException" => Self::NotFound,
            "ThrottlingException" | "Throttling" | "RequestLimitExceeded" => Self::Throttled,
            "DisabledException"
            | "KMSInvalidStateException"
            | "InvalidKeyUsageException"
            | "FAILED_PRECONDITION"
            | "KeyDisabled" => Self::KeyUnusable,
            "DependencyTimeoutException" | "KMSInternalException" | "KeyUnavailableException" => {
                Self::Unavailable
            }
            _ => match status {
                401 | 403 => Self::Denied,
                404 => Self::NotFound,
                429 => Self::Throttled,
                408 | 500..=599 => Self::Unavailable,
                _ => Self::Rejected,
            },
        }
    }
}

/// Why a key service did not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The answer is not what is documented; nothing of it is used.
    #[error("{service} answers {operation} in a way that cannot be used: {what}")]
    Answer {
        /// The service.
        service: &'static str,
        /// What was asked.
        operation: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// A checksum says that the request or the answer was damaged on the way.
    #[error("{service}: {operation} was damaged on the way, its checksum does not fit")]
    Checksum {
        /// The service.
        service: &'static str,
        /// What was asked.
        operation: &'static str,
    },
    /// No answer.
    #[error("{service} ({operation}): {source}")]
    Net {
        /// The service.
        service: &'static str,
        /// What was asked.
        operation: &'static str,
        /// Why.
        source: Box<NetError>,
    },
    /// The service answered and says no.
    #[error("{service} refuses {operation} ({status}): {detail}")]
    Refused {
        /// The service.
        service: &'static str,
        /// What was asked.
        operation: &'static str,
        /// What it means.
        standing: Standing,
        /// The HTTP status.
        status: u16,
        /// What the service says, shortened, without our secrets.
        detail: String,
        /// The wait that it asks for.
        retry_after: Option<Duration>,
    },
    /// The signature that came back is not one by the key.
    #[error("the signature that the service returned does not verify with the key {key}")]
    SignatureInvalid {
        /// The key.
        key: KeyId,
    },
    /// Variables, files or settings that the service needs.
    #[error("{0}")]
    Surroundings(#[from] SurroundingsError),
    /// The key is of a kind that Custos does not sign with.
    #[error("{service} holds a key of kind {found}, which Custos does not sign with")]
    UnsupportedKey {
        /// The service.
        service: &'static str,
        /// What the service calls the kind.
        found: String,
    },
    /// The service answered for another key.
    #[error("{service} answered for the key {found}, asked was {expected}")]
    WrongKey {
        /// The service.
        service: &'static str,
        /// The key that was asked for.
        expected: String,
        /// The key that the answer names.
        found: String,
    },
}

impl ServiceError {
    /// Returns what turns an error of the client into one of this call.
    pub(super) const fn net(
        service: &'static str,
        operation: &'static str,
    ) -> impl Fn(NetError) -> Self + Copy {
        move |source| Self::Net {
            service,
            operation,
            source: Box::new(source),
        }
    }

    /// Returns true if nothing was learned about the key: trying later may help.
    pub fn is_undecided(&self) -> bool {
        match self {
            Self::Net { source, .. } => matches!(source.class(), Class::Undecided),
            Self::Refused { standing, .. } => {
                matches!(standing, Standing::Throttled | Standing::Unavailable)
            }
            Self::Checksum { .. } => true,
            _ => false,
        }
    }

    /// Returns what the service says about us or the key, if it answered.
    pub const fn standing(&self) -> Option<Standing> {
        match self {
            Self::Refused { standing, .. } => Some(*standing),
            _ => None,
        }
    }

    // A time-out has cost the caller its patience already.
    fn is_worth_repeating(&self) -> bool {
        let timed_out = match self {
            Self::Net { source, .. } => matches!(**source, NetError::TimedOut { .. }),
            _ => false,
        };
        self.is_undecided() && !timed_out
    }

    const fn asked_pause(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Reads a JSON string as a secret.
pub(super) fn secret<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Secret, D::Error> {
    use serde::Deserialize as _;
    String::deserialize(deserializer).map(Secret::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_every_service() {
        for (body, shown, standing) in [
            (
                r#"{"__type":"com.amazonaws.kms#NotFoundException","message":"Key 'x'"}"#,
                "NotFoundException: Key 'x'",
                Standing::NotFound,
            ),
            (
                r#"{"__type":"InvalidSignatureException","message":"x-amz-security-token:abc"}"#,
                "InvalidSignatureException",
                Standing::Denied,
            ),
            (
                r#"{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no"}}"#,
                "PERMISSION_DENIED: no",
                Standing::Rejected,
            ),
            (
                r#"{"error":{"code":"KeyDisabled","message":"off"}}"#,
                "KeyDisabled: off",
                Standing::KeyUnusable,
            ),
            (
                r#"{"error":"invalid_client","error_description":"AADSTS7000215"}"#,
                "invalid_client: AADSTS7000215",
                Standing::Denied,
            ),
            (
                r#"{"errors":["1 error occurred:\n\t* permission denied\n"]}"#,
                "1 error occurred:  * permission denied",
                Standing::Rejected,
            ),
            ("<html>", "", Standing::Rejected),
        ] {
            let fault = Fault::read(body.as_bytes());
            assert_eq!(fault.to_string(), shown, "{body}");
            assert_eq!(Standing::of(400, &fault.code), standing, "{body}");
        }
        for (status, standing) in [
            (401, Standing::Denied),
            (403, Standing::Denied),
            (404, Standing::NotFound),
            (429, Standing::Throttled),
            (503, Standing::Unavailable),
            (409, Standing::Rejected),
        ] {
            assert_eq!(Standing::of(status, ""), standing);
        }
    }
}
