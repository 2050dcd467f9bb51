//! What expressions of a template come to, as far as that is written down.
//!
//! Where a value may be one or the other - a condition, a default, the calls of a macro - the one
//! is taken that is more likely to hide a name.

use crate::text::code::{self, Argument, Expr, Id, Node, Value};

use super::judge::is_inner;
use super::reader::Reader;

/// Widest text that is filled up.
const MAX_FILLED: i64 = 4_096;
/// Most arguments that fill fields by their names.
const MAX_FIELDS: usize = 16;

impl Reader<'_> {
    pub(super) fn value(&self, node: &Node<'_>, nodes: &[Node<'_>], values: &[Value]) -> Value {
        let known = |id: &Id| values.get(*id).cloned().unwrap_or_default();
        match &node.expr {
            _ if self.room == 0 => Value::Unknown,
            Expr::Text(text, _) => Value::Text(text.clone()),
            Expr::Number(number) => Value::Number(*number),
            Expr::Name(name) => self.names.get(*name).cloned().unwrap_or_default(),
            Expr::List(items) => code::list(items.iter().map(known).collect()),
            Expr::Dict(pairs) => code::list(pairs.iter().map(|(key, _)| known(key)).collect()),
            Expr::Binary("or" | "and", left, right) => likelier(known(left), known(right)),
            Expr::Choice(_, one, other) => {
                likelier(known(one), other.as_ref().map(known).unwrap_or_default())
            }
            Expr::Binary(sign, left, right) => code::binary(sign, &known(left), &known(right)),
            Expr::Unary(sign, operand) => code::unary(sign, &known(operand)),
            Expr::Item(of, index) => match nodes.get(*index).map(|node| &node.expr) {
                Some(Expr::Slice(parts)) => {
                    let parts = parts.map(|part| part.and_then(|id| values.get(id)));
                    code::slice(&known(of), parts)
                }
                _ => match known(index) {
                    Value::Text(key) => self.member(*of, &key, (nodes, values)),
                    index => code::item(&known(of), &index),
                },
            },
            Expr::Attribute(of, name) => self.member(*of, name, (nodes, values)),
            Expr::Filter(of, name, arguments) => {
                if *name == "string"
                    && let Some(shown) = shown(nodes, *of)
                {
                    return Value::Text(shown.to_owned());
                }
                filtered(&known(of), (name, arguments), values)
            }
            Expr::Call(callee, arguments) => self.called((*callee, arguments), (nodes, values)),
            _ => Value::Unknown,
        }
    }

    // What a dictionary or a name space keeps under a key.
    fn member(&self, of: Id, key: &str, (nodes, values): (&[Node<'_>], &[Value])) -> Value {
        match nodes.get(of).map(|node| &node.expr) {
            Some(Expr::Name(of)) => {
                let found = self.names.get(&format!("{of}.{key}"));
                found.cloned().unwrap_or_default()
            }
            Some(Expr::Dict(_) | Expr::Call(..)) => {
                let entries = entries(nodes, values, of).into_iter();
                let mut found = entries.filter(|(name, _)| name == key);
                found.next().map(|(_, value)| value).unwrap_or_default()
            }
            _ => Value::Unknown,
        }
    }

    fn called(
        &self,
        (callee, arguments): (Id, &[Argument<'_>]),
        (nodes, values): (&[Node<'_>], &[Value]),
    ) -> Value {
        let given = given(arguments, values);
        match nodes.get(callee).map(|node| &node.expr) {
            Some(Expr::Attribute(of, name)) => {
                let known = values.get(*of).cloned().unwrap_or_default();
                match *name {
                    "get" | "pop" | "setdefault" if given.first().is_some_and(is_text) => {
                        let key = given.first().and_then(Value::text).unwrap_or_default();
                        let found = self.member(*of, key, (nodes, values));
                        likelier(found, given.get(1).cloned().unwrap_or_default())
                    }
                    "values" | "items" => match nodes.get(*of).map(|node| &node.expr) {
                        Some(Expr::Name(of)) => {
                            let found = self.names.get(&format!("{of}.{name}()"));
                            found.cloned().unwrap_or_default()
                        }
                        _ => whole(name, entries(nodes, values, *of)),
                    },
                    "keys" | "copy" => known,
                    "cycle" => best(given),
                    "format" => named_fields(&known, arguments, values),
                    name => code::method(&known, name, &given),
                }
            }
            // `dict(a=1, b=2)` is a list of names to whoever joins it.
            Some(Expr::Name("dict")) => {
                let names = arguments.iter().filter_map(|argument| argument.name);
                Value::List(names.map(|name| Value::Text(name.to_owned())).collect())
            }
            Some(Expr::Name(name)) => {
                let found = self.names.get(&format!("{name}()"));
                found.cloned().unwrap_or_default()
            }
            _ => Value::Unknown,
        }
    }
}

/// Returns what a dictionary, or a call with named arguments, has under which names.
pub(super) fn entries(nodes: &[Node<'_>], values: &[Value], id: Id) -> Vec<(String, Value)> {
    match nodes.get(id).map(|node| &node.expr) {
        Some(Expr::Call(_, arguments)) => {
            let named = arguments.iter().filter_map(|argument| {
                let value = values.get(argument.value)?.clone();
                Some((argument.name?.to_owned(), value))
            });
            named.collect()
        }
        Some(Expr::Dict(pairs)) => {
            let known = pairs.iter().filter_map(|(key, value)| {
                let key = values.get(*key)?.text()?.to_owned();
                Some((key, values.get(*value)?.clone()))
            });
            known.collect()
        }
        _ => Vec::new(),
    }
}

/// Returns all values of a dictionary, or all of its keys with their values.
pub(super) fn whole(name: &str, entries: Vec<(String, Value)>) -> Value {
    let items = entries.into_iter().map(|(key, value)| {
        if name == "values" {
            value
        } else {
            code::list(vec![Value::Text(key), value])
        }
    });
    code::list(items.collect())
}

/// Returns the one of two values that is more likely to hide a name.
pub(super) fn likelier(one: Value, other: Value) -> Value {
    if rank(&other) > rank(&one) {
        other
    } else {
        one
    }
}

/// Returns the value of several that is most likely to hide a name.
pub(super) fn best(values: Vec<Value>) -> Value {
    values.into_iter().reduce(likelier).unwrap_or_default()
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Unknown => 0,
        Value::Text(text) if is_inner(text) => 3,
        Value::Text(text) if text.contains('_') => 2,
        Value::List(items) => items.iter().map(rank).max().unwrap_or(1).max(1),
        _ => 1,
    }
}

const fn is_text(value: &Value) -> bool {
    matches!(value, Value::Text(_))
}

fn given(arguments: &[Argument<'_>], values: &[Value]) -> Vec<Value> {
    let known = |argument: &Argument<'_>| values.get(argument.value).cloned();
    arguments
        .iter()
        .map(|argument| known(argument).unwrap_or_default())
        .collect()
}

// What objects of Jinja are as texts, from which letters are taken.
fn shown(nodes: &[Node<'_>], id: Id) -> Option<&'static str> {
    match &nodes.get(id)?.expr {
        Expr::Filter(_, "select" | "reject" | "selectattr" | "rejectattr", _) => {
            Some("<generator object select_or_reject at 0x")
        }
        Expr::Filter(_, "map", _) => Some("<generator object sync_do_map at 0x"),
        Expr::Name("lipsum") => Some("<function generate_lorem_ipsum at 0x"),
        Expr::Name("cycler") => Some("<class 'jinja2.utils.Cycler'>"),
        Expr::Name("joiner") => Some("<class 'jinja2.utils.Joiner'>"),
        Expr::Name("namespace") => Some("<class 'jinja2.utils.Namespace'>"),
        Expr::Name("dict") => Some("<class 'dict'>"),
        _ => None,
    }
}

fn filtered(of: &Value, (name, arguments): (&str, &[Argument<'_>]), values: &[Value]) -> Value {
    let given = given(arguments, values);
    let first = given.first();
    match (name, of) {
        ("join", _) => {
            let between = first.and_then(Value::text).unwrap_or_default();
            code::joined(of, between)
        }
        ("default" | "d", _) => likelier(of.clone(), first.cloned().unwrap_or_default()),
        ("random" | "min" | "max", Value::List(items)) => best(items.clone()),
        ("unique" | "sort" | "select" | "reject", _) => of.clone(),
        ("dictsort" | "items", Value::List(items)) => {
            let pair = |key: &Value| code::list(vec![key.clone(), Value::Unknown]);
            code::list(items.iter().map(pair).collect())
        }
        ("map", Value::List(items)) => match given.split_first() {
            Some((Value::Text(name), rest)) => {
                let each = items.iter().map(|item| code::method(item, name, rest));
                code::list(each.collect())
            }
            _ => Value::Unknown,
        },
        ("string", Value::Number(number)) => Value::Text(number.to_string()),
        ("int", Value::Text(text)) => text.trim().parse().map(Value::Number).unwrap_or_default(),
        ("length" | "count", Value::Text(text)) => counted(text.chars().count()),
        ("length" | "count", Value::List(items)) => counted(items.len()),
        ("center", Value::Text(text)) => filled(text, first),
        ("truncate", Value::Text(text)) => truncated(text, &given),
        ("tojson", Value::Text(text)) => Value::Text(format!("\"{text}\"")),
        ("pprint", Value::Text(text)) => Value::Text(format!("'{text}'")),
        ("urlencode" | "forceescape" | "striptags" | "indent" | "wordwrap" | "urlize", _) => {
            of.clone()
        }
        ("format", _) => named_fields(of, arguments, values),
        _ => code::method(of, name, &given),
    }
}

fn counted(count: usize) -> Value {
    i64::try_from(count).map(Value::Number).unwrap_or_default()
}

// White space before and behind.
fn filled(text: &str, width: Option<&Value>) -> Value {
    let width = match width {
        Some(Value::Number(width)) if *width <= MAX_FILLED => usize::try_from(*width).unwrap_or(0),
        _ => 80,
    };
    Value::Text(format!("{text:^width$}"))
}

fn truncated(text: &str, given: &[Value]) -> Value {
    let length = match given.first() {
        Some(Value::Number(length)) => usize::try_from(*length).unwrap_or(0),
        _ => 255,
    };
    if text.chars().count() <= length {
        return Value::Text(text.to_owned());
    }
    let end = given.get(2).and_then(Value::text).unwrap_or("...");
    let kept = length.saturating_sub(end.chars().count());
    Value::Text(text.chars().take(kept).chain(end.chars()).collect())
}

// Fields that have names are those of arguments that have them.
fn named_fields(of: &Value, arguments: &[Argument<'_>], values: &[Value]) -> Value {
    let mut made = of.clone();
    for argument in arguments.iter().take(MAX_FIELDS) {
        if let (Some(name), Some(Value::Text(value)), Some(text)) =
            (argument.name, values.get(argument.value), made.text())
            && text.contains(name)
        {
            let replaced = [format!("{{{name}}}"), format!("%({name})s")].iter().fold(
                made.clone(),
                |made, field| {
                    let pair = [Value::Text(field.clone()), Value::Text(value.clone())];
                    code::method(&made, "replace", &pair)
                },
            );
            made = replaced;
        }
    }
    code::method(&made, "format", &given(arguments, values))
}
