//! Tables of known kinds, followed from the root to the last: what a list of kinds explains is
//! understood, with the zeros between, and every byte that nothing points at is told.
//!
//! The lists are data (`data/graphs/*.txt`): `table NAME`, and below it a line for each field with
//! its slot, name and kind; `union NAME`, and below it a line for each member.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::rules::{self, Rule};
use crate::wire::flat::{Broken, Buffer, Fault, Table, Vector};
use crate::wire::values;
use crate::work::{Limited, Look};

/// Most faults of one kind that are told one by one.
const TOLD: usize = 5;
/// Longest run of zeros between tables.
const MAX_PADDING: u64 = 64 << 10;

/// Kinds of tables.
pub(crate) struct Schema {
    tables: Vec<Kinds>,
    numbers: BTreeMap<&'static str, usize>,
    unions: BTreeMap<&'static str, Vec<(u64, usize)>>,
}

struct Kinds {
    name: &'static str,
    fields: BTreeMap<u16, (&'static str, Kind)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    // A number of so many bytes.
    Number(u16),
    Name,
    Text,
    // Elements of so many bytes.
    Numbers(u32),
    Texts,
    Table(usize),
    Tables(usize),
    // The kind is in the slot before.
    Union(&'static str),
}

impl Schema {
    /// Reads a list of kinds; a line that is none is left out, and a test reads all lists.
    pub(crate) fn read(list: &'static str) -> Self {
        let mut schema = Self {
            tables: Vec::new(),
            numbers: BTreeMap::new(),
            unions: BTreeMap::new(),
        };
        let words = |line: &'static str| line.split_ascii_whitespace().collect::<Vec<_>>();
        for line in list.lines() {
            if let ["table", name] = words(line).as_slice() {
                schema.numbers.insert(name, schema.tables.len());
                let fields = BTreeMap::new();
                schema.tables.push(Kinds { name, fields });
            }
        }
        let (mut table, mut union) = (None, None);
        for line in list.lines() {
            match words(line).as_slice() {
                ["table", name] => table = schema.numbers.get(name).copied(),
                ["union", name] => union = Some(*name),
                [number, member] if !number.starts_with('#') => {
                    let member = schema.numbers.get(member).copied();
                    if let (Ok(number), Some(member), Some(union)) = (number.parse(), member, union)
                    {
                        schema
                            .unions
                            .entry(union)
                            .or_default()
                            .push((number, member));
                    }
                }
                [slot, name, kind] if !slot.starts_with('#') => {
                    let kind = schema.kind(kind);
                    let table = table.and_then(|at| schema.tables.get_mut(at));
                    if let (Some(kind), Ok(slot), Some(table)) = (kind, slot.parse(), table) {
                        table.fields.insert(slot, (name, kind));
                    }
                }
                _ => {}
            }
        }
        schema
    }

    fn kind(&self, kind: &'static str) -> Option<Kind> {
        let inner = kind
            .strip_prefix('[')
            .and_then(|kind| kind.strip_suffix(']'));
        let union = kind
            .strip_prefix('<')
            .and_then(|kind| kind.strip_suffix('>'));
        Some(match (kind, inner, union) {
            ("name", ..) => Kind::Name,
            ("text", ..) => Kind::Text,
            (_, Some("text"), _) => Kind::Texts,
            (_, Some(inner), _) => match inner.parse() {
                Ok(size) => Kind::Numbers(size),
                Err(_) => Kind::Tables(*self.numbers.get(inner)?),
            },
            (_, _, Some(union)) => Kind::Union(union),
            _ => match kind.parse() {
                Ok(size) => Kind::Number(size),
                Err(_) => Kind::Table(*self.numbers.get(kind)?),
            },
        })
    }
}

/// What a format makes of the tables that are walked.
pub(crate) trait Visitor {
    /// The rule about bytes that are no such buffer.
    fn rule(&self) -> &'static Rule;

    /// A table of a kind.
    fn table(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        buffer: &Buffer<'_>,
        seen: (&str, &Table),
    ) -> Result<(), Broken>;
}

/// What a walk understood, in any order.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// Ranges, and whether each holds values without a meaning of their own.
    ranges: Vec<(Range<u64>, bool)>,
}

impl Walked {
    /// Adds a range that was parsed.
    pub(crate) fn parsed(&mut self, range: Range<u64>) {
        self.ranges.push((range, false));
    }

