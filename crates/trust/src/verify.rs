//! Verification: the one function that binds everything together.
//!
//! [`verify`] takes the artifact's digests, the bundle's bytes, the trust root, the expected
//! signers, what is required of the log, the expected predicate types and `now`, all in one
//! [`VerifyRequest`], and returns a [`Verified`] value or a [`VerifyError`]. There is no other way
//! to a [`Verified`] value, online or offline, for new formats or old ones.
//!
//! There is one way for all bundles, in [`own`]: the signature, by an expected key or by a
//! certificate ([`certified`]); timestamps ([`timestamp`]); log entries of our own and of Rekor
//! ([`log`], [`rekor`]). The broken form of `model_signing` 0.2 is read by [`legacy`], signature
//! only, and reported as such. Nothing is looked up: everything comes with the request.
//!
//! Payload type, statement, predicate type and subject are checked in one place for all.

mod certificate;
mod certified;
mod chain;
mod der;
mod error;
mod leaf;
mod legacy;
mod life;
mod log;
mod own;
mod rekor;
mod report;
mod sct;
mod signature;
mod subject;
mod timestamp;
mod verified;

use custos_core::bundle::{Bundle, BundleError};
use custos_core::clock::Timestamp;
use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::dsse::Envelope;
use custos_core::identity::ExpectedSigner;
use custos_core::statement::Statement;

pub use certificate::{Certificate, CertificateFault};
pub use error::VerifyError;
pub use leaf::may_be_expected;
pub use report::{Check, CheckName, CheckState};
pub use sct::PromiseFault;
pub use subject::{Expectation, Message, MessageBytes, MessageSigned, PredicateTypes};
pub use timestamp::TimestampFault;
pub use verified::{LogProof, Proof, Signatory, SignedTime, Verified, distinct_keys};

/// The single checks, for whoever asks services and looks at their answers one by one.
pub(crate) mod answers {
    pub(crate) use super::chain::{Path, check_issued};
    pub(crate) use super::log::Signed;
    pub(crate) use super::rekor::{Claim, check as check_entry};
    pub(crate) use super::sct::check as check_promise;
    pub(crate) use super::timestamp::check as check_stamp;
}

use report::Checks;
use subject::Content;

use crate::root::TrustRoot;

/// Most bundles that one [`verify_all`] looks at.
pub const MAX_CANDIDATES: usize = 1024;

/// How far a trusted time may lie after `now`, for clocks that are not quite right: 5 minutes.
pub const MAX_CLOCK_SKEW_MICROS: i64 = 300_000_000;

/// Everything that one verification depends on. There is no default for any of it.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "an argument list with names")]
pub struct VerifyRequest<'a, E> {
    /// Digests of the artifact, as the verifier computed or was given them; not empty.
    pub artifact: &'a DigestSet,
    /// What somebody handed over.
    pub material: Material<'a>,
    /// Logs and authorities that are trusted.
    pub trust_root: &'a TrustRoot,
    /// Who may have signed; one of them must have. Not empty: nobody is not anybody.
    pub signers: &'a [ExpectedSigner],
    /// What is required of the log.
    pub log: LogRequirement<'a>,
    /// What was asked for: [`PredicateTypes`] of a statement, or a [`Message`].
    pub expect: E,
    /// The time of judgement.
    pub now: Timestamp,
}

impl<'a, E: Clone> VerifyRequest<'a, E> {
    /// Returns the same request for other material.
    pub fn with_material(&self, material: Material<'a>) -> Self {
        Self {
            material,
            ..self.clone()
        }
    }
}

