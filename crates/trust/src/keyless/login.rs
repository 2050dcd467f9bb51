//! ID tokens for people: a browser somewhere, and this program waiting.
//!
//! Specs: RFC 8628 (device flow: a code is typed into a browser on any machine), RFC 6749 section
//! 4.1 with RFC 7636 (PKCE) and RFC 8252 (browser flow: the browser on this machine comes back to
//! a port of it). There is no client secret; PKCE binds the answer to whoever asked. The nonce
//! binds the token to this login.
//!
//! What it is not: it opens no browser. The address is handed to the caller, who shows it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use custos_core::crypto::sha256;
use custos_core::json;
use custos_core::limits::Limits;
use custos_net::{Client, Guard, NetError, Request, Response, Roots, Secret, Url, percent_encode};
use serde::Deserialize;

use super::services::{Failed, KeylessError, Service};
use super::token::{IdentityToken, MAX_TOKEN};
use crate::signers::Surroundings;

/// The client that Sigstore's issuers know.
pub const CLIENT_ID: &str = "sigstore";

const SCOPE: &str = "openid email";
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Shortest and longest pause between two questions, in seconds.
const MIN_PAUSE: u64 = 1;
const MAX_PAUSE: u64 = 60;
/// Longest login, in seconds.
const MAX_LOGIN: u64 = 15 * 60;
/// Largest request that the browser makes, in bytes.
const MAX_REQUEST: u64 = 16 * 1024;
/// Most connections to the port that are not the browser coming back.
const MAX_CONNECTIONS: usize = 32;

/// What a person has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// Open this address in a browser of this machine.
    Open {
        /// The address.
        url: String,
    },
    /// Open this address in any browser, and see that it shows this code.
    Type {
        /// The address.
        url: String,
        /// The code.
        code: String,
    },
}

/// Who is asked, and how.
#[allow(clippy::exhaustive_structs, reason = "an argument list with names")]
pub struct Login<'a> {
    /// The issuer of tokens.
    pub issuer: &'a str,
    /// The client that the issuer knows.
    pub client_id: &'a str,
    /// Shows a person what to do.
    pub show: &'a dyn Fn(&Ask),
    /// Waits; for tests, it need not.
    pub pause: &'a dyn Fn(Duration),
}

