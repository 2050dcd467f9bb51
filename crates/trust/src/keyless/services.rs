//! The services of a signing configuration, asked in order, their answers verified.
//!
//! A service that does not answer is *away*: another of its kind stands in for it where the
//! configuration leaves the choice, and what then still lacks can be had later ([`Progress`]). One
//! that answers no, or something that does not verify, is an error at once.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use custos_core::bundle::{Bundle, TransparencyLogEntry, VerificationMaterial};
use custos_core::clock::{Clock, Timestamp};
use custos_core::crypto::KeyPair;
use custos_core::dsse::{Base64, Envelope};
use custos_net::{Class, Client, Guard, NetError, Proxy, Roots, Secret, Settings, Url};
use serde::{Deserialize, Serialize};

use super::config::{Choice, ConfigError, Endpoint, SigningConfig};
use super::token::{AUDIENCE, IdentityToken, TokenError};
use super::trusted::{Distrust, TrustedServices, Vouched};
use super::{fulcio, rekor, tsa};
use crate::signers::Surroundings;
use crate::verify::Certificate;

/// Rekor v2 answers once a checkpoint is published, which may take ten seconds and more.
const TOTAL_TIME: Duration = Duration::from_mins(1);
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// A signing service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Service {
    /// The certificate authority.
    Authority,
    /// Who issues ID tokens.
    Issuer,
    /// The transparency log.
    Log,
    /// The timestamp authority.
    Timestamp,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authority => "certificate authority",
            Self::Issuer => "token issuer",
            Self::Log => "log",
            Self::Timestamp => "timestamp authority",
        })
    }
}

/// Signing services that are trusted.
pub struct Services {
    config: SigningConfig,
    trusted: TrustedServices,
    client: Client,
    clock: Arc<dyn Clock>,
    description: Option<Description>,
}

impl Services {
    /// Returns the services that `config` names and `trusted` vouches for. Nothing is called yet.
    ///
    /// Calls go to the servers of the configuration and to public ones alone; `roots` are the
    /// authorities of their TLS certificates.
    pub fn new(
        config: SigningConfig,
        trusted: TrustedServices,
        roots: Roots,
        surroundings: &Surroundings,
    ) -> Result<Self, KeylessError> {
        let settings = KeylessError::Settings;
        let mut guard = Guard::public();
        let mut nearby = false;
        let kinds = [
            &config.ca_urls,
            &config.oidc_urls,
            &config.rekor_tlog_urls,
            &config.tsa_urls,
        ];
        for endpoint in kinds.into_iter().flatten() {
            let url = parsed(endpoint)?;
            guard = guard.naming(&url);
            nearby |= is_nearby(&url);
        }
        // A proxy has no way to this machine.
        let proxy = if nearby {
            None
        } else {
            Proxy::from_vars(&|name| surroundings.var(name)).map_err(settings)?
        };
        let settings = Settings::new(guard)
            .with_roots(roots)
            .with_proxy(proxy)
            .with_times(CONNECT_TIME, TOTAL_TIME);
        Ok(Self {
            client: Client::new(settings).map_err(KeylessError::Settings)?,
            config,
            trusted,
            clock: surroundings.shared_clock(),
            description: None,
        })
    }

    /// Returns the configuration.
    pub const fn config(&self) -> &SigningConfig {
        &self.config
    }

