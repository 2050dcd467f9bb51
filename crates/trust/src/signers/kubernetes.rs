//! Keys in Kubernetes Secrets, in cosign's layout: `cosign.key` (encrypted), `cosign.password`,
//! `cosign.pub`.
//!
//! The API server is that of the kubeconfig, else that of the pod this runs in, as for `kubectl`.
//! Of its [API](https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/secret-v1/)
//! two routes are used: reading one Secret, and creating one. A Secret is never replaced.
//!
//! What it is not: a vault. Whoever reads the Secret has the key and its password.

mod config;
mod exec;
mod yaml;

use std::collections::BTreeMap;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::crypto::{KeyError, KeyPair, Pem, PublicKey};
use custos_core::json::{self, JsonError};
use custos_core::limits::Limits;
use custos_net::{NetError, Request, Response, Url};
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

pub use config::{Cluster, ConfigError};
pub use exec::ExecError;

use super::reference::SecretName;
use super::remote::{Api, Call, ServiceError};
use super::surroundings::Surroundings;
use crate::keys::encrypted::{self, EncryptionError};
use crate::signer::KeySigner;

const SERVICE: &str = "Kubernetes";
const KEY: &str = "cosign.key";
const PASSWORD: &str = "cosign.password";
const PUBLIC: &str = "cosign.pub";
/// Bytes of randomness in a password that nobody has to type.
const PASSWORD_BYTES: usize = 32;

/// The API server of a cluster, and who we are to it.
#[derive(Debug)]
pub struct Kubernetes {
    api: Api,
    server: Url,
    credentials: config::Credentials,
}

impl Kubernetes {
    /// Finds the cluster: `KUBECONFIG`, `~/.kube/config`, else the service account of the pod.
    pub fn find(surroundings: &Surroundings) -> Result<Self, KubernetesError> {
        let cluster = Cluster::find(surroundings).map_err(KubernetesError::Config)?;
        Self::connect(cluster, surroundings)
    }

    /// Prepares calls of a cluster; none is made.
    pub fn connect(cluster: Cluster, surroundings: &Surroundings) -> Result<Self, KubernetesError> {
        let (server, roots, credentials) = cluster.into_parts();
        let net = |error| KubernetesError::Service(ServiceError::net(SERVICE, "connecting")(error));
        let mut settings = surroundings.settings(&server, roots).map_err(net)?;
        if let Some(identity) = credentials.identity().map_err(net)? {
            settings = settings.with_identity(identity);
        }
        let client = custos_net::Client::new(settings).map_err(net)?;
        Ok(Self {
            api: Api::new(SERVICE, client, surroundings),
            server,
            credentials,
        })
    }

    /// Returns a signer with the key of a Secret.
    pub fn signer(&self, name: &SecretName) -> Result<KeySigner, KubernetesError> {
        let secret = self.read(name)?;
        let pair = secret.pair(name)?;
        // Who verifies with `cosign.pub` must be able to verify what this key signs.
        if let Some(public) = secret.public(name)?
            && &public != pair.public_key()
        {
            return Err(KubernetesError::KeysDiffer {
                secret: name.clone(),
            });
        }
        Ok(KeySigner::new(pair))
    }

    /// Returns the public key of a Secret, without touching the private key.
    pub fn public_key(&self, name: &SecretName) -> Result<PublicKey, KubernetesError> {
        self.read(name)?
            .public(name)?
            .ok_or_else(|| KubernetesError::Field {
                secret: name.clone(),
                field: PUBLIC,
            })
    }

