//! Texts of no format that is known: read a piece at a time, for what people and models read.
//!
//! UTF-8, UTF-16 that says so by its mark, and one byte a character (ISO 8859-1), as long as there
//! are no control characters that no text has.

use custos_core::finding::Location;

use crate::route::{self, Format, Head};
use crate::source::read_full;
use crate::work::{Input, Look};

use super::inspect;

/// Size of the pieces that are looked at.
const PIECE: usize = 256 << 10;

pub(super) const FORMAT: Format = Format {
    name: NAME,
    extensions: &[
        "txt",
        "text",
        "md",
        "markdown",
        "rst",
        "log",
        "ini",
        "cfg",
        "conf",
        "properties",
        "vocab",
        "merges",
        "bpe",
        "tex",
        "srt",
        "c",
        "h",
        "cpp",
        "hpp",
        "rs",
        "go",
        "js",
        "ts",
        "css",
        "java",
        "sql",
        "r",
        "jl",
        "lua",
        "proto",
    ],
    recognises,
    examine,
};
const NAME: &str = "text";

/// How bytes are characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// UTF-8.
    Utf8,
    /// UTF-16, the least byte first.
    Utf16Little,
    /// UTF-16, the most byte first.
    Utf16Big,
    /// One byte a character.
    Latin,
}

impl Encoding {
    /// Tells the encoding by the beginning; `None` if that is no text.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0xff, 0xfe, rest @ ..] if is_wide(rest, u16::from_le_bytes) => Some(Self::Utf16Little),
            [0xfe, 0xff, rest @ ..] if is_wide(rest, u16::from_be_bytes) => Some(Self::Utf16Big),
            _ => Self::narrow(head),
        }
    }

    fn narrow(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.iter().any(|byte| is_control(*byte)) {
            return None;
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => return Some(Self::Utf8),
            // The last character is cut off by the end of what was read.
            Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => {
                return Some(Self::Utf8);
            }
            Err(_) => {}
        }
        // Bytes of any kind have control characters soon; a text in Latin letters has few others.
        let high = bytes.iter().filter(|byte| !byte.is_ascii()).count();
        let other = bytes
            .iter()
            .any(|byte| (0x80..0xa0).contains(byte) && *byte != 0x85);
        let few = high.saturating_mul(3) < bytes.len();
        (bytes.len() >= 16 && few && (!other || high.saturating_mul(10) < bytes.len()))
            .then_some(Self::Latin)
    }

    // The text of a piece, and how many bytes of it that took; `None` if it is no text.
    fn decode(self, bytes: &[u8], last: bool) -> Option<(String, usize)> {
        let wide = |from: fn([u8; 2]) -> u16| {
            let units = bytes.as_chunks().0.iter().map(|pair| from(*pair));
            let text: String = char::decode_utf16(units)
                .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect();
            let used = if last { bytes.len() } else { bytes.len() & !1 };
            (!text.contains('\0')).then_some((text, used))
        };
        match self {
            Self::Utf16Little => wide(u16::from_le_bytes),
            Self::Utf16Big => wide(u16::from_be_bytes),
            Self::Utf8 | Self::Latin => narrow(bytes, last),
        }
    }
}

/// Returns the text of bytes that are held as a whole; `None` if they are none.
pub(super) fn decode(bytes: &[u8]) -> Option<String> {
    let encoding = Encoding::of(bytes)?;
    let (text, _) = encoding.decode(bytes, true)?;
    let unmarked = text.strip_prefix('\u{feff}').map(str::to_owned);
    Some(unmarked.unwrap_or(text))
}

/// Returns all of the input as a text; what is too long for that, or no text, is a gap.
pub(super) fn whole(look: &mut Look<'_, '_, '_>, most: usize) -> Option<String> {
    let size = look.input.bytes.len();
    let Some(size) = usize::try_from(size).ok().filter(|size| *size <= most) else {
        look.gap(format!(
            "it is longer than the {most} bytes that are read of such a file"
        ));
        return None;
    };
    let mut bytes = vec![0; size];
    if let Err(error) = read_full(look.input.bytes, 0, &mut bytes) {
        look.gap(format!("it cannot be read: {error}"));
        return None;
    }
    let text = decode(&bytes);
    if text.is_none() {
        look.gap("part of it is no text");
    }
    text
}

/// Returns true if it begins as a text does.
pub(super) fn is_text(head: &Head) -> bool {
    Encoding::of(head.bytes()).is_some()
}

