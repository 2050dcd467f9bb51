//! What was asked for, and whether the signed content is that, about this artifact.

use custos_core::bundle::MessageSignature;
use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::dsse::{Envelope, INTOTO_PAYLOAD_TYPE};
use custos_core::oms::{LEGACY_PREDICATE_TYPE, LISTING_DIGEST};
use custos_core::statement::Statement;

use super::report::Checks;
use super::{CheckName, VerifyError, legacy};

/// What a verification asks for. Implemented by [`PredicateTypes`], [`Message`] and
/// [`MessageBytes`] only.
pub trait Expectation: sealed::Sealed {
    /// What comes out.
    type Content;

    #[doc(hidden)]
    const IS_STATEMENT: bool;

    #[doc(hidden)]
    fn describe(&self) -> String;

    /// Returns the artifact's own bytes, if they are at hand.
    #[doc(hidden)]
    fn message(&self) -> Option<&[u8]> {
        None
    }

    /// Returns the content and the digest of the signed payload, if that is what was asked for.
    #[doc(hidden)]
    fn bind(
        &self,
        content: Content<'_>,
        artifact: &DigestSet,
        checks: &mut Checks,
    ) -> Result<(Self::Content, Digest), VerifyError>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::PredicateTypes<'_> {}
    impl Sealed for super::Message {}
    impl Sealed for super::MessageBytes<'_> {}
}

/// What was signed.
#[derive(Clone, Copy)]
#[allow(clippy::exhaustive_enums, reason = "nobody outside can name it")]
pub enum Content<'a> {
    /// A statement in an envelope.
    Statement(&'a Envelope),
    /// The artifact's own bytes.
    Message(&'a MessageSignature),
}

impl<'a> Content<'a> {
    /// Returns an error unless it is of the kind that `E` asks for.
    pub(super) fn admit<E: Expectation>(self) -> Result<(), VerifyError> {
        match self {
            Self::Statement(_) if !E::IS_STATEMENT => Err(self.is_no("a message signature")),
            Self::Message(_) if E::IS_STATEMENT => Err(self.is_no("a statement")),
            _ => Ok(()),
        }
    }

    pub(super) fn envelope(self) -> Result<&'a Envelope, VerifyError> {
        match self {
            Self::Statement(envelope) => Ok(envelope),
            Self::Message(_) => Err(self.is_no("a statement")),
        }
    }

    fn message(self) -> Result<&'a MessageSignature, VerifyError> {
        match self {
            Self::Message(message) => Ok(message),
            Self::Statement(_) => Err(self.is_no("a message signature")),
        }
    }

    const fn is_no(self, expected: &'static str) -> VerifyError {
        let found = match self {
            Self::Statement(_) => "a statement",
            Self::Message(_) => "a message signature",
        };
        VerifyError::ContentKind { expected, found }
    }
}

/// Asks for a statement of one of these predicate types. An empty list admits nothing.
#[derive(Debug, Clone, Copy)]
pub struct PredicateTypes<'a>(&'a [&'a str]);

impl<'a> PredicateTypes<'a> {
    /// Admits statements of these types.
    pub const fn new(types: &'a [&'a str]) -> Self {
        Self(types)
    }
}

impl Expectation for PredicateTypes<'_> {
    type Content = Statement;
    const IS_STATEMENT: bool = true;

    fn describe(&self) -> String {
        format!("statement {:?}", self.0)
    }

    fn bind(
        &self,
        content: Content<'_>,
        artifact: &DigestSet,
        checks: &mut Checks,
    ) -> Result<(Statement, Digest), VerifyError> {
        let envelope = content.envelope()?;
        let statement = parse_statement(envelope).inspect_err(|error| checks.failed(error))?;
        checks.ok(CheckName::Statement, "");
        // Kind and subject are looked at both, so that the list of checks is complete.
        let kind = self.check_kind(&statement);
        match &kind {
            Ok(()) => checks.ok(CheckName::Predicate, statement.predicate_type()),
            Err(error) => checks.failed(error),
        }
        let subject = check_subject(&statement, artifact);
        match &subject {
            Ok(name) => checks.ok(CheckName::Subject, name.clone()),
            Err(error) => checks.failed(error),
        }
        kind?;
        subject?;
        let payload = Algorithm::Sha256.digest(envelope.payload.as_slice());
        Ok((statement, payload))
    }
}

impl PredicateTypes<'_> {
    fn check_kind(&self, statement: &Statement) -> Result<(), VerifyError> {
        if self.0.contains(&statement.predicate_type()) {
            return Ok(());
        }
        Err(VerifyError::PredicateType {
            expected: self.0.iter().map(|kind| (*kind).to_owned()).collect(),
            found: statement.predicate_type().to_owned(),
        })
    }
}

