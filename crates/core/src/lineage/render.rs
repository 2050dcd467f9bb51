//! A trace drawn for people: a tree for the terminal, a graph for Graphviz.
//!
//! Names come from strangers. Whatever is drawn passes [`printable`], so that no statement can
//! move a terminal's cursor, reverse the reading direction or break out of a DOT string.

use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write as _;

use super::ground::short_digest;
use super::{Break, Direction, Role, Standing, Trace, TraceArtifact, TraceStep};
use crate::text::shown;

/// Longest name that is drawn, in characters.
pub const MAX_LABEL_CHARS: usize = 120;

/// Returns `text` with every hidden character replaced, line ends too, at most [`MAX_LABEL_CHARS`]
/// long.
///
/// ```
/// assert_eq!(custos_core::lineage::printable("a\u{1b}[31mb"), "a\u{fffd}[31mb");
/// ```
pub fn printable(text: &str) -> String {
    let mut chars = text.chars();
    let mut out: String = chars.by_ref().take(MAX_LABEL_CHARS).map(shown).collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

/// What a tree shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "switches that callers set by name"
)]
pub struct TreeOptions {
    /// Programs, scripts, packages and platforms too.
    pub tools: bool,
    /// Statements that are neither provenance nor datasets.
    pub notes: bool,
    /// Most rows.
    pub max_rows: usize,
}

impl Default for TreeOptions {
    /// Notes, no tools, 2,000 rows.
    fn default() -> Self {
        Self {
            tools: false,
            notes: true,
            max_rows: 2_000,
        }
    }
}

/// How a row is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mark {
    /// It holds.
    Good,
    /// The chain breaks here, or a statement does not verify.
    Bad,
    /// Neither: a tool, a note, a reference to a row above.
    Plain,
}

/// One line of a [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// Branches in front, in box-drawing characters.
    pub prefix: String,
    /// How it is to be read.
    pub mark: Mark,
    /// What the line is about.
    pub label: String,
    /// Columns behind the label: digest, signer, log index, ...
    pub details: Vec<String>,
    /// What is wrong, a sentence each.
    pub warnings: Vec<String>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.prefix, self.label)?;
        for detail in &self.details {
            write!(f, "  {detail}")?;
        }
        for warning in &self.warnings {
            write!(f, "  !! {warning}")?;
        }
        Ok(())
    }
}

/// A trace as lines. What is reached on several ways is drawn once and then referred to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tree {
    /// The lines, from the top.
    pub rows: Vec<Row>,
}

