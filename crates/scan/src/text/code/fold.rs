//! What constant expressions come to: texts that are put together of pieces.
//!
//! Whoever hides a name writes it in parts, backwards, or as numbers. These are the operations that
//! Python and Jinja share for that; results are bounded, and what is not known stays unknown.

use std::fmt::Write as _;

/// Longest text, and most items of a list.
const MAX: usize = 64 << 10;
/// Deepest list.
const MAX_NESTED: u32 = 8;

/// A value as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Value {
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list, tuple or set.
    List(Vec<Self>),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
    /// Anything.
    #[default]
    Unknown,
}

impl Value {
    /// Returns the text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns true if all of it is known.
    pub(crate) fn is_known(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::List(items) => items.iter().all(|item| !matches!(item, Self::Unknown)),
            _ => true,
        }
    }

    // What it is inside of a text.
    fn written(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// Returns a list, unless it is too large or too deep to be worth it.
pub(crate) fn list(items: Vec<Value>) -> Value {
    let list = Value::List(items);
    match weight(&list, MAX_NESTED) {
        Some(weight) if weight <= MAX => list,
        _ => Value::Unknown,
    }
}

/// Returns `left sign right`.
pub(crate) fn binary(sign: &str, left: &Value, right: &Value) -> Value {
    let value = match (sign, left, right) {
        ("+" | "~", Value::Text(a), Value::Text(b)) => {
            bounded(a.len(), b.len(), || Value::Text(format!("{a}{b}")))
        }
        ("+", Value::Bytes(a), Value::Bytes(b)) => bounded(a.len(), b.len(), || {
            Value::Bytes([a.as_slice(), b].concat())
        }),
        ("+", Value::List(a), Value::List(b)) => {
            bounded(a.len(), b.len(), || list([a.as_slice(), b].concat()))
        }
        ("~", a, b) => a
            .written()
            .zip(b.written())
            .map(|(a, b)| Value::Text(a + &b)),
        ("%", Value::Text(format), arguments) => percent(format, arguments),
        ("*", Value::Text(text), Value::Number(times))
        | ("*", Value::Number(times), Value::Text(text)) => {
            let times = usize::try_from(*times).unwrap_or(0);
            (text.len().saturating_mul(times) <= MAX).then(|| Value::Text(text.repeat(times)))
        }
        (sign, Value::Number(a), Value::Number(b)) => number(sign, *a, *b).map(Value::Number),
        _ => None,
    };
    value.unwrap_or_default()
}

/// Returns `sign operand`.
pub(crate) fn unary(sign: &str, operand: &Value) -> Value {
    match (sign, operand) {
        ("-", Value::Number(number)) => number.checked_neg().map(Value::Number).unwrap_or_default(),
        ("~", Value::Number(number)) => Value::Number(!number),
        ("+", Value::Number(number)) => Value::Number(*number),
        _ => Value::Unknown,
    }
}

/// Returns `value[index]`.
pub(crate) fn item(value: &Value, index: &Value) -> Value {
    let Value::Number(index) = index else {
        return Value::Unknown;
    };
    let at = |len: usize| {
        let from_end = i64::try_from(len).ok()?.checked_add(*index);
        usize::try_from(if *index < 0 { from_end? } else { *index }).ok()
    };
    let found = match value {
        Value::Text(text) => {
            let count = text.chars().count();
            at(count)
                .and_then(|at| text.chars().nth(at))
                .map(|c| Value::Text(c.to_string()))
        }
        Value::Bytes(bytes) => at(bytes.len())
            .and_then(|at| bytes.get(at))
            .map(|byte| Value::Number((*byte).into())),
        Value::List(items) => at(items.len()).and_then(|at| items.get(at)).cloned(),
        _ => None,
    };
    found.unwrap_or_default()
}

/// Returns `value[start:stop:step]`; an absent part is `None`.
pub(crate) fn slice(value: &Value, parts: [Option<&Value>; 3]) -> Value {
    let mut numbers = [None; 3];
    for (number, part) in numbers.iter_mut().zip(parts) {
        match part {
            None => {}
            Some(Value::Number(given)) => *number = Some(*given),
            Some(_) => return Value::Unknown,
        }
    }
    match value {
        Value::Text(text) => {
            let chars: Vec<char> = text.chars().collect();
            Value::Text(sliced(&chars, numbers).into_iter().collect())
        }
        Value::Bytes(bytes) => Value::Bytes(sliced(bytes, numbers)),
        Value::List(items) => list(sliced(items, numbers)),
        _ => Value::Unknown,
    }
}

/// Returns the items of a list, or the characters of a text, as one text with `between` them.
pub(crate) fn joined(items: &Value, between: &str) -> Value {
    let mut text = String::new();
    let mut add = |part: &str, first: bool| {
        if !first {
            text.push_str(between);
        }
        text.push_str(part);
        text.len() <= MAX
    };
    let fits = match items {
        Value::List(items) => items
            .iter()
            .enumerate()
            .all(|(at, item)| item.written().is_some_and(|part| add(&part, at == 0))),
        Value::Text(chars) => chars
            .chars()
            .enumerate()
            .all(|(at, c)| add(c.encode_utf8(&mut [0; 4]), at == 0)),
        _ => false,
    };
    if fits {
        Value::Text(text)
    } else {
        Value::Unknown
    }
}

/// Returns what a method of a value, or a filter on it, makes.
pub(crate) fn method(value: &Value, name: &str, arguments: &[Value]) -> Value {
    let first = arguments.first();
    let text = |change: fn(&str) -> String| value.text().map(|text| Value::Text(change(text)));
    let made = match name {
        "__add__" => first.map(|other| binary("+", value, other)),
        "join" => value
            .text()
            .zip(first)
            .map(|(between, items)| joined(items, between)),
        "lower" | "casefold" => text(str::to_lowercase),
        "upper" => text(str::to_uppercase),
        "swapcase" => text(swapped),
        "title" | "capitalize" => text(capitalised),
        "strip" | "trim" | "lstrip" | "rstrip" => stripped(value, name, first),
        "replace" => replaced(value, arguments),
        "format" => value.text().and_then(|format| braces(format, arguments)),
        "split" => split(value, first),
        "reverse" | "reversed" | "__reversed__" => {
            Some(slice(value, [None, None, Some(&Value::Number(-1))]))
        }
        "__getitem__" => first.map(|index| item(value, index)),
        "decode" | "encode" => coded(value, name, first),
        "hex" => match value {
            Value::Bytes(bytes) => Some(Value::Text(hexadecimal(bytes))),
            _ => None,
        },
        "zfill" | "center" | "ljust" | "rjust" | "expandtabs" | "string" | "safe" | "list"
        | "e" | "escape" => Some(value.clone()),
        "removeprefix" => pair(value, first)
            .map(|(text, part)| Value::Text(text.strip_prefix(part).unwrap_or(text).to_owned())),
        "removesuffix" => pair(value, first)
            .map(|(text, part)| Value::Text(text.strip_suffix(part).unwrap_or(text).to_owned())),
        "first" => Some(item(value, &Value::Number(0))),
        "last" => Some(item(value, &Value::Number(-1))),
        _ => None,
    };
    made.unwrap_or_default()
}

/// Returns about how many bytes of memory a value takes beside itself.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.iter().fold(0_usize, |sum, item| {
            sum.saturating_add(size(item))
                .saturating_add(size_of::<Value>())
        }),
        Value::Number(_) | Value::Unknown => 0,
    }
}

