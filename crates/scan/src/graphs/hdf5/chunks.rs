//! Indexes of chunks: the old tree, and the five of the new layout (specification III.A, VI to VIII
//! and IV.A.2.i, version 4).

use super::data::Values;
use super::file::{Fields, File, Stop, broken, to_u64, to_usize};
use super::types;

/// A piece of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) address: u64,
    pub(super) size: u64,
    /// Steps of packing that were left out for it.
    pub(super) mask: u32,
}

/// How elements of an array of chunks are written.
#[derive(Debug, Clone, Copy)]
struct Element {
    /// Bytes of an element.
    width: usize,
    filtered: bool,
    /// Bytes of a chunk that is not packed.
    size: u64,
}

impl File<'_, '_, '_, '_> {
    /// Looks at the chunks of a dataset, whichever index it has.
    pub(super) fn chunked(
        &mut self,
        mut fields: Fields<'_>,
        version: u8,
        values: &Values<'_>,
    ) -> Result<(), Stop> {
        if version == 3 {
            let rank = fields.u8()?;
            let address = fields.address()?;
            let mut sizes = Vec::new();
            for _ in 0..rank {
                sizes.push(u64::from(fields.u32()?));
            }
            return self.chunk_tree(address, &sizes, values);
        }
        let flags = fields.u8()?;
        let rank = fields.u8()?;
        let width = usize::from(fields.u8()?);
        let mut sizes = Vec::new();
        for _ in 0..rank {
            sizes.push(fields.number(width)?);
        }
        let size = types::elements(&sizes)?;
        let plain = Element {
            width: self.widths.address,
            filtered: false,
            size,
        };
        match fields.u8()? {
            1 => {
                let (mut stored, mut mask) = (size, 0);
                if flags & 2 != 0 {
                    (stored, mask) = (fields.length()?, fields.u32()?);
                }
                match fields.address()? {
                    Some(address) => self.chunk(
                        &Chunk {
                            address,
                            size: stored,
                            mask,
                        },
                        values,
                    ),
                    None => Ok(()),
                }
            }
            2 => self.implicit(fields.address()?, &sizes, values),
            3 => {
                fields.skip(1)?;
                self.fixed_array(fields.address()?, plain, values)
            }
            4 => {
                fields.skip(5)?;
                self.extensible_array(fields.address()?, plain, values)
            }
            5 => {
                fields.skip(6)?;
                self.chunk_records(fields.address()?, &sizes, values)
            }
            other => broken(format!("there is no index of kind {other}")),
        }
    }

    /// Looks at the chunks of an old tree. The last size is that of a value.
    pub(super) fn chunk_tree(
        &mut self,
        address: Option<u64>,
        sizes: &[u64],
        values: &Values<'_>,
    ) -> Result<(), Stop> {
        let Some(address) = address else {
            return Ok(());
        };
        let key = sizes.len().saturating_mul(8).saturating_add(8);
        let mut nodes = vec![address];
        while let Some(node) = nodes.pop() {
            if !self.meet(node) {
                return broken("two trees of chunks share a node");
            }
            let mut chunks = Vec::new();
            let widths = self.widths;
            self.old_tree((node, 1, key), self.nodes.chunk, |key, level, child| {
                if level > 0 {
                    nodes.push(child);
                    return Ok(());
                }
                let mut fields = Fields::new(key, widths);
                chunks.push(Chunk {
                    address: child,
                    size: u64::from(fields.u32()?),
                    mask: fields.u32()?,
                });
                Ok(())
            })?;
            for chunk in chunks {
                self.chunk(&chunk, values)?;
            }
        }
        Ok(())
    }

    // Chunks one after another, without an index.
    fn implicit(
        &mut self,
        address: Option<u64>,
        sizes: &[u64],
        values: &Values<'_>,
    ) -> Result<(), Stop> {
        let Some(address) = address else {
            return Ok(());
        };
        let size = types::elements(sizes)?;
        let mut count = 1_u64;
        for (dimension, chunk) in values.dimensions.iter().zip(sizes) {
            if *chunk == 0 {
                return broken("a chunk holds nothing");
            }
            count = count.saturating_mul(dimension.div_ceil(*chunk));
        }
        let size = types::size_of(count, size)?;
        self.chunk(
            &Chunk {
                address,
                size,
                mask: 0,
            },
            values,
        )
    }

    fn chunk_records(
        &mut self,
        address: Option<u64>,
        sizes: &[u64],
        values: &Values<'_>,
    ) -> Result<(), Stop> {
        let Some(address) = address else {
            return Ok(());
        };
        let size = types::elements(sizes)?;
        let (records, one) = self.new_tree(address)?;
        let places = sizes.len().saturating_sub(1).saturating_mul(8);
        let width = one.saturating_sub(places);
        let element = Element {
            width,
            filtered: width > self.widths.address,
            size,
        };
        for record in records.chunks_exact(one.max(1)) {
            self.element(&mut self.fields(record), element, values)?;
        }
        Ok(())
    }

