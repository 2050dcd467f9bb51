//! in-toto Statement v1: what somebody claims about artifacts.
//!
//! Spec: in-toto Attestation Framework v1, `spec/v1/statement.md`. Unknown fields of a statement
//! and of its descriptors are ignored, as the specification asks; the predicate is kept as the
//! bytes that were signed and is parsed by whoever knows its type.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::digest::{Digest, DigestSet};
use crate::json::{self, JsonError};
use crate::limits::Limits;

/// The `_type` of a statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The `_type` before version 1, which cosign and witness still write. Read, never written; its
/// fields mean the same.
pub const STATEMENT_TYPE_V0_1: &str = "https://in-toto.io/Statement/v0.1";

/// An in-toto Statement v1.
///
/// ```
/// use custos_core::digest::Algorithm;
/// use custos_core::statement::{Statement, Subject};
/// let subject = Subject::new("model", Algorithm::Sha256.digest(b"weights"));
/// let statement = Statement::new(vec![subject], "https://example.com/p", &42).unwrap();
/// let again = Statement::parse(&statement.to_bytes().unwrap()).unwrap();
/// assert_eq!(again.predicate::<u32>().unwrap(), 42);
/// ```
#[derive(Debug, Clone)]
pub struct Statement {
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Box<RawValue>,
}

/// What a statement is about: an in-toto `ResourceDescriptor` with at least one digest.
pub type Subject = ResourceDescriptor;

/// An in-toto `ResourceDescriptor` (spec v1, `resource_descriptor.md`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ResourceDescriptor {
    /// Name, unauthenticated: trust decisions use the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// URI of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Digests, algorithm to hex.
    #[serde(default, skip_serializing_if = "DigestSet::is_empty")]
    pub digest: DigestSet,
    /// Media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Where it was fetched from, if that differs from `uri`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_location: Option<String>,
    /// Whatever the predicate's author wants to add, by name.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub annotations: serde_json::Map<String, serde_json::Value>,
}

impl ResourceDescriptor {
    /// Returns a descriptor with a name and one digest.
    pub fn new(name: impl Into<String>, digest: impl Into<DigestSet>) -> Self {
        Self {
            name: Some(name.into()),
            digest: digest.into(),
            ..Self::default()
        }
    }

    /// Returns it with a URI.
    pub fn with_uri(self, uri: impl Into<String>) -> Self {
        Self {
            uri: Some(uri.into()),
            ..self
        }
    }

    /// Returns it with an annotation.
    pub fn with_annotation(
        mut self,
        name: impl Into<String>,
        value: impl Into<serde_json::Value>,
    ) -> Self {
        self.annotations.insert(name.into(), value.into());
        self
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: &'a [Subject],
    #[serde(rename = "predicateType")]
    predicate_type: &'a str,
    predicate: &'a RawValue,
}

#[derive(Deserialize)]
struct WireOwned {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    #[serde(default)]
    predicate: Option<Box<RawValue>>,
}

impl Statement {
    /// Returns a statement; `predicate` is serialised in its field order.
    pub fn new<P: Serialize>(
        subject: Vec<Subject>,
        predicate_type: impl Into<String>,
        predicate: &P,
    ) -> Result<Self, StatementError> {
        let predicate = serde_json::value::to_raw_value(predicate)
            .map_err(|error| StatementError::Predicate(error.to_string()))?;
        Self {
            subject,
            predicate_type: predicate_type.into(),
            predicate,
        }
        .validated()
    }

    /// Parses a statement within [`Limits::STATEMENT`].
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        let wire: WireOwned =
            json::from_slice(bytes, &Limits::STATEMENT).map_err(StatementError::Json)?;
        if wire.kind != STATEMENT_TYPE && wire.kind != STATEMENT_TYPE_V0_1 {
            return Err(StatementError::WrongType { found: wire.kind });
        }
        let predicate = match wire.predicate {
            Some(predicate) => predicate,
            None => serde_json::value::to_raw_value(&serde_json::json!({}))
                .map_err(|error| StatementError::Predicate(error.to_string()))?,
        };
        Self {
            subject: wire.subject,
            predicate_type: wire.predicate_type,
            predicate,
        }
        .validated()
    }