impl Login<'_> {
    /// Logs in by a code that is typed somewhere (RFC 8628).
    pub fn by_device(&self, surroundings: &Surroundings) -> Result<IdentityToken, KeylessError> {
        let issuer = self.discover(surroundings)?;
        let device = endpoint(issuer.found.device.as_deref(), "no device flow")?;
        let secrets = Secrets::new()?;
        let begun: Device = issuer.post(
            &device,
            &[
                ("client_id", self.client_id),
                ("scope", SCOPE),
                ("nonce", secrets.nonce.expose()),
                ("code_challenge", &secrets.challenge()),
                ("code_challenge_method", "S256"),
            ],
        )?;
        let url = begun.complete.as_ref().unwrap_or(&begun.uri);
        // It is shown to a person, who opens it.
        url.parse::<Url>()
            .map_err(|_| broken("an address that is none"))?;
        (self.show)(&Ask::Type {
            url: url.clone(),
            code: begun
                .user_code
                .chars()
                .filter(|c| !c.is_control())
                .take(64)
                .collect(),
        });
        let answer = self.poll(&issuer, &begun, &secrets)?;
        secrets.check(&answer)
    }

    fn poll(
        &self,
        issuer: &Issuer,
        begun: &Device,
        secrets: &Secrets,
    ) -> Result<Token, KeylessError> {
        let token = endpoint(Some(&issuer.found.token), "no token endpoint")?;
        let mut pause = begun.interval.unwrap_or(5).clamp(MIN_PAUSE, MAX_PAUSE);
        let last = begun.expires_in.min(MAX_LOGIN);
        let mut waited = 0_u64;
        while waited < last {
            (self.pause)(Duration::from_secs(pause));
            waited = waited.saturating_add(pause);
            let answer = issuer.token(
                &token,
                &[
                    ("grant_type", DEVICE_GRANT),
                    ("device_code", begun.code.as_str()),
                    ("client_id", self.client_id),
                    ("code_verifier", secrets.verifier.expose()),
                ],
            );
            match answer {
                Ok(Answer::Token(token)) => return Ok(token),
                Ok(Answer::Pending) => {}
                // RFC 8628 section 3.5: five seconds more, from now on, also where nobody answers.
                Ok(Answer::SlowDown) | Err(KeylessError::Unreachable { .. }) => {
                    pause = pause.saturating_add(5).min(MAX_PAUSE);
                }
                Ok(Answer::No(why)) => return Err(KeylessError::Login { why }),
                Err(error) => return Err(error),
            }
        }
        Err(KeylessError::Login {
            why: "the code has expired".to_owned(),
        })
    }

    /// Logs in by the browser of this machine, which comes back to a port of it.
    pub fn by_browser(&self, surroundings: &Surroundings) -> Result<IdentityToken, KeylessError> {
        let issuer = self.discover(surroundings)?;
        let authorize = endpoint(issuer.found.authorization.as_deref(), "no browser flow")?;
        let token = endpoint(Some(&issuer.found.token), "no token endpoint")?;
        let port = Port::open()?;
        let secrets = Secrets::new()?;
        let back = port.address();
        let query = form(&[
            ("response_type", "code"),
            ("client_id", self.client_id),
            ("redirect_uri", &back),
            ("scope", SCOPE),
            ("state", secrets.state.expose()),
            ("nonce", secrets.nonce.expose()),
            ("code_challenge", &secrets.challenge()),
            ("code_challenge_method", "S256"),
        ]);
        let base = authorize.as_text();
        let separator = if base.contains('?') { '&' } else { '?' };
        (self.show)(&Ask::Open {
            url: format!("{base}{separator}{query}"),
        });
        let code = port.wait_at_most(&secrets.state, Duration::from_secs(MAX_LOGIN))?;
        let answer = issuer.token(
            &token,
            &[
                ("grant_type", "authorization_code"),
                ("code", code.expose()),
                ("redirect_uri", &back),
                ("client_id", self.client_id),
                ("code_verifier", secrets.verifier.expose()),
            ],
        )?;
        match answer {
            Answer::Token(token) => secrets.check_bound(&token),
            Answer::No(why) => Err(KeylessError::Login { why }),
            Answer::Pending | Answer::SlowDown => Err(broken("an answer of another flow")),
        }
    }

    fn discover(&self, surroundings: &Surroundings) -> Result<Issuer, KeylessError> {
        let base: Url = self.issuer.parse().map_err(|_| KeylessError::NotAUrl {
            text: self.issuer.chars().take(200).collect(),
        })?;
        let settings = surroundings
            .settings(&base, Roots::System)
            .map_err(KeylessError::Settings)?;
        let mut settings = settings.with_max_answer(1 << 20);
        // Its endpoints may be on other public servers, such as Google's; never inside of this
        // network, unless they are the issuer itself.
        settings.guard = Guard::public().naming(&base);
        let client = Client::new(settings).map_err(KeylessError::Settings)?;
        let url = super::services::below(&base, "/.well-known/openid-configuration")?;
        let answer = client
            .send(&Request::get(url))
            .and_then(Response::success)
            .map_err(failed)?;
        let found: Discovery = json::from_slice(answer.body(), &Limits::SMALL)
            .map_err(|_| broken("a discovery document that is none"))?;
        if found.issuer != self.issuer {
            return Err(broken("a discovery document of another issuer"));
        }
        Ok(Issuer { client, found })
    }
}

impl std::fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({})", self.issuer)
    }
}

struct Issuer {
    client: Client,
    found: Discovery,
}

