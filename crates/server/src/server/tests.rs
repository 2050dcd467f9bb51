//! The server from the outside, over a socket: what Sigstore's clients do, and what attackers do.

mod hostile;

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::clock::{FixedClock, Timestamp};
use custos_core::crypto::{KeyKind, KeyPair, Pem, Scheme};
use custos_core::digest::Algorithm;
use custos_log::LogOptions;
use custos_log::checkpoint::SignedCheckpoint;
use custos_log::disk::OsDisk;
use custos_log::note::{KeyPairSigner, VerifierKey};
use custos_log::proof::verify_inclusion;
use serde_json::{Value, json};
use sigstore_verify::trust_root::{SigningConfig as SigstoreConfig, TrustedRoot as SigstoreRoot};
use sigstore_verify::{VerificationPolicy, Verifier};

use super::*;
use crate::authority::tests::authority;
use crate::oidc::KeysFrom;
use crate::oidc::tests::{ISSUER, NOW, TestKey, claims, email};
use crate::timestamp::tests::query;
use crate::trusted_root::{Place, SigningConfig, TrustedRoot, Validity};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const ORIGIN: &str = "custos.example";
const URL: &str = "https://custos.example";

/// A server with everything, on a log in a folder.
struct World {
    running: Option<Running>,
    authority: Arc<Authority>,
    issuer: TestKey,
    log_key: VerifierKey,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(dir.path()));
        let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
        let log_key = VerifierKey::new(ORIGIN, pair.public_key().clone()).unwrap();
        let signer = Box::new(KeyPairSigner::new(ORIGIN, pair).unwrap());
        let options = LogOptions::life().with_segment_bytes(1 << 20);
        let log = Log::create(Arc::clone(&disk), signer, options).unwrap();
        let issuer = TestKey::p256();
        let authority = Arc::new(authority());
        let mut config = Config::new(Arc::new(FixedClock::new(NOW)));
        config.access = AccessTokens::from_text(TOKEN).unwrap();
        config.authority = Some(Arc::clone(&authority));
        config.issuers =
            vec![Issuer::new(ISSUER, email()).with_keys(KeysFrom::Static(issuer.jwks()))];
        config.log = Some((log, disk));
        change(&mut config);
        Self {
            running: Some(Server::start(config).unwrap()),
            authority,
            issuer,
            log_key,
            _dir: dir,
        }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.running.as_ref().unwrap().address()).unwrap()
    }

    fn send(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        Answer::read(&mut stream)
    }

    fn get(&self, path: &str) -> Answer {
        self.send(&request("GET", path, &[], b""))
    }

    fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        self.send(&request(
            "POST",
            path,
            &[("content-type", content_type)],
            body,
        ))
    }

    fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post(path, "application/json", body.to_string().as_bytes())
    }

    fn certificate(&self, pair: &KeyPair) -> Answer {
        let proof = pair.sign(Scheme::EcdsaP256, b"jane@example.com").unwrap();
        self.post_json(
            "/api/v2/signingCert",
            &self.certificate_request(pair, &proof),
        )
    }

    fn certificate_request(&self, pair: &KeyPair, proof: &[u8]) -> Value {
        json!({
            "credentials": {"oidcIdentityToken": self.issuer.token(&claims())},
            "publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": pair.public_key().to_pem()},
                "proofOfPossession": STANDARD.encode(proof),
            },
        })
    }

    // A keyless bundle over `artifact`, made the way Sigstore's clients do.
    fn bundle(&self, artifact: &[u8]) -> Value {
        let pair = KeyPair::generate(KeyKind::P256).unwrap();
        let answer = self.certificate(&pair);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let chain = &answer.json()["signedCertificateEmbeddedSct"]["chain"]["certificates"];
        assert_eq!(chain.as_array().unwrap().len(), 3);
        let leaf = Pem::parse(chain[0].as_str().unwrap()).unwrap();
        let leaf = STANDARD.encode(leaf.bytes());
        let signature = pair.sign(Scheme::EcdsaP256, artifact).unwrap();
        let stamp = self.post(
            "/api/v1/timestamp",
            "application/timestamp-query",
            &query(&signature),
        );
        assert_eq!(stamp.status, 201);
        let digest = STANDARD.encode(Algorithm::Sha256.digest(artifact).as_bytes());
        let entry = self.post_json(
            "/api/v2/log/entries",
            &json!({"hashedRekordRequestV002": {
                "digest": digest,
                "signature": {
                    "content": STANDARD.encode(&signature),
                    "verifier": {
                        "x509Certificate": {"rawBytes": leaf},
                        "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    },
                },
            }}),
        );
        assert_eq!(entry.status, 201, "{}", entry.text());
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": leaf},
                "tlogEntries": [entry.json()],
                "timestampVerificationData": {
                    "rfc3161Timestamps": [{"signedTimestamp": STANDARD.encode(&stamp.body)}],
                },
            },
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": digest},
                "signature": STANDARD.encode(&signature),
            },
        })
    }

    fn place() -> Place<'static> {
        Place::new("Example", URL, Validity::from(NOW.plus_micros(-1)))
    }

    fn trusted_root(&self) -> Vec<u8> {
        TrustedRoot::trusting_nothing()
            .with_authority(&self.authority, &Self::place())
            .with_log(&self.log_key, Self::place().validity)
            .to_bytes()
            .unwrap()
    }

    fn entry_request(message: &[u8]) -> Value {
        let pair = KeyPair::generate(KeyKind::P256).unwrap();
        let signature = pair.sign(Scheme::EcdsaP256, message).unwrap();
        json!({"hashed_rekord_request_v002": {
            "digest": STANDARD.encode(Algorithm::Sha256.digest(message).as_bytes()),
            "signature": {
                "content": STANDARD.encode(signature),
                "verifier": {
                    "public_key": {"raw_bytes": STANDARD.encode(pair.public_key().as_spki_der())},
                    "key_details": "PKIX_ECDSA_P256_SHA_256",
                },
            },
        }})
    }

    fn add(&self, token: Option<&str>, body: &[u8]) -> Answer {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let header = bearer.as_deref().map(|value| ("authorization", value));
        let headers: Vec<_> = header.into_iter().collect();
        self.send(&request("POST", "/add", &headers, body))
    }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    use std::fmt::Write as _;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if method == "POST" {
        let _ = write!(head, "content-length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    // A connection that is closed without an answer has status 0.
    fn read(stream: &mut impl std::io::Read) -> Self {
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        // A reset behind the answer does not take it back.
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            bytes.extend_from_slice(&piece[..count]);
        }
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end else {
            return Self {
                status: 0,
                head: String::new(),
                body: bytes,
            };
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = bytes[end + 4..].to_vec();
        Self { status, head, body }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[test]
fn sigstore_verifies_what_was_signed_here_and_nothing_else() {
    let world = World::new();
    let bundle = world.bundle(b"artifact");
    let root = String::from_utf8(world.trusted_root()).unwrap();
    let verifier = Verifier::new(&SigstoreRoot::from_json(&root).unwrap()).unwrap();
    let verify = |bundle: &Value, artifact: &[u8], identity: &str| {
        let bundle = sigstore_verify::types::Bundle::from_json(&bundle.to_string()).unwrap();
        let policy = VerificationPolicy::new(identity, ISSUER);
        verifier.verify(artifact, &bundle, &policy)
    };
    verify(&bundle, b"artifact", "jane@example.com").unwrap();
    assert!(verify(&bundle, b"artifacts", "jane@example.com").is_err());
    assert!(verify(&bundle, b"artifact", "eve@example.com").is_err());
    // Parts of another bundle do not fit this one.
    let other = world.bundle(b"other");
    for part in ["certificate", "tlogEntries", "timestampVerificationData"] {
        let mut mixed = bundle.clone();
        mixed["verificationMaterial"][part] = other["verificationMaterial"][part].clone();
        assert!(
            verify(&mixed, b"artifact", "jane@example.com").is_err(),
            "{part}"
        );
    }
    // Another team's root does not trust it.
    let stranger = World::new();
    let root = String::from_utf8(stranger.trusted_root()).unwrap();
    let verifier = Verifier::new(&SigstoreRoot::from_json(&root).unwrap()).unwrap();
    let parsed = sigstore_verify::types::Bundle::from_json(&bundle.to_string()).unwrap();
    let policy = VerificationPolicy::new("jane@example.com", ISSUER);
    assert!(verifier.verify(&b"artifact"[..], &parsed, &policy).is_err());
}

#[test]
fn sigstore_reads_the_signing_configuration() {
    let world = World::new();
    let config = World::place().signing_config(Some("https://login.example"));
    let bytes = config.to_bytes().unwrap();
    assert_eq!(SigningConfig::parse(&bytes).unwrap(), config);
    let read = SigstoreConfig::from_json(std::str::from_utf8(&bytes).unwrap()).unwrap();
    let rekor = read.rekor_url(None).unwrap();
    assert_eq!((rekor.url.as_str(), rekor.major_api_version), (URL, 2));
    assert_eq!(read.tsa_urls[0].url, format!("{URL}/api/v1/timestamp"));
    let root = world.trusted_root();
    assert_eq!(TrustedRoot::parse(&root).unwrap().to_bytes().unwrap(), root);
}

#[test]
fn the_token_may_come_in_the_header_and_the_key_in_a_request() {
    let world = World::new();
    let bearer = format!("Bearer {}", world.issuer.token(&claims()));
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json; charset=utf-8"),
    ];
    let pair = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default()
        .serialize_request(&pair)
        .unwrap()
        .pem()
        .unwrap()
        .replace('\r', "");
    let post = |csr: &str| {
        let body = json!({"certificateSigningRequest": STANDARD.encode(csr)}).to_string();
        let path = "/api/v2/signingCert";
        world.send(&request("POST", path, &headers, body.as_bytes()))
    };
    let answer = post(&csr);
    assert_eq!(answer.status, 200, "{}", answer.text());
    // A request whose signature is not by its key.
    let mut der = Pem::parse(&csr).unwrap().bytes().to_vec();
    let last = der.len() - 1;
    der[last] ^= 1;
    let broken = Pem::new("CERTIFICATE REQUEST", der).to_text();
    assert_eq!(post(&broken).status, 400);
    assert_eq!(post(&csr.replace("CERTIFICATE REQUEST", "X")).status, 400);
}

#[test]
fn a_certificate_needs_a_token_and_the_key() {
    let world = World::new();
    let (own, other) = [(); 2]
        .map(|()| KeyPair::generate(KeyKind::P256).unwrap())
        .into();
    let sign = |pair: &KeyPair, text: &[u8]| pair.sign(Scheme::EcdsaP256, text).unwrap();
    let post = |body: &Value| world.post_json("/api/v2/signingCert", body);
    let good = world.certificate_request(&own, &sign(&own, b"jane@example.com"));
    assert_eq!(post(&good).status, 200);
    for proof in [sign(&other, b"jane@example.com"), sign(&own, b"user-1")] {
        assert_eq!(post(&world.certificate_request(&own, &proof)).status, 400);
    }
    let changed = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        post(&body).status
    };
    let token = "/credentials/oidcIdentityToken";
    assert_eq!(changed(token, Value::Null), 401);
    assert_eq!(changed(token, json!("a.b.c")), 401);
    let stranger = TestKey::p256().token(&claims());
    let answer = {
        let mut body = good.clone();
        body["credentials"]["oidcIdentityToken"] = json!(stranger);
        post(&body)
    };
    assert_eq!(answer.status, 401);
    // Tokens never come back in an answer.
    assert!(!answer.text().contains(&stranger[..40]));
    assert_eq!(
        changed("/publicKeyRequest/publicKey/content", json!("x")),
        400
    );
    assert_eq!(changed("/publicKeyRequest", Value::Null), 400);
    let mut both = good.clone();
    both["certificateSigningRequest"] = json!("AAAA");
    assert_eq!(post(&both).status, 400);
    assert_eq!(post(&json!({})).status, 401);
    assert_eq!(post(&json!([])).status, 400);
}

#[test]
fn the_chains_and_the_issuers_are_public() {
    let world = World::new();
    let bundle = world.get("/api/v2/trustBundle").json();
    let chain = bundle["chains"][0]["certificates"]
        .as_array()
        .unwrap()
        .clone();
    let root = Pem::parse(chain[1].as_str().unwrap()).unwrap();
    assert_eq!(root.bytes(), world.authority.root_der());
    let issuers = world.get("/api/v2/configuration").json();
    assert_eq!(
        issuers["issuers"][0],
        json!({"issuerUrl": ISSUER, "audience": "sigstore", "challengeClaim": "email",
               "issuerType": "email"})
    );
    let chain = world.get("/api/v1/timestamp/certchain");
    let pems = Pem::parse_many(&chain.text()).unwrap();
    assert_eq!(pems[0].bytes(), world.authority.timestamp_der());
}

#[test]
fn an_entry_comes_back_with_a_proof_also_the_second_time() {
    let world = World::new();
    let body = World::entry_request(b"one");
    let mut last_size = 0;
    for _ in 0..2 {
        let answer = world.post_json("/api/v2/log/entries", &body);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let entry = answer.json();
        // Proto JSON leaves out 0 or writes it as text.
        assert!(matches!(&entry["logIndex"], Value::Null | Value::String(_)));
        let proof = &entry["inclusionProof"];
        let note = proof["checkpoint"]["envelope"].as_str().unwrap();
        let checkpoint =
            SignedCheckpoint::open(note.as_bytes(), std::slice::from_ref(&world.log_key)).unwrap();
        let leaf = STANDARD
            .decode(entry["canonicalizedBody"].as_str().unwrap())
            .unwrap();
        let hashes: Vec<[u8; 32]> = proof["hashes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|hash| {
                let bytes = STANDARD.decode(hash.as_str().unwrap()).unwrap();
                bytes.try_into().unwrap()
            })
            .collect();
        verify_inclusion(
            &custos_core::merkle::leaf_hash(&leaf),
            0,
            checkpoint.size(),
            &hashes,
            checkpoint.root(),
        )
        .unwrap();
        assert!(checkpoint.size() > last_size);
        last_size = checkpoint.size();
        let other = world.post_json("/api/v2/log/entries", &World::entry_request(b"two"));
        assert_eq!(other.status, 201);
        assert_eq!(
            entry["logId"]["keyId"],
            json!(STANDARD.encode(world.log_key.full_id()))
        );
    }
}