    /// Stores a key in a new, immutable Secret, encrypted with a fresh random password that lies
    /// beside it, as `cosign generate-key-pair k8s://...` does.
    pub fn create(&self, name: &SecretName, pair: &KeyPair) -> Result<(), KubernetesError> {
        let password = random_password()?;
        let pem = encrypted::encrypt(pair, password.as_bytes()).map_err(|source| {
            KubernetesError::Key {
                secret: name.clone(),
                source,
            }
        })?;
        let public = pair.public_key().to_pem();
        let data = [
            (KEY, pem.to_text()),
            (PASSWORD, password.as_str().to_owned()),
            (PUBLIC, public),
        ];
        let new = NewSecret {
            api_version: "v1",
            kind: "Secret",
            r#type: "Opaque",
            metadata: Metadata {
                name: name.name(),
                namespace: name.namespace(),
            },
            immutable: true,
            data: data
                .into_iter()
                .map(|(field, text)| {
                    let text = Zeroizing::new(text);
                    (
                        field,
                        Text(Zeroizing::new(STANDARD.encode(text.as_bytes()))),
                    )
                })
                .collect(),
        };
        let body = Zeroizing::new(json::to_vec(&new).map_err(KubernetesError::Json)?);
        let path = format!("/api/v1/namespaces/{}/secrets", name.namespace());
        let outcome = self.call("creating the Secret", &path, Some(&body));
        match outcome {
            Ok(_) => Ok(()),
            Err(KubernetesError::Service(ServiceError::Refused { status: 409, .. })) => {
                Err(KubernetesError::Exists {
                    secret: name.clone(),
                })
            }
            Err(error) => Err(error),
        }
    }

    fn read(&self, name: &SecretName) -> Result<Secret, KubernetesError> {
        let path = format!(
            "/api/v1/namespaces/{}/secrets/{}",
            name.namespace(),
            name.name()
        );
        let answer = self.call("reading the Secret", &path, None)?;
        // A Secret has at most 1 MiB, which base64 makes larger.
        let limits = Limits::SMALL.with_max_bytes(2 << 20);
        let secret: Secret =
            json::from_slice(answer.body(), &limits).map_err(|_| ServiceError::Answer {
                service: SERVICE,
                operation: "reading the Secret",
                what: "it is not a Secret",
            })?;
        let found = &secret.metadata;
        if secret.kind.as_deref().is_some_and(|kind| kind != "Secret")
            || found.name != name.name()
            || found.namespace != name.namespace()
        {
            return Err(KubernetesError::Service(ServiceError::WrongKey {
                service: SERVICE,
                expected: name.to_string(),
                found: format!("{}/{}", found.namespace, found.name),
            }));
        }
        Ok(secret)
    }

    fn call(
        &self,
        operation: &'static str,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<Response, KubernetesError> {
        let url = self
            .server
            .with_path(&format!(
                "{}{path}",
                self.server.path().trim_end_matches('/')
            ))
            .map_err(|error| ServiceError::net(SERVICE, operation)(NetError::Url(error)))?;
        let mut request = match body {
            Some(body) => Request::post(url, "application/json", body),
            None => Request::get(url),
        }
        .with_header("accept", "application/json");
        let authorization = self
            .credentials
            .authorization()
            .map_err(KubernetesError::Config)?;
        if let Some(value) = &authorization {
            request = request.with_secret_header("authorization", value.clone());
        }
        // Neither the header nor what stands in it behind `Bearer`.
        let bare = authorization
            .iter()
            .filter_map(|value| value.expose().split_once(' '))
            .map(|(_, token)| custos_net::Secret::from(token));
        let bare: Vec<_> = bare.collect();
        let secrets: Vec<_> = bare.iter().collect();
        Ok(self.api.bytes(&Call {
            operation,
            request,
            secrets: &secrets,
        })?)
    }
}

fn random_password() -> Result<Zeroizing<String>, KubernetesError> {
    let mut bytes = Zeroizing::new([0_u8; PASSWORD_BYTES]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| KubernetesError::NoRandomness)?;
    Ok(Zeroizing::new(hex::encode(bytes.as_slice())))
}

