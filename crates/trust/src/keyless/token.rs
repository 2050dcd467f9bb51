//! ID tokens, from the side of who holds one: what it says, for whom, and how long.
//!
//! What it is not: nothing here verifies a token; the certificate authority does. What it says is
//! compared with the certificate that comes back, so that nobody signs under another name than
//! they meant.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use custos_core::clock::Timestamp;
use custos_core::json;
use custos_core::limits::Limits;
use custos_net::Secret;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Longest token, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;

/// The audience of Sigstore's tokens.
pub const AUDIENCE: &str = "sigstore";

/// An ID token in compact form, taken apart. `Debug` shows nothing of the token itself.
#[derive(Debug, Clone)]
pub struct IdentityToken {
    text: Secret,
    claims: Claims,
}

#[derive(Debug, Clone, Deserialize)]
struct Claims {
    iss: String,
    #[serde(default)]
    sub: String,
    aud: Audience,
    exp: serde_json::Number,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl IdentityToken {
    /// Takes a token apart; white space around it does not belong to it.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > MAX_TOKEN {
            return Err(TokenError::TooLarge);
        }
        let mut parts = text.split('.');
        let (Some(_), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Malformed);
        };
        let payload = URL_SAFE_NO_PAD
            .decode(payload)
            .map_err(|_| TokenError::Malformed)?;
        let limits = Limits::SMALL.with_max_bytes(MAX_TOKEN);
        let claims: Claims =
            json::from_slice(&payload, &limits).map_err(|_| TokenError::Malformed)?;
        Ok(Self {
            text: Secret::new(text),
            claims,
        })
    }

    /// Checks that it is for `audience` and counts at `now`: what the authority would refuse needs
    /// not be sent.
    pub fn check(&self, audience: &str, now: Timestamp) -> Result<(), TokenError> {
        let fits = match &self.claims.aud {
            Audience::One(one) => one == audience,
            Audience::Many(many) => many.iter().any(|one| one == audience),
        };
        if !fits {
            return Err(TokenError::WrongAudience {
                expected: audience.to_owned(),
                found: self.claims.aud.shown(),
            });
        }
        if self.expires().is_some_and(|end| end <= now) {
            return Err(TokenError::Expired);
        }
        Ok(())
    }

    /// Returns the token, for the one place that sends it.
    pub const fn secret(&self) -> &Secret {
        &self.text
    }

    /// Returns who issued it.
    pub fn issuer(&self) -> &str {
        &self.claims.iss
    }

    /// Returns when it ends, if that is a time.
    pub fn expires(&self) -> Option<Timestamp> {
        self.claims.exp.as_i64().map(Timestamp::from_seconds)
    }

    /// Returns a claim that is a text and not empty.
    pub fn claim(&self, name: &str) -> Option<&str> {
        match name {
            "sub" => Some(self.claims.sub.as_str()),
            _ => self.claims.other.get(name).and_then(Value::as_str),
        }
        .filter(|value| !value.is_empty())
    }

    /// Returns whom it is about, for people.
    pub fn who(&self) -> &str {
        self.claim("email").unwrap_or(&self.claims.sub)
    }

    /// Returns true if a certificate for `identity` by `issuer` is the one of this token.
    ///
    /// Spec: <https://github.com/sigstore/fulcio/blob/main/docs/oidc.md>: which claim becomes the
    /// identity depends on the issuer's kind. An authority that federates others names the one
    /// behind.
    pub fn is_of(&self, identity: &str, issuer: &str) -> bool {
        let behind = self
            .claims
            .other
            .get("federated_claims")
            .and_then(|claims| claims.get("connector_id"))
            .and_then(Value::as_str);
        let vouched = issuer == self.claims.iss || behind == Some(issuer);
        vouched && self.names(identity)
    }

    fn names(&self, identity: &str) -> bool {
        let is = |claim: &str| self.claim(claim) == Some(identity);
        // A URI whose path is the claim: jobs of GitHub and GitLab, with whatever server.
        let path_is = |claim: &str| {
            let path = identity
                .split_once("://")
                .and_then(|(_, rest)| rest.split_once('/'))
                .map(|(_, path)| path);
            path.is_some() && path == self.claim(claim)
        };
        let after_scheme = identity.split_once("://").map(|(_, rest)| rest);
        let user = identity.split_once('!').map(|(name, _)| name);
        is("email")
            || is("sub")
            || path_is("job_workflow_ref")
            || (after_scheme.is_some() && after_scheme == self.claim("ci_config_ref_uri"))
            || (user.is_some() && user == self.claim("sub"))
            || self.kubernetes().as_deref() == Some(identity)
            || self.buildkite().as_deref() == Some(identity)
            || self.circleci().as_deref() == Some(identity)
    }

    fn kubernetes(&self) -> Option<String> {
        let claims = self.claims.other.get("kubernetes.io")?;
        let namespace = claims.get("namespace")?.as_str()?;
        let account = claims.get("serviceaccount")?.get("name")?.as_str()?;
        Some(format!(
            "https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{account}"
        ))
    }

    fn buildkite(&self) -> Option<String> {
        let organization = self.claim("organization_slug")?;
        let pipeline = self.claim("pipeline_slug")?;
        Some(format!("https://buildkite.com/{organization}/{pipeline}"))
    }

    fn circleci(&self) -> Option<String> {
        let project = self.claim("oidc.circleci.com/project-id")?;
        let definition = self.claim("oidc.circleci.com/pipeline-definition-id")?;
        Some(format!(
            "https://circleci.com/api/v2/projects/{project}/pipeline-definitions/{definition}"
        ))
    }
}

