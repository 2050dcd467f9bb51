//! ONNX: a graph of operators, as one message of Protocol Buffers.
//!
//! Format: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>. There is no magic: the fields
//! decide. Graphs lie in graphs (the branches of an `If` are attributes of a node), and operators may
//! be functions that the model brings along; all of them are walked. Weights may lie in files beside
//! the model, under names that the model gives: what those names lead to is looked at here.

mod external;
mod tensor;

pub(super) use external::{Path, place};

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::OnceLock;

use custos_core::finding::{Confidence, Location, Severity};

use crate::graphs::lists;
use crate::route::Head;
use crate::rules::{self, Rule};
use crate::text;
use crate::wire::messages::{Schema, Visitor, walk};
use crate::wire::proto::Wire;
use crate::work::{Input, Limited, Look};

/// The kinds of messages.
pub(crate) static SCHEMA: &str = include_str!("../../data/graphs/onnx.txt");

/// Longest name that is read.
const MAX_NAME: usize = 4 << 10;
/// Longest text of the metadata that is looked at as a template.
const MAX_TEMPLATE: usize = 1 << 20;
/// Most functions whose names are kept.
const MAX_FUNCTIONS: usize = 100_000;
/// Longest name of a function that is kept.
const MAX_FUNCTION_NAME: usize = 256;
/// Most domains that are told.
const MAX_DOMAINS: usize = 1_000;
/// Most operators of a domain that are named.
const NAMED: usize = 8;

/// Numbers of fields.
mod model {
    pub(super) const IR_VERSION: u32 = 1;
    pub(super) const GRAPH: u32 = 7;
    pub(super) const OPSET: u32 = 8;
    pub(super) const FUNCTIONS: u32 = 25;
}

fn schema() -> &'static Schema {
    static READ: OnceLock<Schema> = OnceLock::new();
    READ.get_or_init(|| Schema::read(SCHEMA))
}

/// Returns true if the fields are those of a model, and one of them holds a graph or a function. What
/// is called a model may lack what readers ask for: the version.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    // The tag of any field that a model may begin with.
    if head.bytes().len() < 4 || matches!(head.bytes().first(), Some(0 | b'{' | b'<' | 0x80)) {
        return false;
    }
    let wire = Wire::new(input.bytes);
    let whole = wire.whole();
    let holds = |number: u32| schema().holds(&wire, ("ModelProto", &whole), (&[number], 1));
    let named = input.extension() == "onnx";
    schema().fits(&wire, ("ModelProto", &whole), if named { 1 } else { 2 })
        && (named || version(&wire).is_some() || holds(model::OPSET))
        && (holds(model::GRAPH) || holds(model::FUNCTIONS))
}

fn version(wire: &Wire<'_>) -> Option<u64> {
    let version = wire.last(&wire.whole(), model::IR_VERSION)?.varint()?;
    (version < 1000).then_some(version)
}

/// Returns true if the fields are those of a tensor by itself, as data to test a model with are.
pub(crate) fn is_tensor(head: &Head, input: &Input<'_>) -> bool {
    /// Fields that hold values, or say where they are.
    const VALUES: [u32; 8] = [4, 5, 6, 7, 9, 10, 11, 13];
    // Dimensions, the type, or what is elsewhere: writers begin with one of them.
    if !matches!(head.bytes(), [0x08 | 0x0a | 0x10 | 0x6a, _, _, ..]) {
        return false;
    }
    let wire = Wire::new(input.bytes);
    let whole = wire.whole();
    if !schema().fits(&wire, ("TensorProto", &whole), 2) {
        return false;
    }
    let kind = wire.last(&whole, 2).and_then(|field| field.varint());
    let has_values = wire
        .fields(whole.clone())
        .map_while(Result::ok)
        .take(512)
        .any(|field| VALUES.contains(&field.number) && field.bytes().is_some());
    let is_elsewhere = || {
        let mut keys = wire.all(&whole, 13).take(8);
        keys.any(|entry| {
            let key = entry.bytes().and_then(|entry| wire.text_of(entry, 1, 64));
            key.as_deref() == Some("location")
        })
    };
    has_values && (kind.is_some_and(|kind| (1..=26).contains(&kind)) || is_elsewhere())
}

/// Looks at a tensor by itself.
pub(crate) fn tensor_file(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let wire = Wire::new(input.bytes);
    let mut model = Model::default();
    // The outcome of a limit is noted where it fired.
    let _ = walk(
        look,
        &wire,
        (schema(), "TensorProto", wire.whole()),
        &mut model,
    );
}

/// Looks at a model.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let wire = Wire::new(input.bytes);
    if version(&wire).is_none() {
        let message = "the model has no version, without which readers refuse it";
        perhaps(look, &rules::graphs::ONNX_BROKEN, 0, message.to_owned());
    }
    let mut model = Model {
        functions: functions(&wire),
        ..Model::default()
    };
    // The outcome of a limit is noted where it fired.
    let _ = walk(
        look,
        &wire,
        (schema(), "ModelProto", wire.whole()),
        &mut model,
    );
    model.tell_domains(look);
}

