//! AWS Key Management Service
//! ([API reference](https://docs.aws.amazon.com/kms/latest/APIReference/)).
//!
//! Region: that of the ARN, else `AWS_REGION`, `AWS_DEFAULT_REGION`, or the profile's. Endpoint:
//! that of the reference (always `https`), else `AWS_ENDPOINT_URL_KMS`, `AWS_ENDPOINT_URL`, or
//! AWS' own for the region.

mod account;
mod credentials;
mod machine;
mod profile;
mod sigv4;

use custos_core::crypto::{PublicKey, Scheme};
use custos_core::dsse::Base64;
use custos_net::{Request, Roots, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::account::Account;
use self::account::region;
use super::super::reference::AwsKey;
use super::super::remote::{Api, Call, KeyService, RemoteSigner, ServiceError};
use super::super::surroundings::{Surroundings, SurroundingsError};
use super::{body, encode, usable};

const SERVICE: &str = "AWS KMS";

/// Opens a key.
pub(super) fn open(
    key: &AwsKey,
    surroundings: &Surroundings,
) -> Result<RemoteSigner, ServiceError> {
    let kms = Kms::connect(key, surroundings)?;
    let found: GetPublicKeyAnswer = kms.call("GetPublicKey", &GetPublicKey { key_id: key.id() })?;
    if found.key_usage != "SIGN_VERIFY" {
        return Err(kms.wrong("GetPublicKey", "the key is not for signing"));
    }
    // An alias resolves to any key; an id or key ARN must resolve to itself.
    if !key.id().contains("alias/") && !is_same_key(key.id(), &found.key_id) {
        return Err(ServiceError::WrongKey {
            service: SERVICE,
            expected: key.id().to_owned(),
            found: found.key_id,
        });
    }
    let public = PublicKey::from_spki_der(&found.public_key.0).ok();
    let public = usable(SERVICE, &found.key_spec, public)?;
    Ok(RemoteSigner::new(
        public,
        Opened {
            kms,
            arn: found.key_id,
        },
    ))
}

// AWS answers with ARNs, asked for by ARN or by bare id.
fn is_same_key(asked: &str, found: &str) -> bool {
    let bare = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let both = asked.starts_with("arn:") && found.starts_with("arn:");
    asked == found || (!both && bare(asked) == bare(found))
}

/// One exact key.
struct Opened {
    kms: Kms,
    arn: String,
}

impl KeyService for Opened {
    fn sign_digest(&self, scheme: Scheme, digest: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let algorithm = match scheme {
            Scheme::EcdsaP256 => "ECDSA_SHA_256",
            Scheme::EcdsaP384 => "ECDSA_SHA_384",
            Scheme::EcdsaP521 => "ECDSA_SHA_512",
            Scheme::RsaPkcs1Sha256(_) => "RSASSA_PKCS1_V1_5_SHA_256",
            _ => return Err(self.kms.wrong("Sign", "the key has no such algorithm")),
        };
        let answer: SignAnswer = self.kms.call(
            "Sign",
            &Sign {
                key_id: &self.arn,
                message: encode(digest),
                message_type: "DIGEST",
                signing_algorithm: algorithm,
            },
        )?;
        if !is_same_key(&self.arn, &answer.key_id) {
            return Err(ServiceError::WrongKey {
                service: SERVICE,
                expected: self.arn.clone(),
                found: answer.key_id,
            });
        }
        Ok(answer.signature.0)
    }

    fn key_name(&self) -> &str {
        &self.arn
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetPublicKey<'a> {
    key_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetPublicKeyAnswer {
    key_id: String,
    public_key: Base64,
    #[serde(default)]
    key_spec: String,
    key_usage: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sign<'a> {
    key_id: &'a str,
    message: Base64,
    message_type: &'static str,
    signing_algorithm: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SignAnswer {
    key_id: String,
    signature: Base64,
}

/// The service in one region, with credentials that are renewed when they end.
struct Kms {
    api: Api,
    url: Url,
    account: Account,
}

impl Kms {
    fn connect(key: &AwsKey, surroundings: &Surroundings) -> Result<Self, ServiceError> {
        let region = region(key.region(), surroundings)?;
        let url = endpoint(key, &region, surroundings)?;
        let client = surroundings
            .client(&url, Roots::System)
            .map_err(ServiceError::net(SERVICE, "connecting"))?;
        let account = Account::of(region, surroundings)?;
        Ok(Self {
            api: Api::new(SERVICE, client, surroundings),
            url,
            account,
        })
    }

    fn call<B: Serialize, T: DeserializeOwned>(
        &self,
        operation: &'static str,
        value: &B,
    ) -> Result<T, ServiceError> {
        let credentials = self.account.credentials()?;
        let unsigned = sigv4::Unsigned {
            method: "POST",
            url: &self.url,
            headers: vec![
                ("content-type", "application/x-amz-json-1.1".to_owned()),
                ("x-amz-target", format!("TrentService.{operation}")),
            ],
            body: &body(value)?,
            s3: false,
        };
        let signed = self.account.sign(&unsigned, "kms", &credentials);
        let mut request = Request::new(custos_net::Method::Post, self.url.clone())
            .with_body(unsigned.body.to_vec());
        for (name, value) in signed {
            request = request.with_secret_header(name, value.into());
        }
        let secrets = credentials.secrets();
        self.api.json(&Call {
            operation,
            request,
            secrets: &secrets,
        })
    }

    const fn wrong(&self, operation: &'static str, what: &'static str) -> ServiceError {
        ServiceError::Answer {
            service: self.api.service(),
            operation,
            what,
        }
    }
}

fn endpoint(key: &AwsKey, region: &str, surroundings: &Surroundings) -> Result<Url, ServiceError> {
    if let Some(host) = key.endpoint() {
        return address("https", host, "");
    }
    for name in ["AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL"] {
        if let Some(url) = surroundings.url_var(name)? {
            return Ok(url);
        }
    }
    let fips = surroundings
        .var("AWS_USE_FIPS_ENDPOINT")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let service = if fips { "kms-fips" } else { "kms" };
    address("https", &format!("{service}.{region}"), suffix(region))
}

fn address(scheme: &str, host: &str, suffix: &str) -> Result<Url, ServiceError> {
    format!("{scheme}://{host}{suffix}/").parse().map_err(|_| {
        ServiceError::Surroundings(SurroundingsError::NotAUrl {
            name: "AWS endpoint".to_owned(),
        })
    })
}

// The partitions of AWS: https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html
fn suffix(region: &str) -> &'static str {
    match region.rsplitn(3, '-').last() {
        Some("cn") => ".amazonaws.com.cn",
        Some("us-iso") => ".c2s.ic.gov",
        Some("us-isob") => ".sc2s.sgov.gov",
        _ => ".amazonaws.com",
    }
}

#[cfg(test)]
mod tests;
