//! What was written down about files when they came to this machine, compared with what they are.
//!
//! A cache of a model hub has digests in its names, a download has them beside it ([`crate::hub`]), and
//! an installed package lists them (`RECORD`, <https://packaging.python.org/specifications/recording-installed-packages/>).
//! Packages may write over each other's files: one that fits any of its records is what it was.

use std::collections::{BTreeMap, HashMap};

use custos_core::digest::Digest;
use custos_core::finding::{Finding, Location};

use crate::hub::{self, Entry, Recorded};
use crate::report::{FileReport, Gap};
use crate::rules;
use crate::source::ReadAt;
use crate::supply::record;

/// Largest record of a package, and of a download, in bytes.
const MAX_RECORD: u64 = 16 << 20;
const MAX_METADATA: u64 = 4 << 10;

/// Who wrote it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Hub,
    Package,
}

/// What a file ought to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    by: By,
    any_of: Vec<Recorded>,
}

impl Expectation {
    /// Compares, and adds what comes of it to the report over these bytes.
    pub(crate) fn check(&self, report: &mut FileReport, bytes: &dyn ReadAt) {
        // What was not read, or changed meanwhile, was told.
        let Some(digest) = report.digest else { return };
        for one in &self.any_of {
            match is_it(one, &digest, bytes) {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    return report.gaps.push(Gap {
                        path: report.path.clone(),
                        reason: format!("it was not compared with {one}: {error}"),
                    });
                }
            }
        }
        let Some(first) = self.any_of.first() else {
            return;
        };
        let finding = match self.by {
            By::Hub => first.mismatch(&report.path),
            By::Package => changed(&report.path, first),
        };
        let at = report
            .findings
            .partition_point(|one| one.severity >= finding.severity);
        report.findings.insert(at, finding);
    }
}

fn is_it(one: &Recorded, digest: &Digest, bytes: &dyn ReadAt) -> std::io::Result<bool> {
    match one {
        Recorded::Sha256(said) => Ok(digest.as_bytes() == said),
        Recorded::GitBlob(_) => one.fits(bytes),
    }
}

/// Returns the finding that a file of a package is another one than the package lists.
pub(crate) fn changed(path: &str, said: &Recorded) -> Finding {
    let location = Location {
        path: path.to_owned(),
        ..Location::default()
    };
    let message = format!("its package lists it as {said}, and its bytes are others");
    rules::supply::RECORD_DIGEST.finding(location, message)
}

/// A file: its name below the folder that is looked at, and where it is opened, from the root of the
/// file system on.
pub(crate) struct Lies<'a> {
    pub(crate) name: &'a str,
    pub(crate) place: String,
}

/// Returns what was recorded, by the number of the file. `read` gives the bytes of a place if there
/// are no more than it is told.
pub(crate) fn of_files(
    files: &[Option<Lies<'_>>],
    read: &dyn Fn(&str, u64) -> Option<Vec<u8>>,
) -> BTreeMap<usize, Expectation> {
    let lies = || {
        files
            .iter()
            .enumerate()
            .flat_map(|(at, one)| one.iter().map(move |one| (at, one)))
    };
    let mut found = of_packages(lies, read);
    let mut entries = Vec::new();
    for (_, one) in lies() {
        if one.place.contains("/blobs/") || one.place.contains(hub::DOWNLOADS) {
            entries.push(Entry::file(&one.place));
        }
    }
    let records = hub::records(&entries, |path| read(path, MAX_METADATA));
    if records.is_empty() {
        return found;
    }
    for (at, one) in lies() {
        if let Some(recorded) = records.get(&one.place) {
            let expectation = Expectation {
                by: By::Hub,
                any_of: vec![*recorded],
            };
            found.insert(at, expectation);
        }
    }
    found
}

fn of_packages<'a, I: Iterator<Item = (usize, &'a Lies<'a>)>>(
    lies: impl Fn() -> I,
    read: &dyn Fn(&str, u64) -> Option<Vec<u8>>,
) -> BTreeMap<usize, Expectation> {
    let mut found: BTreeMap<usize, Expectation> = BTreeMap::new();
    let records: Vec<_> = lies()
        .filter(|(_, one)| record::base(one.name).is_some())
        .collect();
    if records.is_empty() {
        return found;
    }
    let numbers: HashMap<&str, usize> = lies().map(|(at, one)| (one.name, at)).collect();
    for (_, one) in records {
        let text = read(&one.place, MAX_RECORD).and_then(|bytes| String::from_utf8(bytes).ok());
        let (Some(base), Some(text)) = (record::base(one.name), text) else {
            continue;
        };
        for (path, recorded) in record::lines(&text) {
            let number = joined(base, path).and_then(|name| numbers.get(name.as_str()));
            if let (Some(at), Some(recorded)) = (number, recorded) {
                let new = || Expectation {
                    by: By::Package,
                    any_of: Vec::new(),
                };
                found.entry(*at).or_insert_with(new).any_of.push(recorded);
            }
        }
    }
    found
}

// A name below the folder, if it is one.
fn joined(base: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_packages_are_about_what_lies_around_them() {
        let file = |name: &'static str| {
            let place = format!("/env/{name}");
            Some(Lies { name, place })
        };
        let files = [
            file("bin/tool"),
            file("lib/site-packages/a/__init__.py"),
            file("lib/site-packages/a-1.dist-info/RECORD"),
            file("lib/site-packages/b-1.dist-info/RECORD"),
            None,
        ];
        // The digest of nothing.
        let digest = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        let text = format!(
            "a/__init__.py,{digest},0\n../../bin/tool,{digest},0\n../../../out,{digest},0\n\
             a-1.dist-info/RECORD,,\na/none.py,{digest},0\n"
        );
        let read = |_: &str, _| Some(text.clone().into_bytes());
        let found = of_files(&files, &read);
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [0, 1]);
        assert_eq!(found[&1].any_of.len(), 2, "two packages list it");
        assert_eq!(of_files(&files, &|_, _| None), BTreeMap::new());
    }
}
