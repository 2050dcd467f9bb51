//! Apache Avro: object container files (Avro 1.12), a schema and blocks of packed records.

use custos_core::finding::Location;

use super::cells::Cells;
use super::codecs::{self, Codec};
use crate::route::Head;
use crate::rules;
use crate::source::Cursor;
use crate::source::{Part, read_all};
use crate::text;
use crate::unpack;
use crate::work::{Input, Limited, Look};

/// Longest text of the metadata.
const MAX_TEXT: u64 = 16 << 20;
/// Largest block.
const MAX_BLOCK: u64 = 64 << 20;

/// Returns true for the mark.
pub(super) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(b"Obj\x01")
}

/// Looks at the schema and all blocks.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut cursor = Cursor::at(look.input.bytes, 4);
    let Some(codec) = header(look, &mut cursor) else {
        let at = cursor.position();
        return look.broken(&rules::media::DATA_BROKEN, at, "its header is malformed");
    };
    let Ok(sync) = cursor.array::<16>() else {
        let at = cursor.position();
        return look.broken(&rules::media::DATA_BROKEN, at, "its header is malformed");
    };
    look.covered.parsed(0..cursor.position());
    let mut cells = Cells::new("records");
    // A limit is noted where it fired.
    let _ =
        blocks(look, (&mut cursor, &mut cells), (&codec, sync)).and_then(|()| cells.flush(look));
}

// Reads keys and values, and returns how blocks are packed.
fn header(look: &mut Look<'_, '_, '_>, cursor: &mut Cursor<'_>) -> Option<String> {
    let mut codec = "null".to_owned();
    loop {
        let count = number(cursor)?;
        if count == 0 {
            return Some(codec);
        }
        if count < 0 {
            // A negative count is followed by the length.
            number(cursor)?;
        }
        for _ in 0..count.unsigned_abs() {
            let key = String::from_utf8(bytes(cursor)?).ok()?;
            let value = bytes(cursor)?;
            let value = String::from_utf8_lossy(&value).into_owned();
            let place = Location {
                pointer: Some(key.clone()),
                ..look.here()
            };
            text::inspect(look, &place, &value);
            if key == "avro.codec" {
                codec = value;
            }
        }
    }
}

fn blocks(
    look: &mut Look<'_, '_, '_>,
    (cursor, cells): (&mut Cursor<'_>, &mut Cells),
    (codec, sync): (&str, [u8; 16]),
) -> Result<(), Limited> {
    let size = look.input.bytes.len();
    loop {
        look.work.tick(&look.input.path)?;
        let at = cursor.position();
        if at >= size {
            return Ok(());
        }
        let len = number(cursor).and_then(|_| number(cursor));
        let len = len.and_then(|len| u64::try_from(len).ok());
        let start = cursor.position();
        let end = start.saturating_add(len.unwrap_or(u64::MAX));
        cursor.seek(end);
        let marked = end < size && cursor.array().is_ok_and(|mark: [u8; 16]| mark == sync);
        if !marked {
            look.broken(
                &rules::media::DATA_BROKEN,
                at,
                "a block does not end with its mark",
            );
            return Ok(());
        }
        if block(look, cells, (codec, start..end))? {
            look.covered.parsed(at..cursor.position());
        }
    }
}

fn block(
    look: &mut Look<'_, '_, '_>,
    cells: &mut Cells,
    (codec, range): (&str, std::ops::Range<u64>),
) -> Result<bool, Limited> {
    let len = range.end.saturating_sub(range.start);
    if len > MAX_BLOCK {
        look.gap(format!("a block of {len} bytes is not read"));
        return Ok(false);
    }
    let part = Part::new(look.input.bytes, range.clone());
    let held = read_all(&part).unwrap_or_default();
    let bytes = match codec {
        "null" => held,
        "snappy" => {
            // A checksum follows, and the length comes first.
            let packed = held.get(..held.len().saturating_sub(4)).unwrap_or_default();
            let size = usize::try_from(snappy_len(packed)).unwrap_or(0);
            let packed_len = u64::try_from(packed.len()).unwrap_or(0).max(1);
            let said = snappy_len(packed).min(MAX_BLOCK);
            look.work
                .unpack(&look.input.path, said, (said, packed_len))?;
            match codecs::unpack(Codec::Snappy, packed, size) {
                Ok(bytes) if said == snappy_len(packed) => bytes,
                _ => {
                    look.gap("a block cannot be unpacked");
                    return Ok(false);
                }
            }
        }
        "deflate" | "zstandard" => {
            let path = look.input.path.clone();
            let zstd = codec == "zstandard";
            let unpacker = |packed| -> std::io::Result<Box<dyn std::io::Read + '_>> {
                if zstd {
                    let reader = ruzstd::decoding::StreamingDecoder::new(packed);
                    return Ok(Box::new(reader.map_err(std::io::Error::other)?));
                }
                Ok(Box::new(flate2::read::DeflateDecoder::new(packed)))
            };
            let outcome = unpack::unpack(&path, &part, unpacker, look.work)?;
            if let Some(why) = outcome.broken {
                look.gap(format!("a block cannot be unpacked: {why}"));
                return Ok(false);
            }
            read_all(&outcome.bytes).unwrap_or_default()
        }
        other => {
            look.gap(format!("its blocks are packed by `{other}`"));
            return Ok(false);
        }
    };
    cells.add(look, &bytes)?;
    Ok(true)
}

fn snappy_len(packed: &[u8]) -> u64 {
    let mut number = 0_u64;
    for (byte, shift) in packed.iter().zip((0..35).step_by(7)) {
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

fn number(cursor: &mut Cursor<'_>) -> Option<i64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = cursor.u8().ok()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((number >> 1).cast_signed() ^ (number & 1).cast_signed().wrapping_neg());
        }
    }
    None
}

fn bytes(cursor: &mut Cursor<'_>) -> Option<Vec<u8>> {
    let len = u64::try_from(number(cursor)?)
        .ok()
        .filter(|len| *len <= MAX_TEXT)?;
    cursor.take(usize::try_from(len).ok()?).ok()
}