    // An element of an array: an address, and for packed chunks their size and what was left out.
    fn element(
        &mut self,
        fields: &mut Fields<'_>,
        element: Element,
        values: &Values<'_>,
    ) -> Result<(), Stop> {
        let address = fields.address()?;
        let (mut size, mut mask) = (element.size, 0);
        if element.filtered {
            let width = element
                .width
                .saturating_sub(self.widths.address)
                .saturating_sub(4);
            (size, mask) = (fields.number(width)?, fields.u32()?);
        }
        match address {
            Some(address) => self.chunk(
                &Chunk {
                    address,
                    size,
                    mask,
                },
                values,
            ),
            None => Ok(()),
        }
    }

    // `count` elements at an address, with a checksum behind them.
    fn elements(
        &mut self,
        (address, count): (u64, u64),
        element: Element,
        values: &Values<'_>,
    ) -> Result<(), Stop> {
        let size = count.saturating_mul(to_u64(element.width));
        let bytes = self.structure(address, size)?;
        self.mark(address.saturating_add(size), 4);
        let mut fields = self.fields(&bytes);
        for _ in 0..count {
            self.element(&mut fields, element, values)?;
        }
        Ok(())
    }

    fn fixed_array(
        &mut self,
        address: Option<u64>,
        plain: Element,
        values: &Values<'_>,
    ) -> Result<(), Stop> {
        let Some(address) = address else {
            return Ok(());
        };
        let a = to_u64(self.widths.address);
        let size = to_u64(self.widths.length)
            .saturating_add(a)
            .saturating_add(12);
        let bytes = self.structure(address, size)?;
        let mut fields = self.fields(&bytes);
        fields.expect(b"FAHD")?;
        fields.skip(1)?;
        let element = Element {
            filtered: fields.u8()? == 1,
            width: usize::from(fields.u8()?),
            ..plain
        };
        let bits = u32::from(fields.u8()?);
        let count = fields.length()?;
        let Some(block) = fields.address()? else {
            return Ok(());
        };
        let page = 1_u64.checked_shl(bits).unwrap_or(u64::MAX);
        let prefix = a.saturating_add(6);
        let head = self.structure(block, prefix)?;
        self.fields(&head).expect(b"FADB")?;
        let start = block.saturating_add(prefix);
        if count <= page {
            return self.elements((start, count), element, values);
        }
        let pages = count.div_ceil(page);
        let used = self.structure(start, pages.div_ceil(8))?;
        let first = start.saturating_add(pages.div_ceil(8));
        self.mark(first, 4);
        self.pages(
            (first.saturating_add(4), count, page),
            &used,
            (element, values),
        )
    }

