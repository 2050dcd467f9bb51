//! Packed pages and buffers of bounded size: Snappy, gzip, LZ4, zstd.

use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;

/// How a page is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// It is not.
    None,
    /// Snappy, without frames.
    Snappy,
    /// Gzip, or zlib.
    Gzip,
    /// LZ4, a block without a frame.
    Lz4Block,
    /// LZ4 in frames, or as Hadoop frames it.
    Lz4,
    /// zstd.
    Zstd,
}

/// Unpacks bytes that say that they have `size` when unpacked, which the caller has bounded.
pub(super) fn unpack(codec: Codec, packed: &[u8], size: usize) -> io::Result<Vec<u8>> {
    if size == 0 && packed.len() <= 16 {
        return Ok(Vec::new());
    }
    let bytes = match codec {
        Codec::None => packed.to_vec(),
        Codec::Snappy => snappy(packed, size).ok_or_else(broken)?,
        Codec::Gzip => to_end(MultiGzDecoder::new(packed), size)?,
        Codec::Lz4Block => lz4_flex::block::decompress(packed, size).map_err(io::Error::other)?,
        Codec::Lz4 => lz4(packed, size)?,
        Codec::Zstd => {
            let reader = ruzstd::decoding::StreamingDecoder::new(packed);
            to_end(reader.map_err(io::Error::other)?, size)?
        }
    };
    if bytes.len() == size {
        Ok(bytes)
    } else {
        Err(io::Error::other("it has another size than it says"))
    }
}

fn broken() -> io::Error {
    io::Error::other("it is malformed")
}

fn to_end(reader: impl Read, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One more byte tells that there are too many.
    let most = u64::try_from(size).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

// A frame, blocks with two lengths before each (Hadoop), or a block alone: writers differ.
fn lz4(packed: &[u8], size: usize) -> io::Result<Vec<u8>> {
    if packed.starts_with(b"\x04\x22\x4d\x18") {
        return to_end(lz4_flex::frame::FrameDecoder::new(packed), size);
    }
    if let Some(bytes) = hadoop(packed, size) {
        return Ok(bytes);
    }
    lz4_flex::block::decompress(packed, size).map_err(io::Error::other)
}

fn hadoop(packed: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = packed;
    while !rest.is_empty() {
        let (unpacked, after) = rest.split_first_chunk()?;
        let (len, after) = after.split_first_chunk()?;
        let unpacked = usize::try_from(u32::from_be_bytes(*unpacked)).ok()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        if bytes.len().checked_add(unpacked)? > size {
            return None;
        }
        let (block, after) = after.split_at_checked(len)?;
        bytes.extend(lz4_flex::block::decompress(block, unpacked).ok()?);
        rest = after;
    }
    (bytes.len() == size).then_some(bytes)
}

// google/snappy, format_description.txt.
fn snappy(packed: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut rest = packed;
    let mut said = 0_usize;
    for shift in (0..32_u32).step_by(7) {
        let (byte, after) = rest.split_first()?;
        rest = after;
        said |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if said != size {
        return None;
    }
    let mut out = Vec::with_capacity(size);
    while let Some((tag, after)) = rest.split_first() {
        rest = after;
        let high = usize::from(tag >> 2);
        let mut number = |width: usize| -> Option<usize> {
            let (bytes, after) = rest.split_at_checked(width)?;
            rest = after;
            let fold = |number: usize, byte: &u8| number << 8 | usize::from(*byte);
            Some(bytes.iter().rev().fold(0, fold))
        };
        let (offset, len) = match tag & 3 {
            0 => {
                let len = match high {
                    60..=63 => number(high.checked_sub(59)?)?,
                    len => len,
                };
                let (literal, after) = rest.split_at_checked(len.checked_add(1)?)?;
                rest = after;
                if out.len().checked_add(literal.len())? > size {
                    return None;
                }
                out.extend_from_slice(literal);
                continue;
            }
            1 => {
                let offset = usize::from(tag >> 5) << 8 | number(1)?;
                (offset, (high & 7).checked_add(4)?)
            }
            2 => (number(2)?, high.checked_add(1)?),
            _ => (number(4)?, high.checked_add(1)?),
        };
        let from = out.len().checked_sub(offset).filter(|_| offset > 0)?;
        if out.len().checked_add(len)? > size {
            return None;
        }
        // What is copied may be what the copy writes.
        for at in from..from.checked_add(len)? {
            let byte = *out.get(at)?;
            out.push(byte);
        }
    }
    (out.len() == size).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snappy_copies_what_it_writes() {
        // "ab" and a copy of it that goes on: "abababab".
        let packed = [8, 1 << 2, b'a', b'b', 2 << 2 | 1, 2];
        assert_eq!(unpack(Codec::Snappy, &packed, 8).unwrap(), b"abababab");
        let outside = [8, 1 << 2, b'a', b'b', 2 << 2 | 1, 3];
        assert!(unpack(Codec::Snappy, &outside, 8).is_err());
        assert!(unpack(Codec::Snappy, &packed, 9).is_err());
        let mut long = vec![0xac, 0x02, 61 << 2, 43, 1];
        long.extend([b'x'; 300]);
        assert_eq!(unpack(Codec::Snappy, &long, 300).unwrap(), [b'x'; 300]);
    }

    #[test]
    fn what_is_larger_than_it_says_is_refused() {
        let text = b"hello hello hello hello hello".repeat(9);
        let block = lz4_flex::block::compress(&text);
        assert_eq!(unpack(Codec::Lz4Block, &block, text.len()).unwrap(), text);
        assert_eq!(unpack(Codec::Lz4, &block, text.len()).unwrap(), text);
        assert!(unpack(Codec::Lz4, &block, text.len() - 1).is_err());
        let mut framed = Vec::new();
        framed.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        framed.extend(u32::try_from(block.len()).unwrap().to_be_bytes());
        framed.extend(&block);
        assert_eq!(unpack(Codec::Lz4, &framed, text.len()).unwrap(), text);
    }
}
