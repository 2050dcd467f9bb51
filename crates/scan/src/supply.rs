//! What a model depends on, and what it ought not to give away.
//!
//! Lists of dependencies of Python, npm, Rust, Go and conda: what is not pinned, comes from where
//! anybody may put it, has a name that is easily mistaken, or is known to be vulnerable or made to
//! hurt. What is known is given by whoever scans ([`Knowledge`]), and never fetched.

mod check;
mod dependency;
mod formats;
mod names;
mod osv;
pub(crate) mod record;
mod requirement;
pub(crate) mod secrets;

use std::collections::BTreeSet;

use custos_core::finding::Location;

pub use osv::{Advisories, AdvisoriesBuilder, AdvisoryError, Snapshot};

use crate::work::Look;
use dependency::{Dependency, Manifest, Purpose};
pub(crate) use formats::FORMATS;

/// The lists that a verdict depends on.
pub(crate) static DATA: &[&str] = &[secrets::DATA, names::DATA[0], names::DATA[1]];

/// What is known about dependencies: given by whoever scans, never fetched.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Knowledge {
    /// Names of packages that are internal: none of them may come from a public index.
    pub internal_names: BTreeSet<String>,
    /// Package URLs of versions that their makers withdrew: `pkg:pypi/name@1.0`.
    pub yanked: BTreeSet<String>,
    /// Known vulnerabilities.
    pub advisories: Option<Advisories>,
}

impl Knowledge {
    /// Returns which database of vulnerabilities is known, for reports to name.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.advisories.as_ref().map(Advisories::snapshot)
    }
}

fn yanked(knowledge: &Knowledge, dependency: &Dependency) -> bool {
    dependency.version.is_some() && knowledge.yanked.contains(&dependency.purl())
}

/// Judges a command that installs Python packages, such as the line `!pip install x` of a notebook.
/// Returns false if the line is none.
pub(crate) fn requirement_line(look: &mut Look<'_, '_, '_>, at: &Location, line: &str) -> bool {
    let Some(words) = formats::command(line) else {
        return false;
    };
    let mut manifest = Manifest::new(Purpose::Wishes);
    formats::words(look, at, &words, &mut manifest);
    check::run(look, at, &manifest);
    true
}
