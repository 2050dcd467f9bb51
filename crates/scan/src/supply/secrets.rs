//! Secrets in texts: tokens, keys and passwords that somebody forgot in a model, a notebook or a
//! configuration.
//!
//! What is looked for is data (`data/supply/secrets.toml`). One pass over the text looks for words,
//! and where a word stands, the shape of the secret is tried at exactly that place; then its
//! structure (a checksum, a key that decodes, a token whose parts are JSON) and how random it is.
//! What stands in examples is none. No report ever holds a secret: only its kind, its length, its
//! first characters, and a fingerprint by which two scans know it again.

mod assignment;
mod checks;
mod list;

use std::collections::BTreeSet;
use std::ops::Range;

use custos_core::digest::Algorithm;
use custos_core::finding::{Confidence, Finding, Location, Severity};

use crate::rules::{self, Rule};
use crate::work::Look;
use checks::{Doubt, Verdict};
use list::{Kind, LIST};

/// The list of secrets.
pub(crate) const DATA: &str = include_str!("../../data/supply/secrets.toml");

/// Shorter texts hold none.
const SHORTEST: usize = 16;
/// How far a pattern may reach.
const REACH: usize = 8 << 10;
/// Most that is reported of one text.
const MOST: usize = 1_000;

/// Looks for secrets in a text that lies at a place.
pub(crate) fn inspect(look: &mut Look<'_, '_, '_>, at: &Location, text: &str) {
    if text.len() < SHORTEST {
        return;
    }
    let mut told = BTreeSet::new();
    let mut lines = Lines::new(text, at);
    let in_tests = names_tests(&look.input.path);
    for secret in search(text.as_bytes()) {
        let value = text
            .as_bytes()
            .get(secret.range.clone())
            .unwrap_or_default();
        if !told.insert(fingerprint(value, FULL)) {
            continue;
        }
        let place = lines.place(secret.range.start);
        look.work.find(secret.finding(value, place, in_tests));
    }
}

struct Secret {
    range: Range<usize>,
    rule: &'static Rule,
    name: &'static str,
    severity: Severity,
    doubt: Doubt,
}

// In the order of their places; none lies in another.
fn search(text: &[u8]) -> Vec<Secret> {
    let mut seen = Vec::new();
    let mut assigned = Vec::new();
    let Some(words) = &LIST.words else {
        return seen;
    };
    for hit in words.find_overlapping_iter(text) {
        if seen.len() >= MOST {
            break;
        }
        match LIST.kind_of(hit.pattern().as_usize()) {
            None => {
                if assigned.len() < MOST {
                    assigned.extend(assignment::at(text, hit.start(), hit.end()));
                }
            }
            Some(kind) => seen.extend(try_kind(kind, text, hit.start())),
        }
    }
    let free = |secret: &Secret| {
        let range = &secret.range;
        !seen
            .iter()
            .any(|one: &Secret| one.range.start < range.end && range.start < one.range.end)
    };
    assigned.retain(free);
    seen.append(&mut assigned);
    seen.sort_by_key(|secret| (secret.range.start, secret.range.end));
    seen
}

fn try_kind(kind: &'static Kind, text: &[u8], hit: usize) -> Option<Secret> {
    let start = hit.checked_sub(kind.back)?;
    if kind.bounded && !begins_word(text, start) {
        return None;
    }
    let range = kind.at(text, start..start.saturating_add(REACH).min(text.len()))?;
    let value = text.get(range.clone())?;
    if entropy(value) < kind.entropy {
        return None;
    }
    let verdict = match kind.check {
        Some(check) => check(text, &range),
        None if LIST.is_placeholder(value) => Verdict::No,
        None => Verdict::Yes,
    };
    let (range, severity, doubt) = match verdict {
        Verdict::No => return None,
        Verdict::Yes => (range, kind.severity, Doubt::None),
        Verdict::Reaching(end, severity) => (range.start..end, severity, Doubt::None),
        Verdict::As(severity, doubt) => (range, severity, doubt),
    };
    Some(Secret {
        range,
        rule: kind.rule,
        name: &kind.name,
        severity,
        doubt,
    })
}

impl Secret {
    fn finding(&self, value: &[u8], place: Location, in_tests: bool) -> Finding {
        let is_password = self.rule == &rules::supply::SECRET_PASSWORD;
        let is_key = self.rule == &rules::supply::SECRET_PRIVATE_KEY;
        // A short password could be guessed from its fingerprint: fewer digits tell less.
        let digits = if is_password { SHORT } else { FULL };
        let shown = if is_password || is_key {
            0
        } else {
            shown(value)
        };
        let begin = String::from_utf8_lossy(value.get(..shown).unwrap_or_default()).into_owned();
        let begin = if begin.is_empty() {
            begin
        } else {
            format!(", begins with `{begin}`")
        };
        let mark = fingerprint(value, digits);
        let len = value.len();
        let evidence = format!("{}, {len} characters{begin}, fingerprint {mark}", self.name);
        let mut message = format!("the text holds {}", self.name);
        match self.doubt {
            Doubt::None => {}
            Doubt::Checksum => message.push_str(" in shape, whose checksum is wrong"),
            Doubt::Encrypted => message.push_str(", encrypted with a password"),
            Doubt::Half => message.push_str(", without the secret half of it"),
            Doubt::Name => message.push_str(", as its name and its randomness suggest"),
        }
        let mut finding = self.rule.finding(place, message);
        finding.severity = self.severity;
        finding.evidence = Some(evidence);
        if self.doubt != Doubt::None {
            finding.confidence = Confidence::Medium;
        }
        if self.doubt == Doubt::Name {
            finding.confidence = Confidence::Low;
        }
        if in_tests && is_key {
            finding.severity = finding.severity.min(Severity::Low);
        }
        finding
    }
}

