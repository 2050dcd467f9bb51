//! A small world to sign and verify in: keys, a log in memory, a private authority.

use std::sync::Mutex;

use custos_core::bundle::{Bundle, InclusionProof, TransparencyLogEntry};
use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyKind, KeyPair, Scheme};
use custos_core::digest::{Algorithm, DigestSet};
use custos_core::entry::{self, HashedRekord, Verifier};
use custos_core::identity::ExpectedSigner;
use custos_core::merkle::{self, Hash};
use custos_core::statement::{Statement, Subject};
use custos_log::checkpoint::Checkpoint;
use custos_log::note::{KeyPairSigner, NoteSigner as _};
use custos_trust::signer::{CertificateSigner, KeySigner, Signer};
use custos_trust::verify::{
    LogRequirement, Material, PredicateTypes, Verified, VerifyError, VerifyRequest,
};
use custos_trust::{TrustRoot, seal, verify};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType,
};

pub const PREDICATE: &str = "https://example.com/predicate/v1";
pub const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
pub const ORIGIN: &str = "log.example.com/custos";

pub fn artifact(bytes: &[u8]) -> DigestSet {
    DigestSet::from(Algorithm::Sha256.digest(bytes))
}

pub fn statement(bytes: &[u8]) -> Statement {
    let subject = Subject::new("model.safetensors", artifact(bytes));
    Statement::new(
        vec![subject],
        PREDICATE,
        &serde_json::json!({"accuracy": "0.97"}),
    )
    .unwrap()
}

pub fn signer(kind: KeyKind) -> KeySigner {
    KeySigner::new(KeyPair::generate(kind).unwrap())
}

pub fn expect_key(name: &str, signer: &dyn Signer) -> ExpectedSigner {
    ExpectedSigner::key(name, signer.public_key().clone())
}

/// A log of hashes in memory.
pub struct MemoryLog {
    key: KeyPairSigner,
    leaves: Mutex<Vec<Hash>>,
}

impl MemoryLog {
    pub fn new(origin: &str, kind: KeyKind, filled: u32) -> Self {
        let key = KeyPairSigner::new(origin, KeyPair::generate(kind).unwrap()).unwrap();
        let leaves = (0..filled)
            .map(|i| merkle::leaf_hash(&i.to_be_bytes()))
            .collect();
        Self {
            key,
            leaves: Mutex::new(leaves),
        }
    }

    pub fn vkey(&self) -> String {
        self.key.verifier_key().to_string()
    }

    /// Appends the leaf, then a few others, and returns its entry.
    pub fn enter(&self, leaf: Vec<u8>) -> TransparencyLogEntry {
        let mut leaves = self.leaves.lock().unwrap();
        let index = leaves.len();
        leaves.push(merkle::leaf_hash(&leaf));
        leaves.extend((0..3_u8).map(|i| merkle::leaf_hash(&[i])));
        let proof = merkle::inclusion_proof(&leaves, index).unwrap();
        let (size, root) = (leaves.len() as u64, merkle::root(&leaves));
        let text = Checkpoint::new(self.key.verifier_key().name(), size, root)
            .unwrap()
            .sign(&self.key)
            .unwrap();
        let proof = InclusionProof::new(index as u64, size, root, &proof).with_checkpoint(text);
        let id = self.key.verifier_key().full_id().to_vec();
        TransparencyLogEntry::new(id, entry::kind_version(), leaf, proof)
    }

    /// Logs a bundle as [`seal`] would.
    pub fn log(&self, mut bundle: Bundle, signer: &dyn Signer) -> Bundle {
        let entry = self.enter(leaf_of(&bundle, signer));
        bundle.verification_material.tlog_entries.push(entry);
        bundle
    }
}

pub fn leaf_of(bundle: &Bundle, signer: &dyn Signer) -> Vec<u8> {
    let envelope = bundle.dsse_envelope.as_ref().unwrap();
    let verifier = match signer.certificate_chain() {
        Some(chain) => Verifier::Certificate(chain[0].clone()),
        None => Verifier::PublicKey(signer.public_key().as_spki_der().to_vec()),
    };
    let signature = envelope.signatures[0].sig.0.clone();
    HashedRekord::over(&envelope.pae(), signature, verifier, signer.scheme())
        .to_leaf()
        .unwrap()
}

/// Everything that one verification needs, owned.
pub struct Case {
    pub artifact: DigestSet,
    pub bytes: Vec<u8>,
    pub root: TrustRoot,
    pub signers: Vec<ExpectedSigner>,
    pub required: bool,
    pub now: Timestamp,
}

impl Case {
    /// A statement about `weights` in no log; the authorities of a PEM text are trusted.
    pub fn unlogged(signer: &dyn Signer, authorities: &str, expected: ExpectedSigner) -> Self {
        let bundle = seal::sign_statement(&statement(b"weights"), signer, None).unwrap();
        let nothing = TrustRoot::trusting_nothing();
        Self {
            artifact: artifact(b"weights"),
            bytes: bundle.to_bytes().unwrap(),
            root: match authorities {
                "" => nothing,
                pem => nothing.with_authorities(pem).unwrap(),
            },
            signers: vec![expected],
            required: false,
            now: NOW,
        }
    }

    pub fn verify(&self) -> Result<Verified<Statement>, VerifyError> {
        self.verify_as(&[PREDICATE])
    }

    pub fn verify_as(&self, types: &[&str]) -> Result<Verified<Statement>, VerifyError> {
        verify(&self.request(types, Material::Bundle(&self.bytes)))
    }

