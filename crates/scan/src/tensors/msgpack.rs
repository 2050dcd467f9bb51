//! `MessagePack`, as Flax and JAX write models: maps of names, and arrays as extension types.
//!
//! Format: <https://github.com/msgpack/msgpack/blob/master/spec.md>; google/flax,
//! `flax/serialization.py`: type 1 is an array, a tuple of its shape, the name of its type and its
//! bytes; 2 a complex number; 3 a scalar, like an array. The walk keeps the open containers and
//! nothing else.

mod walk;

use std::collections::BTreeSet;
use std::ops::Range;

use custos_core::finding::Location;

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError, Part, ReadAt};
use crate::text;
use crate::work::{Input, Look};

use walk::{Event, Fault, Walk};

/// Longest text that is looked at as a whole.
const MAX_TEXT: u64 = 16 << 20;
/// Most values of one file.
const MAX_VALUES: u64 = 50_000_000;
/// Most keys of one map that are compared.
const MAX_KEYS: usize = 1 << 20;
/// Most values that are tried before it is believed to be this format.
const TRIED: u64 = 4_096;

/// Returns true if it is a map whose first key is a name, and which can be followed for a while.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    let ([0x81..=0x8f, key @ ..] | [0xde, _, _, key @ ..] | [0xdf, _, _, _, _, key @ ..]) =
        head.bytes()
    else {
        return false;
    };
    let name = match key {
        [len @ 0xa1..=0xbf, name @ ..] => name.get(..usize::from(len & 0x1f)),
        [0xd9, len @ 1..=0xff, name @ ..] => name.get(..usize::from(*len)),
        _ => None,
    };
    let plain = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    name.is_some_and(|name| name.iter().all(plain)) && follows(input)
}

fn follows(input: &Input<'_>) -> bool {
    let mut walk = Walk::at(input.bytes, 0);
    let mut known = 0_u64;
    for _ in 0..TRIED {
        match walk.next() {
            Ok(Event::End) => return known > 0 || walk.position() == input.bytes.len(),
            Ok(Event::Extension(1..=3, range)) => {
                let sound = Array::read(input.bytes, &range).is_some();
                known = known.saturating_add(u64::from(sound));
            }
            Ok(Event::Key(None)) | Err(_) => return known > 0,
            Ok(_) => {}
        }
    }
    true
}

/// Looks at all values.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut walk = Walk::at(look.input.bytes, 0);
    let mut keys: Vec<BTreeSet<String>> = Vec::new();
    let mut values = 0_u64;
    loop {
        values = values.saturating_add(1);
        if values > MAX_VALUES {
            let path = look.input.path.clone();
            look.work.limit(&path, "values");
            return;
        }
        if values.is_multiple_of(1 << 12) && look.work.tick(&look.input.path).is_err() {
            return;
        }
        let at = walk.position();
        match walk.next() {
            Ok(Event::End) => break,
            Ok(event) => {
                let mut known = at..walk.position();
                if let Event::Bytes(range) | Event::Extension(_, range) = &event {
                    known.end = range.start;
                    look.covered.opaque(range.clone());
                }
                look.covered.parsed(known);
                seen(look, &mut keys, (at, event, walk.depth()));
            }
            Err(fault) => {
                let at = walk.position();
                look.covered.parsed(0..at);
                let message = match fault {
                    Fault::Cursor(CursorError::Io(error)) => {
                        look.gap(format!("it cannot be read: {error}"));
                        return;
                    }
                    Fault::Cursor(CursorError::End { .. }) => "the bytes end before a value does",
                    Fault::Type => "a value has a type that there is not",
                    Fault::Depth => "it is nested deeper than loaders follow",
                };
                look.broken(&rules::tensors::MSGPACK_BROKEN, at, message);
                return;
            }
        }
    }
    let rest = walk.position()..look.input.bytes.len();
    // A limit is noted where it fired.
    let _ = look.trailing_by(&rules::tensors::MSGPACK_BROKEN, rest);
}

