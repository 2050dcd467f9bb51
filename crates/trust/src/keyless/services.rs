//! The services of a signing configuration, asked in order, their answers verified.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use custos_core::bundle::TransparencyLogEntry;
use custos_core::clock::{Clock, Timestamp};
use custos_core::crypto::KeyPair;
use custos_net::{Class, Client, Guard, NetError, Proxy, Roots, Secret, Settings, Url};

use super::config::{ConfigError, Endpoint, SigningConfig};
use super::token::{AUDIENCE, IdentityToken, TokenError};
use super::trusted::{Distrust, TrustedServices, Vouched};
use super::{fulcio, rekor, tsa};
use crate::signer::Fresh;
use crate::signers::Surroundings;

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

    /// Gets timestamps over a signature. `until` is when its certificate ends, if it has one: then
    /// a trusted time is needed, and logs of version 2 give none.
    pub(super) fn timestamps(
        &self,
        signature: &[u8],
        until: Option<Timestamp>,
    ) -> Result<Vec<Vec<u8>>, KeylessError> {
        let now = self.now();
        let authorities = self.config.timestamps(now).map_err(KeylessError::Config)?;
        let logs = self.config.logs(now).map_err(KeylessError::Config)?;
        let timeless = logs.iter().all(|log| log.major_api_version >= 2);
        if until.is_some() && timeless && authorities.is_empty() {
            let kind = "timestamp authority";
            return Err(KeylessError::Config(ConfigError::NoService { kind }));
        }
        let stamps = authorities.into_iter();
        stamps
            .map(|authority| self.stamp(authority, signature, until))
            .collect()
    }

    /// Enters a signature into the logs.
    pub(super) fn publish(
        &self,
        fresh: &Fresh<'_>,
    ) -> Result<Vec<TransparencyLogEntry>, KeylessError> {
        let logs = self.config.logs(self.now()).map_err(KeylessError::Config)?;
        logs.into_iter().map(|log| self.log(log, fresh)).collect()
    }

    fn stamp(
        &self,
        endpoint: &Endpoint,
        signature: &[u8],
        until: Option<Timestamp>,
    ) -> Result<Vec<u8>, KeylessError> {
        let service = Service::Timestamp;
        let distrust = |why| KeylessError::Untrusted { service, why };
        let response = tsa::stamp(&self.client, &parsed(endpoint)?, signature)
            .map_err(|error| KeylessError::from(Failed { service, error }))?;
        let at = self
            .trusted
            .stamped(&response, signature)
            .map_err(distrust)?;
        if until.is_some_and(|until| until < at) {
            return Err(distrust(Distrust::TimeOutside { at }));
        }
        Ok(response)
    }

    fn log(
        &self,
        endpoint: &Endpoint,
        fresh: &Fresh<'_>,
    ) -> Result<TransparencyLogEntry, KeylessError> {
        let service = Service::Log;
        let url = parsed(endpoint)?;
        if endpoint.major_api_version < 2 {
            return rekor::create_v1(&self.client, &url, fresh);
        }
        let proof = rekor::create(&self.client, &url, None, fresh.leaf)?;
        let recorded = self
            .trusted
            .logged(fresh.leaf, &proof, self.now())
            .map_err(|why| KeylessError::Untrusted { service, why })?;
        Ok(recorded.to_entry(fresh.leaf))
    }
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
