//! `CRFsuite`: weights of a conditional random field, and dictionaries of its labels and attributes.
//!
//! chokkan/crfsuite, `lib/crf/src/crf1d_model.c`; dictionaries: `lib/cqdb/src/cqdb.c`. The loader
//! takes all places and counts as they are: one that leads out makes it read beyond the file.

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError};
use crate::work::{Input, Limited, Look};

use super::words::Words;

/// Size of the header of the model.
const HEADER: u64 = 48;
/// Size of the header of a dictionary, and of the places of its tables behind it.
const DICTIONARY: u64 = 24;
const TABLES: u64 = 256;
/// What a dictionary has as the order of its bytes.
const ORDER: u32 = 0x6244_5371;
/// Longest label or attribute.
const MAX_KEY: u32 = 1 << 20;

/// Returns true if it begins with the mark of a model, and that of its kind.
pub(super) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(b"lCRF") && head.bytes().get(8..12) == Some(b"FOMC")
}

/// Looks at all parts.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut model = Model {
        look,
        words: Words::default(),
        features: 0,
    };
    let outcome = model.read();
    model.words.look_at(model.look);
    match outcome {
        Ok(end) => {
            let size = look.input.bytes.len();
            // A limit is noted where it fired.
            let _ = look.trailing(end..size);
        }
        Err(Stop::Limited) => {}
        Err(Stop::Broken(at, why)) => {
            look.broken(&rules::classic::CRFSUITE_BROKEN, at, why);
        }
    }
}

// Why there is no more to look at.
enum Stop {
    Limited,
    Broken(u64, String),
}

impl From<CursorError> for Stop {
    fn from(error: CursorError) -> Self {
        let at = match error {
            CursorError::End { at } => at,
            CursorError::Io(_) => 0,
        };
        Self::Broken(at, error.to_string())
    }
}

impl From<Limited> for Stop {
    fn from(_: Limited) -> Self {
        Self::Limited
    }
}

fn broken<T>(at: u64, why: &str) -> Result<T, Stop> {
    Err(Stop::Broken(at, why.to_owned()))
}

struct Model<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    words: Words,
    features: u32,
}

