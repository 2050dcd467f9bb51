//! Datasets: where their values lie, in one piece or in chunks, in this file or in others
//! (specification IV.A.2.h, i, l and appendix C).

use std::io::Read;

use super::chunks::Chunk;
use super::file::{Fields, File, Stop, broken, to_u64, to_usize};
use super::types::{self, Datatype};
use crate::rules;
use crate::source::{ReadAt, read_full};

/// Largest chunk that is unpacked.
const MAX_CHUNK: u64 = 16 << 20;
/// How many bytes of values are walked at a time.
const WINDOW: u64 = 256 << 10;

/// What the messages of an object say about its values.
#[derive(Debug, Default)]
pub(super) struct Dataset {
    pub(super) space: Option<Vec<u64>>,
    pub(super) datatype: Option<Datatype>,
    /// Address and bytes of the message.
    pub(super) layout: Option<(u64, Vec<u8>)>,
    pub(super) filters: Vec<Filter>,
    pub(super) external: Option<Vec<u8>>,
}

/// A step of packing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    id: u16,
    name: String,
    values: Vec<u32>,
}

impl Filter {
    /// Reads a pipeline.
    pub(super) fn read(mut fields: Fields<'_>) -> Result<Vec<Self>, Stop> {
        let (version, count) = (fields.u8()?, fields.u8()?);
        fields.skip(if version == 1 { 6 } else { 0 })?;
        let mut filters = Vec::new();
        for _ in 0..count {
            let id = fields.u16()?;
            let len = if version == 1 || id >= 256 {
                fields.u16()?
            } else {
                0
            };
            fields.skip(2)?;
            let count = fields.u16()?;
            let len = usize::from(len);
            let padded = if version == 1 {
                len.next_multiple_of(8)
            } else {
                len
            };
            let name = super::file::text(fields.take(padded)?);
            let mut values = Vec::new();
            for _ in 0..count {
                values.push(fields.u32()?);
            }
            if version == 1 && count % 2 == 1 {
                fields.skip(4)?;
            }
            filters.push(Self { id, name, values });
        }
        Ok(filters)
    }
}

impl File<'_, '_, '_, '_> {
    /// Looks at the values of a dataset, if an object is one.
    pub(super) fn dataset(&mut self, dataset: &Dataset, path: &str) -> Result<(), Stop> {
        let (Some((at, layout)), Some(datatype)) = (&dataset.layout, &dataset.datatype) else {
            return Ok(());
        };
        for filter in &dataset.filters {
            self.filter(filter, *at, path);
        }
        let dimensions = dataset.space.clone();
        let elements = match &dimensions {
            Some(dimensions) => types::elements(dimensions)?,
            None => 0,
        };
        let size = types::size_of(elements, datatype.size)?;
        let values = Values {
            path,
            datatype,
            filters: &dataset.filters,
            dimensions: dimensions.unwrap_or_default(),
        };
        if let Some(external) = &dataset.external {
            return self.external(external, path);
        }
        let mut fields = self.fields(layout);
        let version = fields.u8()?;
        if version < 3 {
            return self.old_layout(fields, &values);
        }
        match fields.u8()? {
            0 => {
                let len = usize::from(fields.u16()?);
                let at = at.saturating_add(4);
                let bytes = fields.take(len)?.to_vec();
                self.value(datatype, &bytes, &self.at(at, path))
            }
            1 => {
                let address = fields.address()?;
                let stored = fields.length()?;
                // What is stored is the size in the layout; the dimensions must fit into it.
                if size > stored && address.is_some() {
                    return broken(format!("`{path}` has {stored} bytes, and needs {size}"));
                }
                self.contiguous(address, stored, &values)
            }
            2 => self.chunked(fields, version, &values),
            3 => {
                let collection = fields.address()?;
                let index = fields.u32()?;
                self.virtual_sources(collection, index, path)
            }
            other => broken(format!("there is no layout of class {other}")),
        }
    }

    fn old_layout(&mut self, mut fields: Fields<'_>, values: &Values<'_>) -> Result<(), Stop> {
        let (rank, class) = (fields.u8()?, fields.u8()?);
        fields.skip(5)?;
        let address = if class == 0 { None } else { fields.address()? };
        let mut product = 1_u64;
        let mut sizes = Vec::new();
        for _ in 0..rank {
            let one = u64::from(fields.u32()?);
            sizes.push(one);
            product = product.saturating_mul(one);
        }
        match class {
            0 => {
                let size = to_usize(u64::from(fields.u32()?));
                let bytes = fields.take(size)?.to_vec();
                self.value(values.datatype, &bytes, &self.at(0, values.path))
            }
            1 => {
                let size = types::elements(&values.dimensions)?;
                let size = types::size_of(size, values.datatype.size)?;
                self.contiguous(address, size.max(product), values)
            }
            // The last size is that of a value.
            _ => self.chunk_tree(address, &sizes, values),
        }
    }

