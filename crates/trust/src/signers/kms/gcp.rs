//! Google Cloud KMS ([REST reference](https://cloud.google.com/kms/docs/reference/rest)).
//!
//! Checksums as Google recommends: the CRC32C of what we send is sent along and must be confirmed,
//! that of what comes back must fit, and the answer must name the key version that was asked.

mod credentials;

use custos_core::crypto::{PublicKey, Scheme};
use custos_core::dsse::Base64;
use custos_net::{Request, Roots, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use self::credentials::Credentials;
use super::super::reference::GcpKey;
use super::super::remote::{Api, Call, KeyService, RemoteSigner, ServiceError};
use super::super::surroundings::{Surroundings, SurroundingsError};
use super::{body, encode, usable};

const SERVICE: &str = "Google Cloud KMS";
/// Most versions of a key that are looked through for the newest.
const PAGE: &str = "1000";

/// Opens a key; without a version in the reference, its newest enabled version.
pub(super) fn open(
    key: &GcpKey,
    surroundings: &Surroundings,
) -> Result<RemoteSigner, ServiceError> {
    // For emulators and for regional or private endpoints, as Google's own tools have it.
    let base = match surroundings.private_url_var("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS")? {
        Some(url) => url,
        None => "https://cloudkms.googleapis.com/"
            .parse()
            .map_err(|_| fixed_url())?,
    };
    let client = surroundings
        .client(&base, Roots::System)
        .map_err(ServiceError::net(SERVICE, "connecting"))?;
    let kms = Kms {
        api: Api::new(SERVICE, client, surroundings),
        base,
        credentials: Credentials::find(surroundings)?,
    };
    let version = match key.version() {
        Some(version) => version,
        None => kms.newest(key.key())?,
    };
    let name = format!("{}/cryptoKeyVersions/{version}", key.key());
    let answer: PublicKeyAnswer = kms.get("publicKey", &format!("{name}/publicKey"))?;
    kms.check_name(&name, answer.name)?;
    if answer.pem_crc32c != Some(crc32c(answer.pem.as_bytes()).to_string()) {
        return Err(ServiceError::Checksum {
            service: SERVICE,
            operation: "publicKey",
        });
    }
    // A key has one algorithm for life. Of RSA's this is the one that a log of Sigstore takes.
    let fits = |key: &PublicKey| {
        let is_pkcs1 = answer.algorithm.starts_with("RSA_SIGN_PKCS1_");
        !key.kind().is_rsa() || (is_pkcs1 && answer.algorithm.ends_with("_SHA256"))
    };
    let public = PublicKey::from_pem(&answer.pem).ok().filter(fits);
    let public = usable(SERVICE, &answer.algorithm, public)?;
    Ok(RemoteSigner::new(public, Opened { kms, name }))
}

const fn fixed_url() -> ServiceError {
    ServiceError::Surroundings(SurroundingsError::Missing {
        what: "the address of Google's service",
        help: "this is an error of Custos",
    })
}

struct Opened {
    kms: Kms,
    name: String,
}

impl KeyService for Opened {
    fn sign_digest(&self, scheme: Scheme, digest: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let operation = "asymmetricSign";
        let mut digests = DigestField::default();
        match scheme {
            Scheme::EcdsaP256 | Scheme::RsaPkcs1Sha256(_) => digests.sha256 = Some(encode(digest)),
            Scheme::EcdsaP384 => digests.sha384 = Some(encode(digest)),
            _ => digests.sha512 = Some(encode(digest)),
        }
        let answer: SignAnswer = self.kms.post(
            operation,
            &format!("{}:asymmetricSign", self.name),
            &Sign {
                digest: digests,
                digest_crc32c: crc32c(digest).to_string(),
            },
        )?;
        self.kms.check_name(&self.name, answer.name)?;
        let crc = crc32c(&answer.signature.0).to_string();
        if !answer.verified_digest_crc32c || answer.signature_crc32c != Some(crc) {
            return Err(ServiceError::Checksum {
                service: SERVICE,
                operation,
            });
        }
        Ok(answer.signature.0)
    }

    fn key_name(&self) -> &str {
        &self.name
    }
}

struct Kms {
    api: Api,
    base: Url,
    credentials: Credentials,
}

impl Kms {
    fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
    ) -> Result<T, ServiceError> {
        self.call(operation, path, None)
    }

    fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        value: &B,
    ) -> Result<T, ServiceError> {
        self.call(operation, path, Some(body(value)?))
    }

    fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<T, ServiceError> {
        let token = self.credentials.token()?;
        let url = self
            .base
            .with_path(&format!("/v1/{path}"))
            .map_err(|_| fixed_url())?;
        let mut request = match body {
            Some(body) => Request::post(url, "application/json", body),
            None => Request::get(url),
        }
        .with_bearer(&token);
        if let Some(project) = self.credentials.quota_project() {
            request = request.with_header("x-goog-user-project", project);
        }
        self.api.json(&Call {
            operation,
            request,
            secrets: &[&token],
        })
    }

    fn newest(&self, key: &str) -> Result<u32, ServiceError> {
        let operation = "cryptoKeyVersions.list";
        let path = format!("{key}/cryptoKeyVersions?filter=state%3DENABLED&pageSize={PAGE}");
        let list: Versions = self.get(operation, &path)?;
        let numbers = list.crypto_key_versions.iter().filter_map(|version| {
            let name = version.name.strip_prefix(key)?;
            let number = name.strip_prefix("/cryptoKeyVersions/")?;
            (version.state == "ENABLED")
                .then(|| number.parse::<u32>().ok())
                .flatten()
        });
        numbers.max().ok_or(ServiceError::Answer {
            service: SERVICE,
            operation,
            what: "the key has no enabled version",
        })
    }

    fn check_name(&self, expected: &str, found: String) -> Result<(), ServiceError> {
        if found == expected {
            return Ok(());
        }
        Err(ServiceError::WrongKey {
            service: self.api.service(),
            expected: expected.to_owned(),
            found,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    #[serde(default)]
    crypto_key_versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    name: String,
    state: String,
}

// 64-bit integers are strings in Google's JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicKeyAnswer {
    name: String,
    pem: String,
    #[serde(default)]
    algorithm: String,
    pem_crc32c: Option<String>,
}

#[derive(Serialize, Default)]
struct DigestField {
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Base64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha384: Option<Base64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha512: Option<Base64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sign {
    digest: DigestField,
    digest_crc32c: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignAnswer {
    name: String,
    signature: Base64,
    signature_crc32c: Option<String>,
    #[serde(default)]
    verified_digest_crc32c: bool,
}

/// CRC-32C (Castagnoli; RFC 3720 appendix B.4), bit by bit: it sees a key and a signature.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let mask = if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            crc = (crc >> 1) ^ mask;
        }
    }
    !crc
}

#[cfg(test)]
mod tests;