    /// Returns the issuer that people get tokens from.
    pub fn issuer(&self) -> Result<String, KeylessError> {
        let endpoint = self
            .config
            .issuer(self.now())
            .map_err(KeylessError::Config)?;
        Ok(endpoint.url.clone())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Gets a certificate for `pair`, of whom the token names and of nobody else.
    pub(super) fn certificate(
        &self,
        token: &IdentityToken,
        pair: &KeyPair,
    ) -> Result<(Vec<u8>, Vouched), KeylessError> {
        let now = self.now();
        token.check(AUDIENCE, now).map_err(KeylessError::Token)?;
        let endpoint = self.config.authority(now).map_err(KeylessError::Config)?;
        let leaf = fulcio::certificate(&self.client, &parsed(endpoint)?, token, pair)?;
        let distrust = |why| KeylessError::Untrusted {
            service: Service::Authority,
            why,
        };
        // It was issued a moment ago, by a clock that need not be ours.
        let now = self.now();
        let vouched = self
            .trusted
            .vouch(&leaf, pair.public_key(), now)
            .map_err(distrust)?;
        if token.is_of(&vouched.identity, &vouched.issuer) {
            Ok((leaf, vouched))
        } else {
            Err(distrust(Distrust::OtherIdentity {
                found: vouched.identity,
                issuer: vouched.issuer,
            }))
        }
    }

    /// Returns where these services are described, if [`Services::described`] said so.
    pub const fn description(&self) -> Option<&Description> {
        self.description.as_ref()
    }

    /// Returns them with where they are described, for whoever asks them again later.
    pub fn described(self, description: Description) -> Self {
        Self {
            description: Some(description),
            ..self
        }
    }

    /// Gets the timestamps and log entries that a signature lacks, timestamps first, and returns
    /// which service is away, if one is.
    pub fn complete(
        &self,
        fresh: &Fresh<'_>,
        progress: &mut Progress,
    ) -> Result<Option<KeylessError>, KeylessError> {
        match self.stamp(fresh, progress)? {
            None => self.publish(fresh, progress),
            away => Ok(away),
        }
    }

    /// Gets the timestamps that a signature lacks, and returns which authority is away, if one is.
    ///
    /// A certificate of some minutes needs a time while it counts, and logs of version 2 give none:
    /// then an authority that is away is an error.
    pub(crate) fn stamp(
        &self,
        fresh: &Fresh<'_>,
        progress: &mut Progress,
    ) -> Result<Option<KeylessError>, KeylessError> {
        let now = self.now();
        let choice = self.config.timestamps(now).map_err(KeylessError::Config)?;
        if fresh.is_keyless {
            let logs = self.config.logs(now).map_err(KeylessError::Config)?;
            let timeless = logs.preferred().iter().all(|log| is_timeless(log));
            if timeless && choice.candidates.is_empty() {
                let kind = "timestamp authority";
                return Err(KeylessError::Config(ConfigError::NoService { kind }));
            }
            if fresh.is_late {
                return Ok(None);
            }
        }
        let done: Vec<&str> = progress.stamps.iter().map(|one| one.url.as_str()).collect();
        let (lacks, open) = choice.left(&done);
        let asked = ask((lacks, &open), |authority| {
            let response = Base64(self.stamp_by(authority, fresh)?);
            let url = authority.url.clone();
            progress.stamps.push(Stamp { url, response });
            Ok(())
        })?;
        match asked {
            Some(away) if fresh.is_keyless => Err(away),
            asked => Ok(asked),
        }
    }

    /// Enters a signature into the logs that lack it, and returns which log is away, if one is.
    ///
    /// What was signed keyless can wait for a log of version 2 alone, and only with a timestamp:
    /// the time that version 1 gives to an entry of later is not one at which the certificate
    /// counted.
    pub(crate) fn publish(
        &self,
        fresh: &Fresh<'_>,
        progress: &mut Progress,
    ) -> Result<Option<KeylessError>, KeylessError> {
        let choice = self.config.logs(self.now()).map_err(KeylessError::Config)?;
        let done: Vec<&str> = progress
            .entries
            .iter()
            .map(|one| one.url.as_str())
            .collect();
        let (lacks, mut open) = choice.left(&done);
        if fresh.is_keyless && fresh.is_late {
            open.retain(|log| is_timeless(log));
        }
        if open.len() < lacks {
            let kind = "log";
            return Err(KeylessError::Config(ConfigError::NoService { kind }));
        }
        let away = ask((lacks, &open), |log| {
            let entry = self.enter(log, fresh)?;
            let url = log.url.clone();
            progress.entries.push(Entered { url, entry });
            Ok(())
        })?;
        match away {
            Some(away) if fresh.is_keyless && !may_wait(&choice, progress) => Err(away),
            away => Ok(away),
        }
    }

    fn stamp_by(&self, endpoint: &Endpoint, fresh: &Fresh<'_>) -> Result<Vec<u8>, KeylessError> {
        let service = Service::Timestamp;
        let distrust = |why| KeylessError::Untrusted { service, why };
        let response = tsa::stamp(&self.client, &parsed(endpoint)?, fresh.signature)
            .map_err(|error| KeylessError::from(Failed { service, error }))?;
        let at = self
            .trusted
            .stamped(&response, fresh.signature)
            .map_err(distrust)?;
        if fresh.ends.is_some_and(|ends| ends < at) {
            return Err(distrust(Distrust::TimeOutside { at }));
        }
        Ok(response)
    }

    fn enter(
        &self,
        endpoint: &Endpoint,
        fresh: &Fresh<'_>,
    ) -> Result<TransparencyLogEntry, KeylessError> {
        let service = Service::Log;
        let url = parsed(endpoint)?;
        let entry = if is_timeless(endpoint) {
            rekor::create(&self.client, &url, None, fresh.leaf)?
        } else {
            rekor::create_v1(&self.client, &url, fresh)?
        };
        let distrust = |why| KeylessError::Untrusted { service, why };
        let at = self.trusted.logged(&entry, fresh, self.now());
        match at.map_err(distrust)? {
            Some(at) if fresh.ends.is_some_and(|ends| ends < at) => {
                Err(distrust(Distrust::TimeOutside { at }))
            }
            _ => Ok(entry),
        }
    }
}

// Asks as many services as lack, and others in place of those that are away. Returns the first of
// these if the others did not make up for it.
fn ask(
    (mut lacks, open): (usize, &[&Endpoint]),
    mut call: impl FnMut(&Endpoint) -> Result<(), KeylessError>,
) -> Result<Option<KeylessError>, KeylessError> {
    let mut away = None;
    for endpoint in open {
        if lacks == 0 {
            return Ok(None);
        }
        match call(endpoint) {
            Ok(()) => lacks = lacks.saturating_sub(1),
            Err(error @ KeylessError::Unreachable { .. }) => {
                away.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(away.filter(|_| lacks > 0))
}

fn may_wait(choice: &Choice<'_>, progress: &Progress) -> bool {
    let done: Vec<&str> = progress
        .entries
        .iter()
        .map(|one| one.url.as_str())
        .collect();
    let (lacks, open) = choice.left(&done);
    !progress.stamps.is_empty() && open.iter().filter(|log| is_timeless(log)).count() >= lacks
}

// Since version 2, logs vouch for no time.
const fn is_timeless(log: &Endpoint) -> bool {
    log.major_api_version >= 2
}

/// Files that describe services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(clippy::exhaustive_structs, reason = "two paths with names")]
pub struct Description {
    /// Which there are.
    pub signing_config: PathBuf,
    /// Whether they are believed.
    pub trusted_root: PathBuf,
}

/// A signature as services see it.
#[derive(Debug, Clone, Copy)]
pub struct Fresh<'a> {
    pub(super) signature: &'a [u8],
    // Its entry in a log (Rekor v2).
    pub(super) leaf: &'a [u8],
    // Unless a file itself was signed.
    pub(super) envelope: Option<&'a Envelope>,
    // The last moment of its certificate, if it has one.
    ends: Option<Timestamp>,
    is_keyless: bool,
    // It was not made a moment ago.
    is_late: bool,
}

impl<'a> Fresh<'a> {
    /// Returns the signature of a bundle, whose log entry has this leaf; `None` if there is none.
    pub fn of(bundle: &'a Bundle, leaf: &'a [u8]) -> Option<Self> {
        let envelope = bundle.dsse_envelope.as_ref();
        let message = bundle.message_signature.as_ref();
        let signature = match (envelope, message) {
            (Some(envelope), _) => &envelope.signatures.first()?.sig,
            (None, message) => &message?.signature,
        };
        let material = &bundle.verification_material;
        let chain = material.x509_certificate_chain.as_ref();
        let first = chain.and_then(|chain| chain.certificates.first());
        let certificate = material.certificate.as_ref().or(first);
        let certificate = certificate.map(|leaf| Certificate::parse(leaf.raw_bytes.as_slice()));
        Some(Self {
            signature: signature.as_slice(),
            leaf,
            envelope,
            ends: certificate.transpose().ok()?.map(|leaf| leaf.validity().1),
            is_keyless: material.certificate.is_some(),
            is_late: false,
        })
    }

    /// Returns it as one that was made some time ago.
    pub const fn late(self) -> Self {
        Self {
            is_late: true,
            ..self
        }
    }
}

/// How far services have come with one signature.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Progress {
    /// Timestamps over it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stamps: Vec<Stamp>,
    /// Its entries in logs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Entered>,
}

impl Progress {
    /// Returns a bundle with its timestamps.
    pub fn stamped(&self, bundle: &Bundle) -> Bundle {
        let mut bundle = bundle.clone();
        let material = std::mem::take(&mut bundle.verification_material);
        let stamps = self.stamps.iter().map(|stamp| stamp.response.0.clone());
        bundle.verification_material = stamps.fold(material, VerificationMaterial::with_timestamp);
        bundle
    }

    /// Returns a bundle with its timestamps and entries, if it has entries.
    pub fn published(&self, bundle: &Bundle) -> Option<Bundle> {
        let mut bundle = (!self.entries.is_empty()).then(|| self.stamped(bundle))?;
        let material = std::mem::take(&mut bundle.verification_material);
        let entries = self.entries.iter().map(|one| one.entry.clone());
        bundle.verification_material = entries.fold(material, VerificationMaterial::with_entry);
        Some(bundle)
    }
}

/// A timestamp, and who gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Stamp {
    /// The authority's address.
    pub url: String,
    /// DER of a `TimeStampResp`.
    pub response: Base64,
}

/// An entry, and the log that it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Entered {
    /// The log's address.
    pub url: String,
    /// The entry, with its proof.
    pub entry: TransparencyLogEntry,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("trusted", &self.trusted)
            .finish_non_exhaustive()
    }
}

