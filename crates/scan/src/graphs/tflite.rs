//! TensorFlow Lite: a graph of operators as `FlatBuffers`, `TFL3` at its fifth byte.
//!
//! Format: `tensorflow/compiler/mlir/lite/schema/schema.fbs`. Operators are of the runtime, or
//! custom: those need code from elsewhere, or stand for operators of TensorFlow (`Flex...`), which
//! can do what those can. Values above 2 GiB lie behind the tables. Labels and vocabularies may
//! follow as a zip archive, which is recognised as one.

use std::sync::OnceLock;

use custos_core::finding::Severity;

use crate::graphs::lists;
use crate::route::Head;
use crate::rules::{self, Rule};
use crate::wire::flat::{Broken, Buffer, Table, Vector};
use crate::wire::tables::{Schema, Visitor, Walked, walk};
use crate::work::{Input, Look};

/// The kinds of tables.
pub(crate) static SCHEMA: &str = include_str!("../../data/graphs/tflite.txt");

/// Longest name that is read.
const MAX_NAME: usize = 1 << 10;
/// Code of operators that are not of the runtime.
const CUSTOM: u32 = 32;
/// Most values of a tensor: runtimes count them in 32 bits with a sign, and more wrap around.
const MAX_COUNT: u64 = (1 << 31) - 1;
/// Most findings about tensors.
const TOLD: u32 = 10;
/// Most tensors and buffers of which sizes are compared.
const MAX_SIZES: usize = 1_000_000;

fn schema() -> &'static Schema {
    static READ: OnceLock<Schema> = OnceLock::new();
    READ.get_or_init(|| Schema::read(SCHEMA))
}

/// Returns true if it begins with the mark.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    head.bytes().get(4..8) == Some(b"TFL3")
}

/// Looks at a model.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let buffer = Buffer::new(input.bytes);
    let mut model = Model::default();
    if let Ok(mut walked) = walk(look, &buffer, (schema(), "Model"), &mut model) {
        model.values(look, &buffer, &mut walked);
        walked.cover(look, &buffer);
    }
}

#[derive(Default)]
struct Model {
    // Values that lie behind the tables: where, and how many bytes.
    behind: Vec<(u64, u64)>,
    told: u32,
}

impl Visitor for Model {
    fn rule(&self) -> &'static Rule {
        &rules::graphs::TFLITE_BROKEN
    }

    fn table(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        buffer: &Buffer<'_>,
        (name, table): (&str, &Table),
    ) -> Result<(), Broken> {
        match name {
            "Model" => self.model(look, buffer, table),
            "OperatorCode" => operator(look, buffer, table),
            "Buffer" => self.behind(buffer, table, [1, 2]),
            "Operator" => self.behind(buffer, table, [9, 10]),
            _ => Ok(()),
        }
    }
}

impl Model {
    // Values and sizes of tensors have to fit.
    fn model(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        buffer: &Buffer<'_>,
        table: &Table,
    ) -> Result<(), Broken> {
        let mut sizes = Vec::new();
        let buffers = buffer.vector_of(table, 4, 4)?;
        for place in buffers.iter().flat_map(Vector::places).take(MAX_SIZES) {
            let one = buffer.table(place)?;
            let data = buffer.vector_of(&one, 0, 1)?;
            let elsewhere = number(buffer, &one, 2)?;
            sizes.push(data.map_or(elsewhere, |data| u64::from(data.len)));
        }
        let graphs = buffer.vector_of(table, 2, 4)?;
        for place in graphs.iter().flat_map(Vector::places) {
            let graph = buffer.table(place)?;
            let tensors = buffer.vector_of(&graph, 0, 4)?;
            let count = tensors.as_ref().map_or(0, |tensors| tensors.len);
            self.indices(look, buffer, (&graph, count))?;
            for place in tensors.iter().flat_map(Vector::places).take(MAX_SIZES) {
                let tensor = buffer.table(place)?;
                self.tensor(look, buffer, (&tensor, &sizes))?;
            }
        }
        Ok(())
    }

    // Tensors are named by their number: those of a graph, and those of each of its operators.
    fn indices(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        buffer: &Buffer<'_>,
        (graph, count): (&Table, u32),
    ) -> Result<(), Broken> {
        self.named(look, buffer, (graph, "graph", count))?;
        let operators = buffer.vector_of(graph, 3, 4)?;
        for place in operators.iter().flat_map(Vector::places).take(MAX_SIZES) {
            let operator = buffer.table(place)?;
            self.named(look, buffer, (&operator, "operator", count))?;
        }
        Ok(())
    }

    fn named(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        buffer: &Buffer<'_>,
        (table, what, count): (&Table, &str, u32),
    ) -> Result<(), Broken> {
        for (slot, side) in [(1, "input"), (2, "output")] {
            let numbers = buffer.vector_of(table, slot, 4)?;
            let numbers = numbers.iter().flat_map(Vector::places).take(MAX_SIZES);
            for number in numbers.filter_map(|at| buffer.i32(at)) {
                let is_there = u32::try_from(number).is_ok_and(|number| number < count);
                // An input may be left out.
                let is_none = number == -1;
                if is_there || is_none && side == "input" || self.told >= TOLD {
                    continue;
                }
                self.told = self.told.saturating_add(1);
                let mut at = look.here();
                at.offset = Some(table.at);
                let message = format!("an {side} of the {what} is tensor {number} of {count}");
                let mut finding = rules::graphs::TFLITE_INDEX.finding(at, message);
                if is_none {
                    finding.severity = Severity::Medium;
                    finding.cves.push("CVE-2020-15211".to_owned());
                }
                look.work.find(finding);
            }
        }
        Ok(())
    }

