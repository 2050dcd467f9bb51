//! Values whose name says that they are secret: `api_key = "..."`, `"client_secret": "..."`,
//! `export DB_PASSWORD=...`.

use custos_core::finding::Severity;

use super::checks::Doubt;
use super::list::LIST;
use super::{Secret, entropy};
use crate::rules;

/// Longest name, and shortest and longest value.
const NAME: usize = 40;
const SHORTEST: usize = 16;
const LONGEST: usize = 200;

/// What in a name says that its value is not the secret itself.
const NOT_THE_SECRET: [&str; 24] = [
    "_name", "_path", "_file", "_url", "_uri", "_arn", "_id", "keyid", "key_id", "_hash", "hashed",
    "_field", "_type", "public", "_length", "_ref", "_version", "_salt", "_digest", "_label",
    "_prefix", "_regex", "pattern", "_sha",
];

/// Returns the secret that a name at this place is given, if its value looks like one.
pub(super) fn at(text: &[u8], start: usize, end: usize) -> Option<Secret> {
    let rest = text.get(end..)?;
    let tail = rest
        .iter()
        .take(NAME)
        .take_while(|byte| is_name(**byte))
        .count();
    let mut reader = Reader {
        text,
        at: end.saturating_add(tail),
    };
    reader.separator()?;
    let name = name(text, start, reader.at)?;
    let quote = reader.quote();
    let from = reader.at;
    let len = reader.value(quote)?;
    let range = from..from.saturating_add(len);
    let value = text.get(range.clone())?;
    if NOT_THE_SECRET.iter().any(|part| name.contains(part)) || !is_random(value) {
        return None;
    }
    Some(Secret {
        range,
        rule: &rules::supply::SECRET_ASSIGNMENT,
        name: "a value with the name of a secret",
        severity: Severity::Medium,
        doubt: Doubt::Name,
    })
}

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn name(text: &[u8], start: usize, end: usize) -> Option<String> {
    let before = text.get(start.saturating_sub(NAME)..start)?;
    let more = before
        .iter()
        .rev()
        .take_while(|byte| is_name(**byte))
        .count();
    let name = text.get(start.saturating_sub(more)..end)?;
    Some(String::from_utf8_lossy(name).to_ascii_lowercase())
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn skip(&mut self, wanted: impl Fn(u8) -> bool, most: usize) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let count = rest
            .iter()
            .take(most)
            .take_while(|byte| wanted(**byte))
            .count();
        self.at = self.at.saturating_add(count);
    }

    // `=`, `:`, `:=` or `=>`, and not `==`.
    fn separator(&mut self) -> Option<()> {
        self.skip(|byte| matches!(byte, b'"' | b'\'' | b'\\' | b']'), 3);
        self.skip(|byte| byte == b' ' || byte == b'\t', 8);
        let before = self.at;
        self.skip(|byte| matches!(byte, b'=' | b':' | b'>'), 3);
        let mark = self.text.get(before..self.at)?;
        let known = matches!(mark, b"=" | b":" | b":=" | b"=>");
        self.skip(|byte| byte == b' ' || byte == b'\t', 8);
        known.then_some(())
    }

    fn quote(&mut self) -> Option<u8> {
        let before = self.at;
        self.skip(|byte| byte == b'\\', 1);
        if let Some(quote @ (b'"' | b'\'')) = self.text.get(self.at) {
            self.at = self.at.saturating_add(1);
            return Some(*quote);
        }
        self.at = before;
        None
    }

    fn value(&self, quote: Option<u8>) -> Option<usize> {
        let rest = self.text.get(self.at..)?;
        let of_value = |byte: &&u8| {
            byte.is_ascii_alphanumeric()
                || matches!(**byte, b'-' | b'/' | b'+' | b'=' | b'~')
                // Without quotes, these are parts of an expression.
                || (quote.is_some() && b"_.!@#^*:".contains(*byte))
        };
        let len = rest.iter().take(LONGEST).take_while(of_value).count();
        let end = rest.get(len);
        let closed = match quote {
            Some(quote) => matches!(end, Some(byte) if *byte == quote || *byte == b'\\'),
            None => ends_line(rest.get(len..)?),
        };
        (closed && len >= SHORTEST).then_some(len)
    }
}

fn ends_line(rest: &[u8]) -> bool {
    let next = rest.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    matches!(next, None | Some(b'\n' | b'\r'))
}

// Random by its characters, and neither an identifier, nor a path, nor the digest of something.
fn is_random(value: &[u8]) -> bool {
    let hex = value.iter().all(u8::is_ascii_hexdigit);
    let changes = |of: fn(u8) -> u8| {
        let differ = |pair: &&[u8]| matches!(pair, [a, b] if of(*a) != of(*b));
        value.windows(2).filter(differ).count()
    };
    let digits = changes(|byte| u8::from(byte.is_ascii_digit()));
    // Words of an identifier change their case, random characters do so all the time.
    let mixed = changes(case).saturating_mul(3) >= value.len();
    let enough = if hex {
        value.len() >= 24 && entropy(value) >= 3.2
    } else {
        value.len() >= 20 && entropy(value) >= 3.8
    };
    enough
        && (digits >= 4 || (digits > 0 && mixed))
        && !value.contains(&b':')
        && !is_uuid(value)
        && !is_identifier(value)
        && !LIST.is_placeholder(value)
}

const fn case(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => 0,
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        _ => 3,
    }
}

fn is_uuid(value: &[u8]) -> bool {
    let lengths = value.split(|byte| *byte == b'-').map(<[u8]>::len);
    lengths.eq([8, 4, 4, 4, 12])
}

// `projects/my-project-1/secrets`: parts that are words or numbers.
fn is_identifier(value: &[u8]) -> bool {
    let is_word = |part: &[u8]| {
        let letters = part
            .iter()
            .filter(|byte| byte.is_ascii_alphabetic())
            .count();
        letters == 0 || letters == part.len() || part.len() <= 4
    };
    let mut parts = value.split(|byte| !byte.is_ascii_alphanumeric());
    parts.all(is_word)
}
