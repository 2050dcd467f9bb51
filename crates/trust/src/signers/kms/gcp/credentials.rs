//! Application default credentials of Google
//! ([search order](https://cloud.google.com/docs/authentication/application-default-credentials)).
//!
//! The file that `GOOGLE_APPLICATION_CREDENTIALS` names, else gcloud's own, else the metadata
//! service. Kinds of files: `service_account` (a signed JWT, RFC 7523), `authorized_user` (a
//! refresh token), and `external_account` (workload identity federation, AIP-4117) with a token
//! from a file or a URL, with or without impersonation.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use custos_core::crypto::Pem;
use custos_core::json;
use custos_core::limits::Limits;
use custos_net::{Request, Roots, Secret, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::super::remote::{Api, Call, ServiceError, secret};
use super::super::super::surroundings::{Surroundings, SurroundingsError, read_file, read_text};
use super::super::{Token, body, form};

const SERVICE: &str = "Google's token service";
const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
const METADATA: &str = "http://169.254.169.254/";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Access tokens, renewed when they end.
pub(super) struct Credentials {
    source: Source,
    held: Mutex<Option<Token>>,
    surroundings: Surroundings,
}

enum Source {
    Metadata { base: Url },
    External(Box<External>),
    ServiceAccount(ServiceAccount),
    User(User),
}

#[derive(Deserialize)]
struct ServiceAccount {
    client_email: String,
    private_key_id: Option<String>,
    #[serde(deserialize_with = "secret")]
    private_key: Secret,
    token_uri: String,
}

#[derive(Deserialize)]
struct User {
    client_id: String,
    #[serde(deserialize_with = "secret")]
    client_secret: Secret,
    #[serde(deserialize_with = "secret")]
    refresh_token: Secret,
    quota_project_id: Option<String>,
}

#[derive(Deserialize)]
struct External {
    audience: String,
    subject_token_type: String,
    token_url: String,
    credential_source: CredentialSource,
    service_account_impersonation_url: Option<String>,
}

#[derive(Deserialize)]
struct CredentialSource {
    file: Option<PathBuf>,
    url: Option<String>,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
    subject_token_field_name: Option<String>,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(deserialize_with = "secret")]
    access_token: Secret,
    #[serde(default = "an_hour")]
    expires_in: i64,
}

