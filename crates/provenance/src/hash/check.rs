//! A tree against its signed manifest (OMS v1.0 section 8.4).

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use custos_core::oms::{
    BARE_FILE, Difference, DifferenceKind, Differences, Manifest, Method, TreePath, compare,
};

use crate::cache::{Cache, Trust};
use crate::tree::{self, FileList, Links, TreeError};

use super::{HashError, HashOptions, Progress, Run, engine};

/// How to check.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VerifyOptions<'a> {
    /// Files that are not listed do no harm. Listed ones are checked all the same.
    pub ignore_unlisted: bool,
    /// Links that the manifest allows may lead out of the tree.
    pub links_outside: bool,
    /// Left out wherever they lie: the signature that is being checked.
    pub leave_out: Vec<PathBuf>,
    /// Threads; `None` is one for each core.
    pub threads: Option<NonZeroUsize>,
    /// Digests of earlier runs. Without it every byte is read. With it, files whose last change
    /// was not long enough before they were hashed are read again.
    pub cache: Option<&'a Cache>,
    /// Most differences that are kept.
    pub max_differences: usize,
}

impl Default for VerifyOptions<'_> {
    fn default() -> Self {
        Self {
            ignore_unlisted: false,
            links_outside: false,
            leave_out: Vec::new(),
            threads: None,
            cache: None,
            max_differences: 100,
        }
    }
}

impl VerifyOptions<'_> {
    /// Returns options that leave out one more file.
    pub fn leaving_out(mut self, path: impl Into<PathBuf>) -> Self {
        self.leave_out.push(path.into());
        self
    }

    /// Returns options under which unlisted files do no harm.
    pub fn ignoring_unlisted(self) -> Self {
        Self {
            ignore_unlisted: true,
            ..self
        }
    }
}

/// What the check found.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[must_use = "a report may say that the tree is not the signed one"]
pub struct Report {
    /// Everything that differs; empty if the tree is the signed one.
    pub differences: Differences,
    /// Files that were hashed or taken from the cache.
    pub files: u64,
    /// Sum of their sizes.
    pub bytes: u64,
    /// Files whose digests came from the cache.
    pub from_cache: u64,
    /// Unlisted files that were passed over because the caller asked for it.
    pub passed_over: u64,
    /// Exact paths that were left out: what the signer recorded, and the fixed ones.
    pub left_out: Vec<String>,
}

/// Checks the tree or file at `path` against `manifest`, with the manifest's own rules, and lists
/// every difference.
///
/// ```
/// use custos_provenance::hash::{HashOptions, VerifyOptions, manifest, verify};
/// let folder = tempfile::tempdir().unwrap();
/// std::fs::write(folder.path().join("weights.bin"), b"1").unwrap();
/// let signed = manifest(folder.path(), &HashOptions::default(), &()).unwrap().manifest;
/// std::fs::write(folder.path().join("added.py"), b"2").unwrap();
/// let report = verify(folder.path(), &signed, &VerifyOptions::default(), &()).unwrap();
/// assert_eq!(report.differences.list[0].path, "added.py");
/// ```
pub fn verify(
    path: &Path,
    manifest: &Manifest,
    options: &VerifyOptions<'_>,
    progress: &dyn Progress,
) -> Result<Report, HashError> {
    let form = manifest.serialization();
    let walk = tree::Options {
        exclusions: form.exclusions(),
        leave_out: options.leave_out.clone(),
        threads: options.threads,
        links: match (form.allow_symlinks(), options.links_outside) {
            (false, _) => Links::Reject,
            (true, false) => Links::Follow,
            (true, true) => Links::FollowOutside,
        },
        ..tree::Options::default()
    };
    let began = options.cache.map(Cache::now);
    let tree::Scanned { mut list, faults } = tree::scan_all(path, &walk)?;
    if manifest.is_bare_file() {
        list.rename_single(BARE_FILE);
    }
    let listed: BTreeSet<&str> = manifest.paths().collect();
    let mut found = Found::new(faults)?;
    add_listed(&mut list, &listed)?;
    let passed_over = found.take_unlisted(&mut list, &listed, form.method());
    let mut report = Report {
        differences: Differences::default(),
        files: u64::try_from(list.files().len()).unwrap_or(u64::MAX),
        bytes: list.bytes(),
        from_cache: 0,
        passed_over: if options.ignore_unlisted {
            passed_over
        } else {
            0
        },
        left_out: list.exclusions().iter().map(str::to_owned).collect(),
    };
    let hashing = HashOptions {
        tree: walk,
        algorithm: form.hash(),
        method: form.method(),
        threads: options.threads,
        cache: options.cache,
    };
    let run = Run {
        progress,
        began,
        trust: Trust::Verifying,
    };
    report.from_cache = found.compare(&list, manifest, &hashing, &run)?;
    if options.ignore_unlisted {
        found.drop_unlisted();
    }
    report.differences = found.into_differences(options.max_differences);
    Ok(report)
}

