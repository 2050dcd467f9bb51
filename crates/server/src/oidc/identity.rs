//! From the claims of a token to the identity in a certificate, as Fulcio does it.
//!
//! Spec: <https://github.com/sigstore/fulcio/blob/main/docs/oidc.md> for the kinds of issuers and
//! `oid-info.md` for the numbers of the extensions.

use serde_json::{Map, Value};

use super::issuer::Issuer;
use super::token::Claims;

// Longest claim that goes into a certificate, in bytes.
const MAX_CLAIM: usize = 1_024;

/// What an issuer's tokens say about people and jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityKind {
    /// People by address: claims `email` and `email_verified`.
    Email {
        /// Whether addresses count that the issuer has not verified.
        allow_unverified: bool,
    },
    /// The subject is a URI below this one, of the same scheme and host.
    Uri {
        /// For instance `https://example.com`.
        domain: String,
    },
    /// The subject is a user name of this domain; it becomes `name!domain`.
    UserName {
        /// For instance `example.com`.
        domain: String,
    },
    /// The subject is a SPIFFE id of this trust domain.
    Spiffe {
        /// For instance `example.org`.
        trust_domain: String,
    },
    /// Service accounts of a Kubernetes cluster.
    Kubernetes,
    /// Jobs of GitHub Actions.
    Github {
        /// `https://github.com`, or the URL of one's own server.
        url: String,
    },
    /// Jobs of GitLab CI.
    Gitlab {
        /// `https://gitlab.com`, or the URL of one's own server.
        url: String,
    },
}

impl IdentityKind {
    /// Returns the name that Fulcio's configuration uses.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Email { .. } => "email",
            Self::Uri { .. } => "uri",
            Self::UserName { .. } => "username",
            Self::Spiffe { .. } => "spiffe",
            Self::Kubernetes => "kubernetes",
            Self::Github { .. } => "github-workflow",
            Self::Gitlab { .. } => "gitlab-pipeline",
        }
    }

    /// Returns the claim whose value has to be signed to show possession of the key.
    pub const fn challenge_claim(&self) -> &'static str {
        match self {
            Self::Email { .. } => "email",
            _ => "sub",
        }
    }

    pub(super) fn check(&self) -> Result<(), ClaimError> {
        let setting = |ok: bool, claim| {
            if ok {
                Ok(())
            } else {
                Err(ClaimError::Invalid { claim })
            }
        };
        match self {
            Self::Email { .. } | Self::Kubernetes => Ok(()),
            Self::Uri { domain } => setting(scheme_and_host(domain).is_some(), "domain"),
            Self::UserName { domain } => {
                setting(is_plain(domain) && !domain.contains('!'), "domain")
            }
            Self::Spiffe { trust_domain } => setting(
                is_plain(trust_domain) && !trust_domain.contains('/'),
                "trust domain",
            ),
            Self::Github { url } | Self::Gitlab { url } => {
                setting(scheme_and_host(url).is_some(), "url")
            }
        }
    }
}

/// The subject alternative name of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum San {
    /// An address.
    Email(String),
    /// A URI.
    Uri(String),
    /// A user name with its domain, as Fulcio's other name.
    UserName(String),
}

impl San {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Email(text) | Self::Uri(text) | Self::UserName(text) => text,
        }
    }
}

/// Whom a verified token names. Only [`super::TokenVerifier`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    issuer: String,
    subject: String,
    challenge: String,
    san: San,
    claims: Vec<(u8, String)>,
}

impl Identity {
    pub(super) fn of(issuer: &Issuer, claims: &Claims) -> Result<Self, ClaimError> {
        let subject = text("sub", &claims.sub)?;
        let other = Others(&claims.other);
        let (san, challenge, numbered) = match &issuer.kind {
            IdentityKind::Email { allow_unverified } => {
                let address = address(other, *allow_unverified)?;
                (San::Email(address.clone()), address, Vec::new())
            }
            IdentityKind::Uri { domain } => (below(subject, domain)?, subject.to_owned(), vec![]),
            IdentityKind::UserName { domain } => {
                let name = user_name(subject, domain)?;
                (San::UserName(name), subject.to_owned(), vec![])
            }
            IdentityKind::Spiffe { trust_domain } => {
                (spiffe(subject, trust_domain)?, subject.to_owned(), vec![])
            }
            IdentityKind::Kubernetes => (kubernetes(other)?, subject.to_owned(), vec![]),
            IdentityKind::Github { url } => {
                let (san, numbered) = github(other, url.trim_end_matches('/'))?;
                (san, subject.to_owned(), numbered)
            }
            IdentityKind::Gitlab { url } => {
                let (san, numbered) = gitlab(other, url.trim_end_matches('/'))?;
                (san, subject.to_owned(), numbered)
            }
        };
        Ok(Self {
            issuer: issuer.url.clone(),
            subject: subject.to_owned(),
            challenge,
            san,
            claims: numbered,
        })
    }

