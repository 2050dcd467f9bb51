//! Why a verification failed, as data with a stable code.

use custos_core::bundle::BundleError;
use custos_core::clock::Timestamp;
use custos_core::crypto::SignatureError;
use custos_core::dsse::EnvelopeError;
use custos_core::merkle::ProofError;
use custos_core::statement::StatementError;
use custos_log::checkpoint::CheckpointError;

use super::certificate::CertificateFault;
use super::report::CheckName;
use super::sct::PromiseFault;
use super::timestamp::TimestampFault;
use crate::revocation::KeyFault;

/// Why a verification failed.
///
/// Every variant has a stable [`VerifyError::code`], the check it broke, and the place in the
/// bundle's JSON. Equality is on the data, never on text for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The caller gave no digest of the artifact.
    #[error("no digest of the artifact was given")]
    ArtifactUnnamed,
    /// The bytes are not a bundle.
    #[error("{0}")]
    Bundle(BundleError),
    /// A certificate is none, or breaks a rule, or leads nowhere.
    #[error("{fault}")]
    Certificate {
        /// Position in the bundle's chain, from 0.
        position: usize,
        /// What is wrong.
        fault: CertificateFault,
    },
    /// No trusted log promised the certificate to the public, though its authority has such logs.
    #[error("{fault}")]
    CertificatePromise {
        /// What is wrong.
        fault: PromiseFault,
    },
    /// The leaf is outside of its validity at the time of judgement.
    #[error("the certificate of {subject} is valid from {not_before} to {not_after}, not at {now}")]
    CertificateValidity {
        /// The leaf's subject.
        subject: String,
        /// First valid moment.
        not_before: Timestamp,
        /// Last valid moment.
        not_after: Timestamp,
        /// The time of judgement.
        now: Timestamp,
    },
    /// The checkpoint of a log entry is unreadable or not signed by the trusted log key.
    #[error("the log's checkpoint is not accepted: {source}")]
    Checkpoint {
        /// Position among the log entries, from 0.
        entry: usize,
        /// What is wrong.
        source: CheckpointError,
    },
    /// A statement was asked for and a message signature was found, or the other way round.
    #[error("expected {expected}, found {found}")]
    ContentKind {
        /// What was asked for.
        expected: &'static str,
        /// What the bundle holds.
        found: &'static str,
    },
    /// The bytes are not an envelope.
    #[error("{0}")]
    Envelope(EnvelopeError),
    /// The inclusion proof does not hold.
    #[error("the inclusion proof does not hold: {source}")]
    InclusionProof {
        /// Position among the log entries, from 0.
        entry: usize,
        /// What is wrong.
        source: ProofError,
    },
    /// The bundle's own copy of the key or its details contradicts the expected key.
    #[error("`{field}` contradicts the expected key: {found}")]
    KeyMaterialMismatch {
        /// `rawBytes` or `keyDetails`.
        field: &'static str,
        /// What was found.
        found: String,
    },
    /// The key was revoked or replaced, and nothing proves that it signed before.
    #[error("{fault}")]
    KeyRevoked {
        /// What is wrong.
        fault: KeyFault,
    },
    /// The log entry is of a kind that this log does not take.
    #[error("a log entry of kind `{kind}` {version} does not belong into this log")]
    LogEntryKind {
        /// Position among the log entries, from 0.
        entry: usize,
        /// Kind found.
        kind: String,
        /// Version found.
        version: String,
    },
    /// The bundle has no log entry, or none of the log that is required.
    #[error("the bundle has no entry of {required}")]
    LogEntryMissing {
        /// `a trusted log`, or the origin of the required one.
        required: String,
    },
    /// The log entry is about another signature.
    #[error(
        "the log entry does not belong to this signature: it commits to {found}, the signature is over {expected}"
    )]
    LogEntryNotBound {
        /// Position among the log entries, from 0.
        entry: usize,
        /// Digest of what was signed.
        expected: String,
        /// Digest in the entry, or what else differs.
        found: String,
    },
    /// Two entries of one log: one of them is there to confuse.
    #[error("the bundle has two entries of the log {origin}")]
    LogEntryTwice {
        /// Position of the second, from 0.
        entry: usize,
        /// The log.
        origin: String,
    },
    /// A field beside the proof contradicts what the proof says.
    #[error("`{field}` is {found}, the proof says {expected}")]
    LogFieldMismatch {
        /// Position among the log entries, from 0.
        entry: usize,
        /// Name of the field.
        field: &'static str,
        /// What the proof says.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The log is not in the trust root.
    #[error("the log with key id {found} is not in the trust root")]
    LogNotTrusted {
        /// Position among the log entries, from 0.
        entry: usize,
        /// Hex of the log's key id.
        found: String,
    },
    /// The log's promise (the signed entry timestamp of Rekor v1) does not hold.
    #[error("the log's signed entry timestamp does not verify")]
    LogPromise {
        /// Position among the log entries, from 0.
        entry: usize,
    },
    /// A log entry without inclusion proof or checkpoint.
    #[error("the log entry has no {missing}")]
    LogProofMissing {
        /// Position among the log entries, from 0.
        entry: usize,
        /// What is missing.
        missing: &'static str,
    },
    /// The caller named nobody: that would mean anybody.
    #[error("no expected signer was named")]
    NoExpectedSigner,
    /// The payload is not an in-toto statement.
    #[error("the payload type is `{found}`, not an in-toto statement")]
    PayloadType {
        /// What was found.
        found: String,
    },
    /// The statement is of another kind than was asked for.
    #[error("the predicate type is `{found}`, expected {}", list(expected))]
    PredicateType {
        /// What was asked for.
        expected: Vec<String>,
        /// What was found.
        found: String,
    },
    /// No expected signer made this signature.
    #[error("the signature does not verify with the key of {}", list(tried))]
    SignatureInvalid {
        /// Signers whose keys were tried.
        tried: Vec<String>,
        /// What the last of them said.
        source: SignatureError,
    },
    /// The bundle names a signer that nobody expects.
    #[error("signed by {found}, expected {}", list(expected))]
    SignerNotExpected {
        /// Who was expected.
        expected: Vec<String>,
        /// Who is named in the bundle.
        found: String,
    },
    /// The payload does not parse as a statement, even if its signature is good.
    #[error("{0}")]
    Statement(StatementError),
    /// The statement is about something else.
    #[error("the statement is about {}, not about {artifact}", list(subjects))]
    SubjectMismatch {
        /// The artifact's digests.
        artifact: String,
        /// The statement's subjects.
        subjects: Vec<String>,
    },
    /// The signature is over another file.
    #[error("the signature is over a file of {signed}, not of {artifact}")]
    FileMismatch {
        /// The artifact's digests.
        artifact: String,
        /// What was signed, as the bundle says.
        signed: String,
    },
    /// A trusted time lies in the future.
    #[error("signed at {time}, which is after {now}")]
    TimeInFuture {
        /// The trusted time.
        time: Timestamp,
        /// The time of judgement.
        now: Timestamp,
    },
    /// A certificate that lives for minutes, and nobody vouches for the time of signing.
    #[error("nobody whom the trust root trusts vouches for the time of signing")]
    TimeMissing,
    /// A timestamp does not hold, or nobody in the trust root can vouch for it.
    #[error("{fault}")]
    Timestamp {
        /// Position among the timestamps, from 0.
        position: usize,
        /// What is wrong.
        fault: TimestampFault,
    },
    /// More candidates than one verification looks at.
    #[error("{found} candidates, the limit is {limit}", limit = super::MAX_CANDIDATES)]
    TooManyCandidates {
        /// Candidates found.
        found: usize,
    },
}

