//! Which artifacts are grounded, and where the chains of the others end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    ArtifactIx, ArtifactNode, Break, BreakKind, Lineage, Role, Standing, StepIx, StepNode,
};
use crate::digest::{Algorithm, DigestSet};

/// Most breaks that are reported: a person fixes the first ones first.
pub(crate) const MAX_BREAKS: usize = 1_000;

/// Returns, for each artifact, whether it is grounded: the least fixed point of the definition in
/// the module's header.
pub(crate) fn grounded(graph: &Lineage) -> Vec<bool> {
    let mut is_grounded = vec![false; graph.artifacts.len()];
    let mut waits_for: Vec<Option<usize>> = graph.steps.iter().map(inputs_to_ground).collect();
    let mut queue: VecDeque<ArtifactIx> = VecDeque::new();
    for (ix, node) in graph.artifacts.iter().enumerate() {
        if node.dataset.is_some() {
            mark(&mut is_grounded, &mut queue, ix);
        }
    }
    while let Some(ix) = queue.pop_front() {
        let Some(node) = graph.artifacts.get(ix) else {
            continue;
        };
        for step in node
            .used_by
            .iter()
            .filter(|(role, _)| *role == Role::Input)
            .map(|(_, s)| *s)
        {
            let Some(Some(left)) = waits_for.get_mut(step) else {
                continue;
            };
            *left = left.saturating_sub(1);
            if *left == 0 {
                for (_, ix) in graph
                    .steps
                    .get(step)
                    .into_iter()
                    .flat_map(|step| &step.outputs)
                {
                    mark(&mut is_grounded, &mut queue, *ix);
                }
            }
        }
    }
    is_grounded
}

fn mark(is_grounded: &mut [bool], queue: &mut VecDeque<ArtifactIx>, ix: ArtifactIx) {
    if let Some(slot) = is_grounded.get_mut(ix)
        && !*slot
    {
        *slot = true;
        queue.push_back(ix);
    }
}

// How many inputs must be grounded before the step grounds its products; `None` if it never does.
fn inputs_to_ground(step: &StepNode) -> Option<usize> {
    let inputs = data_inputs(step);
    let able = counts(step) && inputs.clone().all(|(_, ambiguous)| !ambiguous);
    // Each artifact once: it is ticked off once.
    match inputs.map(|(ix, _)| ix).collect::<BTreeSet<_>>().len() {
        0 => None,
        count => able.then_some(count),
    }
}

fn data_inputs(step: &StepNode) -> impl Iterator<Item = (ArtifactIx, bool)> + Clone {
    step.inputs
        .iter()
        .filter(|edge| edge.role == Role::Input)
        .map(|edge| (edge.artifact, edge.ambiguous))
}

fn is_verified(step: &StepNode) -> bool {
    step.record.head.standing.signer().is_some()
}

fn succeeded(step: &StepNode) -> bool {
    step.record.exit_status.unwrap_or(0) == 0
}

fn counts(step: &StepNode) -> bool {
    is_verified(step) && succeeded(step)
}

/// Finds where the chains above one artifact end.
pub(crate) struct Breaks<'a> {
    graph: &'a Lineage,
    grounded: &'a [bool],
    products: BTreeMap<&'a str, Vec<(StepIx, &'a DigestSet)>>,
}

impl<'a> Breaks<'a> {
    pub(crate) fn new(graph: &'a Lineage, grounded: &'a [bool]) -> Self {
        let mut products: BTreeMap<&str, Vec<(StepIx, &DigestSet)>> = BTreeMap::new();
        for (ix, step) in graph
            .steps
            .iter()
            .enumerate()
            .filter(|(_, step)| counts(step))
        {
            for output in &step.record.outputs {
                let name = comparable(&output.name);
                if !name.is_empty() {
                    products.entry(name).or_default().push((ix, &output.digest));
                }
            }
        }
        Self {
            graph,
            grounded,
            products,
        }
    }

    /// Returns the breaks above `root`, none if it is grounded, in the order in which a search
    /// from `root` meets them.
    pub(crate) fn above(&self, root: ArtifactIx) -> Vec<Break> {
        if self.is_grounded(root) {
            return Vec::new();
        }
        let (order, mut causes) = self.search(root);
        self.explain_cycles(&order, &mut causes);
        let mut found: Vec<Break> = Vec::new();
        for ix in order {
            found.extend(causes.remove(&ix).into_iter().flatten());
        }
        found.truncate(MAX_BREAKS);
        found
    }

    fn is_grounded(&self, ix: ArtifactIx) -> bool {
        self.grounded.get(ix).copied().unwrap_or(false)
    }

