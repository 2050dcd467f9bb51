//! Lineage: the graph that statements span, and where it does not hold.
//!
//! A step's provenance (SLSA Provenance v1) says which artifacts it read and which it made. Put
//! together, such records form a graph: input -> step -> output. [`Lineage::build`] makes it,
//! [`Lineage::trace`] follows it up to raw data or down to whatever used an artifact, and a
//! [`Trace`] can be drawn as a [`Tree`], as DOT or as JSON.
//!
//! **What "complete" means.** An artifact is *grounded* if a verified statement says that it is a
//! known dataset, or if a verified step that succeeded made it out of at least one input, all of
//! which are grounded. The definition is inductive, so a chain that runs in a circle grounds
//! nothing, and neither does a step without inputs. An artifact that is not grounded has at least
//! one [`Break`] that says where its chain ends and why.
//!
//! What it is not: verification. Each record comes with the [`Standing`] that verification gave
//! it; a record that is not verified is shown, and proves nothing.
//!
//! Artifacts are joined by digest, never by name: by agreement of digest sets on at least one
//! collision-resistant digest. A name only helps to *explain* a break.

mod ground;
mod render;
#[cfg(test)]
mod tests;
mod trace;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, DigestSet};
use crate::facts::Signer;

pub use render::{MAX_LABEL_CHARS, Mark, Row, Tree, TreeOptions, printable};
pub use trace::{
    SCHEMA, Trace, TraceArtifact, TraceDataset, TraceInput, TraceNote, TraceOutput, TraceStep,
};

/// Bounds for one lineage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "two bounds that callers set by name"
)]
pub struct LineageLimits {
    /// Most artifacts and steps together.
    pub max_nodes: usize,
    /// Most steps on a path from the artifact that is asked about.
    pub max_depth: usize,
}

impl Default for LineageLimits {
    /// 20,000 nodes, 256 steps deep: more than a person or a policy can look at.
    fn default() -> Self {
        Self {
            max_nodes: 20_000,
            max_depth: 256,
        }
    }
}

/// An artifact as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(clippy::exhaustive_structs, reason = "a name and its digests")]
pub struct NamedArtifact {
    /// Name, unauthenticated; empty if there is none.
    pub name: String,
    /// Digests.
    pub digest: DigestSet,
}

impl NamedArtifact {
    /// Returns an artifact.
    pub fn new(name: impl Into<String>, digest: impl Into<DigestSet>) -> Self {
        Self {
            name: name.into(),
            digest: digest.into(),
        }
    }
}

/// What part an artifact played in a step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Role {
    /// Data that the step worked on: its origin matters to whatever the step made.
    Input,
    /// The step's means: program, script, lock file, package, platform.
    Tool,
}

/// What verification said about a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Standing {
    /// Signed by an expected signer, and everything bound to it holds.
    Verified {
        /// Who signed.
        signer: Signer,
    },
    /// It did not verify: it is shown, and proves nothing.
    Unverified {
        /// Stable code of the reason.
        code: String,
        /// The reason in words.
        message: String,
    },
}

impl Standing {
    /// Returns the verified signer.
    pub const fn signer(&self) -> Option<&Signer> {
        match self {
            Self::Verified { signer } => Some(signer),
            Self::Unverified { .. } => None,
        }
    }
}

/// Where a record stands: what identifies it, and what verification said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the common head of records")]
pub struct RecordHead {
    /// SHA-256 of the signed statement.
    pub statement: Digest,
    /// Index in the log, if it was logged.
    pub log_index: Option<u64>,
    /// What verification said.
    pub standing: Standing,
}

/// A step, taken from a provenance statement.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "plain input of the graph")]
pub struct StepRecord {
    /// Which statement, and what it is worth.
    pub head: RecordHead,
    /// Name of the step.
    pub name: String,
    /// What it read and used.
    pub inputs: Vec<(Role, NamedArtifact)>,
    /// What it made.
    pub outputs: Vec<NamedArtifact>,
    /// How it was isolated, if the provenance says it.
    pub isolation: Option<String>,
    /// Exit status, if the provenance says it.
    pub exit_status: Option<i64>,
}

/// Any other statement about artifacts: informational, except that a verified one which names a
/// dataset makes its subjects known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "plain input of the graph")]
pub struct NoteRecord {
    /// Which statement, and what it is worth.
    pub head: RecordHead,
    /// Predicate type.
    pub predicate_type: String,
    /// What it is about.
    pub subjects: Vec<NamedArtifact>,
    /// Name and version, if it is a dataset statement.
    pub dataset: Option<DatasetName>,
}

