//! Known vulnerabilities, offline: a snapshot of an OSV database, given as a zip archive or document
//! by document.
//!
//! Schema: [OSV 1.7](https://ossf.github.io/osv-schema/). Packages of Python (ordered by PEP 440), npm,
//! crates.io and Go (ordered by semantic version) are kept; ranges of Git commits are not, since nothing here
//! knows commits. Withdrawn advisories are left out. What is kept of an advisory is little, so that
//! the database of a whole ecosystem fits into a few dozen MiB.
//!
//! "No known vulnerability" means nothing without the day of the snapshot: see [`Snapshot`].

mod cvss;
mod documents;
mod versions;

use std::collections::HashMap;
use std::io;

use custos_core::digest::{Algorithm, Digest};
use custos_core::finding::Severity;
use serde::{Deserialize, Serialize};

use super::dependency::{Dependency, Ecosystem};
use crate::source::ReadAt;
use documents::Document;

/// Known vulnerabilities and malicious packages.
#[derive(Debug)]
pub struct Advisories {
    snapshot: Snapshot,
    known: Vec<Advisory>,
    packages: HashMap<(Ecosystem, Box<str>), Vec<Affected>>,
}

/// Which database it was: two reports of the same snapshot can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::exhaustive_structs, reason = "written out")]
pub struct Snapshot {
    /// Digest over the digests of all documents, in the order of these.
    pub digest: Digest,
    /// When the newest document was changed (RFC 3339, UTC); empty if there is none.
    pub newest: String,
    /// How many advisories are kept.
    pub advisories: u64,
    /// How many documents could not be read.
    pub unreadable: u64,
}

/// Why a database cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdvisoryError {
    /// A document is not of the schema.
    #[error("this is no advisory in the schema of OSV: {0}")]
    Document(#[from] serde_json::Error),
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The archive is not whole, or of a kind that is not read here.
    #[error("the archive of advisories is broken: {0}")]
    Zip(&'static str),
    /// A document is larger than any advisory.
    #[error("a document of {0} bytes is no advisory")]
    Large(u64),
}

/// Collects advisories.
#[derive(Debug, Default)]
pub struct AdvisoriesBuilder {
    known: Vec<Advisory>,
    packages: HashMap<(Ecosystem, Box<str>), Vec<Affected>>,
    digests: Vec<Digest>,
    newest: String,
    unreadable: u64,
}

impl AdvisoriesBuilder {
    /// Adds one document. One that is not of the schema is counted, and an error.
    pub fn add(&mut self, document: &[u8]) -> Result<(), AdvisoryError> {
        self.digests.push(Algorithm::Sha256.digest(document));
        let document: Document = serde_json::from_slice(document).inspect_err(|_| {
            self.unreadable = self.unreadable.saturating_add(1);
        })?;
        if document.modified > self.newest && document.modified.ends_with('Z') {
            self.newest.clone_from(&document.modified);
        }
        if document.withdrawn.is_none() {
            self.keep(document);
        }
        Ok(())
    }

    /// Adds the documents of a zip archive, such as the `all.zip` of an ecosystem. Documents that are
    /// not of the schema are counted and left out.
    pub fn add_zip(&mut self, archive: &dyn ReadAt) -> Result<(), AdvisoryError> {
        documents::of_zip(archive, |document| match self.add(document) {
            Ok(()) | Err(AdvisoryError::Document(_)) => Ok(()),
            Err(error) => Err(error),
        })
    }

    /// Returns what was collected.
    pub fn finish(mut self) -> Advisories {
        self.digests.sort_unstable();
        self.digests.dedup();
        let mut hasher = Algorithm::Sha256.hasher();
        for digest in &self.digests {
            hasher.update(digest.to_hex().as_bytes());
        }
        // Neither a folder nor an archive has an order of its own.
        let known = &self.known;
        let id = |one: &Affected| {
            known
                .get(usize::try_from(one.advisory).ok()?)
                .map(|one| &one.id)
        };
        for list in self.packages.values_mut() {
            list.sort_by(|a, b| id(a).cmp(&id(b)));
            list.shrink_to_fit();
        }
        Advisories {
            snapshot: Snapshot {
                digest: hasher.finish(),
                newest: self.newest,
                advisories: u64::try_from(self.known.len()).unwrap_or(u64::MAX),
                unreadable: self.unreadable,
            },
            known: self.known,
            packages: self.packages,
        }
    }

    fn keep(&mut self, document: Document) {
        let Ok(number) = u32::try_from(self.known.len()) else {
            return;
        };
        let mut kept = false;
        for affected in &document.affected {
            let Some((ecosystem, name)) = affected.package() else {
                continue;
            };
            kept = true;
            let key = (ecosystem, ecosystem.normal(name).into_boxed_str());
            let list = self.packages.entry(key).or_default();
            list.push(Affected {
                advisory: number,
                ranges: affected.ranges(),
                versions: affected.versions.join("\n").into_boxed_str(),
            });
        }
        if kept {
            self.known.push(Advisory {
                severity: document.severity(),
                id: document.id.into_boxed_str(),
                aliases: document
                    .aliases
                    .into_iter()
                    .map(String::into_boxed_str)
                    .collect(),
                summary: shortened(&document.summary),
            });
        }
    }
}

/// Longest summary that is kept.
const SUMMARY: usize = 120;

fn shortened(text: &str) -> Box<str> {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(SUMMARY).collect()
}

/// An advisory, as far as a report needs it.
#[derive(Debug)]
pub(super) struct Advisory {
    pub(super) id: Box<str>,
    pub(super) aliases: Box<[Box<str>]>,
    pub(super) severity: Severity,
    pub(super) summary: Box<str>,
}

impl Advisory {
    /// Returns true if it is about a package that was made to hurt.
    pub(super) fn is_malware(&self) -> bool {
        self.id.starts_with("MAL-") || self.aliases.iter().any(|alias| alias.starts_with("MAL-"))
    }
}

#[derive(Debug)]
struct Affected {
    advisory: u32,
    ranges: Box<[Range]>,
    // One a line.
    versions: Box<str>,
}

#[derive(Debug)]
struct Range(Box<[Event]>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Introduced(Box<str>),
    Fixed(Box<str>),
    Last(Box<str>),
}

/// Advisories about one dependency that are one and the same under several names.
pub(super) struct Hit<'a> {
    pub(super) ids: Vec<&'a str>,
    pub(super) aliases: Vec<&'a str>,
    pub(super) severity: Severity,
    pub(super) malware: bool,
    pub(super) summary: &'a str,
    pub(super) fixed: Option<String>,
}

