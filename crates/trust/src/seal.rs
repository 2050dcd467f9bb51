//! Statements become bundles: signed, and logged on the way.
//!
//! Written are Sigstore bundles v0.3: with a bare key its hint is the one that OMS v1.0 defines,
//! hex SHA-256 over the PEM text; with a certificate the chain stands leaf first, without a root.
//! The log leaf is Rekor v2's `hashedrekord` over the envelope. A statement with several signers
//! becomes a bare DSSE envelope, as a bundle holds exactly one signature. A file can be signed
//! itself, without a statement, as cosign's `sign-blob` does ([`Signed::message`]).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::bundle::{Bundle, BundleError, MessageSignature, VerificationMaterial};
use custos_core::crypto::{PublicKey, sha256};
use custos_core::digest::Digest;
use custos_core::dsse::{Envelope, INTOTO_PAYLOAD_TYPE, Signature, pae};
use custos_core::entry::{EntryError, HashedRekord, Verifier};
use custos_core::limits::MAX_SIGNATURES;
use custos_core::statement::{Statement, StatementError};
use custos_log::recorder::{RecordError, Recorder};

use crate::signer::{SignError, Signer};

/// Signs a statement, and records the signature in a log if there is one.
pub fn sign_statement(
    statement: &Statement,
    signer: &dyn Signer,
    recorder: Option<&dyn Recorder>,
) -> Result<Bundle, SealError> {
    let mut bundles = sign_statements(std::slice::from_ref(statement), signer, recorder)?;
    bundles.pop().ok_or(SealError::RecorderCount {
        expected: 1,
        found: 0,
    })
}

/// Signs several statements and records all the signatures in one batch.
///
/// Nothing comes out unless all are signed and, if there is a log, durable in it.
pub fn sign_statements(
    statements: &[Statement],
    signer: &dyn Signer,
    recorder: Option<&dyn Recorder>,
) -> Result<Vec<Bundle>, SealError> {
    let batch = Signed::new(statements, signer)?;
    match recorder {
        Some(recorder) => batch.record(recorder),
        None => Ok(batch.unlogged()),
    }
}

/// Signed statements, or a signed file, that are not in a log yet.
///
/// Whoever keeps evidence stores [`Signed::unlogged`] first and records then: an entry of the
/// log then never refers to an envelope that a crash took away.
#[derive(Debug, Clone)]
pub struct Signed {
    material: VerificationMaterial,
    contents: Vec<Content>,
    leaves: Vec<Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Content {
    Envelope(Envelope),
    Message(MessageSignature),
}

impl Content {
    fn into_bundle(self, material: VerificationMaterial) -> Bundle {
        match self {
            Self::Envelope(envelope) => Bundle::new(material, envelope),
            Self::Message(message) => Bundle::of_message(material, message),
        }
    }
}

impl Signed {
    /// Signs `statements`.
    pub fn new(statements: &[Statement], signer: &dyn Signer) -> Result<Self, SealError> {
        let mut contents = Vec::with_capacity(statements.len());
        let mut leaves = Vec::with_capacity(statements.len());
        for statement in statements {
            let (envelope, leaf) = sign_one(statement, signer)?;
            contents.push(Content::Envelope(envelope));
            leaves.push(leaf);
        }
        Ok(Self {
            material: material(signer, key_hint),
            contents,
            leaves,
        })
    }

    /// Signs the file with this digest, which is of the hash that the signer's scheme has in a log
    /// entry ([`custos_core::entry::entry_algorithm`]). The key's hint is cosign's.
    pub fn message(digest: &Digest, signer: &dyn Signer) -> Result<Self, SealError> {
        let signature = signer.sign_digest(digest).map_err(SealError::Sign)?;
        let entry = HashedRekord::new(
            *digest,
            signature.clone(),
            verifier(signer),
            signer.scheme().key_details(),
        );
        Ok(Self {
            material: material(signer, |key| STANDARD.encode(key.id().as_bytes())),
            leaves: vec![entry.to_leaf().map_err(SealError::Entry)?],
            contents: vec![Content::Message(MessageSignature::new(digest, signature))],
        })
    }

    /// Returns the leaves that will be recorded.
    pub fn leaves(&self) -> &[Vec<u8>] {
        &self.leaves
    }

    /// Returns the bundles without a log entry.
    pub fn unlogged(&self) -> Vec<Bundle> {
        let bundle = |content: &Content| content.clone().into_bundle(self.material.clone());
        self.contents.iter().map(bundle).collect()
    }

