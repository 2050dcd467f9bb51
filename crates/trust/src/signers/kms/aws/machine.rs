//! Credentials that the machine hands out: the container agent of ECS and EKS Pod Identity
//! ([container](https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html)),
//! and the instance metadata service, version 2 only
//! ([IMDS](https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html)).

use std::path::PathBuf;

use custos_net::{Method, Request, Roots, Secret, Url, Zone, percent_encode};
use serde::Deserialize;
use serde_json::Value;

use super::super::super::remote::{Api, Call, ServiceError, secret};
use super::super::super::surroundings::{Surroundings, SurroundingsError, read_text};
use super::credentials::Credentials;

const SERVICE: &str = "the AWS metadata service";
const CONTAINER: &str = "http://169.254.170.2/";
const INSTANCE: &str = "http://169.254.169.254/";

/// Where the machine hands out credentials.
#[derive(Debug, Clone)]
pub(super) enum Machine {
    Container { url: Url, token: Token },
    Instance { base: Url },
}

/// What the container agent is shown.
#[derive(Debug, Clone)]
pub(super) enum Token {
    /// Read each time: the agent renews it.
    File(PathBuf),
    Fixed(Secret),
    None,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    #[serde(deserialize_with = "secret")]
    secret_access_key: Secret,
    #[serde(deserialize_with = "secret")]
    token: Secret,
    expiration: String,
}

impl Machine {
    pub(super) fn find(surroundings: &Surroundings) -> Result<Option<Self>, ServiceError> {
        if let Some(url) = container(surroundings)? {
            let file = surroundings.path_var("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
            let fixed = surroundings.var("AWS_CONTAINER_AUTHORIZATION_TOKEN");
            let token = match (file, fixed) {
                (Some(file), _) => Token::File(file),
                (None, Some(token)) => Token::Fixed(token.into()),
                (None, None) => Token::None,
            };
            return Ok(Some(Self::Container { url, token }));
        }
        let disabled = surroundings.var("AWS_EC2_METADATA_DISABLED");
        if disabled.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let base = match surroundings.url_var("AWS_EC2_METADATA_SERVICE_ENDPOINT")? {
            Some(url) => url,
            None => fixed(INSTANCE)?,
        };
        Ok(Some(Self::Instance { base }))
    }

    pub(super) fn fetch(&self, surroundings: &Surroundings) -> Result<Credentials, ServiceError> {
        let found: Answer = match self {
            Self::Container { url, token } => {
                let mut request = Request::get(url.clone());
                let token = match token {
                    Token::File(path) => Some(Secret::new(read_text(path)?.as_str())),
                    Token::Fixed(token) => Some(token.clone()),
                    Token::None => None,
                };
                if let Some(token) = &token {
                    request = request.with_secret_header("authorization", token.clone());
                }
                let secrets: Vec<&Secret> = token.iter().collect();
                api(url, surroundings)?.json(&call(request, &secrets))?
            }
            Self::Instance { base } => instance(base, surroundings)?,
        };
        let ends = found
            .expiration
            .parse()
            .map_err(|_| answer("its end is no time"))?;
        let key = Credentials::new(
            &found.access_key_id,
            found.secret_access_key.expose(),
            Some(found.token.expose()),
        );
        Ok(key.ending(ends))
    }
}

fn container(surroundings: &Surroundings) -> Result<Option<Url>, ServiceError> {
    if let Some(path) = surroundings.var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        let url = fixed(CONTAINER)?.with_path(&path);
        return url.map(Some).map_err(|_| refused());
    }
    let Some(url) = surroundings.url_var("AWS_CONTAINER_CREDENTIALS_FULL_URI")? else {
        return Ok(None);
    };
    // As in AWS' own libraries: plain http to this machine and the agents alone.
    let near = url
        .origin()
        .address()
        .is_some_and(|ip| matches!(Zone::of(ip), Zone::Loopback | Zone::Metadata));
    let agent = url.origin().host() == "fd00:ec2::23";
    if url.origin().is_tls() || near || agent || url.origin().host() == "localhost" {
        Ok(Some(url))
    } else {
        Err(refused())
    }
}

fn instance(base: &Url, surroundings: &Surroundings) -> Result<Answer, ServiceError> {
    let api = api(base, surroundings)?;
    let at = |path: &str| base.with_path(path).map_err(|_| refused());
    let ask = Request::new(Method::Put, at("/latest/api/token")?)
        .with_header("x-aws-ec2-metadata-token-ttl-seconds", "300")
        .with_body(Vec::new());
    let token = api.bytes(&call(ask, &[]))?;
    let token = std::str::from_utf8(token.body()).map_err(|_| answer("its token is no text"))?;
    let token = Secret::new(token.trim());
    let secrets = [&token];
    let get = |url: Url| {
        let request = Request::get(url);
        call(
            request.with_secret_header("x-aws-ec2-metadata-token", token.clone()),
            &secrets,
        )
    };
    let folder = "/latest/meta-data/iam/security-credentials/";
    let role = api.bytes(&get(at(folder)?))?;
    let role = String::from_utf8_lossy(role.body());
    let role = role.lines().next().unwrap_or_default().trim();
    if role.is_empty() {
        return Err(answer("the machine has no role"));
    }
    let found: Value = api.json(&get(at(&format!("{folder}{}", percent_encode(role)))?))?;
    serde_json::from_value(found).map_err(|_| answer("there are no credentials in it"))
}

fn api(server: &Url, surroundings: &Surroundings) -> Result<Api, ServiceError> {
    let client = surroundings
        .client(server, Roots::System)
        .map_err(ServiceError::net(SERVICE, "connecting"))?;
    Ok(Api::new(SERVICE, client, surroundings))
}

const fn call<'a>(request: Request, secrets: &'a [&'a Secret]) -> Call<'a> {
    Call {
        operation: "credentials",
        request,
        secrets,
    }
}

const fn answer(what: &'static str) -> ServiceError {
    ServiceError::Answer {
        service: SERVICE,
        operation: "credentials",
        what,
    }
}

fn fixed(text: &str) -> Result<Url, ServiceError> {
    text.parse().map_err(|_| refused())
}

fn refused() -> ServiceError {
    ServiceError::Surroundings(SurroundingsError::Unsupported {
        what: "this place for AWS credentials".to_owned(),
        help: "credentials of a container are asked over https, or from this machine",
    })
}