    pub fn request<'a>(
        &'a self,
        types: &'a [&'a str],
        material: Material<'a>,
    ) -> VerifyRequest<'a, PredicateTypes<'a>> {
        VerifyRequest {
            artifact: &self.artifact,
            material,
            trust_root: &self.root,
            signers: &self.signers,
            log: if self.required {
                LogRequirement::Required
            } else {
                LogRequirement::AbsenceAllowed
            },
            expect: PredicateTypes::new(types),
            now: self.now,
        }
    }

    pub fn bundle(&self) -> Bundle {
        Bundle::parse(&self.bytes).unwrap()
    }

    /// Changes the bundle through its types.
    pub fn edit(mut self, change: impl FnOnce(&mut Bundle)) -> Self {
        let mut bundle = self.bundle();
        change(&mut bundle);
        self.bytes = bundle.to_bytes().unwrap();
        self
    }
}

/// A bundle by a key, logged.
pub fn logged_by_key(kind: KeyKind) -> (Case, KeySigner, MemoryLog) {
    let log = MemoryLog::new(ORIGIN, KeyKind::Ed25519, 21);
    let signer = signer(kind);
    let bundle = seal::sign_statement(&statement(b"weights"), &signer, None).unwrap();
    let bundle = log.log(bundle, &signer);
    let case = Case {
        artifact: artifact(b"weights"),
        bytes: bundle.to_bytes().unwrap(),
        root: TrustRoot::trusting_nothing()
            .with_log_key(&log.vkey())
            .unwrap(),
        signers: vec![expect_key("trainer", &signer)],
        required: true,
        now: NOW,
    };
    (case, signer, log)
}

/// A private authority with an intermediate.
pub struct Authority {
    pub root_pem: String,
    pub intermediate_pem: String,
    pub root: Issuer<'static, rcgen::KeyPair>,
    pub intermediate: Issuer<'static, rcgen::KeyPair>,
}

/// What a leaf says.
pub struct Leaf {
    pub kind: KeyKind,
    pub sans: Vec<SanType>,
    pub common_name: &'static str,
    pub usages: Vec<KeyUsagePurpose>,
    pub purposes: Vec<ExtendedKeyUsagePurpose>,
    pub is_ca: bool,
    pub valid: (i64, i64),
}

impl Leaf {
    pub fn email(kind: KeyKind, address: &str) -> Self {
        Self {
            kind,
            sans: vec![SanType::Rfc822Name(address.try_into().unwrap())],
            common_name: "A Signer",
            usages: vec![KeyUsagePurpose::DigitalSignature],
            purposes: vec![ExtendedKeyUsagePurpose::CodeSigning],
            is_ca: false,
            valid: (NOW.as_seconds() - 1000, NOW.as_seconds() + 1000),
        }
    }
}

pub fn ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

impl Authority {
    pub fn new() -> Self {
        let root_key = rcgen::KeyPair::generate().unwrap();
        let root_params = ca("Test Root");
        let root_pem = root_params.self_signed(&root_key).unwrap().pem();
        let root = Issuer::new(root_params, root_key);
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let params = ca("Test Intermediate");
        let intermediate_pem = params.signed_by(&key, &root).unwrap().pem();
        let intermediate = Issuer::new(params, key);
        Self {
            root_pem,
            intermediate_pem,
            root,
            intermediate,
        }
    }

    /// Issues a leaf by the intermediate; the chain in PEM is leaf, intermediate, root.
    pub fn issue(&self, leaf: &Leaf) -> (KeyPair, String) {
        let (pair, pem) = self.issue_leaf(leaf, false);
        (
            pair,
            format!("{pem}{}{}", self.intermediate_pem, self.root_pem),
        )
    }

    pub fn issue_leaf(&self, leaf: &Leaf, by_root: bool) -> (KeyPair, String) {
        let (pair, key) = pair(leaf.kind);
        let issuer = if by_root {
            &self.root
        } else {
            &self.intermediate
        };
        let pem = leaf_params(leaf).signed_by(&key, issuer).unwrap().pem();
        (pair, pem)
    }

    pub fn signer(&self, leaf: &Leaf) -> CertificateSigner {
        let (pair, chain) = self.issue(leaf);
        CertificateSigner::new(pair, &chain).unwrap()
    }
}

pub fn pair(kind: KeyKind) -> (KeyPair, rcgen::KeyPair) {
    let algorithm = match kind {
        KeyKind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        KeyKind::P521 => &rcgen::PKCS_ECDSA_P521_SHA512,
        KeyKind::Ed25519 => &rcgen::PKCS_ED25519,
        KeyKind::Rsa(_) => &rcgen::PKCS_RSA_SHA256,
        _ => &rcgen::PKCS_ECDSA_P256_SHA256,
    };
    let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
    (KeyPair::from_pkcs8_der(&key.serialize_der()).unwrap(), key)
}

pub fn leaf_params(leaf: &Leaf) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, leaf.common_name);
    params.subject_alt_names.clone_from(&leaf.sans);
    params.key_usages.clone_from(&leaf.usages);
    params.extended_key_usages.clone_from(&leaf.purposes);
    if leaf.is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let moment = |seconds: i64| {
        rcgen::date_time_ymd(1970, 1, 1)
            + std::time::Duration::from_secs(u64::try_from(seconds).unwrap())
    };
    params.not_before = moment(leaf.valid.0);
    params.not_after = moment(leaf.valid.1);
    params
}

/// A bundle by a certificate, not logged.
pub fn by_certificate(leaf: &Leaf, identity: &str) -> (Case, CertificateSigner) {
    let authority = Authority::new();
    let signer = authority.signer(leaf);
    let case = Case::unlogged(
        &signer,
        &authority.root_pem,
        ExpectedSigner::certificate("alice", identity, None),
    );
    (case, signer)
}

/// Scheme of a kind of key, for tests that sign by hand.
pub fn scheme(kind: KeyKind) -> Scheme {
    kind.statement_scheme()
}