// How much a value holds; `None` if it is deeper than it may be.
fn weight(value: &Value, depth: u32) -> Option<usize> {
    match value {
        Value::Text(text) => Some(text.len()),
        Value::Bytes(bytes) => Some(bytes.len()),
        Value::List(items) => {
            let below = depth.checked_sub(1)?;
            let mut sum = items.len();
            for item in items {
                sum = sum.saturating_add(weight(item, below)?);
                if sum > MAX {
                    return None;
                }
            }
            Some(sum)
        }
        _ => Some(1),
    }
}

fn bounded(a: usize, b: usize, make: impl FnOnce() -> Value) -> Option<Value> {
    (a.saturating_add(b) <= MAX).then(make)
}

fn number(sign: &str, a: i64, b: i64) -> Option<i64> {
    match sign {
        "+" => a.checked_add(b),
        "-" => a.checked_sub(b),
        "*" => a.checked_mul(b),
        "//" | "/" => a.checked_div(b),
        "%" => a.checked_rem_euclid(b),
        "**" => a.checked_pow(u32::try_from(b).ok()?),
        "^" => Some(a ^ b),
        "&" => Some(a & b),
        "|" => Some(a | b),
        "<<" => a.checked_shl(u32::try_from(b).ok()?),
        ">>" => a.checked_shr(u32::try_from(b).ok()?),
        _ => None,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        // Writing into a text does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn sliced<T: Clone>(items: &[T], [start, end, every]: [Option<i64>; 3]) -> Vec<T> {
    let len = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let stride = every.unwrap_or(1);
    let back = stride < 0;
    let bound = |given: Option<i64>, default: i64| {
        let given = given.map(|at| if at < 0 { at.saturating_add(len) } else { at });
        let (least, most) = if back {
            (-1, len.saturating_sub(1))
        } else {
            (0, len)
        };
        given.map_or(default, |at| at.clamp(least, most))
    };
    let mut at = bound(start, if back { len.saturating_sub(1) } else { 0 });
    let end = bound(end, if back { -1 } else { len });
    let mut out = Vec::new();
    while stride != 0 && (if back { at > end } else { at < end }) && out.len() < MAX {
        out.extend(
            usize::try_from(at)
                .ok()
                .and_then(|at| items.get(at))
                .cloned(),
        );
        at = at.saturating_add(stride);
    }
    out
}

fn swapped(text: &str) -> String {
    let swap = |c: char| {
        if c.is_lowercase() {
            c.to_ascii_uppercase()
        } else {
            c.to_ascii_lowercase()
        }
    };
    text.chars().map(swap).collect()
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first
        .into_iter()
        .chain(chars.map(|c| c.to_ascii_lowercase()))
        .collect()
}

fn pair<'v>(value: &'v Value, first: Option<&'v Value>) -> Option<(&'v str, &'v str)> {
    value.text().zip(first.and_then(Value::text))
}

