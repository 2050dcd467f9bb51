//! What walks through images, sound and documents share: texts in metadata, values, and what
//! follows the end.

use std::ops::Range;

use custos_core::finding::{Location, Severity};

use crate::route;
use crate::rules;
use crate::source::{Cursor, Part, read_full};
use crate::text;
use crate::work::{Input, Look};

/// How much of metadata is read at a time.
const STEP: u64 = 1 << 20;
/// Shortest run of characters that is taken for a text.
const SHORTEST: usize = 6;
/// So many bytes behind an end are carelessness if they are nothing known.
const CARELESS: u64 = 64;
/// Largest rest that is searched for anything but zeros.
const ZEROS: u64 = 1 << 20;

/// Looks at metadata: the texts in it, and whether it is something else altogether.
pub(super) fn metadata(look: &mut Look<'_, '_, '_>, range: Range<u64>, what: &str) {
    let range = range.start..range.end.min(look.input.bytes.len());
    if range.is_empty() {
        return;
    }
    carried(look, range.clone(), what);
    let mut at = range.start;
    while at < range.end {
        let end = at.saturating_add(STEP).min(range.end);
        let bytes = usize::try_from(end.saturating_sub(at))
            .ok()
            .and_then(|len| Cursor::at(look.input.bytes, at).take(len).ok());
        let Some(bytes) = bytes else {
            return;
        };
        let place = Location {
            offset: Some(at),
            ..look.here()
        };
        texts(look, &place, &bytes);
        at = end;
    }
    look.covered.parsed(range);
}

