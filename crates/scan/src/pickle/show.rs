//! Calls and values as a person would write them: shortened, and never longer than a line or two.

use std::fmt::Write as _;

use super::machine::{Call, Global, Machine};
use super::value::{Kind, Node, Value};

/// Longest text, in characters.
const MAX_SHOWN: usize = 300;
/// Deepest value that is written out.
const MAX_DEPTH: u32 = 4;
/// Most values that are written out.
const MAX_VALUES: u32 = 40;

/// Returns the name of a global.
pub(super) fn global(global: &Global) -> String {
    format!("{}.{}", global.module, global.name)
}

/// Returns a call: what is called, and with what.
pub(super) fn call(call: &Call, machine: &Machine<'_>) -> String {
    let mut text = value(call.callee, machine);
    let arguments = value(call.arguments, machine);
    if matches!(call.arguments, Value::Node(_)) && arguments.starts_with('(') {
        text.push_str(&arguments);
    } else {
        text = format!("{text}(*{arguments})");
    }
    shortened(text)
}

/// Returns a value.
pub(super) fn value(value: Value, machine: &Machine<'_>) -> String {
    let mut writer = Writer {
        machine,
        left: MAX_VALUES,
        out: String::new(),
    };
    writer.value(value, MAX_DEPTH);
    shortened(writer.out)
}

fn shortened(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(MAX_SHOWN) {
        text.truncate(at);
        text.push('…');
    }
    text
}

struct Writer<'m, 'a> {
    machine: &'m Machine<'a>,
    left: u32,
    out: String,
}

impl Writer<'_, '_> {
    fn value(&mut self, value: Value, depth: u32) {
        let (Some(left), Some(below)) = (self.left.checked_sub(1), depth.checked_sub(1)) else {
            self.out.push('…');
            return;
        };
        self.left = left;
        match value {
            Value::None => self.out.push_str("None"),
            Value::Bool(true) => self.out.push_str("True"),
            Value::Bool(false) => self.out.push_str("False"),
            Value::Int(number) => self.format(format_args!("{number}")),
            Value::Number => self.out.push_str("<number>"),
            Value::Text(_) => {
                let text = shortened(self.machine.text(value).unwrap_or_default());
                self.format(format_args!("{text:?}"));
            }
            Value::Bytes(span) => self.format(format_args!("<{} bytes>", span.len)),
            Value::Global(place) => {
                let name = self.name(place);
                self.out.push_str(&name);
            }
            Value::Made(place) => {
                let name = self.name(place);
                self.format(format_args!("<{name}>"));
            }
            Value::Faded(kind, _) => self.format(format_args!("<{}>", kind_name(kind))),
            Value::Unknown => self.out.push('?'),
            Value::Node(place) => match self.machine.node(place) {
                Some(node) => self.node(node, below),
                None => self.out.push('?'),
            },
        }
    }

    fn node(&mut self, node: &Node, below: u32) {
        match node {
            Node::Container { kind, items, .. } => {
                let (open, close) = match kind {
                    Kind::Tuple => ('(', ')'),
                    Kind::List => ('[', ']'),
                    _ => ('{', '}'),
                };
                self.out.push(open);
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        self.out.push_str(", ");
                    }
                    if self.left == 0 {
                        self.out.push('…');
                        break;
                    }
                    self.value(*item, below);
                }
                self.out.push(close);
            }
            Node::Call { callee, arguments } => {
                self.value(*callee, below);
                self.value(*arguments, below);
            }
            Node::Persistent(id) => {
                self.out.push_str("<persistent ");
                self.value(*id, below);
                self.out.push('>');
            }
            Node::Extension(code) => self.format(format_args!("<extension {code}>")),
        }
    }

    fn name(&self, place: u32) -> String {
        self.machine
            .global(place)
            .map_or_else(|| "?".to_owned(), global)
    }

    // Writing to a text does not fail.
    fn format(&mut self, arguments: std::fmt::Arguments<'_>) {
        let _ = self.out.write_fmt(arguments);
    }
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Tuple => "tuple",
        Kind::List => "list",
        Kind::Dict => "dict",
        Kind::Set => "set",
        Kind::FrozenSet => "frozenset",
        Kind::Buffer => "buffer",
        Kind::Made => "object",
    }
}
