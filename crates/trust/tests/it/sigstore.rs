//! Real bundles of the public Sigstore instance, offline, with a given trusted root.

use custos_core::clock::Timestamp;
use custos_core::crypto::PublicKey;
use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::identity::ExpectedSigner;
use custos_trust::verify::{
    LogRequirement, Material, Message, PredicateTypes, SignedTime, VerifyError, VerifyRequest,
};
use custos_trust::{TrustRoot, verify};

use crate::support::NOW;

macro_rules! data {
    ($name:literal) => {
        include_bytes!(concat!("../../../../testdata/sigstore/", $name))
    };
}

const CONDA: &str = "https://schemas.conda.org/attestations-publish-1.schema.json";
const SLSA: &str = "https://slsa.dev/provenance/v1";
const CONDA_SUBJECT: &str =
    "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main";
const GITHUB: &str = "https://token.actions.githubusercontent.com";

pub fn production() -> TrustRoot {
    TrustRoot::trusting_nothing()
        .with_sigstore(data!("public-good.json"))
        .unwrap()
}

pub fn staging() -> TrustRoot {
    TrustRoot::trusting_nothing()
        .with_sigstore(data!("staging.json"))
        .unwrap()
}

fn identity(subject: &str, issuer: &str) -> [ExpectedSigner; 1] {
    [ExpectedSigner::certificate(
        "publisher",
        subject,
        Some(issuer.to_owned()),
    )]
}

pub fn conda_signer() -> [ExpectedSigner; 1] {
    identity(CONDA_SUBJECT, GITHUB)
}

pub fn conda_artifact() -> DigestSet {
    DigestSet::from(Algorithm::Sha256.digest(data!("signed-package-2.1.0-hb0f4dca_0.conda")))
}

pub fn statement_request<'a>(
    artifact: &'a DigestSet,
    bytes: &'a [u8],
    trust_root: &'a TrustRoot,
    signers: &'a [ExpectedSigner],
) -> VerifyRequest<'a, PredicateTypes<'a>> {
    VerifyRequest {
        artifact,
        material: Material::Bundle(bytes),
        trust_root,
        signers,
        log: LogRequirement::Required,
        expect: PredicateTypes::new(&[CONDA, SLSA]),
        now: NOW,
    }
}

#[test]
fn an_attestation_in_rekor_v1() {
    let (root, signers, artifact) = (production(), conda_signer(), conda_artifact());
    let bytes = data!("conda-attestation.sigstore.json");
    let request = statement_request(&artifact, bytes, &root, &signers);
    let verified = verify(&request).unwrap();
    assert_eq!(verified.signer_name(), "publisher");
    assert_eq!(verified.log().len(), 1);
    assert!(verified.log()[0].origin.starts_with("rekor.sigstore.dev"));
    let SignedTime::Trusted { at } = verified.time() else {
        panic!("a time is vouched for")
    };
    assert!(at.to_string().starts_with("2025-09-01T12:"), "{at}");

    let other = DigestSet::from(Digest::sha256([0; 32]));
    let error = verify(&VerifyRequest {
        artifact: &other,
        ..request
    })
    .unwrap_err();
    assert!(matches!(error, VerifyError::SubjectMismatch { .. }));
    let error = verify(&VerifyRequest {
        expect: PredicateTypes::new(&[SLSA]),
        ..request
    })
    .unwrap_err();
    assert!(matches!(error, VerifyError::PredicateType { .. }));
    let elsewhere = LogRequirement::RequiredIn {
        origin: "log.example.com",
    };
    let error = verify(&VerifyRequest {
        log: elsewhere,
        ..request
    })
    .unwrap_err();
    assert!(matches!(error, VerifyError::LogEntryMissing { .. }));
    let early = Timestamp::from_seconds(1_700_000_000);
    let error = verify(&VerifyRequest {
        now: early,
        ..request
    })
    .unwrap_err();
    assert!(matches!(error, VerifyError::TimeInFuture { .. }));
}

