//! Tensors as windows on their storages: where they begin, their sizes, and their strides.
//!
//! pytorch, `torch/_utils.py` (`_rebuild_tensor_v2`): the tensor is set over its storage. PyTorch
//! makes a storage larger that is too small, with whatever memory was there before; readers that do
//! not look read outside of it.

use super::machine::{Global, Machine};
use super::storage::storage;
use super::value::{Node, Value};

/// Returns what is wrong with a tensor that a function sets over a storage.
pub(super) fn fault(global: &Global, arguments: Value, machine: &Machine<'_>) -> Option<String> {
    const SETS: [&str; 3] = ["_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_qtensor"];
    if global.module != "torch._utils" || !SETS.contains(&global.name.as_str()) {
        return None;
    }
    let ([of, Value::Int(offset), sizes, strides, ..], _) = machine.items(arguments)? else {
        return None;
    };
    let Value::Node(place) = of else {
        return None;
    };
    let Some(Node::Persistent(id)) = machine.node(*place) else {
        return None;
    };
    let storage = storage(0, *id, machine)?;
    // Elements of a storage without a type are bytes, and one of the old layout may be a window too.
    if storage.class == "UntypedStorage" || storage.old {
        return None;
    }
    let (sizes, strides) = (integers(*sizes, machine)?, integers(*strides, machine)?);
    match elements(*offset, &sizes, &strides) {
        Ok(needed) if needed <= storage.elements => None,
        Ok(needed) => Some(format!(
            "its last element is at {} of a storage with {} elements",
            needed.saturating_sub(1),
            storage.elements
        )),
        Err(why) => Some(why),
    }
}

/// Returns how many elements a storage must have for such a tensor, or what is wrong with it.
pub(super) fn elements(offset: i64, sizes: &[i64], strides: &[i64]) -> Result<i64, String> {
    if sizes.len() != strides.len() {
        return Err("it has more sizes than strides, or fewer".to_owned());
    }
    if sizes.iter().chain(strides).any(|one| *one < 0) || offset < 0 {
        return Err("an offset, size or stride of it is negative".to_owned());
    }
    if sizes.contains(&0) {
        return Ok(0);
    }
    let last = sizes
        .iter()
        .zip(strides)
        .try_fold(offset, |at, (size, stride)| {
            let steps = size.checked_sub(1)?.checked_mul(*stride)?;
            at.checked_add(steps)
        });
    last.and_then(|last| last.checked_add(1))
        .ok_or_else(|| "its last element is outside of all memory".to_owned())
}

fn integers(of: Value, machine: &Machine<'_>) -> Option<Vec<i64>> {
    let (items, whole) = machine.items(of)?;
    let number = |item: &Value| match item {
        Value::Int(number) => Some(*number),
        _ => None,
    };
    let numbers: Option<Vec<i64>> = items.iter().map(number).collect();
    numbers.filter(|_| whole)
}