    // Everything that is not grounded above `root`, in breadth-first order, and the causes found.
    fn search(&self, root: ArtifactIx) -> (Vec<ArtifactIx>, BTreeMap<ArtifactIx, Vec<Break>>) {
        let mut order = vec![root];
        let mut seen = BTreeSet::from([root]);
        let mut causes: BTreeMap<ArtifactIx, Vec<Break>> = BTreeMap::new();
        let mut next = 0;
        while let Some(ix) = order.get(next).copied() {
            next = next.saturating_add(1);
            let Some(node) = self.graph.artifacts.get(ix) else {
                continue;
            };
            if let Some(cause) = self.cause(ix, node) {
                causes.entry(ix).or_default().push(cause);
                continue;
            }
            for step in self.makers(node) {
                for (input, ambiguous) in data_inputs(step) {
                    if ambiguous {
                        let found = self.broken(input, BreakKind::Ambiguous, ambiguous_input(step));
                        let slot = causes.entry(input).or_default();
                        if !slot.contains(&found) {
                            slot.push(found);
                        }
                    }
                    if (ambiguous || !self.is_grounded(input)) && seen.insert(input) {
                        order.push(input);
                    }
                }
            }
        }
        (order, causes)
    }

    fn makers(&self, node: &ArtifactNode) -> impl Iterator<Item = &'a StepNode> {
        let graph = self.graph;
        node.made_by
            .clone()
            .into_iter()
            .filter_map(move |step| graph.steps.get(step))
            .filter(|step| counts(step))
    }

    // Why the chain ends at this very artifact, if it does.
    fn cause(&self, ix: ArtifactIx, node: &ArtifactNode) -> Option<Break> {
        if self.is_grounded(ix) {
            return None;
        }
        let makers = || {
            node.made_by
                .iter()
                .filter_map(|step| self.graph.steps.get(*step))
        };
        if self.makers(node).next().is_some() {
            // Some maker has inputs: the cause lies further up.
            if self
                .makers(node)
                .any(|step| data_inputs(step).next().is_some())
            {
                return None;
            }
            let step = self.makers(node).next()?;
            let message = format!(
                "{} made it without any input, and no dataset statement vouches for it",
                step_name(step)
            );
            return Some(self.broken(ix, BreakKind::NoInput, message));
        }
        if let Some(step) = makers().find(|step| is_verified(step)) {
            let status = step.record.exit_status.unwrap_or(0);
            let message = format!(
                "{}, which made it, failed with status {status}",
                step_name(step)
            );
            return Some(self.broken(ix, BreakKind::FailedStep, message));
        }
        if !node.perhaps_made_by.is_empty() {
            let message = "the digests of the step that made it fit another artifact as well";
            return Some(self.broken(ix, BreakKind::Ambiguous, message.to_owned()));
        }
        if let Some(step) = makers().next() {
            return Some(self.broken(ix, BreakKind::Unverified, unverified(step)));
        }
        Some(self.sourceless(ix, node))
    }

    fn sourceless(&self, ix: ArtifactIx, node: &ArtifactNode) -> Break {
        if node.digest.binding().next().is_none() {
            let message = "it has no digest by which its origin could be found";
            return self.broken(ix, BreakKind::UnknownSource, message.to_owned());
        }
        let near = self
            .graph
            .index
            .sharing(&node.digest)
            .into_iter()
            .find_map(|other| {
                let other_node = self.graph.artifacts.get(other).filter(|_| other != ix)?;
                let step = self.makers(other_node).next()?;
                Some((step, other_node))
            });
        if let Some((step, other)) = near {
            let message = format!(
                "{} made something that agrees on one digest and differs on another, as after a \
                 file was renamed: {}",
                step_name(step),
                differing(&node.digest, &other.digest)
            );
            return self.broken(ix, BreakKind::DigestConflict, message);
        }
        let latest = node
            .names
            .iter()
            .filter_map(|name| self.products.get(comparable(name)))
            .flatten()
            .max_by_key(|(step, _)| *step);
        if let Some((step, digest)) = latest
            && let Some(step) = self.graph.steps.get(*step)
        {
            let message = format!(
                "no step made it; {} made another one of this name: {}, now {}",
                step_name(step),
                short_digest(digest),
                short_digest(&node.digest)
            );
            return self.broken(ix, BreakKind::ProductChanged, message);
        }
        let mut about = node.notes.iter().filter_map(|at| self.graph.notes.get(*at));
        let unverified = about.find_map(|record| match &record.head.standing {
            Standing::Unverified { code, message } if record.dataset.is_some() => {
                Some(format!("{code}: {message}"))
            }
            _ => None,
        });
        if let Some(reason) = unverified {
            let message = format!("no step made it, and its dataset statement fails: {reason}");
            return self.broken(ix, BreakKind::Unverified, message);
        }
        let message = "no step made it, and no dataset statement vouches for it";
        self.broken(ix, BreakKind::UnknownSource, message.to_owned())
    }

    // What no cause explains runs in circles: each of these artifacts has a maker, all of whose
    // ungrounded inputs are among them.
    fn explain_cycles(&self, order: &[ArtifactIx], causes: &mut BTreeMap<ArtifactIx, Vec<Break>>) {
        let mut open: BTreeSet<ArtifactIx> = order.iter().copied().collect();
        for cause in causes.keys().copied().collect::<Vec<_>>() {
            self.explain(cause, &mut open);
        }
        while let Some(start) = open.first().copied() {
            if causes.len() >= MAX_BREAKS {
                return;
            }
            let ix = self.on_cycle(start, &open);
            let message = "it was made only out of itself".to_owned();
            causes
                .entry(ix)
                .or_default()
                .push(self.broken(ix, BreakKind::Cycle, message));
            self.explain(ix, &mut open);
        }
    }

    // Removes from `open` whatever was made, directly or not, out of `cause`.
    fn explain(&self, cause: ArtifactIx, open: &mut BTreeSet<ArtifactIx>) {
        open.remove(&cause);
        let mut queue = vec![cause];
        while let Some(ix) = queue.pop() {
            let Some(node) = self.graph.artifacts.get(ix) else {
                continue;
            };
            for (_, step) in node.used_by.iter().filter(|(role, _)| *role == Role::Input) {
                let Some(step) = self.graph.steps.get(*step).filter(|step| counts(step)) else {
                    continue;
                };
                let outputs = step.outputs.iter().map(|(_, output)| *output);
                queue.extend(outputs.filter(|output| open.remove(output)));
            }
        }
    }

    fn on_cycle(&self, start: ArtifactIx, open: &BTreeSet<ArtifactIx>) -> ArtifactIx {
        let mut seen = BTreeSet::new();
        let mut ix = start;
        while seen.insert(ix) {
            let inputs = self.graph.artifacts.get(ix).into_iter().flat_map(|node| {
                self.makers(node)
                    .flat_map(data_inputs)
                    .map(|(input, _)| input)
            });
            ix = inputs
                .filter(|input| open.contains(input))
                .min()
                .unwrap_or(start);
        }
        ix
    }

    pub(crate) fn broken(&self, ix: ArtifactIx, kind: BreakKind, message: String) -> Break {
        let node = self.graph.artifacts.get(ix);
        Break {
            kind,
            message,
            name: node
                .and_then(|node| node.names.first().cloned())
                .unwrap_or_default(),
            digest: node.map(|node| node.digest.clone()).unwrap_or_default(),
        }
    }
}