fn is_nearby(url: &Url) -> bool {
    let origin = url.origin();
    origin.host() == "localhost" || origin.address().is_some_and(|ip| ip.is_loopback())
}

fn parsed(endpoint: &Endpoint) -> Result<Url, KeylessError> {
    endpoint.url.parse().map_err(|_| KeylessError::NotAUrl {
        text: endpoint.url.chars().take(200).collect(),
    })
}

/// Returns the address of a route below a service's base.
pub(super) fn below(base: &Url, route: &str) -> Result<Url, KeylessError> {
    let path = format!("{}{route}", base.path().trim_end_matches('/'));
    base.with_path(&path).map_err(|_| KeylessError::NotAUrl {
        text: base.to_string(),
    })
}

/// A call of a service that brought no good answer.
pub(super) struct Failed {
    pub(super) service: Service,
    pub(super) error: NetError,
}

impl Failed {
    /// Returns the error without `secret`, should the service have repeated it.
    pub(super) fn hiding(self, secret: &Secret) -> KeylessError {
        let hidden = match self.error {
            NetError::Status {
                url,
                code,
                body,
                retry_after,
            } => NetError::Status {
                url,
                code,
                // Cut off by the client, perhaps in the middle of the secret.
                body: hide(&body, secret),
                retry_after,
            },
            other => other,
        };
        Self {
            error: hidden,
            ..self
        }
        .into()
    }
}