impl Advisories {
    /// Starts a collection.
    pub fn builder() -> AdvisoriesBuilder {
        AdvisoriesBuilder::default()
    }

    /// Returns which database it is.
    pub const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns what is known about a dependency. Without a version, only what is known about all
    /// versions of it.
    pub(super) fn about(&self, dependency: &Dependency) -> Vec<Hit<'_>> {
        let ecosystem = dependency.ecosystem;
        let key = (
            ecosystem,
            ecosystem.normal(&dependency.name).into_boxed_str(),
        );
        let mut hits: Vec<Hit<'_>> = Vec::new();
        for affected in self.packages.get(&key).into_iter().flatten() {
            let number = usize::try_from(affected.advisory).unwrap_or(usize::MAX);
            let Some(advisory) = self.known.get(number) else {
                continue;
            };
            let fixed = match &dependency.version {
                Some(version) => match affected.fix(ecosystem, version) {
                    Some(Fix(fixed)) => fixed,
                    None => continue,
                },
                None if advisory.is_malware() && affected.has_no_end() => None,
                None => continue,
            };
            join(&mut hits, advisory, fixed);
        }
        hits
    }
}

// GHSA, PYSEC and others describe the same under names of their own.
fn join<'a>(hits: &mut Vec<Hit<'a>>, advisory: &'a Advisory, fixed: Option<String>) {
    let aliases: Vec<&str> = advisory.aliases.iter().map(AsRef::as_ref).collect();
    let same = |hit: &&mut Hit<'_>| {
        hit.aliases.contains(&&*advisory.id)
            || hit
                .ids
                .iter()
                .any(|id| aliases.contains(id) || *id == &*advisory.id)
            || hit.aliases.iter().any(|alias| aliases.contains(alias))
    };
    if let Some(hit) = hits.iter_mut().find(same) {
        if !hit.ids.contains(&&*advisory.id) {
            hit.ids.push(&advisory.id);
        }
        hit.aliases.extend(aliases);
        hit.severity = hit.severity.max(advisory.severity);
        hit.malware |= advisory.is_malware();
        hit.fixed = hit.fixed.take().or(fixed);
        return;
    }
    hits.push(Hit {
        ids: vec![&advisory.id],
        aliases,
        severity: advisory.severity,
        malware: advisory.is_malware(),
        summary: &advisory.summary,
        fixed,
    });
}

// The version that mends it, if one is known.
struct Fix(Option<String>);

impl Affected {
    // Returns nothing if the version is not affected, and otherwise the version that mends it.
    fn fix(&self, ecosystem: Ecosystem, version: &str) -> Option<Fix> {
        let mut affected = self
            .versions
            .lines()
            .any(|listed| listed == version || versions::equal(ecosystem, listed, version));
        let mut fixed = None;
        for range in &self.ranges {
            affected |= range.contains(ecosystem, version);
            fixed = fixed.or_else(|| range.fix(ecosystem, version));
        }
        affected.then_some(Fix(fixed))
    }

    fn has_no_end(&self) -> bool {
        self.ranges.iter().any(
            |range| matches!(range.0.as_ref(), [Event::Introduced(first)] if first.as_ref() == "0"),
        )
    }
}

impl Event {
    fn version(&self) -> &str {
        match self {
            Self::Introduced(version) | Self::Fixed(version) | Self::Last(version) => version,
        }
    }
}

impl Range {
    // The algorithm of the schema, "Evaluation".
    fn contains(&self, ecosystem: Ecosystem, version: &str) -> bool {
        let mut events: Vec<&Event> = self.0.iter().collect();
        events.sort_by(|a, b| versions::order(ecosystem, a.version(), b.version()));
        let mut inside = false;
        for event in events {
            let order = versions::order(ecosystem, version, event.version());
            match event {
                Event::Introduced(_) if order.is_ge() => inside = true,
                Event::Fixed(_) if order.is_ge() => inside = false,
                Event::Last(_) if order.is_gt() => inside = false,
                _ => {}
            }
        }
        inside && versions::is_valid(ecosystem, version)
    }

    fn fix(&self, ecosystem: Ecosystem, version: &str) -> Option<String> {
        let fixes = self.0.iter().filter_map(|event| match event {
            Event::Fixed(fixed) if versions::order(ecosystem, fixed, version).is_gt() => {
                Some(fixed)
            }
            _ => None,
        });
        let first = fixes.min_by(|a, b| versions::order(ecosystem, a, b));
        first.map(ToString::to_string)
    }
}