impl Tree {
    /// Draws a trace.
    pub fn of(trace: &Trace, options: TreeOptions) -> Self {
        let mut drawing = Drawing {
            trace,
            options,
            rows: Vec::new(),
            drawn_artifacts: BTreeSet::new(),
            drawn_steps: BTreeSet::new(),
            left_out: 0,
        };
        drawing.draw();
        Self { rows: drawing.rows }
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

#[derive(Clone, Copy)]
enum Item {
    Artifact(usize, &'static str),
    Step(usize),
    Note(usize, usize),
}

// What is still to be drawn: the item, the branches in front of it, whether it is the last child.
struct Pending {
    item: Item,
    stem: String,
    last: bool,
    root: bool,
}

struct Drawing<'a> {
    trace: &'a Trace,
    options: TreeOptions,
    rows: Vec<Row>,
    drawn_artifacts: BTreeSet<usize>,
    drawn_steps: BTreeSet<usize>,
    left_out: usize,
}

impl Drawing<'_> {
    // A stack of our own: a lineage may be deeper than the thread's stack.
    fn draw(&mut self) {
        let root = Pending {
            item: Item::Artifact(0, ""),
            stem: String::new(),
            last: true,
            root: true,
        };
        let mut stack = vec![root];
        while let Some(pending) = stack.pop() {
            if self.rows.len() >= self.options.max_rows {
                self.left_out = self.left_out.saturating_add(1);
                continue;
            }
            let (row, children) = self.row(&pending);
            self.rows.push(row);
            let stem = if pending.root {
                String::new()
            } else {
                format!(
                    "{}{}",
                    pending.stem,
                    if pending.last { "   " } else { "│  " }
                )
            };
            let count = children.len();
            for (at, item) in children.into_iter().enumerate().rev() {
                let last = at.saturating_add(1) == count;
                stack.push(Pending {
                    item,
                    stem: stem.clone(),
                    last,
                    root: false,
                });
            }
        }
        if self.left_out > 0 {
            self.rows.push(Row {
                prefix: String::new(),
                mark: Mark::Plain,
                label: format!("… and {} branches more", self.left_out),
                details: Vec::new(),
                warnings: Vec::new(),
            });
        }
    }

    fn row(&mut self, pending: &Pending) -> (Row, Vec<Item>) {
        let prefix = if pending.root {
            String::new()
        } else {
            format!(
                "{}{}",
                pending.stem,
                if pending.last { "└─ " } else { "├─ " }
            )
        };
        match pending.item {
            Item::Artifact(at, role) => self.artifact(prefix, at, role),
            Item::Step(at) => self.step(prefix, at),
            Item::Note(artifact, note) => (self.note(prefix, artifact, note), Vec::new()),
        }
    }

    fn artifact(&mut self, prefix: String, at: usize, role: &str) -> (Row, Vec<Item>) {
        let trace = self.trace;
        let Some(artifact) = trace.artifacts.get(at) else {
            return (missing(prefix), Vec::new());
        };
        let mut label = match artifact.name() {
            "" => "(unnamed)".to_owned(),
            name => printable(name),
        };
        if !role.is_empty() {
            label = format!("{role} {label}");
        }
        let mut details = vec![printable(&short_digest(&artifact.digest))];
        if let Some(dataset) = &artifact.dataset {
            details.push(dataset_text(dataset));
        }
        let children = self.artifact_children(at, artifact, role);
        if !self.drawn_artifacts.insert(at) && !children.is_empty() {
            details.push("(shown above)".to_owned());
            let row = Row {
                prefix,
                mark: Mark::Plain,
                label,
                details,
                warnings: Vec::new(),
            };
            return (row, Vec::new());
        }
        let warnings: Vec<String> = trace
            .breaks
            .iter()
            .filter(|broken| broken.digest == artifact.digest)
            .map(warning)
            .collect();
        let upstream = trace.direction == Direction::Upstream;
        let mark = match (warnings.is_empty(), artifact.grounded && upstream) {
            (false, _) => Mark::Bad,
            (true, true) => Mark::Good,
            (true, false) => Mark::Plain,
        };
        (
            Row {
                prefix,
                mark,
                label,
                details,
                warnings,
            },
            children,
        )
    }

    fn artifact_children(&self, at: usize, artifact: &TraceArtifact, role: &str) -> Vec<Item> {
        let mut children = Vec::new();
        if self.options.notes && role.is_empty() {
            let notes = artifact.notes.iter().enumerate();
            // The dataset statement is on the artifact's own line unless it failed.
            let shown = notes.filter(|(_, note)| {
                note.standing.signer().is_none()
                    || artifact
                        .dataset
                        .as_ref()
                        .is_none_or(|dataset| dataset.log_index != note.log_index)
            });
            children.extend(shown.map(|(note, _)| Item::Note(at, note)));
        }
        let steps = match self.trace.direction {
            Direction::Upstream if role.is_empty() => &artifact.made_by,
            Direction::Upstream => return children,
            Direction::Downstream => &artifact.used_by,
        };
        children.extend(steps.iter().map(|step| Item::Step(*step)));
        children
    }

    fn step(&mut self, prefix: String, at: usize) -> (Row, Vec<Item>) {
        let Some(step) = self.trace.steps.get(at) else {
            return (missing(prefix), Vec::new());
        };
        let verb = match self.trace.direction {
            Direction::Upstream => "made by",
            Direction::Downstream => "used by",
        };
        let mut row = Row {
            prefix,
            mark: Mark::Good,
            label: format!("{verb} {}", printable(&step.name)),
            details: Vec::new(),
            warnings: Vec::new(),
        };
        describe(step, &mut row);
        if !self.drawn_steps.insert(at) {
            row.details.push("(shown above)".to_owned());
            row.mark = Mark::Plain;
            return (row, Vec::new());
        }
        let children = match self.trace.direction {
            Direction::Upstream => step
                .inputs
                .iter()
                .filter(|input| self.options.tools || input.role == Role::Input)
                .map(|input| {
                    let role = if input.role == Role::Input {
                        ""
                    } else {
                        "with"
                    };
                    Item::Artifact(input.artifact, role)
                })
                .collect(),
            Direction::Downstream => step
                .outputs
                .iter()
                .map(|output| Item::Artifact(output.artifact, ""))
                .collect(),
        };
        (row, children)
    }

    fn note(&self, prefix: String, artifact: usize, note: usize) -> Row {
        let found = self
            .trace
            .artifacts
            .get(artifact)
            .and_then(|a| a.notes.get(note));
        let Some(note) = found else {
            return missing(prefix);
        };
        let mut row = Row {
            prefix,
            mark: Mark::Plain,
            label: format!("statement {}", printable(&note.predicate_type)),
            details: Vec::new(),
            warnings: Vec::new(),
        };
        stand(&note.standing, note.log_index, &mut row);
        row
    }
}

fn describe(step: &TraceStep, row: &mut Row) {
    stand(&step.standing, step.log_index, row);
    if let Some(isolation) = &step.isolation {
        row.details
            .push(format!("isolation {}", printable(isolation)));
    }
    if let Some(status) = step.exit_status.filter(|status| *status != 0) {
        row.mark = Mark::Bad;
        row.warnings.push(format!("failed with status {status}"));
    }
    if step.inputs.iter().any(|input| input.ambiguous) {
        row.mark = Mark::Bad;
        row.warnings
            .push("an input's digests fit several artifacts".to_owned());
    }
}

fn stand(standing: &Standing, log_index: Option<u64>, row: &mut Row) {
    match standing {
        Standing::Verified { signer } => {
            row.details
                .push(format!("signed by {}", printable(&signer.name)));
        }
        Standing::Unverified { code, message } => {
            row.mark = Mark::Bad;
            row.warnings.push(format!(
                "not verified: {}: {}",
                printable(code),
                printable(message)
            ));
        }
    }
    row.details
        .push(log_index.map_or_else(|| "not logged".to_owned(), |at| format!("log #{at}")));
}

fn dataset_text(dataset: &super::trace::TraceDataset) -> String {
    let mut text = format!("dataset {}", printable(&dataset.name.name));
    if let Some(version) = &dataset.name.version {
        let _ = write!(text, " {}", printable(version));
    }
    if let Some(index) = dataset.log_index {
        let _ = write!(text, "  log #{index}");
    }
    text
}

fn warning(broken: &Break) -> String {
    broken.message.chars().map(shown).collect()
}

// A position that is not there cannot come from `Lineage::trace`, but a trace is plain data.
fn missing(prefix: String) -> Row {
    Row {
        prefix,
        mark: Mark::Bad,
        label: "(missing)".to_owned(),
        details: Vec::new(),
        warnings: Vec::new(),
    }
}

impl Trace {
    /// Returns the trace in Graphviz DOT, drawn from left to right.
    pub fn to_dot(&self) -> String {
        let mut out =
            String::from("digraph custos {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n");
        let broken: BTreeSet<Vec<(&str, &str)>> = self
            .breaks
            .iter()
            .map(|broken| broken.digest.iter().collect())
            .collect();
        for (at, artifact) in self.artifacts.iter().enumerate() {
            let name = if artifact.name().is_empty() {
                "(unnamed)"
            } else {
                artifact.name()
            };
            let label = format!(
                "{}\\n{}",
                quoted(name),
                quoted(&short_digest(&artifact.digest))
            );
            let digest: Vec<_> = artifact.digest.iter().collect();
            let style = match (broken.contains(&digest), artifact.dataset.is_some()) {
                (true, _) => ", color=red, style=bold",
                (false, true) => ", style=rounded, color=darkgreen",
                (false, false) => "",
            };
            let _ = writeln!(out, "  a{at} [shape=box, label=\"{label}\"{style}];");
        }
        for (at, step) in self.steps.iter().enumerate() {
            let mut label = quoted(&step.name);
            let mut style = "";
            match &step.standing {
                Standing::Verified { signer } => {
                    let _ = write!(label, "\\n{}", quoted(&signer.name));
                }
                Standing::Unverified { code, .. } => {
                    let _ = write!(label, "\\nnot verified: {}", quoted(code));
                    style = ", color=red, style=dashed";
                }
            }
            if let Some(index) = step.log_index {
                let _ = write!(label, "\\nlog #{index}");
            }
            let _ = writeln!(out, "  s{at} [shape=ellipse, label=\"{label}\"{style}];");
            for input in &step.inputs {
                let style = if input.role == Role::Input {
                    ""
                } else {
                    " [style=dotted]"
                };
                let _ = writeln!(out, "  a{} -> s{at}{style};", input.artifact);
            }
            for output in &step.outputs {
                let _ = writeln!(out, "  s{at} -> a{};", output.artifact);
            }
        }
        out.push_str("}\n");
        out
    }
}

// Inside a DOT string `"` and `\` are special; inside a label Graphviz reads `&#8238;` as the
// character of that number, whatever it does.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in printable(text).chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
    }
    out
}
