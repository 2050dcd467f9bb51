//! Statements become bundles: signed, and logged on the way.
//!
//! Written are Sigstore bundles v0.3: with a bare key its hint is the one that OMS v1.0 defines,
//! hex SHA-256 over the PEM text; with a certificate the chain stands leaf first, without a root.
//! The log leaf is Rekor v2's `hashedrekord` over the envelope. A statement with several signers
//! becomes a bare DSSE envelope, as a bundle holds exactly one signature. A file can be signed
//! itself, without a statement, as cosign's `sign-blob` does ([`Signed::message`]).

use std::thread::{self, ScopedJoinHandle};

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

use crate::signer::{Fresh, SignError, Signer};

/// Signatures that are published at once.
const AT_ONCE: usize = 8;

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
    materials: Vec<VerificationMaterial>,
    contents: Vec<Content>,
    leaves: Vec<Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Content {
    Envelope(Envelope),
    Message(MessageSignature),
}

impl Content {
    fn envelope(&self) -> Option<&Envelope> {
        match self {
            Self::Envelope(envelope) => Some(envelope),
            Self::Message(_) => None,
        }
    }

    fn signature(&self) -> &[u8] {
        match self {
            Self::Envelope(envelope) => envelope
                .signatures
                .first()
                .map_or(&[], |signature| signature.sig.as_slice()),
            Self::Message(message) => message.signature.as_slice(),
        }
    }

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
        let mut materials = Vec::with_capacity(statements.len());
        for statement in statements {
            let (envelope, leaf) = sign_one(statement, signer)?;
            let content = Content::Envelope(envelope);
            materials.push(stamped(
                material(signer, key_hint),
                signer,
                content.signature(),
            )?);
            contents.push(content);
            leaves.push(leaf);
        }
        Ok(Self {
            materials,
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
            materials: vec![stamped(
                material(signer, |key| STANDARD.encode(key.id().as_bytes())),
                signer,
                &signature,
            )?],
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
        let parts = self.contents.iter().zip(&self.materials);
        parts
            .map(|(content, material)| content.clone().into_bundle(material.clone()))
            .collect()
    }

    /// Enters all signatures into the logs that the signer uses besides the recorder, if there are
    /// any, and returns the bundles for the world outside: with those entries, and no other.
    pub fn publish(&self, signer: &dyn Signer) -> Result<Vec<Option<Bundle>>, SealError> {
        let one = |at: usize| -> Result<Option<Bundle>, SealError> {
            let (Some(content), Some(material), Some(leaf)) = (
                self.contents.get(at),
                self.materials.get(at),
                self.leaves.get(at),
            ) else {
                return Ok(None);
            };
            let fresh = Fresh {
                signature: content.signature(),
                leaf,
                envelope: content.envelope(),
            };
            let entries = signer.publish(&fresh).map_err(SealError::Sign)?;
            if entries.is_empty() {
                return Ok(None);
            }
            let material = entries
                .into_iter()
                .fold(material.clone(), VerificationMaterial::with_entry);
            Ok(Some(content.clone().into_bundle(material)))
        };
        // A log may take seconds to answer.
        let mut bundles = Vec::with_capacity(self.leaves.len());
        let positions: Vec<usize> = (0..self.leaves.len()).collect();
        for some in positions.chunks(AT_ONCE) {
            let answers: Vec<_> = thread::scope(|scope| {
                let calls: Vec<_> = some.iter().map(|at| scope.spawn(|| one(*at))).collect();
                calls.into_iter().map(ScopedJoinHandle::join).collect()
            });
            for answer in answers {
                let unanswered = |_| SealError::RecorderCount {
                    expected: 1,
                    found: 0,
                };
                bundles.push(answer.map_err(unanswered)??);
            }
        }
        Ok(bundles)
    }

    /// Records all signatures in one batch, and returns the bundles with their log entries.
    pub fn record(self, recorder: &dyn Recorder) -> Result<Vec<Bundle>, SealError> {
        let Self {
            materials,
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
            .zip(materials)
            .zip(leaves.iter().zip(answers))
            .map(|((content, material), (leaf, answer))| {
                content.into_bundle(material.with_entry(answer.to_entry(leaf)))
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

fn stamped(
    material: VerificationMaterial,
    signer: &dyn Signer,
    signature: &[u8],
) -> Result<VerificationMaterial, SealError> {
    let timestamps = signer.timestamps(signature).map_err(SealError::Sign)?;
    Ok(timestamps
        .into_iter()
        .fold(material, VerificationMaterial::with_timestamp))
}

fn verifier(signer: &dyn Signer) -> Verifier {
    match signer.certificate_chain().and_then(<[_]>::first) {
        Some(leaf) => Verifier::Certificate(leaf.clone()),
        None => Verifier::PublicKey(signer.public_key().as_spki_der().to_vec()),
    }
}

fn material(signer: &dyn Signer, hint: impl Fn(&PublicKey) -> String) -> VerificationMaterial {
    match signer.certificate_chain() {
        Some([leaf, ..]) if signer.is_keyless() => VerificationMaterial::certificate(leaf.clone()),
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
