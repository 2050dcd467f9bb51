//! CNTK: a dictionary of dictionaries, as Protocol Buffers; the first version of the format is one
//! of its own, which is recognised and not opened.
//!
//! Format: `Source/CNTKv2LibraryDll/proto/CNTK.proto` of <https://github.com/microsoft/CNTK>. A
//! function of the user's is named by module, class and method, which the loader imports and calls.

use std::ops::Range;
use std::sync::OnceLock;

use custos_core::finding::Location;

use crate::route::Head;
use crate::rules::{self, Rule};
use crate::wire::messages::{Schema, Visitor, walk};
use crate::wire::proto::Wire;
use crate::work::{Input, Limited, Look};

/// The kinds of messages.
pub(crate) static SCHEMA: &str = include_str!("../../data/graphs/cntk.txt");

/// `BCN`, in two bytes each: where a network of the first version begins.
const FIRST: &[u8] = b"B\0C\0N\0\0\0";
/// Longest name that is read.
const MAX_NAME: usize = 1 << 10;
/// Keys that name what is imported and called.
const CALLS: [&str; 3] = ["class", "deserialize_method", "module"];

fn schema() -> &'static Schema {
    static READ: OnceLock<Schema> = OnceLock::new();
    READ.get_or_init(|| Schema::read(SCHEMA))
}

/// Returns true if the fields are those of a dictionary with the keys of a model.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    const KEYS: [&str; 6] = [
        "inputs",
        "primitive_functions",
        "root",
        "type",
        "uid",
        "version",
    ];
    if !matches!(head.bytes(), [0x08 | 0x12, _, _, ..]) {
        return false;
    }
    let wire = Wire::new(input.bytes);
    let whole = wire.whole();
    let mut keys = wire
        .all(&whole, 2)
        .take(64)
        .filter_map(|entry| wire.text_of(entry.bytes()?, 1, 64));
    schema().fits(&wire, ("Dictionary", &whole), 2)
        && schema().holds(&wire, ("Dictionary", &whole), (&[2, 2], 2))
        && keys.any(|key| KEYS.contains(&key.as_str()))
}

/// Looks at a model.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let wire = Wire::new(input.bytes);
    // The outcome of a limit is noted where it fired.
    let _ = walk(
        look,
        &wire,
        (schema(), "Dictionary", wire.whole()),
        &mut Model,
    );
}

/// Returns true if it begins as the first version does.
pub(crate) fn is_first(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(FIRST)
}

/// Says that the first version is not opened.
pub(crate) fn first(look: &mut Look<'_, '_, '_>) {
    look.gap("models of the first version of CNTK are not opened");
}

struct Model;

impl Visitor for Model {
    fn rule(&self) -> &'static Rule {
        &rules::graphs::CNTK_BROKEN
    }

    fn message(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        wire: &Wire<'_>,
        (name, range): (&str, &Range<u64>),
    ) -> Result<(), Limited> {
        if name != "Dictionary" {
            return Ok(());
        }
        let mut calls = Vec::new();
        for entry in wire.all(range, 2).take(1024) {
            let Some(entry) = entry.bytes() else { continue };
            let key = wire.text_of(entry, 1, MAX_NAME).unwrap_or_default();
            if CALLS.contains(&key.as_str()) {
                let value = wire.last(entry, 2);
                let value = value.and_then(|value| wire.text_of(value.bytes()?, 8, MAX_NAME));
                calls.push((key, value.unwrap_or_default()));
            }
        }
        if calls.iter().any(|(key, _)| key == "module") && calls.len() > 1 {
            let shown: Vec<String> = calls.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
            let at = Location {
                offset: Some(range.start),
                ..look.here()
            };
            let message = "loading imports a module of Python that the model names, and calls it";
            let mut finding = rules::graphs::CNTK_FUNCTION.finding(at, message);
            finding.evidence = Some(shown.join(", "));
            look.work.find(finding);
        }
        Ok(())
    }
}