    /// Returns the issuer's URL.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the token's subject.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns what has to be signed to show possession of the key.
    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    /// Returns the subject alternative name.
    pub const fn san(&self) -> &San {
        &self.san
    }

    /// Returns further claims by the number of their extension below 1.3.6.1.4.1.57264.1.
    pub fn claims(&self) -> &[(u8, String)] {
        &self.claims
    }
}

/// Claims by name.
#[derive(Clone, Copy)]
struct Others<'a>(&'a Map<String, Value>);

impl<'a> Others<'a> {
    fn optional(self, claim: &'static str) -> Result<&'a str, ClaimError> {
        match self.0.get(claim) {
            None | Some(Value::Null) => Ok(""),
            Some(Value::String(value)) if value.is_empty() => Ok(""),
            Some(Value::String(value)) => text(claim, value),
            Some(_) => Err(ClaimError::Invalid { claim }),
        }
    }

    fn text(self, claim: &'static str) -> Result<&'a str, ClaimError> {
        match self.optional(claim)? {
            "" => Err(ClaimError::Missing { claim }),
            value => Ok(value),
        }
    }

    // Text that becomes a part of a URI.
    fn part(self, claim: &'static str) -> Result<&'a str, ClaimError> {
        self.text(claim).and_then(|value| uri_part(claim, value))
    }

    fn within(self, claim: &'static str) -> Result<Self, ClaimError> {
        match self.0.get(claim) {
            Some(Value::Object(map)) => Ok(Others(map)),
            _ => Err(ClaimError::Missing { claim }),
        }
    }
}

fn text<'a>(claim: &'static str, value: &'a str) -> Result<&'a str, ClaimError> {
    if value.is_empty() {
        Err(ClaimError::Missing { claim })
    } else if value.len() > MAX_CLAIM || value.chars().any(char::is_control) {
        Err(ClaimError::Invalid { claim })
    } else {
        Ok(value)
    }
}

// No blank, nothing beyond ASCII, and no step upwards: what a verifier compares is what is
// written.
fn uri_part<'a>(claim: &'static str, value: &'a str) -> Result<&'a str, ClaimError> {
    let upwards = value
        .split('/')
        .any(|segment| matches!(segment, "." | ".."));
    if is_plain(value) && !upwards {
        Ok(value)
    } else {
        Err(ClaimError::Invalid { claim })
    }
}

fn is_plain(value: &str) -> bool {
    !value.is_empty()
        && value
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}?#".contains(&byte))
}

fn address(claims: Others<'_>, allow_unverified: bool) -> Result<String, ClaimError> {
    let claim = "email";
    let address = claims.text(claim)?;
    // Some issuers write the flag as text.
    let verified = match claims.0.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(verified)) => verified == "true",
        _ => false,
    };
    if !verified && !allow_unverified {
        return Err(ClaimError::EmailNotVerified);
    }
    if is_address(address) {
        Ok(address.to_owned())
    } else {
        Err(ClaimError::Invalid { claim })
    }
}

fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"@\"(),:;<>[\\]".contains(&byte))
    };
    text.len() <= 254 && plain(local) && plain(domain) && domain.split('.').all(|l| !l.is_empty())
}

fn below(subject: &str, domain: &str) -> Result<San, ClaimError> {
    let invalid = ClaimError::Invalid { claim: "sub" };
    let Some(place) = scheme_and_host(subject).filter(|_| !is_address(subject)) else {
        return Err(invalid);
    };
    if Some(place) == scheme_and_host(domain) && uri_part("sub", subject).is_ok() {
        Ok(San::Uri(subject.to_owned()))
    } else {
        Err(invalid)
    }
}

// Scheme and host of a URI without user and port.
fn scheme_and_host(uri: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = uri.split_once("://")?;
    let host = rest.split('/').next()?;
    let plain = is_plain(uri) && !scheme.is_empty() && !host.is_empty();
    (plain && !host.contains('@')).then_some((scheme, host))
}

fn user_name(subject: &str, domain: &str) -> Result<String, ClaimError> {
    // `!` separates name and domain; an address would look like another kind of identity.
    if subject.contains('!') || subject.contains('@') {
        return Err(ClaimError::Invalid { claim: "sub" });
    }
    Ok(format!("{subject}!{domain}"))
}

