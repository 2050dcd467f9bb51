//! Tokens of a registry's token service
//! ([specification](https://distribution.github.io/distribution/spec/auth/token/),
//! [with OAuth 2](https://distribution.github.io/distribution/spec/auth/oauth/)).
//!
//! The registry names the service, so it is somebody else's URL: it is called under the guard. It
//! sees the credentials of its own registry and no others, and is asked for no more than what is
//! to be done: the scope is ours, never the registry's.

use custos_core::json;
use custos_core::limits::Limits;
use custos_net::{Client, NetError, Request, Secret, Url, percent_encode};
use serde::{Deserialize, Deserializer};

use super::challenge::Challenge;
use super::credentials::Credential;
use super::error::OciError;

/// Longest token, in bytes; longer ones fit into no header.
const MAX_TOKEN: usize = 32 * 1024;

/// What a token is wanted for.
pub(super) struct Wanted<'a> {
    /// The registry, for messages.
    pub(super) registry: &'a str,
    /// `repository:NAME:pull` or `repository:NAME:pull,push`.
    pub(super) scope: &'a str,
    /// What is shown to the service.
    pub(super) credential: Option<&'a Credential>,
}

/// Gets a token.
pub(super) fn get(
    client: &Client,
    challenge: &Challenge,
    wanted: &Wanted<'_>,
) -> Result<Secret, OciError> {
    let fault = |why| OciError::Challenge {
        registry: wanted.registry.to_owned(),
        why,
    };
    let realm = challenge
        .parameter("realm")
        .ok_or_else(|| fault("it names no token service"))?;
    let realm: Url = realm
        .parse()
        .map_err(|_| fault("the address of its token service is no URL"))?;
    let service = challenge.parameter("service");
    let request = match wanted.credential {
        Some(Credential::IdentityToken(token)) => exchange(realm, service, wanted, token),
        Some(Credential::Basic { user, password }) => {
            let url = with_query(&realm, service, wanted.scope).map_err(NetError::Url)?;
            Request::get(url).with_secret_header("authorization", basic(user, password))
        }
        _ => Request::get(with_query(&realm, service, wanted.scope).map_err(NetError::Url)?),
    };
    let answer = client.send(&request)?;
    if matches!(answer.status(), 401 | 403) {
        return Err(OciError::Denied {
            registry: wanted.registry.to_owned(),
            what: wanted.scope.to_owned(),
            status: answer.status(),
            asked: wanted.credential.is_some(),
        });
    }
    let answer = answer.success()?;
    let fault = || OciError::Token {
        registry: wanted.registry.to_owned(),
    };
    let token: Token = json::from_slice(answer.body(), &Limits::SMALL).map_err(|_| fault())?;
    token
        .token
        .or(token.access_token)
        .filter(|token| is_token(token.expose()))
        .ok_or_else(fault)
}

/// Returns the value of `Authorization` for a user and a password (RFC 7617).
pub(super) fn basic(user: &str, password: &Secret) -> Secret {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let pair = zeroize::Zeroizing::new(format!("{user}:{}", password.expose()));
    Secret::from(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

fn with_query(
    realm: &Url,
    service: Option<&str>,
    scope: &str,
) -> Result<Url, custos_net::UrlError> {
    let mut query: Vec<String> = realm.query().map(str::to_owned).into_iter().collect();
    if let Some(service) = service {
        query.push(format!("service={}", percent_encode(service)));
    }
    query.push(format!("scope={}", percent_encode(scope)));
    realm.with_path(&format!("{}?{}", realm.path(), query.join("&")))
}

fn exchange(realm: Url, service: Option<&str>, wanted: &Wanted<'_>, token: &Secret) -> Request {
    let form = zeroize::Zeroizing::new(format!(
        "grant_type=refresh_token&client_id=custos&service={}&scope={}&refresh_token={}",
        percent_encode(service.unwrap_or_default()),
        percent_encode(wanted.scope),
        percent_encode(token.expose()),
    ));
    Request::post(realm, "application/x-www-form-urlencoded", form.as_bytes())
}

// RFC 6750 section 2.1: what may stand behind `Bearer`.
fn is_token(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    !text.is_empty() && text.len() <= MAX_TOKEN && text.bytes().all(word)
}

#[derive(Deserialize)]
struct Token {
    #[serde(default, deserialize_with = "secret")]
    token: Option<Secret>,
    #[serde(default, deserialize_with = "secret")]
    access_token: Option<Secret>,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(Secret::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_the_realm_is_kept() {
        let realm: Url = "https://auth.example/token?account=a".parse().unwrap();
        let url = with_query(&realm, Some("r example"), "repository:a/b:pull").unwrap();
        assert_eq!(
            url.as_text(),
            "https://auth.example/token?account=a&service=r%20example&scope=repository%3Aa%2Fb%3Apull"
        );
        let realm: Url = "https://auth.example".parse().unwrap();
        let url = with_query(&realm, None, "x").unwrap();
        assert_eq!(url.as_text(), "https://auth.example/?scope=x");
    }

    #[test]
    fn only_what_fits_into_a_header_is_a_token() {
        assert!(is_token("eyJh.bGc-_~+/="));
        for text in ["", "a b", "a\r\nx: y", "\u{e4}", &"a".repeat(MAX_TOKEN + 1)] {
            assert!(!is_token(text), "{text}");
        }
        assert_eq!(basic("u", &"p".into()).expose(), "Basic dTpw");
    }
}
