//! Facts: everything that a decision may know about one artifact, in one JSON document.
//!
//! The schema is `custos.facts/1`. Rego sees it as `input.custos`, CEL as `custos`. Facts are
//! built by `evidence::facts` from verified statements only; this module gives their shape, their
//! one canonical digest, and a strict parser for replay.
//!
//! What it is not: proof. Whoever holds a document of this shape knows what somebody *said* was
//! proven; a decision is made from facts that were built in the same process, and a recorded
//! decision names them by [`Facts::digest`].
//!
//! Each part is a [`Section`]: known, unknown, incomplete or stale. A part that is absent is
//! unknown, and unknown is never "nothing was found".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::digest::{Algorithm, Digest, DigestSet};
use crate::finding::Severity;
use crate::identity::Identity;
use crate::json::{self, JsonError};
use crate::limits::Limits;
use crate::predicate::evaluation_plan::Direction;
use crate::predicate::scan::{Answer, State};

/// The `schema` of a facts document.
pub const SCHEMA: &str = "custos.facts/1";
/// Largest facts document that is parsed: a lineage of some ten thousand steps.
pub const LIMITS: Limits = Limits {
    max_bytes: 32 << 20,
    max_depth: 32,
    max_values: 2_000_000,
};

/// What is known about one artifact.
///
/// ```
/// use custos_core::digest::Algorithm;
/// use custos_core::facts::{ArtifactFacts, Facts};
/// let artifact = ArtifactFacts::new("model", Algorithm::Sha256.digest(b"weights"));
/// let facts = Facts::unknown(artifact, 7, "nothing was looked up");
/// let again = Facts::parse(&facts.to_canonical().unwrap()).unwrap();
/// assert_eq!(again.digest().unwrap(), facts.digest().unwrap());
/// assert!(again.lineage.known().is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Facts {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// What the facts are about.
    pub artifact: ArtifactFacts,
    /// Size of the log when the facts were gathered.
    pub at: u64,
    /// Verified statements about the artifact and about everything upstream of it.
    #[serde(default)]
    pub statements: Section<Vec<StatementFact>>,
    /// What it was made from, by whom, from verified provenance.
    #[serde(default)]
    pub lineage: Section<LineageFacts>,
    /// Whether the steps follow the declared pipeline.
    #[serde(default)]
    pub layout: Section<LayoutFacts>,
    /// Results of planned evaluations.
    #[serde(default)]
    pub evaluation: Section<EvaluationFacts>,
    /// Findings of scanners.
    #[serde(default)]
    pub scan: Section<ScanFacts>,
    /// Signals of detectors.
    #[serde(default)]
    pub detect: Section<Value>,
    /// Results of bias measurements.
    #[serde(default)]
    pub bias: Section<Value>,
    /// What the artifact cost.
    #[serde(default)]
    pub cost: Section<Value>,
    /// The risk score and what it is made of.
    #[serde(default)]
    pub risk: Section<Value>,
    /// Where it runs.
    #[serde(default)]
    pub deployment: Section<Value>,
    /// Statements that were found and did not verify: they prove nothing, and say why a fact is
    /// missing.
    #[serde(default)]
    pub rejected: Vec<RejectedFact>,
    /// Statements about the artifact, or about what it was made from, that an expected signer
    /// signed and that are not in the log yet: they are no facts, and a policy decides whether
    /// something may go on without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingFact>,
}

impl Facts {
    /// Returns facts in which every section is unknown for `reason`.
    pub fn unknown(artifact: ArtifactFacts, at: u64, reason: &str) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            artifact,
            at,
            statements: Section::unknown(reason),
            lineage: Section::unknown(reason),
            layout: Section::unknown(reason),
            evaluation: Section::unknown(reason),
            scan: Section::unknown(reason),
            detect: Section::unknown(reason),
            bias: Section::unknown(reason),
            cost: Section::unknown(reason),
            risk: Section::unknown(reason),
            deployment: Section::unknown(reason),
            rejected: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Parses a facts document within [`LIMITS`]; unknown members are errors, since a policy
    /// could otherwise decide on something that this version does not understand.
    pub fn parse(bytes: &[u8]) -> Result<Self, FactsError> {
        let facts: Self = json::from_slice(bytes, &LIMITS).map_err(FactsError::Json)?;
        if facts.schema != SCHEMA {
            return Err(FactsError::WrongSchema {
                found: facts.schema,
            });
        }
        Ok(facts)
    }