fn spiffe(subject: &str, trust_domain: &str) -> Result<San, ClaimError> {
    let claim = "sub";
    let path = subject
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.strip_prefix(trust_domain))
        .ok_or(ClaimError::Invalid { claim })?;
    // SPIFFE-ID section 2: no empty segment, no dots, letters, digits and `-_.` alone.
    let segment = |segment: &str| {
        !segment.is_empty()
            && !matches!(segment, "." | "..")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let ok = match path.strip_prefix('/') {
        Some(path) => path.split('/').all(segment),
        None => path.is_empty(),
    };
    if ok {
        Ok(San::Uri(subject.to_owned()))
    } else {
        Err(ClaimError::Invalid { claim })
    }
}

fn kubernetes(claims: Others<'_>) -> Result<San, ClaimError> {
    let claims = claims.within("kubernetes.io")?;
    let name = |value: &'_ str, claim| {
        // DNS labels, so neither slashes nor dots lead out of the path.
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let known = |byte: u8| plain(byte) || b"-.".contains(&byte);
        if value.bytes().all(known) && value.bytes().any(plain) {
            Ok(())
        } else {
            Err(ClaimError::Invalid { claim })
        }
    };
    let namespace = claims.text("namespace")?;
    let account = claims.within("serviceaccount")?.text("name")?;
    name(namespace, "namespace")?;
    name(account, "serviceaccount")?;
    Ok(San::Uri(format!(
        "https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{account}"
    )))
}

type Numbered = Vec<(u8, String)>;

fn github(claims: Others<'_>, url: &str) -> Result<(San, Numbered), ClaimError> {
    let uri = |claim| Ok::<_, ClaimError>(format!("{url}/{}", claims.part(claim)?));
    let text = |claim| claims.text(claim).map(str::to_owned);
    let repository = uri("repository")?;
    let run = format!(
        "{repository}/actions/runs/{}/attempts/{}",
        claims.part("run_id")?,
        claims.part("run_attempt")?
    );
    let workflow = uri("job_workflow_ref")?;
    let numbered = vec![
        (2, text("event_name")?),
        (3, text("sha")?),
        (4, text("workflow")?),
        (5, text("repository")?),
        (6, text("ref")?),
        (9, workflow.clone()),
        (10, text("job_workflow_sha")?),
        (11, text("runner_environment")?),
        (12, repository),
        (13, text("sha")?),
        (14, text("ref")?),
        (15, text("repository_id")?),
        (16, uri("repository_owner")?),
        (17, text("repository_owner_id")?),
        (18, uri("workflow_ref")?),
        (19, text("workflow_sha")?),
        (20, text("event_name")?),
        (21, run),
        (22, text("repository_visibility")?),
    ];
    Ok((San::Uri(workflow), numbered))
}

fn gitlab(claims: Others<'_>, url: &str) -> Result<(San, Numbered), ClaimError> {
    let uri = |claim| Ok::<_, ClaimError>(format!("{url}/{}", claims.part(claim)?));
    let text = |claim| claims.text(claim).map(str::to_owned);
    let repository = uri("project_path")?;
    let name = claims.text("ref")?;
    let reference = match claims.text("ref_type")? {
        "branch" => format!("refs/heads/{name}"),
        "tag" => format!("refs/tags/{name}"),
        _ => return Err(ClaimError::Invalid { claim: "ref_type" }),
    };
    // It comes without a scheme, and begins with a host that need not be this server.
    let config = claims.part("ci_config_ref_uri")?;
    let own = url.split_once("://").map(|(_, rest)| rest);
    let scheme = match url.split_once("://") {
        Some((scheme, host)) if own == config.split('/').next() && !host.is_empty() => scheme,
        _ => "https",
    };
    let config = format!("{scheme}://{config}");
    let run = format!("{repository}/-/jobs/{}", claims.part("job_id")?);
    let sha = claims.optional("ci_config_sha")?.to_owned();
    let numbered = vec![
        (9, config.clone()),
        (10, sha.clone()),
        (11, text("runner_environment")?),
        (12, repository),
        (13, text("sha")?),
        (14, reference),
        (15, text("project_id")?),
        (16, uri("namespace_path")?),
        (17, text("namespace_id")?),
        (18, config.clone()),
        (19, sha),
        (20, text("pipeline_source")?),
        (21, run),
        (22, claims.optional("project_visibility")?.to_owned()),
    ];
    Ok((San::Uri(config), numbered))
}

/// Why the claims name nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// The issuer does not vouch for the address.
    #[error("the issuer has not verified the email address")]
    EmailNotVerified,
    /// A claim (or a setting of the issuer) has a value that cannot stand in a certificate.
    #[error("the value of `{claim}` is not accepted")]
    Invalid {
        /// Which claim.
        claim: &'static str,
    },
    /// A claim that this kind of issuer needs is not there.
    #[error("the token lacks the claim `{claim}`")]
    Missing {
        /// Which claim.
        claim: &'static str,
    },
}