    /// Adds a range of values whose bounds were checked.
    pub(crate) fn opaque(&mut self, range: Range<u64>) {
        self.ranges.push((range, true));
    }

    /// Notes it all as understood, with the zeros between.
    pub(crate) fn cover(mut self, look: &mut Look<'_, '_, '_>, buffer: &Buffer<'_>) {
        // In order, since a range is added fastest behind the others.
        self.ranges.sort_unstable_by_key(|(range, _)| range.start);
        let end = buffer.len();
        self.parsed(end..end);
        let mut at = 0;
        for (range, is_opaque) in self.ranges {
            let hole = at..range.start;
            let len = range.start.saturating_sub(at);
            if len > 0 && len <= MAX_PADDING && buffer.is_zero(&hole) {
                look.covered.parsed(hole);
            }
            at = at.max(range.end);
            if is_opaque {
                look.covered.opaque(range);
            } else {
                look.covered.parsed(range);
            }
        }
    }
}

/// Walks the tables of a buffer from its root.
pub(crate) fn walk<V: Visitor>(
    look: &mut Look<'_, '_, '_>,
    buffer: &Buffer<'_>,
    (schema, name): (&Schema, &str),
    visitor: &mut V,
) -> Result<Walked, Limited> {
    let mut walk = Walk {
        look,
        buffer,
        schema,
        visitor,
        stack: Vec::new(),
        visited: BTreeSet::new(),
        walked: Walked::default(),
        values: 0,
        faults: 0,
        unknown: 0,
    };
    // The distance to the root, and the mark of the format.
    walk.walked.parsed(0..8);
    match (schema.numbers.get(name), buffer.root()) {
        (Some(kind), Ok(root)) => walk.push(*kind, root),
        (_, Err(broken)) => walk.fault(name, broken),
        (None, Ok(_)) => {}
    }
    walk.run()?;
    Ok(walk.walked)
}

struct Walk<'l, 'i, 'w, 's, 'x, 'a, V> {
    look: &'l mut Look<'i, 'w, 's>,
    buffer: &'x Buffer<'a>,
    schema: &'x Schema,
    visitor: &'x mut V,
    stack: Vec<(usize, Table)>,
    visited: BTreeSet<(u64, usize)>,
    walked: Walked,
    // Bytes of texts and values that were looked at.
    values: u64,
    faults: usize,
    unknown: usize,
}

impl<V: Visitor> Walk<'_, '_, '_, '_, '_, '_, V> {
    fn run(&mut self) -> Result<(), Limited> {
        let mut steps = 0_u64;
        while let Some((kind, table)) = self.stack.pop() {
            steps = steps.wrapping_add(1);
            if steps.is_multiple_of(4096) {
                self.look.work.tick(&self.look.input.path)?;
            }
            let Some(kinds) = self.schema.tables.get(kind) else {
                continue;
            };
            self.walked.parsed(table.range());
            self.walked.parsed(table.vtable_range());
            let seen = (kinds.name, &table);
            if let Err(broken) = self.visitor.table(self.look, self.buffer, seen) {
                self.fault(kinds.name, broken);
            }
            for slot in 0..table.slots() {
                let Some((name, kind)) = kinds.fields.get(&slot) else {
                    self.unknown(kinds, &table, slot);
                    continue;
                };
                match self.field(&table, slot, (name, *kind)) {
                    Ok(outcome) => outcome?,
                    Err(broken) => self.fault(kinds.name, broken),
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, kind: usize, table: Table) {
        if self.visited.insert((table.at, kind)) {
            self.stack.push((kind, table));
        }
    }

    fn field(
        &mut self,
        table: &Table,
        slot: u16,
        (name, kind): (&str, Kind),
    ) -> Result<Result<(), Limited>, Broken> {
        let size = match kind {
            Kind::Number(size) => size,
            _ => 4,
        };
        let Some(place) = self.buffer.field(table, slot, size)? else {
            return Ok(Ok(()));
        };
        match kind {
            Kind::Number(_) => {}
            Kind::Name => self.text(place, true)?,
            Kind::Text => self.text(place, false)?,
            Kind::Numbers(1) => {
                let vector = self.buffer.vector(place, 1)?;
                if self.is_fresh(&vector)? {
                    return Ok(self.bytes(name, &vector));
                }
            }
            Kind::Numbers(size) => {
                let vector = self.buffer.vector(place, size)?;
                self.walked.parsed(vector.at..vector.range().end);
            }
            Kind::Texts => {
                let vector = self.buffer.vector(place, 4)?;
                self.walked.parsed(vector.at..vector.range().end);
                for place in vector.places() {
                    self.text(place, true)?;
                }
            }
            Kind::Table(kind) => {
                let table = self.buffer.table(place)?;
                self.push(kind, table);
            }
            Kind::Tables(kind) => {
                let vector = self.buffer.vector(place, 4)?;
                self.walked.parsed(vector.at..vector.range().end);
                for place in vector.places() {
                    let table = self.buffer.table(place)?;
                    self.push(kind, table);
                }
            }
            Kind::Union(union) => self.union(table, slot, (union, place))?,
        }
        Ok(Ok(()))
    }

    fn union(
        &mut self,
        table: &Table,
        slot: u16,
        (union, place): (&str, u64),
    ) -> Result<(), Broken> {
        let kind = self.buffer.field(table, slot.saturating_sub(1), 1)?;
        let kind = kind.and_then(|kind| self.buffer.u8(kind)).unwrap_or(0);
        let members = self.schema.unions.get(union).map_or(&[][..], Vec::as_slice);
        let member = members
            .iter()
            .find(|(number, _)| *number == u64::from(kind));
        match member {
            Some((_, member)) => {
                let table = self.buffer.table(place)?;
                self.push(*member, table);
            }
            None if kind == 0 => {}
            None => {
                let text = format!("`{union}` has the unknown kind {kind}");
                self.look.see(&rules::graphs::UNKNOWN_FIELD, place, text);
            }
        }
        Ok(())
    }

    // A text ends with a zero that is not part of it.
    fn text(&mut self, place: u64, is_name: bool) -> Result<(), Broken> {
        let vector = self.buffer.vector(place, 1)?;
        let range = vector.range();
        if self.buffer.u8(range.end) != Some(0) {
            let fault = Fault::Open;
            return Err(Broken {
                at: vector.at,
                fault,
            });
        }
        self.walked.parsed(vector.at..range.end.saturating_add(1));
        if !self.is_fresh(&vector)? {
            return Ok(());
        }
        values::text(self.look, self.buffer.window(), &range, is_name);
        Ok(())
    }

    // Returns false if a value was looked at before. Many may lie over each other, so that a small
    // file has very many bytes of them.
    fn is_fresh(&mut self, vector: &Vector) -> Result<bool, Broken> {
        if !self.visited.insert((vector.at, usize::MAX)) {
            return Ok(false);
        }
        self.values = self.values.saturating_add(u64::from(vector.len));
        if self.values > self.buffer.len().saturating_mul(2) {
            return Err(Broken {
                at: vector.at,
                fault: Fault::Visits,
            });
        }
        Ok(true)
    }

    fn bytes(&mut self, name: &str, vector: &Vector) -> Result<(), Limited> {
        let range = vector.range();
        self.walked.parsed(vector.at..range.start);
        if values::bytes(self.look, self.buffer.window(), name, &range)? {
            self.walked.parsed(range);
        } else {
            self.walked.opaque(range);
        }
        Ok(())
    }

    fn unknown(&mut self, kinds: &Kinds, table: &Table, slot: u16) {
        let next = kinds.fields.get(&slot.saturating_add(1));
        let is_union = matches!(next, Some((_, Kind::Union(_))));
        if is_union || !matches!(self.buffer.field(table, slot, 1), Ok(Some(_))) {
            return;
        }
        self.unknown = self.unknown.saturating_add(1);
        if self.unknown <= TOLD {
            let text = format!(
                "field {slot} of `{}` is none that is known; readers leave it out",
                kinds.name
            );
            self.look.see(&rules::graphs::UNKNOWN_FIELD, table.at, text);
        }
    }

    fn fault(&mut self, name: &str, broken: Broken) {
        self.faults = self.faults.saturating_add(1);
        if self.faults <= TOLD {
            let text = format!("`{name}` is broken: {broken}");
            self.look.broken(self.visitor.rule(), broken.at, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_every_list_is_read() {
        for list in crate::graphs::TABLES {
            let schema = Schema::read(list);
            let fields: usize = schema.tables.iter().map(|table| table.fields.len()).sum();
            let members: usize = schema.unions.values().map(Vec::len).sum();
            let read = fields + members + schema.tables.len() + schema.unions.len();
            let lines = list
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .count();
            assert_eq!(lines, read);
        }
    }
}