/// Name and version of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(clippy::exhaustive_structs, reason = "a name and a version")]
pub struct DatasetName {
    /// Name.
    pub name: String,
    /// Version, if it has one.
    pub version: Option<String>,
}

/// Which way to follow the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(
    clippy::exhaustive_enums,
    reason = "a directed graph has two directions"
)]
pub enum Direction {
    /// To what it was made from, up to raw data.
    Upstream,
    /// To whatever used it.
    Downstream,
}

/// Why a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum BreakKind {
    /// No step made it, and no statement says that it is a dataset.
    UnknownSource,
    /// No step made it, but one made something of the same name with another digest.
    ProductChanged,
    /// No step made it, but one made the same file contents under other file names.
    DigestConflict,
    /// Its digests fit several artifacts that are not the same.
    Ambiguous,
    /// Steps claim to have made it, and none of these claims verifies.
    Unverified,
    /// The step that made it failed.
    FailedStep,
    /// The step that made it had no input, and no statement says that it is a dataset.
    NoInput,
    /// It was made only out of itself.
    Cycle,
    /// A limit ended the search here.
    Truncated,
}

/// A place at which a chain ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::exhaustive_structs, reason = "plain data")]
pub struct Break {
    /// Why.
    pub kind: BreakKind,
    /// In words.
    pub message: String,
    /// Name of the artifact.
    pub name: String,
    /// Its digests.
    pub digest: DigestSet,
}

/// Position of an artifact in a [`Lineage`].
pub(crate) type ArtifactIx = usize;
/// Position of a step in a [`Lineage`].
pub(crate) type StepIx = usize;

