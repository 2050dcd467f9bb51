//! One artifact's part of the graph.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::ground::{Breaks, grounded};
use super::{
    ArtifactIx, Break, BreakKind, DatasetName, Direction, Lineage, NamedArtifact, RecordHead, Role,
    Standing, StepIx,
};
use crate::digest::{Digest, DigestSet};
use crate::facts::{
    ArtifactFacts, BreakFact, DatasetFact, InputFact, LineageFacts, SourceFact, StepFact,
};

/// The `schema` of a trace's JSON form.
pub const SCHEMA: &str = "custos.trace/1";

/// What was found upstream or downstream of one artifact.
///
/// Serialises as `custos.trace/1`. Artifacts and steps refer to each other by position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Trace {
    /// Always `custos.trace/1`.
    pub schema: &'static str,
    /// Which way the graph was followed.
    pub direction: Direction,
    /// Artifacts; the first is the one that was asked about, the others come in the order in
    /// which a breadth-first search meets them.
    pub artifacts: Vec<TraceArtifact>,
    /// Steps, in the same order.
    pub steps: Vec<TraceStep>,
    /// Where the chain upstream ends; empty for a trace downstream.
    pub breaks: Vec<Break>,
    /// True if a limit ended the search somewhere.
    pub truncated: bool,
}

/// An artifact of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TraceArtifact {
    /// Names that statements give it, in order.
    pub names: Vec<String>,
    /// All digests known for it.
    pub digest: DigestSet,
    /// True if it is known down to its datasets.
    pub grounded: bool,
    /// The dataset that it is, by a verified statement.
    pub dataset: Option<TraceDataset>,
    /// Steps of this trace that made it.
    pub made_by: Vec<usize>,
    /// Steps of this trace that used it.
    pub used_by: Vec<usize>,
    /// Other statements about it.
    pub notes: Vec<TraceNote>,
}

impl TraceArtifact {
    /// Returns the name to show: the first one, or nothing.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }
}

/// The dataset that an artifact is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TraceDataset {
    /// Name and version.
    #[serde(flatten)]
    pub name: DatasetName,
    /// Where the dataset statement stands in the log.
    pub log_index: Option<u64>,
}

/// Another statement about an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TraceNote {
    /// Predicate type.
    pub predicate_type: String,
    /// SHA-256 of the signed statement.
    pub statement: Digest,
    /// Where it stands in the log.
    pub log_index: Option<u64>,
    /// What verification said.
    pub standing: Standing,
}

/// A step of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TraceStep {
    /// Name.
    pub name: String,
    /// SHA-256 of the signed provenance.
    pub statement: Digest,
    /// Where the provenance stands in the log.
    pub log_index: Option<u64>,
    /// What verification said.
    pub standing: Standing,
    /// How the step was isolated, if its provenance says it.
    pub isolation: Option<String>,
    /// Exit status, if its provenance says it.
    pub exit_status: Option<i64>,
    /// What it read and used.
    pub inputs: Vec<TraceInput>,
    /// What it made.
    pub outputs: Vec<TraceOutput>,
}

/// A product of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TraceOutput {
    /// The name that the step gives it.
    pub name: String,
    /// The artifact's position.
    pub artifact: usize,
}

/// An input of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TraceInput {
    /// What part it played.
    pub role: Role,
    /// The name that the step gives it.
    pub name: String,
    /// The artifact's position.
    pub artifact: usize,
    /// True if the step's digests fit several artifacts.
    pub ambiguous: bool,
}

impl Trace {
    /// Returns true if the artifact is known down to its datasets and nothing was left out. For a
    /// trace downstream it says only that nothing was left out.
    pub fn complete(&self) -> bool {
        let grounded = self.artifacts.first().is_some_and(|root| root.grounded);
        let whole = !self.truncated && self.breaks.is_empty();
        whole && (grounded || self.direction == Direction::Downstream)
    }

    /// Returns the lineage section of the facts: verified steps that are reached over verified
    /// steps only, earliest in the log first.
    pub fn to_facts(&self) -> LineageFacts {
        let proven = self.proven_steps();
        let mut steps: Vec<StepFact> = proven
            .iter()
            .filter_map(|step| self.step_fact(step))
            .collect();
        steps.sort_by_key(|step| (step.log_index.unwrap_or(u64::MAX), step.statement_digest));
        LineageFacts {
            complete: self.direction == Direction::Upstream && self.complete(),
            steps,
            sources: self.sources(&proven),
            breaks: self
                .breaks
                .iter()
                .map(|broken| BreakFact {
                    kind: broken.kind,
                    message: broken.message.clone(),
                    digest: broken.digest.clone(),
                })
                .collect(),
        }
    }

