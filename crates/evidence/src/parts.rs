//! What of a bundle goes into the index: whatever one may look it up by.
//!
//! Everything here is a claim. Nothing is verified, and nothing of it becomes a fact.
//!
//! ```
//! use custos_evidence::parts::{Parts, PartsError};
//! assert!(matches!(Parts::read(b"{}"), Err(PartsError::Bundle(_))));
//! ```

use custos_core::bundle::{Bundle, BundleError, MessageSignature, VerificationMaterial};
use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyId, PublicKey};
use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::dsse::{Envelope, INTOTO_PAYLOAD_TYPE, pae};
use custos_core::entry::{HashedRekord, Verifier};
use custos_core::predicate::evaluation_plan::EvaluationPlan;
use custos_core::predicate::provenance::Provenance;
use custos_core::predicate::step::{self, Role};
use custos_core::predicate::{self, Predicate as _};
use custos_core::statement::{ResourceDescriptor, Statement, StatementError};

/// Most subjects, and most materials, of one statement that goes into the store.
pub const MAX_REFERENCES: usize = 10_000;
/// Most digests of one subject or material.
pub const MAX_DIGESTS: usize = 16;
/// Longest name, digest, type or origin that goes into the index, in bytes.
pub const MAX_TEXT: usize = 4_096;

/// What stands in place of the predicate type for a bundle that signs a file itself.
pub const MESSAGE_SIGNATURE: &str = "message-signature";

/// What a bundle claims, as far as the index wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parts {
    /// SHA-256 of the bundle's bytes.
    pub bundle_digest: Digest,
    /// SHA-256 of the signed payload; of the signature, where a file was signed itself.
    pub statement_digest: Digest,
    /// Predicate type.
    pub predicate_type: String,
    /// Digest of the predicate of an evaluation plan, by which results refer to it.
    pub predicate_digest: Option<Digest>,
    /// Origin of the log and index in it.
    pub log: Option<(String, u64)>,
    /// SHA-256 of the log leaf, if the leaf commits to this very envelope.
    pub leaf_digest: Option<Digest>,
    /// Key that the signature is said to be made with.
    pub key_id: Option<String>,
    /// What the statement is about.
    pub subjects: Vec<Reference>,
    /// The file that was signed itself, by the digest that the bundle claims.
    pub signed_file: Option<DigestSet>,
    /// What the step read and used.
    pub materials: Vec<Material>,
    /// The step.
    pub step: Option<StepPart>,
}

/// A named artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reference {
    /// Name; empty if there is none.
    pub name: String,
    /// Digests.
    pub digest: DigestSet,
}

/// What a step read or used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Material {
    /// The artifact.
    pub artifact: Reference,
    /// Its role; `input` where the provenance does not say.
    pub role: String,
}

/// A step, as provenance claims it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepPart {
    /// Name; the build type where there is none.
    pub name: String,
    /// Build type.
    pub build_type: String,
    /// Start.
    pub started: Option<Timestamp>,
    /// End.
    pub finished: Option<Timestamp>,
}

impl Parts {
    /// Reads a bundle within the limits of `core` and of this module.
    pub fn read(bytes: &[u8]) -> Result<Self, PartsError> {
        let bundle = Bundle::parse(bytes).map_err(PartsError::Bundle)?;
        if let Some(message) = &bundle.message_signature {
            return Self::of_message(bytes, message, &bundle.verification_material);
        }
        let envelope = bundle
            .dsse_envelope
            .as_ref()
            .ok_or(PartsError::NotAStatement)?;
        if envelope.payload_type != INTOTO_PAYLOAD_TYPE {
            return Err(PartsError::NotAStatement);
        }
        let payload = envelope.payload.as_slice();
        let statement = Statement::parse(payload).map_err(PartsError::Statement)?;
        let subjects = references(statement.subject())?;
        let (step, materials) = step_of(&statement)?;
        Ok(Self {
            bundle_digest: Algorithm::Sha256.digest(bytes),
            statement_digest: Algorithm::Sha256.digest(payload),
            predicate_type: bounded(statement.predicate_type())?.to_owned(),
            predicate_digest: plan_digest(&statement),
            log: log_position(&bundle.verification_material)?,
            leaf_digest: own_leaf(&bundle.verification_material, envelope),
            key_id: claimed_key(&bundle.verification_material),
            subjects,
            signed_file: None,
            materials,
            step,
        })
    }

