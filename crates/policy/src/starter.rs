//! The starter policies and the library of helpers, built into the program.
//!
//! The library (`custos.lib.*`) is part of every [`crate::PolicySet`]. The starter policies are
//! what `init` writes into a project and what gates use where a project has none of its own.

use crate::source::PolicyFile;

/// A file of the starter policies, to be written into a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StarterFile {
    /// Path relative to the policy folder.
    pub path: &'static str,
    /// What stands in it.
    pub text: &'static str,
}

/// The starter policies with their tests.
pub const FILES: &[StarterFile] = &[
    StarterFile {
        path: "gate.rego",
        text: include_str!("../../../policies/starter/gate.rego"),
    },
    StarterFile {
        path: "gate_test.rego",
        text: include_str!("../../../policies/starter/gate_test.rego"),
    },
    StarterFile {
        path: "require.rego",
        text: include_str!("../../../policies/starter/require.rego"),
    },
    StarterFile {
        path: "require_test.rego",
        text: include_str!("../../../policies/starter/require_test.rego"),
    },
];

/// The package that `custos run --require` asks.
pub const REQUIRE_PACKAGE: &str = "data.custos.require";

const LIBRARY: &[StarterFile] = &[
    StarterFile {
        path: "lib/custos/digests.rego",
        text: include_str!("../../../policies/lib/custos/digests.rego"),
    },
    StarterFile {
        path: "lib/custos/facts.rego",
        text: include_str!("../../../policies/lib/custos/facts.rego"),
    },
];

/// Returns the starter policies and their tests as files to load.
///
/// ```
/// use custos_policy::{PolicyLimits, PolicySet, starter};
/// let set = PolicySet::load(starter::policies(), &PolicyLimits::default()).unwrap();
/// assert!(set.warnings().is_empty());
/// ```
pub fn policies() -> Vec<PolicyFile> {
    FILES
        .iter()
        .map(|file| PolicyFile::new(file.path, file.text))
        .collect()
}

/// Returns the library that is part of every set.
pub fn library() -> Vec<PolicyFile> {
    LIBRARY
        .iter()
        .map(|file| PolicyFile::new(file.path, file.text))
        .collect()
}
