//! Texts and bytes that are hidden in characters nobody sees.

use std::collections::BTreeSet;

use custos_core::finding::Severity;

use super::{Kind, Sign, runs, show};
use crate::rules;

/// Most letters of the name of a region that a flag spells.
const REGION: usize = 6;
/// From how many characters on a run without width is a message.
const MESSAGE: usize = 16;

/// Returns the text that is spelled in tag characters, unless it is a flag of a region.
pub(super) fn tags(text: &str) -> Option<Sign> {
    let mut spelled = String::new();
    let mut first = None;
    let mut count = 0_usize;
    for (at, run) in runs(text, Kind::Tag) {
        let letters: String = run.chars().filter_map(tagged).collect();
        let before = text.get(..at).unwrap_or_default();
        let flag = before.ends_with('\u{1f3f4}');
        // A vocabulary has parts of flags as well, without the flag.
        let region = letters.len() <= REGION
            && letters
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let ends = run.matches('\u{e007f}').count();
        if region && (flag || ends <= 1) && !(flag && ends == 0 && letters.len() > REGION) {
            continue;
        }
        first = first.or(Some(at));
        count = count.saturating_add(run.chars().count());
        if !spelled.is_empty() {
            spelled.push(' ');
        }
        spelled.push_str(&letters);
    }
    let message = format!(
        "{count} invisible tag characters spell `{}`",
        show(&spelled)
    );
    let mut sign = Sign::new(&rules::media::TAGS, first?, message);
    if spelled.len() < 2 * REGION {
        sign.severity = Severity::Medium;
    }
    sign.evidence = Some(show(&spelled));
    sign.carried = spelled.into_bytes();
    Some(sign)
}

// The ASCII character that a tag character stands for.
fn tagged(c: char) -> Option<char> {
    let code = u32::from(c).checked_sub(0xe0000)?;
    char::from_u32(code).filter(|c| matches!(c, ' '..='~'))
}

/// Returns the bytes that are hidden in a row of variation selectors.
pub(super) fn selectors(text: &str) -> Option<Sign> {
    let mut bytes = Vec::new();
    let mut first = None;
    for (at, run) in runs(text, Kind::Selector) {
        let kinds: BTreeSet<char> = run.chars().collect();
        // Careless programs repeat a selector, and never vary it.
        if run.chars().count() < 4 || kinds.len() < 2 {
            continue;
        }
        first = first.or(Some(at));
        bytes.extend(run.chars().filter_map(selected));
    }
    let at = first?;
    let decoded = String::from_utf8_lossy(&bytes);
    let message = format!(
        "{} bytes are hidden in a row of variation selectors: `{}`",
        bytes.len(),
        show(&decoded)
    );
    let mut sign = Sign::new(&rules::media::SELECTORS, at, message);
    let readable = bytes.len() >= 8 && std::str::from_utf8(&bytes).is_ok();
    if readable || bytes.len() >= 32 {
        sign.severity = Severity::High;
    }
    sign.evidence = Some(show(&decoded));
    sign.carried = bytes;
    Some(sign)
}

// The byte that a variation selector stands for, as tools that hide bytes in them count.
fn selected(c: char) -> Option<u8> {
    let code = u32::from(c);
    let byte = match c {
        '\u{fe00}'..='\u{fe0f}' => code.checked_sub(0xfe00)?,
        _ => code.checked_sub(0xe0100)?.checked_add(16)?,
    };
    u8::try_from(byte).ok()
}

/// Returns what is done with characters without width: a message in a long run of several kinds,
/// or words of Latin letters that are split.
pub(super) fn zero_width(text: &str) -> Option<Sign> {
    let mut splits = 0_usize;
    let mut first_split = None;
    let mut long: Option<(usize, usize)> = None;
    for (at, run) in runs(text, Kind::Invisible) {
        let count = run.chars().count();
        let kinds: BTreeSet<char> = run.chars().collect();
        if count >= MESSAGE && kinds.len() >= 2 {
            return Some(message(at, run, &kinds));
        }
        if count >= MESSAGE && long.is_none() {
            long = Some((at, count));
        }
        let end = at.saturating_add(run.len());
        if !run.contains(['\u{ad}', '\u{34f}']) && between_latin(text, at, end) {
            splits = splits.saturating_add(1);
            first_split = first_split.or(Some(at));
        }
    }
    if let Some((at, count)) = long {
        let message = format!("{count} characters without width follow each other");
        return Some(Sign::new(&rules::media::ZERO_WIDTH, at, message));
    }
    if splits < 3 {
        return scattered(text);
    }
    let at = first_split?;
    let message = format!("characters without width split Latin words in {splits} places");
    let mut sign = Sign::new(&rules::media::ZERO_WIDTH, at, message);
    let shown = text.get(at.saturating_sub(20)..).or_else(|| text.get(at..));
    sign.evidence = shown.map(show);
    Some(sign)
}