    // A signed file: kept, as whatever the log has an entry of, but about nothing. Nobody claims
    // anything of the file, so it must not count among the statements about it.
    fn of_message(
        bytes: &[u8],
        message: &MessageSignature,
        material: &VerificationMaterial,
    ) -> Result<Self, PartsError> {
        Ok(Self {
            bundle_digest: Algorithm::Sha256.digest(bytes),
            // Of the signature: the same with and without a log entry.
            statement_digest: Algorithm::Sha256.digest(message.signature.as_slice()),
            predicate_type: MESSAGE_SIGNATURE.to_owned(),
            predicate_digest: None,
            log: log_position(material)?,
            leaf_digest: leaf_of_message(material, message),
            key_id: claimed_key(material),
            subjects: Vec::new(),
            signed_file: claimed_digest(message).map(DigestSet::from),
            materials: Vec::new(),
            step: None,
        })
    }
}

/// Returns the step that a provenance statement describes, with what it read and used, each with
/// its role; `None` for a statement of another kind.
///
/// Provenance of another builder gives no roles; then everything counts as data, whose origin
/// has to be known.
pub fn step_materials(
    statement: &Statement,
) -> Result<Option<(Provenance, Vec<Material>)>, PartsError> {
    if statement.predicate_type() != Provenance::TYPE {
        return Ok(None);
    }
    let provenance: Provenance =
        predicate::read(statement).map_err(|error| PartsError::Provenance {
            reason: error.to_string(),
        })?;
    let dependencies = &provenance.build_definition.resolved_dependencies;
    if dependencies.len() > MAX_REFERENCES {
        return Err(PartsError::TooManyReferences {
            found: dependencies.len(),
        });
    }
    let mut materials = Vec::with_capacity(dependencies.len());
    for dependency in dependencies {
        let role = match dependency.annotations.get(step::ROLE) {
            None => Role::Input.name().to_owned(),
            Some(role) => bounded(role.as_str().unwrap_or("other"))?.to_owned(),
        };
        // Without a digest: a tool is a fact by annotation, such as a kernel's version. Data stays,
        // as an input whose origin nobody can find.
        if role == Role::Input.name() || !dependency.digest.is_empty() {
            materials.push(Material {
                artifact: reference(dependency)?,
                role,
            });
        }
    }
    // Of a Custos step each declared input is there, exactly once.
    if provenance.build_definition.build_type == step::BUILD_TYPE {
        step::StepView::of(&provenance).map_err(|error| PartsError::Provenance {
            reason: error.to_string(),
        })?;
    }
    Ok(Some((provenance, materials)))
}

/// Returns the name of a step: the parameter `step` of a Custos step, else its build type.
pub fn step_name(provenance: &Provenance) -> &str {
    let definition = &provenance.build_definition;
    let named = definition
        .external_parameters
        .get("step")
        .and_then(serde_json::Value::as_str);
    named
        .filter(|name| !name.is_empty())
        .unwrap_or(&definition.build_type)
}

fn step_of(statement: &Statement) -> Result<(Option<StepPart>, Vec<Material>), PartsError> {
    let Some((provenance, materials)) = step_materials(statement)? else {
        return Ok((None, Vec::new()));
    };
    let metadata = provenance.run_details.metadata.clone().unwrap_or_default();
    let part = StepPart {
        name: bounded(step_name(&provenance))?.to_owned(),
        build_type: bounded(&provenance.build_definition.build_type)?.to_owned(),
        started: metadata.started_on,
        finished: metadata.finished_on,
    };
    Ok((Some(part), materials))
}

fn references(descriptors: &[ResourceDescriptor]) -> Result<Vec<Reference>, PartsError> {
    if descriptors.len() > MAX_REFERENCES {
        return Err(PartsError::TooManyReferences {
            found: descriptors.len(),
        });
    }
    descriptors.iter().map(reference).collect()
}

fn reference(descriptor: &ResourceDescriptor) -> Result<Reference, PartsError> {
    if descriptor.digest.iter().count() > MAX_DIGESTS {
        return Err(PartsError::TooManyDigests);
    }
    for (name, hex) in descriptor.digest.iter() {
        bounded(name)?;
        bounded(hex)?;
    }
    let name = descriptor
        .name
        .as_deref()
        .or(descriptor.uri.as_deref())
        .unwrap_or_default();
    Ok(Reference {
        name: bounded(name)?.to_owned(),
        digest: descriptor.digest.clone(),
    })
}

