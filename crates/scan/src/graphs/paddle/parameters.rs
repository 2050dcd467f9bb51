//! Parameters: for each tensor a version, its levels, a description, and its values. There are no
//! names; the program has them, in this order.

use super::schema;
use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError};
use crate::wire::proto::{Value, Wire};
use crate::work::{Input, Limited, Look};

/// Largest description of a tensor.
const MAX_DESCRIPTION: u32 = 4096;
/// Most levels of a tensor.
const MAX_LEVELS: u64 = 64;
/// Most dimensions.
const MAX_DIMS: usize = 64;

/// Returns true if a version, no levels, and the description of a tensor follow each other.
pub(crate) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    let Some((prefix, rest)) = head.bytes().split_at_checked(16) else {
        return false;
    };
    let Some((len, rest)) = rest.split_first_chunk() else {
        return false;
    };
    let len = u32::from_le_bytes(*len);
    let description = usize::try_from(len).ok().and_then(|len| rest.get(..len));
    let Some(description) = description.filter(|_| (2..256).contains(&len)) else {
        return false;
    };
    let description = description.to_vec();
    let wire = Wire::new(&description);
    let whole = wire.whole();
    prefix.iter().all(|byte| *byte == 0)
        && description.first() == Some(&0x08)
        && wire
            .fields(whole.clone())
            .all(|field| field.is_ok_and(|field| matches!(field.number, 1 | 2)))
        && wire.last(&whole, 1).is_some()
}

/// Looks at the tensors.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let mut cursor = Cursor::at(input.bytes, 0);
    while cursor.left() > 0 {
        let at = cursor.position();
        let read = tensor(look, &mut cursor);
        let why = match read {
            Ok(None) => {
                let tick: Result<(), Limited> = look.work.tick(&input.path);
                if tick.is_err() {
                    return;
                }
                continue;
            }
            Ok(Some(why)) => why.to_owned(),
            Err(error) => error.to_string(),
        };
        let message = format!("a tensor is broken: {why}");
        look.broken(&rules::graphs::PADDLE_BROKEN, at, message);
        return;
    }
}

// Returns what is wrong, if something is.
fn tensor(
    look: &mut Look<'_, '_, '_>,
    cursor: &mut Cursor<'_>,
) -> Result<Option<&'static str>, CursorError> {
    let start = cursor.position();
    if cursor.u32()? != 0 {
        return Ok(Some("it has a version that is not known"));
    }
    let levels = cursor.u64()?;
    if levels > MAX_LEVELS {
        return Ok(Some("it has too many levels"));
    }
    for _ in 0..levels {
        let len = cursor.u64()?;
        cursor.skip(len)?;
    }
    if cursor.u32()? != 0 {
        return Ok(Some("its values have a version that is not known"));
    }
    let len = cursor.u32()?;
    if len > MAX_DESCRIPTION {
        return Ok(Some("its description is too long"));
    }
    let description = cursor.take(usize::try_from(len).unwrap_or(0))?;
    let wire = Wire::new(&description);
    if !schema().fits(&wire, ("VarType.TensorDesc", &wire.whole()), 1) {
        return Ok(Some("its description is none"));
    }
    let kind = match wire.last(&wire.whole(), 1).map(|field| field.value) {
        Some(Value::Varint(kind)) => kind,
        _ => 0,
    };
    let Some(size) = size(kind) else {
        return Ok(Some("it has a type that is not known"));
    };
    let dims = wire.numbers(&wire.whole(), 2, MAX_DIMS);
    let bytes = dims
        .iter()
        .try_fold(size, |product, dim| product.checked_mul(*dim));
    let Some(bytes) = bytes else {
        return Ok(Some("its dimensions are no size that can be"));
    };
    let values = cursor.position();
    cursor.skip(bytes)?;
    look.covered.parsed(start..values);
    look.covered.opaque(values..cursor.position());
    Ok(None)
}

// Bytes of each value of a type (`VarType.Type`).
const fn size(kind: u64) -> Option<u64> {
    Some(match kind {
        0 | 20 | 21 | 32 | 33 => 1,
        1 | 4 | 22 => 2,
        2 | 5 => 4,
        3 | 6 | 19 | 23 => 8,
        24 => 16,
        _ => return None,
    })
}
