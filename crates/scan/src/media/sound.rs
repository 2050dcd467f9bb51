//! FLAC (RFC 9639), MP3 (ISO/IEC 11172-3) with ID3 and APE tags, Ogg (RFC 3533).

use std::ops::Range;

use super::parts;
use crate::route::Head;
use crate::source::Cursor;
use crate::work::{Input, Look};

/// Returns true for FLAC, also behind an ID3 tag.
pub(super) fn is_flac(head: &Head, input: &Input<'_>) -> bool {
    let start = id3(input);
    head.starts_with(b"fLaC") || start > 0 && Cursor::at(input.bytes, start).peek(4) == b"fLaC"
}

/// Looks at the blocks of metadata; the frames are values.
pub(super) fn flac(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    let mut at = id3(look.input);
    parts::metadata(look, 0..at, "the tag");
    look.covered.parsed(at..at.saturating_add(4));
    at = at.saturating_add(4);
    loop {
        let mut cursor = Cursor::at(look.input.bytes, at);
        let Ok([kind, a, b, c]) = cursor.array() else {
            return parts::broken(look, at, "it ends inside of its metadata");
        };
        let start = at.saturating_add(4);
        let end = start.saturating_add(u32::from_be_bytes([0, a, b, c]).into());
        if end > size {
            return parts::broken(look, at, "a block of metadata ends behind the file");
        }
        look.covered.parsed(at..start);
        parts::metadata(look, start..end, "a block of metadata");
        at = end;
        if kind & 0x80 != 0 {
            break;
        }
    }
    let end = tags_at_end(look);
    let mut cursor = Cursor::at(look.input.bytes, at);
    if at < end && !matches!(cursor.peek(2), [0xff, 0xf8 | 0xf9]) {
        return parts::broken(look, at, "no frame follows the metadata");
    }
    parts::values(look, at..end);
}

/// Returns true for two frames that follow each other, also behind an ID3 tag.
pub(super) fn is_mp3(head: &Head, input: &Input<'_>) -> bool {
    // A frame, or a tag.
    if !matches!(head.bytes().first(), Some(0xff | b'I')) {
        return false;
    }
    let mut at = id3(input);
    let tagged = at > 0;
    // Encoders and tag writers leave zeros after the tag.
    if tagged {
        at = first_frame(input, at).unwrap_or(at);
    }
    let needed = if tagged { 2 } else { 4 };
    (0..needed).all(|_| {
        let len = frame(input, at);
        at = at.saturating_add(len.unwrap_or(0));
        len.is_some()
    })
}

/// Looks at tags and frames.
pub(super) fn mp3(look: &mut Look<'_, '_, '_>) {
    let mut at = id3(look.input);
    parts::metadata(look, 0..at, "the tag");
    if at > 0 {
        let first = first_frame(look.input, at).unwrap_or(at);
        look.covered.parsed(at..first);
        at = first;
    }
    let end = tags_at_end(look);
    let start = at;
    let mut frames = 0_u64;
    while at < end {
        let Some(len) = frame(look.input, at) else {
            break;
        };
        frames = frames.saturating_add(1);
        if frames.is_multiple_of(1024) && look.work.tick(&look.input.path).is_err() {
            return;
        }
        at = at.saturating_add(len);
    }
    // The last frame may be cut.
    parts::values(look, start..at.min(end));
    if at < end {
        let message = format!("{} bytes are no frame", end.saturating_sub(at));
        if end == look.input.bytes.len() {
            parts::tail(look, at);
        } else {
            parts::metadata(look, at..end, &message);
        }
    }
}

// The length of an ID3 tag at the beginning.
fn id3(input: &Input<'_>) -> u64 {
    let mut cursor = Cursor::at(input.bytes, 0);
    let [b'I', b'D', b'3', _, _, flags, sizes @ ..] = cursor.peek(10) else {
        return 0;
    };
    let size = sizes
        .iter()
        .fold(0_u64, |size, byte| size << 7 | u64::from(byte & 0x7f));
    let footer = if flags & 0x10 == 0 { 0 } else { 10 };
    size.saturating_add(10)
        .saturating_add(footer)
        .min(input.bytes.len())
}

fn first_frame(input: &Input<'_>, from: u64) -> Option<u64> {
    const FAR: u64 = 64 << 10;
    let mut cursor = Cursor::at(input.bytes, from);
    (0..FAR)
        .map_while(|skipped| {
            let byte = cursor.u8().ok()?;
            (byte == 0 || byte == 0xff).then_some((from.saturating_add(skipped), byte))
        })
        .find(|(_, byte)| *byte == 0xff)
        .map(|(at, _)| at)
}

