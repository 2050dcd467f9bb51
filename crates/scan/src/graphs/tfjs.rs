//! TensorFlow.js: a graph or a model in JSON, and its weights in files beside it.
//!
//! Format: `model.json` with `modelTopology` and `weightsManifest`; older models have the manifest in
//! a file of its own, a list. It has groups: the weights of one lie one behind the other in its files
//! (`paths`), which are found from the folder of the manifest. Loaders of Node and the converter in
//! Python join the names of both, so that a name may lead anywhere.

use custos_core::finding::{Location, Severity};

use super::lists;
use super::onnx::Path;
use crate::neighbours::Neighbour;
use crate::route::{Format, Head};
use crate::rules;
use crate::source::read_all;
use crate::text::document::{Node, Value};
use crate::text::json;
use crate::work::{Input, Look};

pub(super) const FORMAT: Format = Format {
    name: "tensorflow-js",
    extensions: &["json"],
    recognises,
    examine,
};

/// Largest model that is read.
const MAX_MODEL: u64 = 64 << 20;
/// Most files of a group.
const MAX_FILES: usize = 10_000;
/// Most findings of one kind.
const TOLD: usize = 10;

/// Returns true if it is JSON that begins as a model or as a manifest does.
fn recognises(head: &Head, _: &Input<'_>) -> bool {
    let begins = head.bytes().trim_ascii_start();
    let has = |word: &[u8]| begins.windows(word.len()).any(|window| window == word);
    match begins.first() {
        Some(b'{') => has(b"\"modelTopology\"") || has(b"\"weightsManifest\""),
        Some(b'[') => {
            let weights = has(b"\"weights\"") && has(b"\"shape\"") && has(b"\"dtype\"");
            weights || has(b"\"paths\"") && has(b"\"weights\"")
        }
        _ => false,
    }
}

fn examine(look: &mut Look<'_, '_, '_>) {
    if look.input.bytes.len() > MAX_MODEL {
        look.gap("the model is larger than is read");
        return;
    }
    let read = read_all(look.input.bytes).ok();
    let Some(document) = read.and_then(|bytes| json::parse(&bytes).ok()) else {
        look.gap("the model is no JSON to its end");
        return;
    };
    let root = &document.root;
    let groups = match root.get("weightsManifest") {
        Some(manifest) => manifest.items(),
        None => root.items(),
    };
    for (index, group) in groups.iter().enumerate() {
        weights(look, group, index);
    }
    for nodes in root.get("modelTopology").iter().flat_map(|graph| {
        let functions = graph
            .get("library")
            .and_then(|library| library.get("function"));
        let bodies = functions.into_iter().flat_map(Node::items);
        let bodies = bodies.filter_map(|function| function.get("nodeDef"));
        graph.get("node").into_iter().chain(bodies)
    }) {
        operators(look, nodes);
    }
}

// The runtime has none of these operators; who converts the graph has them.
fn operators(look: &mut Look<'_, '_, '_>, nodes: &Node) {
    let named = nodes.items().iter().filter_map(|node| {
        let name = node.get("op")?.text()?;
        Some((node, name, lists::tensorflow(name)?))
    });
    for (node, name, effect) in named.take(TOLD) {
        let at = Location {
            offset: Some(node.place.offset),
            ..look.here()
        };
        let message = format!("the operator {name} of TensorFlow {}", effect.why);
        let mut finding = rules::graphs::TENSORFLOW_OPERATOR.finding(at, message);
        finding.severity = effect.severity.min(Severity::Medium);
        finding.evidence = Some(name.to_owned());
        look.work.find(finding);
    }
}

// The weights of a group, and the files that hold them.
fn weights(look: &mut Look<'_, '_, '_>, group: &Node, index: usize) {
    let weights = group.get("weights").map_or(&[][..], Node::items);
    // Texts are as long as they are.
    let needed = weights
        .iter()
        .try_fold(0_u64, |sum, weight| sum.checked_add(size_of(weight)?));
    let paths = group.get("paths").map_or(&[][..], Node::items);
    let paths = paths.iter().filter_map(Node::text).take(MAX_FILES);
    let (mut held, mut all_known) = (0_u64, true);
    let from = look.input.path.clone();
    for path in paths {
        let at = Location {
            pointer: Some(format!("/weightsManifest/{index}/paths")),
            ..look.here()
        };
        crate::text::inspect(look, &at, path);
        leads(look, &at, path);
        let size = match look.work.neighbour(path) {
            Some(Neighbour::File(size)) => Some(size),
            _ => None,
        };
        all_known &= size.is_some();
        held = held.saturating_add(size.unwrap_or(0));
        let most = needed.unwrap_or(u64::MAX);
        look.work
            .named()
            .add(&from, path, 0..size.unwrap_or(most).min(most));
    }
    if let Some(needed) = needed
        && all_known
        && needed > held
    {
        let message = format!("weights of {needed} bytes are in files of {held} bytes");
        look.see(&rules::graphs::TFJS_SIZE, None, message);
    }
}

// Bytes of a weight in its file.
fn size_of(weight: &Node) -> Option<u64> {
    let packed = weight.get("quantization").and_then(|how| how.get("dtype"));
    let kind = packed.or_else(|| weight.get("dtype"))?.text()?;
    let one = match kind {
        "uint8" | "bool" => 1,
        "uint16" | "float16" => 2,
        "float32" | "int32" => 4,
        "complex64" => 8,
        _ => return None,
    };
    let shape = weight.get("shape").map_or(&[][..], Node::items);
    shape.iter().try_fold(one, |size: u64, dimension| {
        let Value::Number(number) = dimension.value else {
            return None;
        };
        let whole = number.fract() == 0.0 && number >= 0.0;
        let dimension = whole.then(|| format!("{number:.0}").parse::<u64>().ok())?;
        size.checked_mul(dimension?)
    })
}

fn leads(look: &mut Look<'_, '_, '_>, at: &Location, path: &str) {
    let (severity, what) = match Path::of(path) {
        Path::Below => return,
        // A browser puts it behind the address of the model.
        Path::Out if path.contains("://") => (Severity::Medium, "an address"),
        Path::Out => (Severity::High, "outside of the folder"),
        Path::Turns => (Severity::Medium, "which has `..`"),
        Path::Nothing => (Severity::Medium, "which is no file"),
    };
    let message = format!("weights are in `{path}`, {what}");
    let mut finding = rules::graphs::TFJS_PATH.finding(at.clone(), message);
    finding.severity = severity;
    finding.evidence = Some(path.to_owned());
    look.work.find(finding);
}
