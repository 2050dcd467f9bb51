//! TIFF 6.0 and `BigTIFF`: directories of fields, and strips or tiles of values.

use std::collections::BTreeSet;
use std::ops::Range;

use super::parts;
use crate::route::Head;
use crate::source::Cursor;
use crate::work::{Input, Look};

/// Most directories that are visited.
const MAX_DIRECTORIES: usize = 10_000;
/// Most fields of a directory.
const MAX_FIELDS: u64 = 4_096;
/// Most numbers of a field.
const MAX_NUMBERS: u64 = 1 << 20;

/// Returns true for the four signatures.
pub(super) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    const MAGIC: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"];
    MAGIC.iter().any(|magic| head.starts_with(magic))
}

/// Looks at all directories and at where their values lie.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let mut cursor = Cursor::at(look.input.bytes, 0);
    let head = cursor.peek(4).to_vec();
    let big = head.contains(&b'+');
    let little = head.first() == Some(&b'I');
    let mut walk = Walk {
        look,
        little,
        wide: big,
        seen: BTreeSet::new(),
        known: Vec::new(),
    };
    let (place, header) = if big { (8, 16) } else { (4, 8) };
    let first = walk.place(place);
    walk.parsed(0..header);
    let mut next = first;
    while let Some(at) = next.filter(|at| *at != 0) {
        if walk.seen.len() > MAX_DIRECTORIES || !walk.seen.insert(at) {
            return parts::broken(walk.look, at, "its directories lead in a circle");
        }
        if walk.look.work.tick(&walk.look.input.path).is_err() {
            return;
        }
        let Some(following) = walk.directory(at, 0) else {
            return parts::broken(walk.look, at, "a directory or a field lies outside of it");
        };
        next = Some(following);
    }
    walk.holes();
}

struct Walk<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    little: bool,
    wide: bool,
    seen: BTreeSet<u64>,
    known: Vec<Range<u64>>,
}

struct Field {
    tag: u16,
    kind: u16,
    count: u64,
    data: Range<u64>,
}

impl Walk<'_, '_, '_, '_> {
    fn parsed(&mut self, range: Range<u64>) {
        self.look.covered.parsed(range.clone());
        self.known.push(range);
    }

    fn number(&self, at: u64, width: u64) -> Option<u64> {
        let mut cursor = Cursor::at(self.look.input.bytes, at);
        let little = self.little;
        match width {
            1 => cursor.u8().ok().map(u64::from),
            2 => cursor.array().ok().map(|two| {
                u64::from(if little {
                    u16::from_le_bytes(two)
                } else {
                    u16::from_be_bytes(two)
                })
            }),
            4 => cursor.array().ok().map(|four| {
                u64::from(if little {
                    u32::from_le_bytes(four)
                } else {
                    u32::from_be_bytes(four)
                })
            }),
            _ => cursor.array().ok().map(|eight| {
                if little {
                    u64::from_le_bytes(eight)
                } else {
                    u64::from_be_bytes(eight)
                }
            }),
        }
    }

    fn place(&self, at: u64) -> Option<u64> {
        self.number(at, if self.wide { 8 } else { 4 })
    }

    // Returns where the next directory is.
    fn directory(&mut self, at: u64, depth: u32) -> Option<u64> {
        let (head, entry, place) = if self.wide { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.number(at, head)?;
        if count > MAX_FIELDS {
            return None;
        }
        let start = at.saturating_add(head);
        let end = start.saturating_add(count.saturating_mul(entry));
        let after = end.saturating_add(place);
        let mut fields = Vec::new();
        for index in 0..count {
            fields.push(self.field(start.saturating_add(index.saturating_mul(entry)))?);
        }
        self.parsed(at..after.min(self.look.input.bytes.len()));
        for (offsets, lengths) in [(273, 279), (324, 325), (513, 514), (288, 289)] {
            self.values(&fields, offsets, lengths)?;
        }
        let one = |tag: u16| fields.iter().find(|field| field.tag == tag);
        if let (Some(width), Some(height)) = (one(256), one(257)) {
            let width = self.numbers(width)?.first().copied()?;
            let height = self.numbers(height)?.first().copied()?;
            parts::dimensions(self.look, width, height);
        }
        for field in &fields {
            match field.tag {
                // Directories below this one: pictures, EXIF, places.
                330 | 34665 | 34853 | 40965 if depth < 4 => {
                    for below in self.numbers(field)? {
                        if self.seen.insert(below) {
                            self.directory(below, depth.saturating_add(1))?;
                        }
                    }
                }
                273 | 279 | 324 | 325 => {}
                _ if matches!(field.kind, 1 | 2 | 6 | 7) && field.count > 4 => {
                    parts::metadata(self.look, field.data.clone(), "a field of metadata");
                }
                _ => {}
            }
        }
        self.place(end)
    }

    fn field(&mut self, at: u64) -> Option<Field> {
        let tag = u16::try_from(self.number(at, 2)?).ok()?;
        let kind = u16::try_from(self.number(at.saturating_add(2), 2)?).ok()?;
        let size = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => 0,
        };
        let count = self.place(at.saturating_add(4))?;
        let len = count.checked_mul(size)?;
        let (inline, within) = if self.wide { (8, 12) } else { (4, 8) };
        let place = at.saturating_add(within);
        let start = if len <= inline {
            place
        } else {
            self.place(place)?
        };
        let data = start..start.checked_add(len)?;
        if data.end > self.look.input.bytes.len() {
            return None;
        }
        if len > inline {
            self.parsed(data.clone());
        }
        Some(Field {
            tag,
            kind,
            count,
            data,
        })
    }

    fn numbers(&self, field: &Field) -> Option<Vec<u64>> {
        let width = match field.kind {
            1 => 1,
            3 => 2,
            4 | 13 => 4,
            16 | 18 => 8,
            _ => return Some(Vec::new()),
        };
        if field.count > MAX_NUMBERS {
            return None;
        }
        (0..field.count)
            .map(|index| {
                let at = field.data.start.saturating_add(index.saturating_mul(width));
                self.number(at, width)
            })
            .collect()
    }

    fn values(&mut self, fields: &[Field], offsets: u16, lengths: u16) -> Option<()> {
        let one = |tag: u16| fields.iter().find(|field| field.tag == tag);
        let (Some(offsets), Some(lengths)) = (one(offsets), one(lengths)) else {
            return Some(());
        };
        let offsets = self.numbers(offsets)?;
        for (start, len) in offsets.into_iter().zip(self.numbers(lengths)?) {
            let range = start..start.checked_add(len)?;
            if range.end > self.look.input.bytes.len() {
                return None;
            }
            parts::values(self.look, range.clone());
            self.known.push(range);
        }
        Some(())
    }

    // Writers align what they write; what else nothing points at is looked at.
    fn holes(&mut self) {
        self.known.sort_by_key(|range| range.start);
        let mut at = 0;
        for range in std::mem::take(&mut self.known) {
            if range.start > at {
                let hole = at..range.start;
                let len = hole.end.saturating_sub(hole.start);
                if len <= 1 << 16 && parts::is_zero(self.look, hole.clone()) {
                    self.look.covered.parsed(hole);
                } else {
                    parts::metadata(self.look, hole, "what no field points at");
                }
            }
            at = at.max(range.end);
        }
        parts::tail(self.look, at);
    }
}
