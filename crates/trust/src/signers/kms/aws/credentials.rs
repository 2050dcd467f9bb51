//! Credentials of AWS, from the places where its own tools look.
//!
//! In this order: `AWS_ACCESS_KEY_ID` with `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`; a web
//! identity (`AWS_WEB_IDENTITY_TOKEN_FILE` with `AWS_ROLE_ARN`, as EKS and CI give it), exchanged
//! at STS; the profile of the shared credentials file; what the machine hands out.

use std::fmt;
use std::path::PathBuf;

use custos_core::clock::Timestamp;
use custos_net::{Request, Roots, Secret};

use super::super::super::remote::{Api, Call, ServiceError};
use super::super::super::surroundings::{Surroundings, SurroundingsError, read_text};
use super::super::form;
use super::machine::Machine;
use super::profile;

const STS: &str = "AWS STS";

/// An access key, perhaps one that ends.
#[derive(Clone)]
pub(super) struct Credentials {
    key_id: String,
    secret: Secret,
    session_token: Option<Secret>,
    ends: Option<Timestamp>,
}

impl Credentials {
    pub(super) fn new(key_id: &str, secret: &str, session_token: Option<&str>) -> Self {
        Self {
            key_id: key_id.to_owned(),
            secret: secret.into(),
            session_token: session_token.map(Secret::from),
            ends: None,
        }
    }

    /// Returns the credentials with the time when they end.
    pub(super) fn ending(self, ends: Timestamp) -> Self {
        Self {
            ends: Some(ends),
            ..self
        }
    }

    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    pub(super) const fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(super) const fn session_token(&self) -> Option<&Secret> {
        self.session_token.as_ref()
    }

    pub(super) fn secrets(&self) -> Vec<&Secret> {
        std::iter::once(&self.secret)
            .chain(&self.session_token)
            .collect()
    }

    /// Returns true if they count for another five minutes, which AWS allows clocks to differ.
    pub(super) fn are_fresh(&self, surroundings: &Surroundings) -> bool {
        let soon = surroundings.clock().now().plus_micros(300_000_000);
        self.ends.is_none_or(|ends| ends > soon)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.key_id)
    }
}

/// Where credentials come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Fixed(Credentials),
    Machine(Machine),
    WebIdentity {
        token_file: PathBuf,
        role: String,
        session: String,
    },
}

impl Source {
    pub(super) fn find(surroundings: &Surroundings) -> Result<Self, ServiceError> {
        let key_id = surroundings.var("AWS_ACCESS_KEY_ID");
        let secret = surroundings.var("AWS_SECRET_ACCESS_KEY");
        if let (Some(key_id), Some(secret)) = (key_id, secret) {
            let token = surroundings.var("AWS_SESSION_TOKEN");
            return Ok(Self::Fixed(Credentials::new(
                &key_id,
                &secret,
                token.as_deref(),
            )));
        }
        let token_file = surroundings.path_var("AWS_WEB_IDENTITY_TOKEN_FILE");
        let role = surroundings.var("AWS_ROLE_ARN");
        if let (Some(token_file), Some(role)) = (token_file, role) {
            let session = surroundings
                .var("AWS_ROLE_SESSION_NAME")
                .unwrap_or_else(|| "custos".to_owned());
            return Ok(Self::WebIdentity {
                token_file,
                role,
                session,
            });
        }
        if let Some(credentials) = profile::credentials(surroundings)? {
            return Ok(Self::Fixed(credentials));
        }
        Machine::find(surroundings)?
            .map(Self::Machine)
            .ok_or_else(missing)
    }

    pub(super) fn fetch(
        &self,
        region: &str,
        surroundings: &Surroundings,
    ) -> Result<Credentials, ServiceError> {
        match self {
            Self::Fixed(credentials) => Ok(credentials.clone()),
            Self::Machine(machine @ Machine::Container { .. }) => machine.fetch(surroundings),
            // Most machines have no such service; what they lack is a key.
            Self::Machine(machine @ Machine::Instance { .. }) => {
                machine.fetch(surroundings).map_err(|error| match error {
                    ServiceError::Net { .. } => missing(),
                    error => error,
                })
            }
            Self::WebIdentity {
                token_file,
                role,
                session,
            } => {
                // Read each time: whoever wrote it renews it.
                let token = Secret::new(read_text(token_file)?.as_str());
                assume_role(&token, [role, session], region, surroundings)
            }
        }
    }
}