// Each part of a token alone would do for a while: all are taken out, also where they are cut off.
fn hide(text: &str, secret: &Secret) -> String {
    let mut text = secret.redact(text);
    for part in secret.expose().split('.') {
        let start = part.get(..16).unwrap_or(part);
        while start.len() >= 8
            && let Some(at) = text.find(start)
        {
            let rest = text.get(at..).unwrap_or_default();
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
                .map_or(text.len(), |length| at.saturating_add(length));
            text.replace_range(at..end, "[secret]");
        }
    }
    text
}

impl From<Failed> for KeylessError {
    fn from(failed: Failed) -> Self {
        let Failed { service, error } = failed;
        match error.class() {
            Class::Undecided => Self::Unreachable { service, error },
            Class::Rejected => Self::Refused { service, error },
            _ => Self::NotCalled { service, error },
        }
    }
}

/// Why there is no complete keyless signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeylessError {
    /// The signing configuration.
    #[error("{0}")]
    Config(ConfigError),
    /// The certificate has ended before the signature was made.
    #[error("the certificate ended at {at}, before the signature was made")]
    Ended {
        /// When.
        at: Timestamp,
    },
    /// The key of this one signature could not be made or used.
    #[error("the short-lived key: {0}")]
    Key(String),
    /// Nobody logged in.
    #[error("nobody logged in: {why}")]
    Login {
        /// Why.
        why: String,
    },
    /// An answer is not in its form.
    #[error("the {service} gave {what}")]
    Malformed {
        /// Which service.
        service: Service,
        /// What it was.
        what: &'static str,
    },
    /// A service's address is none.
    #[error("`{text}` is not the address of a service")]
    NotAUrl {
        /// The text.
        text: String,
    },
    /// Somebody else answered, or the call was never made.
    #[error("the {service}: {error}")]
    NotCalled {
        /// Which service.
        service: Service,
        /// Why.
        error: NetError,
    },
    /// Nobody gives a token.
    #[error("{why}")]
    NoToken {
        /// Where it was looked for, and what lacks there.
        why: String,
    },
    /// A service says no.
    #[error("the {service} refuses: {error}")]
    Refused {
        /// Which service.
        service: Service,
        /// What it says.
        error: NetError,
    },
    /// Roots, proxy or guard of the client.
    #[error("{0}")]
    Settings(NetError),
    /// The token.
    #[error("{0}")]
    Token(TokenError),
    /// A service did not answer.
    #[error("the {service}: {error}")]
    Unreachable {
        /// Which service.
        service: Service,
        /// Why.
        error: NetError,
    },
    /// An answer does not verify.
    #[error("the {service}'s answer is not believed: {why}")]
    Untrusted {
        /// Which service.
        service: Service,
        /// Why not.
        why: Distrust,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_token_is_repeated() {
        let part = |letter: &str| letter.repeat(40);
        let token = Secret::new(format!("{}.{}.{}", part("a"), part("b"), part("c")));
        let whole = format!("bad token: {}", token.expose());
        assert_eq!(hide(&whole, &token), "bad token: [secret]");
        let cut = &whole[..whole.len() - 50];
        let shown = hide(cut, &token);
        assert!(
            !shown.contains("aaaaaaaa") && !shown.contains("bbbbbbbb"),
            "{shown}"
        );
        let claims = format!("claims {} are wrong", part("b"));
        assert_eq!(hide(&claims, &token), "claims [secret] are wrong");
        assert_eq!(hide("nothing of it", &token), "nothing of it");
    }
}