    /// Records all signatures in one batch, and returns the bundles with their log entries.
    pub fn record(self, recorder: &dyn Recorder) -> Result<Vec<Bundle>, SealError> {
        let Self {
            material,
            contents,
            leaves,
        } = self;
        let answers = recorder.record(&leaves).map_err(SealError::Record)?;
        if answers.len() != leaves.len() {
            let (expected, found) = (leaves.len(), answers.len());
            return Err(SealError::RecorderCount { expected, found });
        }
        Ok(contents
            .into_iter()
            .zip(leaves.iter().zip(answers))
            .map(|(content, (leaf, answer))| {
                content.into_bundle(material.clone().with_entry(answer.to_entry(leaf)))
            })
            .collect())
    }
}

/// Signs a statement by several signers into a bare envelope, each key once.
pub fn sign_envelope(
    statement: &Statement,
    signers: &[&dyn Signer],
) -> Result<Envelope, SealError> {
    if signers.is_empty() || signers.len() > MAX_SIGNATURES {
        return Err(SealError::SignerCount {
            found: signers.len(),
        });
    }
    let payload = statement.to_bytes().map_err(SealError::Statement)?;
    let message = pae(INTOTO_PAYLOAD_TYPE, &payload);
    let mut signatures: Vec<Signature> = Vec::with_capacity(signers.len());
    for signer in signers {
        let id = signer.public_key().id().to_string();
        if signatures
            .iter()
            .any(|other| other.keyid.as_deref() == Some(&id))
        {
            return Err(SealError::SameKeyTwice { key: id });
        }
        let signature = signer.sign(&message).map_err(SealError::Sign)?;
        signatures.push(Signature::new(signature).with_keyid(id));
    }
    Ok(Envelope::new(INTOTO_PAYLOAD_TYPE, payload, signatures))
}

/// Returns the hint by which OMS v1.0 bundles name a key: hex SHA-256 over its PEM text.
pub fn key_hint(key: &PublicKey) -> String {
    hex::encode(sha256(key.to_pem().as_bytes()))
}

fn sign_one(statement: &Statement, signer: &dyn Signer) -> Result<(Envelope, Vec<u8>), SealError> {
    let payload = statement.to_bytes().map_err(SealError::Statement)?;
    let message = pae(INTOTO_PAYLOAD_TYPE, &payload);
    let signature = signer.sign(&message).map_err(SealError::Sign)?;
    let entry = HashedRekord::over(
        &message,
        signature.clone(),
        verifier(signer),
        signer.scheme(),
    );
    let leaf = entry.to_leaf().map_err(SealError::Entry)?;
    // OMS bundles carry an empty key id; what it says would prove nothing anyway.
    let signature = Signature::new(signature).with_keyid("");
    Ok((
        Envelope::new(INTOTO_PAYLOAD_TYPE, payload, vec![signature]),
        leaf,
    ))
}

fn verifier(signer: &dyn Signer) -> Verifier {
    match signer.certificate_chain().and_then(<[_]>::first) {
        Some(leaf) => Verifier::Certificate(leaf.clone()),
        None => Verifier::PublicKey(signer.public_key().as_spki_der().to_vec()),
    }
}

fn material(signer: &dyn Signer, hint: impl Fn(&PublicKey) -> String) -> VerificationMaterial {
    match signer.certificate_chain() {
        Some(chain) => VerificationMaterial::chain(chain.to_vec()),
        None => VerificationMaterial::key(hint(signer.public_key())),
    }
}

/// Why a statement was not sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The bundle could not be written.
    #[error("{0}")]
    Bundle(BundleError),
    /// The log entry could not be made.
    #[error("{0}")]
    Entry(EntryError),
    /// The log did not take it.
    #[error("the signature was not logged: {0}")]
    Record(RecordError),
    /// The log answered for another number of leaves.
    #[error("the log answered for {found} leaves instead of {expected}")]
    RecorderCount {
        /// Leaves handed over.
        expected: usize,
        /// Answers.
        found: usize,
    },
    /// The same key twice would look like two signers.
    #[error("the key {key} stands twice among the signers")]
    SameKeyTwice {
        /// Its id.
        key: String,
    },
    /// The key did not sign.
    #[error("{0}")]
    Sign(SignError),
    /// No signer, or more than [`MAX_SIGNATURES`].
    #[error("{found} signers, between 1 and {MAX_SIGNATURES} are needed")]
    SignerCount {
        /// Signers found.
        found: usize,
    },
    /// The statement could not be written.
    #[error("{0}")]
    Statement(StatementError),
}
