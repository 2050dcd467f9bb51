//! Core ML: a model as one message of Protocol Buffers, with weights in it or in a file beside it.
//!
//! Formats: <https://apple.github.io/coremltools/mlmodel/index.html>, and the weights of an
//! `.mlpackage`, `coremltools/milstoragepython`. Layers and models may be classes of the app that
//! loads the file, and models may be linked from elsewhere.

use std::ops::Range;
use std::sync::OnceLock;

use custos_core::finding::{Location, Severity};

use crate::archive::zip::leads_out;
use crate::route::Head;
use crate::rules::{self, Rule};
use crate::source::{Cursor, CursorError};
use crate::wire::messages::{Schema, Visitor, walk};
use crate::wire::proto::Wire;
use crate::work::{Input, Limited, Look};

/// The kinds of messages.
pub(crate) static SCHEMA: &str = include_str!("../../data/graphs/coreml.txt");

/// Longest name that is read.
const MAX_NAME: usize = 4 << 10;
/// What names of files in a package begin with.
const IN_PACKAGE: &str = "@model_path/";
/// What each entry of a file of weights begins with.
const SENTINEL: u32 = 0xdead_beef;
/// Size of the head of a file of weights, and of each entry.
const ENTRY: u64 = 64;

fn schema() -> &'static Schema {
    static READ: OnceLock<Schema> = OnceLock::new();
    READ.get_or_init(|| Schema::read(SCHEMA))
}

/// Returns true if the fields are those of a model, with a version and a described interface.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    if !matches!(head.bytes(), [0x08 | 0x12 | 0x50 | 0xc2.., _, _, ..]) {
        return false;
    }
    let wire = Wire::new(input.bytes);
    let whole = wire.whole();
    let version = wire.last(&whole, 1).and_then(|field| field.varint());
    let described = |path: &[u32]| schema().holds(&wire, ("Model", &whole), (path, 1));
    version.is_some_and(|version| version < 1000)
        && (described(&[2, 1]) || described(&[2, 10]) || described(&[2, 20]))
}

/// Looks at a model.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let wire = Wire::new(input.bytes);
    // The outcome of a limit is noted where it fired.
    let _ = walk(look, &wire, (schema(), "Model", wire.whole()), &mut Model);
}

struct Model;

impl Visitor for Model {
    fn rule(&self) -> &'static Rule {
        &rules::graphs::COREML_BROKEN
    }

    fn message(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        wire: &Wire<'_>,
        (name, range): (&str, &Range<u64>),
    ) -> Result<(), Limited> {
        let text = |number: u32| wire.text_of(range, number, MAX_NAME);
        let default = |number: u32| {
            let field = wire.last(range, number)?;
            wire.text_of(field.bytes()?, 1, MAX_NAME)
        };
        match name {
            "CustomModel" => custom(look, range, ("model", text(10))),
            "CustomLayerParams" => custom(look, range, ("layer", text(10))),
            "LinkedModelFile" => linked(look, range, &[default(1), default(2)]),
            "MILSpec.Value.BlobFileValue" => {
                let name = text(1).unwrap_or_default();
                let inside = name.strip_prefix(IN_PACKAGE).unwrap_or(&name);
                if leads_out(inside) {
                    path(look, range, ("the weights are in", &name));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn custom(look: &mut Look<'_, '_, '_>, range: &Range<u64>, (what, class): (&str, Option<String>)) {
    let class = class.unwrap_or_default();
    let message = format!("a {what} is the class `{class}` of the app that loads the file");
    look.see(&rules::graphs::COREML_CUSTOM, range.start, message);
}

fn linked(look: &mut Look<'_, '_, '_>, range: &Range<u64>, names: &[Option<String>]) {
    for name in names.iter().flatten().filter(|name| !name.is_empty()) {
        // Several folders may be given.
        if name.split(':').any(leads_out) {
            path(look, range, ("a linked model is in", name));
        } else {
            let at = Location {
                offset: Some(range.start),
                ..look.here()
            };
            let message = format!("a model is linked from `{name}`");
            let mut finding = rules::graphs::COREML_PATH.finding(at, message);
            finding.severity = Severity::Info;
            look.work.find(finding);
        }
    }
}

fn path(look: &mut Look<'_, '_, '_>, range: &Range<u64>, (what, name): (&str, &str)) {
    let at = Location {
        offset: Some(range.start),
        ..look.here()
    };
    let message = format!("{what} `{name}`, outside of the model's folder");
    let mut finding = rules::graphs::COREML_PATH.finding(at, message);
    finding.evidence = Some(name.to_owned());
    look.work.find(finding);
}

/// Returns true if it begins as the weights of a package do.
pub(crate) fn are_weights(head: &Head, _: &Input<'_>) -> bool {
    let word = |at: usize| {
        let bytes = head.bytes().get(at..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    };
    let rest = head.bytes().get(8..64);
    word(4) == Some(2)
        && rest.is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
        && (word(64) == Some(SENTINEL) || word(0) == Some(0) && head.bytes().len() == 64)
}

/// Looks at the weights of a package.
pub(crate) fn weights(look: &mut Look<'_, '_, '_>) {
    if let Err(error) = entries(look) {
        let message = format!("the weights are broken: {error}");
        look.broken(&rules::graphs::COREML_BROKEN, None, message);
    }
}

fn entries(look: &mut Look<'_, '_, '_>) -> Result<(), CursorError> {
    let input = look.input;
    let size = input.bytes.len();
    let mut cursor = Cursor::at(input.bytes, 0);
    let count = cursor.u32()?;
    look.covered.parsed(0..ENTRY);
    let mut at = ENTRY;
    for _ in 0..count {
        cursor.seek(at);
        let sentinel = cursor.u32()?;
        cursor.skip(4)?;
        let (len, offset) = (cursor.u64()?, cursor.u64()?);
        let end = offset.checked_add(len).filter(|end| *end <= size);
        let (true, Some(end)) = (sentinel == SENTINEL, end) else {
            let message = "an entry has no mark, or its values are not there";
            look.broken(&rules::graphs::COREML_BROKEN, at, message);
            return Ok(());
        };
        look.covered.parsed(at..at.saturating_add(ENTRY));
        look.covered.opaque(offset..end);
        // Each begins at a multiple of its size; zeros fill what is between.
        let next = end.div_ceil(ENTRY).saturating_mul(ENTRY);
        let fill = end..next.min(size);
        let zeros = cursor.source();
        let mut filler = Cursor::at(zeros, fill.start);
        let len = usize::try_from(fill.end.saturating_sub(fill.start)).unwrap_or(0);
        if filler.take(len)?.iter().all(|byte| *byte == 0) {
            look.covered.parsed(fill);
        }
        if next <= at {
            let message = "entries are not in order";
            look.broken(&rules::graphs::COREML_BROKEN, at, message);
            return Ok(());
        }
        at = next;
    }
    Ok(())
}
