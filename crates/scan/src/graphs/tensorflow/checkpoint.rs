//! Checkpoints of TensorFlow: an index (a table of sorted strings, as `LevelDB` writes it) and files
//! of values, `PREFIX.data-00000-of-00001`.
//!
//! Format: `tensorflow/core/util/tensor_bundle` and
//! <https://github.com/google/leveldb/blob/main/doc/table_format.md>. The last 48 bytes of the index
//! say where the block is that says where the blocks are; each entry of those is the name of a
//! tensor and where its values lie. Values have no header of their own: their file is recognised by
//! its name, which loaders go by as well, and understood as far as the index says what is in it.

use std::collections::BTreeMap;
use std::ops::Range;

use super::schema;
use crate::graphs::values;
use crate::neighbours::Neighbour;
use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, read_full};
use crate::wire::proto::{Value, Wire};
use crate::work::{Input, Limited, Look};

/// What an index ends with.
const MAGIC: [u8; 8] = 0xdb47_7524_8b80_fb57_u64.to_le_bytes();
const FOOTER: u64 = 48;
/// Bytes behind each block: its compression and its checksum.
const TRAILER: u64 = 5;
/// Largest block that is read.
const MAX_BLOCK: u64 = 16 << 20;
/// Most blocks.
const MAX_BLOCKS: usize = 100_000;
/// Longest name of a tensor.
const MAX_KEY: usize = 64 << 10;
/// Largest index that is looked at entry by entry.
const MAX_ENTRIES: u64 = 4_000_000;
/// Most files of values whose sizes are asked for.
const MAX_SHARDS: u64 = 10_000;
/// Most faults that are told.
const TOLD: u32 = 10;

/// Returns true if it ends as an index does.
pub(crate) fn is_index(_: &Head, input: &Input<'_>) -> bool {
    let mut end = [0; 8];
    let at = input.bytes.len().checked_sub(8);
    input.bytes.len() >= FOOTER
        && at.is_some_and(|at| read_full(input.bytes, at, &mut end).is_ok_and(|read| read == 8))
        && end == MAGIC
}

/// Returns true if it is called as a file of values is.
pub(crate) fn is_data(_: &Head, input: &Input<'_>) -> bool {
    prefix(input.name()).is_some()
}

// The name of the checkpoint that a file of values belongs to.
fn prefix(name: &str) -> Option<&str> {
    let (prefix, shard) = name.rsplit_once(".data-")?;
    let (number, count) = shard.split_once("-of-")?;
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    (digits(number) && digits(count) && !prefix.is_empty()).then_some(prefix)
}

/// Looks at a file of values.
pub(crate) fn data(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let Some(prefix) = prefix(input.name()) else {
        return;
    };
    let index = format!("{prefix}.index");
    if !values::cover(look) {
        look.gap(format!(
            "`{index}`, which says what its values are, is not beside it"
        ));
    }
}

/// Looks at an index.
pub(crate) fn index(look: &mut Look<'_, '_, '_>) {
    let mut index = Index {
        look,
        shards: BTreeMap::new(),
        count: 0,
        entries: 0,
        told: 0,
    };
    // The outcome of a limit is noted where it fired.
    let _ = index.examine();
}

struct Index<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    // The size of each file of values, if it is known.
    shards: BTreeMap<u64, Option<u64>>,
    count: u64,
    entries: u64,
    told: u32,
}

impl Index<'_, '_, '_, '_> {
    fn examine(&mut self) -> Result<(), Limited> {
        let size = self.look.input.bytes.len();
        let footer = size.saturating_sub(FOOTER);
        let mut cursor = Cursor::at(self.look.input.bytes, footer);
        let handles = (handle(&mut cursor), handle(&mut cursor));
        let (Some(meta), Some(index)) = handles else {
            self.fault(footer, "the end of the index gives no places");
            return Ok(());
        };
        self.look.covered.parsed(footer..size);
        self.each(&meta, |_, _, _| Ok(()))?;
        let mut places = Vec::new();
        self.each(&index, |this, _, value| {
            let value = value.to_vec();
            match handle(&mut Cursor::at(&value, 0)) {
                Some(place) if places.len() < MAX_BLOCKS => places.push(place),
                _ => this.fault(index.start, "an entry of the index gives no place"),
            }
            Ok(())
        })?;
        for place in places {
            self.each(&place, |this, name, value| {
                this.entry(place.start, name, value)
            })?;
        }
        Ok(())
    }

    // Reads a block, entry by entry.
    fn each(
        &mut self,
        place: &Range<u64>,
        mut entry: impl FnMut(&mut Self, &[u8], &[u8]) -> Result<(), Limited>,
    ) -> Result<(), Limited> {
        let Some(mut block) = self.block(place) else {
            return Ok(());
        };
        while !block.is_at_end() {
            let Some(value) = block.next() else {
                self.fault(place.start, "a block of the index is broken");
                return Ok(());
            };
            self.entries = self.entries.saturating_add(1);
            if self.entries > MAX_ENTRIES {
                self.look.gap("more tensors than are looked at");
                return Ok(());
            }
            let value = block.bytes.get(value).unwrap_or_default();
            entry(self, &block.key, value)?;
        }
        let end = place.end.saturating_add(TRAILER);
        self.look.covered.parsed(place.start..end);
        Ok(())
    }

