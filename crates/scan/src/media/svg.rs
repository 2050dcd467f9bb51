//! SVG (W3C SVG 2): a picture that is a document, and may hold what runs or reads.
//!
//! Tags are read one after another, without a tree and without putting anything in for an entity.

use custos_core::finding::{Location, Severity};

use crate::route::Head;
use crate::rules::{self, Rule};
use crate::source::read_all;
use crate::text;
use crate::work::{Input, Look};

/// Largest document that is read.
const MAX: u64 = 32 << 20;

/// Returns true for a document whose first tag is that of a picture.
pub(super) fn recognises(head: &Head, _: &Input<'_>) -> bool {
    if !head.may_be_markup() {
        return false;
    }
    let text = String::from_utf8_lossy(head.bytes());
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    if !rest.starts_with('<') {
        return false;
    }
    loop {
        rest = rest.trim_start();
        let end = if rest.starts_with("<!--") {
            "-->"
        } else if rest.starts_with("<?") {
            "?>"
        } else if rest.starts_with("<!") {
            // A type with declarations of its own.
            return text.contains("<svg") || rest.contains("DOCTYPE svg");
        } else {
            let tag = rest.strip_prefix('<').unwrap_or_default();
            return tag.starts_with("svg") || tag.starts_with("svg:svg");
        };
        let Some((_, after)) = rest.split_once(end) else {
            return false;
        };
        rest = after;
    }
}

/// Looks at all tags.
pub(super) fn examine(look: &mut Look<'_, '_, '_>) {
    let size = look.input.bytes.len();
    if size > MAX {
        return look.gap(format!("it has {size} bytes; at most {MAX} are read"));
    }
    let Ok(bytes) = read_all(look.input.bytes) else {
        return look.gap("it cannot be read");
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut tags = Tags {
        look,
        told: Vec::new(),
    };
    let mut at = 0;
    while let Some(rest) = text.get(at..)
        && let Some(open) = rest.find('<')
    {
        let start = at.saturating_add(open);
        let from = text.get(start..).unwrap_or_default();
        let end = if from.starts_with("<!--") {
            from.find("-->").map(|end| end.saturating_add(3))
        } else if from.starts_with("<![CDATA[") {
            from.find("]]>").map(|end| end.saturating_add(3))
        } else if from.starts_with("<!DOCTYPE") {
            let end = declaration(from);
            tags.declarations(start, from.get(..end).unwrap_or(from));
            Some(end)
        } else {
            let end = tag(from);
            tags.tag(start, from.get(..end).unwrap_or(from));
            Some(end)
        };
        at = start.saturating_add(end.unwrap_or(from.len()).max(1));
    }
    let place = Location {
        line: Some(1),
        ..look.here()
    };
    text::inspect(look, &place, &text);
    look.covered.parsed(0..size);
}

/// Returns where a tag ends: at a bracket outside of quotes.
pub(super) fn tag(from: &str) -> usize {
    let mut quote = None;
    for (at, c) in from.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, '>') => return at.saturating_add(1),
            _ => {}
        }
    }
    from.len()
}

// Where a declaration ends, with those that it holds in square brackets.
fn declaration(from: &str) -> usize {
    let (mut quote, mut depth) = (None, 0_u32);
    for (at, c) in from.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, '[') => depth = depth.saturating_add(1),
            (None, ']') => depth = depth.saturating_sub(1),
            (None, '>') if depth == 0 => return at.saturating_add(1),
            _ => {}
        }
    }
    from.len()
}

struct Tags<'l, 'i, 'w, 's> {
    look: &'l mut Look<'i, 'w, 's>,
    // Each kind is told once.
    told: Vec<&'static str>,
}