// How much of a token says nothing: its kind, and a little more.
fn shown(value: &[u8]) -> usize {
    let head = value.get(..16).unwrap_or_default();
    let prefix = head
        .iter()
        .rposition(|byte| matches!(byte, b'_' | b'-' | b'.'));
    let prefix = prefix.map_or(0, |at| at.saturating_add(1)).min(12);
    prefix.saturating_add(2).max(4).min(value.len() / 4)
}

const FULL: usize = 16;
const SHORT: usize = 6;

/// Returns what stands for a secret: the same for the same rule set, and nothing that leads back.
fn fingerprint(value: &[u8], digits: usize) -> String {
    let mut hasher = Algorithm::Sha256.hasher();
    hasher.update(&LIST.salt);
    hasher.update(value);
    let mut text = hasher.finish().to_hex();
    text.truncate(digits);
    text
}

/// Returns how many bits a character of it tells, by how often each occurs (Shannon).
fn entropy(value: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count = count.saturating_add(1);
        }
    }
    let total = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX));
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / total)
        .map(|share| -share * share.log2())
        .sum()
}

// A token begins where no other word goes on; `\n` in a JSON text is no letter.
fn begins_word(text: &[u8], start: usize) -> bool {
    let Some(before) = start.checked_sub(1) else {
        return true;
    };
    match text.get(before) {
        Some(b'n' | b't' | b'r') => {
            let escape = before.checked_sub(1).and_then(|at| text.get(at));
            escape == Some(&b'\\')
        }
        Some(byte) => !byte.is_ascii_alphanumeric() && !matches!(byte, b'_' | b'-'),
        None => true,
    }
}

// Names of folders and files whose keys are there to be seen.
fn names_tests(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    path.split(['/', '\\', '!', '.', '_', '-']).any(|part| {
        matches!(
            part,
            "test"
                | "tests"
                | "testing"
                | "testdata"
                | "example"
                | "examples"
                | "fixture"
                | "fixtures"
                | "mock"
                | "mocks"
                | "demo"
                | "snakeoil"
        )
    })
}

// Where in a file a place in a text is, if the text lies there as it is.
struct Lines<'t, 'a> {
    text: &'t [u8],
    at: &'a Location,
    counted: usize,
    passed: u32,
}

impl<'t, 'a> Lines<'t, 'a> {
    fn new(text: &'t str, at: &'a Location) -> Self {
        Self {
            text: text.as_bytes(),
            at,
            counted: 0,
            passed: 0,
        }
    }

    // Places come in order, so that lines are counted once.
    fn place(&mut self, to: usize) -> Location {
        let mut place = self.at.clone();
        if place.pointer.is_some() {
            return place;
        }
        let between = self.text.get(self.counted..to).unwrap_or_default();
        let more = between.split(|byte| *byte == b'\n').skip(1).count();
        self.passed = self
            .passed
            .saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        self.counted = to.max(self.counted);
        let within = u64::try_from(to).unwrap_or(u64::MAX);
        place.line = Some(place.line.unwrap_or(1).saturating_add(self.passed));
        place.offset = place.offset.map(|offset| offset.saturating_add(within));
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<&'static str> {
        search(text.as_bytes()).iter().map(|one| one.name).collect()
    }

    #[test]
    fn shapes_are_tried_where_their_word_stands() {
        let token = format!("ghp_{}", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17");
        assert_eq!(names(&format!("a {token} b")), ["a GitHub token"]);
        assert_eq!(names(&format!(r#""x\n{token}""#)), ["a GitHub token"]);
        assert!(names(&format!("x{token}")).is_empty());
        assert!(names(&format!("{token}x")).is_empty());
    }

    #[test]
    fn a_random_text_tells_more_than_a_plain_one() {
        assert!(entropy(b"aaaaaaaa") < 0.1);
        assert!((entropy(b"abcdefgh") - 3.0).abs() < 1e-9);
        assert!(entropy(b"").abs() < 1e-9);
    }

    #[test]
    fn evidence_never_holds_the_secret() {
        let value = b"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";
        let found = &search(value)[0];
        let finding = found.finding(value, Location::default(), false);
        let evidence = finding.evidence.unwrap();
        assert!(
            evidence.contains("begins with `ghp_zQ`, fingerprint "),
            "{evidence}"
        );
        assert!(!evidence.contains("ghp_zQW"));
    }

    #[test]
    fn a_key_among_tests_is_there_to_be_seen() {
        assert!(names_tests("a/tests/key.pem"));
        assert!(names_tests("a.zip!x/test_key.pem"));
        assert!(!names_tests("latest/contest.pem"));
    }
}