/// Looks at all of the input as text, and marks it as looked at.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let input = look.input;
    let (mut at, mut line) = (0_u64, 1_u32);
    let mut buffer = vec![0; PIECE];
    let mut encoding = None;
    while look.work.tick(&input.path).is_ok() {
        let count = match read_full(input.bytes, at, &mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) => return look.gap(format!("it cannot be read: {error}")),
        };
        let read = buffer.get(..count).unwrap_or_default();
        let last = count < buffer.len();
        let known = *encoding.get_or_insert_with(|| Encoding::of(read).unwrap_or(Encoding::Utf8));
        let piece = piece_of(read, last, known);
        let Some((text, used)) = known.decode(piece, last && piece.len() == read.len()) else {
            return look.gap(format!("the bytes from {at} on are no text"));
        };
        if used == 0 {
            return look.gap(format!("the bytes from {at} on are no text"));
        }
        let location = Location {
            offset: Some(at),
            line: Some(line),
            ..look.here()
        };
        inspect(look, &location, &text);
        let end = at.saturating_add(u64::try_from(used).unwrap_or(u64::MAX));
        look.covered.parsed(at..end);
        let lines = text.bytes().filter(|byte| *byte == b'\n').count();
        line = line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        at = end;
    }
}

// Text, and no other format thinks that it is meant.
fn recognises(head: &Head, input: &Input<'_>) -> bool {
    is_text(head)
        && !route::formats()
            .filter(|format| format.name != NAME)
            .any(|format| (format.recognises)(head, input))
}

// Up to the last line that is there as a whole, so that nothing is cut in two that matters.
fn piece_of(read: &[u8], last: bool, encoding: Encoding) -> &[u8] {
    if last || !matches!(encoding, Encoding::Utf8 | Encoding::Latin) {
        return read;
    }
    let line = read.iter().rposition(|byte| *byte == b'\n');
    let whole = line.and_then(|end| read.get(..end.saturating_add(1)));
    whole.unwrap_or(read)
}

fn narrow(bytes: &[u8], last: bool) -> Option<(String, usize)> {
    if bytes.contains(&0) {
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Some((text.to_owned(), bytes.len())),
        Err(error) if error.error_len().is_none() && !last && error.valid_up_to() > 0 => {
            let valid = bytes.get(..error.valid_up_to())?;
            Some((String::from_utf8_lossy(valid).into_owned(), valid.len()))
        }
        Err(_) => {
            let controls = bytes.iter().filter(|byte| is_control(**byte)).count();
            let few = controls.saturating_mul(100) <= bytes.len();
            few.then(|| {
                (
                    bytes.iter().map(|byte| char::from(*byte)).collect(),
                    bytes.len(),
                )
            })
        }
    }
}

// What no text has; tabs, ends of lines and pages, and marks of terminals are none of these.
const fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=6 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f)
}

fn is_wide(rest: &[u8], from: fn([u8; 2]) -> u16) -> bool {
    let (pairs, _) = rest.as_chunks();
    let mut units = pairs.iter().map(|pair| from(*pair));
    !pairs.is_empty() && units.all(|unit| unit >= 0x20 || matches!(unit, 9..=13 | 0x1b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_told_apart_and_noise_is_none() {
        let long = "Gr\u{fc}\u{df}e aus K\u{f6}ln, sch\u{f6}n";
        let latin: Vec<u8> = long
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect();
        let little: Vec<u8> = "\u{feff}hi\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let big: Vec<u8> = "\u{feff}hi\n"
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        assert_eq!(Encoding::of(long.as_bytes()), Some(Encoding::Utf8));
        assert_eq!(Encoding::of(&latin), Some(Encoding::Latin));
        assert_eq!(Encoding::of(&little), Some(Encoding::Utf16Little));
        assert_eq!(Encoding::of(&big), Some(Encoding::Utf16Big));
        assert_eq!(decode(&little).as_deref(), Some("hi\n"));
        assert_eq!(decode(&latin).as_deref(), Some(long));
        for noise in [
            &b"\x80\x02}q\x00."[..],
            b"\x00\x01",
            b"\xff\xfe\x00\x00",
            b"",
            b"\xff\xd8\xff",
        ] {
            assert_eq!(Encoding::of(noise), None, "{noise:?}");
        }
    }

    #[test]
    fn a_piece_ends_with_a_line() {
        assert_eq!(piece_of(b"ab\ncd", false, Encoding::Utf8), b"ab\n");
        assert_eq!(piece_of(b"ab\ncd", true, Encoding::Utf8), b"ab\ncd");
        assert_eq!(piece_of(b"abcd", false, Encoding::Utf8), b"abcd");
    }
}