/// Thousands of bits a second of each layer, in the first version and in those after it.
const V1: [[u32; 15]; 3] = [
    [
        0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448,
    ],
    [
        0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
    ],
    [
        0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ],
];
const V2: [[u32; 15]; 2] = [
    [
        0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256,
    ],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

// The length of the frame at a place.
fn frame(input: &Input<'_>, at: u64) -> Option<u64> {
    let mut cursor = Cursor::at(input.bytes, at);
    let [0xff, b, c, _] = cursor.array().ok()? else {
        return None;
    };
    if b & 0xe0 != 0xe0 {
        return None;
    }
    let layer = match b >> 1 & 3 {
        3 => 0_usize,
        2 => 1,
        1 => 2,
        _ => return None,
    };
    let (first, divided) = match b >> 3 & 3 {
        3 => (true, 1),
        2 => (false, 2),
        0 => (false, 4),
        _ => return None,
    };
    let rate = match c >> 2 & 3 {
        0 => 44_100,
        1 => 48_000,
        2 => 32_000,
        _ => return None,
    };
    let rate = u32::checked_div(rate, divided)?;
    let index = usize::from(c >> 4);
    let bits = if first {
        V1.get(layer)?.get(index)?
    } else {
        V2.get(usize::from(layer > 0))?.get(index)?
    };
    let bits = bits.checked_mul(1000).filter(|bits| *bits > 0)?;
    let padding = u32::from(c >> 1 & 1);
    let len = match layer {
        0 => bits
            .checked_mul(12)?
            .checked_div(rate)?
            .checked_add(padding)?
            .checked_mul(4)?,
        2 if !first => bits
            .checked_mul(72)?
            .checked_div(rate)?
            .checked_add(padding)?,
        _ => bits
            .checked_mul(144)?
            .checked_div(rate)?
            .checked_add(padding)?,
    };
    Some(len.into())
}

// Looks at the tags that stand at the end, and returns where they begin.
fn tags_at_end(look: &mut Look<'_, '_, '_>) -> u64 {
    let mut end = look.input.bytes.len();
    let old = end.saturating_sub(128);
    if Cursor::at(look.input.bytes, old).peek(3) == b"TAG" && end >= 128 {
        parts::metadata(look, old..end, "the tag");
        end = old;
    }
    let footer = end.saturating_sub(32);
    let mut cursor = Cursor::at(look.input.bytes, footer);
    if end >= 32 && cursor.peek(8) == b"APETAGEX" && cursor.skip(12).is_ok() {
        let len = u64::from(cursor.u32().unwrap_or(0));
        let has_header = cursor.skip(4).is_ok() && cursor.u32().is_ok_and(|f| f >> 31 == 1);
        let len = len.saturating_add(if has_header { 32 } else { 0 });
        let start = end.saturating_sub(len);
        parts::metadata(look, start..end, "the tag");
        end = start;
    }
    end
}

/// Returns true for the mark of a page.
pub(super) fn is_ogg(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(b"OggS\0")
}

/// Looks at all pages; those at the beginning hold texts.
pub(super) fn ogg(look: &mut Look<'_, '_, '_>) {
    const TEXTS: u64 = 1 << 20;
    let size = look.input.bytes.len();
    let mut at = 0;
    let mut in_header = true;
    while at < size {
        if look.work.tick(&look.input.path).is_err() {
            return;
        }
        let Some(page) = page(look.input, at) else {
            return parts::tail(look, at);
        };
        if page.data.end > size {
            return parts::broken(look, at, "a page ends behind the file");
        }
        look.covered.parsed(at..page.data.start);
        // Positions count from the first page of sound on.
        in_header &= page.position == 0 || page.position == u64::MAX;
        if in_header && at < TEXTS {
            parts::metadata(look, page.data.clone(), "a page of metadata");
        } else {
            parts::values(look, page.data.clone());
        }
        at = page.data.end;
    }
}

struct Page {
    position: u64,
    data: Range<u64>,
}

fn page(input: &Input<'_>, at: u64) -> Option<Page> {
    let mut cursor = Cursor::at(input.bytes, at);
    if cursor.array().ok()? != *b"OggS\0" {
        return None;
    }
    cursor.skip(1).ok()?;
    let position = cursor.u64().ok()?;
    cursor.skip(12).ok()?;
    let count = cursor.u8().ok()?;
    let lengths = cursor.take(count.into()).ok()?;
    let len: u64 = lengths.iter().map(|len| u64::from(*len)).sum();
    let start = cursor.position();
    Some(Page {
        position,
        data: start..start.saturating_add(len),
    })
}
