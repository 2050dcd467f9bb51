//! Raw bytes between and behind streams: joblib's arrays, and the storages of old torch files.

use super::machine::{End, Global, Machine};
use super::value::{Node, Value};
use super::{Storage, follow, stream};
use crate::rules;
use crate::source::{Cursor, read_full};
use crate::tensors::torch;
use crate::work::Look;

/// How an old torch file begins: a stream of one number, 0x1950a86a20f9469cfc6c.
const OLD_TORCH: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
/// Most storages of an old torch file.
const MAX_STORAGES: usize = 1 << 20;

/// Returns true if an array of joblib follows the state that was put into this.
pub(super) fn announces_array(machine: &Machine<'_>, target: Value) -> bool {
    let class = match target {
        Value::Made(place) => machine.global(place),
        Value::Node(place) => match machine.node(place) {
            Some(Node::Call { callee, arguments }) => class_of(machine, *callee, *arguments),
            _ => None,
        },
        _ => None,
    };
    class.is_some_and(is_array)
}

// What is made by a call: of protocols below 2, the class is an argument.
fn class_of<'m>(machine: &'m Machine<'_>, callee: Value, arguments: Value) -> Option<&'m Global> {
    let Value::Global(place) = callee else {
        return None;
    };
    let function = machine.global(place)?;
    if !matches!(function.module.as_str(), "copyreg" | "copy_reg") {
        return Some(function);
    }
    match machine.items(arguments)?.0.first()? {
        Value::Global(place) => machine.global(*place),
        _ => None,
    }
}

/// Returns true if joblib reads an array behind the state of an object of this class.
pub(super) fn is_array(class: &Global) -> bool {
    matches!(
        class.module.as_str(),
        "joblib.numpy_pickle" | "sklearn.externals.joblib.numpy_pickle"
    ) && class.name == "NumpyArrayWrapper"
}

/// Reads the array that `state` announces at `at`, and returns where it ends.
///
/// joblib 1.x, `numpy_pickle.py`: padding to the alignment, counted by one byte, if the state names
/// one; then the elements. An array of objects is a stream of its own.
pub(super) fn array(
    look: &mut Look<'_, '_, '_>,
    machine: &Machine<'_>,
    state: Value,
    at: u64,
) -> Option<u64> {
    // A key that is there twice counts the last time.
    let (items, true) = machine.items(state)? else {
        return None;
    };
    let field = |name: &str| {
        items.rchunks(2).find_map(|pair| match pair {
            [key, value] if machine.short_text(*key, 64).as_deref() == Some(name) => Some(*value),
            _ => None,
        })
    };
    let element = element(machine, field("dtype")?)?;
    if element == Element::Object {
        return match stream(look, at) {
            End::Stop(after) => Some(after),
            _ => None,
        };
    }
    let (dimensions, true) = machine.items(field("shape")?)? else {
        return None;
    };
    let count = dimensions
        .iter()
        .try_fold(1_u64, |count, dimension| match dimension {
            Value::Int(dimension) => count.checked_mul(u64::try_from(*dimension).ok()?),
            _ => None,
        })?;
    let Element::Bytes(size) = element else {
        return None;
    };
    let mut start = at;
    if let Some(Value::Int(_)) = field("numpy_array_alignment_bytes") {
        let mut padding = [0];
        if read_full(look.input.bytes, at, &mut padding).ok()? != 1 {
            return None;
        }
        let [padding] = padding;
        start = at.checked_add(1)?.checked_add(padding.into())?;
    }
    let end = start.checked_add(count.checked_mul(size)?)?;
    if end > look.input.bytes.len() {
        return None;
    }
    look.covered.parsed(at..start);
    look.covered.opaque(start..end);
    Some(end)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    Bytes(u64),
    Object,
}