    /// Returns the bytes that are signed.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StatementError> {
        let wire = Wire {
            kind: STATEMENT_TYPE,
            subject: &self.subject,
            predicate_type: &self.predicate_type,
            predicate: &self.predicate,
        };
        json::to_vec(&wire).map_err(StatementError::Json)
    }

    /// Returns what the statement is about; never empty.
    pub fn subject(&self) -> &[Subject] {
        &self.subject
    }

    /// Returns the predicate's type URI.
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// Returns the predicate's JSON text.
    pub fn predicate_json(&self) -> &str {
        self.predicate.get()
    }

    /// Parses the predicate.
    pub fn predicate<P: DeserializeOwned>(&self) -> Result<P, StatementError> {
        // Duplicate keys were ruled out when the statement was parsed.
        json::from_str(self.predicate.get())
            .map_err(|error| StatementError::Predicate(error.to_string()))
    }

    /// Returns true if `digest` is one of the digests of a subject.
    pub fn is_about(&self, digest: &Digest) -> bool {
        self.subject
            .iter()
            .any(|subject| subject.digest.contains(digest))
    }

    fn validated(self) -> Result<Self, StatementError> {
        if self.subject.is_empty() {
            return Err(StatementError::NoSubject);
        }
        if self.predicate_type.is_empty() {
            return Err(StatementError::NoPredicateType);
        }
        match self
            .subject
            .iter()
            .position(|subject| subject.digest.is_empty())
        {
            Some(index) => Err(StatementError::SubjectWithoutDigest { index }),
            None => Ok(self),
        }
    }
}

/// Why bytes are not a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// Not JSON, or beyond a limit.
    #[error("the statement is not accepted: {0}")]
    Json(JsonError),
    /// `predicateType` is empty.
    #[error("the statement has no predicate type")]
    NoPredicateType,
    /// `subject` is empty.
    #[error("the statement has no subject")]
    NoSubject,
    /// The predicate does not have the shape of its type.
    #[error("the predicate does not have the shape of its type: {0}")]
    Predicate(String),
    /// A subject without a digest names nothing.
    #[error("subject {index} has no digest")]
    SubjectWithoutDigest {
        /// Position, from 0.
        index: usize,
    },
    /// `_type` is neither [`STATEMENT_TYPE`] nor [`STATEMENT_TYPE_V0_1`].
    #[error("`_type` is `{found}`, not an in-toto Statement v1")]
    WrongType {
        /// What was found.
        found: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;

    #[test]
    fn rejects_what_names_nothing() {
        let parse = |text: &str| Statement::parse(text.as_bytes()).map(|_| ()).unwrap_err();
        assert_eq!(
            parse(
                r#"{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x"}"#
            ),
            StatementError::NoSubject
        );
        assert_eq!(
            parse(
                r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a"}],"predicateType":"x"}"#
            ),
            StatementError::SubjectWithoutDigest { index: 0 }
        );
        assert!(matches!(
            parse(
                r#"{"_type":"https://in-toto.io/Statement/v2","subject":[],"predicateType":"x"}"#
            ),
            StatementError::WrongType { .. }
        ));
    }

    #[test]
    fn no_object_may_be_written_as_an_array() {
        let provenance = crate::predicate::provenance::Provenance::example();
        let subject = Subject::new("a", Algorithm::Sha256.digest(b"")).with_annotation("x", 1);
        let statement = Statement::new(vec![subject], "p", &provenance).unwrap();
        let text = String::from_utf8(statement.to_bytes().unwrap()).unwrap();
        // Parameters are free: an array where an object was is another value, not another reading.
        let accepts = |text: &str| {
            let statement = Statement::parse(text.as_bytes()).ok();
            statement
                .and_then(|s| {
                    s.predicate::<crate::predicate::provenance::Provenance>()
                        .ok()
                })
                .is_some_and(|read| read == provenance)
        };
        crate::json::positional::assert_objects_only(&text, accepts);
    }

    #[test]
    fn reads_the_type_before_version_1_and_writes_version_1() {
        let old = format!(
            r#"{{"_type":"{STATEMENT_TYPE_V0_1}","subject":[{{"name":"a","digest":{{"sha256":"{}"}}}}],"predicateType":"p"}}"#,
            Algorithm::Sha256.digest(b"").to_hex()
        );
        let statement = Statement::parse(old.as_bytes()).unwrap();
        assert!(statement.is_about(&Algorithm::Sha256.digest(b"")));
        let written = String::from_utf8(statement.to_bytes().unwrap()).unwrap();
        assert!(
            written.contains(r#""_type":"https://in-toto.io/Statement/v1""#),
            "{written}"
        );
    }

    #[test]
    fn keeps_unknown_fields_out_of_the_way() {
        let text = format!(
            r#"{{"_type":"{STATEMENT_TYPE}","later":1,"subject":[{{"digest":{{"sha256":"{}"}},"new":true}}],"predicateType":"p","predicate":{{"b":1,"a":[2.50]}}}}"#,
            Algorithm::Sha256.digest(b"").to_hex()
        );
        let statement = Statement::parse(text.as_bytes()).unwrap();
        assert_eq!(statement.predicate_json(), r#"{"b":1,"a":[2.50]}"#);
        assert!(statement.is_about(&Algorithm::Sha256.digest(b"")));
    }
}
