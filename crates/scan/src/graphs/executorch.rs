//! `ExecuTorch`: programs (`.pte`) and data beside them (`.ptd`), as `FlatBuffers` with a header that
//! says where segments of values lie behind the tables.
//!
//! Formats: `schema/program.fbs` and `schema/extended_header.h`, and
//! `extension/flat_tensor/serialize`, of <https://github.com/pytorch/executorch>.

use std::ops::Range;
use std::sync::OnceLock;

use custos_core::finding::Severity;

use crate::graphs::lists;
use crate::route::Head;
use crate::rules::{self, Rule};
use crate::source::Part;
use crate::wire::flat::{Broken, Buffer, Table};
use crate::wire::tables::{Schema, Visitor, Walked, walk};
use crate::work::{Input, Limited, Look};

/// The kinds of tables.
pub(crate) static SCHEMA: &str = include_str!("../../data/graphs/executorch.txt");

/// Longest name that is read.
const MAX_NAME: usize = 1 << 10;
/// Most segments.
const MAX_SEGMENTS: usize = 100_000;

fn schema() -> &'static Schema {
    static READ: OnceLock<Schema> = OnceLock::new();
    READ.get_or_init(|| Schema::read(SCHEMA))
}

/// Returns true if it begins with the mark of a program.
pub(crate) fn is_program(head: &Head, _: &Input<'_>) -> bool {
    matches!(head.bytes().get(4..8), Some([b'E', b'T', d, e]) if d.is_ascii_digit() && e.is_ascii_digit())
}

/// Returns true if it begins with the mark of data.
pub(crate) fn is_data(head: &Head, _: &Input<'_>) -> bool {
    matches!(head.bytes().get(4..8), Some([b'F', b'T', d, e]) if d.is_ascii_digit() && e.is_ascii_digit())
}

/// Looks at a program.
pub(crate) fn program(look: &mut Look<'_, '_, '_>) {
    // The header holds its length, the size of the tables, and where segments begin.
    let _ = examine(look, ("Program", b"eh00"), 24);
}

/// Looks at data.
pub(crate) fn data(look: &mut Look<'_, '_, '_>) {
    let _ = examine(look, ("FlatTensor", b"FH01"), 32);
}

fn examine(
    look: &mut Look<'_, '_, '_>,
    (root, mark): (&str, &[u8; 4]),
    base: u64,
) -> Result<(), Limited> {
    let input = look.input;
    let buffer = Buffer::new(input.bytes);
    let mut program = Program::default();
    let mut walked = walk(look, &buffer, (schema(), root), &mut program)?;
    let has_header = buffer.bytes(&(8..12), 4).is_some_and(|found| found == mark);
    let base = if has_header {
        let len = u64::from(buffer.u32(12).unwrap_or(0)).min(256);
        walked.parsed(8..8_u64.saturating_add(len));
        buffer.u64(base).unwrap_or(0)
    } else {
        0
    };
    for (offset, size) in &program.segments {
        let start = base.checked_add(*offset);
        let end = start.and_then(|start| start.checked_add(*size));
        let end = end.filter(|end| *end <= buffer.len());
        if let (Some(start), Some(end)) = (start, end) {
            segment(look, &mut walked, start..end)?;
        } else {
            let message = format!("a segment of {size} bytes at {offset} is not there");
            look.see(&rules::graphs::EXECUTORCH_BROKEN, None, message);
        }
    }
    walked.cover(look, &buffer);
    Ok(())
}

fn segment(
    look: &mut Look<'_, '_, '_>,
    walked: &mut Walked,
    range: Range<u64>,
) -> Result<(), Limited> {
    let part = Part::new(look.input.bytes, range.clone());
    let name = format!("segment@{}", range.start);
    look.work.opaque_member(look.input, &name, &part)?;
    walked.opaque(range);
    Ok(())
}

#[derive(Default)]
struct Program {
    segments: Vec<(u64, u64)>,
}

impl Visitor for Program {
    fn rule(&self) -> &'static Rule {
        &rules::graphs::EXECUTORCH_BROKEN
    }

    fn table(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        buffer: &Buffer<'_>,
        (name, table): (&str, &Table),
    ) -> Result<(), Broken> {
        match name {
            "DataSegment" => {
                let number = |slot| -> Result<u64, Broken> {
                    let place = buffer.field(table, slot, 8)?;
                    Ok(place.and_then(|place| buffer.u64(place)).unwrap_or(0))
                };
                if self.segments.len() < MAX_SEGMENTS {
                    self.segments.push((number(0)?, number(1)?));
                }
            }
            "Operator" => {
                let name = buffer.text_of(table, 0, MAX_NAME)?.unwrap_or_default();
                let space = name.split("::").next().unwrap_or_default();
                if !lists::operators().executorch.is_known(space) {
                    let message = format!("the operator `{name}` is none of the runtime");
                    look.see(&rules::graphs::EXECUTORCH_CUSTOM, table.at, message);
                }
            }
            "BackendDelegate" => {
                let name = buffer.text_of(table, 0, MAX_NAME)?.unwrap_or_default();
                let mut at = look.here();
                at.offset = Some(table.at);
                let message = format!("part of the program is compiled for `{name}`");
                let mut finding = rules::graphs::EXECUTORCH_CUSTOM.finding(at, message);
                finding.severity = Severity::Info;
                look.work.find(finding);
            }
            _ => {}
        }
        Ok(())
    }
}