    /// Returns the canonical bytes (RFC 8785): what a decision is recorded over.
    pub fn to_canonical(&self) -> Result<Vec<u8>, FactsError> {
        json::to_canonical(self).map_err(FactsError::Json)
    }

    /// Returns the SHA-256 of the canonical bytes.
    pub fn digest(&self) -> Result<Digest, FactsError> {
        Ok(Algorithm::Sha256.digest(&self.to_canonical()?))
    }
}

/// One part of the facts, with how much is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Section<T> {
    /// Everything was looked at.
    Known {
        /// Log size that it was taken at.
        at: u64,
        /// The facts.
        value: T,
    },
    /// Nothing is known.
    Unknown {
        /// Why.
        reason: String,
    },
    /// Something is known, and something is known to be missing.
    Incomplete {
        /// Log size that it was taken at.
        at: u64,
        /// What is known.
        value: T,
        /// What is missing, a sentence each.
        missing: Vec<String>,
    },
    /// It was known once and has been overtaken.
    Stale {
        /// Log size that it was taken at.
        at: u64,
        /// What was known.
        value: T,
        /// Log index from which on it is stale.
        since: u64,
    },
}

impl<T> Section<T> {
    /// Returns a section about which nothing is known.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown {
            reason: reason.into(),
        }
    }

    /// Returns a known section, or an incomplete one if something is missing.
    pub fn gathered(at: u64, value: T, missing: Vec<String>) -> Self {
        if missing.is_empty() {
            Self::Known { at, value }
        } else {
            Self::Incomplete { at, value, missing }
        }
    }

    /// Returns the value if, and only if, the section is known: what decisions read.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            _ => None,
        }
    }

    /// Returns whatever value there is, for showing; never for deciding.
    pub const fn seen(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. }
            | Self::Incomplete { value, .. }
            | Self::Stale { value, .. } => Some(value),
            Self::Unknown { .. } => None,
        }
    }
}

impl<T> Default for Section<T> {
    fn default() -> Self {
        Self::unknown("absent")
    }
}

/// What facts are about: a name for people and the digests that decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct ArtifactFacts {
    /// Name, unauthenticated.
    pub name: String,
    /// Digests.
    pub digest: DigestSet,
}

impl ArtifactFacts {
    /// Returns an artifact.
    pub fn new(name: impl Into<String>, digest: impl Into<DigestSet>) -> Self {
        Self {
            name: name.into(),
            digest: digest.into(),
        }
    }
}

/// A verified signer: the name that was expected and the identity that verification found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct Signer {
    /// Name from the settings, such as `trainer`.
    pub name: String,
    /// Who it is.
    pub identity: Identity,
}

/// One verified statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct StatementFact {
    /// Predicate type.
    pub predicate_type: String,
    /// Names of the subjects, unauthenticated beyond the signature.
    pub subject_names: Vec<String>,
    /// Who signed.
    pub signer: Signer,
    /// Where it stands in the log; `null` if it was accepted without one.
    pub log_index: Option<u64>,
    /// SHA-256 of the signed payload.
    pub statement_digest: Digest,
    /// SHA-256 of the bundle's bytes.
    pub bundle_digest: Digest,
}

/// A statement that was found and did not verify.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct RejectedFact {
    /// SHA-256 of the bundle's bytes.
    pub bundle_digest: Digest,
    /// Stable code of the reason.
    pub code: String,
    /// The reason in words.
    pub message: String,
    /// Predicate type that it claims, if it could be read.
    #[serde(default)]
    pub predicate_type: Option<String>,
    /// Key that it claims to be signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer_key_id: Option<String>,
}

/// A statement that is signed and not in the log yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct PendingFact {
    /// Predicate type.
    pub predicate_type: String,
    /// Who signed; the signature was verified.
    pub signer: Signer,
    /// SHA-256 of the bundle's bytes as they are now.
    pub bundle_digest: Digest,
    /// When it was signed, by the clock of the machine that waits for the log.
    pub signed_at: Timestamp,
    /// By when it is to be logged.
    pub log_by: Timestamp,
}

/// Where an artifact comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct LineageFacts {
    /// True if every path upstream ends in a known dataset.
    pub complete: bool,
    /// The steps upstream, earliest in the log first.
    pub steps: Vec<StepFact>,
    /// Inputs that no step produced.
    pub sources: Vec<SourceFact>,
    /// Where the chain does not hold.
    pub breaks: Vec<BreakFact>,
}

