//! Values that lie in messages and tables: texts for people, names for programs, bytes of any kind.

use std::ops::Range;

use custos_core::finding::Location;

use crate::source::Part;
use crate::text;
use crate::wire::Window;
use crate::work::{Limited, Look};

/// How many bytes of a text are looked at together.
const PIECE: u64 = 256 << 10;
/// Longest value of bytes that may be a text.
const MAX_TEXT_BYTES: usize = 64 << 10;
/// Shortest value that may be a file of its own.
const MIN_FILE: u64 = 64;

/// Looks at a text, piece by piece. Names are only looked at if they are no ordinary ones.
pub(crate) fn text(
    look: &mut Look<'_, '_, '_>,
    window: &Window<'_>,
    range: &Range<u64>,
    is_name: bool,
) {
    let piece = usize::try_from(PIECE).unwrap_or(usize::MAX);
    let mut from = range.start;
    while from < range.end {
        let to = from.saturating_add(PIECE).min(range.end);
        let Some(bytes) = window.bytes(&(from..to), piece) else {
            return;
        };
        let text = String::from_utf8_lossy(&bytes);
        if !is_plain(&text, is_name) {
            let at = Location {
                offset: Some(from),
                ..look.here()
            };
            text::inspect(look, &at, &text);
        }
        from = to;
    }
}

/// Looks at bytes of any kind: they may be a text, or hide a file. Returns true if they are a text.
pub(crate) fn bytes(
    look: &mut Look<'_, '_, '_>,
    window: &Window<'_>,
    name: &str,
    range: &Range<u64>,
) -> Result<bool, Limited> {
    let is_text =
        |bytes: &[u8]| !bytes.iter().any(|b| *b < 9) && std::str::from_utf8(bytes).is_ok();
    if window
        .bytes(range, MAX_TEXT_BYTES)
        .is_some_and(|bytes| is_text(&bytes))
    {
        text(look, window, range, false);
        return Ok(true);
    }
    if range.end.saturating_sub(range.start) >= MIN_FILE {
        let part = Part::new(window.source(), range.clone());
        let member = format!("{name}@{}", range.start);
        look.work.opaque_member(look.input, &member, &part)?;
    }
    Ok(false)
}

// A word or two hide nothing; a name of any length does not if it has no other letters than names
// have.
fn is_plain(text: &str, is_name: bool) -> bool {
    let short = is_name || text.len() < 16;
    short && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}
