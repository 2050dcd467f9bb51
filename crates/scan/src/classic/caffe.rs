//! Caffe: weights (`.caffemodel`) as one message of Protocol Buffers, and nets (`.prototxt`) as the
//! same message in words.
//!
//! BVLC/caffe, `src/caffe/proto/caffe.proto`, `src/caffe/layer_factory.cpp`. A layer of the type
//! `Python` makes Caffe import a module and call a class of it with a text, all three of which the
//! net names. From a `.caffemodel` only the weights are taken, unless it is used as a net.

use std::ops::Range;
use std::sync::OnceLock;

use custos_core::finding::{Location, Severity};

use crate::pickle;
use crate::route::Head;
use crate::rules::{self, Rule};
use crate::source::read_all;
use crate::text;
use crate::wire::messages::{Schema, Visitor, walk};
use crate::wire::proto::{Field, Value, Wire};
use crate::wire::values;
use crate::work::{Input, Limited, Look};

/// The kinds of messages.
pub(crate) static SCHEMA: &str = include_str!("../../data/classic/caffe.txt");

/// Longest name that is read.
const MAX_NAME: usize = 4 << 10;
/// Largest net in words.
const MAX_NET: u64 = 16 << 20;
/// Deepest nesting of settings.
const MAX_DEPTH: u32 = 8;

fn schema() -> &'static Schema {
    static READ: OnceLock<Schema> = OnceLock::new();
    READ.get_or_init(|| Schema::read(SCHEMA))
}

/// Returns true if the fields are those of a net with layers.
pub(super) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    // A name, layers of old, inputs, or layers.
    if !matches!(
        head.bytes(),
        [0x0a | 0x12 | 0x1a | 0x20 | 0x28, ..] | [0xa2, 0x06, ..]
    ) {
        return false;
    }
    let wire = Wire::new(input.bytes);
    let whole = wire.whole();
    let first = |number: u32| {
        let field = wire.all(&whole, number).next()?;
        field.bytes().cloned()
    };
    let is_text = |layer: &Range<u64>, number: u32| {
        let text = wire.text_of(layer, number, MAX_NAME).unwrap_or_default();
        !text.is_empty() && text.chars().all(|c| !c.is_control() && c != '\u{fffd}')
    };
    let holds = |number: u32| schema().holds(&wire, ("NetParameter", &whole), (&[number], 2));
    let new = first(100).is_some_and(|layer| is_text(&layer, 1) && is_text(&layer, 2));
    let old = || {
        first(2).is_some_and(|layer| {
            let kind = wire.last(&layer, 5).and_then(|field| field.varint());
            is_text(&layer, 4) && kind.is_some_and(|kind| kind < 64)
        })
    };
    (new && holds(100)) || (old() && holds(2))
}

/// Looks at all layers and the bounds of their weights.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let wire = Wire::new(input.bytes);
    let root = (schema(), "NetParameter", wire.whole());
    // The outcome of a limit is noted where it fired.
    let _ = walk(look, &wire, root, &mut Net);
}

struct Net;

impl Visitor for Net {
    fn rule(&self) -> &'static Rule {
        &rules::classic::CAFFE_BROKEN
    }

    fn message(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        wire: &Wire<'_>,
        (name, range): (&str, &Range<u64>),
    ) -> Result<(), Limited> {
        if name == "PythonParameter" {
            let text = |number: u32| wire.text_of(range, number, MAX_NAME).unwrap_or_default();
            let place = Location {
                offset: Some(range.start),
                ..look.here()
            };
            python(look, place, [text(1), text(2), text(3)]);
        }
        Ok(())
    }

    fn takes(
        &mut self,
        look: &mut Look<'_, '_, '_>,
        (message, _): (&str, &str),
        field: &Field,
    ) -> Result<bool, Limited> {
        let input = look.input;
        let is_setting = match message {
            "LayerParameter" => field.number == 6 || field.number >= 8,
            "V1LayerParameter" => matches!(field.number, 1 | 9..),
            "NetParameter" => matches!(field.number, 6 | 8),
            "BlobProto" => field.number == 7,
            _ => false,
        };
        let Some(range) = field.bytes().filter(|_| is_setting) else {
            return Ok(false);
        };
        let wire = Wire::new(input.bytes);
        settings(look, &wire, range, MAX_DEPTH)?;
        Ok(true)
    }
}

