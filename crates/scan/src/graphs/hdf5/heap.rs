//! Heaps and the trees that index them: values of their own length (specification III.E), links and
//! attributes of large objects (III.A.2, III.G), and free space (III.H).

use super::file::{Fields, File, Stop, broken, to_u64, to_usize, width_of};

/// Most blocks of a heap.
const MAX_BLOCKS: usize = 1 << 20;
/// Largest object of a heap that is read.
const MAX_OBJECT: u64 = 16 << 20;

/// A heap of objects in blocks.
#[derive(Debug)]
pub(super) struct Heap {
    offset_width: usize,
    length_width: usize,
    id: usize,
    /// In order: where a block begins in the heap, how long it is, and its address.
    blocks: Vec<(u64, u64, u64)>,
    huge: Option<u64>,
    huge_direct: bool,
    filtered: bool,
}

/// How the blocks of a heap grow.
struct Table {
    header: u64,
    width: u64,
    start: u64,
    most: u64,
    offset_width: usize,
    filtered: bool,
}

impl Table {
    // Rows of blocks that hold objects; those behind hold blocks of blocks.
    fn direct(&self) -> u64 {
        u64::from(self.most.ilog2())
            .saturating_sub(u64::from(self.start.ilog2()))
            .saturating_add(2)
    }

    // Rows of a block of blocks for so many bytes.
    fn rows(&self, size: u64) -> u64 {
        let first = self.start.ilog2().saturating_add(self.width.ilog2());
        u64::from(size.ilog2().saturating_sub(first)).saturating_add(1)
    }

    fn size(&self, row: u64) -> u64 {
        let shift = u32::try_from(row.saturating_sub(1)).unwrap_or(u32::MAX);
        self.start
            .checked_mul(1_u64.checked_shl(shift).unwrap_or(0))
            .unwrap_or(0)
    }
}

impl File<'_, '_, '_, '_> {
    /// Reads a heap: its header, and where its blocks are.
    pub(super) fn fractal_heap(&mut self, address: u64) -> Result<Heap, Stop> {
        let (l, a) = (self.widths.length, self.widths.address);
        let size = l
            .saturating_mul(12)
            .saturating_add(a.saturating_mul(3))
            .saturating_add(22);
        let bytes = self.structure(address, to_u64(size))?;
        let mut fields = self.fields(&bytes);
        fields.expect(b"FRHP")?;
        fields.skip(1)?;
        let id = usize::from(fields.u16()?);
        let filters = fields.u16()?;
        fields.skip(1)?;
        let largest = u64::from(fields.u32()?);
        fields.length()?;
        let huge = fields.address()?;
        fields.length()?;
        let free = fields.address()?;
        for _ in 0..8 {
            fields.length()?;
        }
        let width = u64::from(fields.u16()?);
        let (start, most) = (fields.length()?, fields.length()?);
        let bits = usize::from(fields.u16()?);
        fields.skip(2)?;
        let root = fields.address()?;
        let rows = u64::from(fields.u16()?);
        let more = if filters == 0 { 0 } else { l.saturating_add(4) };
        let more = more.saturating_add(usize::from(filters)).saturating_add(4);
        self.mark(address.saturating_add(to_u64(size)), to_u64(more));
        if !start.is_power_of_two() || !most.is_power_of_two() || width == 0 {
            return broken("the blocks of a heap have sizes that are no powers of two");
        }
        let table = Table {
            header: address,
            width,
            start,
            most,
            offset_width: bits.div_ceil(8),
            filtered: filters != 0,
        };
        let mut heap = Heap {
            offset_width: table.offset_width,
            length_width: width_of(most.min(largest)),
            id,
            blocks: Vec::new(),
            huge,
            huge_direct: a.saturating_add(l) < id,
            filtered: filters != 0,
        };
        if let Some(root) = root {
            self.blocks(&table, (root, rows), &mut heap.blocks)?;
        }
        if let Some(free) = free {
            self.free_space(free)?;
        }
        if let Some(huge) = huge {
            self.new_tree(huge)?;
        }
        Ok(heap)
    }