    fn block(&mut self, place: &Range<u64>) -> Option<Block> {
        let end = place.end.checked_add(TRAILER);
        let inside = end.is_some_and(|end| end <= self.look.input.bytes.len());
        let len = place.end.checked_sub(place.start)?;
        if !inside || len > MAX_BLOCK {
            self.fault(
                place.start,
                "a block lies outside of the index, or is too large",
            );
            return None;
        }
        let mut cursor = Cursor::at(self.look.input.bytes, place.start);
        let bytes = cursor.take(usize::try_from(len).ok()?).ok()?;
        if cursor.u8().ok()? != 0 {
            self.look
                .gap("a block of the index is compressed, and was not looked at");
            return None;
        }
        let block = Block::new(bytes);
        if block.is_none() {
            self.fault(place.start, "a block of the index is broken");
        }
        block
    }

    fn entry(&mut self, at: u64, name: &[u8], value: &[u8]) -> Result<(), Limited> {
        let value = value.to_vec();
        let wire = Wire::new(&value);
        let whole = wire.whole();
        let kind = if name.is_empty() {
            "BundleHeaderProto"
        } else {
            "BundleEntryProto"
        };
        let known = schema().fits(&wire, (kind, &whole), 0) || whole.is_empty();
        if !known {
            self.fault(at, "an entry of the index is broken");
            return Ok(());
        }
        if name.is_empty() {
            self.count = number(&wire, 1);
            return Ok(());
        }
        let (shard, offset, size) = (number(&wire, 3), number(&wire, 4), number(&wire, 5));
        let name = String::from_utf8_lossy(name).into_owned();
        let Some(end) = offset.checked_add(size) else {
            self.fault(at, &format!("`{name}` ends behind all numbers"));
            return Ok(());
        };
        if let Some(place) = self.name(shard) {
            let path = &self.look.input.path;
            self.look.work.named().add(path, &place, offset..end);
        }
        if self.shard(shard).is_some_and(|size| end > size) {
            let message = format!("`{name}` ends behind the file that holds its values");
            self.fault(at, &message);
        }
        self.look.work.tick(&self.look.input.path)
    }

    // The name of a file of values.
    fn name(&self, number: u64) -> Option<String> {
        let prefix = self.look.input.name().strip_suffix(".index")?;
        let count = self.count.min(MAX_SHARDS);
        Some(format!("{prefix}.data-{number:05}-of-{count:05}"))
    }

    fn shard(&mut self, number: u64) -> Option<u64> {
        if let Some(size) = self.shards.get(&number) {
            return *size;
        }
        if self.shards.len() > 1000 {
            return None;
        }
        let found = self.look.work.neighbour(&self.name(number)?);
        let size = match found {
            Some(Neighbour::File(size)) => Some(size),
            _ => None,
        };
        self.shards.insert(number, size);
        size
    }

    fn fault(&mut self, at: u64, message: &str) {
        self.told = self.told.saturating_add(1);
        if self.told <= TOLD {
            self.look
                .broken(&rules::graphs::TENSORFLOW_CHECKPOINT, at, message);
        }
    }
}

fn number(wire: &Wire<'_>, number: u32) -> u64 {
    match wire.last(&wire.whole(), number).map(|field| field.value) {
        Some(Value::Varint(number)) => number,
        _ => 0,
    }
}

fn varint(cursor: &mut Cursor<'_>) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = cursor.u8().ok()?;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

// Where a block is: its place and its length.
fn handle(cursor: &mut Cursor<'_>) -> Option<Range<u64>> {
    let start = varint(cursor)?;
    let end = start.checked_add(varint(cursor)?)?;
    Some(start..end)
}

// Entries: how much of the last key is shared, how much is not, the length of the value. Behind
// them the places where keys begin anew, and how many those are.
struct Block {
    bytes: Vec<u8>,
    at: usize,
    key: Vec<u8>,
}

impl Block {
    fn new(mut bytes: Vec<u8>) -> Option<Self> {
        let (rest, count) = bytes.split_last_chunk::<4>()?;
        let restarts = usize::try_from(u32::from_le_bytes(*count))
            .ok()?
            .checked_mul(4)?;
        let end = rest.len().checked_sub(restarts)?;
        bytes.truncate(end);
        Some(Self {
            bytes,
            at: 0,
            key: Vec::new(),
        })
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    // Goes to the next entry and returns where its value is; none if it is broken.
    fn next(&mut self) -> Option<Range<usize>> {
        let shared = self.varint()?;
        let fresh = self.varint()?;
        let len = self.varint()?;
        let from = self.at.checked_add(fresh)?;
        let value = from..from.checked_add(len)?;
        let fresh = self.bytes.get(self.at..from)?;
        if shared > self.key.len() || shared.checked_add(fresh.len())? > MAX_KEY {
            return None;
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(fresh);
        self.at = value.end;
        (value.end <= self.bytes.len()).then_some(value)
    }

    fn varint(&mut self) -> Option<usize> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at = self.at.checked_add(1)?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return usize::try_from(number).ok();
            }
        }
        None
    }
}