#[test]
fn raw_entries_need_the_token_and_can_be_read_as_tiles() {
    let world = World::new();
    for (token, status) in [(None, 401), (Some("x"), 401), (Some(TOKEN), 200)] {
        let answer = world.add(token, b"first");
        assert_eq!(answer.status, status);
        assert_eq!(answer.head.contains("www-authenticate"), status == 401);
    }
    assert_eq!(world.add(Some(TOKEN), b"second").text(), "1");
    assert_eq!(world.add(Some(TOKEN), b"first").text(), "0");
    assert_eq!(world.add(Some(TOKEN), b"").status, 400);
    assert_eq!(world.add(Some(TOKEN), &vec![1; 65_535]).text(), "2");
    assert_eq!(world.add(Some(TOKEN), &vec![1; 65_536]).status, 413);
    for prefix in ["", "/api/v2"] {
        let note = world.get(&format!("{prefix}/checkpoint"));
        assert!(note.head.contains("no-cache"));
        let checkpoint =
            SignedCheckpoint::open(&note.body, std::slice::from_ref(&world.log_key)).unwrap();
        assert_eq!(checkpoint.size(), 3);
        let tile = world.get(&format!("{prefix}/tile/0/000.p/3"));
        assert_eq!(tile.body.len(), 96);
        assert!(tile.head.contains("immutable"));
        let entries = world.get(&format!("{prefix}/tile/entries/000.p/3"));
        assert_eq!(&entries.body[..7], b"\0\x05first");
    }
}

