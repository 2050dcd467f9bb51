//! skops: a zip archive whose `schema.json` says, node by node, which class or function each object
//! is made of, and by which loader.
//!
//! skops-dev/skops, `skops/io`. Loading asks for trust in each type by the name that the node gives;
//! loaders have used another name than the one that was asked for (CVE-2025-54412, CVE-2025-54413),
//! and a model card opens what is no such archive with joblib (CVE-2025-54886). Here a node is
//! judged by the list of types that skops trusts by itself, and by whether its parts agree.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use custos_core::finding::{Location, Severity};

use crate::archive::zip::leads_out;
use crate::pickle;
use crate::route::Head;
use crate::rules::{self, Rule};
use crate::source::read_all;
use crate::text::document::Node;
use crate::text::json;
use crate::work::{Input, Look};

/// Types that skops trusts, and those of its own nodes.
pub(crate) static LIST: &str = include_str!("../../data/classic/skops-trusted.txt");
/// Largest schema that is read.
const MAX_SIZE: u64 = 64 << 20;
/// Most findings of one schema.
const MAX_TOLD: usize = 200;
/// Loaders of all versions.
const LOADERS: [&str; 29] = [
    "BytearrayNode",
    "BytesNode",
    "CachedNode",
    "ConstructorFromReduceNode",
    "DTypeNode",
    "DefaultDictNode",
    "DictNode",
    "FunctionNode",
    "JsonNode",
    "ListNode",
    "LossNode",
    "MaskedArrayNode",
    "MethodNode",
    "NdArrayNode",
    "ObjectNode",
    "OperatorFuncNode",
    "PartialNode",
    "QuantileForestNode",
    "RandomGeneratorNode",
    "RandomStateNode",
    "ReduceNode",
    "SGDNode",
    "SetNode",
    "SliceNode",
    "SparseMatrixNode",
    "TreeNode",
    "TupleNode",
    "TypeNode",
    "_DictWithDeprecatedKeysNode",
];

static TRUSTED: LazyLock<BTreeSet<&str>> = LazyLock::new(|| LIST.lines().collect());

/// Returns true if it is a schema: an object whose first keys are those of a node.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    let start = head.bytes().trim_ascii_start();
    let has = |key: &[u8]| start.windows(key.len()).any(|part| part == key);
    start.first() == Some(&b'{') && has(b"\"__loader__\"") && has(b"\"__module__\"")
}

/// Returns true if it is called like such an archive, and is none.
pub(crate) fn is_fallback(head: &Head, input: &Input<'_>) -> bool {
    input.extension() == "skops" && !head.starts_with(b"PK")
}

/// Says what a model card does with it.
pub(crate) fn fallback(look: &mut Look<'_, '_, '_>) {
    let message = "it is called `.skops` and is no such archive; a model card opens it with joblib";
    let mut finding = rules::classic::SKOPS_FALLBACK.finding(look.here(), message);
    finding.cves = vec!["CVE-2025-54886".to_owned()];
    look.work.find(finding);
}

/// Looks at all nodes of a schema.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    if size > MAX_SIZE {
        look.gap(format!("a schema of {size} bytes is not read"));
        return;
    }
    let parsed = read_all(look.input.bytes)
        .map_err(json::Fault::from)
        .and_then(|bytes| json::parse(&bytes));
    let document = match parsed {
        Ok(document) => document,
        Err(fault) => {
            look.gap(fault.to_string());
            return;
        }
    };
    look.covered.parsed(0..size);
    for repeated in &document.repeated {
        let place = Location {
            offset: Some(repeated.place.offset),
            pointer: Some(repeated.pointer.clone()),
            ..look.here()
        };
        let message = format!("`{}` is there twice", repeated.pointer);
        look.work
            .see(&rules::classic::SKOPS_MISMATCH, place, message);
    }
    let mut nodes = Vec::new();
    document.root.walk(&mut |trail, node| {
        if node.get("__loader__").is_some() && nodes.len() < MAX_NODES {
            nodes.push((trail.pointer(), node));
        }
    });
    if nodes.len() >= MAX_NODES {
        look.gap("it has more nodes than are looked at");
    }
    let mut schema = Schema {
        look,
        told: BTreeSet::new(),
    };
    for (pointer, node) in nodes {
        schema.node(&pointer, node);
    }
}

/// Most nodes that are looked at.
const MAX_NODES: usize = 1 << 20;

struct Schema<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    told: BTreeSet<String>,
}