const fn missing() -> ServiceError {
    ServiceError::Surroundings(SurroundingsError::Missing {
        what: "an AWS access key",
        help: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_WEB_IDENTITY_TOKEN_FILE \
               and AWS_ROLE_ARN, or a profile in ~/.aws/credentials",
    })
}

// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
fn assume_role(
    token: &Secret,
    [role, session]: [&str; 2],
    region: &str,
    surroundings: &Surroundings,
) -> Result<Credentials, ServiceError> {
    let url = match surroundings.private_url_var("AWS_ENDPOINT_URL_STS")? {
        Some(url) => url,
        None => match surroundings.private_url_var("AWS_ENDPOINT_URL")? {
            Some(url) => url,
            None => super::address("https", &format!("sts.{region}"), super::suffix(region))?,
        },
    };
    let net = ServiceError::net(STS, "connecting");
    let client = surroundings.client(&url, Roots::System).map_err(net)?;
    let body = form(&[
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", session),
        ("WebIdentityToken", token.expose()),
    ]);
    let answer = Api::new(STS, client, surroundings).bytes(&Call {
        operation: "AssumeRoleWithWebIdentity",
        request: Request::post(url, "application/x-www-form-urlencoded", body),
        secrets: &[token],
    })?;
    let text = String::from_utf8_lossy(answer.body());
    parse_sts(&text).ok_or(ServiceError::Answer {
        service: STS,
        operation: "AssumeRoleWithWebIdentity",
        what: "there are no credentials in it",
    })
}

// The one answer in XML that is read here: four elements without attributes, whose texts (base64,
// letters, a time) need no unescaping.
fn parse_sts(xml: &str) -> Option<Credentials> {
    let (_, rest) = xml.split_once("<Credentials>")?;
    let (inside, _) = rest.split_once("</Credentials>")?;
    let element = |name: &str| {
        let (_, rest) = inside.split_once(&format!("<{name}>"))?;
        let (text, _) = rest.split_once(&format!("</{name}>"))?;
        let text = text.trim();
        (!text.is_empty() && !text.contains(['<', '&'])).then_some(text)
    };
    Some(Credentials {
        key_id: element("AccessKeyId")?.to_owned(),
        secret: element("SecretAccessKey")?.into(),
        session_token: Some(element("SessionToken")?.into()),
        ends: Some(element("Expiration")?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_answer_of_sts() {
        let xml = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>\
            <Credentials><SessionToken>AQoDYXdzEE0a8ANXXX/==</SessionToken>\
            <SecretAccessKey>wJalrXUtnFEMI/K7MDENG</SecretAccessKey>\
            <Expiration>2014-10-24T23:00:23Z</Expiration>\
            <AccessKeyId>ASgeIAIOSFODNN7EXAMPLE</AccessKeyId></Credentials>\
            </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
        let credentials = parse_sts(xml).unwrap();
        assert_eq!(credentials.key_id(), "ASgeIAIOSFODNN7EXAMPLE");
        assert_eq!(credentials.secret().expose(), "wJalrXUtnFEMI/K7MDENG");
        assert_eq!(
            credentials.session_token().unwrap().expose(),
            "AQoDYXdzEE0a8ANXXX/=="
        );
        assert_eq!(credentials.ends, "2014-10-24T23:00:23Z".parse().ok());
        assert!(parse_sts(&xml.replace("<AccessKeyId>", "<X>")).is_none());
        assert!(parse_sts("<Credentials></Credentials>").is_none());
        assert_eq!(
            format!("{credentials:?}"),
            "Credentials(ASgeIAIOSFODNN7EXAMPLE)"
        );
    }
}
