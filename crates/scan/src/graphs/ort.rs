//! ONNX Runtime's own form of a model (`.ort`): the graph of ONNX as `FlatBuffers`.
//!
//! Format: <https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/flatbuffers/schema/ort.fbs>.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use custos_core::finding::Severity;

use crate::graphs::lists;
use crate::route::Head;
use crate::rules::{self, Rule};
use crate::wire::flat::{Broken, Buffer, Table};
use crate::wire::tables::{Schema, Visitor, walk};
use crate::work::{Input, Look};

/// The kinds of tables.
pub(crate) static SCHEMA: &str = include_str!("../../data/graphs/ort.txt");

/// Longest name that is read.
const MAX_NAME: usize = 1 << 10;
/// Most domains that are told.
const MAX_DOMAINS: usize = 100;

fn schema() -> &'static Schema {
    static READ: OnceLock<Schema> = OnceLock::new();
    READ.get_or_init(|| Schema::read(SCHEMA))
}

/// Returns true if it begins with the mark.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    head.bytes().get(4..8) == Some(b"ORTM")
}

/// Looks at a model.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let buffer = Buffer::new(input.bytes);
    let mut model = Model::default();
    if let Ok(walked) = walk(look, &buffer, (schema(), "InferenceSession"), &mut model) {
        walked.cover(look, &buffer);
    }
}

#[derive(Default)]
struct Model {
    domains: BTreeSet<String>,
}

impl Visitor for Model {
    fn rule(&self) -> &'static Rule {
        &rules::graphs::ONNX_BROKEN
    }

    fn table(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        buffer: &Buffer<'_>,
        (name, table): (&str, &Table),
    ) -> Result<(), Broken> {
        if name != "Node" {
            return Ok(());
        }
        let domain = buffer.text_of(table, 2, MAX_NAME)?.unwrap_or_default();
        let operator = buffer.text_of(table, 5, MAX_NAME)?.unwrap_or_default();
        let lists = &lists::operators().onnx;
        if lists.is_python(&operator) {
            let message = format!("the operator `{operator}` runs a function of a Python program");
            look.see(&rules::graphs::ONNX_PYTHON_OPERATOR, table.at, message);
        }
        let fresh = !lists.is_standard(&domain) && self.domains.len() < MAX_DOMAINS;
        if fresh && self.domains.insert(domain.clone()) {
            let message = format!(
                "operators such as {operator} are of the domain `{domain}`, which runtimes do not \
                 bring along"
            );
            let mut at = look.here();
            at.offset = Some(table.at);
            let mut finding = rules::graphs::ONNX_CUSTOM_OPERATOR.finding(at, message);
            if lists.is_library(&domain) {
                finding.severity = Severity::Info;
            }
            look.work.find(finding);
        }
        Ok(())
    }
}