    // Finds the blocks of a heap. A root without rows is a block itself.
    fn blocks(
        &mut self,
        table: &Table,
        (root, rows): (u64, u64),
        blocks: &mut Vec<(u64, u64, u64)>,
    ) -> Result<(), Stop> {
        if rows == 0 {
            self.block(table, (root, 0, table.start), blocks)?;
            return Ok(());
        }
        let mut todo = vec![(root, 0, rows)];
        while let Some((address, mut offset, rows)) = todo.pop() {
            if !self.meet(address) {
                return broken("a heap holds a block twice");
            }
            let direct = table.direct();
            let bytes = self.indirect(table, address, rows)?;
            let mut fields = self.fields(&bytes);
            for row in 0..rows {
                let size = table.size(row);
                for _ in 0..table.width {
                    let child = fields.address()?;
                    let mut stored = size;
                    if row < direct && table.filtered {
                        stored = fields.length()?;
                        fields.skip(4)?;
                    }
                    match child {
                        Some(child) if row < direct => {
                            self.block(table, (child, offset, stored), blocks)?;
                        }
                        Some(child) if size > 0 => {
                            todo.push((child, offset, table.rows(size)));
                        }
                        _ => {}
                    }
                    offset = offset.saturating_add(size);
                }
            }
        }
        blocks.sort_unstable();
        Ok(())
    }

    // Reads the entries of a block of blocks.
    fn indirect(&mut self, table: &Table, address: u64, rows: u64) -> Result<Vec<u8>, Stop> {
        let a = to_u64(self.widths.address);
        let more = if table.filtered {
            to_u64(self.widths.length).saturating_add(4)
        } else {
            0
        };
        let direct = rows.min(table.direct());
        let columns = |rows: u64, one: u64| rows.saturating_mul(table.width).saturating_mul(one);
        let prefix = a
            .saturating_add(to_u64(table.offset_width))
            .saturating_add(5);
        let size = columns(direct, a.saturating_add(more))
            .saturating_add(columns(rows.saturating_sub(direct), a));
        let head = self.structure(address, prefix)?;
        self.fields(&head).expect(b"FHIB")?;
        let start = address.saturating_add(prefix);
        self.mark(start.saturating_add(size), 4);
        self.structure(start, size)
    }

    fn block(
        &mut self,
        table: &Table,
        (address, offset, size): (u64, u64, u64),
        blocks: &mut Vec<(u64, u64, u64)>,
    ) -> Result<(), Stop> {
        if blocks.len() >= MAX_BLOCKS {
            return Err(Stop::Unread("a heap has more blocks than are read".into()));
        }
        let head = self.peek(address, 13.min(size))?;
        let mut fields = self.fields(&head);
        if !table.filtered {
            fields.expect(b"FHDB")?;
            fields.skip(1)?;
            if fields.address()? != Some(table.header) {
                return broken("a block belongs to another heap");
            }
        }
        self.values(address, size)?;
        self.mark(address, size);
        blocks.push((offset, size, address));
        Ok(())
    }

    /// Returns an object of a heap by its identifier, and its address if it has one of its own.
    pub(super) fn heap_object(
        &mut self,
        heap: &Heap,
        id: &[u8],
    ) -> Result<Option<(Vec<u8>, u64)>, Stop> {
        let mut fields = self.fields(id.get(..heap.id).unwrap_or(id));
        let first = fields.u8()?;
        if heap.filtered {
            return Err(Stop::Unread("a heap is packed by filters".into()));
        }
        match first >> 4 & 3 {
            0 => {
                let offset = fields.number(heap.offset_width)?;
                let length = fields.number(heap.length_width)?;
                let after = heap
                    .blocks
                    .partition_point(|(start, _, _)| *start <= offset);
                let block = after
                    .checked_sub(1)
                    .and_then(|index| heap.blocks.get(index));
                let Some((start, size, address)) = block else {
                    return broken("an object lies in no block of its heap");
                };
                let within = offset.saturating_sub(*start);
                if within.saturating_add(length) > *size {
                    return broken("an object lies in no block of its heap");
                }
                let address = address.saturating_add(within);
                Ok(Some((self.peek(address, length)?, address)))
            }
            1 if heap.huge_direct => {
                let (Some(address), length) = (fields.address()?, fields.length()?) else {
                    return Ok(None);
                };
                self.huge(address, length).map(Some)
            }
            1 => {
                let wanted = fields.number(fields.rest().len().min(8))?;
                let Some(tree) = heap.huge else {
                    return Ok(None);
                };
                let (records, one) = self.new_tree_again(tree)?;
                for record in records.chunks_exact(one.max(1)) {
                    let mut fields = self.fields(record);
                    let (address, length) = (fields.address()?, fields.length()?);
                    let id = fields.length()?;
                    if let Some(address) = address.filter(|_| id == wanted) {
                        return self.huge(address, length).map(Some);
                    }
                }
                broken("a large object is not in its heap")
            }
            2 => {
                let length = usize::from(first & 0xf).saturating_add(1);
                if heap.id > 17 {
                    let low = usize::from(fields.u8()?);
                    let length = usize::from(first & 0xf) << 8 | low;
                    return Ok(Some((fields.take(length.saturating_add(1))?.to_vec(), 0)));
                }
                Ok(Some((fields.take(length)?.to_vec(), 0)))
            }
            other => broken(format!("there is no object of kind {other} in a heap")),
        }
    }

