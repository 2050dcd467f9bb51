//! RIFF and IFF: chunks with a name and a length. WebP, WAV (RF64, BW64), AVI, AIFF.

use std::ops::Range;

use super::parts;
use crate::route::Head;
use crate::source::Cursor;
use crate::work::{Input, Look};

/// Deepest nesting of lists.
const MAX_DEPTH: u32 = 8;

/// Returns true for WebP.
pub(super) fn is_webp(head: &Head, _: &Input<'_>) -> bool {
    form(head) == Some(b"WEBP")
}

/// Returns true for WAV.
pub(super) fn is_wav(head: &Head, _: &Input<'_>) -> bool {
    form(head) == Some(b"WAVE")
}

/// Returns true for AVI.
pub(super) fn is_avi(head: &Head, _: &Input<'_>) -> bool {
    form(head) == Some(b"AVI ")
}

/// Returns true for AIFF.
pub(super) fn is_aiff(head: &Head, _: &Input<'_>) -> bool {
    head.starts_with(b"FORM") && matches!(head.bytes().get(8..12), Some(b"AIFF" | b"AIFC"))
}

fn form(head: &Head) -> Option<&[u8; 4]> {
    let magic = [b"RIFF", b"RIFX", b"RF64", b"BW64"];
    let known = magic.iter().any(|magic| head.starts_with(*magic));
    let form = head.bytes().get(8..12)?;
    known.then(|| form.try_into().ok()).flatten()
}

/// Looks at all chunks.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let bytes = look.input.bytes;
    let size = bytes.len();
    let mut cursor = Cursor::at(bytes, 0);
    let Ok(magic) = cursor.array::<4>() else {
        return;
    };
    let big = matches!(&magic, b"FORM" | b"RIFX");
    let Some(len) = number(&mut cursor, big) else {
        return parts::broken(look, 4, "it ends inside of its header");
    };
    let mut walk = Walk {
        look,
        big,
        long_data: None,
    };
    let mut end = 8_u64.saturating_add(len.into());
    // A stream of unknown length, or one that is too long for the field.
    let open = matches!(len, 0 | u32::MAX) || matches!(&magic, b"RF64" | b"BW64");
    if open {
        end = size;
    }
    walk.look.covered.parsed(0..12.min(size));
    if end > size {
        parts::broken(walk.look, 4, "it is shorter than its header says");
        end = size;
    }
    walk.chunks(12..end, 0);
    if !open {
        // A chunk of an odd length is padded, and some programs do not count that.
        let padded = end.saturating_add(end % 2);
        if padded <= size && parts::is_zero(walk.look, end..padded) {
            walk.look.covered.parsed(end..padded);
            end = padded;
        }
        parts::tail(walk.look, end);
    }
}

struct Walk<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    big: bool,
    // The length of the samples when it does not fit into its field.
    long_data: Option<u64>,
}

impl Walk<'_, '_, '_, '_> {
    fn chunks(&mut self, range: Range<u64>, depth: u32) {
        let mut at = range.start;
        while at < range.end {
            if self.look.work.tick(&self.look.input.path).is_err() {
                return;
            }
            if range.end.saturating_sub(at) < 8 {
                return self.rest(at..range.end);
            }
            let mut cursor = Cursor::at(self.look.input.bytes, at);
            let (Ok(name), Some(len)) = (cursor.array::<4>(), number(&mut cursor, self.big)) else {
                return self.rest(at..range.end);
            };
            let start = at.saturating_add(8);
            let len = match (&name, len) {
                (b"data", u32::MAX) => self.long_data.unwrap_or(u64::MAX),
                (_, len) => len.into(),
            };
            let mut end = start.saturating_add(len);
            if end > range.end {
                // Recorders that are stopped leave the length of the samples open.
                let open = &name == b"data" && matches!(len, 0 | 0xffff_ff00..);
                if !open {
                    parts::broken(self.look, at, "a chunk ends behind what it lies in");
                    return;
                }
                end = range.end;
            }
            self.look.covered.parsed(at..start);
            self.chunk(name, start..end, depth);
            let padded = end.saturating_add(end.saturating_sub(start) % 2);
            if padded <= range.end {
                self.look.covered.parsed(end..padded);
            }
            at = padded;
        }
    }

    fn rest(&mut self, range: Range<u64>) {
        if parts::is_zero(self.look, range.clone()) {
            self.look.covered.parsed(range);
        } else {
            parts::broken(self.look, range.start, "it ends inside of a chunk");
        }
    }

    fn chunk(&mut self, name: [u8; 4], data: Range<u64>, depth: u32) {
        match &name {
            b"LIST" if depth < MAX_DEPTH => {
                let inner = data.start.saturating_add(4).min(data.end);
                let mut cursor = Cursor::at(self.look.input.bytes, data.start);
                self.look.covered.parsed(data.start..inner);
                if cursor.peek(4) == b"movi" {
                    parts::values(self.look, inner..data.end);
                } else {
                    self.chunks(inner..data.end, depth.saturating_add(1));
                }
            }
            b"ANMF" => {
                let inner = data.start.saturating_add(16).min(data.end);
                self.look.covered.parsed(data.start..inner);
                self.chunks(inner..data.end, MAX_DEPTH);
            }
            b"ds64" => {
                let mut cursor = Cursor::at(self.look.input.bytes, data.start.saturating_add(8));
                self.long_data = cursor.u64().ok();
                self.look.covered.parsed(data);
            }
            b"data" | b"VP8 " | b"VP8L" | b"ALPH" | b"SSND" | b"idx1" | b"JUNK" | b"FLLR" => {
                let named = format!("the chunk `{}`", String::from_utf8_lossy(&name));
                if matches!(&name, b"JUNK" | b"FLLR") {
                    parts::carried(self.look, data.clone(), &named);
                }
                parts::values(self.look, data);
            }
            b"VP8X" => {
                self.extended(data.start);
                self.look.covered.parsed(data);
            }
            _ => {
                let named = format!("the chunk `{}`", String::from_utf8_lossy(&name));
                parts::metadata(self.look, data, &named);
            }
        }
    }

    // The size of the canvas: two numbers of 24 bits, less one.
    fn extended(&mut self, at: u64) {
        let mut cursor = Cursor::at(self.look.input.bytes, at.saturating_add(4));
        let mut side = || {
            let [a, b, c] = cursor.array().ok()?;
            Some(u64::from(u32::from_le_bytes([a, b, c, 0])).saturating_add(1))
        };
        if let (Some(width), Some(height)) = (side(), side()) {
            parts::dimensions(self.look, width, height);
        }
    }
}

fn number(cursor: &mut Cursor<'_>, big: bool) -> Option<u32> {
    if big {
        parts::be32(cursor)
    } else {
        cursor.u32().ok()
    }
}
