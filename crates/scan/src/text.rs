//! Texts: configurations, templates, programs, notebooks.
//!
//! What is text and nothing more is looked at piece by piece ([`plain`]). [`json`] reads documents
//! of any size into tokens, and those of a bounded one into a [`document`] whose values know where
//! they stand.

mod code;
mod config;
pub(crate) mod document;
pub(crate) mod json;
mod notebook;
mod object;
mod plain;
pub(crate) mod python;
mod shell;
pub(crate) mod template;
pub(crate) mod unicode;
mod yaml;

use custos_core::finding::Location;

use crate::media::prompts;
use crate::pickle;
use crate::route::{Format, Head};
use crate::supply::secrets;
use crate::work::Look;

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &[config::DATA, python::DATA];

pub(crate) static FORMATS: &[Format] = &[
    object::FORMAT,
    yaml::FORMAT,
    yaml::CARD,
    template::FORMAT,
    python::FORMAT,
    python::PATHS,
    shell::SCRIPT,
    shell::DOCKERFILE,
    plain::FORMAT,
];

/// Returns true if it begins as a text does.
pub(crate) fn is_text(head: &Head) -> bool {
    plain::is_text(head)
}

/// Looks at a text that some format holds: metadata, a description, a cell, a row.
pub(crate) fn inspect(look: &mut Look<'_, '_, '_>, at: &Location, text: &str) {
    secrets::inspect(look, at, text);
    unicode::inspect(look, at, text);
    prompts::inspect(look, at, text);
}

/// Returns a text from a file as evidence shows it: short, and on one line.
fn shortened(text: &str) -> String {
    const MAX: usize = 240;
    let mut shown: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = shown.char_indices().nth(MAX) {
        shown.truncate(at);
        shown.push('…');
    }
    shown
}

/// Returns what something of this name does, if it is known to do harm.
fn danger(module: &str, name: &str) -> Option<&'static str> {
    pickle::danger(module, name).map(|(does, _)| does)
}
