//! What opcodes put on the stack: texts, bytes and containers, and items into these.

use super::{Filling, Here, MAX_LINE, MAX_NAME, Machine, Observer, Step, Stop};
use crate::pickle::hidden;
use crate::pickle::signs::Signs;
use crate::pickle::value::{Coding, Kind, Node, Span, Value};

impl Machine<'_> {
    pub(super) fn line(&mut self) -> Step<Vec<u8>> {
        self.cursor.line(MAX_LINE)?.ok_or(Stop::Limit("line"))
    }

    pub(super) fn line_span(&mut self, coding: Coding) -> Step<Value> {
        let offset = self.cursor.position();
        let line = self.line()?;
        let (skipped, len) = match (coding, line.as_slice()) {
            (Coding::Quoted, [b'\'', .., b'\''] | [b'"', .., b'"']) => {
                (1, line.len().saturating_sub(2))
            }
            (Coding::Quoted, _) => return Err(Stop::Malformed("a literal without quotes")),
            _ => (0, line.len()),
        };
        Ok(Value::Text(Span {
            offset: offset.saturating_add(skipped),
            len: u32::try_from(len).unwrap_or(u32::MAX),
            coding,
        }))
    }

    pub(super) fn push_line(&mut self, coding: Coding, observer: &mut dyn Observer) -> Step<()> {
        let value = self.line_span(coding)?;
        if let Value::Text(span) = value
            && span.len >= hidden::HEAD
            && hidden::may_be(&self.head(span))
        {
            observer.payload(span);
        }
        self.push(value)
    }

    pub(super) fn span(&mut self, len: u64, coding: Coding) -> Step<Span> {
        let offset = self.cursor.position();
        self.cursor.skip(len)?;
        Ok(Span {
            offset,
            len: u32::try_from(len).unwrap_or(u32::MAX),
            coding,
        })
    }

    pub(super) fn push_text(
        &mut self,
        (len, coding): (u64, Coding),
        observer: &mut dyn Observer,
    ) -> Step<()> {
        let is_payload = self.is_hidden(len);
        let span = self.span(len, coding)?;
        if is_payload {
            observer.payload(span);
        }
        self.push(Value::Text(span))
    }

    // Looks at the bytes ahead, of which `len` belong together.
    pub(super) fn is_hidden(&mut self, len: u64) -> bool {
        len >= u64::from(hidden::HEAD) && hidden::may_be(self.cursor.peek(hidden::HEAD_LEN))
    }

    pub(super) fn push_bytes(&mut self, len: u64, observer: &mut dyn Observer) -> Step<()> {
        const SMALLEST: u64 = 8;
        let is_payload =
            len >= SMALLEST && Signs::is_file(self.cursor.peek(8)) || self.is_hidden(len);
        let span = self.span(len, Coding::Bytes)?;
        if is_payload {
            observer.payload(span);
        }
        self.push(Value::Bytes(span))
    }

    pub(super) fn two_lines(&mut self) -> Step<(String, String)> {
        let mut line = || -> Step<String> {
            let line = self.cursor.line(MAX_NAME)?.ok_or(Stop::Limit("name"))?;
            Ok(String::from_utf8_lossy(&line).into_owned())
        };
        Ok((line()?, line()?))
    }

    pub(super) fn container(&mut self, kind: Kind, mut items: Vec<Value>, signs: Signs) -> Value {
        let mut signs = signs;
        if items.len() > self.max_items {
            let rest = items.split_off(self.max_items);
            signs = signs.and(self.signs_of_rest(&rest));
        }
        items.shrink_to_fit();
        if self.nodes.is_full() {
            return Value::Faded(kind, signs.and(self.signs_of_rest(&items)));
        }
        let node = Node::Container { kind, items, signs };
        self.nodes.add(node).unwrap_or(Value::Faded(kind, signs))
    }

    pub(super) fn signs_of_rest(&self, items: &[Value]) -> Signs {
        items
            .iter()
            .filter(|item| !matches!(item, Value::Int(_) | Value::Number | Value::None))
            .fold(Signs::NONE, |signs, item| signs.and(self.signs(*item)))
    }

    pub(super) fn push_container(
        &mut self,
        kind: Kind,
        items: Vec<Value>,
        signs: Signs,
    ) -> Step<()> {
        let value = self.container(kind, items, signs);
        self.push(value)
    }

    pub(super) fn container_above_mark(&mut self, kind: Kind) -> Step<()> {
        let items = self.above_mark()?;
        self.push_container(kind, items, Signs::NONE)
    }

    pub(super) fn tuple(&mut self, count: usize) -> Step<()> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push_container(Kind::Tuple, items, Signs::NONE)
    }

    // Puts items into what lies on the stack below them.
    pub(super) fn fill(
        &mut self,
        at: u64,
        (items, by): (&[Value], Filling),
        observer: &mut dyn Observer,
    ) -> Step<()> {
        let target = self.peek()?;
        let plain = match (target, by) {
            (Value::Faded(kind, _), by) => fits(kind, by),
            (Value::Node(place), by) => match self.nodes.get(place) {
                Some(Node::Container { kind, .. }) => fits(*kind, by),
                _ => false,
            },
            _ => false,
        };
        if !plain {
            observer.fill(Here { at, machine: self }, target, by);
            return Ok(());
        }
        let Value::Node(place) = target else {
            return Ok(());
        };
        let held = match self.nodes.get(place) {
            Some(Node::Container { items, .. }) => items.len(),
            _ => self.max_items,
        };
        let (kept, rest) = items.split_at(items.len().min(self.max_items.saturating_sub(held)));
        let more = self.signs_of_rest(rest);
        if let Some(Node::Container { items, signs, .. }) = self.nodes.get_mut(place) {
            items.extend_from_slice(kept);
            *signs = signs.and(more);
        }
        Ok(())
    }
}

const fn fits(kind: Kind, by: Filling) -> bool {
    matches!(
        (kind, by),
        (Kind::List, Filling::Append) | (Kind::Dict, Filling::Set) | (Kind::Set, Filling::Add)
    )
}
