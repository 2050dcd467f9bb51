//! Tokens good and bad, and issuers that lie.

mod identities;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
pub(crate) const ISSUER: &str = "https://issuer.example";

/// A key that an issuer signs with.
pub(crate) enum TestKey {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl TestKey {
    pub(crate) fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn all() -> [Self; 4] {
        [
            Self::p256(),
            Self::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
            Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        ]
    }

    fn alg(&self) -> &'static str {
        match self {
            Self::P256(_) => "ES256",
            Self::P384(_) => "ES384",
            Self::Ed25519(_) => "EdDSA",
            Self::Rsa(_) => "RS256",
        }
    }

    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let point = |pair: &EcdsaKeyPair, crv: &str, size: usize| {
            let point = pair.public_key().as_ref()[1..].to_vec();
            json!({"kty": "EC", "crv": crv, "kid": kid, "use": "sig",
                   "x": b64(&point[..size]), "y": b64(&point[size..])})
        };
        match self {
            Self::P256(pair) => point(pair, "P-256", 32),
            Self::P384(pair) => point(pair, "P-384", 48),
            Self::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "kid": kid,
                                          "x": b64(pair.public_key().as_ref())}),
            Self::Rsa(pair) => {
                let n = pair
                    .public_key()
                    .modulus()
                    .big_endian_without_leading_zero();
                let e = pair
                    .public_key()
                    .exponent()
                    .big_endian_without_leading_zero();
                json!({"kty": "RSA", "alg": "RS256", "kid": kid, "n": b64(n), "e": b64(e)})
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(pair) | Self::P384(pair) => pair
                .sign(&SystemRandom::new(), message)
                .unwrap()
                .as_ref()
                .to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut out)
                    .unwrap();
                out
            }
        }
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_with(
            &json!({"alg": self.alg(), "kid": "1", "typ": "JWT"}),
            claims,
        )
    }

    fn token_with(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    pub(crate) fn jwks(&self) -> Vec<u8> {
        json!({"keys": [self.jwk("1")]}).to_string().into_bytes()
    }
}

pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "user-1", "aud": "sigstore", "email": "jane@example.com",
        "email_verified": true, "iat": NOW.as_seconds(), "exp": NOW.as_seconds() + 300,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

pub(crate) fn email() -> IdentityKind {
    IdentityKind::Email {
        allow_unverified: false,
    }
}

/// Documents by URL, and how often each was asked for.
#[derive(Default)]
struct Web {
    pages: Mutex<HashMap<String, Fetched>>,
    asked: Mutex<Vec<String>>,
    count: AtomicUsize,
}

impl Web {
    fn put(&self, url: &str, body: impl Into<Vec<u8>>) {
        self.set(url, Fetched::Body(body.into()));
    }

