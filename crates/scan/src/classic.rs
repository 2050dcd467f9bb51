//! Trees, classic models, and packages of models.

use crate::route::Format;

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &[];

pub(crate) static FORMATS: &[Format] = &[];
