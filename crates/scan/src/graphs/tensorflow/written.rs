//! Graphs as text (`saved_model.pbtxt`, `graph.pbtxt`), which loaders take as well: the operators
//! are looked up, and no more of it is understood than that.

use custos_core::finding::Location;

use crate::graphs::lists;
use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError};
use crate::work::{Input, Limited, Look};

/// Longest line that is read.
const MAX_LINE: usize = 64 << 10;
/// Most findings.
const TOLD: u32 = 50;

/// Returns true if it begins as such a text does.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    const BEGINNINGS: [&[u8]; 6] = [
        b"saved_model_schema_version:",
        b"meta_graphs {",
        b"meta_info_def {",
        b"node {",
        b"graph_def {",
        b"library {",
    ];
    // Comments and blank lines may come before.
    let lines = head.bytes().split(|byte| *byte == b'\n');
    let first = lines
        .map(<[u8]>::trim_ascii)
        .find(|line| !line.is_empty() && !line.starts_with(b"#"));
    first.is_some_and(|line| {
        BEGINNINGS
            .iter()
            .any(|beginning| line.starts_with(beginning))
    })
}

/// Looks at the operators that it names.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    // The outcome of a limit is noted where it fired.
    let _ = lines(look);
}

fn lines(look: &mut Look<'_, '_, '_>) -> Result<(), Limited> {
    let input = look.input;
    let mut cursor = Cursor::at(input.bytes, 0);
    let (mut told, mut count) = (0_u32, 0_u64);
    loop {
        let from = cursor.position();
        let line = match cursor.line(MAX_LINE) {
            Ok(Some(line)) => line,
            Ok(None) => {
                look.gap("a line of the graph is longer than is read");
                return Ok(());
            }
            Err(CursorError::End { .. }) => {
                cursor.seek(from);
                let left = cursor.left();
                let Ok(rest) = cursor.take(usize::try_from(left).unwrap_or(MAX_LINE)) else {
                    return Ok(());
                };
                operators(look, (&rest, from), &mut told);
                look.covered.parsed(0..input.bytes.len());
                return Ok(());
            }
            Err(CursorError::Io(_)) => {
                look.gap("it cannot be read");
                return Ok(());
            }
        };
        operators(look, (&line, from), &mut told);
        look.covered.parsed(from..cursor.position());
        count = count.saturating_add(1);
        if count.is_multiple_of(4096) {
            look.work.tick(&input.path)?;
        }
    }
}

// `op: "NAME"`, with any blanks and either quote; several may stand in one line.
fn operators(look: &mut Look<'_, '_, '_>, (line, from): (&[u8], u64), told: &mut u32) {
    let line = String::from_utf8_lossy(line);
    for (at, _) in line.match_indices("op") {
        let after = line.get(at.saturating_add(2)..).unwrap_or_default();
        let Some(after) = after.trim_start().strip_prefix(':') else {
            continue;
        };
        let after = after.trim_start();
        let Some(name) = after.strip_prefix(['"', '\'']) else {
            continue;
        };
        let name = name.split(['"', '\'']).next().unwrap_or_default();
        let Some(effect) = lists::tensorflow(name) else {
            continue;
        };
        *told = told.saturating_add(1);
        if *told <= TOLD {
            let offset = from.saturating_add(u64::try_from(at).unwrap_or(0));
            let here = Location {
                offset: Some(offset),
                ..look.here()
            };
            let message = format!("the operator {name} {}", effect.why);
            let mut finding = rules::graphs::TENSORFLOW_OPERATOR.finding(here, message);
            finding.severity = effect.severity;
            look.work.find(finding);
        }
    }
}
