//! Texts: configurations, templates, programs, notebooks.

pub(crate) mod python;
pub(crate) mod template;
pub(crate) mod unicode;

use custos_core::finding::Location;

use crate::route::Format;
use crate::supply::secrets;
use crate::work::Look;

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &[];

pub(crate) static FORMATS: &[Format] = &[];

/// Looks at a text that some format holds: metadata, a description, a cell, a row.
pub(crate) fn inspect(look: &mut Look<'_, '_, '_>, at: &Location, text: &str) {
    secrets::inspect(look, at, text);
    unicode::inspect(look, at, text);
}