    fn set(&self, url: &str, page: Fetched) {
        self.pages.lock().unwrap().insert(url.to_owned(), page);
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    // An issuer whose key set is on its own host.
    fn issuer(&self, url: &str, key: &TestKey) {
        let document = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
        self.put(
            &format!("{url}/.well-known/openid-configuration"),
            document.to_string(),
        );
        self.put(&format!("{url}/keys"), key.jwks());
    }
}

impl Fetch for Web {
    fn get(&self, url: &str, _: usize) -> Result<Fetched, FetchError> {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.asked.lock().unwrap().push(url.to_owned());
        let pages = self.pages.lock().unwrap();
        pages
            .get(url)
            .cloned()
            .ok_or_else(|| FetchError::new("no such page"))
    }
}

fn verifier(web: &Arc<Web>, issuers: Vec<Issuer>) -> TokenVerifier {
    let fetch: Arc<dyn Fetch> = Arc::<Web>::clone(web);
    TokenVerifier::new(issuers, &fetch).unwrap()
}

fn static_verifier(key: &TestKey, kind: IdentityKind) -> TokenVerifier {
    let issuer = Issuer::new(ISSUER, kind).with_keys(KeysFrom::Static(key.jwks()));
    verifier(&Arc::default(), vec![issuer])
}

fn later(seconds: i64) -> Timestamp {
    NOW.plus_micros(seconds * 1_000_000)
}

#[test]
fn every_algorithm_verifies_and_a_flipped_bit_does_not() {
    for key in TestKey::all() {
        let verifier = static_verifier(&key, email());
        let token = key.token(&claims());
        let identity = verifier.verify(&token, NOW).unwrap();
        assert_eq!(identity.san(), &San::Email("jane@example.com".to_owned()));
        assert_eq!(identity.challenge(), "jane@example.com");
        assert_eq!((identity.issuer(), identity.subject()), (ISSUER, "user-1"));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[7] ^= 1;
        let broken = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(verifier.verify(&broken, NOW), Err(TokenError::Signature));
    }
}

#[test]
fn no_signature_and_shared_secrets_are_no_algorithms() {
    let key = TestKey::p256();
    let verifier = static_verifier(&key, email());
    for alg in ["none", "None", "HS256", "HS512", "PS256", "", "ES256K"] {
        let token = key.token_with(&json!({"alg": alg, "kid": "1"}), &claims());
        assert_eq!(
            verifier.verify(&token, NOW),
            Err(TokenError::Algorithm {
                name: alg.to_owned()
            })
        );
    }
    // The header says one algorithm, the key is of another.
    let token = key.token_with(&json!({"alg": "RS256", "kid": "1"}), &claims());
    assert_eq!(verifier.verify(&token, NOW), Err(TokenError::UnknownKey));
}

#[test]
fn a_key_in_the_token_is_not_believed_nor_fetched() {
    let (own, evil) = (TestKey::p256(), TestKey::p256());
    let web = Arc::new(Web::default());
    web.issuer(ISSUER, &own);
    web.put("https://evil.example/keys", evil.jwks());
    let verifier = verifier(&web, vec![Issuer::new(ISSUER, email())]);
    let header = json!({"alg": "ES256", "kid": "1", "jwk": evil.jwk("1"),
                        "jku": "https://evil.example/keys", "x5u": "https://evil.example/x"});
    let token = evil.token_with(&header, &claims());
    assert_eq!(verifier.verify(&token, NOW), Err(TokenError::Signature));
    assert!(
        web.asked
            .lock()
            .unwrap()
            .iter()
            .all(|url| url.starts_with(ISSUER))
    );
    let crit = json!({"alg": "ES256", "kid": "1", "crit": ["b64"], "b64": false});
    assert_eq!(
        verifier.verify(&own.token_with(&crit, &claims()), NOW),
        Err(TokenError::CriticalHeader)
    );
}

#[test]
fn times_audience_and_issuer_are_checked() {
    let key = TestKey::p256();
    let verifier = static_verifier(&key, email());
    let check = |claims: Value| verifier.verify(&key.token(&claims), NOW).map(|_| ());
    let seconds = NOW.as_seconds();
    assert_eq!(check(with("exp", json!(seconds))), Err(TokenError::Expired));
    assert_eq!(check(with("exp", json!(seconds + 1))), Ok(()));
    assert_eq!(check(with("exp", json!(1_790_000_100.5))), Ok(()));
    for name in ["nbf", "iat"] {
        let early = check(with(name, json!(seconds + 61)));
        assert_eq!(early, Err(TokenError::NotYetValid), "{name}");
        assert_eq!(check(with(name, json!(seconds + 60))), Ok(()));
    }
    let audience = TokenError::WrongAudience {
        expected: "sigstore".to_owned(),
    };
    for aud in [json!("other"), json!([]), json!(["a", "b"]), json!("")] {
        assert_eq!(check(with("aud", aud)), Err(audience.clone()));
    }
    assert_eq!(check(with("aud", json!(["a", "sigstore"]))), Ok(()));
    for iss in ["https://issuer.example/", "https://other.example", ""] {
        assert_eq!(
            check(with("iss", json!(iss))),
            Err(TokenError::UnknownIssuer {
                issuer: iss.to_owned()
            })
        );
    }
    for (name, value) in [
        ("exp", json!(null)),
        ("exp", json!("1790000300")),
        ("exp", json!(1e300)),
        ("aud", json!(7)),
        ("sub", json!(7)),
    ] {
        assert_eq!(
            check(with(name, value)),
            Err(TokenError::Malformed),
            "{name}"
        );
    }
}

#[test]
fn malformed_tokens_are_refused() {
    let key = TestKey::p256();
    let verifier = static_verifier(&key, email());
    let good = key.token(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let duplicate = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","alg":"none"}"#);
    for bad in [
        String::new(),
        "a.b".to_owned(),
        "a.b.c".to_owned(),
        "..".to_owned(),
        signed.to_owned(),
        format!("{good}."),
        format!("{good}="),
        format!("{signed}.{signature}.x"),
        format!("{duplicate}.{}", signed.split_once('.').unwrap().1),
        format!(" {good}"),
    ] {
        assert_eq!(
            verifier.verify(&bad, NOW),
            Err(TokenError::Malformed),
            "{bad}"
        );
    }
    let huge = "a".repeat(MAX_TOKEN + 1);
    assert_eq!(verifier.verify(&huge, NOW), Err(TokenError::TooLarge));
}

#[test]
fn keys_are_fetched_once_and_again_when_one_is_new() {
    let (old, new) = (TestKey::p256(), TestKey::p256());
    let web = Arc::new(Web::default());
    web.issuer(ISSUER, &old);
    let verifier = verifier(&web, vec![Issuer::new(ISSUER, email())]);
    for _ in 0..3 {
        verifier.verify(&old.token(&claims()), NOW).unwrap();
    }
    assert_eq!(web.count(), 2);
    // A made-up key id is no reason to ask again within half a minute.
    let unknown = old.token_with(&json!({"alg": "ES256", "kid": "x"}), &claims());
    for _ in 0..3 {
        assert_eq!(
            verifier.verify(&unknown, later(29)),
            Err(TokenError::UnknownKey)
        );
    }
    assert_eq!(web.count(), 2);
    let keys = json!({"keys": [new.jwk("2")]}).to_string();
    web.put(&format!("{ISSUER}/keys"), keys);
    let token = new.token_with(&json!({"alg": "ES256", "kid": "2"}), &claims());
    verifier.verify(&token, later(31)).unwrap();
    assert_eq!(web.count(), 4);
    // The old key is gone with it.
    assert_eq!(
        verifier.verify(&old.token(&claims()), later(32)),
        Err(TokenError::UnknownKey)
    );
}

#[test]
fn an_issuer_that_is_down_keeps_its_keys_for_a_day() {
    let key = TestKey::p256();
    let web = Arc::new(Web::default());
    web.issuer(ISSUER, &key);
    let verifier = verifier(&web, vec![Issuer::new(ISSUER, email())]);
    let token = key.token(&with("exp", json!(NOW.as_seconds() + 1_000_000)));
    verifier.verify(&token, NOW).unwrap();
    web.pages.lock().unwrap().clear();
    verifier.verify(&token, later(3_601)).unwrap();
    verifier.verify(&token, later(86_399)).unwrap();
    assert!(matches!(
        verifier.verify(&token, later(86_401)),
        Err(TokenError::Keys(_))
    ));
}

#[test]
fn keys_from_before_the_clock_was_set_back_are_fetched_again() {
    let web = Arc::new(Web::default());
    let (old, new) = (TestKey::p256(), TestKey::p256());
    web.issuer(ISSUER, &old);
    let verifier = verifier(&web, vec![Issuer::new(ISSUER, email())]);
    // The clock is ten years ahead when the server starts.
    let ahead = later(315_360_000);
    let mut future = claims();
    future["exp"] = json!(ahead.as_seconds() + 60);
    verifier.verify(&old.token(&future), ahead).unwrap();
    // Meanwhile the issuer has taken the key back.
    web.issuer(ISSUER, &new);
    verifier.verify(&new.token(&claims()), NOW).unwrap();
    assert!(verifier.verify(&old.token(&claims()), NOW).is_err());
}

#[test]
fn ghsa_f5mr_q85p_6hh6_keys_of_one_issuer_do_not_sign_for_another() {
    let (one, two) = (TestKey::p256(), TestKey::p256());
    let web = Arc::new(Web::default());
    web.issuer("https://one.example", &one);
    web.issuer("https://two.example", &two);
    let issuers = ["https://one.example", "https://two.example"]
        .map(|url| Issuer::new(url, email()))
        .to_vec();
    let verifier = verifier(&web, issuers);
    for (iss, key, ok) in [
        ("https://one.example", &one, true),
        ("https://one.example", &two, false),
        ("https://two.example", &one, false),
        ("https://two.example", &two, true),
    ] {
        let outcome = verifier.verify(&key.token(&with("iss", json!(iss))), NOW);
        assert_eq!(outcome.is_ok(), ok, "{iss}");
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one list of lies")]
fn ghsa_f5mr_q85p_6hh6_discovery_stays_on_the_host() {
    let key = TestKey::p256();
    let page = format!("{ISSUER}/.well-known/openid-configuration");
    let evil = "https://evil.example";
    let token = key.token(&claims());
    let outcome = |change: &dyn Fn(&Web)| {
        let web = Arc::new(Web::default());
        web.issuer(ISSUER, &key);
        web.issuer(evil, &key);
        change(&web);
        let verifier = verifier(&web, vec![Issuer::new(ISSUER, email())]);
        let outcome = verifier.verify(&token, NOW).map(|_| ());
        let asked = web.asked.lock().unwrap().clone();
        assert!(asked.iter().all(|url| url.starts_with(ISSUER)), "{asked:?}");
        outcome
    };
    let keys = |error| Err(TokenError::Keys(error));
    assert_eq!(outcome(&|_| {}), Ok(()));
    for location in [
        format!("{evil}/.well-known/openid-configuration"),
        "//evil.example/x".to_owned(),
        "http://issuer.example/x".to_owned(),
        "https://issuer.example:444/x".to_owned(),
        "https://issuer.example@evil.example/x".to_owned(),
        "x".to_owned(),
    ] {
        let to = Fetched::Redirect(location.clone());
        assert_eq!(
            outcome(&|web| web.set(&page, to.clone())),
            keys(KeysError::OtherHost),
            "{location}"
        );
        assert_eq!(
            outcome(&|web| web.set(&format!("{ISSUER}/keys"), to.clone())),
            keys(KeysError::OtherHost)
        );
    }
    let document = |issuer: &str, uri: &str| json!({"issuer": issuer, "jwks_uri": uri}).to_string();
    let own = format!("{ISSUER}/keys");
    assert_eq!(
        outcome(&|web| web.put(&page, document(evil, &own))),
        keys(KeysError::OtherIssuer)
    );
    for uri in [
        format!("{evil}/keys"),
        "http://issuer.example/keys".to_owned(),
    ] {
        assert_eq!(
            outcome(&|web| web.put(&page, document(ISSUER, &uri))),
            keys(KeysError::OtherHost)
        );
    }
    // On its own host an issuer may redirect, but not for ever.
    let moved = Fetched::Redirect("/elsewhere".to_owned());
    assert_eq!(
        outcome(&|web| {
            web.set(&page, moved.clone());
            web.put(&format!("{ISSUER}/elsewhere"), document(ISSUER, &own));
        }),
        Ok(())
    );
    let circle = Fetched::Redirect(page.clone());
    assert_eq!(
        outcome(&|web| web.set(&page, circle.clone())),
        keys(KeysError::TooManyRedirects)
    );
    let endless = vec![b' '; 300 * 1024];
    assert_eq!(
        outcome(&|web| web.put(&page, endless.clone())),
        keys(KeysError::TooLarge)
    );
}

#[test]
fn a_key_set_may_lie_on_a_host_of_the_settings() {
    let key = TestKey::p256();
    let web = Arc::new(Web::default());
    web.put(
        &format!("{ISSUER}/.well-known/openid-configuration"),
        json!({"issuer": ISSUER, "jwks_uri": "https://keys.example/jwks"}).to_string(),
    );
    web.put("https://keys.example/jwks", key.jwks());
    let issuer = Issuer::new(ISSUER, email()).with_key_hosts(vec!["keys.example".to_owned()]);
    let verifier = verifier(&web, vec![issuer]);
    verifier.verify(&key.token(&claims()), NOW).unwrap();
}

#[test]
fn a_poisoned_key_set_takes_no_good_keys_away() {
    let key = TestKey::p256();
    let web = Arc::new(Web::default());
    web.issuer(ISSUER, &key);
    let verifier = verifier(&web, vec![Issuer::new(ISSUER, email())]);
    let token = key.token(&with("exp", json!(NOW.as_seconds() + 10_000)));
    verifier.verify(&token, NOW).unwrap();
    let secret = json!({"keys": [{"kty": "oct", "kid": "1", "k": "AAAA"}]}).to_string();
    let many = json!({"keys": vec![key.jwk("1"); 257]}).to_string();
    for (n, bad) in ["", "{}", r#"{"keys":[]}"#, &secret, &many]
        .iter()
        .enumerate()
    {
        web.put(&format!("{ISSUER}/keys"), *bad);
        let then = later(3_700 + 100 * i64::try_from(n).unwrap());
        verifier.verify(&token, then).unwrap();
    }
}

#[test]
fn keys_for_other_uses_are_passed_over() {
    let key = TestKey::p256();
    let token = key.token(&claims());
    let mut jwk = key.jwk("1");
    for (name, value) in [
        ("use", json!("enc")),
        ("key_ops", json!(["encrypt"])),
        ("alg", json!("ES384")),
        ("alg", json!("HS256")),
        ("crv", json!("P-384")),
        ("x", json!("AAAA")),
        ("y", json!(7)),
        ("kty", json!("oct")),
    ] {
        let old = jwk[name].clone();
        jwk[name] = value;
        let other = TestKey::p256();
        let set = json!({"keys": [jwk.clone(), other.jwk("2")]}).to_string();
        let issuer = Issuer::new(ISSUER, email()).with_keys(KeysFrom::Static(set.into_bytes()));
        let verifier = verifier(&Arc::default(), vec![issuer]);
        assert_eq!(
            verifier.verify(&token, NOW),
            Err(TokenError::UnknownKey),
            "{name}"
        );
        jwk[name] = old;
        if jwk[name].is_null() {
            jwk.as_object_mut().unwrap().remove(name);
        }
    }
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let fetch: Arc<dyn Fetch> = Arc::new(Web::default());
    let one = |url: &str| TokenVerifier::new(vec![Issuer::new(url, email())], &fetch).map(|_| ());
    assert_eq!(one("http://localhost:8080"), Ok(()));
    for bad in ["http://issuer.example", "ftp://x", "issuer.example", ""] {
        assert!(matches!(one(bad), Err(SettingError::Url { .. })), "{bad}");
    }
    let twice = vec![Issuer::new(ISSUER, email()), Issuer::new(ISSUER, email())];
    assert!(matches!(
        TokenVerifier::new(twice, &fetch),
        Err(SettingError::Twice { .. })
    ));
    let none = Issuer::new(ISSUER, email()).with_keys(KeysFrom::Static(b"{}".to_vec()));
    assert!(matches!(
        TokenVerifier::new(vec![none], &fetch),
        Err(SettingError::Keys(_))
    ));
}

mod laws {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_refused_without_a_panic(text in ".{0,400}") {
            prop_assert!(!token_parses(&text));
        }

        #[test]
        fn any_parts_are_refused_without_a_panic(
            header in prop::collection::vec(any::<u8>(), 0..80),
            payload in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            let text = format!("{}.{}.AA", encode(&header), encode(&payload));
            prop_assert!(!token_parses(&text));
            let _ = key_set_parses(&payload);
        }
    }
}