impl Tags<'_, '_, '_, '_> {
    fn tell(
        &mut self,
        rule: &'static Rule,
        (what, severity): (&'static str, Severity),
        (at, shown): (usize, &str),
    ) {
        if self.told.contains(&what) {
            return;
        }
        self.told.push(what);
        let place = Location {
            offset: u64::try_from(at).ok(),
            ..self.look.here()
        };
        let mut finding = rule.finding(place, what);
        finding.severity = severity;
        finding.evidence = Some(text::unicode::show(shown));
        self.look.work.find(finding);
    }

    fn tag(&mut self, at: usize, tag: &str) {
        const SCRIPT: &Rule = &rules::media::MEDIA_SCRIPT;
        let name: String = tag
            .trim_start_matches('<')
            .chars()
            .take_while(|c| !c.is_whitespace() && !matches!(c, '>' | '/'))
            .flat_map(char::to_lowercase)
            .collect();
        let local = name.rsplit(':').next().unwrap_or_default();
        if local == "script" {
            let what = ("the picture holds a script", Severity::Medium);
            self.tell(SCRIPT, what, (at, tag));
        }
        if matches!(local, "iframe" | "object" | "embed") {
            let what = ("the picture holds another document", Severity::Medium);
            self.tell(SCRIPT, what, (at, tag));
        }
        for (key, value) in attributes(tag) {
            let key = key.to_ascii_lowercase();
            let value = value.trim_start().to_ascii_lowercase();
            let handler = key.strip_prefix("on").is_some_and(|event| {
                event.len() > 2 && event.bytes().all(|byte| byte.is_ascii_alphabetic())
            });
            if handler && !value.is_empty() {
                let what = ("the picture holds a handler of events", Severity::Medium);
                self.tell(SCRIPT, what, (at, tag));
            }
            let compact: String = value
                .chars()
                .filter(|c| !c.is_whitespace())
                .take(40)
                .collect();
            let refers = key == "href" || key.ends_with(":href");
            if refers
                && (compact.starts_with("javascript:") || compact.starts_with("data:text/html"))
            {
                let what = ("a link of the picture is a script", Severity::Medium);
                self.tell(SCRIPT, what, (at, tag));
            }
            if refers && compact.starts_with("file:") {
                let what = ("the picture refers to a local file", Severity::Medium);
                self.tell(SCRIPT, what, (at, tag));
            }
            let drawn = matches!(local, "image" | "use" | "feimage");
            if refers && drawn && (compact.starts_with("http") || compact.starts_with("//")) {
                let what = (
                    "the picture loads another one from the network",
                    Severity::Low,
                );
                self.tell(SCRIPT, what, (at, tag));
            }
        }
    }

    fn declarations(&mut self, at: usize, text: &str) {
        let mut values = 0_usize;
        for entity in text.split("<!ENTITY").skip(1) {
            let entity = entity.split('>').next().unwrap_or_default();
            let mut words = entity.split_whitespace();
            let outside = words
                .by_ref()
                .take(3)
                .any(|word| matches!(word, "SYSTEM" | "PUBLIC"));
            if outside {
                let what = (
                    "an entity of the picture reads another file",
                    Severity::High,
                );
                self.tell(&rules::media::MEDIA_ENTITY, what, (at, entity));
            }
            values = values.saturating_add(entity.matches('&').count());
        }
        if values > 50 {
            let what = (
                "entities of the picture expand each other",
                Severity::Medium,
            );
            self.tell(&rules::media::MEDIA_SIZE, what, (at, text));
        }
    }
}

/// Returns the attributes of a tag.
pub(super) fn attributes(tag: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = tag;
    std::iter::from_fn(move || {
        let (before, after) = rest.split_once('=')?;
        let key = before
            .rsplit(|c: char| c.is_whitespace() || c == '/')
            .find(|word| !word.is_empty())
            .unwrap_or_default();
        let value = after.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, next) = match quote {
            Some(quote) => value.get(1..)?.split_once(quote).unwrap_or((value, "")),
            None => value.split_at(value.find([' ', '>', '\n']).unwrap_or(value.len())),
        };
        rest = next;
        Some((key, value))
    })
}
