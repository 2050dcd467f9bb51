//! Messages of known kinds, followed from the outermost to the innermost: every byte that a list
//! of kinds explains is understood, and every byte that it does not explain is told.
//!
//! The lists are data (`data/graphs/*.txt`): `message NAME`, and below it a line for each field with
//! its number, name and kind. The walk keeps a stack of its own, of bounded depth.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::rules::{self, Rule};
use crate::wire::proto::{Field, Fields, Malformed, Value, Wire};
use crate::wire::values;
use crate::work::{Limited, Look};

/// Deepest nesting of messages; readers stop at 100.
const MAX_DEPTH: usize = 150;
/// Most faults of one kind that are told one by one.
const TOLD: usize = 5;

/// Kinds of messages.
pub(crate) struct Schema {
    messages: Vec<Message>,
    numbers: BTreeMap<&'static str, usize>,
}

struct Message {
    name: &'static str,
    // In the order of their numbers.
    fields: Vec<(u32, &'static str, Kind)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Name,
    Text,
    Bytes,
    Message(usize),
}

impl Schema {
    /// Reads a list of kinds; a line that is none is left out, and a test reads all lists.
    pub(crate) fn read(list: &'static str) -> Self {
        let mut schema = Self {
            messages: Vec::new(),
            numbers: BTreeMap::new(),
        };
        let words = |line: &'static str| line.split_ascii_whitespace().collect::<Vec<_>>();
        for line in list.lines() {
            if let ["message", name] = words(line).as_slice() {
                schema.numbers.insert(name, schema.messages.len());
                let fields = Vec::new();
                schema.messages.push(Message { name, fields });
            }
        }
        let mut message = None;
        for line in list.lines() {
            match words(line).as_slice() {
                ["message", name] => message = schema.numbers.get(name).copied(),
                [number, name, kind] if !number.starts_with('#') => {
                    let kind = schema.kind(kind);
                    let number = number.parse().ok();
                    let message = message.and_then(|at| schema.messages.get_mut(at));
                    if let (Some(kind), Some(number), Some(message)) = (kind, number, message) {
                        message.fields.push((number, name, kind));
                    }
                }
                _ => {}
            }
        }
        for message in &mut schema.messages {
            message.fields.sort_unstable_by_key(|(number, ..)| *number);
        }
        schema
    }

    /// Returns true if a range may be a message of a kind: its first fields are such fields, and
    /// at least `least` of them. Fields that nobody knows are left out, as readers do.
    pub(crate) fn fits(
        &self,
        wire: &Wire<'_>,
        (name, range): (&str, &Range<u64>),
        least: u32,
    ) -> bool {
        const MOST: usize = 512;
        let Some(message) = self.numbers.get(name).and_then(|at| self.messages.get(*at)) else {
            return false;
        };
        let (mut known, mut unknown) = (0_u32, 0_u32);
        for field in wire.fields(range.clone()).take(MOST) {
            let Ok(field) = field else { return false };
            match message.find(&field) {
                Some((_, Kind::Name)) if !is_text(wire, &field, false) => return false,
                Some((_, Kind::Text)) if !is_text(wire, &field, true) => {
                    unknown = unknown.saturating_add(1);
                }
                // Where numbers come in a row, anything may.
                Some((_, Kind::Number)) if field.bytes().is_some() => {
                    unknown = unknown.saturating_add(1);
                }
                Some((_, Kind::Message(inner))) if !self.begins(wire, inner, &field) => {
                    unknown = unknown.saturating_add(1);
                }
                Some(_) => known = known.saturating_add(1),
                None => unknown = unknown.saturating_add(1),
            }
        }
        known >= least && known > unknown
    }

    // Returns true if the first field of a message is one of its kind, or if it is empty.
    fn begins(&self, wire: &Wire<'_>, message: usize, field: &Field) -> bool {
        let message = self.messages.get(message);
        let first = field.bytes().map(|range| wire.fields(range.clone()).next());
        match (message, first) {
            (Some(message), Some(Some(Ok(first)))) => message.find(&first).is_some(),
            (Some(_), Some(None)) => true,
            _ => false,
        }
    }

