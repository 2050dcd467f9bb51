//! What a document declares before it begins: where its rules are, and entities.

use std::collections::BTreeMap;

use custos_core::finding::{Location, Severity};

use crate::rules;
use crate::work::Look;

/// More bytes than an entity of an ordinary document makes.
const EXPANDED: u64 = 1 << 20;
/// Most declarations that are read.
const MAX: usize = 10_000;

/// Rules that everybody has, and that are the same everywhere.
const KNOWN: [&str; 6] = [
    "http://www.apple.com/DTDs/",
    "-//Apple",
    "http://www.w3.org/",
    "https://www.w3.org/",
    "-//W3C//",
    "http://java.sun.com/dtd/",
];

/// How many bytes each entity makes that a document declares, and how many it made so far.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    entities: BTreeMap<String, u64>,
    made: u64,
    told: bool,
}

impl Sizes {
    /// Counts what an entity makes where the document names it. Told once: when what was made is
    /// many times the document, as it is if a long entity is named often (quadratic blow-up). The
    /// bounds are those of Expat: 8 MiB, and a hundred times the document.
    pub(super) fn count(&mut self, look: &mut Look<'_, '_, '_>, at: Option<u64>, name: &str) {
        const FREE: u64 = 8 << 20;
        let Some(size) = self.entities.get(name) else {
            return;
        };
        self.made = self.made.saturating_add(*size);
        let most = look.input.bytes.len().saturating_mul(100).max(FREE);
        if self.told || self.made <= most {
            return;
        }
        self.told = true;
        let message = format!(
            "its entities make more than {most} bytes where the document names them, as `{}` does",
            short(name)
        );
        let rule = &rules::graphs::XML_EXPANSION;
        tell(look, rule, (at, rule.severity), (message, name));
    }

    /// Counts what the entities in the value of an attribute make.
    pub(super) fn count_all(&mut self, look: &mut Look<'_, '_, '_>, at: Option<u64>, value: &str) {
        if self.entities.is_empty() {
            return;
        }
        for part in value.split('&').skip(1) {
            if let Some((name, _)) = part.split_once(';') {
                self.count(look, at, name);
            }
        }
    }
}

/// Looks at a declaration of a type, with what is in its brackets. Returns what its entities make.
pub(super) fn examine(look: &mut Look<'_, '_, '_>, at: Option<u64>, text: &str) -> Sizes {
    let (outer, inner) = text.split_once('[').unwrap_or((text, ""));
    if let Some(place) = place_of(outer) {
        let known = KNOWN.iter().any(|known| outer.contains(known));
        let message = format!(
            "the rules of the document are fetched from `{}`",
            short(place)
        );
        let severity = if known {
            Severity::Info
        } else {
            Severity::Medium
        };
        tell(
            look,
            &rules::graphs::XML_DOCTYPE,
            (at, severity),
            (message, place),
        );
    }
    let entities = entities(inner);
    let mut inner_only = 0_usize;
    for entity in &entities {
        let Some(place) = place_of(entity.value) else {
            inner_only = inner_only.saturating_add(1);
            continue;
        };
        let message = format!(
            "the entity `{}` is what lies at `{}`",
            short(entity.name),
            short(place)
        );
        let rule = &rules::graphs::XML_ENTITY;
        tell(look, rule, (at, rule.severity), (message, place));
    }
    let sizes = expanded(&entities);
    let largest = sizes.iter().copied().max().unwrap_or(0);
    let mut made = Sizes::default();
    if largest > EXPANDED {
        // What is told of one entity is not told again of its uses.
        made.told = true;
        let message = format!("its entities make up to {largest} bytes when they are put in");
        let rule = &rules::graphs::XML_EXPANSION;
        tell(look, rule, (at, rule.severity), (message, inner));
    } else if inner_only > 0 {
        let message = format!("the document declares {inner_only} entities");
        tell(
            look,
            &rules::graphs::XML_DOCTYPE,
            (at, Severity::Low),
            (message, inner),
        );
    }
    let names = entities.iter().map(|entity| entity.name.to_owned());
    made.entities = names.zip(sizes).collect();
    made
}

fn tell(
    look: &mut Look<'_, '_, '_>,
    rule: &'static rules::Rule,
    (at, severity): (Option<u64>, Severity),
    (message, shown): (String, &str),
) {
    let place = Location {
        offset: at,
        ..look.here()
    };
    let mut finding = rule.finding(place, message);
    finding.severity = severity;
    finding.evidence = Some(short(shown));
    look.work.find(finding);
}

struct Entity<'t> {
    name: &'t str,
    value: &'t str,
}

fn entities(inner: &str) -> Vec<Entity<'_>> {
    let mut entities = Vec::new();
    let mut rest = inner;
    while let Some((_, after)) = rest.split_once("<!ENTITY") {
        let end = end_of(after);
        let (body, next) = after.split_at_checked(end).unwrap_or((after, ""));
        rest = next;
        // `%` declares one that is put in among declarations.
        let body = body.trim_start().trim_start_matches('%').trim_start();
        let (name, value) = body.split_once(char::is_whitespace).unwrap_or((body, ""));
        entities.push(Entity {
            name,
            value: value.trim(),
        });
        if entities.len() >= MAX {
            break;
        }
    }
    entities
}

// Where a declaration ends: at a bracket outside of quotes.
fn end_of(text: &str) -> usize {
    let mut quote = None;
    for (at, one) in text.char_indices() {
        match (quote, one) {
            (None, '"' | '\'') => quote = Some(one),
            (Some(open), one) if open == one => quote = None,
            (None, '>') => return at,
            _ => {}
        }
    }
    text.len()
}

// The address behind `SYSTEM` or `PUBLIC`: the last text in quotes.
fn place_of(text: &str) -> Option<&str> {
    let outside = text
        .find(['"', '\''])
        .and_then(|at| text.get(..at))
        .unwrap_or(text);
    if !outside.contains("SYSTEM") && !outside.contains("PUBLIC") {
        return None;
    }
    let mut last = "";
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\'']) {
        let quote = rest.get(at..)?.chars().next()?;
        let after = rest.get(at.saturating_add(1)..)?;
        let (inside, next) = after.split_once(quote).unwrap_or((after, ""));
        last = inside;
        rest = next;
    }
    Some(last)
}

// How many bytes each entity makes; one that holds itself makes all there are.
fn expanded(entities: &[Entity<'_>]) -> Vec<u64> {
    let names: BTreeMap<&str, usize> = entities
        .iter()
        .enumerate()
        .map(|(index, entity)| (entity.name, index))
        .collect();
    let mut sizes: Vec<u64> = entities.iter().map(|entity| len(entity.value)).collect();
    // Each round goes one level deeper; what still grows after as many as there are holds itself.
    for _ in 0..64 {
        let mut next = Vec::with_capacity(sizes.len());
        for entity in entities {
            let mut sum = len(entity.value);
            for part in entity.value.split(['&', '%']).skip(1) {
                let name = part.split(';').next().unwrap_or_default();
                let inner = names.get(name).and_then(|index| sizes.get(*index));
                sum = sum.saturating_add(inner.copied().unwrap_or(0));
            }
            next.push(sum);
        }
        if next == sizes {
            break;
        }
        sizes = next;
        if sizes.iter().any(|size| *size > EXPANDED << 20) {
            break;
        }
    }
    sizes
}

fn len(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

fn short(text: &str) -> String {
    text.chars().take(200).collect()
}
