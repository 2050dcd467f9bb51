//! Azure Key Vault
//! ([REST reference](https://learn.microsoft.com/en-us/rest/api/keyvault/keys/)).
//!
//! Credentials: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`; or with
//! `AZURE_FEDERATED_TOKEN_FILE` in place of the secret (workload identity); or the managed
//! identity of the machine.

use std::sync::Mutex;

use custos_core::crypto::{KeyKind, PublicKey, Scheme};
use custos_net::{Request, Roots, Secret, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::reference::AzureKey;
use super::super::remote::{Api, Call, KeyService, RemoteSigner, ServiceError, ecdsa_der, secret};
use super::super::surroundings::{Surroundings, SurroundingsError, read_text};
use super::{Token, base64_url, body, form, from_base64_url, usable};

const SERVICE: &str = "Azure Key Vault";
const LOGIN: &str = "Microsoft Entra";
const API: &str = "api-version=7.4";
const METADATA: &str = "http://169.254.169.254/";

/// Hosts of vaults, with where one logs in and what a token must be for. A token for Key Vault
/// opens every vault of its owner, so it goes to no other host.
const CLOUDS: [(&str, &str, &str); 4] = [
    (
        ".vault.azure.net",
        "https://login.microsoftonline.com/",
        "https://vault.azure.net",
    ),
    (
        ".managedhsm.azure.net",
        "https://login.microsoftonline.com/",
        "https://managedhsm.azure.net",
    ),
    (
        ".vault.azure.cn",
        "https://login.chinacloudapi.cn/",
        "https://vault.azure.cn",
    ),
    (
        ".vault.usgovcloudapi.net",
        "https://login.microsoftonline.us/",
        "https://vault.usgovcloudapi.net",
    ),
];

/// Opens a key; without a version in the reference, its current one.
pub(super) fn open(
    key: &AzureKey,
    surroundings: &Surroundings,
) -> Result<RemoteSigner, ServiceError> {
    let host = if key.vault().contains('.') {
        key.vault().to_owned()
    } else {
        format!("{}.vault.azure.net", key.vault())
    };
    let (_, login, resource) = CLOUDS
        .into_iter()
        .find(|(suffix, ..)| host.ends_with(suffix))
        .ok_or_else(|| SurroundingsError::Unsupported {
            what: format!("the vault {host}"),
            help: "it lies in no Azure cloud that is known here",
        })?;
    let places = Places {
        vault: fixed(&format!("https://{host}/"))?,
        login: surroundings
            .private_url_var("AZURE_AUTHORITY_HOST")?
            .map_or_else(|| fixed(login), Ok)?,
        metadata: fixed(METADATA)?,
        resource,
    };
    open_at(key, places, surroundings)
}

struct Places {
    vault: Url,
    login: Url,
    metadata: Url,
    resource: &'static str,
}

fn fixed(text: &str) -> Result<Url, ServiceError> {
    text.parse().map_err(|_| {
        ServiceError::Surroundings(SurroundingsError::NotAUrl {
            name: "Azure endpoint".to_owned(),
        })
    })
}

fn open_at(
    key: &AzureKey,
    places: Places,
    surroundings: &Surroundings,
) -> Result<RemoteSigner, ServiceError> {
    let vault = Vault {
        api: api(SERVICE, &places.vault, surroundings)?,
        places,
        held: Mutex::new(None),
        surroundings: surroundings.clone(),
    };
    let wanted = match key.version() {
        Some(version) => format!("/keys/{}/{version}", key.name()),
        None => format!("/keys/{}", key.name()),
    };
    let bundle: KeyBundle = vault.call("Get Key", &wanted, None)?;
    let path = vault.path_of(&bundle.key.kid)?;
    if path != wanted && !path.starts_with(&format!("{wanted}/")) {
        return Err(ServiceError::WrongKey {
            service: SERVICE,
            expected: wanted,
            found: bundle.key.kid,
        });
    }
    let found = format!("{} {}", bundle.key.kty, bundle.key.crv);
    let public = usable(SERVICE, &found, bundle.key.public_key())?;
    Ok(RemoteSigner::new(
        public,
        Opened {
            path,
            kid: bundle.key.kid,
            vault,
        },
    ))
}

struct Opened {
    vault: Vault,
    kid: String,
    path: String,
}

impl KeyService for Opened {
    fn sign_digest(&self, scheme: Scheme, digest: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let alg = match scheme {
            Scheme::EcdsaP256 => "ES256",
            Scheme::EcdsaP384 => "ES384",
            Scheme::EcdsaP521 => "ES512",
            Scheme::RsaPkcs1Sha256(_) => "RS256",
            _ => return Err(answer("sign", "the key has no such algorithm")),
        };
        let request = body(&Sign {
            alg,
            value: base64_url(digest),
        })?;
        let found: SignAnswer =
            self.vault
                .call("Sign", &format!("{}/sign", self.path), Some(request))?;
        if found.kid != self.kid {
            return Err(ServiceError::WrongKey {
                service: SERVICE,
                expected: self.kid.clone(),
                found: found.kid,
            });
        }
        from_base64_url(&found.value)
            .and_then(|raw| match scheme {
                Scheme::RsaPkcs1Sha256(_) => Some(raw),
                _ => ecdsa_der(&raw),
            })
            .ok_or(answer(
                "sign",
                "the signature is not in the documented form",
            ))
    }

    fn key_name(&self) -> &str {
        &self.kid
    }
}

struct Vault {
    api: Api,
    places: Places,
    held: Mutex<Option<Token>>,
    surroundings: Surroundings,
}

impl Vault {
    fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<T, ServiceError> {
        let token = self.token()?;
        let url = self
            .places
            .vault
            .with_path(&format!("{path}?{API}"))
            .map_err(|_| answer(operation, "no URL"))?;
        let request = match body {
            Some(body) => Request::post(url, "application/json", body),
            None => Request::get(url),
        };
        self.api.json(&Call {
            operation,
            request: request.with_bearer(&token),
            secrets: &[&token],
        })
    }

    // The path of a key URL of this very vault.
    fn path_of(&self, kid: &str) -> Result<String, ServiceError> {
        let wrong = || ServiceError::WrongKey {
            service: SERVICE,
            expected: self.places.vault.to_string(),
            found: kid.chars().take(200).collect(),
        };
        let url: Url = kid.parse().map_err(|_| wrong())?;
        let fits = url.origin() == self.places.vault.origin()
            && url.query().is_none()
            && url
                .path()
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"/-".contains(&byte));
        fits.then(|| url.path().to_owned()).ok_or_else(wrong)
    }

    fn token(&self) -> Result<Secret, ServiceError> {
        let mut held = self.held.lock().map_err(|_| {
            answer(
                "a token",
                "another thread failed while it renewed the token",
            )
        })?;
        if let Some(token) = held
            .as_ref()
            .filter(|token| token.is_fresh(&self.surroundings))
        {
            return Ok(token.value.clone());
        }
        let found = self.fetch_token()?;
        let seconds = found.seconds();
        let token = Token::lasting(found.access_token, seconds, &self.surroundings);
        let value = token.value.clone();
        *held = Some(token);
        Ok(value)
    }

    fn fetch_token(&self) -> Result<TokenAnswer, ServiceError> {
        let var = |name| self.surroundings.var(name);
        let (Some(tenant), Some(client)) = (var("AZURE_TENANT_ID"), var("AZURE_CLIENT_ID")) else {
            return self.managed_identity();
        };
        let scope = format!("{}/.default", self.places.resource);
        let mut pairs = vec![
            ("grant_type", "client_credentials"),
            ("client_id", client.as_str()),
            ("scope", scope.as_str()),
        ];
        let federated = self.surroundings.path_var("AZURE_FEDERATED_TOKEN_FILE");
        let proof = match (var("AZURE_CLIENT_SECRET"), federated) {
            (Some(secret), _) => Secret::from(secret),
            (None, Some(file)) => {
                pairs.push((
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                ));
                Secret::new(read_text(&file)?.as_str())
            }
            (None, None) => return self.managed_identity(),
        };
        let name = if pairs.len() > 3 {
            "client_assertion"
        } else {
            "client_secret"
        };
        pairs.push((name, proof.expose()));
        let path = format!("/{}/oauth2/v2.0/token", custos_net::percent_encode(&tenant));
        let url = self
            .places
            .login
            .with_path(&path)
            .map_err(|_| answer("a token", "no URL"))?;
        let request = Request::post(url, "application/x-www-form-urlencoded", form(&pairs));
        api(LOGIN, &self.places.login, &self.surroundings)?.json(&Call {
            operation: "a token",
            request,
            secrets: &[&proof],
        })
    }

    // https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
    fn managed_identity(&self) -> Result<TokenAnswer, ServiceError> {
        let resource = custos_net::percent_encode(self.places.resource);
        let mut path =
            format!("/metadata/identity/oauth2/token?api-version=2018-02-01&resource={resource}");
        if let Some(client) = self.surroundings.var("AZURE_CLIENT_ID") {
            path.push_str("&client_id=");
            path.push_str(&custos_net::percent_encode(&client));
        }
        let base = &self.places.metadata;
        let url = base
            .with_path(&path)
            .map_err(|_| answer("a token", "no URL"))?;
        api(LOGIN, base, &self.surroundings)?.json(&Call {
            operation: "a token of the managed identity",
            request: Request::get(url).with_header("Metadata", "true"),
            secrets: &[],
        })
    }
}