    /// Returns true if a message of a kind holds another, which holds another, and so on, by the
    /// numbers of fields, and all of them fit; the innermost has at least `least` fields.
    pub(crate) fn holds(
        &self,
        wire: &Wire<'_>,
        (name, range): (&str, &Range<u64>),
        (numbers, least): (&[u32], u32),
    ) -> bool {
        const TRIED: usize = 3;
        let Some((number, rest)) = numbers.split_first() else {
            return self.fits(wire, (name, range), least);
        };
        let message = self.numbers.get(name).and_then(|at| self.messages.get(*at));
        let inner = message.and_then(|message| message.inner(*number));
        let Some(inner) = inner.and_then(|at| self.messages.get(at)) else {
            return false;
        };
        let mut tried = wire.all(range, *number).take(TRIED);
        self.fits(wire, (name, range), 1)
            && tried.any(|field| {
                field
                    .bytes()
                    .is_some_and(|range| self.holds(wire, (inner.name, range), (rest, least)))
            })
    }

    /// Returns how many lines of the list were read.
    #[cfg(test)]
    pub(crate) fn lines(&self) -> usize {
        let fields: usize = self.messages.iter().map(|m| m.fields.len()).sum();
        fields.saturating_add(self.messages.len())
    }

    fn kind(&self, kind: &str) -> Option<Kind> {
        Some(match kind {
            "number" => Kind::Number,
            "name" => Kind::Name,
            "text" => Kind::Text,
            "bytes" => Kind::Bytes,
            message => Kind::Message(*self.numbers.get(message)?),
        })
    }
}

impl Message {
    // The kind of message that a field holds.
    fn inner(&self, number: u32) -> Option<usize> {
        let found = self.fields.binary_search_by_key(&number, |(n, ..)| *n);
        match self.fields.get(found.ok()?)?.2 {
            Kind::Message(at) => Some(at),
            _ => None,
        }
    }

    // The name and kind of a field, if it holds what such a field holds.
    fn find(&self, field: &Field) -> Option<(&'static str, Kind)> {
        let found = self
            .fields
            .binary_search_by_key(&field.number, |(n, ..)| *n);
        let (_, name, kind) = self.fields.get(found.ok()?)?;
        let fits = match field.value {
            Value::Varint(_) | Value::Fixed64(_) | Value::Fixed32(_) => *kind == Kind::Number,
            // Numbers may come in a row.
            Value::Bytes(_) => true,
            Value::Group(_) => false,
        };
        fits.then_some((*name, *kind))
    }
}

// Returns true if the first bytes of a field are text without control characters.
fn is_text(wire: &Wire<'_>, field: &Field, has_lines: bool) -> bool {
    let Some(range) = field.bytes() else {
        return false;
    };
    let first = range.start..range.end.min(range.start.saturating_add(64));
    let bytes = wire.bytes(&first, 64).unwrap_or_default();
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(valid).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let lines = |c: char| has_lines && matches!(c, '\n' | '\r' | '\t');
    !text.contains(|c: char| c.is_control() && !lines(c))
}

/// What a format makes of the messages that are walked.
pub(crate) trait Visitor {
    /// The rule about bytes that are no such message.
    fn rule(&self) -> &'static Rule;

    /// A message begins: its name, and where its fields are.
    fn message(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        wire: &Wire<'_>,
        seen: (&str, &Range<u64>),
    ) -> Result<(), Limited>;

    /// A field of a message that is no message itself. What is returned tells whether its bytes
    /// are looked at elsewhere.
    fn takes(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        (message, name): (&str, &str),
        field: &Field,
    ) -> Result<bool, Limited> {
        let _ = (look, message, name, field);
        Ok(false)
    }

