//! BMP and ICO (Windows bitmaps and icons).

use super::parts;
use crate::route::Head;
use crate::source::{Cursor, Part};
use crate::work::{Input, Look};

/// Returns true for a bitmap whose header fits its file.
pub(super) fn is_bmp(head: &Head, input: &Input<'_>) -> bool {
    let bytes = head.bytes();
    let number = |at: usize| {
        let four = bytes.get(at..at.checked_add(4)?)?;
        Some(u64::from(u32::from_le_bytes(four.try_into().ok()?)))
    };
    let (Some(start), Some(header)) = (number(10), number(14)) else {
        return false;
    };
    head.starts_with(b"BM")
        && matches!(header, 12 | 40 | 52 | 56 | 64 | 108 | 124)
        && start >= header.saturating_add(14)
        && start <= input.bytes.len()
        && bytes.get(6..10) == Some(&[0; 4])
}

/// Looks at a bitmap.
pub(super) fn bmp(look: &mut Look<'_, '_, '_>) {
    let mut cursor = Cursor::at(look.input.bytes, 10);
    let (Ok(start), Ok(header)) = (cursor.u32(), cursor.u32()) else {
        return parts::broken(look, 0, "it ends inside of its header");
    };
    let (width, height, bits, packed, said) = if header == 12 {
        let mut short = || cursor.u16().ok().map(u32::from);
        let (width, height) = (short(), short());
        let _ = short();
        (width, height, short(), Some(0), Some(0))
    } else {
        let (width, height) = (cursor.u32().ok(), cursor.u32().ok());
        let planes = cursor.u16();
        let bits = planes.and_then(|_| cursor.u16()).ok().map(u32::from);
        (width, height, bits, cursor.u32().ok(), cursor.u32().ok())
    };
    let (Some(width), Some(height), Some(bits), Some(packed), Some(said)) =
        (width, height, bits, packed, said)
    else {
        return parts::broken(look, 0, "it ends inside of its header");
    };
    // A negative height is one that counts from above.
    let height = u64::from(height.cast_signed().unsigned_abs());
    let row = u64::from(width).saturating_mul(bits.into()).div_ceil(32);
    let raw = row.saturating_mul(4).saturating_mul(height);
    let len = match packed {
        0 | 3 | 6 => raw,
        _ => said.into(),
    };
    parts::dimensions(look, width.into(), height);
    let start = u64::from(start);
    let end = start.saturating_add(len);
    look.covered.parsed(0..start);
    if end > look.input.bytes.len() {
        return parts::broken(look, start, "it has fewer pixels than it says");
    }
    parts::values(look, start..end);
    parts::tail(look, end);
}

/// Returns true for an icon all of whose images lie in the file.
pub(super) fn is_ico(head: &Head, input: &Input<'_>) -> bool {
    let bytes = head.bytes();
    let [0, 0, 1 | 2, 0, count @ 1..=64, 0, ..] = *bytes else {
        return false;
    };
    images(bytes, count)
        .is_some_and(|images| images.iter().all(|range| range.end <= input.bytes.len()))
}

fn images(bytes: &[u8], count: u8) -> Option<Vec<std::ops::Range<u64>>> {
    let mut images = Vec::new();
    let directory = 6_u64.saturating_add(u64::from(count).saturating_mul(16));
    for entry in bytes.get(6..)?.chunks_exact(16).take(count.into()) {
        let len = u32::from_le_bytes(entry.get(8..12)?.try_into().ok()?);
        let start = u64::from(u32::from_le_bytes(entry.get(12..16)?.try_into().ok()?));
        if entry.get(3) != Some(&0) || start < directory || len < 40 {
            return None;
        }
        images.push(start..start.saturating_add(len.into()));
    }
    (images.len() == usize::from(count)).then_some(images)
}

/// Looks at the images of an icon.
pub(super) fn ico(look: &mut Look<'_, '_, '_>) {
    let mut cursor = Cursor::at(look.input.bytes, 0);
    let bytes = cursor.peek(2048).to_vec();
    let count = bytes.get(4).copied().unwrap_or(0);
    let Some(mut images) = images(&bytes, count) else {
        return;
    };
    let directory = 6_u64.saturating_add(u64::from(count).saturating_mul(16));
    look.covered.parsed(0..directory);
    images.sort_by_key(|range| range.start);
    let mut end = directory;
    for (index, range) in images.into_iter().enumerate() {
        let mut cursor = Cursor::at(look.input.bytes, range.start);
        if cursor.peek(4) == b"\x89PNG" {
            let part = Part::new(look.input.bytes, range.clone());
            if look.member(&format!("image-{index}"), &part).is_err() {
                return;
            }
            look.covered.parsed(range.clone());
        } else {
            parts::values(look, range.clone());
        }
        end = end.max(range.end);
    }
    parts::tail(look, end);
}