fn api(
    service: &'static str,
    base: &Url,
    surroundings: &Surroundings,
) -> Result<Api, ServiceError> {
    let client = surroundings
        .client(base, Roots::System)
        .map_err(ServiceError::net(service, "connecting"))?;
    Ok(Api::new(service, client, surroundings))
}

const fn answer(operation: &'static str, what: &'static str) -> ServiceError {
    ServiceError::Answer {
        service: SERVICE,
        operation,
        what,
    }
}

#[derive(Deserialize)]
struct KeyBundle {
    key: JsonWebKey,
}

#[derive(Deserialize)]
struct JsonWebKey {
    kid: String,
    #[serde(default)]
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
}

impl JsonWebKey {
    // RFC 7518 sections 6.2 and 6.3.
    fn public_key(&self) -> Option<PublicKey> {
        if matches!(self.kty.as_str(), "RSA" | "RSA-HSM") {
            let exponent = from_base64_url(&self.e)?;
            let modulus = from_base64_url(&self.n)?;
            let usual = exponent == b"\x01\x00\x01";
            return PublicKey::from_rsa_modulus(&modulus).ok().filter(|_| usual);
        }
        let (kind, size) = match self.crv.as_str() {
            "P-256" => (KeyKind::P256, 32),
            "P-384" => (KeyKind::P384, 48),
            "P-521" => (KeyKind::P521, 66),
            _ => return None,
        };
        // Uncompressed: both coordinates behind a 4 (SEC 1 section 2.3.3).
        let mut point = vec![4];
        for coordinate in [&self.x, &self.y] {
            let bytes = from_base64_url(coordinate).filter(|bytes| bytes.len() == size)?;
            point.extend(bytes);
        }
        PublicKey::from_ec_point(kind, &point).ok()
    }
}

#[derive(Serialize)]
struct Sign {
    alg: &'static str,
    value: String,
}

#[derive(Deserialize)]
struct SignAnswer {
    kid: String,
    value: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(deserialize_with = "secret")]
    access_token: Secret,
    // A number from Entra, a string from the metadata service.
    expires_in: serde_json::Value,
}

impl TokenAnswer {
    fn seconds(&self) -> i64 {
        let text = self.expires_in.as_str().and_then(|text| text.parse().ok());
        self.expires_in.as_i64().or(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
