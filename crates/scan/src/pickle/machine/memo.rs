//! The memo of a pickle machine: values that a stream puts aside and takes again.

use std::collections::HashMap;

use super::Value;

/// Most entries of the memo.
const MAX_MEMO: usize = 1 << 22;

#[derive(Default)]
pub(super) struct Memo {
    dense: Vec<Value>,
    sparse: HashMap<u32, Value>,
    // Entries, as `MEMOIZE` counts them.
    pub(super) count: usize,
}

impl Memo {
    pub(super) fn get(&self, index: u32) -> Option<Value> {
        let dense = usize::try_from(index)
            .ok()
            .and_then(|index| self.dense.get(index));
        match dense {
            Some(Value::Unknown) | None => self.sparse.get(&index).copied(),
            Some(value) => Some(*value),
        }
    }

    pub(super) fn put(&mut self, index: u32, value: Value) -> bool {
        const GAP: usize = 1 << 12;
        if self.count >= MAX_MEMO {
            return false;
        }
        let new = self.get(index).is_none();
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        if place < self.dense.len().saturating_add(GAP) {
            if place > self.dense.len() {
                self.dense.resize(place, Value::Unknown);
            }
            match self.dense.get_mut(place) {
                Some(slot) => *slot = value,
                None => self.dense.push(value),
            }
        } else {
            self.sparse.insert(index, value);
        }
        self.count = self.count.saturating_add(usize::from(new));
        true
    }
}
