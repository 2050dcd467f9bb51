//! Structure of secrets: what a pattern cannot tell.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use custos_core::finding::Severity;
use serde_json::Value;

use super::entropy;
use super::list::LIST;

/// What came of a look at the structure.
pub(super) enum Verdict {
    /// It is none.
    No,
    /// It is one.
    Yes,
    /// It is one, goes on to there, and is as bad as that.
    Reaching(usize, Severity),
    /// It is one, as bad as that, with a doubt.
    As(Severity, Doubt),
}

/// Why a secret may be less than it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    None,
    /// Its checksum does not fit.
    Checksum,
    /// A password is needed to use it.
    Encrypted,
    /// Half of a pair.
    Half,
    /// Only the name of the value, and its randomness, speak for it.
    Name,
}

/// A test of what is at a place in a text.
pub(super) type Check = fn(&[u8], &Range<usize>) -> Verdict;

/// Returns the test of this name.
pub(super) fn find(name: &str) -> Option<Check> {
    Some(match name {
        "aws" => aws,
        "azure" => azure,
        "github" => github,
        "jwt" => jwt,
        "pem" => pem,
        "pypi" => pypi,
        "url" => url,
        _ => return None,
    })
}

// GitHub and npm: 30 random characters, and their CRC-32 as six digits to the base of 62.
fn github(text: &[u8], range: &Range<usize>) -> Verdict {
    let value = text.get(range.clone()).unwrap_or_default();
    let body = value
        .rsplit(|byte| *byte == b'_')
        .next()
        .unwrap_or_default();
    let Some((random, said)) = body.split_at_checked(30) else {
        return Verdict::No;
    };
    if base62(crc32fast::hash(random)) == said {
        Verdict::Yes
    } else if LIST.is_placeholder(value) {
        Verdict::No
    } else {
        Verdict::As(Severity::Low, Doubt::Checksum)
    }
}

fn base62(mut number: u32) -> [u8; 6] {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = [b'0'; 6];
    for digit in out.iter_mut().rev() {
        let at = usize::try_from(number % 62).unwrap_or(0);
        *digit = DIGITS.get(at).copied().unwrap_or(b'0');
        number /= 62;
    }
    out
}

// An identifier is no secret; with the 40 characters that belong to it, it opens an account.
fn aws(text: &[u8], range: &Range<usize>) -> Verdict {
    const AROUND: usize = 400;
    let value = text.get(range.clone()).unwrap_or_default();
    if LIST.is_placeholder(value) {
        return Verdict::No;
    }
    let from = range.start.saturating_sub(AROUND);
    let to = range.end.saturating_add(AROUND).min(text.len());
    let around = text.get(from..to).unwrap_or_default();
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+');
    let is_secret = |run: &[u8]| {
        run.len() == 40
            && entropy(run) > 4.1
            && run.iter().any(u8::is_ascii_uppercase)
            && run.iter().any(u8::is_ascii_lowercase)
    };
    let runs: Vec<&[u8]> = around.split(|byte| !base64(byte)).collect();
    if runs
        .iter()
        .any(|run| is_secret(run) && LIST.is_placeholder(run))
    {
        return Verdict::No;
    }
    if runs.into_iter().any(is_secret) {
        Verdict::Yes
    } else if value.iter().any(u8::is_ascii_digit) {
        Verdict::As(Severity::Medium, Doubt::Half)
    } else {
        Verdict::No
    }
}

fn azure(text: &[u8], range: &Range<usize>) -> Verdict {
    // The key of the emulator, which everybody knows.
    const EMULATOR: &[u8] = b"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/";
    let value = text.get(range.clone()).unwrap_or_default();
    match STANDARD.decode(value) {
        Ok(key) if key.len() == 64 && !value.starts_with(EMULATOR) => Verdict::Yes,
        _ => Verdict::No,
    }
}

// A macaroon that names the index.
fn pypi(text: &[u8], range: &Range<usize>) -> Verdict {
    let value = text.get(range.clone()).unwrap_or_default();
    let body = value.strip_prefix(b"pypi-").unwrap_or_default();
    // What is cut off to a multiple of four characters still decodes.
    let whole = body.len().saturating_sub(body.len() % 4);
    let decoded = URL_SAFE_NO_PAD.decode(body.get(..whole).unwrap_or_default());
    let names_index = |bytes: Vec<u8>| bytes.windows(8).any(|window| window == b"pypi.org");
    if decoded.is_ok_and(names_index) {
        Verdict::Yes
    } else {
        Verdict::No
    }
}