    fn tensor(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        buffer: &Buffer<'_>,
        (tensor, sizes): (&Table, &[u64]),
    ) -> Result<(), Broken> {
        let held = match buffer.field(tensor, 2, 4)?.and_then(|at| buffer.u32(at)) {
            Some(number) => usize::try_from(number)
                .ok()
                .and_then(|n| sizes.get(n))
                .copied(),
            None => Some(0),
        };
        let kind = buffer
            .field(tensor, 1, 1)?
            .and_then(|at| buffer.u8(at))
            .unwrap_or(0);
        let shape = buffer.vector_of(tensor, 0, 4)?;
        let is_sparse = buffer.table_of(tensor, 6)?.is_some();
        let dims = shape.iter().flat_map(Vector::places);
        let product = dims.take(64).try_fold(1_u64, |product, at| {
            // -1 is a size that is known later.
            let dim = buffer.i32(at).and_then(|dim| u64::try_from(dim).ok());
            dim.map_or(Some(0), |dim| product.checked_mul(dim))
        });
        let message = match (product.and_then(|count| bytes(count, kind)), held) {
            (_, None) => "refers to values that are not there".to_owned(),
            (None, _) => "has dimensions that are no size that can be".to_owned(),
            _ if product.is_some_and(|count| count > MAX_COUNT) => {
                "has dimensions that make more values than runtimes can count".to_owned()
            }
            (Some(needed), Some(held)) if needed > held && held > 0 && !is_sparse => {
                format!("has {held} bytes, and its dimensions and type make {needed}")
            }
            _ => return Ok(()),
        };
        self.told = self.told.saturating_add(1);
        if self.told <= TOLD {
            let name = buffer.text_of(tensor, 3, MAX_NAME)?.unwrap_or_default();
            let message = format!("the tensor `{name}` {message}");
            look.see(&rules::graphs::TFLITE_TENSOR, tensor.at, message);
        }
        Ok(())
    }

    fn behind(
        &mut self,
        buffer: &Buffer<'_>,
        table: &Table,
        slots: [u16; 2],
    ) -> Result<(), Broken> {
        let [offset, size] = slots;
        let (offset, size) = (number(buffer, table, offset)?, number(buffer, table, size)?);
        // Zero and one stand for none.
        if offset > 1 && size > 0 && self.behind.len() < MAX_SIZES {
            self.behind.push((offset, size));
        }
        Ok(())
    }

    fn values(&mut self, look: &mut Look<'_, '_, '_>, buffer: &Buffer<'_>, walked: &mut Walked) {
        for (offset, size) in &self.behind {
            let end = offset.checked_add(*size).filter(|end| *end <= buffer.len());
            if let Some(end) = end {
                walked.opaque(*offset..end);
            } else {
                self.told = self.told.saturating_add(1);
                if self.told <= TOLD {
                    let message = format!("{size} bytes of values at {offset} are not there");
                    look.see(&rules::graphs::TFLITE_TENSOR, None, message);
                }
            }
        }
    }
}

fn number(buffer: &Buffer<'_>, table: &Table, slot: u16) -> Result<u64, Broken> {
    let place = buffer.field(table, slot, 8)?;
    Ok(place.and_then(|place| buffer.u64(place)).unwrap_or(0))
}

// How many bytes so many values of a type need; texts, resources and what is not known need any.
fn bytes(count: u64, kind: u8) -> Option<u64> {
    let bits = match kind {
        0 | 2 | 15 => 32,
        1 | 7 | 16 | 18 => 16,
        3 | 6 | 9 => 8,
        4 | 8 | 10 | 12 => 64,
        11 => 128,
        17 => 4,
        _ => return Some(0),
    };
    count.checked_mul(bits).map(|bits| bits.div_ceil(8))
}

// An operator that is not of the runtime.
fn operator(look: &mut Look<'_, '_, '_>, buffer: &Buffer<'_>, table: &Table) -> Result<(), Broken> {
    let old = buffer
        .field(table, 0, 1)?
        .and_then(|at| buffer.u8(at))
        .unwrap_or(0);
    let code = buffer
        .field(table, 3, 4)?
        .and_then(|at| buffer.u32(at))
        .unwrap_or(0);
    let name = buffer.text_of(table, 1, MAX_NAME)?;
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    if u32::from(old).max(code) != CUSTOM {
        return Ok(());
    }
    let mut at = look.here();
    at.offset = Some(table.at);
    let flex = name.strip_prefix("Flex");
    let finding = if let Some(effect) = flex.and_then(lists::tensorflow) {
        let operator = flex.unwrap_or_default();
        let message = format!("the operator {operator} of TensorFlow {}", effect.why);
        let mut finding = rules::graphs::TENSORFLOW_OPERATOR.finding(at, message);
        finding.severity = effect.severity;
        finding
    } else {
        let message = match flex {
            Some(_) => format!("the operator `{name}` is one of TensorFlow"),
            None => format!("the operator `{name}` is none of the runtime"),
        };
        let mut finding = rules::graphs::TFLITE_CUSTOM_OPERATOR.finding(at, message);
        if flex.is_some() || lists::operators().tflite.is_known(&name) {
            finding.severity = Severity::Info;
        }
        finding
    };
    look.work.find(finding);
    Ok(())
}