fn bounded(text: &str) -> Result<&str, PartsError> {
    // SQLite ends some texts at a NUL, PostgreSQL refuses them.
    if text.len() > MAX_TEXT || text.contains('\0') {
        return Err(PartsError::TextNotIndexable {
            start: text.chars().take(32).collect(),
        });
    }
    Ok(text)
}

fn plan_digest(statement: &Statement) -> Option<Digest> {
    if statement.predicate_type() != EvaluationPlan::TYPE {
        return None;
    }
    predicate::digest_of_statement(statement).ok()
}

// The first line of a checkpoint is the origin of its log (C2SP tlog-checkpoint).
fn log_position(material: &VerificationMaterial) -> Result<Option<(String, u64)>, PartsError> {
    let Some(entry) = material.tlog_entries.first() else {
        return Ok(None);
    };
    let Some(index) = entry.log_index.to_u64() else {
        return Ok(None);
    };
    let checkpoint = entry
        .inclusion_proof
        .as_ref()
        .and_then(|proof| proof.checkpoint.as_ref());
    let origin = checkpoint
        .and_then(|note| note.envelope.lines().next())
        .unwrap_or_default();
    Ok(Some((bounded(origin)?.to_owned(), index)))
}

// A genuine leaf of another envelope is no leaf of this one.
fn own_leaf(material: &VerificationMaterial, envelope: &Envelope) -> Option<Digest> {
    let leaf = material.tlog_entries.first()?.canonicalized_body.as_slice();
    let entry = HashedRekord::parse(leaf).ok()?;
    let message = pae(&envelope.payload_type, envelope.payload.as_slice());
    let signature = envelope.signatures.first()?;
    let own = entry.digest == entry.digest.algorithm().digest(&message)
        && entry.signature == signature.sig.as_slice();
    own.then(|| Algorithm::Sha256.digest(leaf))
}

fn claimed_digest(message: &MessageSignature) -> Option<Digest> {
    let claimed = message.message_digest.as_ref()?;
    Digest::new(message.algorithm()?, claimed.digest.as_slice()).ok()
}

fn leaf_of_message(material: &VerificationMaterial, message: &MessageSignature) -> Option<Digest> {
    let leaf = material.tlog_entries.first()?.canonicalized_body.as_slice();
    let entry = HashedRekord::parse(leaf).ok()?;
    let claimed = message.message_digest.as_ref()?;
    let own = message.algorithm() == Some(entry.digest.algorithm())
        && entry.digest.as_bytes() == claimed.digest.as_slice()
        && entry.signature == message.signature.as_slice();
    own.then(|| Algorithm::Sha256.digest(leaf))
}

fn claimed_key(material: &VerificationMaterial) -> Option<String> {
    let leaf = material
        .tlog_entries
        .first()
        .map(|entry| entry.canonicalized_body.as_slice());
    let key = leaf.and_then(key_of_leaf).map(|id| id.to_string());
    let hint = || material.public_key.as_ref().map(|key| key.hint.clone());
    key.or_else(hint)
        .filter(|key| !key.is_empty() && bounded(key).is_ok())
}

/// Returns the key that a log leaf names, if it names a bare key.
pub fn key_of_leaf(leaf: &[u8]) -> Option<KeyId> {
    match HashedRekord::parse(leaf).ok()?.verifier {
        Verifier::PublicKey(der) => Some(PublicKey::from_spki_der(&der).ok()?.id()),
        Verifier::Certificate(_) => None,
    }
}

/// Why a bundle does not go into the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartsError {
    /// Not a bundle.
    #[error(transparent)]
    Bundle(BundleError),
    /// A bundle around something else than an in-toto statement.
    #[error("the bundle holds no in-toto statement")]
    NotAStatement,
    /// Provenance without the shape of provenance.
    #[error("the provenance is not accepted: {reason}")]
    Provenance {
        /// What is wrong.
        reason: String,
    },
    /// Not a statement.
    #[error(transparent)]
    Statement(StatementError),
    /// A name or digest that is too long, or has a NUL in it.
    #[error("the text `{start}…` is longer than {MAX_TEXT} bytes or has a NUL in it")]
    TextNotIndexable {
        /// How it begins.
        start: String,
    },
    /// A subject or material with more than [`MAX_DIGESTS`] digests.
    #[error("a subject or material has more than {MAX_DIGESTS} digests")]
    TooManyDigests,
    /// More than [`MAX_REFERENCES`] subjects or materials.
    #[error("the statement names {found} artifacts, the limit is {MAX_REFERENCES}")]
    TooManyReferences {
        /// How many.
        found: usize,
    },
}