// The operators that the model brings along: domain and name.
fn functions(wire: &Wire<'_>) -> BTreeSet<(String, String)> {
    let all = wire.all(&wire.whole(), model::FUNCTIONS);
    all.take(MAX_FUNCTIONS)
        .filter_map(|field| {
            let range = field.bytes()?;
            let name = wire.text_of(range, 1, MAX_FUNCTION_NAME)?;
            let domain = wire
                .text_of(range, 10, MAX_FUNCTION_NAME)
                .unwrap_or_default();
            Some((domain, name))
        })
        .collect()
}

#[derive(Default)]
struct Model {
    functions: BTreeSet<(String, String)>,
    // Operators of domains that no runtime brings along, and where the first is.
    custom: BTreeMap<String, Custom>,
    external: external::Files,
}

#[derive(Default)]
struct Custom {
    names: BTreeSet<String>,
    count: u64,
    at: u64,
}

impl Visitor for Model {
    fn rule(&self) -> &'static Rule {
        &rules::graphs::ONNX_BROKEN
    }

    fn message(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        wire: &Wire<'_>,
        (name, range): (&str, &Range<u64>),
    ) -> Result<(), Limited> {
        match name {
            "NodeProto" => self.node(look, wire, range),
            "TensorProto" => tensor::check(look, wire, range, &mut self.external),
            "StringStringEntryProto" => metadata(look, wire, range),
            _ => {}
        }
        Ok(())
    }
}

impl Model {
    fn node(&mut self, look: &mut Look<'_, '_, '_>, wire: &Wire<'_>, range: &Range<u64>) {
        let (mut name, mut domain) = (None, None);
        for field in wire.fields(range.clone()).map_while(Result::ok) {
            match (field.number, field.bytes()) {
                (4, Some(text)) => name = wire.text(text, MAX_NAME),
                (7, Some(text)) => domain = wire.text(text, MAX_NAME),
                _ => {}
            }
        }
        let (name, domain) = (name.unwrap_or_default(), domain.unwrap_or_default());
        let lists = &lists::operators().onnx;
        if lists.is_python(&name) && !self.functions.contains(&(domain.clone(), name.clone())) {
            python_operator(look, wire, range, &name);
        }
        if lists.is_standard(&domain) || self.functions.contains(&(domain.clone(), name.clone())) {
            return;
        }
        if self.custom.len() >= MAX_DOMAINS && !self.custom.contains_key(&domain) {
            look.gap("operators are of more domains than are told");
            return;
        }
        let custom = self.custom.entry(domain).or_insert_with(|| Custom {
            at: range.start,
            ..Custom::default()
        });
        custom.count = custom.count.saturating_add(1);
        if custom.names.len() < NAMED {
            custom.names.insert(name);
        }
    }

    fn tell_domains(&self, look: &mut Look<'_, '_, '_>) {
        for (domain, custom) in &self.custom {
            let names: Vec<&str> = custom.names.iter().map(String::as_str).collect();
            let message = format!(
                "{} operators are of the domain `{domain}`, which runtimes do not bring along: {}",
                custom.count,
                names.join(", ")
            );
            let at = Location {
                offset: Some(custom.at),
                ..look.here()
            };
            let mut finding = rules::graphs::ONNX_CUSTOM_OPERATOR.finding(at, message);
            if lists::operators().onnx.is_library(domain) {
                finding.severity = Severity::Info;
            }
            look.work.find(finding);
        }
    }
}

// Attributes say what is run: `module`, `class_name`, `func_name`.
fn python_operator(look: &mut Look<'_, '_, '_>, wire: &Wire<'_>, range: &Range<u64>, name: &str) {
    let attributes: Vec<String> = wire
        .all(range, 5)
        .take(32)
        .filter_map(|attribute| {
            let attribute = attribute.bytes()?.clone();
            let key = wire.text_of(&attribute, 1, 64)?;
            let value = wire.text_of(&attribute, 4, 256)?;
            Some(format!("{key}={value:?}"))
        })
        .collect();
    let at = Location {
        offset: Some(range.start),
        ..look.here()
    };
    let message = format!("the operator `{name}` runs a function of a Python program");
    let mut finding = rules::graphs::ONNX_PYTHON_OPERATOR.finding(at, message);
    finding.evidence = Some(format!("{name}({})", attributes.join(", ")));
    look.work.find(finding);
}

// A template may be carried in the metadata.
fn metadata(look: &mut Look<'_, '_, '_>, wire: &Wire<'_>, range: &Range<u64>) {
    let key = wire.text_of(range, 1, MAX_NAME).unwrap_or_default();
    if !key.contains("template") {
        return;
    }
    if let Some(value) = wire.text_of(range, 2, MAX_TEMPLATE) {
        let at = Location {
            offset: Some(range.start),
            ..look.here()
        };
        text::template::examine(look, &at, &value);
    }
}

/// Notes a finding of less confidence than usual.
fn perhaps(look: &mut Look<'_, '_, '_>, rule: &'static Rule, at: u64, message: String) {
    let at = Location {
        offset: Some(at),
        ..look.here()
    };
    let mut finding = rule.finding(at, message);
    finding.confidence = Confidence::Medium;
    look.work.find(finding);
}