    fn proven_steps(&self) -> Vec<&TraceStep> {
        let mut queue: Vec<usize> = vec![0];
        let mut artifacts: BTreeSet<usize> = BTreeSet::from([0]);
        let mut steps: BTreeSet<usize> = BTreeSet::new();
        while let Some(artifact) = queue.pop() {
            let made_by = self
                .artifacts
                .get(artifact)
                .into_iter()
                .flat_map(|a| &a.made_by);
            for at in made_by.copied() {
                let Some(step) = self.steps.get(at).filter(|s| s.standing.signer().is_some())
                else {
                    continue;
                };
                if steps.insert(at) {
                    let inputs = step.inputs.iter().filter(|input| input.role == Role::Input);
                    queue.extend(
                        inputs
                            .map(|input| input.artifact)
                            .filter(|input| artifacts.insert(*input)),
                    );
                }
            }
        }
        steps
            .into_iter()
            .filter_map(|at| self.steps.get(at))
            .collect()
    }

    fn step_fact(&self, step: &TraceStep) -> Option<StepFact> {
        let signer = step.standing.signer()?.clone();
        let inputs = step.inputs.iter().filter(|input| input.role == Role::Input);
        Some(StepFact {
            name: step.name.clone(),
            signer,
            log_index: step.log_index,
            statement_digest: step.statement,
            isolation: step
                .isolation
                .clone()
                .unwrap_or_else(|| "unknown".to_owned()),
            inputs: inputs
                .filter_map(|input| Some((input, self.artifacts.get(input.artifact)?)))
                .map(|(input, artifact)| InputFact {
                    name: input.name.clone(),
                    digest: artifact.digest.clone(),
                    produced_by: self.maker(artifact).map(|step| step.name.clone()),
                })
                .collect(),
            outputs: step
                .outputs
                .iter()
                .filter_map(|output| Some((output, self.artifacts.get(output.artifact)?)))
                .map(|(output, artifact)| {
                    ArtifactFacts::new(output.name.as_str(), artifact.digest.clone())
                })
                .collect(),
            exit_status: step.exit_status,
        })
    }

    // The earliest verified step that made it.
    fn maker(&self, artifact: &TraceArtifact) -> Option<&TraceStep> {
        let makers = artifact
            .made_by
            .iter()
            .filter_map(|step| self.steps.get(*step));
        makers
            .filter(|step| step.standing.signer().is_some())
            .min_by_key(|step| (step.log_index.unwrap_or(u64::MAX), step.statement))
    }

    fn sources(&self, proven: &[&TraceStep]) -> Vec<SourceFact> {
        let mut data: BTreeSet<usize> = proven
            .iter()
            .flat_map(|step| &step.inputs)
            .filter(|input| input.role == Role::Input)
            .map(|input| input.artifact)
            .collect();
        // A dataset that is asked about is the source of itself.
        if self
            .artifacts
            .first()
            .is_some_and(|artifact| artifact.dataset.is_some())
        {
            data.insert(0);
        }
        self.artifacts
            .iter()
            .enumerate()
            .filter(|(_, artifact)| self.maker(artifact).is_none())
            .filter(|(position, _)| data.contains(position))
            .map(|(_, artifact)| SourceFact {
                name: artifact.name().to_owned(),
                digest: artifact.digest.clone(),
                dataset: artifact.dataset.as_ref().map(|dataset| DatasetFact {
                    known: true,
                    name: dataset.name.name.clone(),
                    version: dataset.name.version.clone(),
                    log_index: dataset.log_index,
                }),
            })
            .collect()
    }
}

impl Lineage {
    /// Follows the graph from one artifact.
    pub fn trace(&self, artifact: &NamedArtifact, direction: Direction) -> Trace {
        let matches = self.find(&artifact.digest);
        let is_grounded = grounded(self);
        let Some(root) = matches.first().copied() else {
            return self.lonely(artifact, direction);
        };
        let mut search = Search::new(self, direction);
        search.run(root);
        let mut trace = search.into_trace(&is_grounded);
        if direction == Direction::Upstream {
            trace.breaks = Breaks::new(self, &is_grounded).above(root);
        }
        if let Some(first) = trace.artifacts.first_mut() {
            first.put_name_first(&artifact.name);
        }
        if matches.len() > 1 {
            let broken = several(&trace, matches.len());
            trace.breaks.insert(0, broken);
        }
        trace.note_truncation();
        trace
    }

