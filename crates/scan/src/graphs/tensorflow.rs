//! TensorFlow: graphs that are run when a model is, and some of them when it is loaded.
//!
//! Formats: <https://github.com/tensorflow/tensorflow/tree/master/tensorflow/core>, `saved_model`,
//! `meta_graph`, `graph`, and the checkpoint of `tensor_bundle`. There is no magic: the fields
//! decide. What a graph does is in its nodes and in those of every function of its library; a few
//! operators reach the machine beyond tensors, and the list of them is data.

pub(crate) mod checkpoint;
pub(crate) mod metadata;
mod nodes;
pub(crate) mod written;

use std::ops::Range;
use std::sync::OnceLock;

use custos_core::finding::Location;

use crate::archive::zip::leads_out;
use crate::graphs::{fragments, keras, mediapipe};
use crate::route::Head;
use crate::rules::{self, Rule};
use crate::wire::messages::{Schema, Visitor, walk};
use crate::wire::proto::{Value, Wire};
use crate::work::{Input, Limited, Look};

/// The kinds of messages.
pub(crate) static SCHEMA: &str = include_str!("../../data/graphs/tensorflow.txt");

/// Longest name that is read.
const MAX_NAME: usize = 4 << 10;
/// Largest file of fingerprints.
const MAX_FINGERPRINT: u64 = 512;

fn schema() -> &'static Schema {
    static READ: OnceLock<Schema> = OnceLock::new();
    READ.get_or_init(|| Schema::read(SCHEMA))
}

// Returns true if nested fields of these numbers end in a message of so many fields.
fn holds(input: &Input<'_>, name: &str, paths: &[(&[u32], u32)]) -> bool {
    let wire = Wire::new(input.bytes);
    let whole = wire.whole();
    paths
        .iter()
        .any(|path| schema().holds(&wire, (name, &whole), *path))
}

// Returns true if the first byte may be the tag of a field of one of these messages.
fn may_begin(head: &Head) -> bool {
    matches!(
        head.bytes(),
        [
            0x08 | 0x0a | 0x10 | 0x12 | 0x1a | 0x22 | 0x2a | 0x32 | 0x3a | 0xf8..=0xff,
            _,
            _,
            ..
        ]
    )
}

/// Returns true if the fields are those of a saved model that holds a graph.
pub(crate) fn is_saved_model(head: &Head, input: &Input<'_>) -> bool {
    const PATHS: [(&[u32], u32); 2] = [(&[2, 2, 1], 2), (&[2, 2, 2, 1, 1], 1)];
    may_begin(head) && holds(input, "SavedModel", &PATHS)
}

/// Returns true if the fields are those of a graph with what is needed to go on training.
pub(crate) fn is_meta_graph(head: &Head, input: &Input<'_>) -> bool {
    const PATHS: [(&[u32], u32); 2] = [(&[2, 1], 2), (&[2, 2, 1, 1], 1)];
    may_begin(head) && holds(input, "MetaGraphDef", &PATHS)
}

/// Returns true if the fields are those of a graph.
pub(crate) fn is_graph(head: &Head, input: &Input<'_>) -> bool {
    // A node, or the signature of a function.
    const PATHS: [(&[u32], u32); 2] = [(&[1], 2), (&[2, 1, 1], 1)];
    may_begin(head)
        && holds(input, "GraphDef", &PATHS)
        && !mediapipe::is_none_of_tensorflow(head, input)
}

/// Returns true if the fields are the fingerprints of a saved model.
pub(crate) fn is_fingerprint(head: &Head, input: &Input<'_>) -> bool {
    if head.bytes().first() != Some(&0x08) || input.bytes.len() > MAX_FINGERPRINT {
        return false;
    }
    let wire = Wire::new(input.bytes);
    let numbers = (1..=4).all(|number| {
        let field = wire.last(&wire.whole(), number);
        field.is_some_and(|field| matches!(field.value, Value::Varint(hash) if hash > 1 << 32))
    });
    numbers && schema().fits(&wire, ("FingerprintDef", &wire.whole()), 4)
}

/// Looks at a saved model.
pub(crate) fn saved_model(look: &mut Look<'_, '_, '_>) {
    graph(look, "SavedModel");
}

/// Looks at a graph with what is needed to go on training.
pub(crate) fn meta_graph(look: &mut Look<'_, '_, '_>) {
    graph(look, "MetaGraphDef");
}

/// Looks at a graph.
pub(crate) fn graph_def(look: &mut Look<'_, '_, '_>) {
    graph(look, "GraphDef");
}

/// Looks at fingerprints.
pub(crate) fn fingerprint(look: &mut Look<'_, '_, '_>) {
    graph(look, "FingerprintDef");
}

fn graph(look: &mut Look<'_, '_, '_>, name: &str) {
    let input = look.input;
    let wire = Wire::new(input.bytes);
    let mut graph = Graph::default();
    // The outcome of a limit is noted where it fired.
    let _ = walk(look, &wire, (schema(), name, wire.whole()), &mut graph);
}

#[derive(Default)]
struct Graph {
    nodes: nodes::Nodes,
}

impl Visitor for Graph {
    fn rule(&self) -> &'static Rule {
        &rules::graphs::TENSORFLOW_BROKEN
    }

    fn message(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        wire: &Wire<'_>,
        (name, range): (&str, &Range<u64>),
    ) -> Result<(), Limited> {
        match name {
            "GraphDef" => self.nodes.graph(range),
            "FunctionDef" => self.nodes.function(wire, range),
            "NodeDef" => self.nodes.node(look, wire, range),
            "AssetFileDef" => asset(look, wire, range),
            "SavedUserObject" => layer(look, wire, range),
            _ => {}
        }
        Ok(())
    }

    fn malformed(&mut self, look: &mut Look<'_, '_, '_>, range: &Range<u64>) {
        fragments::unfollowed(look, range);
    }
}

// The layer of a Keras model, as TensorFlow 2.0 to 2.4 saved it.
fn layer(look: &mut Look<'_, '_, '_>, wire: &Wire<'_>, range: &Range<u64>) {
    let Some(text) = wire.last(range, 3) else {
        return;
    };
    let bytes = text
        .bytes()
        .and_then(|range| wire.bytes(range, metadata::MAX_OBJECT));
    let Some(bytes) = bytes else {
        look.gap("the metadata of a layer is larger than is read");
        return;
    };
    if keras::is_config(&bytes) {
        let at = Location {
            offset: Some(range.start),
            ..look.here()
        };
        keras::config(look, &at, &bytes, keras::Home::Text);
    }
}

// The name of a file in the folder `assets`.
fn asset(look: &mut Look<'_, '_, '_>, wire: &Wire<'_>, range: &Range<u64>) {
    let name = wire.text_of(range, 2, MAX_NAME).unwrap_or_default();
    if leads_out(&name) {
        let at = Location {
            offset: Some(range.start),
            ..look.here()
        };
        let message = format!("the asset `{name}` is outside of the model's folder");
        let mut finding = rules::graphs::TENSORFLOW_PATH.finding(at, message);
        finding.evidence = Some(name);
        look.work.find(finding);
    }
}
