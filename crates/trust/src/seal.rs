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

use crate::keyless::{Fresh, KeylessError, Progress, Services};
use crate::signer::{SignError, Signer};

/// Signatures that services are asked about at once.
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
    let batch = Signed::new(statements, signer)?.complete()?;
    match recorder {
        Some(recorder) => batch.record(recorder),
        None => Ok(batch.unlogged()),
    }
}

/// Signed statements, or a signed file, that are not in the caller's log yet.
///
/// Whoever keeps evidence stores [`Signed::unlogged`] first and records then: an entry of the
/// log then never refers to an envelope that a crash took away.
#[derive(Debug, Clone)]
pub struct Signed {
    parts: Vec<Part>,
    away: Option<KeylessError>,
}

/// One signature, and what services said of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Part {
    /// The bundle as it was signed: with neither timestamps nor log entries.
    pub bundle: Bundle,
    /// What a log is to take.
    pub leaf: Vec<u8>,
    /// How far the signer's services have come with it.
    pub progress: Progress,
}

impl Part {
    const fn new(bundle: Bundle, leaf: Vec<u8>) -> Self {
        Self {
            bundle,
            leaf,
            progress: Progress {
                stamps: Vec::new(),
                entries: Vec::new(),
            },
        }
    }

    fn ask(&mut self, question: Question, services: &Services) -> Asked {
        let fresh = Fresh::of(&self.bundle, &self.leaf);
        let fresh = fresh.ok_or(SealError::NotStampable)?;
        question(services, &fresh, &mut self.progress)
            .map_err(|error| SealError::Sign(SignError::from(error)))
    }
}

type Asked = Result<Option<KeylessError>, SealError>;
type Question =
    fn(&Services, &Fresh<'_>, &mut Progress) -> Result<Option<KeylessError>, KeylessError>;

impl Signed {
    /// Signs `statements`, and has the signatures stamped if the signer uses an authority. If one
    /// is away that can be asked later, they are signed nevertheless: see [`Signed::away`].
    pub fn new(statements: &[Statement], signer: &dyn Signer) -> Result<Self, SealError> {
        let parts = statements.iter().map(|one| sign_one(one, signer));
        Self::stamped(parts.collect::<Result<_, _>>()?, signer)
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
        let material = material(signer, |key| STANDARD.encode(key.id().as_bytes()));
        let bundle = Bundle::of_message(material, MessageSignature::new(digest, signature));
        let leaf = entry.to_leaf().map_err(SealError::Entry)?;
        Self::stamped(vec![Part::new(bundle, leaf)], signer)
    }

    fn stamped(parts: Vec<Part>, signer: &dyn Signer) -> Result<Self, SealError> {
        let mut batch = Self { parts, away: None };
        if let Some(services) = signer.services() {
            batch.ask_for_all(Services::stamp, services)?;
        }
        Ok(batch)
    }

    /// Returns each signature.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Returns the leaves that will be recorded.
    pub fn leaves(&self) -> Vec<Vec<u8>> {
        self.parts.iter().map(|part| part.leaf.clone()).collect()
    }

    /// Returns which of the signer's services was away, if one was: then what it would have given
    /// is still to be had.
    pub const fn away(&self) -> Option<&KeylessError> {
        self.away.as_ref()
    }

    /// Returns the bundles without a log entry.
    pub fn unlogged(&self) -> Vec<Bundle> {
        let parts = self.parts.iter();
        parts
            .map(|part| part.progress.stamped(&part.bundle))
            .collect()
    }

    /// Returns the bundles for the world outside, where the signer entered the signature into logs
    /// besides the recorder: with those entries, and no other.
    pub fn published(&self) -> Vec<Option<Bundle>> {
        let parts = self.parts.iter();
        parts
            .map(|part| part.progress.published(&part.bundle))
            .collect()
    }

    /// Enters all signatures into the logs that the signer uses besides the recorder, if there are
    /// any. A log that is away, see [`Signed::away`].
    pub fn publish(&mut self, signer: &dyn Signer) -> Result<(), SealError> {
        match signer.services() {
            Some(services) => self.ask_for_all(Services::publish, services),
            None => Ok(()),
        }
    }

    // A service may take seconds to answer. Who was away once is not asked for the rest.
    fn ask_for_all(&mut self, question: Question, services: &Services) -> Result<(), SealError> {
        for some in self.parts.chunks_mut(AT_ONCE) {
            let answers: Vec<_> = thread::scope(|scope| {
                let ask = |part| scope.spawn(move || Part::ask(part, question, services));
                let calls: Vec<_> = some.iter_mut().map(ask).collect();
                calls.into_iter().map(ScopedJoinHandle::join).collect()
            });
            for answer in answers {
                let unanswered = |_| SealError::RecorderCount {
                    expected: 1,
                    found: 0,
                };
                if let Some(away) = answer.map_err(unanswered)?? {
                    self.away.get_or_insert(away);
                }
            }
            if self.away.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Records all signatures in one batch, and returns the bundles with their log entries.
    pub fn record(&self, recorder: &dyn Recorder) -> Result<Vec<Bundle>, SealError> {
        let leaves = self.leaves();
        let answers = recorder.record(&leaves).map_err(SealError::Record)?;
        if answers.len() != leaves.len() {
            let (expected, found) = (leaves.len(), answers.len());
            return Err(SealError::RecorderCount { expected, found });
        }
        let bundles = self.unlogged().into_iter();
        Ok(bundles
            .zip(leaves.iter().zip(answers))
            .map(|(mut bundle, (leaf, answer))| {
                let material = std::mem::take(&mut bundle.verification_material);
                bundle.verification_material = material.with_entry(answer.to_entry(leaf));
                bundle
            })
            .collect())
    }

    /// Returns it if no service was away.
    pub fn complete(self) -> Result<Self, SealError> {
        match self.away {
            Some(away) => Err(SealError::Sign(SignError::from(away))),
            None => Ok(self),
        }
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

fn sign_one(statement: &Statement, signer: &dyn Signer) -> Result<Part, SealError> {
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
    let envelope = Envelope::new(INTOTO_PAYLOAD_TYPE, payload, vec![signature]);
    let bundle = Bundle::new(material(signer, key_hint), envelope);
    Ok(Part::new(bundle, leaf))
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
    /// The certificate cannot be read, and so no service can be asked about the signature.
    #[error("the signer's certificate cannot be read")]
    NotStampable,
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