/// One step of a lineage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct StepFact {
    /// Name of the step.
    pub name: String,
    /// Who signed its provenance.
    pub signer: Signer,
    /// Where the provenance stands in the log.
    pub log_index: Option<u64>,
    /// SHA-256 of the signed provenance statement.
    pub statement_digest: Digest,
    /// How the step was isolated; `unknown` if the provenance does not say.
    pub isolation: String,
    /// Inputs.
    pub inputs: Vec<InputFact>,
    /// Products.
    pub outputs: Vec<ArtifactFacts>,
    /// Exit status, if the provenance says it.
    pub exit_status: Option<i64>,
}

/// One input of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct InputFact {
    /// Name.
    pub name: String,
    /// Digests.
    pub digest: DigestSet,
    /// Name of the step that produced it; `null` if none did.
    pub produced_by: Option<String>,
}

/// An input that no step produced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct SourceFact {
    /// Name.
    pub name: String,
    /// Digests.
    pub digest: DigestSet,
    /// The dataset statement about it; `null` if there is none.
    pub dataset: Option<DatasetFact>,
}

/// What a verified dataset statement says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct DatasetFact {
    /// True if the statement verified with an expected signer.
    pub known: bool,
    /// Name of the dataset.
    pub name: String,
    /// Its version, if it has one.
    pub version: Option<String>,
    /// Where the statement stands in the log.
    pub log_index: Option<u64>,
}

/// Where a chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct BreakFact {
    /// Kind: the serialised form of `lineage::BreakKind`.
    pub kind: crate::lineage::BreakKind,
    /// The break in words.
    pub message: String,
    /// The artifact at which it breaks.
    pub digest: DigestSet,
}

/// Whether the steps follow the declared pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct LayoutFacts {
    /// Name of the layout.
    pub name: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Who signed it; `null` if nobody did.
    pub signed_by: Option<Signer>,
    /// True if no violation was found.
    pub satisfied: bool,
    /// What does not fit.
    pub violations: Vec<LayoutViolation>,
}

/// One way in which the steps do not follow the layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct LayoutViolation {
    /// Stable code.
    pub code: String,
    /// The step, if one can be named.
    pub step: Option<String>,
    /// The violation in words.
    pub message: String,
}

/// Results of evaluations, each joined to the plan that was logged before it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct EvaluationFacts {
    /// One for each metric of each evaluation.
    pub results: Vec<EvaluationResult>,
}

/// One measured metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct EvaluationResult {
    /// Name of the metric; of a slice, `SLICE/METRIC`, so that a part is never taken for the whole.
    pub metric: String,
    /// The slice of the data; the whole if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<String>,
    /// Measured value.
    pub value: f64,
    /// Number of samples, if the evaluation says it.
    pub n: Option<u64>,
    /// Threshold of the plan; `null` if no plan that was logged before names the metric.
    pub threshold: Option<f64>,
    /// Which way is better; `null` without a plan.
    pub direction: Option<Direction>,
    /// Where the plan stands in the log; `null` without a plan.
    pub plan_log_index: Option<u64>,
    /// Where the evaluation stands in the log.
    pub evaluation_log_index: Option<u64>,
    /// Who signed the plan.
    pub plan_signer: Option<Signer>,
    /// Who signed the evaluation.
    pub evaluation_signer: Signer,
    /// True if the plan was logged before the result, and the value meets its threshold on as many
    /// samples as it asks for.
    pub passed: bool,
    /// The model that was evaluated.
    pub model_digest: DigestSet,
}

/// What scanners saw in the artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct ScanFacts {
    /// Each scan, in the order of the log. Scans of what it was made from are none of it.
    pub scans: Vec<ScanFact>,
}

/// One scan that looked at the artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "plain data of a versioned schema, built by rooms"
)]
pub struct ScanFact {
    /// Who signed the statement.
    pub signer: Signer,
    /// Where it stands in the log; `null` if it was accepted without one.
    pub log_index: Option<u64>,
    /// What scanned, and its version.
    pub scanner: String,
    /// Digest of the scanner's rules and lists.
    pub rules: DigestSet,
    /// From which severity on a finding counted.
    pub fail_on: Severity,
    /// Whether what is incomplete or unknown was a no.
    pub strict: bool,
    /// The answer to the whole scan.
    pub answer: Answer,
    /// The answer for the artifact, if it is one of the files; `null` if it is their folder.
    pub state: Option<State>,
    /// Files of each state.
    pub states: BTreeMap<State, u64>,
    /// Findings of each severity that nobody has dealt with.
    pub findings: BTreeMap<Severity, u64>,
    /// Findings that somebody answers for.
    pub suppressed: u64,
    /// Findings that did not count because a report of before had them.
    pub known: u64,
    /// The rules of the findings that nobody has dealt with, each once.
    pub found: Vec<String>,
    /// Latest change of the database of known vulnerabilities; `null` if none was looked at.
    pub vulnerabilities_until: Option<String>,
    /// When the scan ended, by the scanner's own clock.
    pub finished_on: Timestamp,
}

