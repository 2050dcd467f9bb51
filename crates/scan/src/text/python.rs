//! Programs in Python, as they lie beside models and in packages.

use custos_core::finding::Location;

use crate::work::Look;

/// Looks at a program that lies at a place.
pub(crate) fn examine(look: &mut Look<'_, '_, '_>, at: &Location, source: &str) {
    let _ = (look, at, source);
}