#[derive(Debug, Clone)]
pub(crate) struct ArtifactNode {
    pub(crate) digest: DigestSet,
    // A verified record names it. What is not verified may be shown at such a node, and adds
    // nothing to it: neither a digest nor an ambiguity.
    pub(crate) vouched: bool,
    pub(crate) names: BTreeSet<String>,
    pub(crate) made_by: Vec<StepIx>,
    // Steps whose product fits this node and another one as well.
    pub(crate) perhaps_made_by: Vec<StepIx>,
    pub(crate) used_by: Vec<(Role, StepIx)>,
    pub(crate) notes: Vec<usize>,
    // The earliest verified dataset statement that is about this node and no other.
    pub(crate) dataset: Option<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct StepNode {
    pub(crate) record: StepRecord,
    pub(crate) inputs: Vec<Edge>,
    pub(crate) outputs: Vec<(String, ArtifactIx)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Edge {
    pub(crate) role: Role,
    // The name that the step gives it.
    pub(crate) name: String,
    pub(crate) artifact: ArtifactIx,
    // The digests that the step names fit another artifact as well.
    pub(crate) ambiguous: bool,
}

/// The graph of all given records.
///
/// ```
/// use custos_core::digest::Algorithm;
/// use custos_core::lineage::{Direction, Lineage, LineageLimits, NamedArtifact};
/// let model = NamedArtifact::new("model", Algorithm::Sha256.digest(b"weights"));
/// let lineage = Lineage::build(Vec::new(), Vec::new(), LineageLimits::default());
/// let trace = lineage.trace(&model, Direction::Upstream);
/// assert!(!trace.complete());
/// assert_eq!(trace.breaks.len(), 1);
/// ```
#[derive(Debug, Clone)]
pub struct Lineage {
    pub(crate) artifacts: Vec<ArtifactNode>,
    pub(crate) steps: Vec<StepNode>,
    pub(crate) notes: Vec<NoteRecord>,
    pub(crate) index: Index,
    pub(crate) limits: LineageLimits,
    pub(crate) truncated: bool,
}

impl Lineage {
    /// Builds the graph. The order of the records does not matter; of two records of one
    /// statement, a verified one wins over one that is not.
    pub fn build(steps: Vec<StepRecord>, notes: Vec<NoteRecord>, limits: LineageLimits) -> Self {
        let mut truncated = false;
        let steps = ordered(steps, |step| &step.head);
        let notes = ordered(notes, |note| &note.head);
        let (steps, notes) = within(steps, notes, limits.max_nodes, &mut truncated);
        let mut graph = Self {
            artifacts: Vec::new(),
            steps: Vec::new(),
            notes: Vec::new(),
            index: Index::default(),
            limits,
            truncated,
        };
        graph.place_artifacts(&steps, &notes);
        for record in steps {
            graph.add_step(record);
        }
        for record in notes {
            graph.add_note(record);
        }
        graph
    }

    /// Returns true if a limit left out records.
    pub const fn truncated(&self) -> bool {
        self.truncated
    }

    // What verified records name comes first. Among these larger digest sets come first, so that
    // `{sha256}` joins `{sha256, dirHash}` and not the other way round; the order of digest sets
    // makes the outcome independent of the order of the records.
    fn place_artifacts(&mut self, steps: &[StepRecord], notes: &[NoteRecord]) {
        let mut sets: BTreeMap<SetKey, (DigestSet, BTreeSet<String>)> = BTreeMap::new();
        let steps = steps.iter().flat_map(|step| {
            let inputs = step.inputs.iter().map(|(_, artifact)| artifact);
            inputs
                .chain(&step.outputs)
                .map(|artifact| (&step.head, artifact))
        });
        let notes = notes
            .iter()
            .flat_map(|note| note.subjects.iter().map(|subject| (&note.head, subject)));
        for (head, artifact) in steps.chain(notes) {
            let vouched = head.standing.signer().is_some();
            let entry = sets
                .entry(SetKey::of(vouched, &artifact.digest))
                .or_insert_with(|| (artifact.digest.clone(), BTreeSet::new()));
            if !artifact.name.is_empty() {
                entry.1.insert(artifact.name.clone());
            }
        }
        for (key, (digest, names)) in sets {
            if digest.binding().next().is_none() {
                continue;
            }
            let ix = self.place(&digest, key.vouched());
            if let Some(node) = self.artifacts.get_mut(ix)
                && (key.vouched() || !node.vouched)
            {
                node.names.extend(names);
            }
        }
    }

    fn place(&mut self, digest: &DigestSet, vouched: bool) -> ArtifactIx {
        let ix = self
            .find(digest)
            .first()
            .copied()
            .unwrap_or(self.artifacts.len());
        if ix == self.artifacts.len() {
            self.artifacts.push(ArtifactNode {
                digest: digest.clone(),
                vouched,
                names: BTreeSet::new(),
                made_by: Vec::new(),
                perhaps_made_by: Vec::new(),
                used_by: Vec::new(),
                notes: Vec::new(),
                dataset: None,
            });
        }
        if let Some(node) = self.artifacts.get_mut(ix)
            && (vouched || !node.vouched)
        {
            for (name, hex) in digest.iter() {
                node.digest.insert_raw(name, hex);
            }
            self.index.add(digest, ix);
        }
        ix
    }

    /// Returns the artifacts whose digest set agrees with this one: all that verified records
    /// name, or else the first of the others.
    pub(crate) fn find(&self, digest: &DigestSet) -> Vec<ArtifactIx> {
        let mut found: Vec<ArtifactIx> = self.index.sharing(digest).into_iter().collect();
        found.retain(|ix| {
            self.artifacts
                .get(*ix)
                .is_some_and(|node| node.digest.agrees_with(digest))
        });
        let is_vouched = |ix: &ArtifactIx| self.artifacts.get(*ix).is_some_and(|a| a.vouched);
        if found.iter().any(is_vouched) {
            found.retain(is_vouched);
        } else {
            found.truncate(1);
        }
        found
    }

    fn add_step(&mut self, record: StepRecord) {
        let step = self.steps.len();
        let mut inputs = Vec::with_capacity(record.inputs.len());
        let mut seen = BTreeSet::new();
        for (role, artifact) in &record.inputs {
            let found = self.find(&artifact.digest);
            let Some(ix) = found
                .first()
                .copied()
                .or_else(|| self.untraceable(role, artifact))
            else {
                continue;
            };
            if let Some(node) = self.artifacts.get_mut(ix)
                && seen.insert((role.clone(), ix))
            {
                node.used_by.push((role.clone(), step));
            }
            inputs.push(Edge {
                role: role.clone(),
                name: artifact.name.clone(),
                artifact: ix,
                ambiguous: found.len() > 1,
            });
        }
        let mut outputs = Vec::with_capacity(record.outputs.len());
        let mut seen = BTreeSet::new();
        for artifact in &record.outputs {
            let found = self.find(&artifact.digest);
            for ix in &found {
                let Some(node) = self.artifacts.get_mut(*ix) else {
                    continue;
                };
                if found.len() > 1 {
                    node.perhaps_made_by.push(step);
                    continue;
                }
                outputs.push((artifact.name.clone(), *ix));
                if seen.insert(*ix) {
                    node.made_by.push(step);
                }
            }
        }
        self.steps.push(StepNode {
            record,
            inputs,
            outputs,
        });
    }

    // An input without a digest that binds it must not vanish: it has an origin, and nobody can
    // find it. It is a node of its own, which nothing grounds.
    fn untraceable(&mut self, role: &Role, artifact: &NamedArtifact) -> Option<ArtifactIx> {
        (*role == Role::Input).then(|| {
            self.artifacts.push(ArtifactNode {
                digest: artifact.digest.clone(),
                vouched: true,
                names: BTreeSet::from([artifact.name.clone()]),
                made_by: Vec::new(),
                perhaps_made_by: Vec::new(),
                used_by: Vec::new(),
                notes: Vec::new(),
                dataset: None,
            });
            self.artifacts.len().saturating_sub(1)
        })
    }

    fn add_note(&mut self, record: NoteRecord) {
        let at = self.notes.len();
        let names_dataset = record.dataset.is_some() && record.head.standing.signer().is_some();
        for subject in &record.subjects {
            let found = self.find(&subject.digest);
            for ix in &found {
                let Some(node) = self.artifacts.get_mut(*ix) else {
                    continue;
                };
                if node.notes.last() != Some(&at) {
                    node.notes.push(at);
                }
                if names_dataset && found.len() == 1 {
                    node.dataset.get_or_insert(at);
                }
            }
        }
        self.notes.push(record);
    }
}

/// Finds artifacts by any of their digests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    by_digest: BTreeMap<(String, String), BTreeSet<ArtifactIx>>,
}

impl Index {
    fn add(&mut self, digest: &DigestSet, ix: ArtifactIx) {
        for (name, hex) in digest.binding() {
            self.by_digest
                .entry((name.to_owned(), hex.to_owned()))
                .or_default()
                .insert(ix);
        }
    }

