//! Boxes of the ISO base media format (MP4, MOV, HEIF, AVIF; ISO/IEC 14496-12) and elements of
//! Matroska and `WebM` (RFC 9559).

use std::ops::Range;

use super::parts::{self, be32};
use crate::route::Head;
use crate::source::{Cursor, Part};
use crate::work::{Input, Look};

const MAX_DEPTH: u32 = 16;

/// Returns true for a box that tells the kind of file.
pub(super) fn is_mp4(head: &Head, _: &Input<'_>) -> bool {
    let len = head
        .bytes()
        .first_chunk()
        .map(|len| u32::from_be_bytes(*len));
    head.bytes().get(4..8) == Some(b"ftyp") && len.is_some_and(|len| (8..=4096).contains(&len))
}

/// Looks at all boxes.
pub(super) fn mp4(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    boxes(look, 0..size, 0);
}

fn boxes(look: &mut Look<'_, '_, '_>, range: Range<u64>, depth: u32) {
    let mut at = range.start;
    while at < range.end {
        if look.work.tick(&look.input.path).is_err() {
            return;
        }
        let Some((name, data)) = one_box(look.input, at, range.end) else {
            if depth == 0 {
                return parts::tail(look, at);
            }
            // Four zeros end some lists of old programs.
            return parts::metadata(look, at..range.end, "the rest of a box");
        };
        look.covered.parsed(at..data.start);
        let end = data.end;
        match &name {
            b"moov" | b"trak" | b"mdia" | b"minf" | b"udta" | b"ilst" | b"moof" | b"traf"
            | b"edts" | b"dinf" | b"mvex" | b"tref" | b"iprp" | b"ipco"
                if depth < MAX_DEPTH =>
            {
                boxes(look, data, depth.saturating_add(1));
            }
            b"mdat" | b"stbl" | b"idat" => {
                if &name != b"stbl" {
                    parts::carried(look, data.clone(), "the data");
                }
                parts::values(look, data);
            }
            _ => {
                let named = format!("the box `{}`", String::from_utf8_lossy(&name));
                parts::metadata(look, data, &named);
            }
        }
        at = end;
    }
}

fn one_box(input: &Input<'_>, at: u64, end: u64) -> Option<([u8; 4], Range<u64>)> {
    let mut cursor = Cursor::at(input.bytes, at);
    let len = be32(&mut cursor)?;
    let name: [u8; 4] = cursor.array().ok()?;
    let len = match len {
        0 => end.saturating_sub(at),
        1 => cursor.array().ok().map(u64::from_be_bytes)?,
        len => len.into(),
    };
    let to = at.checked_add(len)?;
    let start = cursor.position();
    let plain = name.iter().all(|byte| matches!(byte, 0x20..=0x7e | 0xa9));
    (plain && start <= to && to <= end).then_some((name, start..to))
}

/// Returns true for the header of EBML.
pub(super) fn is_matroska(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(b"\x1a\x45\xdf\xa3")
}

/// Looks at all elements; attached files are looked at like any other.
pub(super) fn matroska(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    elements(look, 0..size, 0);
}

fn elements(look: &mut Look<'_, '_, '_>, range: Range<u64>, depth: u32) {
    let mut at = range.start;
    while at < range.end {
        if look.work.tick(&look.input.path).is_err() {
            return;
        }
        let Some((id, data)) = element(look.input, at, range.end) else {
            if depth == 0 {
                return parts::tail(look, at);
            }
            return parts::broken(look, at, "an element ends behind what it lies in");
        };
        look.covered.parsed(at..data.start);
        at = data.end;
        match id {
            // Segment, attachments, an attached file.
            0x1853_8067 | 0x1941_a469 | 0x61a7 if depth < MAX_DEPTH => {
                elements(look, data, depth.saturating_add(1));
            }
            // The bytes of an attached file.
            0x465c => {
                let part = Part::new(look.input.bytes, data.clone());
                if look.member("attachment", &part).is_err() {
                    return;
                }
                look.covered.parsed(data);
            }
            // Clusters of blocks, and what stands for nothing.
            0x1f43_b675 => parts::values(look, data),
            0xec => {
                parts::carried(look, data.clone(), "the empty space");
                parts::values(look, data);
            }
            _ => parts::metadata(look, data, "an element"),
        }
    }
}

// A number of variable length as the name, and one as the length.
fn element(input: &Input<'_>, at: u64, end: u64) -> Option<(u64, Range<u64>)> {
    let mut cursor = Cursor::at(input.bytes, at);
    let (id, _) = varint(&mut cursor, true)?;
    let (len, open) = varint(&mut cursor, false)?;
    let start = cursor.position();
    let to = if open { end } else { start.checked_add(len)? };
    (start <= to && to <= end).then_some((id, start..to))
}

// Returns the number, and whether all its bits are set: an unknown length.
fn varint(cursor: &mut Cursor<'_>, marked: bool) -> Option<(u64, bool)> {
    let first = cursor.u8().ok()?;
    let more = first.leading_zeros();
    if more > 7 {
        return None;
    }
    let bits = u64::from(first) & (0x7f_u64 >> more);
    let mut number = if marked { first.into() } else { bits };
    for _ in 0..more {
        number = number << 8 | u64::from(cursor.u8().ok()?);
    }
    let all = 7_u32.saturating_mul(more.saturating_add(1));
    Some((
        number,
        !marked && number == (1_u64 << all).saturating_sub(1),
    ))
}