#[test]
fn an_attestation_in_rekor_v2() {
    let signers = identity("jku@goto.fi", "https://github.com/login/oauth");
    let (root, artifact) = (staging(), conda_artifact());
    let bytes = data!("conda-attestation-rekor2.sigstore.json");
    let verified = verify(&statement_request(&artifact, bytes, &root, &signers)).unwrap();
    assert!(
        verified.log()[0].origin.starts_with("log2025"),
        "{}",
        verified.log()[0].origin
    );
    // The other instance vouches for none of it.
    let other = production();
    verify(&statement_request(&artifact, bytes, &other, &signers)).unwrap_err();
}

#[test]
fn npm_provenance_in_the_oldest_form_with_a_sha512_subject() {
    let signers = identity(
        "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main",
        GITHUB,
    );
    let mut artifact = DigestSet::new();
    artifact.insert_raw("sha512", "46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c");
    let root = production();
    let bytes = data!("sigstore-js-2.0.0.sigstore.json");
    let verified = verify(&statement_request(&artifact, bytes, &root, &signers)).unwrap();
    assert_eq!(verified.statement().predicate_type(), SLSA);
}

#[test]
fn identity_and_issuer_are_exact_and_both_needed() {
    let (root, artifact) = (production(), conda_artifact());
    let bytes = data!("conda-attestation.sigstore.json");
    let subject = CONDA_SUBJECT;
    for (subject, issuer) in [
        (subject, Some("https://accounts.google.com")),
        (subject, None),
        (
            "https://github.com/prefix-dev/sigstore-example",
            Some(GITHUB),
        ),
        ("", Some(GITHUB)),
    ] {
        let signers = [ExpectedSigner::certificate(
            "x",
            subject,
            issuer.map(ToOwned::to_owned),
        )];
        let error = verify(&statement_request(&artifact, bytes, &root, &signers)).unwrap_err();
        assert!(
            matches!(error, VerifyError::SignerNotExpected { .. }),
            "{error}"
        );
    }
}

#[test]
fn a_file_signed_by_an_identity_and_by_a_key() {
    let root = production();
    let signers = identity("w.vollprecht@gmail.com", "https://github.com/login/oauth");
    let artifact = DigestSet::from(Algorithm::Sha256.digest(data!("cosign-v3-blob.txt")));
    let request = VerifyRequest {
        artifact: &artifact,
        material: Material::Bundle(data!("cosign-v3-blob.sigstore.json")),
        trust_root: &root,
        signers: &signers,
        log: LogRequirement::Required,
        expect: Message,
        now: NOW,
    };
    let verified = verify(&request).unwrap();
    assert_eq!(
        verified.content().digest,
        Algorithm::Sha256.digest(data!("cosign-v3-blob.txt"))
    );
    let other = DigestSet::from(Digest::sha256([1; 32]));
    verify(&VerifyRequest {
        artifact: &other,
        ..request
    })
    .unwrap_err();

    let pem = std::str::from_utf8(data!("managed-key.pub")).unwrap();
    let signers = [ExpectedSigner::key(
        "maintainer",
        PublicKey::from_pem(pem).unwrap(),
    )];
    let artifact = DigestSet::from(Algorithm::Sha256.digest(data!("managed-key.txt")));
    let request = VerifyRequest {
        artifact: &artifact,
        material: Material::Bundle(data!("managed-key.sigstore.json")),
        signers: &signers,
        ..request
    };
    let verified = verify(&request).unwrap();
    assert_eq!(
        (verified.signer_name(), verified.log().len()),
        ("maintainer", 1)
    );
    let untrusted = TrustRoot::trusting_nothing();
    let error = verify(&VerifyRequest {
        trust_root: &untrusted,
        ..request
    })
    .unwrap_err();
    assert!(
        matches!(error, VerifyError::LogNotTrusted { .. }),
        "{error}"
    );
}

