//! Apache Arrow: the IPC stream and file formats, and Feather, which is the latter.
//!
//! Format: <https://arrow.apache.org/docs/format/Columnar.html>. Messages are `FlatBuffers`, each with
//! a body of buffers. Buffers of texts and bytes are looked at; others are values. A type that a
//! reader makes by unpickling is a finding (CVE-2023-47248).

mod batch;
mod schema;

use std::collections::BTreeSet;

use custos_core::finding::Severity;

use self::schema::Schema;
use super::parts;
use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, Part, ReadAt};
use crate::wire::flat::{Broken, Buffer, Table};
use crate::work::{Input, Look};

/// Largest description of a message.
const MAX_MESSAGE: u64 = 64 << 20;

/// Returns true for the mark of a file.
pub(super) fn is_file(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(b"ARROW1\0\0")
}

/// Returns true for a stream that begins with a schema or a tensor.
pub(super) fn is_stream(head: &Head, input: &Input<'_>) -> bool {
    let mut cursor = Cursor::at(input.bytes, 0);
    let marked = head.starts_with(&[0xff; 4]);
    if marked && cursor.skip(4).is_err() {
        return false;
    }
    let Ok(len) = cursor.u32() else {
        return false;
    };
    let start = cursor.position();
    let end = start.saturating_add(len.into());
    if !(16..MAX_MESSAGE).contains(&u64::from(len)) || end > input.bytes.len() {
        return false;
    }
    let part = Part::new(input.bytes, start..end);
    let buffer = Buffer::new(&part);
    let kind = buffer.root().ok().and_then(|root| header(&buffer, &root));
    matches!(kind, Some((1 | 4 | 5, _)))
}

// The type of a message, and the table of it.
fn header(buffer: &Buffer<'_>, root: &Table) -> Option<(u8, Table)> {
    let kind = buffer.u8(buffer.field(root, 1, 1).ok()??)?;
    Some((kind, buffer.table_of(root, 2).ok()??))
}

/// Returns true for the first version of Feather.
pub(super) fn is_feather(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(b"FEA1")
}

/// Tells that the first version of Feather is not read.
pub(super) fn feather(look: &mut Look<'_, '_, '_>) {
    look.gap("the first version of Feather is not read; write it anew as the second one");
}

/// Looks at a file: a stream, and a footer that says where its messages are.
pub(super) fn file(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    look.covered.parsed(0..8);
    let mut cursor = Cursor::at(look.input.bytes, size.saturating_sub(10));
    let (len, magic) = (cursor.u32(), cursor.array::<6>());
    let (Ok(len), Ok(b"ARROW1")) = (len, magic.as_ref()) else {
        broken(
            look,
            size.saturating_sub(6),
            "it does not end with its mark",
        );
        let _ = Stream::new(look).messages(8, size);
        return;
    };
    let end = size.saturating_sub(10);
    let Some(start) = end.checked_sub(len.into()).filter(|start| *start >= 8) else {
        return broken(look, end, "the footer is longer than the file");
    };
    let mut stream = Stream::new(look);
    let Some(stop) = stream.messages(8, start) else {
        return;
    };
    let seen = std::mem::take(&mut stream.seen);
    if stop < start {
        parts::metadata(look, stop..start, "what no message holds");
    }
    look.covered.parsed(start..size);
    let part = Part::new(look.input.bytes, start..end);
    let buffer = Buffer::new(&part);
    if let Err(why) = footer(look, &buffer, &seen) {
        broken(look, start, &format!("the footer is malformed: {why}"));
    }
}

