//! Text that is shown in another order than it is read in (Unicode TR 9, CVE-2021-42574).
//!
//! A control that turns text to the left matters where the text is written from the left: there,
//! nobody needs it. Pairs that open and close within a line are ordinary in translations.

use custos_core::finding::{Confidence, Severity};

use super::{Sign, show};
use crate::rules;

const PUBLISHED: &str = "CVE-2021-42574";
/// Most controls that a character of ordinary text stands between.
const DEEPEST: usize = 16;

/// Returns the worst that is done with the direction of text.
pub(super) fn turned(text: &str) -> Option<Sign> {
    let mut worst: Option<Sign> = None;
    let mut at = 0_usize;
    for line in text.split_inclusive(['\n', '\u{2029}']) {
        if let Some((within, found)) = in_line(line) {
            let severity = found.severity();
            if worst.as_ref().is_none_or(|worst| severity > worst.severity) {
                let offset = at.saturating_add(within);
                let message = format!("{} turns the text of a line around", found.name);
                let mut sign = Sign::new(&rules::media::BIDI, offset, message);
                sign.severity = severity;
                sign.confidence = Confidence::Medium;
                sign.evidence = Some(show(line.trim()));
                sign.cve = found.in_code.then_some(PUBLISHED);
                worst = Some(sign);
            }
        }
        at = at.saturating_add(line.len());
    }
    worst
}

struct Found {
    name: &'static str,
    overrides: bool,
    in_code: bool,
}

impl Found {
    const fn severity(&self) -> Severity {
        match (self.in_code, self.overrides) {
            (true, _) => Severity::High,
            (false, true) => Severity::Medium,
            (false, false) => Severity::Low,
        }
    }
}

fn in_line(line: &str) -> Option<(usize, Found)> {
    let leftward = written_leftward(line);
    let mut left = line.len().saturating_mul(DEEPEST);
    for (at, c) in line.char_indices() {
        let name = match c {
            '\u{202e}' => "U+202E (right-to-left override)",
            '\u{202b}' => "U+202B (right-to-left embedding)",
            '\u{2067}' => "U+2067 (right-to-left isolate)",
            _ => continue,
        };
        let overrides = c == '\u{202e}';
        if leftward && !overrides {
            continue;
        }
        let before = line.get(..at).unwrap_or_default();
        let after = line.get(at..).unwrap_or_default();
        if is_an_entry(before, after) {
            continue;
        }
        let (scope, closed) = scope(after);
        let Some(less) = left.checked_sub(scope.len()) else {
            let found = Found {
                name,
                overrides,
                in_code: false,
            };
            return Some((at, found));
        };
        left = less;
        if letters(scope) < 2 || (closed && !overrides) {
            continue;
        }
        // What a turned text hides in a program: ends of strings and comments.
        let in_code = !leftward
            && (scope.contains(['"', '\'', '{', '}', ';', '#', '`'])
                || scope.contains("*/")
                || scope.contains("//"));
        let found = Found {
            name,
            overrides,
            in_code,
        };
        return Some((at, found));
    }
    None
}

// What a control turns: up to what closes it, or to the end of the line.
fn scope(from: &str) -> (&str, bool) {
    let mut open = 0_u32;
    for (at, c) in from.char_indices() {
        match c {
            '\u{202a}' | '\u{202b}' | '\u{202d}' | '\u{202e}' | '\u{2066}'..='\u{2068}' => {
                open = open.saturating_add(1);
            }
            '\u{202c}' | '\u{2069}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open == 0 {
            return (from.get(..at).unwrap_or_default(), true);
        }
    }
    (from, false)
}

// Returns true for a text that is nothing but such controls between quotes: an entry of a
// vocabulary.
fn is_an_entry(before: &str, after: &str) -> bool {
    let quote = |c: char| matches!(c, '"' | '\'' | '`');
    if !before.ends_with(quote) {
        return false;
    }
    let rest = after.trim_start_matches([
        '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}',
        '\u{2068}', '\u{2069}',
    ]);
    rest.starts_with(quote)
}

fn letters(text: &str) -> usize {
    text.chars()
        .filter(|c| c.is_alphabetic() && !is_leftward(*c))
        .count()
}

// Returns true if a good part of the letters are of a script that is written to the left.
fn written_leftward(line: &str) -> bool {
    let (mut leftward, mut all) = (0_usize, 0_usize);
    for c in line.chars().filter(|c| c.is_alphabetic()) {
        all = all.saturating_add(1);
        leftward = leftward.saturating_add(usize::from(is_leftward(c)));
    }
    leftward.saturating_mul(4) >= all && leftward > 0
}

const fn is_leftward(c: char) -> bool {
    matches!(
        c,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}'
            | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}'
    )
}
