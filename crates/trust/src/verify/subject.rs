//! What was asked for, and whether the signed content is that, about this artifact.

use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::dsse::{Envelope, INTOTO_PAYLOAD_TYPE};
use custos_core::statement::Statement;

use super::report::Checks;
use super::{CheckName, Content, VerifyError, legacy};

/// What a verification asks for. Implemented by [`PredicateTypes`] and [`Message`] only.
pub trait Expectation: sealed::Sealed {
    /// What comes out.
    type Content;

    #[doc(hidden)]
    const IS_STATEMENT: bool;

    #[doc(hidden)]
    fn describe(&self) -> String;

    #[doc(hidden)]
    #[allow(
        private_interfaces,
        reason = "sealed: nobody else calls or implements it"
    )]
    fn admit(&self, content: Content<'_>) -> Result<(), VerifyError>;

    #[doc(hidden)]
    #[allow(
        private_interfaces,
        reason = "sealed: nobody else calls or implements it"
    )]
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

/// Asks for a signature over the artifact's own bytes.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "it carries nothing")]
pub struct Message;

/// The artifact itself was signed; nothing is said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageSigned {
    /// The artifact's digest that the signature is over.
    pub digest: Digest,
}

impl Expectation for PredicateTypes<'_> {
    type Content = Statement;
    const IS_STATEMENT: bool = true;

    fn describe(&self) -> String {
        format!("statement {:?}", self.0)
    }

    #[allow(
        private_interfaces,
        reason = "sealed: nobody else calls or implements it"
    )]
    fn admit(&self, content: Content<'_>) -> Result<(), VerifyError> {
        match content {
            Content::Statement(_) => Ok(()),
            Content::Message(_) => Err(VerifyError::ContentKind {
                expected: "a statement",
                found: "a message signature",
            }),
        }
    }

    #[allow(
        private_interfaces,
        reason = "sealed: nobody else calls or implements it"
    )]
    fn bind(
        &self,
        content: Content<'_>,
        artifact: &DigestSet,
        checks: &mut Checks,
    ) -> Result<(Statement, Digest), VerifyError> {
        self.admit(content)?;
        let Content::Statement(envelope) = content else {
            return Err(VerifyError::ArtifactUnnamed);
        };
        let note = |checks: &mut Checks, error: VerifyError| {
            checks.failed(&error);
            error
        };
        let statement = parse_statement(envelope).map_err(|error| note(checks, error))?;
        checks.ok(CheckName::Statement, "");
        // Kind and subject are looked at both, so that the list of checks is complete.
        let kind = self
            .check_kind(&statement)
            .map_err(|error| note(checks, error));
        if kind.is_ok() {
            checks.ok(CheckName::Predicate, statement.predicate_type());
        }
        let subject = check_subject(&statement, artifact).map_err(|error| note(checks, error));
        if let Ok(name) = &subject {
            checks.ok(CheckName::Subject, name.clone());
        }
        kind?;
        subject?;
        Ok((
            statement,
            Algorithm::Sha256.digest(envelope.payload.as_slice()),
        ))
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

impl Expectation for Message {
    type Content = MessageSigned;
    const IS_STATEMENT: bool = false;

    fn describe(&self) -> String {
        "message".to_owned()
    }

    #[allow(
        private_interfaces,
        reason = "sealed: nobody else calls or implements it"
    )]
    fn admit(&self, content: Content<'_>) -> Result<(), VerifyError> {
        match content {
            Content::Message(_) => Ok(()),
            Content::Statement(_) => Err(VerifyError::ContentKind {
                expected: "a message signature",
                found: "a statement",
            }),
        }
    }

    // The signature check already ran over this very digest; here it only gets its name.
    #[allow(
        private_interfaces,
        reason = "sealed: nobody else calls or implements it"
    )]
    fn bind(
        &self,
        content: Content<'_>,
        artifact: &DigestSet,
        checks: &mut Checks,
    ) -> Result<(MessageSigned, Digest), VerifyError> {
        self.admit(content)?;
        let digest = match content {
            Content::Message(message) => message_digest(message, artifact)?,
            Content::Statement(_) => return Err(VerifyError::ArtifactUnnamed),
        };
        checks.ok(CheckName::Subject, digest.to_string());
        Ok((MessageSigned { digest }, digest))
    }
}

/// Returns the digest of the artifact that a message signature is over: of the algorithm that the
/// bundle names, else SHA-256. The bundle's own digest must be the same.
pub(super) fn message_digest(
    message: &custos_core::bundle::MessageSignature,
    artifact: &DigestSet,
) -> Result<Digest, VerifyError> {
    let Some(claimed) = &message.message_digest else {
        return artifact
            .get(Algorithm::Sha256)
            .ok_or(VerifyError::ArtifactUnnamed);
    };
    let mismatch = || VerifyError::SubjectMismatch {
        artifact: describe(artifact),
        subjects: vec![format!(
            "{}:{}",
            claimed.algorithm,
            hex::encode(claimed.digest.as_slice())
        )],
    };
    let algorithm = match claimed.algorithm.as_str() {
        "SHA2_256" => Algorithm::Sha256,
        "SHA2_384" => Algorithm::Sha384,
        "SHA2_512" => Algorithm::Sha512,
        _ => return Err(mismatch()),
    };
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
    if statement.predicate_type() == legacy::PREDICATE_TYPE
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