impl<E: Expectation> VerifyRequest<'_, E> {
    /// Returns a digest of everything that the outcome depends on except `now`: the key under
    /// which an outcome may be remembered. An outcome that involves a private certificate also
    /// depends on `now` and ends with the certificate's validity.
    pub fn digest(&self) -> Digest {
        let form = match self.material {
            Material::Bundle(_) => "bundle",
            Material::Envelope(_) => "envelope",
        };
        let scalars = vec![
            form.to_owned(),
            self.material.digest().to_string(),
            self.trust_root.digest().to_string(),
            format!("{:?}", self.log),
            self.expect.describe(),
        ];
        let artifact = self.artifact.iter();
        let artifact = artifact.flat_map(|(name, hex)| [name.to_owned(), hex.to_owned()]);
        let signers = self.signers.iter().map(|signer| format!("{signer:?}"));
        let mut signers: Vec<String> = signers.collect();
        signers.sort_unstable();
        let mut hasher = Algorithm::Sha256.hasher();
        for group in [scalars, artifact.collect(), signers] {
            // Counts and parts of one size: no group and no part can run into the next.
            hasher.update(
                Algorithm::Sha256
                    .digest(group.len().to_string().as_bytes())
                    .as_bytes(),
            );
            for part in group {
                hasher.update(Algorithm::Sha256.digest(part.as_bytes()).as_bytes());
            }
        }
        hasher.finish()
    }
}

/// What somebody handed over as evidence.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Material<'a> {
    /// A Sigstore bundle, v0.1 to v0.3.
    Bundle(&'a [u8]),
    /// A bare DSSE envelope, which may have several signatures by keys and has no log entry.
    Envelope(&'a [u8]),
}

impl Material<'_> {
    /// Returns the SHA-256 of the bytes.
    pub fn digest(&self) -> Digest {
        let (Self::Bundle(bytes) | Self::Envelope(bytes)) = self;
        Algorithm::Sha256.digest(bytes)
    }
}

/// What is required of the log. An entry that is there must always hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogRequirement<'a> {
    /// Signatures that nobody logged are accepted too; the result says so. The key and
    /// certificate methods of OMS are like that.
    AbsenceAllowed,
    /// Some log of the trust root must hold the signature, or one of its timestamp authorities
    /// must have seen it: what private repositories of GitHub have.
    OrTimestamp,
    /// Some log of the trust root must hold the signature.
    Required,
    /// This log must hold it.
    RequiredIn {
        /// Origin of the log.
        origin: &'a str,
    },
}

/// Verifies.
///
/// ```
/// use custos_core::clock::Timestamp;
/// use custos_core::crypto::{KeyKind, KeyPair};
/// use custos_core::digest::{Algorithm, DigestSet};
/// use custos_core::identity::ExpectedSigner;
/// use custos_core::statement::{Statement, Subject};
/// use custos_trust::signer::{KeySigner, Signer as _};
/// use custos_trust::verify::{LogRequirement, Material, PredicateTypes, VerifyRequest};
/// use custos_trust::{TrustRoot, seal, verify};
///
/// let artifact = DigestSet::from(Algorithm::Sha256.digest(b"weights"));
/// let statement =
///     Statement::new(vec![Subject::new("model", artifact.clone())], "https://example.com/p", &1)
///         .unwrap();
/// let signer = KeySigner::new(KeyPair::generate(KeyKind::P256).unwrap());
/// let bundle = seal::sign_statement(&statement, &signer, None).unwrap().to_bytes().unwrap();
///
/// let verified = verify(&VerifyRequest {
///     artifact: &artifact,
///     material: Material::Bundle(&bundle),
///     trust_root: &TrustRoot::trusting_nothing(),
///     signers: &[ExpectedSigner::key("trainer", signer.public_key().clone())],
///     log: LogRequirement::AbsenceAllowed,
///     expect: PredicateTypes::new(&["https://example.com/p"]),
///     now: Timestamp::from_seconds(1_800_000_000),
/// })
/// .unwrap();
/// assert_eq!(verified.signer_name(), "trainer");
/// assert_eq!(verified.statement().predicate::<u32>().unwrap(), 1);
/// ```
pub fn verify<E: Expectation>(
    request: &VerifyRequest<'_, E>,
) -> Result<Verified<E::Content>, VerifyError> {
    examine(request).0
}

