//! Datasets, images and sound.

use crate::route::Format;

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &[];

pub(crate) static FORMATS: &[Format] = &[];