fn stripped(value: &Value, name: &str, first: Option<&Value>) -> Option<Value> {
    let text = value.text()?;
    let set = match first {
        None => " \t\r\n\u{b}\u{c}",
        Some(given) => given.text()?,
    };
    let inside = |c: char| set.contains(c);
    let left = if name == "rstrip" {
        text
    } else {
        text.trim_start_matches(inside)
    };
    let both = if name == "lstrip" {
        left
    } else {
        left.trim_end_matches(inside)
    };
    Some(Value::Text(both.to_owned()))
}

fn replaced(value: &Value, arguments: &[Value]) -> Option<Value> {
    let [from, to, ..] = arguments else {
        return None;
    };
    let (text, from, to) = (value.text()?, from.text()?, to.text()?);
    let most = text.len().saturating_add(1).saturating_mul(to.len().max(1));
    (most <= MAX.saturating_mul(16)).then(|| Value::Text(text.replace(from, to)))
}

fn split(value: &Value, first: Option<&Value>) -> Option<Value> {
    let text = value.text()?;
    let part = |part: &str| Value::Text(part.to_owned());
    let items: Vec<Value> = match first {
        None => text.split_whitespace().map(part).collect(),
        Some(given) => text.split(given.text()?).map(part).collect(),
    };
    Some(Value::List(items))
}

fn coded(value: &Value, name: &str, first: Option<&Value>) -> Option<Value> {
    let codec = first
        .map_or(Some("utf-8"), Value::text)?
        .to_ascii_lowercase()
        .replace('_', "-");
    match (value, name, codec.as_str()) {
        (Value::Text(text), _, "rot13" | "rot-13") => Some(Value::Text(rot13(text))),
        (Value::Text(text), "encode", _) => Some(Value::Bytes(text.clone().into_bytes())),
        (Value::Bytes(bytes), "decode", "utf-8" | "utf8" | "ascii") => {
            String::from_utf8(bytes.clone()).ok().map(Value::Text)
        }
        (Value::Bytes(bytes), "decode", "latin1" | "latin-1" | "iso-8859-1") => Some(Value::Text(
            bytes.iter().map(|byte| char::from(*byte)).collect(),
        )),
        _ => None,
    }
}

/// Returns a text with each letter moved by half the alphabet.
fn rot13(text: &str) -> String {
    let turn = |c: char| {
        let byte = u8::try_from(c).ok()?;
        let first = if byte.is_ascii_lowercase() {
            b'a'
        } else {
            b'A'
        };
        let at = byte.checked_sub(first).filter(|at| *at < 26)?;
        let turned = at.saturating_add(13).checked_rem(26)?;
        Some(char::from(first.saturating_add(turned)))
    };
    text.chars().map(|c| turn(c).unwrap_or(c)).collect()
}

