//! Storages of tensors, as pickles of torch name them.

use super::machine::Machine;
use super::value::Value;

/// A storage of a tensor, as a torch pickle names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Storage {
    /// Key: name of the member that holds it.
    pub(crate) key: String,
    /// Name of the storage class.
    pub(crate) class: String,
    /// Number of elements.
    pub(crate) elements: i64,
    /// Where in the stream.
    pub(crate) at: u64,
    /// True for the layout that has storages behind the streams, and not in an archive.
    pub(crate) old: bool,
}

/// Reads `('storage', <class>, key, location, elements)`.
pub(super) fn storage(at: u64, id: Value, machine: &Machine<'_>) -> Option<Storage> {
    let (items, _) = machine.items(id)?;
    // The old layout adds what a view of another storage shows.
    let (kind, class, key, elements, old) = match items {
        [kind, class, key, _, elements] => (kind, class, key, elements, false),
        [kind, class, key, _, elements, Value::None | Value::Node(_)] => {
            (kind, class, key, elements, true)
        }
        _ => return None,
    };
    if machine.short_text(*kind, 16)?.as_str() != "storage" {
        return None;
    }
    let (Value::Global(place), Value::Int(elements)) = (*class, *elements) else {
        return None;
    };
    let class = machine.global(place)?;
    if class.module != "torch" && class.module != "torch.cuda" && class.module != "torch.storage" {
        return None;
    }
    Some(Storage {
        key: machine.short_text(*key, 256)?,
        class: class.name.clone(),
        elements,
        at,
        old,
    })
}