    fn huge(&mut self, address: u64, length: u64) -> Result<(Vec<u8>, u64), Stop> {
        if length > MAX_OBJECT {
            return Err(Stop::Unread(format!(
                "an object of {length} bytes is larger than what is read"
            )));
        }
        Ok((self.structure(address, length)?, address))
    }

    /// Follows the attributes of an object that are kept in a heap.
    pub(super) fn attribute_info(
        &mut self,
        mut fields: Fields<'_>,
        path: &str,
    ) -> Result<(), Stop> {
        fields.skip(1)?;
        let flags = fields.u8()?;
        fields.skip(if flags & 1 == 0 { 0 } else { 2 })?;
        let (heap, names) = (fields.address()?, fields.address()?);
        if flags & 2 != 0
            && let Some(order) = fields.address()?
        {
            self.new_tree(order)?;
        }
        let (Some(heap), Some(names)) = (heap, names) else {
            return Ok(());
        };
        let heap = self.fractal_heap(heap)?;
        let (records, one) = self.new_tree(names)?;
        for record in records.chunks_exact(one.max(1)) {
            // Eight bytes of identifier, and then the flags of the message.
            let flags = record.get(8).copied().unwrap_or(0);
            let Some((mut bytes, at)) = self.heap_object(&heap, record)? else {
                continue;
            };
            if flags & 2 != 0 {
                bytes = self.behind(&bytes, 0x0c)?;
            }
            let outcome = self.attribute(&bytes, at, path);
            self.note(outcome, at, path)?;
        }
        Ok(())
    }

    /// Reads a new tree: all its records, and how long one is. Each tree is read once.
    pub(super) fn new_tree(&mut self, address: u64) -> Result<(Vec<u8>, usize), Stop> {
        if !self.meet(address) {
            return broken("two objects share an index");
        }
        self.new_tree_again(address)
    }

    fn new_tree_again(&mut self, address: u64) -> Result<(Vec<u8>, usize), Stop> {
        let (l, a) = (self.widths.length, self.widths.address);
        let size = l.saturating_add(a).saturating_add(22);
        let bytes = self.structure(address, to_u64(size))?;
        let mut fields = self.fields(&bytes);
        fields.expect(b"BTHD")?;
        fields.skip(2)?;
        let node = u64::from(fields.u32()?);
        let record = usize::from(fields.u16()?);
        let depth = fields.u16()?;
        fields.skip(2)?;
        let root = fields.address()?;
        let count = u64::from(fields.u16()?);
        let mut records = Vec::new();
        let Some(root) = root else {
            return Ok((records, record));
        };
        if record == 0 || node < 32 || depth > 32 {
            return broken("an index has nodes of a size that holds nothing");
        }
        let shape = Shape::of(node, (record, a), depth);
        let mut todo = vec![(root, depth, count)];
        while let Some((address, level, count)) = todo.pop() {
            let bytes = self.structure(address, node)?;
            let mut fields = self.fields(&bytes);
            fields.expect(if level == 0 { b"BTLF" } else { b"BTIN" })?;
            fields.skip(2)?;
            let here = to_usize(count).saturating_mul(record);
            records.extend_from_slice(fields.take(here)?);
            if to_u64(records.len()) > MAX_OBJECT.saturating_mul(4) {
                return Err(Stop::Unread("an index is larger than what is read".into()));
            }
            let Some(below) = level.checked_sub(1) else {
                continue;
            };
            for _ in 0..=count {
                let child = fields.address()?;
                let count = fields.number(shape.count)?;
                fields.skip(shape.total(below))?;
                if let Some(child) = child {
                    todo.push((child, below, count));
                }
            }
        }
        Ok((records, record))
    }