const fn an_hour() -> i64 {
    3600
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImpersonationAnswer {
    #[serde(deserialize_with = "secret")]
    access_token: Secret,
}

impl Credentials {
    pub(super) fn find(surroundings: &Surroundings) -> Result<Self, ServiceError> {
        let named = surroundings.path_var("GOOGLE_APPLICATION_CREDENTIALS");
        let own = surroundings
            .at_home(".config/gcloud/application_default_credentials.json")
            .filter(|path| path.is_file());
        let source = match named.or(own) {
            Some(path) => Source::read(&path)?,
            None => Source::Metadata {
                base: metadata(surroundings)?,
            },
        };
        Ok(Self {
            source,
            held: Mutex::new(None),
            surroundings: surroundings.clone(),
        })
    }

    pub(super) fn quota_project(&self) -> Option<&str> {
        match &self.source {
            Source::User(user) => user.quota_project_id.as_deref(),
            _ => None,
        }
    }

    pub(super) fn token(&self) -> Result<Secret, ServiceError> {
        let mut held = self
            .held
            .lock()
            .map_err(|_| answer("another thread failed while it renewed the token"))?;
        if let Some(token) = held
            .as_ref()
            .filter(|token| token.is_fresh(&self.surroundings))
        {
            return Ok(token.value.clone());
        }
        let found = match &self.source {
            Source::External(external) => self.external(external),
            Source::Metadata { base } => self.metadata(base),
            Source::ServiceAccount(account) => self.service_account(account),
            Source::User(user) => self.user(user),
        }?;
        let value = found.access_token.clone();
        *held = Some(Token::lasting(
            found.access_token,
            found.expires_in,
            &self.surroundings,
        ));
        Ok(value)
    }

    // https://cloud.google.com/compute/docs/access/authenticate-workloads
    fn metadata(&self, base: &Url) -> Result<TokenAnswer, ServiceError> {
        let path = "/computeMetadata/v1/instance/service-accounts/default/token";
        let url = base.with_path(path).map_err(|_| answer("no URL"))?;
        let request = Request::get(url).with_header("Metadata-Flavor", "Google");
        self.ask(request, &[])
    }

    // RFC 7523, section 2.1.
    fn service_account(&self, account: &ServiceAccount) -> Result<TokenAnswer, ServiceError> {
        let now = self.surroundings.clock().now().as_seconds();
        let assertion = account.assertion(now)?;
        let form = form(&[
            ("grant_type", JWT_BEARER),
            ("assertion", assertion.expose()),
        ]);
        let url = token_url(&account.token_uri)?;
        self.ask(post(url, form), &[&assertion])
    }

    fn user(&self, user: &User) -> Result<TokenAnswer, ServiceError> {
        let form = form(&[
            ("grant_type", "refresh_token"),
            ("client_id", &user.client_id),
            ("client_secret", user.client_secret.expose()),
            ("refresh_token", user.refresh_token.expose()),
        ]);
        let url = token_url("https://oauth2.googleapis.com/token")?;
        let secrets = [&user.client_secret, &user.refresh_token];
        self.ask(post(url, form), &secrets)
    }

    // RFC 8693; https://google.aip.dev/auth/4117
    fn external(&self, external: &External) -> Result<TokenAnswer, ServiceError> {
        let subject = self.subject_token(&external.credential_source)?;
        let scope = match external.service_account_impersonation_url {
            Some(_) => "https://www.googleapis.com/auth/cloud-platform",
            None => SCOPE,
        };
        let form = form(&[
            ("grant_type", TOKEN_EXCHANGE),
            ("audience", &external.audience),
            ("scope", scope),
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            ),
            ("subject_token", subject.expose()),
            ("subject_token_type", &external.subject_token_type),
        ]);
        let url = token_url(&external.token_url)?;
        let federated: TokenAnswer = self.ask(post(url, form), &[&subject])?;
        let Some(impersonate) = &external.service_account_impersonation_url else {
            return Ok(federated);
        };
        let url = token_url(impersonate)?;
        let wanted = Impersonate {
            scope: [SCOPE],
            lifetime: "3600s",
        };
        let request = Request::post(url.clone(), "application/json", body(&wanted)?)
            .with_bearer(&federated.access_token);
        let found: ImpersonationAnswer = self.ask(request, &[&federated.access_token])?;
        Ok(TokenAnswer {
            access_token: found.access_token,
            expires_in: an_hour(),
        })
    }

    fn subject_token(&self, source: &CredentialSource) -> Result<Secret, ServiceError> {
        let bytes = match (&source.file, &source.url) {
            (Some(file), None) => read_file(file)?,
            (None, Some(url)) => {
                // The settings file names it, and CI systems serve it from nearby.
                let url: Url = url
                    .parse()
                    .map_err(|_| unsupported("this credential source"))?;
                let mut request = Request::get(url.clone());
                let values = source.headers.values();
                let values: Vec<Secret> = values.map(|value| value.as_str().into()).collect();
                for (name, value) in source.headers.keys().zip(&values) {
                    request = request.with_secret_header(name, value.clone());
                }
                // What stands behind `Bearer` is the secret.
                let bare = values
                    .iter()
                    .filter_map(|value| value.expose().rsplit(' ').next())
                    .map(Secret::from);
                let bare: Vec<Secret> = bare.collect();
                let api = self.api(&url)?;
                let call = Call {
                    operation: "the subject token",
                    request,
                    secrets: &bare.iter().collect::<Vec<_>>(),
                };
                api.bytes(&call)?.into_body()
            }
            _ => return Err(unsupported("this credential source")),
        };
        let text = match &source.format {
            Some(format) if format.kind == "json" => {
                let value: Value = json::from_slice(&bytes, &Limits::SMALL)
                    .map_err(|_| answer("the subject token is not in JSON"))?;
                let field = format.subject_token_field_name.as_deref();
                let token = field.and_then(|field| value.get(field)?.as_str());
                token.map(str::to_owned)
            }
            _ => std::str::from_utf8(&bytes)
                .ok()
                .map(|text| text.trim().to_owned()),
        };
        text.map(Secret::from)
            .ok_or_else(|| answer("there is no subject token"))
    }

    fn ask<T: serde::de::DeserializeOwned>(
        &self,
        request: Request,
        secrets: &[&Secret],
    ) -> Result<T, ServiceError> {
        self.api(request.url())?.json(&Call {
            operation: "a token",
            request,
            secrets,
        })
    }

    fn api(&self, server: &Url) -> Result<Api, ServiceError> {
        let client = self
            .surroundings
            .client(server, Roots::System)
            .map_err(ServiceError::net(SERVICE, "connecting"))?;
        Ok(Api::new(SERVICE, client, &self.surroundings))
    }
}

