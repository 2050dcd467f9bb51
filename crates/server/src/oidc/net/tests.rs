//! Issuers that attack, on this machine. Each case has been an advisory somewhere.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;
use crate::oidc::tests::{NOW, TestKey, claims, email};
use crate::oidc::{KeysError, TokenError, TokenVerifier};

/// Answers each request with what `reply` makes of its path; counts calls.
struct Host {
    url: String,
    calls: Arc<AtomicUsize>,
}

type Reply = Box<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

impl Host {
    fn start(reply: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::new(AtomicUsize::new(0));
        let (counted, reply): (_, Reply) = (Arc::clone(&calls), Box::new(reply));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut bytes = [0_u8; 4_096];
                let read = stream.read(&mut bytes).unwrap_or(0);
                let head = String::from_utf8_lossy(&bytes[..read]).into_owned();
                counted.fetch_add(1, Ordering::SeqCst);
                let path = head.split(' ').nth(1).unwrap_or_default();
                // Whoever has read enough hangs up.
                let _ = stream.write_all(&reply(path));
            }
        });
        Self { url, calls }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn ok(body: &str) -> Vec<u8> {
    answer("200 OK", "", body)
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

// What a verifier that knows `issuer` alone says of a token of it, signed by `key`.
fn judge(issuer: &str, key: &TestKey) -> Result<crate::oidc::Identity, TokenError> {
    let issuers = vec![Issuer::new(issuer, email())];
    let fetch: Arc<dyn Fetch> = Arc::new(NetFetch::new(&issuers).unwrap());
    let mut claims = claims();
    claims["iss"] = issuer.into();
    TokenVerifier::new(issuers, &fetch)
        .unwrap()
        .verify(&key.token(&claims), NOW)
}

fn discovery(issuer: &str, keys: &str) -> String {
    serde_json::json!({ "issuer": issuer, "jwks_uri": keys }).to_string()
}

#[test]
fn an_honest_issuer_is_asked_twice_and_believed() {
    let key = TestKey::p256();
    let jwks = String::from_utf8(key.jwks()).unwrap();
    let own = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&own);
    let host = Host::start(move |path| {
        let url = known.lock().unwrap().clone();
        match path {
            "/.well-known/openid-configuration" => ok(&discovery(&url, &format!("{url}/keys"))),
            "/keys" => ok(&jwks),
            _ => answer("404 Not Found", "", ""),
        }
    });
    own.lock().unwrap().clone_from(&host.url);
    assert!(judge(&host.url, &key).is_ok());
    assert_eq!(host.calls(), 2);
}

#[test]
fn ssrf_a_discovery_document_leads_to_no_other_server() {
    let key = TestKey::p256();
    let jwks = String::from_utf8(key.jwks()).unwrap();
    // Another service of this machine, which would even have a key that fits.
    let inner = Host::start(move |_| ok(&jwks));
    let own = Arc::new(Mutex::new(String::new()));
    let (known, lure) = (Arc::clone(&own), format!("{}/keys", inner.url));
    let host = Host::start(move |_| ok(&discovery(&known.lock().unwrap(), &lure)));
    own.lock().unwrap().clone_from(&host.url);
    assert_eq!(
        judge(&host.url, &key),
        Err(TokenError::Keys(KeysError::OtherHost))
    );
    assert_eq!(inner.calls(), 0);
    // The fetcher itself keeps to the settings as well, whoever asks it.
    let fetch = NetFetch::new(&[Issuer::new(host.url.as_str(), email())]).unwrap();
    for url in [
        format!("{}/keys", inner.url),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "https://localhost/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        assert!(fetch.get(&url, 1_000).is_err(), "{url}");
    }
    assert_eq!(inner.calls(), 0);
}

#[test]
fn jwks_poisoning_one_issuers_document_is_never_anothers() {
    let key = TestKey::p256();
    let jwks = String::from_utf8(key.jwks()).unwrap();
    let host = Host::start(move |path| match path {
        "/keys" => ok(&jwks),
        // It claims to be somebody else, or somebody else's document is served here.
        _ => ok(&discovery(
            "https://victim.example",
            "https://victim.example/keys",
        )),
    });
    assert_eq!(
        judge(&host.url, &key),
        Err(TokenError::Keys(KeysError::OtherIssuer))
    );
}

#[test]
fn redirects_of_an_issuer_are_not_followed() {
    let key = TestKey::p256();
    let jwks = String::from_utf8(key.jwks()).unwrap();
    let inner = Host::start(move |_| ok(&jwks));
    let lure = format!("Location: {}/\r\n", inner.url);
    let host = Host::start(move |_| answer("302 Found", &lure, ""));
    let refused = judge(&host.url, &key);
    assert!(matches!(
        refused,
        Err(TokenError::Keys(KeysError::Fetch(_)))
    ));
    assert_eq!(inner.calls(), 0);
    // Not even to itself: nobody needs it, and a loop costs time.
    let host = Host::start(|_| answer("301 Moved Permanently", "Location: /other\r\n", ""));
    let refused = judge(&host.url, &key);
    assert!(matches!(
        refused,
        Err(TokenError::Keys(KeysError::Fetch(_)))
    ));
    assert_eq!(host.calls(), 1);
}

#[test]
fn endless_data_of_an_issuer_ends() {
    let key = TestKey::p256();
    // It tells no length, and does not stop.
    let host = Host::start(|_| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        bytes.resize(8 << 20, b'[');
        bytes
    });
    let refused = judge(&host.url, &key);
    assert!(matches!(
        refused,
        Err(TokenError::Keys(KeysError::Fetch(_)))
    ));
    let liar = Host::start(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n{}".to_vec()
    });
    let refused = judge(&liar.url, &key);
    assert!(matches!(
        refused,
        Err(TokenError::Keys(KeysError::Fetch(_)))
    ));
}

#[test]
fn no_token_stands_in_what_is_said_about_it() {
    let key = TestKey::p256();
    let host = Host::start(|path| answer("500 Oops", "", path));
    let issuers = vec![Issuer::new(host.url.as_str(), email())];
    let fetch: Arc<dyn Fetch> = Arc::new(NetFetch::new(&issuers).unwrap());
    let mut claims = claims();
    claims["iss"] = host.url.as_str().into();
    let token = key.token(&claims);
    let verifier = TokenVerifier::new(issuers, &fetch).unwrap();
    let error = verifier.verify(&token, NOW).unwrap_err();
    for said in [error.to_string(), format!("{error:?}")] {
        for part in token.split('.') {
            assert!(!said.contains(part), "{said}");
        }
    }
}
