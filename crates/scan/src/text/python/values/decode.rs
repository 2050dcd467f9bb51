//! What decoders and unpackers of Python's library make of constants. Results are bounded; what is
//! larger, or broken, is not known.

use std::io::Read;

use crate::text::code::{self, Value};

use super::Val;

/// Most bytes that are unpacked of a constant.
const MAX_UNPACKED: u64 = 4 << 20;
/// Most memory of an unpacker, in KiB.
const MEMORY_KIB: u32 = 32 << 10;

/// Returns what a function of this full name makes of its arguments.
pub(super) fn decoded(path: &str, arguments: &[Val]) -> Value {
    let bytes = match arguments.first().map(|first| &first.value) {
        Some(Value::Bytes(bytes)) => bytes.clone(),
        Some(Value::Text(text)) => text.clone().into_bytes(),
        _ => return Value::Unknown,
    };
    let codec = arguments
        .get(1)
        .and_then(|codec| codec.value.text())
        .unwrap_or_default()
        .replace('_', "-");
    let made = match path.rsplit('.').next().unwrap_or_default() {
        "b64decode" | "urlsafe_b64decode" | "standard_b64decode" | "decodebytes"
        | "decodestring" | "a2b_base64" => Some(base64(&bytes)),
        "b32decode" => Some(base32(&bytes)),
        "b85decode" => base85(&bytes, BASE85),
        "a85decode" => base85(&ascii85(&bytes), ASCII85),
        "unhexlify" | "a2b_hex" | "fromhex" | "b16decode" => hex(&bytes),
        "decompress" => unpacked(path, &bytes),
        "decode" => match codec.as_str() {
            "rot13" | "rot-13" => {
                let text = Value::Text(String::from_utf8_lossy(&bytes).into_owned());
                return code::method(&text, "decode", &[Value::Text("rot13".to_owned())]);
            }
            "base64" | "base-64" | "base64-codec" => Some(base64(&bytes)),
            "hex" | "hex-codec" => hex(&bytes),
            "zlib" | "zip" | "zlib-codec" => unpacked("zlib.decompress", &bytes),
            "bz2" | "bz2-codec" => unpacked("bz2.decompress", &bytes),
            _ => None,
        },
        _ => None,
    };
    made.map(Value::Bytes).unwrap_or_default()
}

fn unpacked(path: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    match path {
        "zlib.decompress" => read(flate2::read::ZlibDecoder::new(bytes)),
        "gzip.decompress" => read(flate2::read::MultiGzDecoder::new(bytes)),
        "bz2.decompress" => read(bzip2::read::MultiBzDecoder::new(bytes)),
        "lzma.decompress" if bytes.starts_with(b"\xfd7zXZ\0") => {
            read(lzma_rust2::XzReader::new_mem_limit(bytes, true, MEMORY_KIB))
        }
        _ => None,
    }
}

fn read(reader: impl Read) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let most = MAX_UNPACKED.saturating_add(1);
    reader.take(most).read_to_end(&mut out).ok()?;
    (u64::try_from(out.len()).ok()? <= MAX_UNPACKED).then_some(out)
}

// As Python does: what is no sign of the alphabet is passed over.
fn base64(text: &[u8]) -> Vec<u8> {
    digits(text, 6, |byte| match byte {
        b'A'..=b'Z' => Some(byte.saturating_sub(b'A')),
        b'a'..=b'z' => Some(byte.saturating_sub(b'a').saturating_add(26)),
        b'0'..=b'9' => Some(byte.saturating_sub(b'0').saturating_add(52)),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    })
}

fn base32(text: &[u8]) -> Vec<u8> {
    digits(text, 5, |byte| match byte.to_ascii_uppercase() {
        byte @ b'A'..=b'Z' => Some(byte.saturating_sub(b'A')),
        byte @ b'2'..=b'7' => Some(byte.saturating_sub(b'2').saturating_add(26)),
        _ => None,
    })
}

// Digits of so many bits each, up to the first sign of padding.
fn digits(text: &[u8], bits: u32, value: impl Fn(u8) -> Option<u8>) -> Vec<u8> {
    let (mut out, mut held, mut count) = (Vec::new(), 0_u32, 0_u32);
    for digit in text.iter().take_while(|byte| **byte != b'=') {
        let Some(digit) = value(*digit) else { continue };
        held = (held << bits | u32::from(digit)) & 0xff_ffff;
        count = count.saturating_add(bits);
        if count >= 8 {
            count = count.saturating_sub(8);
            out.push(u8::try_from(held >> count & 0xff).unwrap_or(0));
        }
    }
    out
}

const BASE85: &[u8] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
const ASCII85: &[u8] =
    br##"!"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefghijklmnopqrstu"##;

// Groups of five digits; the last one may be short.
fn base85(text: &[u8], alphabet: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for group in text.chunks(5) {
        let mut word = 0_u64;
        for at in 0..5 {
            let digit = match group.get(at) {
                Some(byte) => alphabet.iter().position(|one| one == byte)?,
                None => 84,
            };
            word = word
                .checked_mul(85)?
                .checked_add(u64::try_from(digit).ok()?)?;
        }
        let bytes = u32::try_from(word).ok()?.to_be_bytes();
        out.extend(bytes.iter().take(group.len().saturating_sub(1)));
    }
    Some(out)
}

// Without white space and brackets, and with `z` written out.
fn ascii85(text: &[u8]) -> Vec<u8> {
    let text = text.strip_prefix(b"<~").unwrap_or(text);
    let text = text.strip_suffix(b"~>").unwrap_or(text);
    let signs = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    signs
        .flat_map(|byte| {
            if *byte == b'z' {
                &b"!!!!!"[..]
            } else {
                std::slice::from_ref(byte)
            }
        })
        .copied()
        .collect()
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let (pairs, _) = digits.as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_mean_what_python_decodes_them_to() {
        for (path, text) in [
            ("base64.b64decode", "aW1wb3J0IG9z"),
            ("base64.b32decode", "NFWXA33SOQQG64Y="),
            ("base64.b85decode", "X>D+Ca&#bXa{"),
            ("base64.a85decode", "Bl.g-Ec`FBEr"),
            ("binascii.unhexlify", "696d706f7274206f73"),
        ] {
            let argument = Val::constant(Value::Text(text.to_owned()));
            let made = decoded(path, &[argument]);
            assert_eq!(made, Value::Bytes(b"import os".to_vec()), "{path}");
        }
    }
}