struct Fault {
    rule: &'static Rule,
    severity: Severity,
    message: String,
    cve: Option<&'static str>,
}

impl Fault {
    fn of(rule: &'static Rule, message: String) -> Self {
        Self {
            rule,
            severity: rule.severity,
            message,
            cve: None,
        }
    }
}

impl Schema<'_, '_, '_, '_> {
    fn node(&mut self, pointer: &str, node: &Node) {
        let text = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
        let (loader, module, class) = (text("__loader__"), text("__module__"), text("__class__"));
        let mut faults = Vec::new();
        if !LOADERS.contains(&loader) {
            let message = format!("a node names the loader `{loader}`, which skops does not have");
            faults.push(Fault::of(&rules::classic::SKOPS_LOADER, message));
        }
        faults.extend(named(module, class));
        match loader {
            "OperatorFuncNode" => faults.extend(operator(module, class)),
            "MethodNode" => faults.extend(method(module, class, node)),
            _ => {}
        }
        let content = node.get("content");
        let part = |key: &str| content.and_then(|content| content.get(key)?.text());
        // How old versions named functions.
        if let (Some(module), Some(function)) = (part("module_path"), part("function")) {
            faults.extend(named(module, function));
        }
        if let Some(file) = node.get("file").and_then(Node::text)
            && leads_out(file)
        {
            let message = format!("a node takes its content from `{file}`");
            faults.push(Fault::of(&rules::classic::SKOPS_MISMATCH, message));
        }
        for fault in faults {
            self.see(pointer, node, fault);
        }
    }

    fn see(&mut self, pointer: &str, node: &Node, fault: Fault) {
        if self.told.len() >= MAX_TOLD {
            self.look.gap("more was seen in it than is kept");
            return;
        }
        if !self.told.insert(fault.message.clone()) {
            return;
        }
        let place = Location {
            offset: Some(node.place.offset),
            pointer: Some(pointer.to_owned()),
            ..self.look.here()
        };
        let mut finding = fault.rule.finding(place, fault.message);
        finding.severity = fault.severity;
        finding.cves = fault.cve.iter().map(|cve| (*cve).to_owned()).collect();
        self.look.work.find(finding);
    }
}

// A class or function that loading imports.
fn named(module: &str, class: &str) -> Option<Fault> {
    let name = format!("{module}.{class}");
    if TRUSTED.contains(name.as_str()) {
        return None;
    }
    let inner = |part: &str| part.starts_with("__") && part.ends_with("__") && part.len() > 4;
    if pickle::is_denied(module, class) || class.split('.').any(inner) {
        let message = format!("loading imports `{name}`, which runs, loads or reaches others");
        return Some(Fault {
            severity: Severity::Critical,
            ..Fault::of(&rules::classic::SKOPS_TYPE, message)
        });
    }
    let message = format!("loading imports `{name}`, which skops does not trust by itself");
    Some(Fault::of(&rules::classic::SKOPS_TYPE, message))
}

// Only these three are objects of the module; what else it names is a function to be called.
fn operator(module: &str, class: &str) -> Option<Fault> {
    const OBJECTS: [&str; 3] = ["attrgetter", "itemgetter", "methodcaller"];
    if module == "operator" && OBJECTS.contains(&class) {
        return None;
    }
    let message = format!("a node of `operator` says that it is `{module}.{class}`");
    Some(Fault {
        cve: Some("CVE-2025-54412"),
        ..Fault::of(&rules::classic::SKOPS_MISMATCH, message)
    })
}

// The class that trust is asked for is that of the object, and the method a plain one.
fn method(module: &str, class: &str, node: &Node) -> Option<Fault> {
    let content = node.get("content")?;
    let function = content.get("func").and_then(Node::text).unwrap_or_default();
    let object = content.get("obj");
    let of = |key: &str| object.and_then(|object| object.get(key)?.text());
    let same = of("__module__") == Some(module) && of("__class__") == Some(class);
    let plain = !function.starts_with("__") && !function.contains('.');
    if same && plain {
        return None;
    }
    let message = format!(
        "a method `{function}` is said to be one of `{module}.{class}`, and is taken from `{}.{}`",
        of("__module__").unwrap_or("?"),
        of("__class__").unwrap_or("?"),
    );
    Some(Fault {
        cve: Some("CVE-2025-54413"),
        ..Fault::of(&rules::classic::SKOPS_MISMATCH, message)
    })
}