/// Why bytes are not facts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FactsError {
    /// Not JSON of this shape, or beyond a limit.
    #[error("the facts are not accepted: {0}")]
    Json(JsonError),
    /// Another schema.
    #[error("the schema is `{found}`, not `{SCHEMA}`")]
    WrongSchema {
        /// What was found.
        found: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let digest = Algorithm::Sha256.digest(b"m");
        let mut facts = Facts::unknown(ArtifactFacts::new("model", digest), 3, "not looked at");
        facts.lineage = Section::Known {
            at: 3,
            value: LineageFacts::default(),
        };
        facts
    }

    #[test]
    fn the_shape_is_the_documented_one() {
        let hex = Algorithm::Sha256.digest(b"m").to_hex();
        let text = String::from_utf8(facts().to_canonical().unwrap()).unwrap();
        assert!(text.starts_with(&format!(
            r#"{{"artifact":{{"digest":{{"sha256":"{hex}"}},"name":"model"}},"at":3,"bias":{{"reason":"not looked at","state":"unknown"}}"#
        )), "{text}");
        assert!(text.contains(
            r#""lineage":{"at":3,"state":"known","value":{"breaks":[],"complete":false,"sources":[],"steps":[]}}"#
        ), "{text}");
        assert!(text.contains(r#""schema":"custos.facts/1""#));
    }

    #[test]
    fn an_absent_section_is_unknown() {
        let text = r#"{"schema":"custos.facts/1","artifact":{"name":"m","digest":{}},"at":0}"#;
        let facts = Facts::parse(text.as_bytes()).unwrap();
        assert_eq!(facts.scan, Section::unknown("absent"));
        assert_eq!(facts.lineage.seen(), None);
    }

    #[test]
    fn parsing_is_strict() {
        let parse = |text: &str| Facts::parse(text.as_bytes()).unwrap_err();
        assert_eq!(
            parse(r#"{"schema":"custos.facts/2","artifact":{"name":"m","digest":{}},"at":0}"#),
            FactsError::WrongSchema {
                found: "custos.facts/2".into()
            }
        );
        for extra in [
            r#""later":1"#,
            r#""scan":{"state":"known","at":1,"value":1,"extra":2}"#,
            r#""scan":{"state":"known","value":1}"#,
            r#""scan":{"state":"fine"}"#,
            r#""lineage":{"state":"known","at":1,"value":{"complete":true}}"#,
        ] {
            let text = format!(
                r#"{{"schema":"custos.facts/1","artifact":{{"name":"m","digest":{{}}}},"at":0,{extra}}}"#
            );
            assert!(matches!(parse(&text), FactsError::Json(_)), "{extra}");
        }
    }

    #[test]
    fn every_state_survives_the_round_trip() {
        let mut facts = facts();
        facts.detect = Section::Stale {
            at: 2,
            value: serde_json::json!({"n": [1.5]}),
            since: 3,
        };
        facts.scan = Section::Known {
            at: 2,
            value: ScanFacts { scans: Vec::new() },
        };
        facts.cost = Section::gathered(3, serde_json::json!(1), vec!["no bill for March".into()]);
        let again = Facts::parse(&facts.to_canonical().unwrap()).unwrap();
        assert_eq!(again, facts);
        assert_eq!(facts.detect.known(), None);
        assert!(facts.detect.seen().is_some());
        assert!(matches!(facts.cost, Section::Incomplete { .. }));
    }

    #[test]
    fn digest_does_not_depend_on_the_order_of_members() {
        let a = r#"{"schema":"custos.facts/1","artifact":{"name":"m","digest":{}},"at":0}"#;
        let b = r#"{"at":0,"artifact":{"digest":{},"name":"m"},"schema":"custos.facts/1"}"#;
        let digest = |text: &str| Facts::parse(text.as_bytes()).unwrap().digest().unwrap();
        assert_eq!(digest(a), digest(b));
    }
}
