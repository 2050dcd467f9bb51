//! The client with services on this machine that help, lie, repeat and never end.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use custos_core::bundle::{Bundle, VerificationMaterial};
use custos_core::clock::{FixedClock, Timestamp};
use custos_core::crypto::{KeyKind, KeyPair, PublicKey, Scheme, sha256};
use custos_core::digest::Algorithm;
use custos_core::merkle::leaf_hash;
use custos_net::Roots;
use serde_json::{Value, json};

use super::ambient::{Places, token_at};
use super::config::{Endpoint, Selection, Selector, SigningConfig, Validity};
use super::login::{Ask, Login};
use super::token::IdentityToken;
use super::trusted::{Distrust, TrustedServices};
use super::*;
use crate::seal::Signed;
use crate::signer::KeySigner;
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
    let (bundle, leaf) = signed();
    let fresh = Fresh::of(&bundle, &leaf).unwrap();
    let services = services(&host.url);
    let error = services
        .stamp(&fresh, &mut Progress::default())
        .unwrap_err();
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
    let (bundle, _) = signed();
    let fresh = Fresh::of(&bundle, &mine).unwrap();
    let error = services(&host.url)
        .publish(&fresh, &mut Progress::default())
        .unwrap_err();
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

// What a key signed, and its leaf.
fn signed() -> (Bundle, Vec<u8>) {
    let key = KeySigner::new(KeyPair::generate(KeyKind::P256).unwrap());
    let digest = Algorithm::Sha256.digest(b"file");
    let signed = Signed::message(&digest, &key).unwrap();
    let part = &signed.parts()[0];
    (part.bundle.clone(), part.leaf.clone())
}

fn logs(urls: &[&str], selector: Selector) -> Services {
    let since = Validity::from(NOW.plus_micros(-1));
    let mut config = SigningConfig::naming_nothing();
    config.rekor_tlog_urls = urls
        .iter()
        .map(|url| Endpoint::new(*url, 2, since).of(*url))
        .collect();
    config.tsa_urls = config.rekor_tlog_urls.clone();
    for service in &mut config.tsa_urls {
        service.major_api_version = 1;
    }
    let count = (selector == Selector::Exact).then_some(1);
    config.rekor_tlog_config = Selection::new(selector, count);
    config.tsa_config = config.rekor_tlog_config;
    let root = include_bytes!("../../../../testdata/sigstore/public-good.json");
    let trusted = TrustedServices::parse(root).unwrap();
    Services::new(config, trusted, Roots::System, &surroundings(&[])).unwrap()
}

// A port at which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn a_service_that_is_away_is_no_error_and_one_that_refuses_is() {
    let (bundle, leaf) = signed();
    let fresh = Fresh::of(&bundle, &leaf).unwrap();
    let overloaded = Host::start(|_| answer("503 Service Unavailable", "later"));
    let hangs_up = Host::start(|_| Vec::new());
    let cut_off = Host::start(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec());
    let nobody = nobody();
    for url in [&overloaded.url, &hangs_up.url, &cut_off.url, &nobody] {
        let services = logs(&[url], Selector::Any);
        let mut progress = Progress::default();
        for question in [Services::stamp, Services::publish, Services::complete] {
            let away = question(&services, &fresh, &mut progress).unwrap();
            assert!(
                matches!(away, Some(KeylessError::Unreachable { .. })),
                "{url}"
            );
        }
        assert_eq!(progress, Progress::default());
    }
    let refusing = Host::start(|_| answer("400 Bad Request", "no"));
    let services = logs(&[&refusing.url], Selector::Any);
    for question in [Services::stamp, Services::publish, Services::complete] {
        let refused = question(&services, &fresh, &mut Progress::default()).unwrap_err();
        assert!(matches!(refused, KeylessError::Refused { .. }), "{refused}");
    }
}

#[test]
fn another_service_stands_in_where_the_configuration_leaves_the_choice() {
    let (bundle, leaf) = signed();
    let fresh = Fresh::of(&bundle, &leaf).unwrap();
    let away = Host::start(|_| answer("503 Service Unavailable", ""));
    // Whoever is asked refuses, and that ends it: nobody after it is asked.
    let other = Host::start(|_| answer("400 Bad Request", ""));
    let last = Host::start(|_| answer("503 Service Unavailable", ""));
    let urls = [away.url.as_str(), &other.url, &last.url];
    for selector in [Selector::Any, Selector::Exact, Selector::All] {
        for question in [Services::stamp, Services::publish] {
            let services = logs(&urls, selector);
            let outcome = question(&services, &fresh, &mut Progress::default());
            assert!(matches!(outcome, Err(KeylessError::Refused { .. })));
        }
    }
    assert_eq!(away.requests().len(), 6);
    assert_eq!(other.requests().len(), 6);
    assert_eq!(last.requests().len(), 0);
}