impl<'i> Model<'_, 'i, '_, '_> {
    fn cursor(&self, at: u64) -> Cursor<'i> {
        Cursor::at(self.look.input.bytes, at)
    }

    // Looks at all parts, and returns where the last one ends.
    fn read(&mut self) -> Result<u64, Stop> {
        let mut cursor = self.cursor(4);
        let size = u64::from(cursor.u32()?);
        cursor.skip(4)?;
        let [_, _, labels, attributes] = numbers(&mut cursor)?;
        let places: [u32; 5] = numbers(&mut cursor)?;
        if size > self.look.input.bytes.len() || size < HEADER {
            return broken(4, "the model says that it has another size");
        }
        self.look.covered.parsed(0..HEADER);
        let [
            features,
            label_names,
            attribute_names,
            of_labels,
            of_attributes,
        ] = places.map(u64::from);
        let mut end = self.features(features, (labels, attributes))?;
        for names in [label_names, attribute_names] {
            end = end.max(self.dictionary(names)?);
        }
        for (place, mark, count) in [
            (of_labels, *b"LFRF", labels),
            (of_attributes, *b"AFRF", attributes),
        ] {
            end = end.max(self.references(place, mark, count)?);
        }
        if end > size {
            return broken(4, "a part of the model ends behind it");
        }
        Ok(size)
    }

    // Parts begin at multiples of four bytes.
    fn padding(&mut self, end: u64) {
        let mut cursor = self.cursor(end);
        let rest = (4_u64).saturating_sub(end % 4) % 4;
        let zeros = (0..rest).take_while(|_| cursor.u8().is_ok_and(|byte| byte == 0));
        let zeros = u64::try_from(zeros.count()).unwrap_or(0);
        self.look.covered.parsed(end..end.saturating_add(zeros));
    }

    // Weights: a kind, from what to what, and a number each.
    fn features(&mut self, at: u64, (labels, attributes): (u32, u32)) -> Result<u64, Stop> {
        let mut cursor = self.cursor(at);
        if cursor.array()? != *b"FEAT" {
            return broken(at, "there are no features where the model says");
        }
        cursor.skip(4)?;
        let count = cursor.u32()?;
        if u64::from(count).saturating_mul(20) > cursor.left() {
            return broken(at, "there are fewer features than the model says");
        }
        let start = cursor.position();
        for number in 0..count {
            if number.is_multiple_of(65_536) {
                self.look.work.tick(&self.look.input.path)?;
            }
            let place = cursor.position();
            let [kind, from, to] = numbers(&mut cursor)?;
            let most = if kind == 0 { attributes } else { labels };
            if kind > 1 || from >= most || to >= labels {
                return broken(place, "a feature is of what the model does not have");
            }
            cursor.skip(8)?;
        }
        self.features = count;
        let end = cursor.position();
        self.look.covered.parsed(at..start);
        self.look.covered.opaque(start..end);
        self.padding(end);
        Ok(end)
    }

    // A dictionary: 256 tables of places, and records of a number and a text.
    fn dictionary(&mut self, at: u64) -> Result<u64, Stop> {
        let mut cursor = self.cursor(at);
        if cursor.array()? != *b"CQDB" {
            return broken(at, "there is no dictionary where the model says");
        }
        let [size, _, order, count, backward] = numbers(&mut cursor)?;
        let size = u64::from(size);
        let left = self.look.input.bytes.len().saturating_sub(at);
        if order != ORDER || size > left {
            return broken(
                at,
                "a dictionary is longer than the file, or of no known order",
            );
        }
        let mut records = size;
        let mut tables = Vec::new();
        for _ in 0..TABLES {
            let place = cursor.position();
            let [table, slots] = numbers(&mut cursor)?.map(u64::from);
            if slots == 0 {
                continue;
            }
            let end = table.saturating_add(slots.saturating_mul(8));
            if end > size {
                return broken(place, "a table of a dictionary leads out of it");
            }
            records = records.min(table);
            tables.push(table..end);
        }
        let backward = u64::from(backward);
        if backward > 0 {
            let end = backward.saturating_add(u64::from(count).saturating_mul(4));
            if end > size {
                return broken(at, "a list of a dictionary leads out of it");
            }
            records = records.min(backward);
            tables.push(backward..end);
        }
        let start = cursor.position();
        self.look.covered.parsed(at..start);
        self.records(start, at.saturating_add(records))?;
        for range in tables {
            let (from, to) = (at.saturating_add(range.start), at.saturating_add(range.end));
            let step = if range.start == backward && backward > 0 {
                4
            } else {
                8
            };
            self.places((from, to), step, records)?;
        }
        let end = at.saturating_add(size);
        self.padding(end);
        Ok(end)
    }

    fn records(&mut self, start: u64, end: u64) -> Result<(), Stop> {
        let mut cursor = self.cursor(start);
        let mut read = 0_u64;
        while cursor.position() < end {
            read = read.saturating_add(1);
            if read.is_multiple_of(4096) {
                self.look.work.tick(&self.look.input.path)?;
            }
            let at = cursor.position();
            let [_, len] = numbers(&mut cursor)?;
            if len > MAX_KEY || u64::from(len) > end.saturating_sub(cursor.position()) {
                return broken(at, "a name is longer than its dictionary");
            }
            let name = cursor.take(usize::try_from(len).unwrap_or(usize::MAX))?;
            let Some((0, name)) = name.split_last() else {
                return broken(at, "a name does not end");
            };
            self.words.add(self.look, at, name);
            self.look.covered.parsed(at..cursor.position());
        }
        Ok(())
    }

    // The last number of each entry is the place of a record.
    fn places(&mut self, (from, to): (u64, u64), step: u64, most: u64) -> Result<(), Stop> {
        let mut cursor = self.cursor(from);
        while cursor.position() < to {
            let at = cursor.position();
            cursor.skip(step.saturating_sub(4))?;
            let place = u64::from(cursor.u32()?);
            if place != 0 && !(DICTIONARY..most).contains(&place) {
                return broken(at, "a dictionary has an entry that leads out of it");
            }
        }
        self.look.covered.parsed(from..to);
        Ok(())
    }

    // Which features each label or attribute has.
    fn references(&mut self, at: u64, mark: [u8; 4], most: u32) -> Result<u64, Stop> {
        let mut cursor = self.cursor(at);
        if cursor.array()? != mark {
            return broken(at, "there are no references where the model says");
        }
        let [size, count] = numbers(&mut cursor)?;
        let end = at.saturating_add(size.into());
        // Labels have two more: the beginning and the end of a sequence.
        if count > most.saturating_add(2) || u64::from(count).saturating_mul(4) > cursor.left() {
            return broken(at, "there are more references than the model says");
        }
        for number in 0..count {
            if number.is_multiple_of(4096) {
                self.look.work.tick(&self.look.input.path)?;
            }
            let place = u64::from(cursor.u32()?);
            if place != 0 {
                self.reference(place, at, end)?;
            }
        }
        self.look.covered.parsed(at..cursor.position());
        self.padding(cursor.position());
        Ok(end)
    }

    fn reference(&mut self, place: u64, start: u64, end: u64) -> Result<(), Stop> {
        let mut list = self.cursor(place);
        let count = u64::from(list.u32()?);
        let behind = place
            .saturating_add(4)
            .saturating_add(count.saturating_mul(4));
        if place < start || behind > end {
            return broken(place, "references lead out of their list");
        }
        for _ in 0..count {
            if list.u32()? >= self.features {
                return broken(place, "a reference is to a feature that there is not");
            }
        }
        self.look.covered.parsed(place..behind);
        Ok(())
    }
}

fn numbers<const N: usize>(cursor: &mut Cursor<'_>) -> Result<[u32; N], CursorError> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = cursor.u32()?;
    }
    Ok(numbers)
}
