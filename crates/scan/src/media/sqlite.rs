//! `SQLite` databases (file format 3): the schema is read, and texts of all pages are looked at.
//! LMDB is recognised and not read.

use custos_core::finding::{Location, Severity};

use super::cells::Cells;
use crate::route::Head;
use crate::rules;
use crate::source::Cursor;
use crate::text::unicode::show;
use crate::work::{Input, Limited, Look};

/// Most pages of the schema that are visited.
const MAX_PAGES: usize = 10_000;
/// Longest statement.
const MAX_STATEMENT: usize = 1 << 20;

/// Returns true for the mark.
pub(super) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(b"SQLite format 3\0")
}

/// Looks at the schema, and at the texts of all pages.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    let mut cursor = Cursor::at(look.input.bytes, 16);
    let page = match cursor.array().map(u16::from_be_bytes) {
        Ok(1) => 65_536,
        Ok(page @ 512..) if page.is_power_of_two() => u64::from(page),
        _ => return look.broken(&rules::media::DATA_BROKEN, 16, "its pages have no size"),
    };
    if !size.is_multiple_of(page) {
        look.broken(&rules::media::DATA_BROKEN, size, "its last page is cut");
    }
    let reserved = Cursor::at(look.input.bytes, 20).u8().unwrap_or(0);
    let mut schema = Schema {
        look,
        page,
        usable: page.saturating_sub(reserved.into()),
        pages: vec![1],
        visited: 0,
    };
    if schema.read().is_none() {
        schema
            .look
            .broken(&rules::media::DATA_BROKEN, 100, "its schema is malformed");
    }
    // A limit is noted where it fired.
    let _ = pages(look, page);
}

// Texts of cells lie in pages as they are.
fn pages(look: &mut Look<'_, '_, '_>, page: u64) -> Result<(), Limited> {
    let mut cells = Cells::new("pages");
    let mut cursor = look.input.cursor();
    let len = usize::try_from(page).unwrap_or(0);
    let mut at = 0_u64;
    while let Ok(bytes) = cursor.take(len) {
        cells.add(look, &bytes)?;
        let end = at.saturating_add(page);
        look.covered.opaque(at..end);
        at = end;
    }
    cells.flush(look)
}

struct Schema<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    page: u64,
    usable: u64,
    // Pages of the tree that are not visited yet.
    pages: Vec<u64>,
    visited: usize,
}

impl Schema<'_, '_, '_, '_> {
    fn read(&mut self) -> Option<()> {
        while let Some(number) = self.pages.pop() {
            self.visited = self.visited.saturating_add(1);
            if self.visited > MAX_PAGES {
                return None;
            }
            self.tree(number)?;
        }
        Some(())
    }

    fn tree(&mut self, number: u64) -> Option<()> {
        let start = number.checked_sub(1)?.checked_mul(self.page)?;
        // The first page begins with the header of the file.
        let head = if number == 1 { 100 } else { 0 };
        let mut cursor = Cursor::at(self.look.input.bytes, start.checked_add(head)?);
        let kind = cursor.u8().ok()?;
        cursor.skip(2).ok()?;
        let count = cursor.array().map(u16::from_be_bytes).ok()?;
        cursor.skip(3).ok()?;
        if kind == 5 {
            let right = cursor.array().map(u32::from_be_bytes).ok()?;
            self.pages.push(right.into());
        } else if kind != 13 {
            return None;
        }
        for _ in 0..count {
            let at = cursor.array().map(u16::from_be_bytes).ok()?;
            let cell = start.checked_add(at.into())?;
            if kind == 5 {
                let below = Cursor::at(self.look.input.bytes, cell).array();
                self.pages.push(u32::from_be_bytes(below.ok()?).into());
            } else {
                self.row(cell)?;
            }
        }
        Some(())
    }