// What is set, without its names: numbers, texts, and more of the same.
fn settings(
    look: &mut Look<'_, '_, '_>,
    wire: &Wire<'_>,
    range: &Range<u64>,
    depth: u32,
) -> Result<(), Limited> {
    let is_message = || wire.fields(range.clone()).all(|field| field.is_ok());
    let text = wire.bytes(range, MAX_NAME);
    let is_text = text.is_some_and(|bytes| {
        !bytes.is_empty()
            && bytes
                .iter()
                .all(|byte| *byte >= b' ' || byte.is_ascii_whitespace())
    });
    if is_text {
        values::text(look, wire.window(), range, false);
    } else if depth > 0 && is_message() {
        for field in wire.fields(range.clone()).map_while(Result::ok) {
            if let Value::Bytes(inner) | Value::Group(inner) = &field.value {
                settings(look, wire, inner, depth.saturating_sub(1))?;
            }
        }
    } else if !values::bytes(look, wire.window(), "settings", range)? {
        look.covered.opaque(range.clone());
        return Ok(());
    }
    look.covered.parsed(range.clone());
    Ok(())
}

// A layer that is a class of a module of Python.
fn python(look: &mut Look<'_, '_, '_>, place: Location, [module, class, with]: [String; 3]) {
    let message = format!("a layer is the class `{class}` of the module `{module}` of Python");
    let mut finding = rules::classic::CAFFE_PYTHON.finding(place, message);
    // No module that comes with Python has layers: whoever names one is after something else.
    let top = module.split('.').next().unwrap_or_default();
    if pickle::danger(&module, &class).is_some() || pickle::danger(top, &class).is_some() {
        finding.severity = Severity::High;
    }
    finding.evidence = Some(format!("{module}.{class}({with:?})"));
    look.work.find(finding);
}

/// Returns true if it begins as a net in words does, and has layers with types.
pub(super) fn is_net(head: &Head, _: &Input<'_>) -> bool {
    let text = String::from_utf8_lossy(head.bytes());
    let has_layer = text.lines().any(|line| {
        let line = line.trim_start();
        let rest = line
            .strip_prefix("layers")
            .or_else(|| line.strip_prefix("layer"));
        rest.is_some_and(|rest| rest.trim_start().starts_with('{'))
    });
    if !has_layer || !text.contains("type") || head.bytes().contains(&0) {
        return false;
    }
    let mut words = Words::new(&text);
    let mut net = Layers::default();
    // The beginning may end within a word.
    while let Some(word) = words.next() {
        if words.rest.is_empty() {
            break;
        }
        if net.take(word).is_err() {
            return false;
        }
    }
    net.count > 0
}

/// Looks at a net in words.
pub(super) fn examine_net(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    if size > MAX_NET {
        return look.gap(format!("a net of {size} bytes is not read"));
    }
    let Ok(bytes) = read_all(look.input.bytes) else {
        return look.gap("it cannot be read");
    };
    let text = String::from_utf8_lossy(&bytes);
    let place = Location {
        line: Some(1),
        ..look.here()
    };
    text::inspect(look, &place, &text);
    let mut words = Words::new(&text);
    let mut net = Layers::default();
    while let Some(word) = words.next() {
        match net.take(word) {
            Ok(Some(named)) => {
                let at = text.len().saturating_sub(words.rest.len());
                let before = text.get(..at).unwrap_or_default();
                let lines = before.bytes().filter(|byte| *byte == b'\n').count();
                let line = u32::try_from(lines).unwrap_or(u32::MAX).saturating_add(1);
                let place = Location {
                    line: Some(line),
                    ..look.here()
                };
                python(look, place, named);
            }
            Ok(None) => {}
            Err(Malformed) => {
                let at = text.len().saturating_sub(words.rest.len());
                let at = u64::try_from(at).unwrap_or(u64::MAX);
                let message = "the net is not what the format asks for";
                return look.broken(&rules::classic::CAFFE_BROKEN, at, message);
            }
        }
    }
    if !net.open.is_empty() {
        let message = "the net ends inside of a layer";
        return look.broken(&rules::classic::CAFFE_BROKEN, size, message);
    }
    look.covered.parsed(0..size);
}