    fn contiguous(
        &mut self,
        address: Option<u64>,
        size: u64,
        values: &Values<'_>,
    ) -> Result<(), Stop> {
        let Some(address) = address else {
            return Ok(());
        };
        let part = self.values(address, size)?;
        let name = values.path.trim_start_matches('/');
        self.look.work.opaque_member(self.look.input, name, &part)?;
        if !values.datatype.refers() {
            return Ok(());
        }
        self.walk(&part, values)
    }

    // Walks values of which some refer to further bytes, a window at a time.
    fn walk(&mut self, part: &dyn ReadAt, values: &Values<'_>) -> Result<(), Stop> {
        let one = values.datatype.size.max(1);
        let window = WINDOW
            .checked_div(one)
            .unwrap_or(0)
            .max(1)
            .saturating_mul(one);
        let mut at = 0;
        while at < part.len() {
            self.look.work.tick(&self.look.input.path)?;
            let mut bytes = vec![0; to_usize(window.min(part.len().saturating_sub(at)))];
            if read_full(part, at, &mut bytes).ok() != Some(bytes.len()) {
                return broken("values cannot be read");
            }
            self.value(values.datatype, &bytes, &self.at(0, values.path))?;
            at = at.saturating_add(window);
        }
        Ok(())
    }

    /// Looks at a chunk.
    pub(super) fn chunk(&mut self, chunk: &Chunk, values: &Values<'_>) -> Result<(), Stop> {
        let part = self.values(chunk.address, chunk.size)?;
        let skips = |index: usize| {
            let bit = u32::try_from(index)
                .ok()
                .and_then(|shift| 1_u32.checked_shl(shift));
            bit.is_some_and(|bit| chunk.mask & bit != 0)
        };
        let filters = values.filters.iter().enumerate();
        let filters: Vec<&Filter> = filters
            .filter(|(index, _)| !skips(*index))
            .map(|(_, filter)| filter)
            .collect();
        let name = format!("{}@{}", values.path.trim_start_matches('/'), chunk.address);
        if filters.is_empty() {
            self.look
                .work
                .opaque_member(self.look.input, &name, &part)?;
            if values.datatype.refers() {
                self.walk(&part, values)?;
            }
            return Ok(());
        }
        if !values.datatype.refers() && !values.datatype.is_bytes() {
            return Ok(());
        }
        let unpacked = if chunk.size <= MAX_CHUNK {
            self.unpacked(&part, &filters, values.datatype.size)?
        } else {
            None
        };
        match unpacked {
            Some(bytes) => {
                self.look
                    .work
                    .opaque_member(self.look.input, &name, &bytes)?;
                if values.datatype.refers() {
                    self.walk(&bytes, values)?;
                }
                Ok(())
            }
            None if values.datatype.refers() => Err(Stop::Unread(format!(
                "`{}` is packed in a way that is not read",
                values.path
            ))),
            None => Ok(()),
        }
    }

    // Undoes the steps of packing, the last first; `None` if one of them is not known here.
    fn unpacked(
        &mut self,
        part: &dyn ReadAt,
        filters: &[&Filter],
        size: u64,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let Ok(mut bytes) = crate::source::read_all(part) else {
            return Ok(None);
        };
        for filter in filters.iter().rev() {
            bytes = match filter.id {
                1 => {
                    let mut out = Vec::new();
                    let packed = to_u64(bytes.len());
                    let stream = flate2::read::ZlibDecoder::new(bytes.as_slice());
                    let outcome = stream.take(MAX_CHUNK).read_to_end(&mut out);
                    let count = to_u64(out.len());
                    let path = &self.look.input.path;
                    self.look.work.unpack(path, count, (count, packed.max(1)))?;
                    if outcome.is_err() || count >= MAX_CHUNK {
                        return Ok(None);
                    }
                    out
                }
                2 => unshuffle(
                    &bytes,
                    filter.values.first().map_or(size, |one| u64::from(*one)),
                ),
                3 => {
                    bytes.truncate(bytes.len().saturating_sub(4));
                    bytes
                }
                _ => return Ok(None),
            };
        }
        Ok(Some(bytes))
    }

    // Filters that every library has are nothing to tell of; others are loaded as programs.
    fn filter(&mut self, filter: &Filter, at: u64, path: &str) {
        let known = PLUGINS.iter().find(|(id, _)| *id == filter.id);
        if filter.id <= 6 || !self.filters.insert(filter.id) {
            return;
        }
        let at = self.at(at, path);
        let mut finding = if let Some((id, name)) = known {
            let message = format!("`{path}` is packed by filter {id} ({name}), a plugin");
            let mut finding = rules::graphs::HDF5_FILTER.finding(at, message);
            finding.severity = custos_core::finding::Severity::Info;
            finding
        } else {
            let message = format!(
                "`{path}` is packed by filter {}, which nobody knows",
                filter.id
            );
            rules::graphs::HDF5_FILTER.finding(at, message)
        };
        if !filter.name.is_empty() {
            finding.evidence = Some(filter.name.chars().take(80).collect());
        }
        self.look.work.find(finding);
    }

