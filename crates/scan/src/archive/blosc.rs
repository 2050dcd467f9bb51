//! Chunks of Blosc, as Zarr and others keep arrays: blocks of bytes that are sorted by their place in
//! an element, and packed.
//!
//! Blosc/c-blosc, `README_CHUNK_FORMAT.rst` (version 2): a header of sixteen bytes, where each block
//! begins, and the blocks, of one or as many streams as an element has bytes. A chunk whose array has
//! the filter `pickle` (numcodecs) is unpickled when it is read: it is looked at like any file.

use std::io::{self, Read};

use flate2::bufread::ZlibDecoder;
use ruzstd::decoding::StreamingDecoder;

use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, CursorError, read_all};
use crate::work::{Input, Limited, Look};

/// Bytes of the header.
const HEADER: u64 = 16;
/// Largest chunk that is unpacked.
const MAX_SIZE: u32 = 64 << 20;
/// Smallest part of a block that is a stream of its own.
const MIN_STREAM: u32 = 128;
/// Most bytes of an element, of which each is a stream of its own.
const MAX_STREAMS: u32 = 16;

const SHUFFLED: u8 = 1;
const STORED: u8 = 1 << 1;
const SHUFFLED_BITS: u8 = 1 << 2;
const ONE_STREAM: u8 = 1 << 4;

struct Chunk {
    flags: u8,
    // Bytes of an element, of all, of a block, and of what is packed.
    element: u32,
    size: u32,
    block: u32,
    packed: u32,
}

impl Chunk {
    // Nothing but the sizes tells a chunk: they have to fit each other, and the file.
    fn of(bytes: &[u8], len: u64) -> Option<Self> {
        let [2, 1, flags, element, rest @ ..] = bytes.first_chunk::<16>()? else {
            return None;
        };
        let mut sizes = rest
            .as_chunks()
            .0
            .iter()
            .map(|one| u32::from_le_bytes(*one));
        let chunk = Self {
            flags: *flags,
            element: u32::from(*element),
            size: sizes.next()?,
            block: sizes.next()?,
            packed: sizes.next()?,
        };
        let stored = flags & STORED != 0;
        let known = flags >> 5 <= 4 && flags & 8 == 0;
        let fitting = u64::from(chunk.packed) == len
            && chunk.size > 0
            && (1..=chunk.size).contains(&chunk.block)
            && chunk.element > 0
            && chunk.fits(stored, len);
        (known && fitting).then_some(chunk)
    }

    // All values, or where each block begins.
    fn fits(&self, stored: bool, len: u64) -> bool {
        let rest = len.saturating_sub(HEADER);
        if stored {
            return u64::from(self.size) == rest;
        }
        u64::from(self.blocks()).saturating_mul(4) <= rest
    }

    fn blocks(&self) -> u32 {
        self.size.div_ceil(self.block)
    }
}

/// Returns true if sizes of a header fit each other, and the file.
pub(crate) fn recognises(head: &Head, input: &Input<'_>) -> bool {
    Chunk::of(head.bytes(), input.bytes.len()).is_some()
}

/// Unpacks a chunk, and looks at what it holds if that is a file of its own.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>) {
    let len = look.input.bytes.len();
    let head = look.input.cursor().peek(16).to_vec();
    let Some(chunk) = Chunk::of(&head, len) else {
        return;
    };
    if chunk.size > MAX_SIZE {
        look.covered.told(0..len);
        look.gap(format!("a chunk of {} bytes is not unpacked", chunk.size));
        return;
    }
    match unpack(look, &chunk) {
        Ok(Ok(values)) => {
            look.covered.parsed(0..HEADER);
            look.covered.opaque(HEADER..len);
            // A limit is noted where it fired.
            let _ = look.work.opaque_member(look.input, "values", &values);
        }
        Ok(Err(Fault::Unread(packer))) => {
            look.covered.told(0..len);
            look.gap(format!(
                "a chunk that is packed by {packer} is not unpacked"
            ));
        }
        Ok(Err(Fault::Broken(why))) => {
            let message = format!("a chunk of Blosc cannot be unpacked: {why}");
            look.broken(&rules::archive::BLOSC_BROKEN, None, message);
        }
        Err(Limited) => {}
    }
}

