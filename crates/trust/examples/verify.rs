//! Measures verification beside its floor, the same signature checks bare, and prints JSON.
//!
//! `verify [ROUNDS] [BUNDLES] [THREADS]` (30, 1000 and 2 unless told). A round times one keyless
//! bundle of the public staging instance, warm: certificate of Fulcio, its promise, Rekor v2,
//! timestamp; then the signature checks that it consists of, by the same library, over messages of
//! the same size and keys of the same kinds, and nothing else. The medians over all rounds are
//! compared; that both are measured in turns keeps a busy machine out of the ratio. Then BUNDLES
//! of one trust root on THREADS threads, and bundles of a bare key, logged and unlogged.

use std::error::Error;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyKind, KeyPair, Scheme};
use custos_core::digest::{Algorithm, DigestSet};
use custos_core::identity::ExpectedSigner;
use custos_core::statement::{Statement, Subject};
use custos_trust::signer::{KeySigner, Signer as _};
use custos_trust::verify::{LogRequirement, Material, PredicateTypes, VerifyRequest};
use custos_trust::{TrustRoot, seal, verify};

type Outcome<T> = Result<T, Box<dyn Error>>;

const BUNDLE: &[u8] =
    include_bytes!("../../../testdata/sigstore/conda-attestation-rekor2.sigstore.json");
const ROOT: &[u8] = include_bytes!("../../../testdata/sigstore/staging.json");
const ARTIFACT: &[u8] =
    include_bytes!("../../../testdata/sigstore/signed-package-2.1.0-hb0f4dca_0.conda");
const KIND: &str = "https://schemas.conda.org/attestations-publish-1.schema.json";
const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}

// One signature check without anything around it.
struct Bare {
    algorithm: &'static dyn VerificationAlgorithm,
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Bare {
    fn new(scheme: Scheme, length: usize) -> Outcome<Self> {
        let algorithm: &'static dyn VerificationAlgorithm = match scheme {
            Scheme::EcdsaP384 => &signature::ECDSA_P384_SHA384_ASN1,
            Scheme::Ed25519 => &signature::ED25519,
            _ => &signature::ECDSA_P256_SHA256_ASN1,
        };
        let pair = KeyPair::generate(scheme.key_kind())?;
        let message = vec![0x5a; length];
        Ok(Self {
            algorithm,
            signature: pair.sign(scheme, &message)?,
            key: pair.public_key().as_spki_der().to_vec(),
            message,
        })
    }

    fn check(&self) -> Outcome<()> {
        UnparsedPublicKey::new(self.algorithm, &self.key)
            .verify(&self.message, &self.signature)
            .map_err(|_| "a bare signature does not verify".into())
    }
}

// What the keyless bundle makes a verifier check: the envelope, the certificate by its issuer and
// the promise in it, the log's checkpoint, the timestamp, and its authority's certificate.
fn floor() -> Outcome<Vec<Bare>> {
    [
        (Scheme::EcdsaP256, 600),
        (Scheme::EcdsaP384, 600),
        (Scheme::EcdsaP256, 600),
        (Scheme::Ed25519, 120),
        (Scheme::EcdsaP384, 200),
        (Scheme::EcdsaP384, 500),
    ]
    .into_iter()
    .map(|(scheme, length)| Bare::new(scheme, length))
    .collect()
}

struct Keyless {
    root: TrustRoot,
    artifact: DigestSet,
    signers: Vec<ExpectedSigner>,
}

impl Keyless {
    fn new() -> Outcome<Self> {
        let issuer = "https://github.com/login/oauth".to_owned();
        Ok(Self {
            root: TrustRoot::trusting_nothing().with_sigstore(ROOT)?,
            artifact: DigestSet::from(Algorithm::Sha256.digest(ARTIFACT)),
            signers: vec![ExpectedSigner::certificate(
                "publisher",
                "jku@goto.fi",
                Some(issuer),
            )],
        })
    }

    fn check(&self) -> Outcome<()> {
        verify(&VerifyRequest {
            artifact: &self.artifact,
            material: Material::Bundle(BUNDLE),
            trust_root: &self.root,
            signers: &self.signers,
            log: LogRequirement::Required,
            expect: PredicateTypes::new(&[KIND]),
            now: NOW,
        })?;
        Ok(())
    }
}

// A bundle by a bare key, in no log.
struct Keyed {
    artifact: DigestSet,
    bytes: Vec<u8>,
    signers: Vec<ExpectedSigner>,
    root: TrustRoot,
}

