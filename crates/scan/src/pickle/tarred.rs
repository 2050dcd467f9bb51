//! Members of the archives that the first versions of PyTorch wrote: `storages` and `tensors`, in
//! which streams and raw bytes take turns.
//!
//! pytorch, `torch/serialization.py` (`legacy_load`), which still reads them. Both begin with a
//! number. `storages`: as many times key, location and class, then the number of elements (eight
//! bytes) and the elements; at the end a list of windows (key, key of the storage, offset, size).
//! `tensors`: as many times key, key of the storage and class, then the number of dimensions (four
//! bytes, four more left out), sizes, strides and offset of eight bytes each.

use std::collections::BTreeMap;

use super::machine::{End, Machine};
use super::value::Value;
use super::{Storage, Watch, stream, views};
use crate::rules;
use crate::source::{Cursor, CursorError};
use crate::tensors::torch;
use crate::work::Look;

/// Most opcodes of the description of a storage or tensor.
const SHORT: u64 = 64;
/// Most storages or tensors, and windows on storages.
const MAX_ENTRIES: usize = 1 << 20;
/// Most dimensions of a tensor.
const MAX_DIMENSIONS: i32 = 64;

/// Follows one of the two members, and returns where what was understood of it ends; `None` if it
/// is something else.
pub(super) fn follow(look: &mut Look<'_, '_, '_>) -> Option<u64> {
    let (machine, first) = peek(look, 0, SHORT)?;
    let Some(Value::Int(count @ 1..)) = machine.top() else {
        return None;
    };
    let kind = Entry::read(&peek(look, first, SHORT)?.0)?.kind;
    stream(look, 0);
    let (mut at, mut known) = (first, Vec::new());
    for _ in 0..count {
        if known.len() >= MAX_ENTRIES || look.work.tick(&look.input.path).is_err() {
            look.gap("it has more tensors than are looked at");
            break;
        }
        let described = peek(look, at, SHORT);
        let entry = described.and_then(|(machine, after)| Some((Entry::read(&machine)?, after)));
        let Some((entry, after)) = entry.filter(|(entry, _)| entry.kind == kind) else {
            break;
        };
        stream(look, at);
        at = after;
        let values = match kind {
            Kind::Storage => storage(look, entry, at),
            Kind::Tensor => tensor(look, entry, at).ok().flatten(),
        };
        let Some((end, entry)) = values else {
            break;
        };
        known.extend(entry);
        at = end;
    }
    if kind == Kind::Storage {
        windows(look, at, &mut known);
    }
    let path = look.input.path.clone();
    look.work.refer(&path, known);
    Some(at)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Storage,
    Tensor,
}

// Key, location or key of the storage, and class.
struct Entry {
    kind: Kind,
    key: i64,
    of: Option<i64>,
    class: String,
}

impl Entry {
    fn read(machine: &Machine<'_>) -> Option<Self> {
        let ([Value::Int(key), of, Value::Global(place)], true) = machine.items(machine.top()?)?
        else {
            return None;
        };
        let class = machine.global(*place)?;
        if !matches!(class.module.as_str(), "torch" | "torch.cuda") {
            return None;
        }
        let kind = if class.name.ends_with("Storage") {
            Kind::Storage
        } else if class.name.ends_with("Tensor") {
            Kind::Tensor
        } else {
            return None;
        };
        let of = match of {
            Value::Int(of) => Some(*of),
            _ => None,
        };
        Some(Self {
            kind,
            key: *key,
            of,
            class: class.name.clone(),
        })
    }
}

// Follows a stream without judging it.
fn peek<'i>(look: &Look<'i, '_, '_>, at: u64, most: u64) -> Option<(Machine<'i>, u64)> {
    let budget = look.work.opcodes_left().min(most);
    let mut machine = Machine::at(look.input.bytes, at, budget).keeping(MAX_ENTRIES);
    match machine.run(&mut Watch::default(), &mut |_, _| false) {
        End::Stop(after) => Some((machine, after)),
        _ => None,
    }
}

// Elements of a storage; the loader takes room for as many as are said.
fn storage(look: &mut Look<'_, '_, '_>, entry: Entry, at: u64) -> Option<(u64, Option<Storage>)> {
    let mut cursor = Cursor::at(look.input.bytes, at);
    let elements = i64::from_le_bytes(cursor.array().ok()?);
    let storage = Storage {
        key: entry.key.to_string(),
        class: entry.class,
        elements,
        at,
        old: true,
    };
    let start = cursor.position();
    let left = look.input.bytes.len().saturating_sub(start);
    let size = torch::bytes(&storage).filter(|size| *size <= left);
    let Some(end) = size.and_then(|size| start.checked_add(size)) else {
        let message = format!(
            "the storage `{}` has {elements} elements of `{}`, and {left} bytes follow",
            storage.key, storage.class
        );
        look.broken(&rules::tensors::TORCH_STORAGE_SIZE, at, &message);
        return None;
    };
    look.covered.parsed(at..start);
    look.covered.opaque(start..end);
    Some((end, Some(storage)))
}

// What a tensor needs of its storage.
fn tensor(
    look: &mut Look<'_, '_, '_>,
    entry: Entry,
    at: u64,
) -> Result<Option<(u64, Option<Storage>)>, CursorError> {
    let mut cursor = Cursor::at(look.input.bytes, at);
    let dimensions = i32::from_le_bytes(cursor.array()?);
    cursor.skip(4)?;
    if !(0..=MAX_DIMENSIONS).contains(&dimensions) {
        return Ok(None);
    }
    let mut numbers = || -> Result<Vec<i64>, CursorError> {
        let number = |_| Ok(i64::from_le_bytes(cursor.array()?));
        (0..dimensions).map(number).collect()
    };
    let (sizes, strides) = (numbers()?, numbers()?);
    let offset = i64::from_le_bytes(cursor.array()?);
    let end = cursor.position();
    look.covered.parsed(at..end);
    let elements = match views::elements(offset, &sizes, &strides) {
        Ok(elements) => elements,
        Err(why) => {
            look.see(&rules::tensors::TORCH_VIEW, at, why);
            0
        }
    };
    let needs = entry.of.map(|of| Storage {
        key: of.to_string(),
        class: entry.class,
        elements,
        at,
        old: true,
    });
    Ok(Some((end, needs)))
}

// Storages that are windows on others.
fn windows(look: &mut Look<'_, '_, '_>, at: u64, known: &mut Vec<Storage>) {
    let Some((machine, _)) = peek(look, at, u64::MAX) else {
        return;
    };
    let Some((items, _)) = machine.top().and_then(|top| machine.items(top)) else {
        return;
    };
    let roots: BTreeMap<_, _> = known
        .iter()
        .map(|storage| (storage.key.clone(), storage.clone()))
        .collect();
    for item in items.iter().take(MAX_ENTRIES) {
        let Some(
            [
                Value::Int(key),
                Value::Int(root),
                Value::Int(offset),
                Value::Int(size),
            ],
        ) = machine.items(*item).map(|(items, _)| items)
        else {
            continue;
        };
        let Some(root) = roots.get(&root.to_string()).cloned() else {
            continue;
        };
        let end = offset.checked_add(*size);
        let inside = *offset >= 0 && *size >= 0 && end.is_some_and(|end| end <= root.elements);
        if !inside {
            let message = format!(
                "the storage `{key}` is {size} elements from {offset} on of one with {}",
                root.elements
            );
            look.see(&rules::tensors::TORCH_VIEW, at, message);
        }
        known.push(Storage {
            key: key.to_string(),
            elements: *size,
            ..root
        });
    }
}
