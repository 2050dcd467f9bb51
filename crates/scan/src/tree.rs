//! A folder, or a single file, on disk.
//!
//! Everything is opened relative to the folder's descriptor and through no link, so that a tree
//! that changes meanwhile leads nobody out of it. A link that leads to another place of the folder
//! gives that file a second name, as caches of model hubs have them; one that leads out is told and
//! not followed, unless a hub's cache has it so: there the files of a snapshot are links to the blobs of
//! the same repository. What is neither file, folder nor link is not opened.

mod beneath;
mod walk;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{FileType, OFlags};

use crate::neighbours::{Graphs, Neighbour, Neighbours};
use crate::recorded::{self, Expectation, Lies};
use crate::source::{ReadAt, read_all};
use crate::sources::{Item, Note, Source};

/// How a folder is walked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TreeOptions {
    /// What is left out: names, or paths below the folder, in which `*` stands for anything.
    pub exclude: Vec<String>,
    /// Files or folders that are left out wherever they lie.
    pub leave_out: Vec<PathBuf>,
    /// Most files.
    pub max_files: usize,
    /// Deepest folder.
    pub max_depth: usize,
}

impl Default for TreeOptions {
    /// Nothing is left out but what version control keeps; 2,000,000 files, 256 deep.
    fn default() -> Self {
        Self {
            exclude: Vec::new(),
            leave_out: Vec::new(),
            max_files: 2_000_000,
            max_depth: 256,
        }
    }
}

/// A folder, or a single file.
#[derive(Debug)]
pub struct Tree {
    // What everything lies below: the folder that was given, or that of the file, or the repository in
    // a cache that the folder belongs to.
    folder: OwnedFd,
    // Where in it the given folder is.
    start: Vec<u8>,
    items: Vec<Item>,
    // What each item is called below the given folder, in order, and where it lies below `folder`, as
    // bytes: names need not be UTF-8.
    names: Vec<Vec<u8>>,
    places: Vec<Vec<u8>>,
    recorded: BTreeMap<usize, Expectation>,
    notes: Vec<Note>,
    single: bool,
    // No link, pipe or device below it, and nothing left out but what is never part of a model.
    whole: bool,
    // Items that may be graphs, by their paths.
    graphs: OnceLock<Graphs>,
}

impl Tree {
    /// Finds the files below `given`, or the one that it is. A link that the caller names itself is
    /// followed.
    pub fn open(given: &Path, options: &TreeOptions) -> io::Result<Self> {
        let metadata = given.metadata()?;
        if metadata.is_dir() {
            let (mut tree, root) = walk::walk(given, options)?;
            tree.compare_with_records(&root);
            return Ok(tree);
        }
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "it is neither a file nor a folder",
            ));
        }
        let real = given.canonicalize()?;
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        let item = Item {
            path: given.to_string_lossy().into_owned(),
            size: metadata.len(),
            closed: None,
        };
        let mut tree = Self {
            folder: beneath::root(parent)?,
            start: Vec::new(),
            items: vec![item],
            names: vec![name.as_encoded_bytes().to_vec()],
            places: vec![name.as_encoded_bytes().to_vec()],
            recorded: BTreeMap::new(),
            notes: Vec::new(),
            single: true,
            whole: true,
            graphs: OnceLock::new(),
        };
        tree.compare_with_records(parent);
        Ok(tree)
    }

    // `root` is where `folder` lies.
    fn compare_with_records(&mut self, root: &Path) {
        let Some(root) = root.to_str().map(|root| root.trim_end_matches('/')) else {
            return;
        };
        let lies = |(name, place): (&'_ Vec<u8>, &Vec<u8>)| {
            let (name, place) = (
                std::str::from_utf8(name).ok()?,
                std::str::from_utf8(place).ok()?,
            );
            Some((name.to_owned(), format!("{root}/{place}")))
        };
        let found: Vec<_> = self.names.iter().zip(&self.places).map(lies).collect();
        let mut files: Vec<Option<Lies<'_>>> = found
            .iter()
            .map(|one| {
                let (name, place) = one.as_ref()?;
                let place = place.clone();
                Some(Lies { name, place })
            })
            .collect();
        if let (true, Some(Some((name, _)))) = (self.single, found.first()) {
            // What a download wrote beside the file.
            let place = format!("{root}/.cache/huggingface/download/{name}.metadata");
            files.push(Some(Lies { name: "", place }));
        }
        let read = |place: &str, most: u64| {
            let below = place.strip_prefix(root)?.trim_start_matches('/');
            let file = self.at(below.as_bytes()).ok()?;
            (file.len() <= most).then(|| read_all(&file).ok()).flatten()
        };
        self.recorded = recorded::of_files(&files, &read);
    }

    /// Returns true if it is a single file.
    pub const fn is_single(&self) -> bool {
        self.single
    }

    /// Returns true if its files are all that lies below it, but for what version control keeps and
    /// what the caller left out by place.
    pub const fn is_whole(&self) -> bool {
        self.whole
    }

    fn graphs(&self) -> &Graphs {
        self.graphs.get_or_init(|| Graphs::of(&self.items))
    }

    // Opens what lies below the folder.
    fn at(&self, place: &[u8]) -> io::Result<OnDisk> {
        let file = File::from(beneath::open(&self.folder, place, beneath::READ)?);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no longer a file"));
        }
        let len = metadata.len();
        Ok(OnDisk {
            file,
            len,
            fresh: Cell::new(true),
        })
    }

    /// Returns what the item at `index` is called below the folder, if that is UTF-8.
    pub fn below(&self, index: usize) -> Option<&str> {
        std::str::from_utf8(self.names.get(index)?).ok()
    }
}