    // An artifact that no statement mentions.
    fn lonely(&self, artifact: &NamedArtifact, direction: Direction) -> Trace {
        let mut names = vec![artifact.name.clone()];
        names.retain(|name| !name.is_empty());
        let broken = self.lonely_break(artifact);
        let upstream = direction == Direction::Upstream;
        let mut trace = Trace {
            schema: SCHEMA,
            direction,
            artifacts: vec![TraceArtifact {
                names,
                digest: artifact.digest.clone(),
                grounded: false,
                dataset: None,
                made_by: Vec::new(),
                used_by: Vec::new(),
                notes: Vec::new(),
            }],
            steps: Vec::new(),
            breaks: if upstream { broken } else { Vec::new() },
            truncated: self.truncated,
        };
        trace.note_truncation();
        trace
    }

    // Asks the same questions as for an artifact of the graph, by placing it in a copy.
    fn lonely_break(&self, artifact: &NamedArtifact) -> Vec<Break> {
        let mut graph = self.clone();
        let ix = graph.place(&artifact.digest, true);
        if let Some(node) = graph
            .artifacts
            .get_mut(ix)
            .filter(|_| !artifact.name.is_empty())
        {
            node.names.insert(artifact.name.clone());
        }
        let is_grounded = grounded(&graph);
        Breaks::new(&graph, &is_grounded).above(ix)
    }
}

fn several(trace: &Trace, count: usize) -> Break {
    let root = trace.artifacts.first();
    Break {
        kind: BreakKind::Ambiguous,
        message: format!("its digests fit {count} artifacts that differ; give more of its digests"),
        name: root.map(|root| root.name().to_owned()).unwrap_or_default(),
        digest: root.map(|root| root.digest.clone()).unwrap_or_default(),
    }
}

impl TraceArtifact {
    fn put_name_first(&mut self, name: &str) {
        if !name.is_empty() {
            self.names.retain(|other| other != name);
            self.names.insert(0, name.to_owned());
        }
    }
}

impl Trace {
    fn note_truncation(&mut self) {
        if self.truncated && self.direction == Direction::Upstream {
            let root = self.artifacts.first();
            self.breaks.push(Break {
                kind: BreakKind::Truncated,
                message: "the lineage is larger than the limit; a part of it was left out".into(),
                name: root.map(|root| root.name().to_owned()).unwrap_or_default(),
                digest: root.map(|root| root.digest.clone()).unwrap_or_default(),
            });
        }
    }
}

// Breadth-first from one artifact; positions in `artifacts` and `steps` are those of the trace.
struct Search<'a> {
    graph: &'a Lineage,
    direction: Direction,
    artifacts: Vec<ArtifactIx>,
    artifact_at: BTreeMap<ArtifactIx, usize>,
    steps: Vec<StepIx>,
    step_at: BTreeMap<StepIx, usize>,
    to_follow: Vec<(ArtifactIx, usize)>,
    followed: BTreeSet<ArtifactIx>,
    truncated: bool,
}

impl<'a> Search<'a> {
    fn new(graph: &'a Lineage, direction: Direction) -> Self {
        Self {
            graph,
            direction,
            artifacts: Vec::new(),
            artifact_at: BTreeMap::new(),
            steps: Vec::new(),
            step_at: BTreeMap::new(),
            to_follow: Vec::new(),
            followed: BTreeSet::new(),
            truncated: graph.truncated,
        }
    }

    fn run(&mut self, root: ArtifactIx) {
        self.show(root);
        self.follow(root, 0);
        let mut next = 0;
        while let Some((ix, depth)) = self.to_follow.get(next).copied() {
            next = next.saturating_add(1);
            let Some(node) = self.graph.artifacts.get(ix) else {
                continue;
            };
            let steps: Vec<StepIx> = match self.direction {
                Direction::Upstream => node
                    .made_by
                    .iter()
                    .chain(&node.perhaps_made_by)
                    .copied()
                    .collect(),
                Direction::Downstream => node.used_by.iter().map(|(_, step)| *step).collect(),
            };
            if depth >= self.graph.limits.max_depth {
                self.truncated |= steps.iter().any(|step| !self.step_at.contains_key(step));
                continue;
            }
            for step in steps {
                self.enter(step, depth.saturating_add(1));
            }
        }
    }