fn ambiguous_input(step: &StepNode) -> String {
    format!(
        "the digests that {} names fit several artifacts that differ",
        step_name(step)
    )
}

fn unverified(step: &StepNode) -> String {
    match &step.record.head.standing {
        Standing::Unverified { code, message } => {
            format!(
                "{} claims to have made it and does not verify: {code}: {message}",
                step_name(step)
            )
        }
        Standing::Verified { .. } => format!("{} is verified", step_name(step)),
    }
}

fn step_name(step: &StepNode) -> String {
    match step.record.head.log_index {
        Some(index) => format!("step `{}` (log #{index})", step.record.name),
        None => format!("step `{}` (not in the log)", step.record.name),
    }
}

// `./data/` and `data` are one name.
fn comparable(name: &str) -> &str {
    name.strip_prefix("./")
        .unwrap_or(name)
        .trim_end_matches('/')
}

fn differing(a: &DigestSet, b: &DigestSet) -> String {
    let mut texts = Vec::new();
    for (name, hex) in a.iter() {
        if let Some(other) = b.get_raw(name).filter(|other| *other != hex) {
            texts.push(format!("{name} {} is not {}", shorten(hex), shorten(other)));
        }
    }
    texts.join(", ")
}

/// Returns the digest by which people know a set: SHA-256, else the first that is there.
pub(crate) fn short_digest(set: &DigestSet) -> String {
    if let Some(digest) = set.get(Algorithm::Sha256) {
        return digest.short();
    }
    match set.iter().next() {
        Some((name, hex)) => format!("{name}:{}", shorten(hex)),
        None => "no digest".to_owned(),
    }
}

fn shorten(hex: &str) -> String {
    if hex.chars().count() <= 12 {
        return hex.to_owned();
    }
    hex.chars().take(12).chain(['…']).collect()
}
