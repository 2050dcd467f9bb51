//! The walk through a folder: names and sizes, in the order of the names.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{AtFlags, Dir, FileType, Stat};

use super::beneath::{self, FOLDER};
use super::{Tree, TreeOptions};
use crate::hub;
use crate::sources::{Item, Note};

/// What version control keeps for itself.
const KEPT_BY_GIT: [&[u8]; 4] = [b".git", b".hg", b".svn", b".jj"];

/// Walks everything below a folder. Returns as well what the places in the tree are below.
pub(super) fn walk(given: &Path, options: &TreeOptions) -> io::Result<(Tree, PathBuf)> {
    let real = given.canonicalize()?;
    let repository = repository(&real).filter(|above| above.join(BLOBS).is_dir());
    let root = repository.unwrap_or(&real);
    let start = real.strip_prefix(root).unwrap_or(Path::new(""));
    let folder = beneath::root(root)?;
    let mut walk = Walk {
        folder: &folder,
        given,
        real: &real,
        repository,
        start: start.as_os_str().as_bytes(),
        options,
        leave_out: options
            .leave_out
            .iter()
            .filter_map(|path| identity(path.as_path()))
            .collect(),
        found: BTreeMap::new(),
        links: Vec::new(),
        notes: Vec::new(),
        whole: true,
    };
    walk.run()?;
    walk.resolve_links();
    let (found, mut notes, whole) = (walk.found, walk.notes, walk.whole);
    let start = walk.start.to_vec();
    notes.sort_unstable();
    let mut tree = Tree {
        folder,
        start,
        items: Vec::with_capacity(found.len()),
        names: Vec::with_capacity(found.len()),
        places: Vec::with_capacity(found.len()),
        recorded: BTreeMap::new(),
        notes,
        single: false,
        whole,
        graphs: OnceLock::new(),
    };
    for (name, found) in found {
        tree.items.push(Item {
            path: shown(given, &name),
            size: found.size,
            closed: found.closed,
        });
        tree.names.push(name);
        tree.places.push(found.place);
    }
    let root = root.to_owned();
    Ok((tree, root))
}

/// Where a repository in a cache has its files.
const BLOBS: &str = "blobs";

// The repository in a hub's cache that a snapshot belongs to.
fn repository(real: &Path) -> Option<&Path> {
    real.ancestors().find_map(|at| {
        let above = at.parent().filter(|_| at.ends_with("snapshots"))?;
        let name = above.file_name()?.to_str()?;
        hub::is_repository(name).then_some(above)
    })
}

struct Walk<'a> {
    folder: &'a OwnedFd,
    given: &'a Path,
    // The same without links.
    real: &'a Path,
    repository: Option<&'a Path>,
    // Where the given folder lies below `folder`.
    start: &'a [u8],
    options: &'a TreeOptions,
    leave_out: Vec<(u64, u64)>,
    // By name below the folder.
    found: BTreeMap<Vec<u8>, Found>,
    links: Vec<Vec<u8>>,
    notes: Vec<Note>,
    whole: bool,
}

struct Found {
    // Where it is opened; for a link, what it leads to.
    place: Vec<u8>,
    size: u64,
    closed: Option<String>,
}