#[test]
fn metrics_need_the_token_and_count() {
    let world = World::new();
    assert_eq!(world.get("/metrics").status, 401);
    world.add(Some(TOKEN), b"first");
    let bearer = format!("bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str())];
    let text = world
        .send(&request("GET", "/metrics", &headers, b""))
        .text();
    assert!(text.contains("custos_http_requests_total{route=\"add\",status=\"2xx\"} 1\n"));
    assert!(text.contains("custos_log_entries 1\n"));
    assert_eq!(world.get("/healthz").json()["log_entries"], 1);
}

#[test]
fn a_server_may_ask_submitters_for_the_token() {
    let world = World::with(|config| config.submission = Submission::WithToken);
    let body = World::entry_request(b"one").to_string();
    let path = "/api/v2/log/entries";
    assert_eq!(
        world.post(path, "application/json", body.as_bytes()).status,
        401
    );
    let bearer = format!("Bearer {TOKEN}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let answer = world.send(&request("POST", path, &headers, body.as_bytes()));
    assert_eq!(answer.status, 201);
}

#[test]
fn services_that_are_not_switched_on_are_not_found() {
    let world = World::with(|config| {
        config.authority = None;
        config.log = None;
        config.access = AccessTokens::default();
    });
    for path in [
        "/api/v2/trustBundle",
        "/api/v2/configuration",
        "/api/v1/timestamp/certchain",
        "/checkpoint",
        "/tile/0/000.p/1",
    ] {
        assert_eq!(world.get(path).status, 404, "{path}");
    }
    assert_eq!(world.add(Some(TOKEN), b"x").status, 404);
    // Without tokens in the configuration nobody gets in.
    assert_eq!(world.get("/metrics").status, 401);
}

#[test]
fn too_many_requests_are_told_to_come_back() {
    let world = World::with(|config| config.tuning.requests = 1);
    let mut first = world.connect();
    let whole = request(
        "POST",
        "/add",
        &[("authorization", &format!("Bearer {TOKEN}"))],
        b"entry",
    );
    let (most, rest) = whole.split_at(whole.len() - 2);
    first.write_all(most).unwrap();
    // The first request is at work as soon as the second is turned away.
    let busy = loop {
        let answer = world.get("/api/v2/trustBundle");
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(busy.status, 503);
    assert!(busy.head.contains("retry-after: 1"));
    assert_eq!(busy.json()["code"], 14);
    assert_eq!(world.get("/healthz").status, 200);
    first.write_all(rest).unwrap();
    assert_eq!(Answer::read(&mut first).status, 200);
}

#[test]
fn slow_clients_are_let_go() {
    let world = World::with(|config| {
        config.tuning.header_time = Duration::from_millis(50);
        config.tuning.request_time = Duration::from_millis(100);
    });
    let mut silent = world.connect();
    assert_eq!(Answer::read(&mut silent).status, 0);
    let mut half = world.connect();
    half.write_all(b"GET /healthz HTTP/1.1\r\nx: ").unwrap();
    assert!(matches!(Answer::read(&mut half).status, 0 | 408));
    let mut slow = world.connect();
    let head = format!(
        "POST /add HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 9\r\n\r\nab"
    );
    slow.write_all(head.as_bytes()).unwrap();
    assert_eq!(Answer::read(&mut slow).status, 504);
}

#[test]
fn a_stop_lets_requests_end_and_takes_no_more() {
    let mut world = World::new();
    let running = world.running.take().unwrap();
    let address = running.address();
    let mut stream = TcpStream::connect(address).unwrap();
    let whole = request(
        "POST",
        "/add",
        &[("authorization", &format!("Bearer {TOKEN}"))],
        b"entry",
    );
    let (most, rest) = whole.split_at(whole.len() - 2);
    stream.write_all(most).unwrap();
    // A second answer on another connection: the server has seen the first by then.
    let mut other = TcpStream::connect(address).unwrap();
    other
        .write_all(&request("GET", "/healthz", &[], b""))
        .unwrap();
    assert_eq!(Answer::read(&mut other).status, 200);
    running.stopper().stop();
    let waiting = thread::spawn(move || running.wait());
    // Until the door is closed.
    while TcpStream::connect(address).is_ok() {
        thread::yield_now();
    }
    stream.write_all(rest).unwrap();
    assert_eq!(Answer::read(&mut stream).text(), "0");
    waiting.join().unwrap().unwrap();
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(dir.path()));
    let pem = {
        let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
        pair.to_pkcs8_der().unwrap().to_vec()
    };
    for round in 0_u64..3 {
        let pair = KeyPair::from_pkcs8_der(&pem).unwrap();
        let signer = Box::new(KeyPairSigner::new(ORIGIN, pair).unwrap());
        let options = LogOptions::life().with_segment_bytes(1 << 20);
        let log = Log::open_or_create(Arc::clone(&disk), signer, options).unwrap();
        assert_eq!(log.head().unwrap().size, round * 8);
        let mut config = Config::new(Arc::new(FixedClock::new(NOW)));
        config.access = AccessTokens::from_text(TOKEN).unwrap();
        config.log = Some((log, Arc::clone(&disk)));
        let running = Server::start(config).unwrap();
        let address = running.address();
        let clients: Vec<_> = (0..8)
            .map(|client| {
                thread::spawn(move || {
                    let mut stream = TcpStream::connect(address).unwrap();
                    let bearer = format!("Bearer {TOKEN}");
                    let headers = [("authorization", bearer.as_str())];
                    let body = format!("{round}/{client}");
                    stream
                        .write_all(&request("POST", "/add", &headers, body.as_bytes()))
                        .unwrap();
                    Answer::read(&mut stream).text().parse::<u64>().unwrap()
                })
            })
            .collect();
        let mut indexes: Vec<u64> = clients.into_iter().map(|c| c.join().unwrap()).collect();
        indexes.sort_unstable();
        assert_eq!(indexes, (round * 8..round * 8 + 8).collect::<Vec<_>>());
        running.stop().unwrap();
    }
}

#[test]
fn plain_http_stays_on_this_machine() {
    let mut config = Config::new(Arc::new(FixedClock::new(Timestamp::default())));
    config.address = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(
        Server::start(config),
        Err(ServerError::PlainBeyondLoopback { .. })
    ));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = Config::new(Arc::new(FixedClock::new(Timestamp::default())));
    config.address = taken.local_addr().unwrap();
    assert!(matches!(
        Server::start(config),
        Err(ServerError::Bind { .. })
    ));
}

fn tls_files(dir: &Path) -> (TlsFiles, Vec<u8>) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&pair).unwrap();
    let files = TlsFiles::new(dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&files.certificates, certificate.pem()).unwrap();
    std::fs::write(&files.key, pair.serialize_pem()).unwrap();
    (files, certificate.der().to_vec())
}