#[test]
fn what_is_signed_keyless_has_its_time_now_or_never() {
    let (mut bundle, leaf) = signed();
    let made = rcgen::generate_simple_self_signed(vec!["a@example.com".to_owned()]).unwrap();
    bundle.verification_material = VerificationMaterial::certificate(made.cert.der().to_vec());
    let fresh = Fresh::of(&bundle, &leaf).unwrap();
    let nobody = nobody();
    let services = logs(&[&nobody], Selector::Any);
    let mut progress = Progress::default();
    let stamp = services.stamp(&fresh, &mut progress).unwrap_err();
    assert!(matches!(stamp, KeylessError::Unreachable { .. }), "{stamp}");
    // Without a timestamp it does not wait for the log either, with one it does.
    let log = services.publish(&fresh, &mut progress).unwrap_err();
    assert!(matches!(log, KeylessError::Unreachable { .. }), "{log}");
    let stamped = r#"{"stamps":[{"url":"https://tsa.example","response":"AAAA"}]}"#;
    progress = serde_json::from_str(stamped).unwrap();
    let away = services.publish(&fresh, &mut progress).unwrap();
    assert!(matches!(away, Some(KeylessError::Unreachable { .. })));
    let away = services.complete(&fresh.late(), &mut progress).unwrap();
    let log = Service::Log;
    assert!(matches!(away, Some(KeylessError::Unreachable { service, .. }) if service == log));
    // A log that vouches for the time of the entry would vouch for a wrong one.
    let mut config = services.config().clone();
    config.rekor_tlog_urls[0].major_api_version = 1;
    let root = include_bytes!("../../../../testdata/sigstore/public-good.json");
    let trusted = TrustedServices::parse(root).unwrap();
    let services = Services::new(config, trusted, Roots::System, &surroundings(&[])).unwrap();
    let now = services.publish(&fresh, &mut progress).unwrap_err();
    assert!(matches!(now, KeylessError::Unreachable { .. }), "{now}");
    let later = services.publish(&fresh.late(), &mut progress).unwrap_err();
    assert!(matches!(later, KeylessError::Config(_)), "{later}");
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
            3 => answer("503 Service Unavailable", ""),
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
    assert_eq!(*pauses.lock().unwrap(), [1, 1, 6, 11]);
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

fn in_a_browser(with_nonce: bool) -> (Result<IdentityToken, KeylessError>, String) {
    let own = Arc::new(Mutex::new(String::new()));
    let nonce = Arc::new(Mutex::new(String::new()));
    let told = Arc::clone(&nonce);
    let host = issuer(Arc::clone(&own), move |_| {
        let mut claims = claims();
        if with_nonce {
            claims["nonce"] = json!(told.lock().unwrap().clone());
        }
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
    let outcome = login.by_browser(&surroundings(&[]));
    (outcome, host.requests().pop().unwrap())
}

#[test]
fn a_browser_comes_back_with_the_state_of_this_login_or_not_at_all() {
    let (token, exchange) = in_a_browser(true);
    assert_eq!(token.unwrap().who(), "a@example.com");
    assert!(exchange.contains("code=c1&"), "{exchange}");
}

#[test]
fn a_token_that_is_bound_to_no_login_is_none() {
    let (outcome, _) = in_a_browser(false);
    assert!(matches!(outcome, Err(KeylessError::Malformed { .. })));
}

// A trusted root with one authority, which lives long, and a certificate of it that begins a
// minute from now.
fn issued(pair: &rcgen::KeyPair) -> (Value, Vec<u8>) {
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let root = params.self_signed(&authority).unwrap();
    let issuer = rcgen::Issuer::new(params, authority);
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    let name = "a@example.com".to_owned().try_into().unwrap();
    params.subject_alt_names = vec![rcgen::SanType::Rfc822Name(name)];
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::CodeSigning];
    let text = [&[0x0c, 9][..], b"https://i"].concat();
    let id = [1, 3, 6, 1, 4, 1, 57264, 1, 8];
    params.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(&id, text)];
    let now = rcgen::date_time_ymd(2026, 9, 21) + Duration::from_secs(51_200);
    params.not_before = now + Duration::from_mins(1);
    params.not_after = now + Duration::from_mins(11);
    let leaf = params.signed_by(pair, &issuer).unwrap();
    let encoded = base64::engine::general_purpose::STANDARD.encode(root.der());
    let root = json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "certificateAuthorities": [{"certChain": {"certificates": [{"rawBytes": encoded}]}}],
    });
    (root, leaf.der().to_vec())
}