    fn external(&mut self, message: &[u8], path: &str) -> Result<(), Stop> {
        let mut fields = self.fields(message);
        fields.skip(6)?;
        let count = fields.u16()?;
        let Some(heap) = fields.address()? else {
            return Ok(());
        };
        let names = self.local_heap(heap)?;
        for _ in 0..count {
            let (name, offset, size) = (fields.length()?, fields.length()?, fields.length()?);
            let name = names
                .get(to_usize(name)..)
                .map(super::file::text)
                .unwrap_or_default();
            let message =
                format!("the values of `{path}` are {size} bytes at {offset} of the file `{name}`");
            self.leads_to(&name, (path, message));
        }
        Ok(())
    }

    // Where the values of a dataset come from that has none of its own.
    fn virtual_sources(
        &mut self,
        collection: Option<u64>,
        index: u32,
        path: &str,
    ) -> Result<(), Stop> {
        let Some(collection) = collection else {
            return Ok(());
        };
        let index = u16::try_from(index).unwrap_or(0);
        let (at, len) = self.collected(collection, index)?;
        let bytes = self.peek(at, len)?;
        let mut fields = self.fields(&bytes);
        let version = fields.u8()?;
        let count = fields.length()?;
        if version != 0 {
            return Err(Stop::Unread(format!(
                "`{path}` is put together in a new way"
            )));
        }
        let mut told = std::collections::BTreeSet::new();
        for _ in 0..count {
            let (file, object) = (fields.text(1)?, fields.text(1)?);
            if file != "." && told.insert(file.clone()) {
                let message = format!("values of `{path}` are those of `{object}` in `{file}`");
                self.leads_to(&file, (path, message));
            }
            selection(&mut fields)?;
            selection(&mut fields)?;
        }
        Ok(())
    }
}

/// A dataset whose values are looked at.
pub(super) struct Values<'v> {
    pub(super) path: &'v str,
    pub(super) datatype: &'v Datatype,
    pub(super) filters: &'v [Filter],
    pub(super) dimensions: Vec<u64>,
}

// Skips a selection (specification VII.C).
fn selection(fields: &mut Fields<'_>) -> Result<(), Stop> {
    let (kind, version) = (fields.u32()?, fields.u32()?);
    let more = match (kind, version) {
        // None, and all.
        (0 | 3, _) => 8,
        (1, _) | (2, 1) => {
            fields.skip(4)?;
            to_usize(u64::from(fields.u32()?))
        }
        (2, 2) => {
            fields.skip(5)?;
            let rank = to_usize(u64::from(fields.u32()?));
            // The length counts from the rank on, which is read already.
            rank.saturating_mul(32)
        }
        (2, 3) => {
            let flags = fields.u8()?;
            let width = usize::from(fields.u8()?);
            let rank = to_usize(u64::from(fields.u32()?));
            if flags & 1 == 0 {
                let blocks = to_usize(fields.number(width)?);
                blocks
                    .saturating_mul(rank)
                    .saturating_mul(2)
                    .saturating_mul(width)
            } else {
                rank.saturating_mul(4).saturating_mul(width)
            }
        }
        _ => return Err(Stop::Unread("a selection is of a new kind".to_owned())),
    };
    fields.skip(more)
}

fn unshuffle(bytes: &[u8], size: u64) -> Vec<u8> {
    let size = to_usize(size).max(1);
    let count = bytes.len().checked_div(size).unwrap_or(0);
    let whole = count.saturating_mul(size);
    let mut out = vec![0; bytes.len()];
    for (index, byte) in bytes.iter().enumerate() {
        let to = if index < whole {
            let (lane, item) = (index.checked_div(count), index.checked_rem(count));
            item.unwrap_or(0)
                .saturating_mul(size)
                .saturating_add(lane.unwrap_or(0))
        } else {
            index
        };
        if let Some(place) = out.get_mut(to) {
            *place = *byte;
        }
    }
    out
}

/// Filters that are registered with the HDF Group and in wide use.
static PLUGINS: &[(u16, &str)] = &[
    (305, "LZO"),
    (307, "BZIP2"),
    (32000, "LZF"),
    (32001, "Blosc"),
    (32002, "MAFISC"),
    (32003, "Snappy"),
    (32004, "LZ4"),
    (32008, "Bitshuffle"),
    (32009, "SPDP"),
    (32010, "LPC-Rice"),
    (32013, "ZFP"),
    (32014, "FPZip"),
    (32015, "Zstandard"),
    (32016, "B3D"),
    (32017, "SZ"),
    (32018, "FCIDECOMP"),
    (32019, "JPEG"),
    (32022, "Granular BitRound"),
    (32023, "BitGroom"),
    (32024, "SZ3"),
    (32026, "Blosc2"),
    (32028, "JPEG-LS"),
];
