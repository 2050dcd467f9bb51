//! Jinja templates, such as those that make a prompt of a chat.

use custos_core::finding::Location;

use crate::work::Look;

/// Looks at a template that lies at a place.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>, at: &Location, source: &str) {
    let _ = (look, at, source);
}
