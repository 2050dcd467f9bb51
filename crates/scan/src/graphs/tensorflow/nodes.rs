//! Nodes of a graph and of its functions: what they do, and what they are given.

use std::collections::BTreeMap;
use std::ops::Range;

use custos_core::finding::{Location, Severity};

use super::MAX_NAME;
use crate::archive::zip::leads_out;
use crate::graphs::lists::{self, Effect};
use crate::rules;
use crate::text;
use crate::wire::proto::{Field, Wire};
use crate::work::Look;

/// Most findings about one operator.
const TOLD: u32 = 10;
/// Most searches for constants in one file; each may go through all nodes.
const MAX_SEARCHES: u32 = 64;
/// Most inputs of a node that are looked up.
const MAX_INPUTS: usize = 4;
/// Longest constant that is shown.
const MAX_SHOWN: usize = 256;
/// How many nodes that pass a value on are followed.
const MAX_PASSED: u32 = 4;

/// Operators that write or read variables under a name that they are given.
const SAVERS: [&str; 8] = [
    "MergeV2Checkpoints",
    "Restore",
    "RestoreSlice",
    "RestoreV2",
    "Save",
    "SaveSlices",
    "SaveV2",
    "ShardedFilename",
];

/// What was seen of the nodes of a file.
#[derive(Default)]
pub(super) struct Nodes {
    // Graphs and functions around the next node, the innermost last.
    around: Vec<Around>,
    told: BTreeMap<String, u32>,
    searches: u32,
}

#[derive(Clone)]
struct Around {
    range: Range<u64>,
    // The number of the field that nodes are in.
    nodes: u32,
    function: Option<String>,
}

impl Nodes {
    /// A graph begins.
    pub(super) fn graph(&mut self, range: &Range<u64>) {
        self.enter(Around {
            range: range.clone(),
            nodes: 1,
            function: None,
        });
    }

    /// A function begins.
    pub(super) fn function(&mut self, wire: &Wire<'_>, range: &Range<u64>) {
        let signature = wire.last(range, 1);
        let signature = signature.as_ref().and_then(Field::bytes);
        let name = signature.and_then(|signature| wire.text_of(signature, 1, MAX_NAME));
        self.enter(Around {
            range: range.clone(),
            nodes: 3,
            function: name.or_else(|| Some(String::new())),
        });
    }

    fn enter(&mut self, around: Around) {
        self.around.retain(|one| one.range.end > around.range.start);
        self.around.push(around);
    }

    /// Looks at a node.
    pub(super) fn node(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        wire: &Wire<'_>,
        range: &Range<u64>,
    ) {
        self.around.retain(|one| one.range.end > range.start);
        let Some(operator) = wire.text_of(range, 2, MAX_NAME) else {
            return;
        };
        if SAVERS.contains(&operator.as_str()) {
            self.saver(look, wire, (range, &operator));
        } else if let Some(effect) = lists::tensorflow(&operator) {
            self.tell(look, wire, (range, &operator, effect));
        }
    }

    fn tell(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        wire: &Wire<'_>,
        (range, operator, effect): (&Range<u64>, &str, Effect),
    ) {
        if !self.counts(operator) {
            return;
        }
        let at = Location {
            offset: Some(range.start),
            ..look.here()
        };
        let given = self.given(wire, range);
        for value in given.iter().map(|(_, value)| value) {
            text::inspect(look, &at, value);
        }
        let name = wire.text_of(range, 1, MAX_NAME).unwrap_or_default();
        let place = match self
            .around
            .last()
            .and_then(|around| around.function.as_ref())
        {
            Some(function) => format!(" of the function `{function}`"),
            None => String::new(),
        };
        let message = format!("the node `{name}`{place} ({operator}) {}", effect.why);
        let mut finding = rules::graphs::TENSORFLOW_OPERATOR.finding(at, message);
        finding.severity = effect.severity;
        finding.evidence = Some(shown(operator, &given));
        look.work.find(finding);
    }