// `numpy.dtype('f8', False, True)`, and what else its first argument may say.
fn element(machine: &Machine<'_>, value: Value) -> Option<Element> {
    let Value::Node(place) = value else {
        return None;
    };
    let Some(Node::Call { arguments, .. }) = machine.node(place) else {
        return None;
    };
    let name = machine.short_text(*machine.items(*arguments)?.0.first()?, 16)?;
    let bare = name.trim_start_matches(['<', '>', '|', '=']);
    let (kind, digits) = bare.split_at_checked(1)?;
    if kind == "O" {
        return Some(Element::Object);
    }
    let named = digits.split('[').next()?.parse::<u64>().ok()?;
    let stated = machine.state(place).map(|state| stated(machine, state));
    match (kind, stated) {
        (_, Some(None)) => None,
        (_, Some(Some(Element::Object))) => Some(Element::Object),
        ("S" | "U" | "V", Some(Some(size))) => Some(size),
        ("U", None) => Some(Element::Bytes(named.checked_mul(4)?)),
        ("b" | "i" | "u" | "f" | "c" | "S" | "V" | "M" | "m", _) => Some(Element::Bytes(named)),
        _ => None,
    }
}

// What the state of a type says, which counts more than its name (`arraydescr_setstate` of NumPy):
// version, byte order, array of arrays, names, fields, size, alignment, flags. The first flag says
// that there are objects, whatever the name says.
fn stated(machine: &Machine<'_>, state: Value) -> Option<Element> {
    let (items, true) = machine.items(state)? else {
        return None;
    };
    match items {
        [
            Value::Int(3 | 4),
            _,
            Value::None,
            _,
            _,
            Value::Int(size),
            _,
            Value::Int(flags),
            ..,
        ] => {
            if flags & 1 == 1 {
                return Some(Element::Object);
            }
            // The size of numbers stands in their name, and is -1 here.
            Some(Element::Bytes(u64::try_from(*size).unwrap_or(0)))
        }
        _ => None,
    }
}

/// Follows an old torch file, and returns where what was understood of it ends: five streams
/// (number, version, system, object, keys), then for each key its number of elements (eight bytes)
/// and the elements.
pub(super) fn old_torch(look: &mut Look<'_, '_, '_>) -> Option<u64> {
    let input = look.input;
    let mut head = vec![0; OLD_TORCH.len()];
    if read_full(input.bytes, 0, &mut head).ok()? != head.len() || head != OLD_TORCH {
        return None;
    }
    let mut at = 0;
    for _ in 0..4 {
        match stream(look, at) {
            End::Stop(after) => at = after,
            _ => return None,
        }
    }
    let storages = look.work.referred(&input.path);
    let machine = Machine::at(input.bytes, at, look.work.opcodes_left()).keeping(MAX_STORAGES);
    let (machine, end) = follow(look, machine, at);
    let End::Stop(after) = end else {
        return None;
    };
    let Some((keys, true)) = machine.top().and_then(|top| machine.items(top)) else {
        return Some(after);
    };
    let mut at = after;
    for key in keys {
        let key = machine.short_text(*key, 256);
        let storage = storages
            .iter()
            .find(|storage| Some(&storage.key) == key.as_ref());
        let Some(next) = storage.and_then(|storage| old_storage(look, storage, at)) else {
            return Some(at);
        };
        at = next;
    }
    Some(at)
}

fn old_storage(look: &mut Look<'_, '_, '_>, storage: &Storage, at: u64) -> Option<u64> {
    let mut cursor = Cursor::at(look.input.bytes, at);
    let elements = i64::from_le_bytes(cursor.array().ok()?);
    let said = Storage {
        elements,
        ..storage.clone()
    };
    let (needed, size) = (torch::bytes(storage), torch::bytes(&said)?);
    if needed != Some(size) {
        let message = format!(
            "the storage `{}` has {elements} elements, and the model says {}",
            storage.key, storage.elements
        );
        look.see(&rules::tensors::TORCH_STORAGE_SIZE, at, message);
    }
    let start = cursor.position();
    let end = start
        .checked_add(size)
        .filter(|end| *end <= look.input.bytes.len())?;
    look.covered.parsed(at..start);
    look.covered.opaque(start..end);
    Some(end)
}