fn footer(
    look: &mut Look<'_, '_, '_>,
    buffer: &Buffer<'_>,
    seen: &BTreeSet<u64>,
) -> Result<(), Broken> {
    let root = buffer.root()?;
    if let Some(table) = buffer.table_of(&root, 1)? {
        Schema::read(look, buffer, &table)?;
    }
    schema::pairs(look, buffer, (&root, 4))?;
    for slot in [2, 3] {
        let Some(blocks) = buffer.vector_of(&root, slot, 24)? else {
            continue;
        };
        for place in blocks.places() {
            let at = buffer.u64(place).unwrap_or(u64::MAX);
            if !seen.contains(&at) {
                let message = format!("the footer names a message at {at}, where none was met");
                broken(look, None, &message);
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Looks at a stream.
pub(super) fn stream(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    if let Some(end) = Stream::new(look).messages(0, size) {
        parts::tail(look, end);
    }
}

/// Looks at a schema that lies in the metadata of another format, as a message.
pub(super) fn schema_message(look: &mut Look<'_, '_, '_>, bytes: &[u8]) {
    let from = if bytes.starts_with(&[0xff; 4]) { 8 } else { 4 };
    let held = bytes.get(from..).unwrap_or_default().to_vec();
    let buffer = Buffer::new(&held);
    let read = buffer.root().and_then(|root| match header(&buffer, &root) {
        Some((1, table)) => Schema::read(look, &buffer, &table).map(|_| ()),
        _ => Ok(()),
    });
    if let Err(why) = read {
        look.gap(format!(
            "the Arrow schema in its metadata is malformed: {why}"
        ));
    }
}

fn broken(look: &mut Look<'_, '_, '_>, at: impl Into<Option<u64>>, why: &str) {
    look.broken(&rules::media::DATA_BROKEN, at, why);
}

struct Stream<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    schema: Option<Schema>,
    // Where messages began.
    seen: BTreeSet<u64>,
}

impl<'l, 'i, 'w, 's> Stream<'l, 'i, 'w, 's> {
    fn new(look: &'l mut Look<'i, 'w, 's>) -> Self {
        Self {
            look,
            schema: None,
            seen: BTreeSet::new(),
        }
    }

    // Returns where the messages end, unless something ended the look.
    fn messages(&mut self, start: u64, end: u64) -> Option<u64> {
        let mut at = start;
        while end.saturating_sub(at) >= 8 {
            self.look.work.tick(&self.look.input.path).ok()?;
            let mut cursor = Cursor::at(self.look.input.bytes, at);
            let mut len = cursor.u32().ok()?;
            if len == u32::MAX {
                len = cursor.u32().ok()?;
            }
            let from = cursor.position();
            if len == 0 {
                self.look.covered.parsed(at..from);
                return Some(from);
            }
            let to = from.saturating_add(len.into());
            if to > end || u64::from(len) > MAX_MESSAGE {
                broken(self.look, at, "a message ends behind the file");
                return None;
            }
            self.seen.insert(at);
            self.look.covered.parsed(at..to);
            let part = Part::new(self.look.input.bytes, from..to);
            match self.message(&part, to) {
                Ok(Some(len)) if to.saturating_add(len) <= end => at = to.saturating_add(len),
                Ok(Some(_)) => {
                    broken(self.look, at, "the body of a message ends behind the file");
                    return None;
                }
                Ok(None) => return None,
                Err(why) => {
                    broken(self.look, at, &format!("a message is malformed: {why}"));
                    return None;
                }
            }
        }
        Some(at)
    }

    // Returns the length of the body.
    fn message(&mut self, part: &dyn ReadAt, body: u64) -> Result<Option<u64>, Broken> {
        let buffer = Buffer::new(part);
        let root = buffer.root()?;
        let len = buffer.field(&root, 3, 8)?.and_then(|at| buffer.u64(at));
        let body = body..body.saturating_add(len.unwrap_or(0));
        if body.end > self.look.input.bytes.len() {
            return Ok(Some(u64::MAX));
        }
        schema::pairs(self.look, &buffer, (&root, 4))?;
        let len = body.end.saturating_sub(body.start);
        let Some((kind, table)) = header(&buffer, &root) else {
            return Ok(Some(len));
        };
        match kind {
            1 => self.schema = Some(Schema::read(self.look, &buffer, &table)?),
            2 | 3 => {
                let schema = self.schema.take().unwrap_or_default();
                let done = batch::batch(self.look, (&buffer, &table), (&schema, kind, body));
                self.schema = Some(schema);
                if done?.is_err() {
                    return Ok(None);
                }
            }
            4 | 5 => self.look.covered.opaque(body),
            _ => {}
        }
        Ok(Some(len))
    }
}

// A type whose reading unpickles.
fn pickled(look: &mut Look<'_, '_, '_>, (column, name): (&str, &str), metadata: &[u8]) {
    let python = name == "arrow.py_extension_type";
    let objects = name == "ray.data.arrow_pickled_object";
    let bytes = metadata.to_vec();
    let input = Input {
        path: String::new(),
        bytes: &bytes,
    };
    if !python && !objects && !crate::route::is_surely_something(&input) {
        return;
    }
    let what = if objects { "values are" } else { "type is" };
    let message = format!("the column `{column}` has the type `{name}`, whose {what} unpickled");
    let mut place = look.here();
    place.pointer = Some(column.to_owned());
    let mut finding = rules::media::DATA_EXTENSION.finding(place, message);
    finding.severity = Severity::High;
    if python {
        finding.cves.push("CVE-2023-47248".to_owned());
    }
    look.work.find(finding);
    if !bytes.is_empty() {
        // A limit is noted where it fired.
        let _ = look.member(&format!("{column}:type"), &bytes);
    }
}