fn jwt(text: &[u8], range: &Range<usize>) -> Verdict {
    let value = text.get(range.clone()).unwrap_or_default();
    let mut parts = value.split(|byte| *byte == b'.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    });
    let (Some(Some(header)), Some(Some(claims))) = (parts.next(), parts.next()) else {
        return Verdict::No;
    };
    let claim = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    let algorithm = header.get("alg").and_then(Value::as_str);
    let is_example = claim("sub") == "1234567890" || claim("name") == "John Doe";
    if !claims.is_object() || is_example || matches!(algorithm, None | Some("none")) {
        return Verdict::No;
    }
    // It ends by itself, or is made to be given to anybody.
    if claims.get("exp").is_some() || claim("role") == "anon" {
        Verdict::As(Severity::Low, Doubt::None)
    } else {
        Verdict::Yes
    }
}

// RFC 7468, RFC 1421 (encrypted), OpenSSH's PROTOCOL.key, RFC 9580.
fn pem(text: &[u8], range: &Range<usize>) -> Verdict {
    const LONGEST: usize = 16 << 10;
    let begin = text.get(range.clone()).unwrap_or_default();
    let to = range.end.saturating_add(LONGEST).min(text.len());
    let rest = text.get(range.end..to).unwrap_or_default();
    let Some(len) = rest.windows(9).position(|window| window == b"-----END ") else {
        return Verdict::No;
    };
    let body = rest.get(..len).unwrap_or_default();
    let bytes = armour(body);
    let has = |what: &[u8]| begin.windows(what.len()).any(|window| window == what);
    let sealed = body.windows(9).any(|window| window == b"ENCRYPTED") || has(b"ENCRYPTED");
    let (sound, sealed) = if let Some(key) = bytes.strip_prefix(b"openssh-key-v1\0") {
        (true, key.get(4..8) != Some(b"none"))
    } else if has(b"PGP") {
        (
            bytes.first().is_some_and(|tag| tag & 0x80 != 0) && bytes.len() > 64,
            false,
        )
    } else {
        (sealed || is_der(&bytes), sealed)
    };
    if !sound || bytes.len() < 32 {
        Verdict::No
    } else if sealed {
        Verdict::As(Severity::Low, Doubt::Encrypted)
    } else {
        Verdict::Reaching(range.end.saturating_add(len), Severity::High)
    }
}

// The characters of base64, wherever lines are broken: also by `\n` of a JSON text, or by quotes.
fn armour(body: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut rest = body;
    while let Some((byte, next)) = rest.split_first() {
        rest = if let (b'\\', [b'n' | b'r' | b't', after @ ..]) = (byte, next) {
            lines.push(b'\n');
            after
        } else {
            lines.push(*byte);
            next
        };
    }
    let mut kept: Vec<u8> = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.contains(&b':'))
        .filter(|line| line.trim_ascii().first() != Some(&b'='))
        .flatten()
        .copied()
        .filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        .collect();
    kept.truncate(kept.len().saturating_sub(kept.len() % 4));
    STANDARD.decode(kept).unwrap_or_default()
}

// A sequence whose length is about what is there; up to two bytes were cut with the padding.
fn is_der(bytes: &[u8]) -> bool {
    let (header, len) = match bytes {
        [0x30, short @ 0..=0x7f, ..] => (2, usize::from(*short)),
        [0x30, 0x81, len, ..] => (3, usize::from(*len)),
        [0x30, 0x82, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        _ => return false,
    };
    let whole = len.saturating_add(header);
    let there = bytes.len();
    there <= whole.saturating_add(2) && whole <= there.saturating_add(2)
}

fn url(text: &[u8], range: &Range<usize>) -> Verdict {
    let part = |bytes: Option<&[u8]>| {
        let bytes = bytes.unwrap_or_default();
        String::from_utf8_lossy(bytes).to_ascii_lowercase()
    };
    let password = part(text.get(range.clone()));
    let before = text
        .get(..range.start.saturating_sub(1))
        .unwrap_or_default();
    let user = part(before.rsplit(|byte| *byte == b'/').next());
    let after = text.get(range.end.saturating_add(1)..).unwrap_or_default();
    let ends = |byte: &u8| !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'-');
    let host = part(after.split(ends).next());
    let stands_for_another = password.contains(['$', '{', '}', '%', '*', '<', '>', '&', '|', '`']);
    let is_known = LIST
        .passwords
        .iter()
        .any(|word| password == *word || (user == *word && password.starts_with(word.as_str())));
    let is_example = LIST.hosts.contains(&host)
        || host.is_empty()
        || [
            ".example",
            ".local",
            ".test",
            ".invalid",
            ".localhost",
            "example.com",
            "example.org",
        ]
        .iter()
        .any(|end| host.ends_with(end));
    if stands_for_another
        || is_known
        || is_example
        || password == user
        || password.len() < 5
        || LIST.is_placeholder(password.as_bytes())
    {
        return Verdict::No;
    }
    let random = password.len() >= 8 && entropy(password.as_bytes()) >= 2.5;
    if random && password.bytes().any(|b| !b.is_ascii_alphabetic()) {
        Verdict::Yes
    } else {
        Verdict::As(Severity::Low, Doubt::None)
    }
}