    /// Returns the artifacts that share at least one digest, whether they agree or not.
    pub(crate) fn sharing(&self, digest: &DigestSet) -> BTreeSet<ArtifactIx> {
        digest
            .iter()
            .filter_map(|(name, hex)| self.by_digest.get(&(name.to_owned(), hex.to_owned())))
            .flatten()
            .copied()
            .collect()
    }
}

/// Orders digest sets: those of verified records first, then more digests, then by content.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct SetKey {
    unvouched: bool,
    len: std::cmp::Reverse<usize>,
    pairs: Vec<(String, String)>,
}

impl SetKey {
    fn of(vouched: bool, set: &DigestSet) -> Self {
        let pairs: Vec<_> = set
            .iter()
            .map(|(name, hex)| (name.to_owned(), hex.to_owned()))
            .collect();
        Self {
            unvouched: !vouched,
            len: std::cmp::Reverse(pairs.len()),
            pairs,
        }
    }

    const fn vouched(&self) -> bool {
        !self.unvouched
    }
}

// By log index, then by statement; one record for each statement, the verified one first.
fn ordered<T>(mut records: Vec<T>, head: impl Fn(&T) -> &RecordHead) -> Vec<T> {
    let rank = |head: &RecordHead| {
        let index = head.log_index.unwrap_or(u64::MAX);
        (
            head.standing.signer().is_none(),
            index,
            head.statement,
            head.standing.clone(),
        )
    };
    records.sort_by_key(|record| rank(head(record)));
    let mut seen = BTreeSet::new();
    records.retain(|record| seen.insert(head(record).statement));
    records.sort_by_key(|record| {
        let head = head(record);
        (head.log_index.unwrap_or(u64::MAX), head.statement)
    });
    records
}

// Counts a step, a note and each artifact that they name as a node each, and keeps what fits.
fn within(
    mut steps: Vec<StepRecord>,
    mut notes: Vec<NoteRecord>,
    max: usize,
    truncated: &mut bool,
) -> (Vec<StepRecord>, Vec<NoteRecord>) {
    let mut left = max;
    let mut fits = |cost: usize| {
        let rest = left.checked_sub(cost);
        left = rest.unwrap_or(0);
        *truncated |= rest.is_none();
        rest.is_some()
    };
    steps.retain(|step| {
        let used = step.inputs.len().saturating_add(step.outputs.len());
        fits(used.saturating_add(1))
    });
    notes.retain(|note| fits(note.subjects.len().saturating_add(1)));
    (steps, notes)
}