impl VerifyError {
    /// Returns the stable code, such as `E0107`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Bundle(_) => "E0101",
            Self::Envelope(_) => "E0102",
            Self::PayloadType { .. } => "E0103",
            Self::Statement(_) => "E0104",
            Self::PredicateType { .. } => "E0105",
            Self::FileMismatch { .. } | Self::SubjectMismatch { .. } => "E0106",
            Self::LogEntryNotBound { .. } => "E0107",
            Self::SignerNotExpected { .. } => "E0108",
            Self::SignatureInvalid { .. } => "E0109",
            Self::NoExpectedSigner => "E0110",
            Self::KeyMaterialMismatch { .. } => "E0111",
            Self::Certificate { .. } => "E0112",
            Self::CertificateValidity { .. } => "E0113",
            Self::LogEntryMissing { .. } => "E0114",
            Self::LogNotTrusted { .. } => "E0115",
            Self::LogEntryKind { .. } => "E0116",
            Self::LogProofMissing { .. } => "E0117",
            Self::Checkpoint { .. } => "E0118",
            Self::InclusionProof { .. } => "E0119",
            Self::LogFieldMismatch { .. } => "E0120",
            Self::LogEntryTwice { .. } => "E0121",
            Self::Timestamp { .. } => "E0122",
            Self::TimeInFuture { .. } => "E0123",
            Self::ContentKind { .. } => "E0124",
            Self::ArtifactUnnamed => "E0125",
            Self::TooManyCandidates { .. } => "E0127",
            Self::CertificatePromise { .. } => "E0128",
            Self::LogPromise { .. } => "E0129",
            Self::TimeMissing => "E0133",
            Self::KeyRevoked { .. } => "E0801",
        }
    }

    /// Returns the check that failed.
    pub const fn check(&self) -> CheckName {
        match self {
            Self::ArtifactUnnamed | Self::FileMismatch { .. } | Self::SubjectMismatch { .. } => {
                CheckName::Subject
            }
            Self::Bundle(_)
            | Self::Envelope(_)
            | Self::ContentKind { .. }
            | Self::TooManyCandidates { .. } => CheckName::Format,
            Self::Certificate { .. } | Self::CertificateValidity { .. } => CheckName::Certificate,
            Self::CertificatePromise { .. } => CheckName::Sct,
            Self::LogEntryNotBound { .. } => CheckName::LogBinding,
            Self::Checkpoint { .. }
            | Self::InclusionProof { .. }
            | Self::LogEntryKind { .. }
            | Self::LogEntryMissing { .. }
            | Self::LogEntryTwice { .. }
            | Self::LogFieldMismatch { .. }
            | Self::LogNotTrusted { .. }
            | Self::LogPromise { .. }
            | Self::LogProofMissing { .. } => CheckName::Log,
            Self::KeyMaterialMismatch { .. }
            | Self::KeyRevoked { .. }
            | Self::NoExpectedSigner
            | Self::SignerNotExpected { .. } => CheckName::Signer,
            Self::PayloadType { .. } | Self::Statement(_) => CheckName::Statement,
            Self::PredicateType { .. } => CheckName::Predicate,
            Self::SignatureInvalid { .. } => CheckName::Signature,
            Self::TimeInFuture { .. } | Self::TimeMissing | Self::Timestamp { .. } => {
                CheckName::Time
            }
        }
    }

    /// Returns the place in the bundle's JSON; empty where the fault is in the request.
    pub fn path(&self) -> String {
        let entry =
            |at: &usize, field: &str| format!("verificationMaterial.tlogEntries[{at}]{field}");
        match self {
            Self::ArtifactUnnamed | Self::NoExpectedSigner | Self::TooManyCandidates { .. } => {
                String::new()
            }
            Self::Bundle(_) | Self::Envelope(_) | Self::ContentKind { .. } => "$".to_owned(),
            Self::Certificate { position, .. } => {
                format!("verificationMaterial.x509CertificateChain.certificates[{position}]")
            }
            Self::CertificateValidity { .. } | Self::CertificatePromise { .. } => {
                "verificationMaterial.x509CertificateChain.certificates[0]".to_owned()
            }
            Self::Checkpoint { entry: at, .. } => entry(at, ".inclusionProof.checkpoint"),
            Self::InclusionProof { entry: at, .. } => entry(at, ".inclusionProof"),
            Self::LogEntryKind { entry: at, .. } => entry(at, ".kindVersion"),
            Self::LogEntryMissing { .. } => "verificationMaterial.tlogEntries".to_owned(),
            Self::LogEntryNotBound { entry: at, .. } => entry(at, ".canonicalizedBody"),
            Self::LogEntryTwice { entry: at, .. } | Self::LogProofMissing { entry: at, .. } => {
                entry(at, "")
            }
            Self::LogFieldMismatch {
                entry: at, field, ..
            } => entry(at, &format!(".{field}")),
            Self::LogNotTrusted { entry: at, .. } => entry(at, ".logId.keyId"),
            Self::LogPromise { entry: at } => entry(at, ".inclusionPromise"),
            Self::KeyMaterialMismatch { field, .. } => {
                format!("verificationMaterial.publicKey.{field}")
            }
            Self::PayloadType { .. } => "dsseEnvelope.payloadType".to_owned(),
            Self::PredicateType { .. } => "dsseEnvelope.payload:predicateType".to_owned(),
            Self::SignatureInvalid { .. } => "dsseEnvelope.signatures[0].sig".to_owned(),
            Self::KeyRevoked { .. } | Self::SignerNotExpected { .. } => {
                "verificationMaterial".to_owned()
            }
            Self::Statement(_) => "dsseEnvelope.payload".to_owned(),
            Self::FileMismatch { .. } => "messageSignature.messageDigest".to_owned(),
            Self::SubjectMismatch { .. } => "dsseEnvelope.payload:subject".to_owned(),
            Self::TimeInFuture { .. } | Self::TimeMissing => {
                "verificationMaterial.timestampVerificationData".to_owned()
            }
            Self::Timestamp { position, .. } => format!(
                "verificationMaterial.timestampVerificationData.rfc3161Timestamps[{position}]"
            ),
        }
    }

    /// Returns one line that says what to do next.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::ArtifactUnnamed => "name the artifact by path or as `sha256:<hex>`",
            Self::Bundle(_) | Self::Envelope(_) => {
                "this file is not a bundle, or was cut or edited; fetch it again from its source"
            }
            Self::Certificate { .. } => {
                "ask the signer for a certificate of an authority you trust, or add that authority"
            }
            Self::CertificateValidity { .. } => {
                "have it signed again while the certificate is valid, with a timestamp to prove it"
            }
            Self::CertificatePromise { .. } => {
                "use the trusted root of the instance that issued it; if it is that, do not trust it"
            }
            Self::Checkpoint { .. }
            | Self::InclusionProof { .. }
            | Self::LogFieldMismatch { .. }
            | Self::LogPromise { .. } => {
                "the proof was changed or comes from another log; do not trust this bundle"
            }
            Self::ContentKind { .. } => "statements and plain file signatures are asked for apart",
            Self::KeyMaterialMismatch { .. } | Self::SignerNotExpected { .. } => {
                "if this signer is right, add them as expected signer; if not, do not use the artifact"
            }
            Self::KeyRevoked { .. } => {
                "do not use the artifact; have it made again and signed by a key that counts"
            }
            Self::LogEntryKind { .. } | Self::LogEntryTwice { .. } => {
                "this is no entry that a log of statements takes; do not trust this bundle"
            }
            Self::LogEntryMissing { .. } | Self::LogProofMissing { .. } => {
                "have the signature logged, or allow unlogged signatures explicitly"
            }
            Self::LogEntryNotBound { .. } => {
                "someone attached another signature's log entry, or the file was re-signed without logging it"
            }
            Self::LogNotTrusted { .. } => {
                "add the log's key to the trust root if you trust that log"
            }
            Self::NoExpectedSigner => "say whom you expect: a key, or an identity and its issuer",
            Self::PayloadType { .. } => "only in-toto statements are evidence here",
            Self::PredicateType { .. } => {
                "ask for the predicate type that you need, or fetch the right bundle"
            }
            Self::SignatureInvalid { .. } => {
                "the statement was changed after signing, or signed by somebody else"
            }
            Self::Statement(_) => "the signed payload is broken; have it made and signed again",
            Self::FileMismatch { .. } | Self::SubjectMismatch { .. } => {
                "the artifact changed since it was signed, or this bundle is about another one"
            }
            Self::TimeInFuture { .. } => "check this machine's clock",
            Self::TooManyCandidates { .. } => "pass fewer bundles, or the one that matters",
            Self::TimeMissing => "have it signed again with a timestamp, or logged in Rekor v1",
            Self::Timestamp { .. } => {
                "use a trusted root that names the timestamp authority; if it does, do not trust this bundle"
            }
        }
    }
}

fn list(items: &[String]) -> String {
    match items {
        [] => "nobody".to_owned(),
        items => items.join(" or "),
    }
}
