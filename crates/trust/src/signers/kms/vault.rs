//! The transit engine of `HashiCorp` Vault and `OpenBao`
//! ([API](https://developer.hashicorp.com/vault/api-docs/secret/transit)).
//!
//! `VAULT_ADDR`, `VAULT_TOKEN` or the file `~/.vault-token`, `VAULT_NAMESPACE`, `VAULT_CACERT`,
//! and `TRANSIT_SECRET_ENGINE_PATH` (default `transit`), as cosign reads them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::crypto::{PublicKey, Scheme};
use custos_core::dsse::Base64;
use custos_net::{Request, Roots, Secret, Url, percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::reference::VaultKey;
use super::super::remote::{Api, Call, KeyService, RemoteSigner, ServiceError};
use super::super::surroundings::{Surroundings, SurroundingsError, read_file, read_text};
use super::{body, encode, usable};

const SERVICE: &str = "Vault";

/// Opens a key at its latest version.
pub(super) fn open(
    key: &VaultKey,
    surroundings: &Surroundings,
) -> Result<RemoteSigner, ServiceError> {
    let vault = Vault::connect(surroundings)?;
    let found: Answer<KeyAnswer> =
        vault.call("reading the key", &format!("keys/{}", key.name()), None)?;
    let (version, kind) = (found.data.latest_version, found.data.kind);
    let public = found
        .data
        .keys
        .get(&version.to_string())
        .and_then(|version| version.public_key.as_deref())
        .and_then(|pem| PublicKey::from_pem(pem).ok());
    let public = usable(SERVICE, &kind, public)?;
    Ok(RemoteSigner::new(
        public,
        Opened {
            name: format!("{} version {version} at {}", key.name(), vault.base),
            vault,
            key: key.name().to_owned(),
            version,
        },
    ))
}

struct Opened {
    vault: Vault,
    key: String,
    version: u32,
    name: String,
}

impl KeyService for Opened {
    fn sign_digest(&self, scheme: Scheme, digest: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let hash = match scheme {
            Scheme::EcdsaP256 | Scheme::RsaPkcs1Sha256(_) => "sha2-256",
            Scheme::EcdsaP384 => "sha2-384",
            _ => "sha2-512",
        };
        let request = body(&Sign {
            input: encode(digest),
            prehashed: true,
            hash_algorithm: hash,
            marshaling_algorithm: "asn1",
            // Without this word it pads RSA by PSS.
            signature_algorithm: scheme.key_kind().is_rsa().then_some("pkcs1v15"),
            key_version: self.version,
        })?;
        let found: Answer<SignAnswer> =
            self.vault
                .call("signing", &format!("sign/{}", self.key), Some(request))?;
        // `vault:v1:BASE64`
        let text = &found.data.signature;
        let version = format!("vault:v{}:", self.version);
        let Some(signature) = text.strip_prefix(&version) else {
            return Err(ServiceError::WrongKey {
                service: SERVICE,
                expected: version,
                found: text.chars().take(12).collect(),
            });
        };
        STANDARD
            .decode(signature)
            .map_err(|_| ServiceError::Answer {
                service: SERVICE,
                operation: "signing",
                what: "the signature is not in base64",
            })
    }

    fn key_name(&self) -> &str {
        &self.name
    }
}

struct Vault {
    api: Api,
    base: Url,
    engine: String,
    token: Secret,
    namespace: Option<String>,
}

impl Vault {
    fn connect(surroundings: &Surroundings) -> Result<Self, ServiceError> {
        let base = surroundings
            .url_var("VAULT_ADDR")?
            .ok_or(SurroundingsError::Missing {
                what: "VAULT_ADDR",
                help: "set it to the address of Vault, such as https://vault.example:8200",
            })?;
        let roots = match surroundings.path_var("VAULT_CACERT") {
            Some(path) => Roots::only_pem(&read_file(&path)?),
            None => Ok(Roots::System),
        };
        let net = ServiceError::net(SERVICE, "connecting");
        let client = surroundings
            .client(&base, roots.map_err(net)?)
            .map_err(net)?;
        let engine = surroundings
            .var("TRANSIT_SECRET_ENGINE_PATH")
            .unwrap_or_else(|| "transit".to_owned());
        // The path of a mount may have several segments.
        let engine: Vec<String> = engine.split('/').map(percent_encode).collect();
        Ok(Self {
            api: Api::new(SERVICE, client, surroundings),
            base,
            engine: engine.join("/"),
            token: token(surroundings)?,
            namespace: surroundings.var("VAULT_NAMESPACE"),
        })
    }

    fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        below: &str,
        body: Option<Vec<u8>>,
    ) -> Result<T, ServiceError> {
        let path = format!("/v1/{}/{below}", self.engine);
        let url = self
            .base
            .with_path(&path)
            .map_err(|_| ServiceError::Answer {
                service: SERVICE,
                operation,
                what: "no URL",
            })?;
        let mut request = match body {
            Some(body) => Request::post(url, "application/json", body),
            None => Request::get(url),
        }
        .with_header("x-vault-request", "true")
        .with_secret_header("x-vault-token", self.token.clone());
        if let Some(namespace) = &self.namespace {
            request = request.with_header("x-vault-namespace", namespace);
        }
        self.api.json(&Call {
            operation,
            request,
            secrets: &[&self.token],
        })
    }
}

fn token(surroundings: &Surroundings) -> Result<Secret, ServiceError> {
    if let Some(token) = surroundings.var("VAULT_TOKEN") {
        return Ok(token.into());
    }
    let file = surroundings
        .at_home(".vault-token")
        .filter(|path| path.is_file())
        .ok_or(SurroundingsError::Missing {
            what: "the Vault token",
            help: "set VAULT_TOKEN, or run `vault login`",
        })?;
    Ok(Secret::new(read_text(&file)?.as_str()))
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct KeyAnswer {
    #[serde(rename = "type")]
    kind: String,
    latest_version: u32,
    keys: BTreeMap<String, KeyVersion>,
}

// Keys that do not sign have numbers here, keys that do have objects.
#[derive(Deserialize)]
#[serde(from = "serde_json::Value")]
struct KeyVersion {
    public_key: Option<String>,
}

impl From<serde_json::Value> for KeyVersion {
    fn from(value: serde_json::Value) -> Self {
        let public_key = value.get("public_key").and_then(serde_json::Value::as_str);
        Self {
            public_key: public_key.map(str::to_owned),
        }
    }
}

#[derive(Serialize)]
struct Sign {
    input: Base64,
    prehashed: bool,
    hash_algorithm: &'static str,
    marshaling_algorithm: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_algorithm: Option<&'static str>,
    key_version: u32,
}

#[derive(Deserialize)]
struct SignAnswer {
    signature: String,
}

#[cfg(test)]
mod tests;
