//! PNG (ISO/IEC 15948, W3C PNG third edition): chunks, each with its checksum.

use std::io::Read as _;
use std::ops::Range;

use custos_core::finding::Location;

use super::parts::{self, be32};
use crate::route::Head;
use crate::rules;
use crate::source::{Cursor, Part, ReadAt as _};
use crate::unpack;
use crate::work::{Input, Look};

/// Longest text that is unpacked, and how many times as long as it was: few texts pack so well.
const MAX_TEXT: u64 = 4 << 20;
const MAX_RATIO: u64 = 64;
/// Longest text that may have packed better.
const SHORT: u64 = 4 << 10;

/// Returns true for the signature.
pub(super) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(b"\x89PNG\r\n\x1a\n")
}

/// Looks at all chunks.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    let mut at = 8;
    look.covered.parsed(0..8);
    while at < size {
        if look.work.tick(&look.input.path).is_err() {
            return;
        }
        let mut cursor = Cursor::at(look.input.bytes, at);
        let (Some(len), Ok(kind)) = (be32(&mut cursor), cursor.array::<4>()) else {
            return parts::broken(look, at, "it ends inside of a chunk");
        };
        let start = at.saturating_add(8);
        let data = start..start.saturating_add(u64::from(len));
        let end = data.end.saturating_add(4);
        if end > size || !kind.iter().all(u8::is_ascii_alphabetic) {
            return parts::broken(look, at, "a chunk has no name, or ends behind the file");
        }
        look.covered.parsed(at..start);
        look.covered.parsed(data.end..end);
        checksum(look, kind, at.saturating_add(4)..data.end);
        chunk(look, kind, data);
        at = end;
        if &kind == b"IEND" {
            return parts::tail(look, at);
        }
    }
    parts::broken(look, at, "it has no end");
}

fn chunk(look: &mut Look<'_, '_, '_>, kind: [u8; 4], data: Range<u64>) {
    match &kind {
        b"IHDR" => {
            let mut cursor = Cursor::at(look.input.bytes, data.start);
            if let (Some(width), Some(height)) = (be32(&mut cursor), be32(&mut cursor)) {
                parts::dimensions(look, width.into(), height.into());
            }
            look.covered.parsed(data);
        }
        b"PLTE" | b"tRNS" | b"gAMA" | b"cHRM" | b"sRGB" | b"pHYs" | b"tIME" | b"bKGD" | b"sBIT"
        | b"hIST" | b"acTL" | b"fcTL" | b"oFFs" | b"IEND" => look.covered.parsed(data),
        b"IDAT" | b"fdAT" => parts::values(look, data),
        b"zTXt" | b"iTXt" | b"iCCP" => {
            packed_text(look, data.clone(), kind == *b"iTXt");
            parts::metadata(look, data, "a chunk of text");
        }
        _ => {
            let name = String::from_utf8_lossy(&kind).into_owned();
            parts::metadata(look, data, &format!("the chunk `{name}`"));
        }
    }
}

// A keyword, a zero, one or two bytes of method, and a zlib stream.
fn packed_text(look: &mut Look<'_, '_, '_>, data: Range<u64>, international: bool) {
    let mut cursor = Cursor::at(look.input.bytes, data.start);
    let head = cursor.peek(256).to_vec();
    let Some(keyword) = head.iter().position(|byte| *byte == 0) else {
        return;
    };
    let mut from = keyword.saturating_add(2);
    if international {
        if head.get(keyword.saturating_add(1)) != Some(&1) {
            return;
        }
        // Two texts that end with a zero come before.
        let rest = head.get(keyword.saturating_add(3)..).unwrap_or_default();
        let ends: Vec<usize> = rest
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == 0)
            .map(|(at, _)| at)
            .take(2)
            .collect();
        let [_, second] = *ends.as_slice() else {
            return;
        };
        from = keyword.saturating_add(second).saturating_add(4);
    }
    let start = data.start.saturating_add(u64::try_from(from).unwrap_or(0));
    let part = Part::new(look.input.bytes, start..data.end);
    let most = part.len().saturating_mul(MAX_RATIO).saturating_add(SHORT);
    let most = most.min(MAX_TEXT);
    let unpacker = |packed| {
        let reader = flate2::read::ZlibDecoder::new(packed);
        Ok(reader.take(most.saturating_add(1)))
    };
    let path = look.input.path.clone();
    let Ok(outcome) = unpack::unpack(&path, &part, unpacker, look.work) else {
        return;
    };
    if outcome.bytes.len() > most {
        look.gap("a text in it unpacks to more than is looked at");
    }
    if let Ok(bytes) = crate::source::read_all(&outcome.bytes) {
        let place = Location {
            offset: Some(start),
            ..look.here()
        };
        parts::texts(look, &place, &bytes);
    }
}

fn checksum(look: &mut Look<'_, '_, '_>, kind: [u8; 4], range: Range<u64>) {
    const STEP: usize = 32 << 10;
    let mut cursor = Cursor::at(look.input.bytes, range.start);
    let mut hasher = crc32fast::Hasher::new();
    let mut left = range.end.saturating_sub(range.start);
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(STEP).min(STEP);
        let Ok(bytes) = cursor.take(count) else {
            return;
        };
        hasher.update(&bytes);
        left = left.saturating_sub(u64::try_from(count).unwrap_or(left));
    }
    let said = be32(&mut cursor);
    if said.is_some_and(|said| said != hasher.finalize()) {
        let name = String::from_utf8_lossy(&kind);
        let message = format!("the checksum of the chunk `{name}` is wrong");
        look.see(&rules::media::MEDIA_CHECKSUM, range.start, message);
    }
}