    // Both sides of a step are shown, so that it is shown whole; one side is followed further.
    // Upstream that is its data: a program's own history is another question.
    fn enter(&mut self, ix: StepIx, depth: usize) {
        let Some(step) = self.graph.steps.get(ix) else {
            return;
        };
        if self.step_at.contains_key(&ix) {
            return;
        }
        self.step_at.insert(ix, self.steps.len());
        self.steps.push(ix);
        let outputs = step.outputs.iter().map(|(_, output)| *output);
        for artifact in step.inputs.iter().map(|edge| edge.artifact).chain(outputs) {
            self.show(artifact);
        }
        match self.direction {
            Direction::Upstream => {
                for edge in step.inputs.iter().filter(|edge| edge.role == Role::Input) {
                    self.follow(edge.artifact, depth);
                }
            }
            Direction::Downstream => {
                for (_, output) in &step.outputs {
                    self.follow(*output, depth);
                }
            }
        }
    }

    fn show(&mut self, ix: ArtifactIx) {
        let position = self.artifacts.len();
        if let std::collections::btree_map::Entry::Vacant(slot) = self.artifact_at.entry(ix) {
            slot.insert(position);
            self.artifacts.push(ix);
        }
    }

    fn follow(&mut self, ix: ArtifactIx, depth: usize) {
        if self.followed.insert(ix) {
            self.to_follow.push((ix, depth));
        }
    }

    fn into_trace(self, is_grounded: &[bool]) -> Trace {
        let steps = self.steps.iter().filter_map(|ix| self.step(*ix)).collect();
        let artifacts = self
            .artifacts
            .iter()
            .filter_map(|ix| self.artifact(*ix, is_grounded.get(*ix).copied().unwrap_or(false)))
            .collect();
        Trace {
            schema: SCHEMA,
            direction: self.direction,
            artifacts,
            steps,
            breaks: Vec::new(),
            truncated: self.truncated,
        }
    }

    fn step(&self, ix: StepIx) -> Option<TraceStep> {
        let step = self.graph.steps.get(ix)?;
        let RecordHead {
            statement,
            log_index,
            standing,
        } = step.record.head.clone();
        Some(TraceStep {
            name: step.record.name.clone(),
            statement,
            log_index,
            standing,
            isolation: step.record.isolation.clone(),
            exit_status: step.record.exit_status,
            inputs: step
                .inputs
                .iter()
                .filter_map(|edge| {
                    let artifact = *self.artifact_at.get(&edge.artifact)?;
                    Some(TraceInput {
                        role: edge.role.clone(),
                        name: edge.name.clone(),
                        artifact,
                        ambiguous: edge.ambiguous,
                    })
                })
                .collect(),
            outputs: step
                .outputs
                .iter()
                .filter_map(|(name, ix)| {
                    let artifact = *self.artifact_at.get(ix)?;
                    Some(TraceOutput {
                        name: name.clone(),
                        artifact,
                    })
                })
                .collect(),
        })
    }

    fn artifact(&self, ix: ArtifactIx, grounded: bool) -> Option<TraceArtifact> {
        let node = self.graph.artifacts.get(ix)?;
        let position = |step: &StepIx| self.step_at.get(step).copied();
        let dataset = node
            .dataset
            .and_then(|note| self.graph.notes.get(note))
            .and_then(|note| {
                Some(TraceDataset {
                    name: note.dataset.clone()?,
                    log_index: note.head.log_index,
                })
            });
        let mut used_by: Vec<usize> = node
            .used_by
            .iter()
            .filter_map(|(_, step)| position(step))
            .collect();
        used_by.sort_unstable();
        used_by.dedup();
        Some(TraceArtifact {
            names: node.names.iter().cloned().collect(),
            digest: node.digest.clone(),
            grounded,
            dataset,
            made_by: node.made_by.iter().filter_map(position).collect(),
            used_by,
            notes: node
                .notes
                .iter()
                .filter_map(|note| self.graph.notes.get(*note))
                .map(|note| TraceNote {
                    predicate_type: note.predicate_type.clone(),
                    statement: note.head.statement,
                    log_index: note.head.log_index,
                    standing: note.head.standing.clone(),
                })
                .collect(),
        })
    }
}