/// A text that is erased when dropped.
#[derive(Serialize)]
#[serde(transparent)]
struct Text(#[serde(serialize_with = "plain")] Zeroizing<String>);

fn plain<S: serde::Serializer>(text: &Zeroizing<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewSecret<'a> {
    api_version: &'static str,
    kind: &'static str,
    r#type: &'static str,
    metadata: Metadata<'a>,
    immutable: bool,
    data: BTreeMap<&'static str, Text>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
}

#[derive(Deserialize)]
struct Secret {
    kind: Option<String>,
    metadata: FoundMetadata,
    #[serde(default)]
    data: BTreeMap<String, Text>,
}

#[derive(Deserialize)]
struct FoundMetadata {
    name: String,
    namespace: String,
}

impl Secret {
    fn field(
        &self,
        name: &SecretName,
        field: &'static str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, KubernetesError> {
        let Some(text) = self.data.get(field) else {
            return Ok(None);
        };
        match STANDARD.decode(text.0.as_bytes()) {
            Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
            Err(_) => Err(KubernetesError::Field {
                secret: name.clone(),
                field,
            }),
        }
    }

    fn text(
        &self,
        name: &SecretName,
        field: &'static str,
    ) -> Result<Option<Zeroizing<String>>, KubernetesError> {
        let Some(bytes) = self.field(name, field)? else {
            return Ok(None);
        };
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Some(Zeroizing::new(text.to_owned()))),
            Err(_) => Err(KubernetesError::Field {
                secret: name.clone(),
                field,
            }),
        }
    }

    fn public(&self, name: &SecretName) -> Result<Option<PublicKey>, KubernetesError> {
        let Some(text) = self.text(name, PUBLIC)? else {
            return Ok(None);
        };
        match PublicKey::from_pem(&text) {
            Ok(key) => Ok(Some(key)),
            Err(source) => Err(KubernetesError::Key {
                secret: name.clone(),
                source: EncryptionError::Key(source),
            }),
        }
    }

    fn pair(&self, name: &SecretName) -> Result<KeyPair, KubernetesError> {
        let key = |source| KubernetesError::Key {
            secret: name.clone(),
            source,
        };
        let text = self
            .text(name, KEY)?
            .ok_or_else(|| KubernetesError::Field {
                secret: name.clone(),
                field: KEY,
            })?;
        let pem =
            Pem::parse(&text).map_err(|error| key(EncryptionError::Key(KeyError::Pem(error))))?;
        if !encrypted::is_encrypted(&pem) {
            return KeyPair::from_pem(&text).map_err(|error| key(EncryptionError::Key(error)));
        }
        let password = self
            .field(name, PASSWORD)?
            .ok_or_else(|| KubernetesError::Field {
                secret: name.clone(),
                field: PASSWORD,
            })?;
        encrypted::decrypt(&pem, &password).map_err(key)
    }
}

/// Reads a kubeconfig.
#[doc(hidden)]
pub fn fuzz_kubeconfig(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        config::read_only(text);
    }
}

/// Why a key in a Secret was not read or not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KubernetesError {
    /// The cluster is not configured in a way that can be used.
    #[error("{0}")]
    Config(ConfigError),
    /// There is a Secret of that name.
    #[error("{secret} exists already; a key is never overwritten")]
    Exists {
        /// The Secret.
        secret: SecretName,
    },
    /// A field is missing, or not base64 of a text.
    #[error("{secret} has no usable field `{field}`; it is not a Secret in cosign's layout")]
    Field {
        /// The Secret.
        secret: SecretName,
        /// The field.
        field: &'static str,
    },
    /// Not JSON; never seen with what is written here.
    #[error("{0}")]
    Json(JsonError),
    /// A key does not open, or is of a kind that is not supported.
    #[error("{secret}: {source}")]
    Key {
        /// The Secret.
        secret: SecretName,
        /// What is wrong.
        source: EncryptionError,
    },
    /// `cosign.pub` is not the public key of `cosign.key`.
    #[error("{secret}: `{PUBLIC}` is not the public key of `{KEY}`")]
    KeysDiffer {
        /// The Secret.
        secret: SecretName,
    },
    /// The system gave no random bytes.
    #[error("the system's random source failed")]
    NoRandomness,
    /// The API server did not help.
    #[error("{0}")]
    Service(#[from] ServiceError),
}

#[cfg(test)]
mod tests;