/// Asks for a signature over the artifact's own bytes.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "it carries nothing")]
pub struct Message;

impl Expectation for Message {
    type Content = MessageSigned;
    const IS_STATEMENT: bool = false;

    fn describe(&self) -> String {
        "message".to_owned()
    }

    // The signature check already ran over this very digest; here it only gets its name.
    fn bind(
        &self,
        content: Content<'_>,
        artifact: &DigestSet,
        checks: &mut Checks,
    ) -> Result<(MessageSigned, Digest), VerifyError> {
        let digest = message_digest(content.message()?, artifact)?;
        checks.ok(CheckName::Subject, digest.to_string());
        Ok((MessageSigned { digest }, digest))
    }
}

/// Asks for a signature over the artifact's own bytes, which are at hand. Pure Ed25519 signs the
/// bytes and no digest of them, so that [`Message`] cannot verify it.
#[derive(Clone, Copy)]
pub struct MessageBytes<'a>(&'a [u8]);

impl<'a> MessageBytes<'a> {
    /// Takes the artifact's bytes; they count only if the digests of the request are theirs.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl Expectation for MessageBytes<'_> {
    type Content = MessageSigned;
    const IS_STATEMENT: bool = false;

    fn describe(&self) -> String {
        "message, bytes at hand".to_owned()
    }

    fn message(&self) -> Option<&[u8]> {
        Some(self.0)
    }

    fn bind(
        &self,
        content: Content<'_>,
        artifact: &DigestSet,
        checks: &mut Checks,
    ) -> Result<(MessageSigned, Digest), VerifyError> {
        Message.bind(content, artifact, checks)
    }
}

/// The artifact itself was signed; nothing is said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageSigned {
    /// The artifact's digest that the signature is over.
    pub digest: Digest,
}

/// Returns the digest of the artifact that a message signature is over: of the algorithm that the
/// bundle names, else SHA-256. The bundle's own digest must be the same.
///
/// A folder has no bytes of its own. Its `sha256` is over the digests of its files, so that a
/// signature over a file of just those digests would pass for one over the folder.
pub(super) fn message_digest(
    message: &MessageSignature,
    artifact: &DigestSet,
) -> Result<Digest, VerifyError> {
    if ["dirHash", LISTING_DIGEST]
        .iter()
        .any(|name| artifact.get_raw(name).is_some())
    {
        return Err(Content::Message(message).is_no("a statement about the folder"));
    }
    let Some(claimed) = &message.message_digest else {
        return artifact
            .get(Algorithm::Sha256)
            .ok_or(VerifyError::ArtifactUnnamed);
    };
    let algorithm = message.algorithm();
    let mismatch = || VerifyError::FileMismatch {
        artifact: describe(artifact),
        signed: format!(
            "{}:{}",
            algorithm.map_or(claimed.algorithm.as_str(), |known| known.name()),
            hex::encode(claimed.digest.as_slice())
        ),
    };
    let algorithm = algorithm.ok_or_else(mismatch)?;
    let digest = artifact.get(algorithm).ok_or_else(mismatch)?;
    if digest.as_bytes() == claimed.digest.as_slice() {
        Ok(digest)
    } else {
        Err(mismatch())
    }
}

/// Parses the payload; a payload that does not parse is never skipped over.
pub(super) fn parse_statement(envelope: &Envelope) -> Result<Statement, VerifyError> {
    if envelope.payload_type != INTOTO_PAYLOAD_TYPE {
        return Err(VerifyError::PayloadType {
            found: envelope.payload_type.clone(),
        });
    }
    Statement::parse(envelope.payload.as_slice()).map_err(VerifyError::Statement)
}

fn check_subject(statement: &Statement, artifact: &DigestSet) -> Result<String, VerifyError> {
    let named = statement
        .subject()
        .iter()
        .find(|subject| artifact.agrees_with(&subject.digest));
    if let Some(subject) = named {
        return Ok(subject.name.clone().unwrap_or_default());
    }
    // The old form lists the files of a model; the model is their root.
    if statement.predicate_type() == LEGACY_PREDICATE_TYPE
        && legacy::root_digest(statement).is_some_and(|root| artifact.contains(&root))
    {
        return Ok("root over the listed files".to_owned());
    }
    Err(VerifyError::SubjectMismatch {
        artifact: describe(artifact),
        subjects: statement
            .subject()
            .iter()
            .take(8)
            .map(|subject| describe(&subject.digest))
            .collect(),
    })
}

fn describe(digests: &DigestSet) -> String {
    digests
        .iter()
        .map(|(name, hex)| format!("{name}:{hex}"))
        .collect::<Vec<_>>()
        .join(",")
}