#[test]
fn cve_2022_36056_a_genuine_entry_of_another_signature() {
    let root = staging();
    let signers = identity("william@yossarian.net", "https://github.com/login/oauth");
    let bytes = data!("cve-2022-36056.sigstore.json");
    let bundle = custos_core::bundle::Bundle::parse(bytes).unwrap();
    let digest = bundle
        .message_signature
        .unwrap()
        .message_digest
        .unwrap()
        .digest;
    let artifact = DigestSet::from(Digest::new(Algorithm::Sha256, digest.as_slice()).unwrap());
    let request = VerifyRequest {
        artifact: &artifact,
        material: Material::Bundle(bytes),
        trust_root: &root,
        signers: &signers,
        log: LogRequirement::AbsenceAllowed,
        expect: Message,
        now: NOW,
    };
    let error = verify(&request).unwrap_err();
    assert!(
        matches!(
            error,
            VerifyError::LogEntryNotBound { .. } | VerifyError::SignatureInvalid { .. }
        ),
        "{error:?}"
    );
}

/// Runs the bundle-verify cases of sigstore-conformance out of a folder that is not part of this
/// repository: `CUSTOS_SIGSTORE_CONFORMANCE=.../test/assets/bundle-verify`.
#[test]
fn conformance_cases_if_they_are_at_hand() {
    #[allow(
        clippy::disallowed_methods,
        reason = "a test of material that lies elsewhere"
    )]
    let Some(folder) = std::env::var_os("CUSTOS_SIGSTORE_CONFORMANCE") else {
        return;
    };
    let folder = std::path::PathBuf::from(folder);
    let (mut passed, mut wrong) = (0, Vec::new());
    for case in std::fs::read_dir(&folder).unwrap() {
        let case = case.unwrap().path();
        if !case.is_dir() {
            continue;
        }
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let outcome = conformance_case(&folder, &case);
        if outcome.is_err() == name.ends_with("_fail") {
            passed += 1;
        } else {
            wrong.push(format!("{name}: {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{passed} right, wrong: {wrong:#?}");
    assert!(passed >= 70, "only {passed} cases");
}

fn conformance_case(folder: &std::path::Path, case: &std::path::Path) -> Result<(), String> {
    let read = |name: &str| std::fs::read(case.join(name)).ok();
    let text = |name: &str, default: &str| {
        read(name).map_or_else(
            || default.to_owned(),
            |bytes| String::from_utf8(bytes).unwrap().trim().to_owned(),
        )
    };
    let bytes = read("bundle.sigstore.json").unwrap();
    let artifact = read("artifact").unwrap_or_else(|| std::fs::read(folder.join("a.txt")).unwrap());
    let mut digests = DigestSet::from(Algorithm::Sha256.digest(&artifact));
    digests.insert(&Algorithm::Sha384.digest(&artifact));
    digests.insert(&Algorithm::Sha512.digest(&artifact));
    let root = read("trusted_root.json");
    let root = root.as_deref().unwrap_or(data!("public-good.json"));
    let root = TrustRoot::trusting_nothing()
        .with_sigstore(root)
        .map_err(|error| error.to_string())?;
    let signers = match read("key.pub") {
        Some(pem) => {
            let key = PublicKey::from_pem(std::str::from_utf8(&pem).unwrap())
                .map_err(|error| error.to_string())?;
            [ExpectedSigner::key("key", key)]
        }
        None => identity(
            &text(
                "identity",
                "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main",
            ),
            &text("issuer", GITHUB),
        ),
    };
    let kind = custos_trust::verify::unverified_statement(Material::Bundle(&bytes))
        .map(|statement| statement.predicate_type().to_owned());
    let message = VerifyRequest {
        artifact: &digests,
        material: Material::Bundle(&bytes),
        trust_root: &root,
        signers: &signers,
        log: LogRequirement::Required,
        expect: Message,
        now: NOW,
    };
    let verified = match kind {
        Ok(kind) => {
            let request = statement_request(&digests, &bytes, &root, &signers);
            let kinds = [kind.as_str()];
            let expect = PredicateTypes::new(&kinds);
            verify(&VerifyRequest { expect, ..request }).map(|_| ())
        }
        Err(_) => verify(&message).map(|_| ()),
    };
    verified.map_err(|error| format!("{error:?}"))
}
