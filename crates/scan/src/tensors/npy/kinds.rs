//! Types of elements, as `numpy.dtype` takes them: codes, names, lists of them, and shapes of them.
//!
//! numpy, `numpy/_core/_internal.py` (`_commastring`) and `numpy/_core/src/multiarray/descriptor.c`.
//! `numpy.save` writes codes alone; `numpy.load` takes whatever `numpy.dtype` does, and unpickles
//! wherever there is an object in it.

use super::literal::{self, Literal};

/// Most dimensions of an array in any release.
const MAX_DIMENSIONS: usize = 64;

/// What is known of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element {
    /// Its bytes.
    pub(super) size: u64,
    /// True if objects of Python are in it.
    pub(super) objects: bool,
}

const OBJECT: Element = Element {
    size: 0,
    objects: true,
};

const fn bytes(size: u64) -> Element {
    Element {
        size,
        objects: false,
    }
}

/// Returns the size of an element, from how NumPy describes its type; the literal bounds the depth.
pub(super) fn element(descr: &Literal) -> Option<Element> {
    match descr {
        Literal::Text(text) => fields(text),
        // A type and the shape of an array of it.
        Literal::Tuple(pair) => match pair.as_slice() {
            [kind, shape] => repeated(element(kind)?, shape),
            _ => None,
        },
        Literal::List(fields) => {
            let mut sum = Element {
                size: 0,
                objects: false,
            };
            for field in fields {
                let Literal::Tuple(parts) = field else {
                    return None;
                };
                let one = match parts.as_slice() {
                    [_, kind] => element(kind)?,
                    [_, kind, shape] => repeated(element(kind)?, shape)?,
                    _ => return None,
                };
                sum.size = sum.size.checked_add(one.size)?;
                sum.objects |= one.objects;
            }
            Some(sum)
        }
        _ => None,
    }
}

fn repeated(one: Element, shape: &Literal) -> Option<Element> {
    let shape = match shape {
        Literal::Tuple(shape) => dimensions(shape)?,
        Literal::Int(_) => dimensions(std::slice::from_ref(shape))?,
        _ => return None,
    };
    let count = shape
        .iter()
        .try_fold(1_u64, |product, one| product.checked_mul(*one))?;
    Some(Element {
        size: one.size.checked_mul(count)?,
        ..one
    })
}

/// Returns the sizes of dimensions.
pub(super) fn dimensions(shape: &[Literal]) -> Option<Vec<u64>> {
    if shape.len() > MAX_DIMENSIONS {
        return None;
    }
    let number = |one: &Literal| match one {
        Literal::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    shape.iter().map(number).collect()
}

// Types with commas between them, each with its shape in front.
fn fields(text: &str) -> Option<Element> {
    let text = text.trim();
    if let Some(one) = plain(text) {
        return Some(one);
    }
    let (mut sum, mut rest) = (bytes(0), text);
    while !rest.is_empty() {
        let (shape, after) = shape(rest);
        let (kind, next) = after.split_once(',').unwrap_or((after, ""));
        let one = plain(kind.trim())?;
        let one = match shape {
            Some(shape) => repeated(one, &literal::parse(shape).ok()?)?,
            None => one,
        };
        sum.size = sum.size.checked_add(one.size)?;
        sum.objects |= one.objects;
        rest = next.trim_start();
    }
    (!text.is_empty()).then_some(sum)
}

// The shape in front of a type: `(2,3)` or `2`, behind a mark of the byte order at times.
fn shape(text: &str) -> (Option<&str>, &str) {
    let text = text.trim_start_matches(['<', '>', '|', '=', ' ']);
    let end = if text.starts_with('(') {
        text.find(')').map_or(0, |end| end.saturating_add(1))
    } else {
        text.find(|one: char| !one.is_ascii_digit()).unwrap_or(0)
    };
    match text.split_at_checked(end) {
        Some((shape, rest)) if end > 0 => (Some(shape), rest),
        _ => (None, text),
    }
}

fn plain(text: &str) -> Option<Element> {
    let bare = text.trim_start_matches(['<', '>', '|', '=']);
    if let Some(named) = named(bare) {
        return Some(named);
    }
    let mut chars = bare.chars();
    let kind = chars.next()?;
    let digits = chars.as_str().split('[').next().unwrap_or_default();
    let count = if digits.is_empty() {
        None
    } else {
        Some(digits.parse::<u64>().ok()?)
    };
    let size = match (kind, count) {
        ('O', _) | ('T', None) => return Some(OBJECT),
        ('?' | 'b' | 'B', None) => 1,
        ('e' | 'h' | 'H', None) => 2,
        ('f' | 'i' | 'I', None) => 4,
        ('d' | 'q' | 'Q' | 'F', None) => 8,
        ('D', None) => 16,
        ('U', Some(count)) => count.checked_mul(4)?,
        ('b' | 'i' | 'u' | 'f' | 'c' | 'S' | 'a' | 'V' | 'M' | 'm', Some(count)) => count,
        _ => return None,
    };
    Some(bytes(size))
}

fn named(name: &str) -> Option<Element> {
    Some(match name {
        "object" | "object_" | "object0" => OBJECT,
        "bool" | "bool_" | "int8" | "uint8" => bytes(1),
        "int16" | "uint16" | "float16" | "half" => bytes(2),
        "int32" | "uint32" | "float32" | "single" => bytes(4),
        "int64" | "uint64" | "float64" | "float" | "double" | "complex64" => bytes(8),
        "complex128" | "complex" => bytes(16),
        _ => {
            let unit = |kind: &str| name.strip_prefix(kind)?.strip_prefix('[');
            unit("datetime64").or_else(|| unit("timedelta64"))?;
            bytes(8)
        }
    })
}