enum Fault {
    Unread(&'static str),
    Broken(String),
}

impl From<CursorError> for Fault {
    fn from(error: CursorError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

fn unpack(look: &mut Look<'_, '_, '_>, chunk: &Chunk) -> Result<Result<Vec<u8>, Fault>, Limited> {
    let sizes = (u64::from(chunk.size), u64::from(chunk.packed));
    look.work.unpack(&look.input.path, sizes.0, sizes)?;
    let mut values = Vec::new();
    if chunk.flags & STORED != 0 {
        let all = read_all(look.input.bytes).map_err(Fault::from);
        return Ok(all.map(|all| all.get(16..).unwrap_or_default().to_vec()));
    }
    for number in 0..chunk.blocks() {
        look.work.tick(&look.input.path)?;
        match block(look.input.cursor(), chunk, number) {
            Ok(block) => values.extend(block),
            Err(fault) => return Ok(Err(fault)),
        }
    }
    Ok(Ok(values))
}

fn block(mut cursor: Cursor<'_>, chunk: &Chunk, number: u32) -> Result<Vec<u8>, Fault> {
    let place = u64::from(number).saturating_mul(4).saturating_add(HEADER);
    cursor.seek(place);
    let start = cursor.u32()?;
    cursor.seek(start.into());
    let before = number.saturating_mul(chunk.block);
    let size = chunk.size.saturating_sub(before).min(chunk.block);
    // The last block, if it is shorter, is one stream.
    let whole = size == chunk.block;
    let split = whole
        && chunk.flags & ONE_STREAM == 0
        && chunk.element <= MAX_STREAMS
        && chunk.block.checked_div(chunk.element) >= Some(MIN_STREAM);
    let streams = if split { chunk.element } else { 1 };
    let each = usize::try_from(size.checked_div(streams).unwrap_or(0)).unwrap_or(0);
    let mut out = Vec::new();
    for _ in 0..streams {
        let len = usize::try_from(cursor.u32()?).unwrap_or(usize::MAX);
        if len > each {
            return Err(Fault::Broken(
                "a stream is longer than its values".to_owned(),
            ));
        }
        let packed = cursor.take(len)?;
        if len == each {
            out.extend(packed);
            continue;
        }
        let fresh = stream(chunk.flags >> 5, &packed, each)?;
        if fresh.len() != each {
            return Err(Fault::Broken("a stream has fewer values".to_owned()));
        }
        out.extend(fresh);
    }
    Ok(sorted_back(chunk, out))
}

fn stream(method: u8, packed: &[u8], size: usize) -> Result<Vec<u8>, Fault> {
    let unpacker: Box<dyn Read + '_> = match method {
        1 => {
            let unpacked = lz4_flex::block::decompress(packed, size);
            return unpacked.map_err(|error| Fault::Broken(error.to_string()));
        }
        3 => Box::new(ZlibDecoder::new(packed)),
        4 => {
            let decoder = StreamingDecoder::new_with_max_window_size(packed, MAX_SIZE.into());
            Box::new(decoder.map_err(io::Error::other)?)
        }
        0 => return Err(Fault::Unread("BloscLZ")),
        _ => return Err(Fault::Unread("Snappy")),
    };
    let most = u64::try_from(size).unwrap_or(0);
    let mut out = Vec::new();
    unpacker.take(most).read_to_end(&mut out)?;
    Ok(out)
}

// All first bytes of elements come first, then all second ones.
fn sorted_back(chunk: &Chunk, block: Vec<u8>) -> Vec<u8> {
    let element = usize::try_from(chunk.element).unwrap_or(1);
    let count = block.len().checked_div(element).unwrap_or(0);
    if element > 1 && chunk.flags & SHUFFLED != 0 {
        return shuffled_back(&block, element, count);
    }
    if chunk.flags & SHUFFLED_BITS != 0 && count.is_multiple_of(8) {
        return bits_back(&block, element, count);
    }
    block
}

fn shuffled_back(block: &[u8], element: usize, count: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(block.len());
    for index in 0..count {
        for byte in 0..element {
            let place = byte.saturating_mul(count).saturating_add(index);
            out.push(block.get(place).copied().unwrap_or(0));
        }
    }
    out.extend(block.get(out.len()..).unwrap_or_default());
    out
}

// Bits of eight elements lie in one byte: first the lowest of all elements.
fn bits_back(block: &[u8], element: usize, whole: usize) -> Vec<u8> {
    let row = whole / 8;
    let mut out = vec![0; whole.saturating_mul(element)];
    for bit in 0..element.saturating_mul(8) {
        for index in 0..whole {
            let from = bit.saturating_mul(row).saturating_add(index / 8);
            let to = index.saturating_mul(element).saturating_add(bit / 8);
            let set = block
                .get(from)
                .is_some_and(|byte| byte >> (index % 8) & 1 != 0);
            if let Some(byte) = out.get_mut(to).filter(|_| set) {
                *byte |= 1 << (bit % 8);
            }
        }
    }
    out.extend(block.get(out.len()..).unwrap_or_default());
    out
}
