//! Blocks of 7z that are packed by zstd or LZ4 alone, which are frames as they are elsewhere.

use sevenz_rust2::Archive;

use crate::archive::packed::Packing;
use crate::source::{Part, ReadAt, crc32};
use crate::unpack::{Outcome, unpack};
use crate::work::{Limited, Look};

/// Where packed streams are counted from.
const START: u64 = 32;

/// Returns how each block is packed, if these are the methods of all.
pub(super) fn packings(archive: &Archive) -> Option<Vec<Packing>> {
    let one_each = archive.blocks.len() == archive.pack_sizes().len();
    let blocks = archive.blocks.iter().filter(|_| one_each);
    let packings: Option<Vec<Packing>> = blocks
        .map(|block| match block.coders.as_slice() {
            [coder] => match coder.encoder_method_id() {
                [0x04, 0xf7, 0x11, 0x01] => Some(Packing::Zstd),
                [0x04, 0xf7, 0x11, 0x04] => Some(Packing::Lz4),
                _ => None,
            },
            _ => None,
        })
        .collect();
    packings.filter(|packings| !packings.is_empty())
}

/// Looks at all members. Returns true if they were read and understood.
pub(super) fn members(
    look: &mut Look<'_, '_, '_>,
    archive: &Archive,
    packings: &[Packing],
) -> Result<bool, Limited> {
    let mut at = START.saturating_add(archive.pack_pos());
    let mut whole = true;
    for (index, (packing, size)) in packings.iter().zip(archive.pack_sizes()).enumerate() {
        let end = at.saturating_add(*size);
        let packed = Part::new(look.input.bytes, at..end);
        at = end;
        let outcome = block(look, *packing, &packed)?;
        if let Some(why) = &outcome.broken {
            super::broken(
                look,
                &format!("a block cannot be unpacked to its end: {why}"),
            );
            whole = false;
        }
        let sum = archive.blocks.get(index).filter(|block| block.has_crc);
        let is_other = |sum: u64| crc32(&outcome.bytes).ok().map(u64::from) != Some(sum);
        if sum.is_some_and(|block| is_other(block.crc)) {
            super::broken(look, "the checksum of a block is not its own");
            whole = false;
        }
        whole &= files(look, archive, (index, &outcome.bytes))?;
    }
    for entry in archive.files.iter().filter(|entry| !entry.has_stream) {
        super::name(look, entry);
    }
    Ok(whole)
}

// Frames in a row are one content.
fn block(
    look: &mut Look<'_, '_, '_>,
    packing: Packing,
    packed: &dyn ReadAt,
) -> Result<Outcome, Limited> {
    let path = look.input.path.clone();
    let mut outcome = unpack(&path, packed, |packed| packing.open(packed), look.work)?;
    while outcome.broken.is_none() && outcome.read < packed.len() {
        let before = outcome.read;
        let open = |packed| packing.open(packed);
        outcome.more((&path, packed), open, look.work)?;
        if outcome.read == before {
            outcome.broken = Some("a frame has no end".to_owned());
        }
    }
    Ok(outcome)
}

fn files(
    look: &mut Look<'_, '_, '_>,
    archive: &Archive,
    (block, bytes): (usize, &dyn ReadAt),
) -> Result<bool, Limited> {
    let mut at = 0_u64;
    let mut whole = true;
    let places = &archive.stream_map.file_block_index;
    for (entry, place) in archive.files.iter().zip(places) {
        if *place != Some(block) || !entry.has_stream {
            continue;
        }
        super::name(look, entry);
        let end = at.saturating_add(entry.size);
        let part = Part::new(bytes, at..end);
        at = end;
        if part.len() != entry.size {
            super::broken(look, &format!("`{}` is not all there", entry.name));
            whole = false;
        } else if entry.has_crc && crc32(&part).ok().map(u64::from) != Some(entry.crc) {
            super::broken(
                look,
                &format!("the checksum of `{}` is not its own", entry.name),
            );
            whole = false;
        }
        whole &= super::content(look, entry, &part)?;
    }
    Ok(whole)
}