impl Walk<'_> {
    fn run(&mut self) -> io::Result<()> {
        let mut folders = vec![(Vec::new(), 0_usize)];
        while let Some((path, depth)) = folders.pop() {
            if depth > self.options.max_depth {
                let limit = self.options.max_depth;
                self.closed(path, format!("the folder is deeper than {limit} folders"));
                continue;
            }
            match self.folder(&path) {
                Ok(below) => {
                    let deeper = depth.saturating_add(1);
                    folders.extend(below.into_iter().map(|path| (path, deeper)));
                }
                Err(error) if path.is_empty() => return Err(error),
                Err(error) => self.closed(path, format!("the folder cannot be read: {error}")),
            }
            if self.found.len() > self.options.max_files {
                let limit = self.options.max_files;
                return Err(io::Error::other(format!(
                    "there are more than {limit} files"
                )));
            }
        }
        Ok(())
    }

    // Looks at what lies in one folder, and returns the folders in it.
    fn folder(&mut self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut at = self.place(path);
        if at.is_empty() {
            at.push(b'.');
        }
        let fd = beneath::open(self.folder, &at, FOLDER)?;
        let mut below = Vec::new();
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let mut full = path.to_vec();
            if !full.is_empty() {
                full.push(b'/');
            }
            full.extend_from_slice(name.to_bytes());
            let stat = match rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // Gone since it was listed.
                Err(rustix::io::Errno::NOENT) => continue,
                Err(error) => {
                    self.closed(full, format!("it cannot be looked at: {error}"));
                    continue;
                }
            };
            below.extend(self.entry(full, name.to_bytes(), &stat));
        }
        Ok(below)
    }

    // Where something lies below `folder`.
    fn place(&self, name: &[u8]) -> Vec<u8> {
        let parts = [self.start, name].into_iter();
        let parts = parts.filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join(&b'/')
    }

    // Takes note of one entry; returns it if it is a folder to go into.
    fn entry(&mut self, full: Vec<u8>, name: &[u8], stat: &Stat) -> Option<Vec<u8>> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if self.leave_out.contains(&identity_of(stat)) {
            self.note(&full, "left out: Custos' own");
            return None;
        }
        if self.is_excluded(&full, name) {
            self.note(&full, "left out, as asked");
            self.whole = false;
            return None;
        }
        match kind {
            FileType::Directory if KEPT_BY_GIT.contains(&name) => {
                self.note(&full, "left out: kept by version control");
            }
            FileType::Directory => return Some(full),
            FileType::RegularFile => {
                let found = Found {
                    place: self.place(&full),
                    size: u64::try_from(stat.st_size).unwrap_or(0),
                    closed: None,
                };
                self.found.insert(full, found);
            }
            FileType::Symlink => {
                self.whole = false;
                self.links.push(full);
            }
            _ => {
                self.whole = false;
                self.note(&full, "a pipe, a socket or a device: not opened");
            }
        }
        None
    }

    fn is_excluded(&self, full: &[u8], name: &[u8]) -> bool {
        let matches = |pattern: &String| {
            let pattern = pattern.trim_end_matches('/').as_bytes();
            is_like(pattern, name) || is_like(pattern, full)
        };
        self.options.exclude.iter().any(matches)
    }

    // Links are looked at when it is known which files there are.
    fn resolve_links(&mut self) {
        // Files that have their proper name from a link, as in caches of model hubs.
        let mut renamed = Vec::new();
        for link in std::mem::take(&mut self.links) {
            let target = self.real.join(OsStr::from_bytes(&link)).canonicalize();
            let Ok(target) = target else {
                self.note(&link, "a link that leads nowhere");
                continue;
            };
            if let Some(found) = self.blob(&target) {
                self.found.insert(link, found);
                continue;
            }
            let Ok(below) = target.strip_prefix(self.real) else {
                let why = "a link that leads out of what is scanned; it was not followed";
                self.closed(link, why.to_owned());
                continue;
            };
            let below = below.as_os_str().as_bytes();
            match self.found.get(below) {
                Some(found) if extension(below) != extension(&link) => {
                    let found = Found {
                        place: found.place.clone(),
                        size: found.size,
                        closed: None,
                    };
                    self.found.insert(link, found);
                    if extension(below).is_none() {
                        renamed.push(below.to_vec());
                    }
                }
                Some(_) => self.note(
                    &link,
                    "a link to a file that is looked at under its own name",
                ),
                None => self.note(&link, "a link to another place of the folder"),
            }
        }
        for below in renamed {
            self.found.remove(&below);
        }
    }

    // A file of the repository that the folder is a snapshot of.
    fn blob(&self, target: &Path) -> Option<Found> {
        let repository = self.repository?;
        if target.parent()? != repository.join(BLOBS) {
            return None;
        }
        let found = target.symlink_metadata().ok().filter(Metadata::is_file)?;
        Some(Found {
            place: target
                .strip_prefix(repository)
                .ok()?
                .as_os_str()
                .as_bytes()
                .to_vec(),
            size: found.len(),
            closed: None,
        })
    }

    fn closed(&mut self, path: Vec<u8>, reason: String) {
        let found = Found {
            place: path.clone(),
            size: 0,
            closed: Some(reason),
        };
        self.found.insert(path, found);
    }

    fn note(&mut self, path: &[u8], reason: &str) {
        self.notes.push(Note {
            path: shown(self.given, path),
            reason: reason.to_owned(),
        });
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = path.symlink_metadata().ok()?;
    Some((found.dev(), found.ino()))
}

#[allow(
    clippy::useless_conversion,
    reason = "the fields have other types elsewhere"
)]
fn identity_of(stat: &Stat) -> (u64, u64) {
    (u64::from(stat.st_dev), u64::from(stat.st_ino))
}

// The name as the caller would write it.
fn shown(given: &Path, below: &[u8]) -> String {
    let below = Path::new(OsStr::from_bytes(below));
    if given == Path::new(".") {
        return below.to_string_lossy().into_owned();
    }
    given.join(below).to_string_lossy().into_owned()
}

fn extension(path: &[u8]) -> Option<&OsStr> {
    Path::new(OsStr::from_bytes(path)).extension()
}

// `*` stands for any number of bytes.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Where the last star was, and how much of the text it has not taken yet.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => return true,
            (Some((b'*', rest)), _) => {
                retry = Some((rest, text));
                pattern = rest;
            }
            (Some((wanted, rest)), Some((found, after))) if wanted == found => {
                (pattern, text) = (rest, after);
            }
            _ => match retry {
                Some((after_star, [_, later @ ..])) => {
                    retry = Some((after_star, later));
                    (pattern, text) = (after_star, later);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*.bin", "x.bin", true),
            ("*.bin", "x.bin.old", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1b2b3", false),
            ("*", "", true),
            ("", "a", false),
        ] {
            assert_eq!(
                is_like(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }
}
