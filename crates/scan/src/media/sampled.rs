//! Containers of samples: AU (Sun and `NeXT`), Core Audio (CAF), and Sony Wave64 (W64).

use std::ops::Range;

use super::parts;
use crate::route::Head;
use crate::source::Cursor;
use crate::work::{Input, Look};

/// What a file of Wave64 begins with, and its form.
const RIFF: [u8; 16] = *b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00";
const WAVE: [u8; 16] = *b"wave\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a";
/// Size of the name and the length of a part of Wave64.
const W64_HEAD: u64 = 24;

/// Returns true for the mark of AU, and a header that says nothing impossible.
pub(super) fn is_au(head: &Head, _: &Input<'_>) -> bool {
    let four = |at: usize| {
        let bytes = head.bytes().get(at..)?.first_chunk().copied()?;
        Some(u32::from_be_bytes(bytes))
    };
    head.starts_with(b".snd")
        && four(4).is_some_and(|offset| (24..1 << 24).contains(&offset))
        && four(12).is_some_and(|coding| (1..=30).contains(&coding))
}

/// Looks at the description; the samples are values.
pub(super) fn au(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    let mut cursor = look.input.cursor();
    cursor.seek(4);
    let (Some(start), Some(len)) = (parts::be32(&mut cursor), parts::be32(&mut cursor)) else {
        return;
    };
    let start = u64::from(start);
    if start > size {
        return parts::broken(look, 4, "it ends inside of its header");
    }
    look.covered.parsed(0..24.min(size));
    parts::metadata(look, 24..start, "the description");
    // A stream of unknown length goes on to the end.
    let end = match len {
        u32::MAX => size,
        len => start.saturating_add(len.into()),
    };
    if end > size {
        parts::broken(look, 8, "it is shorter than its header says");
    }
    let end = end.min(size);
    parts::values(look, start..end);
    parts::tail(look, end);
}

/// Returns true for the mark of Core Audio, its version, and the part that has to come first.
pub(super) fn is_caf(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(b"caff\0\x01\0\0") && head.bytes().get(8..12) == Some(b"desc")
}

/// Looks at all parts of a file of Core Audio.
pub(super) fn caf(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    let mut at = 8;
    look.covered.parsed(0..at);
    while at < size {
        let mut cursor = Cursor::at(look.input.bytes, at);
        let (Ok(name), Ok(len)) = (cursor.array::<4>(), cursor.array()) else {
            return parts::tail(look, at);
        };
        let start = at.saturating_add(12);
        let len = i64::from_be_bytes(len);
        let end = match u64::try_from(len) {
            Ok(len) => start.saturating_add(len),
            // Recorders that are stopped leave the length of the samples open.
            Err(_) if len == -1 && &name == b"data" => size,
            Err(_) => return parts::broken(look, at, "a part has an impossible length"),
        };
        if !name
            .iter()
            .all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        {
            return parts::tail(look, at);
        }
        if end > size {
            return parts::broken(look, at, "a part ends behind the file");
        }
        look.covered.parsed(at..start);
        match &name {
            b"data" | b"pakt" | b"ovvw" => parts::values(look, start..end),
            b"free" => free(look, start..end),
            _ => parts::metadata(look, start..end, "a part of the description"),
        }
        if look.work.tick(&look.input.path).is_err() {
            return;
        }
        at = end;
    }
}

// Room that is left: zeros, or something that hides.
fn free(look: &mut Look<'_, '_, '_>, range: Range<u64>) {
    if parts::is_zero(look, range.clone()) {
        look.covered.parsed(range);
    } else {
        parts::metadata(look, range, "room that is left free");
    }
}

/// Returns true for the mark and the form of Wave64.
pub(super) fn is_w64(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(&RIFF) && head.bytes().get(24..40) == Some(&WAVE)
}

/// Looks at all parts of a file of Wave64.
pub(super) fn w64(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    let mut cursor = Cursor::at(look.input.bytes, 16);
    let said = cursor.u64().unwrap_or(0);
    let all = said.min(size);
    if said > size {
        parts::broken(look, 16, "it is shorter than its header says");
    }
    look.covered.parsed(0..40.min(size));
    let mut at = 40;
    while at < all {
        let mut cursor = Cursor::at(look.input.bytes, at);
        let (Ok(name), Ok(len)) = (cursor.array::<16>(), cursor.u64()) else {
            return parts::tail(look, at);
        };
        let end = at.saturating_add(len);
        if len < W64_HEAD || end > size {
            return parts::broken(look, at, "a part ends behind the file, or before it begins");
        }
        let start = at.saturating_add(W64_HEAD);
        look.covered.parsed(at..start);
        if name.starts_with(b"data") {
            parts::values(look, start..end);
        } else {
            parts::metadata(look, start..end, "a part of the description");
        }
        // Parts begin at multiples of eight bytes.
        at = end.checked_next_multiple_of(8).unwrap_or(end).min(size);
        look.covered.parsed(end..at);
        if look.work.tick(&look.input.path).is_err() {
            return;
        }
    }
    parts::tail(look, at.max(all));
}