// `'%c%s' % (95, 'x')`
fn percent(format: &str, arguments: &Value) -> Option<Value> {
    let one = std::slice::from_ref(arguments);
    let mut given = match arguments {
        Value::List(items) => items.iter(),
        _ => one.iter(),
    };
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(rest.get(..at)?);
        rest = rest.get(at.saturating_add(1)..)?;
        let width = rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | ' '))?;
        let kind = rest.get(width..)?.chars().next()?;
        rest = rest.get(width.saturating_add(kind.len_utf8())..)?;
        match kind {
            '%' => out.push('%'),
            'c' => match given.next()? {
                Value::Number(code) => {
                    out.push(u32::try_from(*code).ok().and_then(char::from_u32)?);
                }
                other => out.push_str(other.text()?),
            },
            's' | 'd' | 'i' | 'r' => out.push_str(&given.next()?.written()?),
            _ => return None,
        }
        if out.len() > MAX {
            return None;
        }
    }
    out.push_str(rest);
    Some(Value::Text(out))
}

// `'{}{1:c}'.format('a', 95)`
fn braces(format: &str, arguments: &[Value]) -> Option<Value> {
    if format.contains('%') && !format.contains('{') {
        // Jinja's filter of this name.
        return percent(format, &Value::List(arguments.to_vec()));
    }
    let mut out = String::new();
    let mut rest = format;
    let mut next = 0_usize;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest.get(..at)?.replace("}}", "}"));
        rest = rest.get(at.saturating_add(1)..)?;
        if let Some(after) = rest.strip_prefix('{') {
            out.push('{');
            rest = after;
            continue;
        }
        let end = rest.find('}')?;
        let (index, kind) = {
            let field = rest.get(..end)?;
            field.split_once(':').unwrap_or((field, ""))
        };
        rest = rest.get(end.saturating_add(1)..)?;
        let index = if index.is_empty() {
            next
        } else {
            index.parse().ok()?
        };
        next = index.saturating_add(1);
        let value = arguments.get(index)?;
        match (kind, value) {
            ("c", Value::Number(code)) => {
                out.push(u32::try_from(*code).ok().and_then(char::from_u32)?);
            }
            _ => out.push_str(&value.written()?),
        }
        if out.len() > MAX {
            return None;
        }
    }
    out.push_str(&rest.replace("}}", "}"));
    Some(Value::Text(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn texts_in_pieces() {
        let parts = Value::List(vec![text("sys"), text("tem")]);
        let minus = Value::Number(-1);
        for (value, expected) in [
            (binary("+", &text("a"), &text("b")), "ab"),
            (binary("~", &text("a"), &Value::Number(5)), "a5"),
            (
                binary(
                    "%",
                    &text("%c%s"),
                    &Value::List(vec![Value::Number(95), text("x")]),
                ),
                "_x",
            ),
            (binary("*", &text("_"), &Value::Number(2)), "__"),
            (joined(&parts, ""), "system"),
            (method(&text(""), "join", &[parts]), "system"),
            (slice(&text("metsys"), [None, None, Some(&minus)]), "system"),
            (
                slice(&text("xsystem"), [Some(&Value::Number(1)), None, None]),
                "system",
            ),
            (
                method(
                    &text("{}{0}{1:c}"),
                    "format",
                    &[text("a"), Value::Number(95)],
                ),
                "aa_",
            ),
            (
                method(
                    &text("%c%c"),
                    "format",
                    &[Value::Number(95), Value::Number(95)],
                ),
                "__",
            ),
            (
                method(&text("XclassX"), "replace", &[text("X"), text("__")]),
                "__class__",
            ),
            (
                method(&text("flfgrz"), "decode", &[text("rot13")]),
                "system",
            ),
            (item(&text("abc"), &minus), "c"),
            (method(&Value::Bytes(b"os".to_vec()), "decode", &[]), "os"),
        ] {
            assert_eq!(value, text(expected));
        }
        let mut deep = Value::Number(1);
        for _ in 0..100_000 {
            deep = list(vec![deep.clone(), deep]);
        }
        assert_eq!(
            binary("*", &text("ab"), &Value::Number(1 << 40)),
            Value::Unknown
        );
        assert_eq!(binary("+", &text("ab"), &Value::Unknown), Value::Unknown);
    }
}