/// Looks at the texts in bytes of metadata, which begin at a place.
pub(super) fn texts(look: &mut Look<'_, '_, '_>, at: &Location, bytes: &[u8]) {
    let mut found = String::new();
    for chunk in bytes.utf8_chunks() {
        let runs = chunk
            .valid()
            .split(|c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{1b}'));
        for run in runs.filter(|run| run.len() >= SHORTEST) {
            found.push_str(run);
            found.push('\n');
        }
    }
    wide(bytes, &mut found);
    if found.is_empty() {
        return;
    }
    if found.contains("<?php") || found.contains("<script") {
        let message = "the metadata holds a script";
        look.work
            .see(&rules::media::MEDIA_SCRIPT, at.clone(), message.to_owned());
    }
    text::inspect(look, at, &found);
}

// Texts of two bytes for each character, behind the mark of their order.
fn wide(bytes: &[u8], found: &mut String) {
    let mut rest = bytes;
    while let Some(at) = rest
        .windows(2)
        .position(|pair| matches!(pair, [0xff, 0xfe] | [0xfe, 0xff]))
    {
        let little = rest.get(at) == Some(&0xff);
        let from = rest.get(at.saturating_add(2)..).unwrap_or_default();
        let units: Vec<u16> = from
            .chunks_exact(2)
            .filter_map(|pair| <[u8; 2]>::try_from(pair).ok())
            .map(|pair| {
                if little {
                    u16::from_le_bytes(pair)
                } else {
                    u16::from_be_bytes(pair)
                }
            })
            .take_while(|unit| *unit != 0)
            .collect();
        if let Ok(text) = String::from_utf16(&units)
            && text.len() >= SHORTEST
            && is_written(&text)
        {
            found.push_str(&text);
            found.push('\n');
        }
        let used = units.len().saturating_mul(2);
        rest = from.get(used..).unwrap_or_default();
    }
}

// Values taken for a text are of all scripts at once.
fn is_written(text: &str) -> bool {
    let plain = text
        .chars()
        .filter(|c| matches!(c, ' '..='~' | '\n' | '\r' | '\t'))
        .count();
    plain.saturating_mul(2) >= text.chars().count()
}

/// Tells of a file that lies in a part of this one, and looks at it.
pub(super) fn carried(look: &mut Look<'_, '_, '_>, range: Range<u64>, what: &str) {
    let part = Part::new(look.input.bytes, range.clone());
    let input = Input {
        path: String::new(),
        bytes: &part,
    };
    let Some(kind) = kind(&input) else {
        return;
    };
    let message = format!("{what} is {kind}");
    look.see(&rules::media::MEDIA_PROGRAM, range.start, message);
    // A limit is noted where it fired.
    let _ = look.member(what, &part);
}

// What bytes surely are that have no place in an image.
fn kind(input: &Input<'_>) -> Option<&'static str> {
    let mut head = [0; 1024];
    let count = read_full(input.bytes, 0, &mut head).unwrap_or(0);
    let head = head.get(..count).unwrap_or_default();
    if head.starts_with(b"\x7fELF") || is_windows_program(head) {
        return Some("a program");
    }
    if head.starts_with(b"#!/") {
        return Some("a script of the system");
    }
    route::is_surely_something(input).then_some("an archive or a pickle")
}

fn is_windows_program(head: &[u8]) -> bool {
    let offset = head
        .get(0x3c..0x40)
        .and_then(|four| <[u8; 4]>::try_from(four).ok())
        .map(u32::from_le_bytes)
        .and_then(|offset| usize::try_from(offset).ok());
    head.starts_with(b"MZ")
        && offset.is_some_and(|at| {
            head.get(at..)
                .is_some_and(|rest| rest.starts_with(b"PE\0\0"))
        })
}

/// Marks values that decoders make pixels and samples of.
pub(super) fn values(look: &mut Look<'_, '_, '_>, range: Range<u64>) {
    look.covered.opaque(range);
}

/// Looks at what follows the end of the content.
pub(super) fn tail(look: &mut Look<'_, '_, '_>, end: u64) {
    let size = look.input.bytes.len();
    let rest = size.saturating_sub(end);
    if rest == 0 {
        return;
    }
    let part = Part::new(look.input.bytes, end..size);
    let zeros = rest <= ZEROS && is_zero(look, end..size);
    if zeros {
        look.covered.parsed(end..size);
        return;
    }
    let input = Input {
        path: String::new(),
        bytes: &part,
    };
    let known = kind(&input);
    let (rule, message) = match known {
        Some(kind) => (
            &rules::media::MEDIA_PROGRAM,
            format!("{rest} bytes follow the end of the content, and they are {kind}"),
        ),
        None => (
            &rules::media::MEDIA_TRAILING,
            format!("{rest} bytes follow the end of the content"),
        ),
    };
    let place = Location {
        offset: Some(end),
        ..look.here()
    };
    let mut finding = rule.finding(place.clone(), message);
    if known.is_none() && rest <= CARELESS {
        finding.severity = Severity::Info;
    }
    look.work.find(finding);
    if known.is_some() || rest > CARELESS {
        let _ = look.member("trailing", &part);
    } else if let Ok(bytes) = crate::source::read_all(&part) {
        texts(look, &place, &bytes);
    }
    look.covered.parsed(end..size);
}

/// Returns true if there is nothing but zeros.
pub(super) fn is_zero(look: &Look<'_, '_, '_>, range: Range<u64>) -> bool {
    let mut cursor = Cursor::at(look.input.bytes, range.start);
    (range.start..range.end).all(|_| cursor.u8().is_ok_and(|byte| byte == 0))
}

/// Tells of an image that is far larger in memory than in its file.
pub(super) fn dimensions(look: &mut Look<'_, '_, '_>, width: u64, height: u64) {
    // Pillow refuses what has more pixels than this.
    const MOST: u64 = 178_956_970;
    const RATIO: u64 = 500;
    let pixels = width.saturating_mul(height);
    let size = look.input.bytes.len();
    if pixels > MOST && pixels > size.saturating_mul(RATIO) {
        let message = format!("{size} bytes claim to be an image of {width} times {height} pixels");
        look.see(&rules::media::MEDIA_SIZE, 0, message);
    }
}

/// Notes that the structure ends before its end.
pub(super) fn broken(look: &mut Look<'_, '_, '_>, at: u64, why: &str) {
    look.broken(&rules::media::MEDIA_BROKEN, at, why);
}

/// Returns the next four bytes as a number, the greatest first.
pub(super) fn be32(cursor: &mut Cursor<'_>) -> Option<u32> {
    cursor.array().ok().map(u32::from_be_bytes)
}

/// Returns the next two bytes as a number, the greatest first.
pub(super) fn be16(cursor: &mut Cursor<'_>) -> Option<u16> {
    cursor.array().ok().map(u16::from_be_bytes)
}