#[derive(Serialize)]
struct Impersonate {
    scope: [&'static str; 1],
    lifetime: &'static str,
}

impl Source {
    fn read(path: &Path) -> Result<Self, ServiceError> {
        let bytes = read_text(path)?;
        let kind: Kind = parse(path, &bytes)?;
        Ok(match kind.kind.as_str() {
            "service_account" => Self::ServiceAccount(parse(path, &bytes)?),
            "authorized_user" => Self::User(parse(path, &bytes)?),
            "external_account" => Self::External(Box::new(parse(path, &bytes)?)),
            other => {
                return Err(unsupported(&format!(
                    "the credentials type `{}`",
                    other.chars().take(40).collect::<String>()
                )));
            }
        })
    }
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, ServiceError> {
    json::from_slice(text.as_bytes(), &Limits::SMALL).map_err(|_| {
        ServiceError::Surroundings(SurroundingsError::NotAFileOf {
            path: path.to_owned(),
            expected: "a credentials file of Google",
        })
    })
}

impl ServiceAccount {
    fn assertion(&self, now: i64) -> Result<Secret, ServiceError> {
        let unusable = || answer("the private key of the service account cannot be used");
        let pem = Pem::parse(self.private_key.expose()).map_err(|_| unusable())?;
        let key = RsaKeyPair::from_pkcs8(pem.bytes()).map_err(|_| unusable())?;
        let header = serde_json::json!({
            "alg": "RS256", "typ": "JWT", "kid": self.private_key_id,
        });
        let claims = serde_json::json!({
            "iss": self.client_email, "scope": SCOPE, "aud": self.token_uri,
            "iat": now, "exp": now.saturating_add(3600),
        });
        let part = |value: &Value| super::super::base64_url(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            signed.as_bytes(),
            &mut signature,
        )
        .map_err(|_| unusable())?;
        Ok(Secret::from(format!(
            "{signed}.{}",
            super::super::base64_url(&signature)
        )))
    }
}

fn metadata(surroundings: &Surroundings) -> Result<Url, ServiceError> {
    let text = match surroundings.var("GCE_METADATA_HOST") {
        Some(host) => format!("http://{host}/"),
        None => METADATA.to_owned(),
    };
    text.parse().map_err(|_| {
        ServiceError::Surroundings(SurroundingsError::NotAUrl {
            name: "GCE_METADATA_HOST".to_owned(),
        })
    })
}

// The file is the caller's own, but it is often handed on; a token must not go to anybody.
fn token_url(text: &str) -> Result<Url, ServiceError> {
    let url: Url = text.parse().map_err(|_| unsupported("the token URL"))?;
    let host = url.origin().host();
    let google = host == "googleapis.com" || host.ends_with(".googleapis.com");
    let of_a_test = cfg!(test) && host == "127.0.0.1";
    if (google && url.origin().is_tls()) || of_a_test {
        Ok(url)
    } else {
        Err(unsupported("a token URL outside of googleapis.com"))
    }
}

fn post(url: Url, form: Vec<u8>) -> Request {
    Request::post(url, "application/x-www-form-urlencoded", form)
}

fn unsupported(what: &str) -> ServiceError {
    ServiceError::Surroundings(SurroundingsError::Unsupported {
        what: what.to_owned(),
        help: "use a service account, `gcloud auth application-default login`, or workload \
               identity federation with a token from a file or URL",
    })
}

const fn answer(what: &'static str) -> ServiceError {
    ServiceError::Answer {
        service: SERVICE,
        operation: "a token",
        what,
    }
}
