//! Apache Parquet: columns in pages, and a footer that says where each lies.
//!
//! Format: apache/parquet-format. The footer is read where it lies; each page of each column is
//! walked, and those that hold texts or bytes are unpacked and looked at.

mod page;
mod schema;

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custos_core::finding::{Location, Severity};

use self::page::{Chunk, Pages};
use self::schema::Leaf;
use super::arrow;
use crate::archive::zip::leads_out;
use crate::route::Head;
use crate::rules;
use crate::source::Cursor;
use crate::text;
use crate::wire::thrift::Struct;
use crate::work::{Input, Limited, Look};

/// Largest footer that is read.
const MAX_FOOTER: u64 = 64 << 20;
/// Longest value of the metadata that is read as a whole.
const MAX_VALUE: usize = 16 << 20;

/// Returns true for the mark of a file whose footer can be read or is encrypted.
pub(super) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(b"PAR1") || head.starts_with(b"PARE")
}

/// Looks at the footer and at all columns.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let Some((start, footer)) = footer(look) else {
        return;
    };
    let Ok((file, read)) = Struct::read(&footer) else {
        return broken(look, start, "the footer is malformed");
    };
    let size = look.input.bytes.len();
    look.covered.parsed(0..4);
    look.covered.parsed(size.saturating_sub(8)..size);
    let end = start.saturating_add(u64::try_from(read).unwrap_or(0));
    look.covered.parsed(start..end);
    let rest = size.saturating_sub(8).saturating_sub(end);
    // A signature of the footer follows it if columns are encrypted.
    let signed = file.get(8).is_some();
    if signed && rest == 28 {
        look.covered.parsed(end..end.saturating_add(rest));
    }
    metadata(look, &file, start);
    let leaves = schema::leaves(look, &file);
    let mut file = File {
        look,
        leaves,
        end: start,
        taken: Vec::new(),
    };
    // A limit is noted where it fired.
    let _ = file.row_groups(&Struct::read(&footer).map_or_else(
        |_| Vec::new(),
        |(file, _)| file.structs(4).collect::<Vec<_>>(),
    ));
    file.overlaps();
}

pub(super) fn broken(look: &mut Look<'_, '_, '_>, at: u64, why: impl Into<String>) {
    look.broken(&rules::media::DATA_BROKEN, at, why);
}

// Returns where the footer begins, and its bytes.
fn footer(look: &mut Look<'_, '_, '_>) -> Option<(u64, Vec<u8>)> {
    let size = look.input.bytes.len();
    let mut cursor = Cursor::at(look.input.bytes, size.saturating_sub(8));
    let len = u64::from(cursor.u32().ok()?);
    let magic: [u8; 4] = cursor.array().ok()?;
    if &magic == b"PARE" {
        look.gap("its footer is encrypted");
        return None;
    }
    if &magic != b"PAR1" {
        broken(
            look,
            size.saturating_sub(4),
            "it does not end with its mark",
        );
        return None;
    }
    let start = size
        .saturating_sub(8)
        .checked_sub(len)
        .filter(|start| *start >= 4);
    let Some(start) = start else {
        let message = format!("the footer of {len} bytes is longer than the file");
        broken(look, size.saturating_sub(8), message);
        return None;
    };
    if len > MAX_FOOTER {
        look.gap(format!(
            "its footer has {len} bytes; at most {MAX_FOOTER} are read"
        ));
        return None;
    }
    let mut cursor = Cursor::at(look.input.bytes, start);
    let bytes = cursor.take(usize::try_from(len).ok()?).ok()?;
    Some((start, bytes))
}

// Keys and values that writers leave.
fn metadata(look: &mut Look<'_, '_, '_>, file: &Struct<'_>, start: u64) {
    let here = look.here();
    for pair in file.structs(5) {
        let key = pair.text(1).unwrap_or_default();
        let Some(value) = pair.bytes(2) else {
            continue;
        };
        let place = Location {
            offset: Some(start),
            pointer: Some(key.clone()),
            ..here.clone()
        };
        if value.len() > MAX_VALUE {
            look.gap(format!("the metadata `{key}` has {} bytes", value.len()));
            continue;
        }
        if key == "ARROW:schema" {
            let plain: Vec<u8> = value
                .iter()
                .copied()
                .filter(|b| !b.is_ascii_whitespace())
                .collect();
            match STANDARD.decode(plain) {
                Ok(bytes) => arrow::schema_message(look, &bytes),
                Err(_) => look.gap("the Arrow schema in its metadata is no base64"),
            }
            continue;
        }
        let value = String::from_utf8_lossy(value);
        text::inspect(look, &place, &value);
    }
    if let Some(by) = file.text(6) {
        text::inspect(look, &here, &by);
    }
}