// Bits that are spread between the letters of a text.
fn scattered(text: &str) -> Option<Sign> {
    let latin: Vec<(usize, char)> = runs(text, Kind::Invisible)
        .filter(|(at, run)| between_latin(text, *at, at.saturating_add(run.len())))
        .flat_map(|(at, run)| run.chars().map(move |c| (at, c)))
        .collect();
    let kinds: BTreeSet<char> = latin.iter().map(|(_, c)| *c).collect();
    let carried: String = latin.iter().map(|(_, c)| *c).collect();
    if latin.len() < MESSAGE || kinds.len() < 2 {
        return None;
    }
    latin.first().map(|(at, _)| message(*at, &carried, &kinds))
}

fn between_latin(text: &str, from: usize, to: usize) -> bool {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphabetic());
    let before = text.get(..from).and_then(|text| text.chars().next_back());
    let after = text.get(to..).and_then(|text| text.chars().next());
    letter(before) && letter(after)
}

fn message(at: usize, run: &str, kinds: &BTreeSet<char>) -> Sign {
    let count = run.chars().count();
    let mut sign = Sign::new(&rules::media::ZERO_WIDTH, at, String::new());
    sign.severity = Severity::Medium;
    let decoded = decode(run, kinds);
    sign.message = if let Some(decoded) = &decoded {
        sign.severity = Severity::High;
        format!("{count} characters without width spell `{}`", show(decoded))
    } else {
        format!(
            "{count} characters without width, of {} kinds, carry something",
            kinds.len()
        )
    };
    sign.evidence = decoded.as_deref().map(show);
    sign.carried = decoded.unwrap_or_default().into_bytes();
    sign
}

// Reads a run as bits: two kinds of characters, or two and one between letters, or four of two
// bits each.
fn decode(run: &str, kinds: &BTreeSet<char>) -> Option<String> {
    let kinds: Vec<char> = kinds.iter().copied().collect();
    let pair = |zero: char, one: char, between: Option<char>| -> Option<String> {
        let digit = |c: char| match c {
            c if c == zero => Some(0),
            c if c == one => Some(1),
            _ => None,
        };
        match between {
            None => {
                let bits: Option<Vec<u8>> = run.chars().map(digit).collect();
                [8, 16, 7]
                    .into_iter()
                    .find_map(|width| text_of(&bits.clone()?, width))
            }
            Some(between) => {
                let codes = run.split(between).filter(|part| !part.is_empty());
                let codes: Option<Vec<u32>> = codes
                    .map(|part| {
                        part.chars().try_fold(0_u32, |code, c| {
                            code.checked_mul(2)?.checked_add(u32::from(digit(c)?))
                        })
                    })
                    .collect();
                readable(
                    codes?
                        .into_iter()
                        .map(char::from_u32)
                        .collect::<Option<_>>()?,
                )
            }
        }
    };
    match *kinds.as_slice() {
        [a, b] => pair(a, b, None).or_else(|| pair(b, a, None)),
        [a, b, c] => [
            (a, b, c),
            (b, a, c),
            (a, c, b),
            (c, a, b),
            (b, c, a),
            (c, b, a),
        ]
        .into_iter()
        .find_map(|(zero, one, between)| pair(zero, one, Some(between))),
        [_, _, _, _] => {
            let bits: Vec<u8> = run
                .chars()
                .filter_map(|c| kinds.iter().position(|kind| *kind == c))
                .flat_map(|two| [u8::from(two >= 2), u8::from(two == 1 || two == 3)])
                .collect();
            text_of(&bits, 8).or_else(|| text_of(&bits, 16))
        }
        _ => None,
    }
}

fn text_of(bits: &[u8], width: usize) -> Option<String> {
    let codes = bits.chunks(width).map(|chunk| {
        chunk
            .iter()
            .fold(0_u32, |code, bit| code.wrapping_shl(1) | u32::from(*bit))
    });
    if width == 8 {
        let bytes: Vec<u8> = codes.filter_map(|code| u8::try_from(code).ok()).collect();
        return readable(String::from_utf8(bytes).ok()?);
    }
    readable(codes.map(char::from_u32).collect::<Option<_>>()?)
}

// What somebody hides can be read: chance does not give letters only.
fn readable(text: String) -> Option<String> {
    let plain = text
        .chars()
        .all(|c| c.is_alphanumeric() || matches!(c, ' '..='~' | '\n' | '\t' | '\0'));
    let letters = text.chars().filter(char::is_ascii_alphanumeric).count();
    (plain && letters >= 2 && letters.saturating_mul(2) >= text.chars().count()).then_some(text)
}

/// Returns the longest run of private characters of the supplementary planes, if it is long.
pub(super) fn private(text: &str) -> Option<Sign> {
    const LONG: usize = 16;
    let (at, count) = runs(text, Kind::Private)
        .map(|(at, run)| (at, run.chars().count()))
        .max_by_key(|(_, count)| *count)?;
    let message = format!("{count} private characters follow each other");
    (count >= LONG).then(|| Sign::new(&rules::media::PRIVATE, at, message))
}