fn endpoint(text: Option<&str>, lacks: &'static str) -> Result<Url, KeylessError> {
    let text = text.ok_or_else(|| KeylessError::Login {
        why: format!("the issuer has {lacks}"),
    })?;
    text.parse().map_err(|_| broken("an address that is none"))
}

impl Issuer {
    fn send(&self, url: &Url, fields: &[(&str, &str)]) -> Result<Response, KeylessError> {
        let kind = "application/x-www-form-urlencoded";
        let request = Request::post(url.clone(), kind, form(fields).into_bytes())
            .with_header("accept", "application/json");
        self.client.send(&request).map_err(failed)
    }

    fn post<T: serde::de::DeserializeOwned>(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
    ) -> Result<T, KeylessError> {
        let answer = self.send(url, fields)?.success().map_err(failed)?;
        json::from_slice(answer.body(), &Limits::SMALL)
            .map_err(|_| broken("an answer in another form"))
    }

    // RFC 6749 section 5.2: an error is an answer, with a status of its own.
    fn token(&self, url: &Url, fields: &[(&str, &str)]) -> Result<Answer, KeylessError> {
        let answer = self.send(url, fields)?;
        let limits = Limits::SMALL.with_max_bytes(4 * MAX_TOKEN);
        if (200..300).contains(&answer.status()) {
            let token = json::from_slice(answer.body(), &limits);
            return token
                .map(Answer::Token)
                .map_err(|_| broken("an answer without an ID token"));
        }
        let Ok(refused) = json::from_slice::<OauthError>(answer.body(), &limits) else {
            answer.success().map_err(failed)?;
            return Err(broken("an answer in another form"));
        };
        Ok(match refused.error.as_str() {
            "authorization_pending" => Answer::Pending,
            "slow_down" => Answer::SlowDown,
            // Some words of the server's, which may repeat nothing secret: the code's name only.
            other => Answer::No(
                other
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(100)
                    .collect(),
            ),
        })
    }
}

enum Answer {
    Token(Token),
    Pending,
    SlowDown,
    No(String),
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    #[serde(rename = "token_endpoint")]
    token: String,
    #[serde(rename = "authorization_endpoint")]
    authorization: Option<String>,
    #[serde(rename = "device_authorization_endpoint")]
    device: Option<String>,
}

#[derive(Deserialize)]
struct Device {
    #[serde(rename = "device_code")]
    code: String,
    user_code: String,
    #[serde(rename = "verification_uri", alias = "verification_url")]
    uri: String,
    #[serde(rename = "verification_uri_complete")]
    complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct Token {
    id_token: String,
}

#[derive(Deserialize)]
struct OauthError {
    error: String,
}

/// What only this login knows.
struct Secrets {
    verifier: Secret,
    state: Secret,
    nonce: Secret,
}

impl Secrets {
    fn new() -> Result<Self, KeylessError> {
        Ok(Self {
            verifier: random()?,
            state: random()?,
            nonce: random()?,
        })
    }

    // RFC 7636 section 4.2.
    fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(sha256(self.verifier.expose().as_bytes()))
    }

    // OpenID Connect Core section 3.1.3.7: what was sent has to come back.
    fn check_bound(&self, answer: &Token) -> Result<IdentityToken, KeylessError> {
        let token = self.check(answer)?;
        match token.claim("nonce") {
            Some(_) => Ok(token),
            None => Err(broken("a token that is bound to no login")),
        }
    }

    // In the device flow an issuer may leave the nonce out; another one is another login's.
    fn check(&self, answer: &Token) -> Result<IdentityToken, KeylessError> {
        let token = IdentityToken::parse(&answer.id_token).map_err(KeylessError::Token)?;
        match token.claim("nonce") {
            Some(nonce) if nonce != self.nonce.expose() => {
                Err(broken("the token of another login"))
            }
            _ => Ok(token),
        }
    }
}

fn random() -> Result<Secret, KeylessError> {
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| KeylessError::Key("the system's random source failed".to_owned()))?;
    Ok(Secret::from(URL_SAFE_NO_PAD.encode(bytes)))
}

