//! Secrets in texts.

use custos_core::finding::Location;

use crate::work::Look;

/// Looks for secrets in a text that lies at a place.
pub(crate) fn inspect(look: &mut Look<'_, '_, '_>, at: &Location, text: &str) {
    let _ = (look, at, text);
}