    // Pages of elements, of which only those in use are written.
    fn pages(
        &mut self,
        (start, count, page): (u64, u64, u64),
        used: &[u8],
        (element, values): (Element, &Values<'_>),
    ) -> Result<(), Stop> {
        let stride = page.saturating_mul(to_u64(element.width)).saturating_add(4);
        let mut left = count;
        let mut index = 0_u64;
        while left > 0 {
            let here = left.min(page);
            let at = start.saturating_add(index.saturating_mul(stride));
            let byte = used.get(to_usize(index / 8)).copied().unwrap_or(0);
            if byte & (0x80 >> (index % 8)) == 0 {
                let size = here.saturating_mul(to_u64(element.width)).saturating_add(4);
                self.mark(at, size);
            } else {
                self.elements((at, here), element, values)?;
            }
            left = left.saturating_sub(here);
            index = index.saturating_add(1);
        }
        Ok(())
    }

    fn extensible_array(
        &mut self,
        address: Option<u64>,
        plain: Element,
        values: &Values<'_>,
    ) -> Result<(), Stop> {
        let Some(address) = address else {
            return Ok(());
        };
        let a = to_u64(self.widths.address);
        let size = to_u64(self.widths.length)
            .saturating_mul(6)
            .saturating_add(a);
        let bytes = self.structure(address, size.saturating_add(16))?;
        let mut fields = self.fields(&bytes);
        fields.expect(b"EAHD")?;
        fields.skip(1)?;
        let element = Element {
            filtered: fields.u8()? == 1,
            width: usize::from(fields.u8()?),
            ..plain
        };
        let bits = u64::from(fields.u8()?);
        let inline = u64::from(fields.u8()?);
        let least = u64::from(fields.u8()?);
        let pointers = u64::from(fields.u8()?);
        let page_bits = u32::from(fields.u8()?);
        for _ in 0..6 {
            fields.length()?;
        }
        let Some(index) = fields.address()? else {
            return Ok(());
        };
        if !least.is_power_of_two() || !pointers.is_power_of_two() || bits > 64 {
            return broken("an array grows by no powers of two");
        }
        let array = Array {
            element,
            least,
            offset: bits.div_ceil(8),
            page: 1_u64.checked_shl(page_bits).unwrap_or(u64::MAX),
        };
        self.index_block(index, inline, (&array, values))?;
        let all = bits
            .saturating_sub(u64::from(least.ilog2()))
            .saturating_add(1);
        let at = index
            .saturating_add(a.saturating_add(6))
            .saturating_add(inline.saturating_mul(to_u64(element.width)));
        self.array_blocks((at, pointers, all), (&array, values))
    }

    // The blocks of an array: a few that its index names, and rows of them behind.
    fn array_blocks(
        &mut self,
        (at, pointers, all): (u64, u64, u64),
        (array, values): (&Array, &Values<'_>),
    ) -> Result<(), Stop> {
        let a = to_u64(self.widths.address);
        let first = u64::from(pointers.ilog2()).saturating_mul(2);
        let direct = pointers.saturating_sub(1).saturating_mul(2);
        let pointers = direct.saturating_add(all.saturating_sub(first));
        let bytes = self.structure(at, pointers.saturating_mul(a).saturating_add(4))?;
        let mut fields = self.fields(&bytes);
        let (mut row, mut within) = (0, 0_u64);
        for _ in 0..direct {
            if let Some(block) = fields.address()? {
                self.data_block((block, array.elements(row)), None, (array, values))?;
            }
            within = within.saturating_add(1);
            if within >= Array::blocks(row) {
                (row, within) = (row.saturating_add(1), 0);
            }
        }
        for row in first..all {
            if let Some(block) = fields.address()? {
                self.super_block(block, row, (array, values))?;
            }
        }
        Ok(())
    }

    fn index_block(
        &mut self,
        address: u64,
        inline: u64,
        (array, values): (&Array, &Values<'_>),
    ) -> Result<(), Stop> {
        let prefix = to_u64(self.widths.address).saturating_add(6);
        let size = inline.saturating_mul(to_u64(array.element.width));
        let bytes = self.structure(address, prefix.saturating_add(size))?;
        let mut fields = self.fields(&bytes);
        fields.expect(b"EAIB")?;
        fields.skip(to_usize(prefix).saturating_sub(4))?;
        for _ in 0..inline {
            self.element(&mut fields, array.element, values)?;
        }
        Ok(())
    }

    fn super_block(
        &mut self,
        address: u64,
        row: u64,
        (array, values): (&Array, &Values<'_>),
    ) -> Result<(), Stop> {
        let a = to_u64(self.widths.address);
        let prefix = a.saturating_add(6).saturating_add(array.offset);
        let blocks = Array::blocks(row);
        let elements = array.elements(row);
        let pages = if elements > array.page {
            elements.checked_div(array.page).unwrap_or(0).div_ceil(8)
        } else {
            0
        };
        let maps = blocks.saturating_mul(pages);
        let size = prefix
            .saturating_add(maps)
            .saturating_add(blocks.saturating_mul(a));
        let bytes = self.structure(address, size.saturating_add(4))?;
        let mut fields = self.fields(&bytes);
        fields.expect(b"EASB")?;
        fields.skip(to_usize(prefix).saturating_sub(4))?;
        let maps = fields.take(to_usize(maps))?;
        let mut maps = maps.chunks(to_usize(pages).max(1));
        for _ in 0..blocks {
            let map = if pages == 0 { None } else { maps.next() };
            if let Some(block) = fields.address()? {
                self.data_block((block, elements), map, (array, values))?;
            }
        }
        Ok(())
    }

    fn data_block(
        &mut self,
        (address, elements): (u64, u64),
        map: Option<&[u8]>,
        (array, values): (&Array, &Values<'_>),
    ) -> Result<(), Stop> {
        let prefix = to_u64(self.widths.address)
            .saturating_add(6)
            .saturating_add(array.offset);
        let head = self.structure(address, prefix)?;
        self.fields(&head).expect(b"EADB")?;
        let start = address.saturating_add(prefix);
        match map {
            None => self.elements((start, elements), array.element, values),
            Some(map) => {
                self.mark(start, 4);
                let start = start.saturating_add(4);
                self.pages((start, elements, array.page), map, (array.element, values))
            }
        }
    }
}

/// An array that grows.
struct Array {
    element: Element,
    least: u64,
    /// Bytes of the offset in a block.
    offset: u64,
    /// Elements of a page.
    page: u64,
}

impl Array {
    // Blocks that a row has.
    fn blocks(row: u64) -> u64 {
        1_u64
            .checked_shl(u32::try_from(row / 2).unwrap_or(u32::MAX))
            .unwrap_or(u64::MAX)
    }

    // Elements of each of them.
    fn elements(&self, row: u64) -> u64 {
        let shift = u32::try_from(row.saturating_add(1) / 2).unwrap_or(u32::MAX);
        let factor = 1_u64.checked_shl(shift).unwrap_or(u64::MAX);
        self.least.saturating_mul(factor)
    }
}