struct Malformed;

/// Words of the text format of Protocol Buffers.
struct Words<'t> {
    rest: &'t str,
}

#[derive(Clone, Copy)]
enum Word<'t> {
    Plain(&'t str),
    Quoted(&'t str),
    Sign(char),
}

impl<'t> Words<'t> {
    const fn new(text: &'t str) -> Self {
        Self { rest: text }
    }

    fn split(&mut self, at: usize) -> &'t str {
        let (word, rest) = self.rest.split_at_checked(at).unwrap_or((self.rest, ""));
        self.rest = rest;
        word
    }
}

impl<'t> Iterator for Words<'t> {
    type Item = Word<'t>;

    fn next(&mut self) -> Option<Word<'t>> {
        loop {
            self.rest = self
                .rest
                .trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
            if !self.rest.starts_with('#') {
                break;
            }
            self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
        let first = self.rest.chars().next()?;
        if matches!(first, '"' | '\'') {
            let mut escaped = false;
            let end = self.rest.char_indices().skip(1).find(|(_, c)| {
                let ends = *c == first && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            let end = end.map_or(self.rest.len(), |(at, _)| at.saturating_add(1));
            let word = self.split(end);
            return Some(Word::Quoted(word.trim_matches(first)));
        }
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '+' | '/');
        if !is_plain(first) {
            self.split(first.len_utf8());
            return Some(Word::Sign(first));
        }
        let end = self.rest.find(|c| !is_plain(c)).unwrap_or(self.rest.len());
        Some(Word::Plain(self.split(end)))
    }
}

/// What is read of a net.
#[derive(Default)]
struct Layers {
    // The names of what is open.
    open: Vec<String>,
    key: Option<String>,
    // What follows a colon.
    value: bool,
    count: u64,
    named: [String; 3],
}

impl Layers {
    // Takes a word; returns a module, a class and a text when a layer of Python ends.
    fn take(&mut self, word: Word<'_>) -> Result<Option<[String; 3]>, Malformed> {
        match word {
            Word::Plain(text) if self.value => self.set(text),
            Word::Quoted(text) => self.set(text),
            Word::Plain(text) => self.key = Some(text.to_owned()),
            Word::Sign(':') if self.key.is_some() => self.value = true,
            Word::Sign('{' | '<') => {
                let key = self.key.take().ok_or(Malformed)?;
                self.count = self.count.saturating_add(u64::from(
                    self.open.is_empty() && matches!(key.as_str(), "layer" | "layers"),
                ));
                self.value = false;
                self.open.push(key);
            }
            Word::Sign('}' | '>') => {
                self.value = false;
                let ended = self.open.pop().ok_or(Malformed)?;
                if ended == "python_param" {
                    return Ok(Some(std::mem::take(&mut self.named)));
                }
            }
            Word::Sign(',' | ';') => {}
            Word::Sign('[' | ']') if self.key.is_some() => {}
            Word::Sign(_) => return Err(Malformed),
        }
        Ok(None)
    }

    fn set(&mut self, text: &str) {
        // Texts that follow each other are one; a list has more than one value.
        self.value = false;
        if self.open.last().is_some_and(|open| open == "python_param") {
            let slot = match self.key.as_deref() {
                Some("module") => 0,
                Some("layer") => 1,
                Some("param_str") => 2,
                _ => return,
            };
            if let Some(named) = self.named.get_mut(slot) {
                named.push_str(text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_list_is_read() {
        let is_line = |line: &&str| !line.is_empty() && !line.starts_with('#');
        let lines = SCHEMA.lines().filter(is_line).count();
        assert_eq!(Schema::read(SCHEMA).lines(), lines);
    }
}