fn seen(
    look: &mut Look<'_, '_, '_>,
    keys: &mut Vec<BTreeSet<String>>,
    (at, event, depth): (u64, Event, usize),
) {
    let place = Location {
        offset: Some(at),
        ..look.here()
    };
    match event {
        Event::Key(Some(range)) => {
            let Some(key) = text_of(look, &range) else {
                return;
            };
            keys.resize_with(depth.max(1), BTreeSet::new);
            let fresh = match keys.last_mut() {
                Some(keys) if keys.len() < MAX_KEYS => keys.insert(key.clone()),
                Some(_) => {
                    look.gap("a map has more keys than are compared");
                    true
                }
                None => true,
            };
            if !fresh {
                let message = format!("the key `{key}` is there twice");
                look.see(&rules::tensors::MSGPACK_DUPLICATE, at, message);
            }
            text::inspect(look, &place, &key);
        }
        Event::Text(range) => {
            let text = text_of(look, &range).unwrap_or_default();
            text::inspect(look, &place, &text);
        }
        Event::Bytes(range) => values(look, &range),
        Event::Extension(code @ (1 | 3), range) => {
            if let Some(array) = Array::read(look.input.bytes, &range) {
                array_values(look, at, &array);
                return;
            }
            let message = format!("a value of type {code} is no array of Flax");
            look.see(&rules::tensors::MSGPACK_EXTENSION, at, message);
            values(look, &range);
        }
        Event::Extension(code, range) if code != 2 && code != -1 => {
            let message = format!("a value has the extension type {code}");
            look.see(&rules::tensors::MSGPACK_EXTENSION, at, message);
            values(look, &range);
        }
        // A map begins, and with it a set of keys.
        Event::Open => keys.truncate(depth.saturating_sub(1)),
        // Extensions 2 and -1 are a complex number, and a point in time.
        Event::Extension(..) | Event::Key(None) | Event::Plain | Event::End => {}
    }
}

// Bytes without meaning, unless they are a file beyond doubt.
fn values(look: &mut Look<'_, '_, '_>, range: &Range<u64>) {
    let part = Part::new(look.input.bytes, range.clone());
    let name = format!("bytes@{}", range.start);
    // A limit is noted where it fired.
    let _ = look.work.opaque_member(look.input, &name, &part);
}

fn array_values(look: &mut Look<'_, '_, '_>, at: u64, array: &Array) {
    let held = array.bytes.end.saturating_sub(array.bytes.start);
    let message = if array.kind.contains("object") || array.kind.starts_with(['O', '|']) {
        Some(format!("an array has the type `{}`", array.kind))
    } else {
        let size = size_of(&array.kind);
        let needed = size.map(|size| array.count.and_then(|count| count.checked_mul(size)));
        match needed {
            None => Some(format!("an array has the unknown type `{}`", array.kind)),
            Some(needed) if needed != Some(held) => Some(format!(
                "an array has {held} bytes, which its shape and type `{}` do not",
                array.kind
            )),
            Some(_) => None,
        }
    };
    if let Some(message) = message {
        look.see(&rules::tensors::MSGPACK_ARRAY, at, message);
    }
    values(look, &array.bytes);
}

fn text_of(look: &mut Look<'_, '_, '_>, range: &Range<u64>) -> Option<String> {
    let len = range.end.saturating_sub(range.start);
    if len > MAX_TEXT {
        look.gap(format!("a text of {len} bytes is not looked at"));
        return None;
    }
    let bytes = Cursor::at(look.input.bytes, range.start).take(usize::try_from(len).ok()?);
    Some(String::from_utf8_lossy(&bytes.ok()?).into_owned())
}

// An array of Flax: how many elements, of which type, and where.
struct Array {
    count: Option<u64>,
    kind: String,
    bytes: Range<u64>,
}

impl Array {
    fn read(from: &dyn ReadAt, range: &Range<u64>) -> Option<Self> {
        let part = Part::new(from, range.clone());
        let mut walk = Walk::at(&part, 0);
        let mut count = Some(1_u64);
        let mut kind = None;
        let mut bytes = None;
        // The tuple, its shape, up to 64 dimensions, the type and the bytes.
        for step in 0..70 {
            let mut number = Cursor::at(&part, walk.position());
            match walk.next().ok()? {
                Event::Open if step < 2 => {}
                Event::Plain if kind.is_none() && step > 1 => {
                    let dimension = walk::unsigned(&mut number)?;
                    count = count.and_then(|count| count.checked_mul(dimension));
                }
                Event::Text(text) if kind.is_none() => {
                    let len = usize::try_from(text.end.saturating_sub(text.start)).ok()?;
                    let mut cursor = Cursor::at(&part, text.start);
                    let name = cursor.take(len.min(64)).ok()?;
                    kind = Some(String::from_utf8_lossy(&name).into_owned());
                }
                Event::Bytes(range) if bytes.is_none() => bytes = Some(range),
                Event::End => break,
                _ => return None,
            }
        }
        let bytes = bytes?;
        let place = |offset: u64| range.start.saturating_add(offset);
        Some(Self {
            count,
            kind: kind?,
            bytes: place(bytes.start)..place(bytes.end),
        })
    }
}

// Bytes of an element, by the name of its type in NumPy or JAX.
fn size_of(kind: &str) -> Option<u64> {
    let bits = match kind {
        "bool" | "bool_" | "int4" | "uint4" | "int2" | "uint2" | "float4_e2m1fn"
        | "float6_e2m3fn" | "float6_e3m2fn" => 8,
        "bfloat16" => 16,
        name if name.starts_with("float8_") => 8,
        name => {
            let digits = ["uint", "int", "float", "complex"]
                .into_iter()
                .find_map(|kind| name.strip_prefix(kind))?;
            digits.parse::<u64>().ok().filter(|bits| *bits <= 256)?
        }
    };
    Some(bits / 8)
}