    // A row of the schema: type, name, table, page, statement.
    fn row(&mut self, at: u64) -> Option<()> {
        let mut cursor = Cursor::at(self.look.input.bytes, at);
        let len = varint(&mut cursor)?;
        varint(&mut cursor)?;
        let bytes = self.payload(cursor.position(), len)?;
        let mut head = Cursor::at(&bytes, 0);
        let mut data = varint(&mut head)?;
        let mut texts = Vec::new();
        for _ in 0..5 {
            let kind = varint(&mut head)?;
            let len = match kind {
                1..=4 => kind,
                5 => 6,
                6 | 7 => 8,
                12.. => kind.checked_sub(12)? / 2,
                _ => 0,
            };
            let mut value = Cursor::at(&bytes, data);
            texts.push(value.take(usize::try_from(len).ok()?).ok()?);
            data = data.checked_add(len)?;
        }
        let [kind, name, _, _, statement] = texts.as_slice() else {
            return None;
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.statement(&text(kind), &text(name), &text(statement));
        Some(())
    }

    // The bytes of a cell, with those that did not fit into its page.
    fn payload(&self, at: u64, len: u64) -> Option<Vec<u8>> {
        let whole = usize::try_from(len)
            .ok()
            .filter(|len| *len <= MAX_STATEMENT)?;
        let most = self.usable.checked_sub(35)?;
        let local = if len <= most {
            len
        } else {
            let least = (self.usable.checked_sub(12)?.checked_mul(32)? / 255).checked_sub(23)?;
            let room = self.usable.checked_sub(4)?;
            let kept = least.checked_add(len.checked_sub(least)?.checked_rem(room)?)?;
            if kept <= most { kept } else { least }
        };
        let mut cursor = Cursor::at(self.look.input.bytes, at);
        let mut bytes = cursor.take(usize::try_from(local).ok()?).ok()?;
        let mut next = 0;
        if local < len {
            next = cursor.array().map(u32::from_be_bytes).ok()?;
        }
        while bytes.len() < whole {
            let start = u64::from(next).checked_sub(1)?.checked_mul(self.page)?;
            let mut cursor = Cursor::at(self.look.input.bytes, start);
            next = cursor.array().map(u32::from_be_bytes).ok()?;
            let left = whole.checked_sub(bytes.len())?;
            let room = usize::try_from(self.usable.checked_sub(4)?).ok()?;
            bytes.extend(cursor.take(left.min(room)).ok()?);
        }
        Some(bytes)
    }

    fn statement(&mut self, kind: &str, name: &str, statement: &str) {
        const LOADS: [&str; 6] = [
            "load_extension",
            "fts3_tokenizer",
            "writefile",
            "readfile",
            "edit(",
            "shell(",
        ];
        let lower = statement.to_ascii_lowercase();
        let Some(what) = LOADS.iter().find(|what| lower.contains(**what)) else {
            return;
        };
        let what = what.trim_end_matches('(');
        let message = format!("the {kind} `{}` calls `{what}`", show(name));
        let place = Location {
            pointer: Some(name.to_owned()),
            ..self.look.here()
        };
        let mut finding = rules::media::DATA_TRIGGER.finding(place, message);
        if matches!(kind, "trigger" | "view") {
            finding.severity = Severity::High;
        }
        finding.evidence = Some(show(statement));
        self.look.work.find(finding);
    }
}

fn varint(cursor: &mut Cursor<'_>) -> Option<u64> {
    let mut number = 0_u64;
    for index in 0..9 {
        let byte = cursor.u8().ok()?;
        if index == 8 {
            return Some(number << 8 | u64::from(byte));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}

/// Returns true for the first page of an LMDB file.
pub(super) fn is_lmdb(head: &Head, _: &Input<'_>) -> bool {
    head.bytes().get(16..20) == Some(&[0xde, 0xc0, 0xef, 0xbe])
        && head.bytes().get(20..24) == Some(&[1, 0, 0, 0])
}

/// Tells that LMDB is not read.
pub(super) fn lmdb(look: &mut Look<'_, '_, '_>) {
    look.gap("the pages of an LMDB file are not read");
}