struct File<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    leaves: Vec<Leaf>,
    // Where the footer begins: values end before it.
    end: u64,
    taken: Vec<Range<u64>>,
}

impl File<'_, '_, '_, '_> {
    fn row_groups(&mut self, groups: &[Struct<'_>]) -> Result<(), Limited> {
        for group in groups {
            for (index, column) in group.structs(1).enumerate() {
                self.look.work.tick(&self.look.input.path)?;
                self.column(index, &column)?;
            }
        }
        Ok(())
    }

    fn column(&mut self, index: usize, column: &Struct<'_>) -> Result<(), Limited> {
        self.indexes(column);
        if let Some(path) = column.text(1).filter(|path| !path.is_empty()) {
            self.elsewhere(&path);
            return Ok(());
        }
        let leaf = self.leaves.get(index).cloned().unwrap_or_default();
        if column.get(8).is_some() {
            let name = &leaf.name;
            self.look.gap(format!("the column `{name}` is encrypted"));
        }
        let Some(described) = column.inner(3) else {
            if column.get(8).is_none() {
                broken(self.look, self.end, "a column has no description");
            }
            return Ok(());
        };
        let data = described.place(9).unwrap_or(0);
        let dictionary = described.place(11).filter(|at| *at > 0);
        // A column without values has no page of them, perhaps a dictionary.
        let start = match dictionary {
            Some(at) if data == 0 => at,
            Some(at) => at.min(data),
            None => data,
        };
        let len = described.place(7).unwrap_or(0);
        let end = start.saturating_add(len);
        if let (Some(at), Some(len)) = (described.place(14), described.place(15)) {
            self.index(at, len);
        }
        if start < 4 || end > self.end {
            let name = &leaf.name;
            let message =
                format!("the column `{name}` lies at {start}..{end}, outside of the data");
            broken(self.look, self.end, message);
            return Ok(());
        }
        self.taken.push(start..end);
        if column.place(2) == Some(end) {
            self.repeated(end);
        }
        if column.get(8).is_some() {
            return Ok(());
        }
        let chunk = Chunk {
            leaf,
            kind: described.int(1).unwrap_or(-1),
            codec: described.int(4).unwrap_or(-1),
            range: start..end,
        };
        Pages::new(self.look, &chunk).walk()
    }

    // Old writers put the description of a column behind it as well.
    fn repeated(&mut self, at: u64) {
        const MOST: u64 = 64 << 10;
        let left = self.end.saturating_sub(at).min(MOST);
        let mut cursor = Cursor::at(self.look.input.bytes, at);
        let bytes = cursor.peek(usize::try_from(left).unwrap_or(0));
        let Ok((described, len)) = Struct::read(bytes) else {
            return;
        };
        let is_description = described.place(7).is_some() && described.place(9).is_some();
        let is_column = described.place(2).is_some() && described.inner(3).is_some();
        if is_description || is_column {
            let end = at.saturating_add(u64::try_from(len).unwrap_or(0));
            super::parts::metadata(self.look, at..end, "the description of a column");
        }
    }

    // Places of pages and their bounds, and filters, lie between the data and the footer.
    fn indexes(&mut self, column: &Struct<'_>) {
        for (at, len) in [(4, 5), (6, 7)] {
            if let (Some(at), Some(len)) = (column.place(at), column.place(len)) {
                self.index(at, len);
            }
        }
    }

    fn index(&mut self, at: u64, len: u64) {
        let end = at.saturating_add(len);
        if at < 4 || end > self.end {
            broken(self.look, at, "an index lies outside of the file");
            return;
        }
        self.taken.push(at..end);
        super::parts::metadata(self.look, at..end, "an index");
    }

    fn elsewhere(&mut self, path: &str) {
        let message = format!("a column lies in another file: `{path}`");
        let mut finding = rules::media::DATA_REFERENCE.finding(self.look.here(), message.clone());
        if leads_out(path) || path.contains("://") {
            finding.severity = Severity::High;
        }
        self.look.work.find(finding);
        self.look.gap(message);
    }

    fn overlaps(&mut self) {
        self.taken.sort_by_key(|range| range.start);
        let mut end = 0;
        for range in std::mem::take(&mut self.taken) {
            if range.start < end && !range.is_empty() {
                let message = "two columns share bytes".to_owned();
                self.look
                    .see(&rules::media::DATA_BROKEN, range.start, message);
                return;
            }
            end = end.max(range.end);
        }
    }
}