fn form(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", percent_encode(value)))
        .collect();
    pairs.join("&")
}

/// The port that the browser comes back to.
struct Port {
    listener: TcpListener,
    number: u16,
}

impl Port {
    fn open() -> Result<Self, KeylessError> {
        let io = |error: std::io::Error| KeylessError::Login {
            why: format!("no port of this machine could be opened: {error}"),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(io)?;
        let number = listener.local_addr().map_err(io)?.port();
        Ok(Self { listener, number })
    }

    fn address(&self) -> String {
        format!("http://localhost:{}/auth/callback", self.number)
    }

    // Whoever waits for somebody who never comes is told so.
    fn wait_at_most(self, state: &Secret, time: Duration) -> Result<Secret, KeylessError> {
        let (sender, receiver) = mpsc::channel();
        let state = state.clone();
        thread::spawn(move || {
            // Nobody listens any more once the time is up.
            let _ = sender.send(self.wait(&state));
        });
        receiver
            .recv_timeout(time)
            .map_err(|_| KeylessError::Login {
                why: "the browser did not come back in time".to_owned(),
            })?
    }

    // Anything on this machine can call the port; only who knows the state is the browser.
    fn wait(&self, state: &Secret) -> Result<Secret, KeylessError> {
        for _ in 0..MAX_CONNECTIONS {
            let Ok((stream, _)) = self.listener.accept() else {
                continue;
            };
            if let Some(outcome) = come_back(stream, state) {
                return outcome;
            }
        }
        Err(KeylessError::Login {
            why: "something else keeps calling the port of the browser".to_owned(),
        })
    }
}

// `None` where it was somebody else.
fn come_back(mut stream: TcpStream, state: &Secret) -> Option<Result<Secret, KeylessError>> {
    let limit = Some(Duration::from_secs(10));
    stream.set_read_timeout(limit).ok()?;
    stream.set_write_timeout(limit).ok()?;
    let head = head(&mut stream)?;
    let target = head
        .lines()
        .next()?
        .strip_prefix("GET ")?
        .split(' ')
        .next()?;
    let (path, query) = target.split_once('?')?;
    let value = |name: &str| {
        query.split('&').find_map(|pair| {
            let (found, value) = pair.split_once('=')?;
            (found == name).then(|| decoded(value)).flatten()
        })
    };
    let ours = path == "/auth/callback" && value("state").as_deref() == Some(state.expose());
    let (status, text) = if ours {
        ("200 OK", "You can close this window.\n")
    } else {
        ("404 Not Found", "")
    };
    // The browser's window is a courtesy.
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{text}",
        text.len()
    );
    if !ours {
        return None;
    }
    Some(match value("code") {
        Some(code) => Ok(Secret::from(code)),
        None => Err(KeylessError::Login {
            why: value("error")
                .unwrap_or_else(|| "the issuer sent no code".to_owned())
                .chars()
                .filter(|c| !c.is_control())
                .take(100)
                .collect(),
        }),
    })
}

fn head(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut chunk = [0_u8; 1024];
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut chunk).ok()?;
        bytes.extend_from_slice(chunk.get(..read)?);
        let length = u64::try_from(bytes.len()).ok()?;
        if read == 0 || length > MAX_REQUEST {
            return None;
        }
    }
    String::from_utf8(bytes).ok()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

fn failed(error: NetError) -> KeylessError {
    let service = Service::Issuer;
    Failed { service, error }.into()
}

fn broken(what: &'static str) -> KeylessError {
    let service = Service::Issuer;
    KeylessError::Malformed { service, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_waited_for_without_end() {
        let port = Port::open().unwrap();
        let outcome = port.wait_at_most(&Secret::new("state"), Duration::from_millis(20));
        assert!(matches!(outcome, Err(KeylessError::Login { why }) if why.contains("in time")));
    }
}
