//! What lies in the working directory, before and after a run, to find undeclared writes.
//!
//! It compares metadata, not contents: a write changes the change time, which a program cannot
//! set back. It sees only the working directory and the folders that products lie in.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::declaration::Places;

/// Most files that are looked at.
const LIMIT: usize = 200_000;
/// Deepest folder that is looked into.
const MAX_DEPTH: usize = 64;
/// Mode bit of a folder that everybody shares, such as `/tmp`.
const STICKY: u32 = 0o1000;

/// Files with their stamps.
#[derive(Debug)]
pub(super) struct Listing {
    files: BTreeMap<PathBuf, Stamp>,
    truncated: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl Listing {
    /// Lists what the step did not declare.
    pub fn of(places: &Places) -> Self {
        let mut listing = Self {
            files: BTreeMap::new(),
            truncated: false,
        };
        let walk = Walk {
            skip: places.all(),
            own_output: own_output(),
        };
        walk.folder(&places.directory, Depth::Left(MAX_DEPTH), &mut listing);
        for product in &places.products {
            let Some(parent) = product.parent() else {
                continue;
            };
            // In a shared folder others write as well, and nobody could tell who it was.
            let shared = parent
                .metadata()
                .is_ok_and(|meta| meta.mode() & STICKY != 0);
            if !parent.starts_with(&places.directory) && !shared {
                walk.folder(parent, Depth::Flat, &mut listing);
            }
        }
        listing
    }

    /// Returns the files that are new, gone or changed, or the limit if there were too many to
    /// look at.
    pub fn changes(&self, after: &Self) -> Result<Vec<PathBuf>, u64> {
        if self.truncated || after.truncated {
            return Err(u64::try_from(LIMIT).unwrap_or(u64::MAX));
        }
        let gone_or_changed = self
            .files
            .iter()
            .filter(|(path, stamp)| after.files.get(*path) != Some(*stamp))
            .map(|(path, _)| path);
        let new = after
            .files
            .keys()
            .filter(|path| !self.files.contains_key(*path));
        let mut paths: Vec<PathBuf> = gone_or_changed.chain(new).cloned().collect();
        paths.sort();
        Ok(paths)
    }
}

#[derive(Clone, Copy)]
enum Depth {
    Flat,
    Left(usize),
}

struct Walk {
    skip: Vec<PathBuf>,
    own_output: Vec<(u64, u64)>,
}

impl Walk {
    fn folder(&self, folder: &Path, depth: Depth, into: &mut Listing) {
        let Ok(entries) = std::fs::read_dir(folder) else {
            // What lies in it cannot be told, but a step that opens it shows. A folder that
            // something declared lies in may change.
            let declared = self.skip.iter().any(|path| path.starts_with(folder));
            if let (false, Ok(meta)) = (declared, folder.symlink_metadata()) {
                into.files.insert(folder.to_owned(), Stamp::of(&meta));
            }
            return;
        };
        for entry in entries.flatten() {
            if into.files.len() >= LIMIT {
                into.truncated = true;
                return;
            }
            let path = entry.path();
            let name = entry.file_name();
            if name == ".git" || name == ".custos" || self.skip.contains(&path) {
                continue;
            }
            let Ok(meta) = path.symlink_metadata() else {
                continue;
            };
            if meta.is_dir() {
                // The folder around a product is looked at by itself, the working directory in
                // full: only there does a folder that is too deep leave something out.
                match depth {
                    Depth::Flat => {}
                    Depth::Left(0) => into.truncated = true,
                    Depth::Left(left) => self.folder(&path, Depth::Left(left - 1), into),
                }
                continue;
            }
            if !self.own_output.contains(&(meta.dev(), meta.ino())) {
                into.files.insert(path, Stamp::of(&meta));
            }
        }
    }
}

// Where the caller's own output goes grows during the run, and is no write of the step.
fn own_output() -> Vec<(u64, u64)> {
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    [input.as_fd(), output.as_fd(), error.as_fd()]
        .into_iter()
        .filter_map(|fd| rustix::fs::fstat(fd).ok())
        .map(|stat| (stat.st_dev, stat.st_ino))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(directory: &Path) -> Places {
        Places {
            directory: directory.to_owned(),
            inputs: vec![directory.join("in")],
            products: vec![directory.join("out/model")],
            scratch: vec![directory.join("tmp")],
        }
    }

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn new_gone_and_changed_files_are_seen_and_declared_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["a", "b", "sub/c", "in/d", "tmp/e", ".git/f", ".custos/g"] {
            write(root, name, "1");
        }
        let before = Listing::of(&places(root));
        assert_eq!(
            before.changes(&Listing::of(&places(root))).unwrap(),
            Vec::<PathBuf>::new()
        );
        write(root, "sub/new", "");
        write(root, "out/model", "weights");
        write(root, "out/log", "line");
        write(root, "tmp/e", "22");
        write(root, ".git/f", "22");
        write(root, ".custos/g", "22");
        std::fs::remove_file(root.join("a")).unwrap();
        // Same size and same modification time: only the change time tells.
        let time = std::fs::metadata(root.join("b"))
            .unwrap()
            .modified()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        write(root, "b", "2");
        let file = std::fs::File::options()
            .write(true)
            .open(root.join("b"))
            .unwrap();
        file.set_modified(time).unwrap();
        let changes = before.changes(&Listing::of(&places(root))).unwrap();
        assert_eq!(
            changes,
            ["a", "b", "out/log", "sub/new"].map(|name| root.join(name))
        );
    }

    #[test]
    fn a_folder_that_is_made_readable_shows() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let closed = folder.path().join("closed");
        write(folder.path(), "closed/x", "1");
        let mode = |mode| std::fs::set_permissions(&closed, PermissionsExt::from_mode(mode));
        mode(0o300).unwrap();
        let places = places(folder.path());
        let before = Listing::of(&places);
        assert_eq!(
            before.changes(&Listing::of(&places)).unwrap(),
            Vec::<PathBuf>::new()
        );
        // Root could read it all along, so that nothing is new to it; anybody else could not.
        let expected = match std::fs::read_dir(&closed) {
            Ok(_) => Vec::new(),
            Err(_) => vec![closed.clone(), closed.join("x")],
        };
        mode(0o700).unwrap();
        let changes = before.changes(&Listing::of(&places)).unwrap();
        assert_eq!(changes, expected);
    }

    #[test]
    fn the_folder_of_a_product_outside_is_looked_at_but_not_its_neighbours_folders() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "work/x", "");
        write(root, "models/other/deep", "1");
        let mut places = places(&root.join("work"));
        places.products = vec![root.join("models/mine")];
        let before = Listing::of(&places);
        write(root, "models/other/deep", "22");
        write(root, "models/mine", "weights");
        assert_eq!(
            before.changes(&Listing::of(&places)).unwrap(),
            Vec::<PathBuf>::new()
        );
        write(root, "models/stray", "1");
        assert_eq!(
            before.changes(&Listing::of(&places)).unwrap(),
            [root.join("models/stray")]
        );
    }
}