/// Verifies several candidates, and reports on each of them.
pub fn verify_all<'a, E: Expectation + 'a>(
    candidates: &[(&str, VerifyRequest<'a, E>)],
) -> Result<Outcome<E::Content>, VerifyError> {
    if candidates.len() > MAX_CANDIDATES {
        return Err(VerifyError::TooManyCandidates {
            found: candidates.len(),
        });
    }
    let mut outcome = Outcome {
        verified: Vec::new(),
        reports: Vec::new(),
    };
    for (name, request) in candidates {
        let (result, checks) = examine(request);
        let error = result.as_ref().err().cloned();
        outcome.verified.extend(result.ok());
        outcome.reports.push(CandidateReport {
            name: (*name).to_owned(),
            bundle_digest: request.material.digest(),
            checks,
            error,
        });
    }
    Ok(outcome)
}

/// What became of several candidates.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome<T> {
    /// Those that hold.
    pub verified: Vec<Verified<T>>,
    /// One report a candidate, in the order given.
    pub reports: Vec<CandidateReport>,
}

/// What became of one candidate, check by check.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CandidateReport {
    /// Name of the candidate, such as its file.
    pub name: String,
    /// SHA-256 of its bytes.
    pub bundle_digest: Digest,
    /// The checks.
    pub checks: Vec<Check>,
    /// Why it does not hold; `None` if it does.
    pub error: Option<VerifyError>,
}

/// Returns the statement of a bundle or envelope without any verification: what somebody claims,
/// to find out what to ask [`verify`] for.
pub fn unverified_statement(material: Material<'_>) -> Result<Statement, VerifyError> {
    subject::parse_statement(Evidence::parse(material)?.content()?.envelope()?)
}

// For the fuzzer: the parsers behind a signature, each with these bytes.
pub(crate) fn read_voucher(data: &[u8]) {
    timestamp::read(data);
    sct::read(data);
    rekor::read(data);
}

// What the request says apart from the material and the expectation.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    artifact: &'a DigestSet,
    trust_root: &'a TrustRoot,
    signers: &'a [ExpectedSigner],
    log: LogRequirement<'a>,
    now: Timestamp,
    message: Option<&'a [u8]>,
}

impl Terms<'_> {
    fn expected(&self) -> Vec<String> {
        self.signers.iter().map(ToString::to_string).collect()
    }

    fn not_expected(&self, found: impl Into<String>) -> VerifyError {
        VerifyError::SignerNotExpected {
            expected: self.expected(),
            found: found.into(),
        }
    }
}

/// The parsed material, not yet believed.
enum Evidence {
    Bundle(Box<Bundle>),
    Envelope(Envelope),
}

impl Evidence {
    fn parse(material: Material<'_>) -> Result<Self, VerifyError> {
        match material {
            Material::Envelope(bytes) => Envelope::parse(bytes)
                .map(Self::Envelope)
                .map_err(VerifyError::Envelope),
            Material::Bundle(bytes) => Bundle::parse(bytes)
                .map(|bundle| Self::Bundle(Box::new(bundle)))
                .map_err(VerifyError::Bundle),
        }
    }

    fn content(&self) -> Result<Content<'_>, VerifyError> {
        match self {
            Self::Envelope(envelope) => Ok(Content::Statement(envelope)),
            Self::Bundle(bundle) => match (&bundle.dsse_envelope, &bundle.message_signature) {
                (Some(envelope), None) => Ok(Content::Statement(envelope)),
                (None, Some(message)) => Ok(Content::Message(message)),
                _ => Err(VerifyError::Bundle(BundleError::ContentCount)),
            },
        }
    }
}

/// What the signature side of a verification established.
pub(crate) struct Proven {
    first: Signatory,
    others: Vec<Signatory>,
    log: Vec<LogProof>,
    time: SignedTime,
    // The last of the trusted times, and whether a timestamp authority vouches for one.
    latest: Option<Timestamp>,
    stamped: bool,
    // Why a timestamp that nobody in the trust root made says nothing.
    unknown_stamp: Option<VerifyError>,
    legacy: bool,
}

type Examined<T> = (Result<Verified<T>, VerifyError>, Vec<Check>);