impl Source for Tree {
    fn items(&self) -> &[Item] {
        &self.items
    }

    fn notes(&self) -> &[Note] {
        &self.notes
    }

    fn open(&self, index: usize) -> io::Result<Box<dyn ReadAt + '_>> {
        let place = self
            .places
            .get(index)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Box::new(self.at(place)?))
    }

    fn recorded(&self, index: usize) -> Option<&Expectation> {
        self.recorded.get(&index)
    }

    fn neighbours(&self, index: usize) -> Option<Box<dyn Neighbours + '_>> {
        let name = self.names.get(index)?;
        let end = name.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let folder = name.get(..end).unwrap_or_default();
        Some(Box::new(Beside {
            tree: self,
            index,
            folder,
        }))
    }
}

/// An open file, which others may change.
#[derive(Debug)]
struct OnDisk {
    file: File,
    // What it was when it was opened.
    len: u64,
    // Nobody asked for the length since: the first answer is at hand.
    fresh: Cell<bool>,
}

impl ReadAt for OnDisk {
    fn len(&self) -> u64 {
        if self.fresh.replace(false) {
            return self.len;
        }
        self.file.metadata().map_or(self.len, |found| found.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
}

/// What lies in the folder of one file.
struct Beside<'a> {
    tree: &'a Tree,
    index: usize,
    folder: &'a [u8],
}

impl Beside<'_> {
    fn path(&self) -> &str {
        let item = self.tree.items.get(self.index);
        item.map_or("", |item| item.path.as_str())
    }

    // Where a name leads, part by part; none if that is outside.
    fn place(&self, name: &str) -> Option<Vec<Vec<u8>>> {
        if name.starts_with('/') || name.contains('\0') {
            return None;
        }
        let above = self.folder.split(|byte| *byte == b'/');
        let above = above.filter(|part| !part.is_empty());
        let mut parts: Vec<Vec<u8>> = above.map(<[u8]>::to_vec).collect();
        for part in name.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop()?;
                }
                part => parts.push(part.as_bytes().to_vec()),
            }
        }
        Some(parts)
    }
}

impl Neighbours for Beside<'_> {
    fn graphs(&self) -> Vec<String> {
        self.tree.graphs().around(self.path())
    }

    fn open(&self, name: &str) -> Option<Box<dyn ReadAt + '_>> {
        if self.tree.single {
            let place = self.place(name)?.join(&b'/');
            return Some(Box::new(self.tree.at(&place).ok()?));
        }
        // By the name that people know: what a link leads to lies elsewhere.
        let index = self.tree.graphs().find(self.path(), name)?;
        self.tree.open(index).ok()
    }

    fn find(&self, name: &str) -> Neighbour {
        let Some(parts) = self.place(name) else {
            return Neighbour::Outside;
        };
        if parts.is_empty() {
            return Neighbour::Folder;
        }
        // What is looked at under this name, whatever link gave it that.
        let below = parts.join(&b'/');
        let known = self.tree.names.binary_search(&below).ok();
        let known = known.and_then(|at| self.tree.items.get(at));
        if let Some(item) = known.filter(|item| !self.tree.single && item.closed.is_none()) {
            return Neighbour::File(item.size);
        }
        let above = self.tree.start.as_slice();
        let place = [above, &below].into_iter().filter(|part| !part.is_empty());
        let place = place.collect::<Vec<_>>().join(&b'/');
        let found = beneath::open(&self.tree.folder, &place, OFlags::PATH)
            .and_then(|fd| Ok(rustix::fs::fstat(&fd)?));
        match found {
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Neighbour::File(u64::try_from(stat.st_size).unwrap_or(0)),
                FileType::Directory => Neighbour::Folder,
                FileType::Symlink => Neighbour::Link,
                _ => Neighbour::Missing,
            },
            Err(error) => match rustix::io::Errno::from_io_error(&error) {
                Some(rustix::io::Errno::LOOP) => Neighbour::Link,
                Some(rustix::io::Errno::XDEV) => Neighbour::Outside,
                _ => Neighbour::Missing,
            },
        }
    }
}

#[cfg(test)]
mod tests;
