//! The client with services on this machine that help, lie, repeat and never end.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use custos_core::clock::{FixedClock, Timestamp};
use custos_core::crypto::{KeyKind, KeyPair};
use custos_net::Roots;
use serde_json::{Value, json};

use super::ambient::{Places, token_at};
use super::config::{Endpoint, SigningConfig, Validity};
use super::login::{Ask, Login};
use super::token::IdentityToken;
use super::trusted::TrustedServices;
use super::*;
use crate::signers::Surroundings;

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

type Reply = Box<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

/// A server that keeps what it was sent.
struct Host {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Host {
    fn start(reply: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kept, reply): (_, Reply) = (Arc::clone(&seen), Box::new(reply));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read(&mut stream);
                kept.lock().unwrap().push(request.clone());
                // Whoever has read enough hangs up.
                let _ = stream.write_all(&reply(&request));
            }
        });
        Self { url, seen }
    }

    fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn read(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut bytes = [0_u8; 4_096];
    loop {
        let read = stream.read(&mut bytes).unwrap_or(0);
        text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if read == 0 {
                return text;
            }
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().unwrap())
            })
            .unwrap_or(0);
        if body.len() >= length || read == 0 {
            return text;
        }
    }
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn token_text(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.c2lnbmF0dXJl",
        part(&json!({"alg": "x"})),
        part(claims)
    )
}

fn claims() -> Value {
    json!({"iss": "https://i", "sub": "s", "aud": "sigstore", "email": "a@example.com",
           "exp": NOW.as_seconds() + 600})
}