    /// A range of a message could not be followed to its end.
    fn malformed(&mut self, look: &mut Look<'_, '_, '_>, range: &Range<u64>) {
        let _ = (look, range);
    }
}

/// Walks a message and all in it.
pub(crate) fn walk<V: Visitor>(
    look: &mut Look<'_, '_, '_>,
    wire: &Wire<'_>,
    (schema, name, range): (&Schema, &str, Range<u64>),
    visitor: &mut V,
) -> Result<(), Limited> {
    let Some(at) = schema.numbers.get(name) else {
        return Ok(());
    };
    let mut walk = Walk {
        look,
        wire,
        schema,
        visitor,
        stack: Vec::new(),
        unknown: 0,
        malformed: 0,
    };
    walk.enter(*at, range)?;
    walk.run()
}

struct Walk<'l, 'i, 'w, 's, 'x, 'a, V> {
    look: &'l mut Look<'i, 'w, 's>,
    wire: &'x Wire<'a>,
    schema: &'x Schema,
    visitor: &'x mut V,
    stack: Vec<(&'x Message, Fields<'x, 'a>)>,
    unknown: usize,
    malformed: usize,
}

impl<V: Visitor> Walk<'_, '_, '_, '_, '_, '_, V> {
    fn run(&mut self) -> Result<(), Limited> {
        let mut steps = 0_u64;
        while let Some((message, fields)) = self.stack.last_mut() {
            let message = *message;
            let Some(field) = fields.next() else {
                self.stack.pop();
                continue;
            };
            steps = steps.wrapping_add(1);
            if steps.is_multiple_of(4096) {
                self.look.work.tick(&self.look.input.path)?;
            }
            let end = fields.end();
            match field {
                Ok(field) => self.field(message, &field)?,
                Err(malformed) => self.malformed(message, malformed, end),
            }
        }
        Ok(())
    }

    fn enter(&mut self, at: usize, range: Range<u64>) -> Result<(), Limited> {
        let Some(message) = self.schema.messages.get(at) else {
            return Ok(());
        };
        if self.stack.len() >= MAX_DEPTH {
            self.look
                .gap("messages are nested deeper than readers follow");
            return Ok(());
        }
        let seen = (message.name, &range);
        self.visitor.message(self.look, self.wire, seen)?;
        self.stack.push((message, self.wire.fields(range)));
        Ok(())
    }

    fn field(&mut self, message: &Message, field: &Field) -> Result<(), Limited> {
        let Some((name, kind)) = message.find(field) else {
            self.unknown(message, field);
            return Ok(());
        };
        let Some(range) = field.bytes().cloned() else {
            self.look.covered.parsed(field.range.clone());
            let place = (message.name, name);
            return self.visitor.takes(self.look, place, field).map(drop);
        };
        self.look.covered.parsed(field.range.start..range.start);
        if let Kind::Message(at) = kind {
            return self.enter(at, range);
        }
        let place = (message.name, name);
        if self.visitor.takes(self.look, place, field)? {
            return Ok(());
        }
        match kind {
            Kind::Bytes => {
                if !values::bytes(self.look, self.wire.window(), name, &range)? {
                    self.look.covered.opaque(range);
                    return Ok(());
                }
            }
            Kind::Name => values::text(self.look, self.wire.window(), &range, true),
            Kind::Text => values::text(self.look, self.wire.window(), &range, false),
            Kind::Number | Kind::Message(_) => {}
        }
        self.look.covered.parsed(range);
        Ok(())
    }

    fn unknown(&mut self, message: &Message, field: &Field) {
        self.unknown = self.unknown.saturating_add(1);
        if self.unknown <= TOLD {
            let text = format!(
                "field {} of `{}` is none that is known; readers leave it out",
                field.number, message.name
            );
            let rule = &rules::graphs::UNKNOWN_FIELD;
            self.look.see(rule, field.range.start, text);
        }
    }

    fn malformed(&mut self, message: &Message, malformed: Malformed, end: u64) {
        self.malformed = self.malformed.saturating_add(1);
        if self.malformed <= TOLD {
            let text = format!("`{}` is broken: {malformed}", message.name);
            self.look.broken(self.visitor.rule(), malformed.at, text);
            self.visitor.malformed(self.look, &(malformed.at..end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_every_list_is_read() {
        for list in crate::graphs::SCHEMAS {
            let schema = Schema::read(list);
            let lines = list
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .count();
            assert_eq!(lines, schema.lines());
        }
    }
}