impl Audience {
    fn shown(&self) -> String {
        let text = match self {
            Self::One(one) => one.clone(),
            Self::Many(many) => many.join(", "),
        };
        text.chars().filter(|c| !c.is_control()).take(128).collect()
    }
}

/// Why a token is not used. Never holds the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The token has ended.
    #[error("the token has expired")]
    Expired,
    /// Not a signed token in compact form.
    #[error("it is not an ID token (a JSON Web Token with three parts)")]
    Malformed,
    /// More than [`MAX_TOKEN`] bytes.
    #[error("the token is longer than {MAX_TOKEN} bytes")]
    TooLarge,
    /// The token was made for somebody else.
    #[error("the token is for the audience `{found}`, and `{expected}` is needed")]
    WrongAudience {
        /// The audience needed.
        expected: String,
        /// The one found, shortened.
        found: String,
    },
}

/// Takes a token apart that anybody may have written.
#[doc(hidden)]
pub fn fuzz_token(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(token) = IdentityToken::parse(text)
    {
        let _ = token.is_of("https://a/b", token.issuer());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn token(claims: &Value) -> IdentityToken {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}.c2ln", part(&json!({"alg": "none"})), part(claims));
        IdentityToken::parse(&format!(" {text}\n")).unwrap()
    }

    fn claims() -> Value {
        json!({"iss": "https://i", "sub": "s", "aud": "sigstore", "exp": 1_000,
               "email": "a@example.com"})
    }

    #[test]
    fn audience_and_end_are_looked_at_before_anything_is_sent() {
        let at = Timestamp::from_seconds;
        let one = token(&claims());
        assert_eq!(one.check("sigstore", at(999)), Ok(()));
        assert_eq!(one.check("sigstore", at(1_000)), Err(TokenError::Expired));
        let wrong = one.check("other", at(0)).unwrap_err();
        assert!(matches!(wrong, TokenError::WrongAudience { found, .. } if found == "sigstore"));
        let mut many = claims();
        many["aud"] = json!(["x", "sigstore"]);
        assert_eq!(token(&many).check("sigstore", at(0)), Ok(()));
        assert_eq!(one.who(), "a@example.com");
    }

    #[test]
    fn each_kind_of_issuer_has_its_identity() {
        let with = |more: &Value| {
            let mut all = claims();
            for (name, value) in more.as_object().unwrap() {
                all[name] = value.clone();
            }
            token(&all)
        };
        for (more, identity) in [
            (json!({}), "a@example.com"),
            (json!({}), "s"),
            (json!({}), "s!example.com"),
            (
                json!({"job_workflow_ref": "o/r/.github/workflows/w.yml@refs/heads/main"}),
                "https://github.com/o/r/.github/workflows/w.yml@refs/heads/main",
            ),
            (
                json!({"ci_config_ref_uri": "gitlab.com/o/r//.gitlab-ci.yml@refs/heads/main"}),
                "https://gitlab.com/o/r//.gitlab-ci.yml@refs/heads/main",
            ),
            (
                json!({"kubernetes.io": {"namespace": "n", "serviceaccount": {"name": "a"}}}),
                "https://kubernetes.io/namespaces/n/serviceaccounts/a",
            ),
            (
                json!({"organization_slug": "o", "pipeline_slug": "p"}),
                "https://buildkite.com/o/p",
            ),
        ] {
            let token = with(&more);
            assert!(token.is_of(identity, "https://i"), "{identity}");
            assert!(!token.is_of(identity, "https://j"), "{identity}");
            // The domain of a user name is the authority's to choose.
            let other = match identity.split_once('!') {
                Some(_) => format!("x{identity}"),
                None => format!("{identity}x"),
            };
            assert!(!token.is_of(&other, "https://i"), "{other}");
        }
        // No identity at all never fits a missing claim.
        assert!(!token(&claims()).is_of("https://a", "https://i"));
        assert!(!token(&claims()).is_of("", "https://i"));
        let federated = with(&json!({"federated_claims": {"connector_id": "https://behind"}}));
        assert!(federated.is_of("a@example.com", "https://behind"));
    }

    #[test]
    fn what_is_no_token_is_refused_and_none_is_shown() {
        for bad in ["", "a", "a.b", "a.b.c", "a.b.c.d", "..", "e30.e30.x"] {
            assert!(
                matches!(IdentityToken::parse(bad), Err(TokenError::Malformed)),
                "{bad}"
            );
        }
        let long = "a".repeat(MAX_TOKEN + 1);
        assert!(matches!(
            IdentityToken::parse(&long),
            Err(TokenError::TooLarge)
        ));
        let token = token(&claims());
        assert!(!format!("{token:?}").contains(token.secret().expose()));
    }
}
