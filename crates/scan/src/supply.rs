//! What a model depends on, and what it ought not to give away.

pub(crate) mod secrets;

use std::collections::BTreeSet;

use crate::route::Format;

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &[secrets::DATA];

pub(crate) static FORMATS: &[Format] = &[];

/// What is known about dependencies: given by whoever scans, never fetched.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Knowledge {
    /// Names of packages that are internal: none of them may come from a public index.
    pub internal_names: BTreeSet<String>,
}