fn surroundings(vars: &[(&str, String)]) -> Surroundings {
    let vars: Vec<(String, String)> = vars
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    let look_up = move |name: &str| {
        let found = vars.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    Surroundings::new(look_up, Arc::new(FixedClock::new(NOW)))
}

fn nowhere() -> Places {
    Places {
        token: "/nonexistent/token".into(),
        product: "/nonexistent/product".into(),
    }
}

fn ambient(vars: &[(&str, String)]) -> Result<Option<IdentityToken>, KeylessError> {
    token_at(&surroundings(vars), &nowhere())
}

#[test]
fn each_ci_service_gives_its_token_for_our_audience() {
    let token = token_text(&claims());
    let body = json!({"value": token, "token": token}).to_string();
    let host = Host::start(move |request| {
        if request.contains("computeMetadata") {
            answer("200 OK", &token)
        } else {
            answer("200 OK", &body)
        }
    });
    let one = |name: &'static str| (name, "true".to_owned());
    let github = [
        one("GITHUB_ACTIONS"),
        (
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            format!("{}/t?x=1", host.url),
        ),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner-secret".to_owned()),
    ];
    let buildkite = [
        one("BUILDKITE"),
        ("BUILDKITE_AGENT_ENDPOINT", format!("{}/v3", host.url)),
        ("BUILDKITE_AGENT_ACCESS_TOKEN", "agent-secret".to_owned()),
        ("BUILDKITE_JOB_ID", "job/1".to_owned()),
    ];
    let address = host.url.strip_prefix("http://").unwrap().to_owned();
    let google = [("GCE_METADATA_HOST", address)];
    let gitlab = [("SIGSTORE_ID_TOKEN", token_text(&claims()))];
    for vars in [&github[..], &buildkite, &google, &gitlab] {
        let found = ambient(vars).unwrap().unwrap();
        assert_eq!(found.who(), "a@example.com");
    }
    let seen = host.requests();
    assert!(seen[0].starts_with("GET /t?x=1&audience=sigstore "));
    assert!(seen[0].contains("Bearer runner-secret"));
    assert!(seen[1].starts_with("POST /v3/jobs/job%2F1/oidc/tokens "));
    assert!(seen[1].contains("Token agent-secret"));
    assert!(
        seen[2]
            .to_ascii_lowercase()
            .contains("metadata-flavor: google")
    );
    assert!(ambient(&[]).unwrap().is_none());
}

#[test]
fn a_job_that_may_not_have_a_token_hears_what_lacks() {
    for (vars, lacks) in [
        ("GITHUB_ACTIONS", "id-token: write"),
        ("GITLAB_CI", "id_tokens"),
        ("CIRCLECI", "--identity-token"),
        ("BUILDKITE", "BUILDKITE_AGENT_ACCESS_TOKEN"),
    ] {
        let error = ambient(&[(vars, "true".to_owned())]).unwrap_err();
        assert!(
            matches!(&error, KeylessError::NoToken { why } if why.contains(lacks)),
            "{error}"
        );
    }
}

#[test]
fn secrets_that_a_service_repeats_stand_in_no_error() {
    let host = Host::start(|request| answer("403 Forbidden", request));
    let error = ambient(&[
        ("GITHUB_ACTIONS", "true".to_owned()),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/t", host.url)),
        (
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
            "runner-secret-value".to_owned(),
        ),
    ])
    .unwrap_err();
    assert!(matches!(error, KeylessError::Refused { .. }));
    assert!(
        !format!("{error} {error:?}").contains("runner-secret"),
        "{error}"
    );
}

struct Given(String);

impl TokenSource for Given {
    fn token(&self) -> Result<IdentityToken, KeylessError> {
        IdentityToken::parse(&self.0).map_err(KeylessError::Token)
    }
}

fn services(url: &str) -> Services {
    let at = |path: &str, version| {
        let since = Validity::from(NOW.plus_micros(-1));
        vec![Endpoint::new(format!("{url}{path}"), version, since)]
    };
    let mut config = SigningConfig::naming_nothing();
    config.ca_urls = at("", 1);
    config.tsa_urls = at("/stamp", 1);
    config.rekor_tlog_urls = at("", 2);
    let root = include_bytes!("../../../../testdata/sigstore/public-good.json");
    let trusted = TrustedServices::parse(root).unwrap();
    Services::new(config, trusted, Roots::System, &surroundings(&[])).unwrap()
}

fn sign(url: &str, claims: &Value) -> KeylessError {
    let source = Box::new(Given(token_text(claims)));
    let signer = KeylessSigner::new(Arc::new(services(url)), source).unwrap();
    let error = signer.enroll().unwrap_err();
    // Nothing is signed that nobody vouches for.
    assert!(crate::signer::Signer::sign(&signer, b"x").is_err());
    error
}

#[test]
fn an_authority_that_repeats_the_token_is_not_repeated() {
    let host = Host::start(|request| answer("400 Bad Request", request));
    let error = sign(&host.url, &claims());
    let said = format!("{error} {error:?}");
    for part in token_text(&claims()).split('.') {
        assert!(!said.contains(part), "{said}");
    }
    assert!(matches!(error, KeylessError::Refused { .. }));
}

#[test]
fn a_token_that_cannot_work_is_not_sent() {
    let host = Host::start(|_| answer("500 Oops", ""));
    let mut late = claims();
    late["exp"] = json!(NOW.as_seconds());
    let mut other = claims();
    other["aud"] = json!("bank");
    for claims in [late, other] {
        assert!(matches!(sign(&host.url, &claims), KeylessError::Token(_)));
    }
    assert!(host.requests().is_empty());
}

#[test]
fn a_certificate_of_an_unknown_authority_signs_nothing() {
    // Self-made, for the right key, which the request shows.
    let host = Host::start(|_| {
        let made = rcgen::generate_simple_self_signed(vec!["a@example.com".to_owned()]).unwrap();
        let chain = json!({"chain": {"certificates": [made.cert.pem()]}});
        answer(
            "200 OK",
            &json!({"signedCertificateEmbeddedSct": chain}).to_string(),
        )
    });
    let error = sign(&host.url, &claims());
    assert!(
        matches!(
            error,
            KeylessError::Untrusted {
                service: Service::Authority,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn endless_answers_and_redirects_of_services_end() {
    let endless = Host::start(|_| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        bytes.resize(16 << 20, b'{');
        bytes
    });
    assert!(matches!(
        sign(&endless.url, &claims()),
        KeylessError::NotCalled { .. }
    ));
    // A token is never sent on, whoever asks for it.
    let thief = Host::start(|_| answer("200 OK", "{}"));
    let lure = thief.url.clone();
    let host = Host::start(move |_| {
        format!("HTTP/1.1 307 Hm\r\nLocation: {lure}/\r\nContent-Length: 0\r\n\r\n").into_bytes()
    });
    assert!(matches!(
        sign(&host.url, &claims()),
        KeylessError::NotCalled { .. }
    ));
    assert!(thief.requests().is_empty());
}

#[test]
fn a_timestamp_that_does_not_verify_is_no_timestamp() {
    let host = Host::start(|_| answer("201 Created", "not a timestamp"));
    let services = services(&host.url);
    let error = services.timestamps(b"signature", Some(NOW)).unwrap_err();
    assert!(matches!(
        error,
        KeylessError::Untrusted {
            service: Service::Timestamp,
            ..
        }
    ));
}

#[test]
fn a_log_entry_of_somebody_else_is_none() {
    use custos_core::crypto::Scheme;
    use custos_core::entry::{HashedRekord, Verifier};
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    let leaf = |message: &[u8]| {
        let key = pair.public_key().as_spki_der().to_vec();
        let signature = pair.sign(Scheme::EcdsaP256, message).unwrap();
        HashedRekord::over(
            message,
            signature,
            Verifier::PublicKey(key),
            Scheme::EcdsaP256,
        )
        .to_leaf()
        .unwrap()
    };
    let (mine, other) = (leaf(b"mine"), leaf(b"other"));
    let body = base64::engine::general_purpose::STANDARD.encode(&other);
    let entry = json!({
        "logIndex": "0", "logId": {"keyId": "AAAA"}, "canonicalizedBody": body,
        "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
        "inclusionProof": {"logIndex": "0", "rootHash": "AAAA", "treeSize": "1", "hashes": [],
            "checkpoint": {"envelope": "x"}},
    });
    let host = Host::start(move |_| answer("201 Created", &entry.to_string()));
    let fresh = crate::signer::Fresh {
        signature: b"signature",
        leaf: &mine,
        envelope: None,
    };
    let error = services(&host.url).publish(&fresh).unwrap_err();
    assert!(
        matches!(
            error,
            KeylessError::Untrusted {
                why: trusted::Distrust::OtherLeaf,
                ..
            }
        ),
        "{error}"
    );
}

fn issuer(
    own: Arc<Mutex<String>>,
    token: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
) -> Host {
    Host::start(move |request| {
        let url = own.lock().unwrap().clone();
        let path = request.split(' ').nth(1).unwrap_or_default();
        match path {
            "/.well-known/openid-configuration" => answer(
                "200 OK",
                &json!({
                    "issuer": url,
                    "token_endpoint": format!("{url}/token"),
                    "authorization_endpoint": format!("{url}/auth"),
                    "device_authorization_endpoint": format!("{url}/device"),
                })
                .to_string(),
            ),
            "/device" => answer(
                "200 OK",
                &json!({
                    "device_code": "device-secret", "user_code": "ABCD-EFGH", "expires_in": 60,
                    "verification_uri": format!("{url}/login"), "interval": 1,
                })
                .to_string(),
            ),
            _ => token(request),
        }
    })
}

#[test]
fn a_person_logs_in_with_a_code() {
    let own = Arc::new(Mutex::new(String::new()));
    let asked = Mutex::new(0_u32);
    let host = issuer(Arc::clone(&own), move |_| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        match *asked {
            1 => answer("400 Bad Request", r#"{"error":"authorization_pending"}"#),
            2 => answer("400 Bad Request", r#"{"error":"slow_down"}"#),
            _ => {
                let body = json!({ "id_token": token_text(&claims()) });
                answer("200 OK", &body.to_string())
            }
        }
    });
    own.lock().unwrap().clone_from(&host.url);
    let (shown, pauses) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let login = Login {
        issuer: &host.url,
        client_id: "me",
        show: &|ask| shown.lock().unwrap().push(ask.clone()),
        pause: &|time| pauses.lock().unwrap().push(time.as_secs()),
    };
    let token = login.by_device(&surroundings(&[])).unwrap();
    assert_eq!(token.who(), "a@example.com");
    assert_eq!(*pauses.lock().unwrap(), [1, 1, 6]);
    assert!(matches!(&shown.lock().unwrap()[..], [Ask::Type { code, .. }] if code == "ABCD-EFGH"));
    let last = host.requests().pop().unwrap();
    assert!(last.contains("device_code=device-secret") && last.contains("code_verifier="));
}

#[test]
fn a_person_who_declines_is_not_logged_in() {
    let own = Arc::new(Mutex::new(String::new()));
    let host = issuer(Arc::clone(&own), |_| {
        answer("400 Bad Request", r#"{"error":"access_denied"}"#)
    });
    own.lock().unwrap().clone_from(&host.url);
    let login = Login {
        issuer: &host.url,
        client_id: "me",
        show: &|_| {},
        pause: &|_| {},
    };
    let error = login.by_device(&surroundings(&[])).unwrap_err();
    assert!(matches!(error, KeylessError::Login { why } if why == "access_denied"));
}

#[test]
fn a_browser_comes_back_with_the_state_of_this_login_or_not_at_all() {
    let own = Arc::new(Mutex::new(String::new()));
    let nonce = Arc::new(Mutex::new(String::new()));
    let told = Arc::clone(&nonce);
    let host = issuer(Arc::clone(&own), move |_| {
        let mut claims = claims();
        claims["nonce"] = json!(told.lock().unwrap().clone());
        answer(
            "200 OK",
            &json!({ "id_token": token_text(&claims) }).to_string(),
        )
    });
    own.lock().unwrap().clone_from(&host.url);
    let visit = |url: &str| {
        let value = |name: &str| {
            let query = url.split_once('?').unwrap().1;
            let found = query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name))
                .unwrap();
            found.to_owned()
        };
        nonce.lock().unwrap().clone_from(&value("nonce="));
        assert_eq!(value("code_challenge_method="), "S256");
        let back = value("redirect_uri=")
            .replace("%3A", ":")
            .replace("%2F", "/");
        let port = back.split(':').nth(2).unwrap().split('/').next().unwrap();
        let (port, state) = (port.parse::<u16>().unwrap(), value("state="));
        thread::spawn(move || {
            // Somebody else on this machine first.
            for query in [
                "code=stolen&state=guess".to_owned(),
                format!("code=c1&state={state}"),
            ] {
                let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
                write!(stream, "GET /auth/callback?{query} HTTP/1.1\r\n\r\n").unwrap();
                let mut text = String::new();
                let _ = stream.read_to_string(&mut text);
            }
        });
    };
    let login = Login {
        issuer: &host.url,
        client_id: "me",
        show: &|ask| {
            if let Ask::Open { url } = ask {
                visit(url);
            }
        },
        pause: &|_| {},
    };
    let token = login.by_browser(&surroundings(&[])).unwrap();
    assert_eq!(token.who(), "a@example.com");
    let exchange = host.requests().pop().unwrap();
    assert!(exchange.contains("code=c1&"), "{exchange}");
}
