//! Tensors of a model: whether their values are as many as their dimensions say.

use std::ops::Range;

use super::{external, perhaps};
use crate::rules;
use crate::wire::proto::{Value, Wire};
use crate::work::Look;

/// Most dimensions that are read.
const MAX_DIMS: usize = 64;
/// Longest name that is told.
const MAX_NAME: usize = 256;
/// The value of `data_location` for values in another file.
const EXTERNAL: u64 = 1;
/// `data_type` of texts, which have no size of their own.
const STRING: u64 = 8;

/// Looks at a tensor: its size, and where its values are.
pub(super) fn check(
    look: &mut Look<'_, '_, '_>,
    wire: &Wire<'_>,
    range: &Range<u64>,
    files: &mut external::Files,
) {
    let mut tensor = Tensor::default();
    for field in wire.fields(range.clone()).map_while(Result::ok) {
        match (field.number, field.value) {
            (2, Value::Varint(number)) => tensor.kind = number,
            (8, Value::Bytes(name)) => tensor.name = wire.text(&name, MAX_NAME).unwrap_or_default(),
            (9, Value::Bytes(raw)) => tensor.raw = Some(raw),
            (13, Value::Bytes(entry)) => tensor.external.push(entry),
            (14, Value::Varint(number)) => tensor.location = number,
            _ => {}
        }
    }
    let dims = wire.numbers(range, 1, MAX_DIMS.saturating_add(1));
    let needed = bytes(&dims, tensor.kind);
    let name = &tensor.name;
    if needed == Size::Overflow {
        let message = format!("the dimensions {dims:?} of `{name}` are no size that can be");
        look.see(&rules::graphs::ONNX_TENSOR, range.start, message);
    }
    if tensor.location == EXTERNAL || !tensor.external.is_empty() {
        let needed = match needed {
            Size::Bytes(bytes) => Some(bytes),
            Size::Overflow | Size::Unknown => None,
        };
        let tensor = external::Tensor {
            at: range.start,
            name: &tensor.name,
            entries: &tensor.external,
            needed,
        };
        files.check(look, wire, &tensor);
        return;
    }
    if let (Some(raw), Size::Bytes(needed)) = (tensor.raw, needed) {
        let held = raw.end.saturating_sub(raw.start);
        if held != needed {
            let message =
                format!("`{name}` has {held} bytes, and its dimensions and type make {needed}");
            look.see(&rules::graphs::ONNX_TENSOR, range.start, message);
        }
    } else if needed == Size::Unknown && tensor.kind > LAST_KIND {
        let message = format!("`{name}` is of the unknown type {}", tensor.kind);
        perhaps(look, &rules::graphs::ONNX_BROKEN, range.start, message);
    }
}

#[derive(Default)]
struct Tensor {
    name: String,
    kind: u64,
    raw: Option<Range<u64>>,
    location: u64,
    external: Vec<Range<u64>>,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Size {
    Bytes(u64),
    Overflow,
    Unknown,
}

/// The last `data_type` that is known.
const LAST_KIND: u64 = 26;

// How many bytes dimensions and type make; dimensions are signed.
fn bytes(dims: &[u64], kind: u64) -> Size {
    let bits: u64 = match kind {
        25 | 26 => 2,
        21..=23 => 4,
        2 | 3 | 9 | 17..=20 | 24 => 8,
        4 | 5 | 10 | 16 => 16,
        1 | 6 | 12 => 32,
        7 | 11 | 13 | 14 => 64,
        15 => 128,
        STRING => 0,
        _ => return Size::Unknown,
    };
    let product = dims.iter().try_fold(1_u64, |product, dim| {
        i64::try_from(*dim).ok()?;
        product.checked_mul(*dim)
    });
    match product.and_then(|product| product.checked_mul(bits.max(1))) {
        Some(_) if kind == STRING => Size::Unknown,
        Some(bits) if dims.len() <= MAX_DIMS => Size::Bytes(bits.div_ceil(8)),
        _ => Size::Overflow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked_products() {
        assert_eq!(bytes(&[2, 3], 1), Size::Bytes(24));
        assert_eq!(bytes(&[], 11), Size::Bytes(8));
        assert_eq!(bytes(&[3], 22), Size::Bytes(2));
        assert_eq!(bytes(&[0, 5], 7), Size::Bytes(0));
        assert_eq!(bytes(&[u64::MAX], 1), Size::Overflow);
        assert_eq!(bytes(&[1 << 40, 1 << 40], 3), Size::Overflow);
        assert_eq!(bytes(&[5], STRING), Size::Unknown);
        assert_eq!(bytes(&[5], 99), Size::Unknown);
    }
}
