//! Characters that people do not see, or take for others.
//!
//! Languages need invisible characters: joiners in Persian and Hindi, selectors and tags in emoji,
//! marks of direction in Arabic and Hebrew. What is told here is what no language needs: text that
//! is turned around though it is written from the left (Trojan Source, Unicode TR 36 and 55), text
//! in tag characters, rows of selectors or of characters without width that carry data, commands to
//! a terminal, and names of mixed scripts.

mod direction;
mod hidden;
mod names;
mod terminal;

use custos_core::finding::{Confidence, Finding, Location, Severity};

use crate::rules::Rule;
use crate::work::Look;

/// Looks for hidden and misleading characters in a text that lies at a place.
pub(crate) fn inspect(look: &mut Look<'_, '_, '_>, at: &Location, text: &str) {
    if is_plain(text.as_bytes()) {
        return;
    }
    for sign in signs(text) {
        if !sign.carried.is_empty() {
            // What was hidden may be a program or a pickle.
            let _ = look
                .work
                .opaque_member(look.input, "hidden-bytes", &sign.carried);
        }
        look.work.find(sign.into_finding(at, text));
    }
}

/// Looks for letters that only look like others in a name: an identifier, a key, a column.
pub(crate) fn inspect_name(look: &mut Look<'_, '_, '_>, at: &Location, name: &str) {
    if name.is_ascii() {
        return;
    }
    if let Some(sign) = names::confusable(name) {
        look.work.find(sign.into_finding(at, name));
    }
}

/// Something seen in a text.
struct Sign {
    rule: &'static Rule,
    severity: Severity,
    confidence: Confidence,
    offset: usize,
    message: String,
    evidence: Option<String>,
    cve: Option<&'static str>,
    // Bytes that were hidden in the text.
    carried: Vec<u8>,
}

impl Sign {
    fn new(rule: &'static Rule, offset: usize, message: String) -> Self {
        Self {
            rule,
            severity: rule.severity,
            confidence: Confidence::High,
            offset,
            message,
            evidence: None,
            cve: None,
            carried: Vec::new(),
        }
    }

    fn into_finding(self, at: &Location, text: &str) -> Finding {
        let before = text.as_bytes().get(..self.offset).unwrap_or_default();
        let mut location = at.clone();
        if let Some(offset) = &mut location.offset {
            let within = u64::try_from(self.offset).unwrap_or(u64::MAX);
            *offset = offset.saturating_add(within);
        }
        if let Some(line) = &mut location.line {
            *line = line.saturating_add(lines(before));
        }
        let mut finding = self.rule.finding(location, self.message);
        finding.severity = self.severity;
        finding.confidence = self.confidence;
        finding.evidence = self.evidence;
        finding.cves = self.cve.map(str::to_owned).into_iter().collect();
        finding
    }
}

// All that is seen in a text, each kind once.
fn signs(text: &str) -> Vec<Sign> {
    let kinds = Kinds::of(text);
    let mut signs = Vec::new();
    if kinds.has(Kind::Direction) {
        signs.extend(direction::turned(text));
    }
    if kinds.has(Kind::Tag) {
        signs.extend(hidden::tags(text));
    }
    if kinds.has(Kind::Selector) {
        signs.extend(hidden::selectors(text));
    }
    if kinds.has(Kind::Invisible) {
        signs.extend(hidden::zero_width(text));
    }
    if kinds.has(Kind::Private) {
        signs.extend(hidden::private(text));
    }
    if kinds.has(Kind::Control) {
        signs.extend(terminal::escapes(text));
    }
    signs
}

// Returns true if there is nothing but printable ASCII and ends of lines: most texts, quickly.
fn is_plain(bytes: &[u8]) -> bool {
    const AT_A_TIME: usize = 64;
    bytes.chunks(AT_A_TIME).all(|chunk| {
        chunk.iter().fold(true, |plain, byte| {
            plain & (matches!(byte, 0x20..=0x7e) | matches!(byte, 0x08..=0x0d))
        })
    })
}

/// What a character is, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Direction,
    Tag,
    Selector,
    Invisible,
    Private,
    Control,
}

impl Kind {
    const fn of(c: char) -> Self {
        match c {
            '\u{1b}' | '\u{9b}' | '\u{9d}' | '\u{90}' => Self::Control,
            '\u{ad}'
            | '\u{34f}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200d}'
            | '\u{2060}'..='\u{2064}'
            | '\u{206a}'..='\u{206f}'
            | '\u{feff}' => Self::Invisible,
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Self::Direction,
            '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => Self::Selector,
            '\u{e0000}'..='\u{e007f}' => Self::Tag,
            '\u{f0000}'..='\u{10ffff}' => Self::Private,
            _ => Self::Plain,
        }
    }
}

/// Which kinds a text has.
struct Kinds([bool; 8]);

impl Kinds {
    fn of(text: &str) -> Self {
        let mut kinds = [false; 8];
        for c in text.chars().filter(|c| !matches!(c, ' '..='~')) {
            if let Some(kind) = kinds.get_mut(Self::index(Kind::of(c))) {
                *kind = true;
            }
        }
        Self(kinds)
    }

    fn has(&self, kind: Kind) -> bool {
        self.0.get(Self::index(kind)).copied().unwrap_or(false)
    }

    const fn index(kind: Kind) -> usize {
        match kind {
            Kind::Plain => 0,
            Kind::Direction => 1,
            Kind::Tag => 2,
            Kind::Selector => 3,
            Kind::Invisible => 4,
            Kind::Private => 5,
            Kind::Control => 6,
        }
    }
}

/// Returns how many lines end in bytes.
pub(crate) fn lines(bytes: &[u8]) -> u32 {
    let ends = bytes.split(|byte| *byte == b'\n').count().saturating_sub(1);
    u32::try_from(ends).unwrap_or(u32::MAX)
}

/// Returns a text as it can be shown: short, and with nothing in it that is invisible.
pub(crate) fn show(text: &str) -> String {
    const SHOWN: usize = 200;
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count >= SHOWN {
            out.push('…');
            break;
        }
        if c.is_control() || Kind::of(c) != Kind::Plain {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Runs of characters of a kind: where each begins, and what is in it.
fn runs(text: &str, kind: Kind) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let start = at.saturating_add(rest.find(|c| Kind::of(c) == kind)?);
        let from = text.get(start..)?;
        let len = from.find(|c| Kind::of(c) != kind).unwrap_or(from.len());
        at = start.saturating_add(len);
        Some((start, text.get(start..at)?))
    })
}

#[cfg(test)]
mod tests;