impl Keyed {
    fn new() -> Outcome<Self> {
        let artifact = DigestSet::from(Algorithm::Sha256.digest(b"weights"));
        let subject = Subject::new("model", artifact.clone());
        let statement = Statement::new(vec![subject], KIND, &serde_json::json!({}))?;
        let signer = KeySigner::new(KeyPair::generate(KeyKind::P256)?);
        Ok(Self {
            bytes: seal::sign_statement(&statement, &signer, None)?.to_bytes()?,
            signers: vec![ExpectedSigner::key("k", signer.public_key().clone())],
            root: TrustRoot::trusting_nothing(),
            artifact,
        })
    }

    fn check(&self) -> Outcome<()> {
        verify(&VerifyRequest {
            artifact: &self.artifact,
            material: Material::Bundle(&self.bytes),
            trust_root: &self.root,
            signers: &self.signers,
            log: LogRequirement::AbsenceAllowed,
            expect: PredicateTypes::new(&[KIND]),
            now: NOW,
        })?;
        Ok(())
    }
}

const CALLS: u32 = 20;

// The mean of a few calls in a row.
fn time(call: &dyn Fn() -> Outcome<()>) -> Outcome<Duration> {
    let start = now();
    for _ in 0..CALLS {
        call()?;
    }
    Ok(start.elapsed() / CALLS)
}

fn medians(rounds: usize, calls: [&dyn Fn() -> Outcome<()>; 2]) -> Outcome<[f64; 2]> {
    let mut times = [Vec::new(), Vec::new()];
    for call in calls {
        call()?;
    }
    for _ in 0..rounds {
        for (call, times) in calls.iter().zip(&mut times) {
            times.push(time(call)?);
        }
    }
    Ok(times.map(|mut times| {
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        median.as_secs_f64() * 1e6
    }))
}

fn in_threads(count: usize, threads: usize, call: &(dyn Fn() -> bool + Sync)) -> Outcome<f64> {
    let start = now();
    let all_hold = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| (0..count / threads).all(|_| call())))
            .collect();
        workers
            .into_iter()
            .all(|worker| worker.join().unwrap_or(false))
    });
    if !all_hold {
        return Err("a bundle does not verify".into());
    }
    let done = u32::try_from(count / threads * threads)?;
    Ok(f64::from(done) / start.elapsed().as_secs_f64())
}

fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[allow(clippy::print_stdout, reason = "the result of the benchmark")]
fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let rounds = arguments.next().transpose()?.unwrap_or(30).max(1);
    let bundles = arguments.next().transpose()?.unwrap_or(1_000);
    let threads = arguments.next().transpose()?.unwrap_or(2).max(1);
    let (keyless, keyed, floor) = (Keyless::new()?, Keyed::new()?, floor()?);
    let one = [Bare::new(Scheme::EcdsaP256, 300)?];
    let all = |checks: &[Bare]| checks.iter().try_for_each(Bare::check);

    let [by_identity, bare] = medians(rounds, [&|| keyless.check(), &|| all(&floor)])?;
    let [by_key, bare_key] = medians(rounds, [&|| keyed.check(), &|| all(&one)])?;
    let many = in_threads(bundles, threads, &|| keyless.check().is_ok())?;
    let many_bare = in_threads(bundles, threads, &|| all(&floor).is_ok())?;
    let keys = in_threads(bundles * 20, threads, &|| keyed.check().is_ok())?;
    let keys_bare = in_threads(bundles * 20, threads, &|| all(&one).is_ok())?;
    let document = serde_json::json!({
        "schema": "custos.bench.verify/1",
        "rounds": rounds,
        "threads": threads,
        "keyless": {
            "micros": rounded(by_identity), "floorMicros": rounded(bare),
            "timesFloor": rounded(by_identity / bare), "signatures": floor.len(),
        },
        "keyed": {
            "micros": rounded(by_key), "floorMicros": rounded(bare_key),
            "timesFloor": rounded(by_key / bare_key),
        },
        "manyKeyless": {
            "bundles": bundles, "perSecond": many.round(), "floorPerSecond": many_bare.round(),
            "ofFloor": rounded(many / many_bare),
        },
        "manyKeyed": {
            "bundles": bundles * 20, "perSecond": keys.round(),
            "floorPerSecond": keys_bare.round(), "ofFloor": rounded(keys / keys_bare),
        },
    });
    println!("{document}");
    Ok(())
}
