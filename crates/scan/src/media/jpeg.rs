//! JPEG (ITU-T T.81): segments, and coded data between them.

use super::parts::{self, be16};
use crate::route::Head;
use crate::source::{Cursor, read_full};
use crate::work::{Input, Look};

/// Returns true for the start of an image and a marker.
pub(super) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    let marker = head.bytes().get(3);
    head.starts_with(b"\xff\xd8\xff")
        && marker.is_some_and(|marker| matches!(marker, 0xc0..=0xcf | 0xda..=0xfe))
}

/// Looks at all segments.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut at = 2;
    look.covered.parsed(0..2);
    loop {
        if look.work.tick(&look.input.path).is_err() {
            return;
        }
        let mut cursor = Cursor::at(look.input.bytes, at);
        let marker = match (cursor.u8(), cursor.u8()) {
            (Ok(0xff), Ok(marker)) => marker,
            (Ok(_), Ok(_)) => return parts::broken(look, at, "no marker where one belongs"),
            _ => return parts::broken(look, at, "it has no end"),
        };
        let start = at.saturating_add(2);
        look.covered.parsed(at..start);
        match marker {
            // Fill bytes come before a marker.
            0xff => at = at.saturating_add(1),
            0xd9 => return parts::tail(look, start),
            0x01 | 0xd0..=0xd8 => at = start,
            _ => {
                let Some(len) = be16(&mut cursor).filter(|len| *len >= 2) else {
                    return parts::broken(look, at, "a segment without a length");
                };
                let end = start.saturating_add(u64::from(len));
                if end > look.input.bytes.len() {
                    return parts::broken(look, at, "a segment ends behind the file");
                }
                let data = start.saturating_add(2)..end;
                look.covered.parsed(start..data.start);
                match marker {
                    0xe0..=0xef | 0xfe => parts::metadata(look, data, "a segment of metadata"),
                    _ => look.covered.parsed(data),
                }
                if matches!(marker, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf) {
                    let height = cursor.skip(1).ok().and_then(|()| be16(&mut cursor));
                    if let (Some(height), Some(width)) = (height, be16(&mut cursor)) {
                        parts::dimensions(look, width.into(), height.into());
                    }
                }
                at = end;
                if marker == 0xda {
                    let next = coded(look, end);
                    parts::values(look, end..next);
                    at = next;
                }
            }
        }
    }
}

// Returns where the coded data ends: at the next marker that is not part of it.
fn coded(look: &Look<'_, '_, '_>, start: u64) -> u64 {
    let mut buffer = vec![0; 64 << 10];
    let mut at = start;
    loop {
        let count = read_full(look.input.bytes, at, &mut buffer).unwrap_or(0);
        let read = buffer.get(..count).unwrap_or_default();
        let found = read.windows(2).position(
            |pair| matches!(pair, [0xff, marker] if !matches!(marker, 0 | 0xd0..=0xd7 | 0xff)),
        );
        if let Some(found) = found {
            return at.saturating_add(u64::try_from(found).unwrap_or(0));
        }
        if count < buffer.len() {
            return look.input.bytes.len();
        }
        // The last byte may begin a marker.
        at = at.saturating_add(u64::try_from(count).unwrap_or(1).saturating_sub(1));
    }
}