// Listed files are always checked, also those that a rule leaves out.
fn add_listed(list: &mut FileList, listed: &BTreeSet<&str>) -> Result<(), HashError> {
    let rules = list.exclusions().clone();
    if list.is_single() {
        return Ok(());
    }
    for path in listed.iter().filter(|path| rules.covers(path)) {
        if let Ok(path) = TreePath::new(*path) {
            list.add(&path)?;
        }
    }
    Ok(())
}

/// Differences, by path: a file has one line or, under shards, one for each range.
struct Found {
    list: Vec<Difference>,
    // Paths with a fault are not also reported as missing.
    with_fault: BTreeSet<String>,
    empty: BTreeSet<String>,
}

impl Found {
    fn new(faults: Vec<TreeError>) -> Result<Self, HashError> {
        let mut list = Vec::new();
        for fault in faults {
            let kind = match &fault {
                TreeError::Link { .. } => DifferenceKind::Link,
                TreeError::LinkOutside { .. }
                | TreeError::LinkCycle { .. }
                | TreeError::LinkDangling { .. } => DifferenceKind::LinkOutside,
                TreeError::Special { .. } | TreeError::Name { .. } => DifferenceKind::Special,
                _ => return Err(fault.into()),
            };
            list.push(Difference::new(fault.path(), kind));
        }
        let with_fault = list
            .iter()
            .map(|difference| difference.path.clone())
            .collect();
        Ok(Self {
            list,
            with_fault,
            empty: BTreeSet::new(),
        })
    }

    // Takes what is not listed off the list, without reading it; returns how many files that is.
    fn take_unlisted(
        &mut self,
        list: &mut FileList,
        listed: &BTreeSet<&str>,
        method: Method,
    ) -> u64 {
        let sharded = matches!(method, Method::Shards { .. });
        let mut taken = 0;
        list.retain(|file| {
            let empty = file.stamp().size == 0;
            if listed.contains(file.path()) {
                if sharded && empty {
                    self.empty.insert(file.path().to_owned());
                }
                return true;
            }
            // Under shards no file without bytes is ever listed (section 6.3.2).
            if !(sharded && empty) {
                taken += 1;
                self.list
                    .push(Difference::new(file.path(), DifferenceKind::Unlisted));
            }
            false
        });
        taken
    }

    #[allow(clippy::too_many_arguments, reason = "four, and what it fills")]
    fn compare(
        &mut self,
        list: &FileList,
        manifest: &Manifest,
        hashing: &HashOptions<'_>,
        run: &Run<'_>,
    ) -> Result<u64, HashError> {
        let nothing = list
            .files()
            .iter()
            .all(|file| self.empty.contains(file.path()));
        if nothing {
            let missing = |path: &str| Difference::new(path, DifferenceKind::Missing);
            let paths: Vec<Difference> = manifest.paths().map(missing).collect();
            self.add(paths, manifest);
            return Ok(0);
        }
        let form = manifest.serialization().clone();
        let (actual, from_cache) = engine::run(list, form, hashing, run)?;
        // All of them: some may turn out to be reported already.
        let differences = compare(manifest, &actual, usize::MAX)?;
        self.add(differences.list, manifest);
        Ok(from_cache)
    }

    fn add(&mut self, differences: Vec<Difference>, manifest: &Manifest) {
        for difference in differences {
            if self.with_fault.contains(&difference.path) {
                continue;
            }
            if difference.kind == DifferenceKind::Missing && self.empty.contains(&difference.path) {
                let expected = length(manifest, &difference.path);
                let kind = DifferenceKind::Length { expected, found: 0 };
                self.list.push(Difference::new(difference.path, kind));
                continue;
            }
            self.list.push(difference);
        }
    }

    fn drop_unlisted(&mut self) {
        self.list
            .retain(|difference| difference.kind != DifferenceKind::Unlisted);
    }

    fn into_differences(mut self, limit: usize) -> Differences {
        self.list.sort_by(|a, b| a.path.cmp(&b.path));
        let mut differences = Differences::default();
        for difference in self.list {
            differences.push(difference, limit);
        }
        differences
    }
}

fn length(manifest: &Manifest, path: &str) -> u64 {
    let ends = manifest.iter().filter(|resource| resource.path() == path);
    ends.filter_map(|resource| Some(resource.range()?.end))
        .max()
        .unwrap_or(0)
}