fn examine<E: Expectation>(request: &VerifyRequest<'_, E>) -> Examined<E::Content> {
    let mut checks = Checks::default();
    let outcome = run(request, &mut checks);
    if let Err(error) = &outcome {
        checks.failed(error);
    }
    let checks = checks.finish(E::IS_STATEMENT);
    let outcome = outcome.map(|(content, mut proof)| {
        proof.checks.clone_from(&checks);
        Verified::new(content, proof)
    });
    (outcome, checks)
}

fn run<E: Expectation>(
    request: &VerifyRequest<'_, E>,
    checks: &mut Checks,
) -> Result<(E::Content, Proof), VerifyError> {
    if request.signers.is_empty() {
        return Err(VerifyError::NoExpectedSigner);
    }
    if request.artifact.is_empty() {
        return Err(VerifyError::ArtifactUnnamed);
    }
    let evidence = Evidence::parse(request.material)?;
    let content = evidence.content()?;
    content.admit::<E>()?;
    checks.ok(CheckName::Format, "");
    let terms = Terms {
        artifact: request.artifact,
        trust_root: request.trust_root,
        signers: request.signers,
        log: request.log,
        now: request.now,
        message: request.expect.message(),
    };
    // Both sides are always looked at, so that the list of checks says all that is wrong.
    let proven = prove(&evidence, content, &terms, checks);
    if let Err(error) = &proven {
        checks.failed(error);
    }
    let bound = request.expect.bind(content, request.artifact, checks);
    let proven = proven?;
    let (content, payload_digest) = bound?;
    let proof = Proof {
        first: proven.first,
        others: proven.others,
        log: proven.log,
        time: proven.time,
        legacy: proven.legacy,
        bundle_digest: request.material.digest(),
        payload_digest,
        artifact: request.artifact.clone(),
        trust_root: request.trust_root.digest(),
        checks: Vec::new(),
    };
    Ok((content, proof))
}

fn prove(
    evidence: &Evidence,
    content: Content<'_>,
    terms: &Terms<'_>,
    checks: &mut Checks,
) -> Result<Proven, VerifyError> {
    let proven = match evidence {
        Evidence::Envelope(_) => own::prove_envelope(content, terms, checks)?,
        Evidence::Bundle(bundle) => own::prove_bundle(bundle, content, terms, checks)?,
    };
    let proven = life::check(proven, terms)?;
    if let Some(time) = proven.latest
        && time.micros_since(terms.now) > MAX_CLOCK_SKEW_MICROS
    {
        let now = terms.now;
        return Err(VerifyError::TimeInFuture { time, now });
    }
    log::check_requirement(&proven.log, proven.stamped, terms.log).map_err(|missing| {
        match (&proven.unknown_stamp, terms.log) {
            (Some(unknown), LogRequirement::OrTimestamp) => unknown.clone(),
            _ => missing,
        }
    })?;
    if proven.log.is_empty() {
        checks.not_claimed(CheckName::Log, "not logged, and that is allowed");
    }
    if proven.time == SignedTime::Untrusted {
        let who = match &proven.unknown_stamp {
            Some(_) => "no timestamp authority of the trust root",
            None => "nobody",
        };
        checks.not_claimed(
            CheckName::Time,
            format!("untrusted: {who} vouches for the time"),
        );
    }
    Ok(proven)
}

fn describe_log(proofs: &[LogProof], unknown: usize) -> String {
    let describe = |proof: &LogProof| {
        let witnesses = match proof.witnesses.len() {
            0 => String::new(),
            1 => ", 1 witness".to_owned(),
            n => format!(", {n} witnesses"),
        };
        let (origin, index, size) = (&proof.origin, proof.index, proof.tree_size);
        if proof.promise_only {
            format!("{origin} #{index} (promised, not proven)")
        } else {
            format!("{origin} #{index} (tree {size}{witnesses})")
        }
    };
    let mut parts: Vec<_> = proofs.iter().map(describe).collect();
    if unknown > 0 {
        parts.push(format!("{unknown} of no trusted log"));
    }
    parts.join("; ")
}
