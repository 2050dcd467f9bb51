//! CatBoost: a mark, a `FlatBuffers` core with trees and texts, and tables of statistics behind it.
//!
//! catboost/catboost, `catboost/libs/model/model.cpp` and `flatbuffers/model.fbs`: `CBM1`, the size
//! of the core, the core (`TModelCore`), and for the part `static_ctr_provider_v1` a count and as
//! many tables, each behind its size.

use std::ops::Range;

use custos_core::finding::Location;

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError, Part};
use crate::text;
use crate::wire::flat::{Broken, Buffer, Table};
use crate::work::{Input, Look};

/// Longest text that is looked at.
const MAX_TEXT: usize = 16 << 20;

/// Returns true if it begins with the mark.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(b"CBM1")
}

/// Looks at the core and at what follows it.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    let mut cursor = look.input.cursor();
    cursor.seek(4);
    let core = match cursor.u32() {
        Ok(len) if u64::from(len) <= cursor.left() => 8..8_u64.saturating_add(len.into()),
        Ok(len) => {
            let message = format!("the core of {len} bytes is longer than the file");
            look.broken(&rules::classic::CATBOOST_BROKEN, 4, message);
            return;
        }
        Err(error) => {
            look.broken(&rules::classic::CATBOOST_BROKEN, 4, error.to_string());
            return;
        }
    };
    let part = Part::new(look.input.bytes, core.clone());
    let buffer = Buffer::new(&part);
    match parse(&buffer) {
        Ok(texts) => {
            look.covered.parsed(0..8);
            look.covered.opaque(core.clone());
            for (key, value) in texts {
                let place = Location {
                    offset: Some(core.start),
                    pointer: Some(key),
                    ..look.here()
                };
                text::inspect(look, &place, &value);
            }
        }
        Err(broken) => {
            let at = broken.at.saturating_add(core.start);
            look.broken(&rules::classic::CATBOOST_BROKEN, at, broken.to_string());
            return;
        }
    }
    if core.end < size
        && let Err(error) = tables(look, core.end)
    {
        look.broken(
            &rules::classic::CATBOOST_BROKEN,
            core.end,
            error.to_string(),
        );
    }
}

// Checks the vectors of the trees, and returns all texts with their names.
fn parse(buffer: &Buffer<'_>) -> Result<Vec<(String, String)>, Broken> {
    let root = buffer.root()?;
    let mut texts = Vec::new();
    if let Some(version) = buffer.text_of(&root, 0, MAX_TEXT)? {
        texts.push(("FormatVersion".to_owned(), version));
    }
    if let Some(trees) = buffer.table_of(&root, 1)? {
        // Splits, sizes and starts of trees; values and weights of leaves.
        for (slot, size) in [(1, 4), (2, 4), (3, 4), (8, 8), (9, 8)] {
            buffer.vector_of(&trees, slot, size)?;
        }
        // Features, each a table.
        for slot in [4, 5, 6, 7] {
            for place in places(buffer, &trees, slot)? {
                buffer.table(place)?;
            }
        }
    }
    for place in places(buffer, &root, 2)? {
        let entry = buffer.table(place)?;
        let key = buffer.text_of(&entry, 0, MAX_TEXT)?.unwrap_or_default();
        let value = buffer.text_of(&entry, 1, MAX_TEXT)?.unwrap_or_default();
        texts.push((key, value));
    }
    for place in places(buffer, &root, 3)? {
        let part = buffer.vector(place, 1)?;
        if let Some(name) = buffer.text(&part, MAX_TEXT) {
            texts.push(("ModelPartIds".to_owned(), name));
        }
    }
    Ok(texts)
}

fn places(buffer: &Buffer<'_>, table: &Table, slot: u16) -> Result<Vec<u64>, Broken> {
    let vector = buffer.vector_of(table, slot, 4)?;
    Ok(vector.map_or_else(Vec::new, |vector| vector.places().collect()))
}

// Tables of statistics: values of which the bounds are known.
fn tables(look: &mut Look<'_, '_, '_>, start: u64) -> Result<(), CursorError> {
    let mut cursor = Cursor::at(look.input.bytes, start);
    let count = cursor.u32()?;
    for _ in 0..count {
        if look.work.tick(&look.input.path).is_err() {
            return Ok(());
        }
        let at = cursor.position();
        let len = cursor.u32()?;
        let range: Range<u64> = cursor.position()..cursor.position().saturating_add(len.into());
        cursor.skip(len.into())?;
        let part = Part::new(look.input.bytes, range.clone());
        if let Err(broken) = Buffer::new(&part).root() {
            let at = broken.at.saturating_add(range.start);
            look.broken(&rules::classic::CATBOOST_BROKEN, at, broken.to_string());
            return Ok(());
        }
        look.covered.parsed(at..range.start);
        look.covered.opaque(range);
    }
    look.covered.parsed(start..start.saturating_add(4));
    let rest = cursor.position()..look.input.bytes.len();
    // A limit is noted where it fired.
    let _ = look.trailing(rest);
    Ok(())
}
