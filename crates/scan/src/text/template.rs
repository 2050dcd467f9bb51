//! Jinja templates, such as those that make a prompt of a chat.
//!
//! A template is a program. Rendered outside of a sandbox, an attribute between double underscores
//! leads from any value to all of Python; inside of one, it can still take all time and memory.
//! What a template says in its texts is no matter here; only its expressions are looked at, with
//! names that are put together of pieces put together. Template Designer Documentation of Jinja 3.

mod binds;
mod fields;
mod judge;
mod reader;
mod split;
mod values;

use custos_core::finding::Location;

use crate::route::{Format, Head};
use crate::rules;
use crate::source::read_full;
use crate::work::{Input, Look};

use super::{plain, python, shortened};
use reader::Reader;

/// Longest template that is read.
const MAX_TEMPLATE: usize = 4 << 20;

/// Files that are templates: by their names, or by statements of the language.
pub(super) const FORMAT: Format = Format {
    name: "jinja template",
    extensions: &["jinja", "jinja2", "j2"],
    recognises,
    examine: examine_file,
};

/// Looks at a template that lies at a place.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>, at: &Location, source: &str) {
    look_at(look, at, source, true);
}

/// Looks at a text that may be a template, or of another language that has the same brackets.
pub(super) fn examine_doubtful(look: &mut Look<'_, '_, '_>, at: &Location, source: &str) {
    look_at(look, at, source, false);
}

fn look_at(look: &mut Look<'_, '_, '_>, at: &Location, source: &str, sure: bool) {
    if !source.contains("{{") && !source.contains("{%") {
        return;
    }
    if source.len() > MAX_TEMPLATE {
        look.gap("a template is longer than is read");
        return;
    }
    let reader = Reader::whole(source);
    if reader.room == 0 {
        look.gap("a template makes more of its texts than is followed");
    }
    let in_gguf = is_gguf(look);
    for sight in reader.finish() {
        if !sure && sight.rule.id == rules::text::TEMPLATE_UNPARSABLE.id {
            continue;
        }
        let line = at
            .line
            .unwrap_or(1)
            .saturating_add(sight.line.saturating_sub(1));
        let location = Location {
            line: Some(line),
            ..at.clone()
        };
        let mut finding = sight.rule.finding(location, sight.message);
        finding.severity = sight.severity;
        finding.evidence = Some(shortened(&sight.evidence));
        if in_gguf && sight.rule.id == rules::text::TEMPLATE_INNER.id {
            finding.cves.push("CVE-2024-34359".to_owned());
        }
        look.work.find(finding);
    }
}

// llama-cpp-python rendered what a GGUF file brings without a sandbox.
fn is_gguf(look: &Look<'_, '_, '_>) -> bool {
    let mut magic = [0; 4];
    let count = read_full(look.input.bytes, 0, &mut magic).unwrap_or(0);
    count == 4 && &magic == b"GGUF"
}

fn recognises(head: &Head, input: &Input<'_>) -> bool {
    if !plain::is_text(head) {
        return false;
    }
    let text = String::from_utf8_lossy(head.bytes());
    let statement = text.split("{%").skip(1).any(|tag| {
        let tag = tag.trim_start_matches(['-', '+']).trim_start();
        ["for ", "if ", "set ", "macro "]
            .iter()
            .any(|word| tag.starts_with(word))
            && tag.contains("%}")
    });
    let document =
        text.trim_start().starts_with(['{', '[', '<']) && text.trim_start().get(1..2) != Some("%");
    statement && !python::is_program(&text) && (!document || text.trim_start().starts_with("{{"))
        || matches!(input.extension().as_str(), "jinja" | "jinja2" | "j2")
}

fn examine_file(look: &mut Look<'_, '_, '_>) {
    if let Some(text) = plain::whole(look, MAX_TEMPLATE) {
        let here = look.here();
        examine(look, &here, &text);
    }
    plain::examine(look);
}

#[cfg(test)]
mod tests;