    /// Reads what is known about free space, of which nothing is needed.
    pub(super) fn free_space(&mut self, address: u64) -> Result<(), Stop> {
        let (l, a) = (self.widths.length, self.widths.address);
        let size = l.saturating_mul(7).saturating_add(a).saturating_add(18);
        let bytes = self.structure(address, to_u64(size))?;
        let mut fields = self.fields(&bytes);
        fields.expect(b"FSHD")?;
        fields.skip(2)?;
        for _ in 0..4 {
            fields.length()?;
        }
        fields.skip(8)?;
        fields.length()?;
        let sections = fields.address()?;
        fields.length()?;
        let room = fields.length()?;
        if let Some(sections) = sections {
            let head = self.structure(sections, 4)?;
            self.fields(&head).expect(b"FSSE")?;
            self.values(sections, room)?;
            self.mark(sections, room);
        }
        Ok(())
    }

    /// Reads where free space of the file is noted.
    pub(super) fn file_space(&mut self, mut fields: Fields<'_>) -> Result<(), Stop> {
        let version = fields.u8()?;
        if version == 0 {
            fields.skip(1)?;
            fields.length()?;
        } else {
            fields.skip(2)?;
            fields.length()?;
            fields.length()?;
            fields.skip(2)?;
            fields.address()?;
        }
        while fields.rest().len() >= self.widths.address {
            if let Some(manager) = fields.address()? {
                self.free_space(manager)?;
            }
        }
        Ok(())
    }

    /// Returns where an object of a collection lies, and how long it is.
    pub(super) fn collected(&mut self, address: u64, index: u16) -> Result<(u64, u64), Stop> {
        if !self.collections.contains_key(&address) {
            let objects = self.collection(address)?;
            self.collected = self.collected.saturating_add(objects.len());
            self.collections.insert(address, objects);
        }
        let objects = self.collections.get(&address);
        match objects.and_then(|objects| objects.get(&index)) {
            Some(place) => Ok(*place),
            None => broken(format!("value {index} is not in its collection")),
        }
    }

    fn collection(
        &mut self,
        address: u64,
    ) -> Result<std::collections::BTreeMap<u16, (u64, u64)>, Stop> {
        let l = self.widths.length;
        let prefix = to_u64(l.saturating_add(8));
        let bytes = self.structure(address, prefix)?;
        let mut fields = self.fields(&bytes);
        fields.expect(b"GCOL")?;
        fields.skip(4)?;
        let size = fields.length()?;
        self.values(address, size)?;
        self.mark(address, size);
        let end = address.saturating_add(size);
        let mut at = address.saturating_add(prefix);
        let mut objects = std::collections::BTreeMap::new();
        while at.saturating_add(prefix) <= end {
            let bytes = self.peek(at, prefix)?;
            let mut fields = self.fields(&bytes);
            let index = fields.u16()?;
            fields.skip(6)?;
            let len = fields.length()?;
            if index == 0 {
                break;
            }
            let start = at.saturating_add(prefix);
            if start.saturating_add(len) > end {
                return broken("a value is longer than its collection");
            }
            objects.insert(index, (start, len));
            at = start.saturating_add(len.checked_next_multiple_of(8).unwrap_or(u64::MAX));
        }
        Ok(objects)
    }
}

/// Widths of the counts in the nodes of a new tree, which follow from what a node can hold.
struct Shape {
    count: usize,
    // By level: how wide the number of all records below is, for a child of that level.
    totals: Vec<usize>,
}

impl Shape {
    fn of(node: u64, (record, address): (usize, usize), depth: u16) -> Self {
        let room = node.saturating_sub(10);
        let record = to_u64(record);
        let leaf = room.checked_div(record).unwrap_or(0);
        let count = width_of(leaf);
        let mut totals = vec![0];
        let mut below = leaf;
        for _ in 0..depth {
            let total = to_u64(totals.last().copied().unwrap_or(0));
            let pointer = to_u64(address)
                .saturating_add(to_u64(count))
                .saturating_add(total);
            let most = room
                .saturating_sub(pointer)
                .checked_div(record.saturating_add(pointer))
                .unwrap_or(0);
            below = most
                .saturating_add(1)
                .saturating_mul(below)
                .saturating_add(most);
            totals.push(width_of(below));
        }
        Self { count, totals }
    }

    fn total(&self, level: u16) -> usize {
        self.totals.get(usize::from(level)).copied().unwrap_or(0)
    }
}