    // Variables are saved under a name that whoever runs the graph gives, unless it is in the graph.
    fn saver(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        wire: &Wire<'_>,
        (range, operator): (&Range<u64>, &str),
    ) {
        let given = self.given(wire, range);
        let out = given.iter().find(|(_, value)| leads_out(value));
        let Some((_, value)) = out else { return };
        if !self.counts(operator) {
            return;
        }
        let at = Location {
            offset: Some(range.start),
            ..look.here()
        };
        let message = format!("the operator {operator} is given the path `{value}` by the graph");
        let mut finding = rules::graphs::TENSORFLOW_PATH.finding(at, message);
        finding.severity = Severity::High;
        finding.evidence = Some(shown(operator, &given));
        look.work.find(finding);
    }

    fn counts(&mut self, operator: &str) -> bool {
        let told = self.told.entry(operator.to_owned()).or_default();
        *told = told.saturating_add(1);
        *told <= TOLD
    }

    // What a node is given by the graph itself: attributes, and inputs that are constants.
    fn given(&mut self, wire: &Wire<'_>, node: &Range<u64>) -> Vec<(String, String)> {
        let mut given = attributes(wire, node);
        let inputs: Vec<String> = wire
            .all(node, 3)
            .take(MAX_INPUTS)
            .filter_map(|input| wire.text(input.bytes()?, MAX_NAME))
            .collect();
        for input in inputs {
            if let Some(value) = self.constant(wire, &input) {
                given.push((String::new(), value));
            }
        }
        given
    }

    fn constant(&mut self, wire: &Wire<'_>, input: &str) -> Option<String> {
        let around = self.around.last()?.clone();
        let mut wanted = input.trim_start_matches('^').split(':').next()?.to_owned();
        for _ in 0..MAX_PASSED {
            self.searches = self.searches.checked_add(1)?;
            if self.searches > MAX_SEARCHES {
                return None;
            }
            let node = wire.all(&around.range, around.nodes).find_map(|node| {
                let node = node.bytes()?.clone();
                (wire.text_of(&node, 1, MAX_NAME)? == wanted).then_some(node)
            })?;
            match wire.text_of(&node, 2, MAX_NAME)?.as_str() {
                "Const" => return value(wire, &node),
                "Identity" | "PlaceholderWithDefault" | "StringJoin" | "Snapshot" => {
                    let next = wire.all(&node, 3).next()?;
                    let next = wire.text(next.bytes()?, MAX_NAME)?;
                    next.split(':').next()?.clone_into(&mut wanted);
                }
                _ => return None,
            }
        }
        None
    }
}

// Attributes that are texts.
fn attributes(wire: &Wire<'_>, node: &Range<u64>) -> Vec<(String, String)> {
    let text = |attribute: Field| {
        let attribute = attribute.bytes()?.clone();
        let key = wire.text_of(&attribute, 1, MAX_NAME)?;
        let value = wire.last(&attribute, 2)?;
        let value = wire.text_of(value.bytes()?, 2, MAX_SHOWN)?;
        (!value.is_empty() && !key.starts_with('_')).then_some((key, value))
    };
    wire.all(node, 5)
        .take(64)
        .filter_map(text)
        .take(8)
        .collect()
}

// The first text of a constant.
fn value(wire: &Wire<'_>, node: &Range<u64>) -> Option<String> {
    for attribute in wire.all(node, 5).take(64) {
        let attribute = attribute.bytes()?.clone();
        if wire.text_of(&attribute, 1, MAX_NAME).as_deref() == Some("value") {
            let value = wire.last(&attribute, 2)?;
            let tensor = wire.last(value.bytes()?, 8)?;
            let first = wire.all(tensor.bytes()?, 8).next()?;
            let text = first.bytes()?;
            let end = text
                .end
                .min(text.start.saturating_add(u64::try_from(MAX_SHOWN).ok()?));
            return wire.text(&(text.start..end), MAX_SHOWN);
        }
    }
    None
}

fn shown(operator: &str, given: &[(String, String)]) -> String {
    let parts: Vec<String> = given
        .iter()
        .map(|(key, value)| match key.as_str() {
            "" => format!("{value:?}"),
            key => format!("{key}={value:?}"),
        })
        .collect();
    format!("{operator}({})", parts.join(", "))
}
