//! ELF: programs and libraries of Linux and others (System V ABI, chapter 4).

use crate::route::Head;
use crate::source::{Cursor, CursorError};
use crate::work::{Input, Look};

use super::{at, behind};

/// Returns true if a header begins it.
pub(super) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    is_head(head.bytes())
}

/// Returns true if these bytes begin a header: class, order and version are what there are.
pub(super) fn is_head(head: &[u8]) -> bool {
    matches!(head, [0x7f, b'E', b'L', b'F', 1 | 2, 1 | 2, 1, ..])
}

/// Looks at the headers.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut head = [0; 20];
    let _ = crate::source::read_full(look.input.bytes, 0, &mut head);
    let is_big = head.get(5) == Some(&2);
    let kind = at(&head, 16..18).first_chunk().map_or(0, |kind| {
        if is_big {
            u16::from_be_bytes(*kind)
        } else {
            u16::from_le_bytes(*kind)
        }
    });
    let is_library = kind == 3;
    let what = match kind {
        1 => "a part of a program (ELF)",
        3 => "a program or a library (ELF)",
        4 => "the memory of a program (ELF)",
        _ => "a program (ELF)",
    };
    super::found(look, what, is_library);
    let mut reader = Reader {
        cursor: look.input.cursor(),
        is_big,
        is_wide: head.get(4) == Some(&2),
    };
    match reader.end() {
        Ok((headers, end)) => super::ends(look, headers, end),
        Err(error) => super::broken(look, &error),
    }
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    is_big: bool,
    is_wide: bool,
}

impl Reader<'_> {
    // Where the header ends, and where all that it names does.
    fn end(&mut self) -> Result<(u64, u64), CursorError> {
        self.cursor.seek(24);
        let _entry = self.word()?;
        let (segments, sections) = (self.word()?, self.word()?);
        self.cursor.skip(4)?;
        let size = self.half()?;
        let (segment_size, segment_count) = (self.half()?, self.half()?);
        let (section_size, section_count) = (self.half()?, self.half()?);
        let table = |size: u16, count: u16| u64::from(size).saturating_mul(count.into());
        let mut end = u64::from(size)
            .max(behind(segments, table(segment_size, segment_count)))
            .max(behind(sections, table(section_size, section_count)));
        for number in 0..u64::from(segment_count) {
            let start = segments.saturating_add(number.saturating_mul(segment_size.into()));
            let offset = if self.is_wide { 8 } else { 4 };
            let (from, skipped) = self.pair(start.saturating_add(offset), 2)?;
            end = end.max(behind(from, skipped));
        }
        for number in 0..u64::from(section_count) {
            let start = sections.saturating_add(number.saturating_mul(section_size.into()));
            self.cursor.seek(start.saturating_add(4));
            let kind = self.number()?;
            let offset = if self.is_wide { 24 } else { 16 };
            let (from, len) = self.pair(start.saturating_add(offset), 0)?;
            // Sections of zeros have no bytes.
            if kind != 8 && kind != 0 {
                end = end.max(behind(from, len));
            }
        }
        Ok((size.into(), end))
    }

    // Two words, with others between.
    fn pair(&mut self, at: u64, between: u64) -> Result<(u64, u64), CursorError> {
        self.cursor.seek(at);
        let first = self.word()?;
        for _ in 0..between {
            self.word()?;
        }
        Ok((first, self.word()?))
    }

    fn half(&mut self) -> Result<u16, CursorError> {
        let bytes = self.cursor.array()?;
        Ok(if self.is_big {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        })
    }

    fn number(&mut self) -> Result<u32, CursorError> {
        let bytes = self.cursor.array()?;
        Ok(if self.is_big {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    }

    fn word(&mut self) -> Result<u64, CursorError> {
        if !self.is_wide {
            return self.number().map(u64::from);
        }
        let bytes = self.cursor.array()?;
        Ok(if self.is_big {
            u64::from_be_bytes(bytes)
        } else {
            u64::from_le_bytes(bytes)
        })
    }
}
