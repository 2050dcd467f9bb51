//! Files and programs that a pickle holds as texts: in hexadecimal digits or base64, packed or not.
//!
//! A loader does nothing with such a text but hand it on; it hurts once some code decodes it and
//! loads or runs what comes out. Few ordinary objects hold one, and none hides one that calls
//! something dangerous.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use custos_core::finding::Severity;

use super::is_stream_that_calls;
use super::signs::Signs;
use crate::route;
use crate::tensors::npy;
use crate::text::python;
use crate::unpack::{Outcome, Unpacked, unpack};
use crate::work::{Input, Work};

/// Shortest text that is decoded, and how much of it tells whether the rest is.
pub(super) const HEAD: u32 = 16;
/// The same, as a length.
pub(super) const HEAD_LEN: usize = 16;
/// Longest text that is decoded.
pub(super) const LONGEST: u32 = 16 << 20;
/// Most codings within each other.
const MAX_LAYERS: u32 = 4;
/// Longest program that is looked at.
const MAX_PROGRAM: usize = 1 << 20;

// Like most decoders: with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What was found, with the codings that lead to it: `base64`, `base64.zlib`.
pub(super) enum Found {
    /// A file.
    File(String, Vec<u8>),
    /// A program, and the worst that it does.
    Program(String, String),
}

/// Returns true if a text that begins so may be a file or a program in digits or letters.
pub(super) fn may_be(head: &[u8]) -> bool {
    decoded_head(head, begins_well)
}

/// Returns true if it begins like a serialised, packed or executable file, and like no text.
pub(super) fn begins_as_file(head: &[u8]) -> bool {
    decoded_head(head, Signs::is_file)
}

// Asked of every text of a stream: without a copy.
fn decoded_head(head: &[u8], is: fn(&[u8]) -> bool) -> bool {
    let Some(head) = head.first_chunk::<HEAD_LEN>() else {
        return false;
    };
    if !head.iter().copied().all(is_letter) {
        return false;
    }
    let mut out = [0; HEAD_LEN];
    let count = BASE64.decode_slice(head.map(usual), &mut out).unwrap_or(0);
    if out.get(..count).is_some_and(|bytes| count > 0 && is(bytes)) {
        return true;
    }
    let mut out = [0; HEAD_LEN / 2];
    for (to, pair) in out.iter_mut().zip(head.as_chunks().0) {
        let Some(byte) = from_digits(*pair) else {
            return false;
        };
        *to = byte;
    }
    is(&out)
}

/// Decodes a text as often as it takes, and returns what came out if it is a file beyond doubt, or a
/// program that hurts.
pub(super) fn find(text: Vec<u8>, path: &str, work: &mut Work<'_>) -> Option<Found> {
    let mut how = Vec::new();
    let mut bytes = text;
    for _ in 0..MAX_LAYERS {
        let (coding, inner) = layer(&bytes, path, work)?;
        how.push(coding);
        bytes = inner;
        let inner = Input {
            path: path.to_owned(),
            bytes: &bytes,
        };
        if route::is_surely_something(&inner)
            || npy::is_surely(&inner)
            || is_stream_that_calls(&inner)
        {
            return Some(Found::File(how.join("."), bytes));
        }
        if let Some(worst) = program(&bytes) {
            return Some(Found::Program(how.join("."), worst));
        }
    }
    None
}

fn layer(bytes: &[u8], path: &str, work: &mut Work<'_>) -> Option<(&'static str, Vec<u8>)> {
    if bytes.starts_with(b"\x1f\x8b\x08") {
        let reader = |packed| Ok(flate2::bufread::MultiGzDecoder::new(packed));
        let outcome = unpack(path, &bytes.to_vec(), reader, work).ok()?;
        return Some(("gzip", held(outcome)?));
    }
    if is_zlib(bytes) {
        let reader = |packed| Ok(flate2::bufread::ZlibDecoder::new(packed));
        let outcome = unpack(path, &bytes.to_vec(), reader, work).ok()?;
        return Some(("zlib", held(outcome)?));
    }
    let whole = |bytes: &Vec<u8>| begins_well(bytes);
    if let Some(inner) = hexadecimal(bytes).filter(whole) {
        return Some(("hex", inner));
    }
    letters(bytes).filter(whole).map(|inner| ("base64", inner))
}

fn held(outcome: Outcome) -> Option<Vec<u8>> {
    match outcome.bytes {
        Unpacked::Memory(bytes) if !bytes.is_empty() => Some(bytes),
        _ => None,
    }
}

fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..])
}

// Bytes at random do not begin so.
fn begins_well(bytes: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    let head = bytes.get(..HEAD_LEN).unwrap_or(bytes);
    Signs::is_file(head) || is_zlib(head) || !head.is_empty() && head.iter().all(plain)
}

fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = text.trim_ascii().as_chunks() else {
        return None;
    };
    pairs.iter().copied().map(from_digits).collect()
}

fn from_digits([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16)?).ok();
    Some(digit(high)? << 4 | digit(low)?)
}

// Base64 of either alphabet, in lines or not.
fn letters(text: &[u8]) -> Option<Vec<u8>> {
    if !text.iter().copied().take(HEAD_LEN).all(is_letter) {
        return None;
    }
    let letters: Vec<u8> = text
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| usual(*byte))
        .collect();
    BASE64.decode(letters).ok()
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}

const fn usual(letter: u8) -> u8 {
    match letter {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    }
}

// The worst that a program does when it runs, if that is bad.
fn program(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.len() <= MAX_PROGRAM)?;
    python::worst(text)
        .filter(|(severity, _)| *severity >= Severity::High)
        .map(|(_, what)| what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_begins_like_something_is_decoded() {
        for text in [
            "gASVPwAAAAAAAACM",
            "8004953f00000000",
            "Y29zCnN5c3RlbQoo",
            "aW1wb3J0IG9zCm9z",
            "TVqQAAMAAAAEAAAA",
        ] {
            assert!(may_be(text.as_bytes()), "{text}");
        }
        for text in [
            "gASVPwAA",
            "a feature of a model",
            "layer.0.weights.attention",
            "internationalization",
            "d41d8cd98f00b204e9800998ecf8427e",
            "AAAAAAAAAAAAAAAA",
            "0000000000000000",
        ] {
            assert!(!may_be(text.as_bytes()), "{text}");
        }
        assert!(begins_as_file(b"gASVPwAAAAAAAACM"));
        assert!(!begins_as_file(b"aW1wb3J0IG9zCm9z"));
    }
}