#[test]
fn tls_from_files_works_and_broken_files_do_not() {
    use tokio_rustls::rustls;
    let dir = tempfile::tempdir().unwrap();
    let (files, der) = tls_files(dir.path());
    let world = World::with(|config| {
        config.tls = Some(files.clone());
        config.beside = true;
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der.into()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, world.connect());
    stream
        .write_all(&request("GET", "/healthz", &[], b""))
        .unwrap();
    assert_eq!(Answer::read(&mut stream).status, 200);
    // Plain HTTP on the TLS port gets no answer of ours, but at the port for this machine.
    assert_eq!(world.get("/healthz").status, 0);
    let beside = world.running.as_ref().unwrap().address_beside().unwrap();
    assert!(beside.ip().is_loopback());
    let mut stream = TcpStream::connect(beside).unwrap();
    stream
        .write_all(&request("GET", "/healthz", &[], b""))
        .unwrap();
    assert_eq!(Answer::read(&mut stream).status, 200);

    let start = |files: TlsFiles| {
        let mut config = Config::new(Arc::new(FixedClock::new(NOW)));
        config.tls = Some(files);
        Server::start(config).map(|_| ())
    };
    let (other, _) = tls_files(tempfile::tempdir().unwrap().keep().as_path());
    let swapped = TlsFiles::new(&files.certificates, &other.key);
    assert!(matches!(
        start(swapped),
        Err(ServerError::Tls(TlsError::Unusable(_)))
    ));
    let empty = TlsFiles::new(&files.certificates, dir.path().join("none"));
    assert!(matches!(
        start(empty),
        Err(ServerError::Tls(TlsError::File { .. }))
    ));
}