#[test]
fn an_authority_whose_clock_is_a_little_ahead_is_believed() {
    use rcgen::PublicKeyData as _;
    let pair = rcgen::KeyPair::generate().unwrap();
    let key = PublicKey::from_spki_der(&pair.subject_public_key_info()).unwrap();
    let (mut root, leaf) = issued(&pair);
    let vouch = |root: &Value, now| {
        let trusted = TrustedServices::parse(root.to_string().as_bytes()).unwrap();
        trusted.vouch(&leaf, &key, now)
    };
    let minutes = |minutes: i64| NOW.plus_micros(minutes * 60_000_000);
    for good in [0, -3, 5, 11] {
        let vouched = vouch(&root, minutes(good)).unwrap();
        assert_eq!(vouched.identity, "a@example.com");
        assert_eq!(
            (vouched.issuer.as_str(), vouched.ends),
            ("https://i", minutes(11))
        );
    }
    for bad in [-5, 12] {
        let refused = vouch(&root, minutes(bad));
        assert!(matches!(refused, Err(Distrust::Certificate(_))), "{bad}");
    }
    // An instance that has its certificates logged promises that in each of them.
    root["ctlogs"] = json!([{
        "publicKey": {"rawBytes": base64::engine::general_purpose::STANDARD.encode(key.as_spki_der())},
        "logId": {"keyId": base64::engine::general_purpose::STANDARD.encode([7_u8; 32])},
    }]);
    let refused = vouch(&root, minutes(5));
    assert!(
        matches!(refused, Err(Distrust::NotPromised(_))),
        "{refused:?}"
    );
    let other = KeyPair::generate(KeyKind::P256).unwrap();
    let trusted = TrustedServices::parse(root.to_string().as_bytes()).unwrap();
    let refused = trusted.vouch(&leaf, other.public_key(), minutes(5));
    assert_eq!(refused, Err(Distrust::OtherKey));
}

/// A log of version 1 that has one entry.
struct Rekor {
    key: KeyPair,
    // What it says is in it, instead of what was sent.
    says: Option<String>,
}

impl Rekor {
    fn id(&self) -> [u8; 32] {
        sha256(self.key.public_key().as_spki_der())
    }

    fn root(&self) -> Value {
        let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{
                "baseUrl": "https://rekor.example",
                "publicKey": {
                    "rawBytes": encode(self.key.public_key().as_spki_der()),
                    "validFor": {"start": "2026-01-01T00:00:00Z"},
                },
                "logId": {"keyId": encode(&self.id())},
            }],
        })
    }

    fn entry(&self, sent: &str) -> String {
        let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let body = self.says.as_deref().unwrap_or(sent);
        let leaf = leaf_hash(body.as_bytes());
        let id = hex::encode(self.id());
        let promised = json!({
            "body": encode(body.as_bytes()), "integratedTime": NOW.as_seconds(),
            "logID": id, "logIndex": 0,
        });
        let sign = |bytes: &[u8]| self.key.sign(Scheme::EcdsaP256, bytes).unwrap();
        let text = format!("rekor.example - 7\n1\n{}\n", encode(&leaf));
        let line = [&self.id()[..4], &sign(text.as_bytes())].concat();
        let mut entry = promised.clone();
        entry["verification"] = json!({
            "signedEntryTimestamp": encode(&sign(&custos_core::json::to_canonical(&promised).unwrap())),
            "inclusionProof": {
                "checkpoint": format!("{text}\n\u{2014} rekor.example {}\n", encode(&line)),
                "hashes": [], "logIndex": 0, "rootHash": hex::encode(leaf), "treeSize": 1,
            },
        });
        json!({ format!("{id}00"): entry }).to_string()
    }
}

fn enter_v1(rekor: Rekor, conflict: bool) -> Result<Progress, KeylessError> {
    let root = rekor.root();
    let kept = Mutex::new(String::new());
    let host = Host::start(move |request| {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        if head.starts_with("GET /api/v1/log/entries/abc123 ") {
            return answer("200 OK", &rekor.entry(&kept.lock().unwrap()));
        }
        assert!(head.starts_with("POST /api/v1/log/entries "), "{head}");
        if conflict {
            body.clone_into(&mut kept.lock().unwrap());
            let place = "Location: https://elsewhere.example/x/abc123\r\n";
            return format!("HTTP/1.1 409 Conflict\r\n{place}Content-Length: 0\r\n\r\n").into();
        }
        answer("201 Created", &rekor.entry(body))
    });
    let mut config = SigningConfig::naming_nothing();
    let since = Validity::from(NOW.plus_micros(-1));
    config.rekor_tlog_urls = vec![Endpoint::new(&host.url, 1, since)];
    let trusted = TrustedServices::parse(root.to_string().as_bytes()).unwrap();
    let services = Services::new(config, trusted, Roots::System, &surroundings(&[])).unwrap();
    let (bundle, leaf) = signed();
    let mut progress = Progress::default();
    let fresh = Fresh::of(&bundle, &leaf).unwrap();
    let away = services.complete(&fresh, &mut progress)?;
    assert!(away.is_none());
    Ok(progress)
}

#[test]
fn an_entry_of_a_log_of_version_1_is_verified_like_any_other() {
    let key = || KeyPair::generate(KeyKind::P256).unwrap();
    let honest = || Rekor {
        key: key(),
        says: None,
    };
    for conflict in [false, true] {
        let progress = enter_v1(honest(), conflict).unwrap();
        assert_eq!(progress.entries.len(), 1);
    }
    // Whoever answers with another entry, properly logged, has not logged this one.
    let other = {
        let (_, leaf) = signed();
        String::from_utf8(leaf).unwrap()
    };
    let wrong = Rekor {
        key: key(),
        says: Some(other.replace("0.0.2", "0.0.1")),
    };
    let refused = enter_v1(wrong, false).unwrap_err();
    assert!(
        matches!(
            refused,
            KeylessError::Untrusted {
                why: Distrust::Log(_),
                ..
            }
        ),
        "{refused}"
    );
}
