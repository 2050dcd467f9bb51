//! Walking a folder, or taking a single file: what belongs to an artifact.
//!
//! Rules: OMS v1.0 section 6.1 (ossf/model-signing-spec). Regular files only, names in UTF-8, no
//! symbolic link unless asked for, `.git` and its like at the top level left out.
//!
//! Everything is opened relative to the root's file descriptor and without following a link, so
//! that a tree which changes under our feet cannot lead us out of it. What it is not: a snapshot.
//! Each file comes with a [`Stamp`], and whoever reads it compares.

mod root;
mod walk;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use custos_core::oms::{Exclusions, PathFault, TreePath};
use rustix::io::Errno;

pub use root::Stamp;
pub(crate) use root::{Opened, Root};

/// What to do with symbolic links inside of the tree. A link that the caller names as the root
/// is followed, as by any other command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Links {
    /// A link is an error.
    #[default]
    Reject,
    /// A link counts as what it leads to, under its own name; it must not lead out of the tree.
    Follow,
    /// A link may lead out of the tree; each such link is reported as a warning.
    FollowOutside,
}

/// How to walk.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// What to do with symbolic links.
    pub links: Links,
    /// Exact relative paths that are left out.
    pub exclusions: Exclusions,
    /// Files or folders that are left out wherever they lie: the signature that is about to be
    /// written, the home of Custos. Those inside of the tree join `exclusions`.
    pub leave_out: Vec<PathBuf>,
    /// Most files, and most folders: through links a folder counts once for each way to it.
    pub max_files: usize,
    /// Deepest folder; the root has depth 0.
    pub max_depth: usize,
    /// Threads; `None` is one for each core.
    pub threads: Option<NonZeroUsize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            links: Links::Reject,
            exclusions: Exclusions::standard(),
            leave_out: Vec::new(),
            max_files: custos_core::oms::MAX_RESOURCES,
            max_depth: 256,
            threads: None,
        }
    }
}

impl Options {
    /// Returns options with another rule for links.
    pub fn with_links(self, links: Links) -> Self {
        Self { links, ..self }
    }

    /// Returns options that leave out one more file or folder.
    pub fn leaving_out(mut self, path: impl Into<PathBuf>) -> Self {
        self.leave_out.push(path.into());
        self
    }
}

/// A file of an artifact, as it was when it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    path: Box<str>,
    stamp: Stamp,
    // Where a followed link leads; None: `path` itself.
    target: Option<Box<Target>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Another path beneath the root.
    Beneath(String),
    /// A path outside of it.
    Outside(PathBuf),
}

impl File {
    /// Returns its path relative to the root; the basename if the root is a file.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns identity, size and times.
    pub const fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

/// The files of an artifact, in code point order of their paths.
#[derive(Debug)]
pub struct FileList {
    root: Root,
    files: Vec<File>,
    exclusions: Exclusions,
    outside: Vec<String>,
}

impl FileList {
    /// Returns the files.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Returns the sum of their sizes.
    pub fn bytes(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.stamp.size))
    }

    /// Returns true if the root is a single file.
    pub const fn is_single(&self) -> bool {
        self.root.is_file()
    }

    /// Returns what was left out, to be recorded.
    pub const fn exclusions(&self) -> &Exclusions {
        &self.exclusions
    }

    /// Returns the links that lead out of the tree, under [`Links::FollowOutside`].
    pub fn outside(&self) -> &[String] {
        &self.outside
    }

    pub(crate) const fn root(&self) -> &Root {
        &self.root
    }

    pub(crate) fn open(&self, file: &File) -> Result<Opened, TreeError> {
        let opened = match file.target.as_deref() {
            None => self.root.open(&file.path),
            Some(Target::Beneath(path)) => self.root.open(path),
            Some(Target::Outside(path)) => Root::open_outside(path),
        };
        opened.map_err(|errno| TreeError::from_errno(&file.path, errno))
    }

    /// Adds a file that the walk left out, if it is there.
    pub(crate) fn add(&mut self, path: &TreePath) -> Result<bool, TreeError> {
        let opened = match self.root.open(path.as_str()) {
            Ok(opened) => opened,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
            Err(errno) => return Err(TreeError::from_errno(path.as_str(), errno)),
        };
        let stamp = opened
            .stamp()
            .map_err(|e| TreeError::from_errno(path.as_str(), e))?;
        if !stamp.is_regular() {
            return Err(TreeError::Special {
                path: path.to_string(),
            });
        }
        let at = self
            .files
            .partition_point(|file| *file.path < *path.as_str());
        self.files.insert(
            at,
            File {
                path: path.as_str().into(),
                stamp,
                target: None,
            },
        );
        Ok(true)
    }

    /// Keeps the files for which `keep` says so.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&File) -> bool) {
        self.files.retain(|file| keep(file));
    }

    /// Gives the single file another name.
    pub(crate) fn rename_single(&mut self, name: &str) {
        if let ([file], true) = (self.files.as_mut_slice(), self.root.is_file()) {
            file.target = Some(Box::new(Target::Beneath(file.path.to_string())));
            file.path = name.into();
        }
    }
}

/// Lists the files of the artifact at `path`. The first name (in code point order) that does not
/// fit the rules is the error.
///
/// ```
/// let folder = tempfile::tempdir().unwrap();
/// std::fs::write(folder.path().join("weights.bin"), b"1").unwrap();
/// std::fs::create_dir(folder.path().join(".git")).unwrap();
/// let list = custos_provenance::tree::scan(folder.path(), &Default::default()).unwrap();
/// assert_eq!(list.files().len(), 1);
/// assert_eq!(list.files()[0].path(), "weights.bin");
/// ```
pub fn scan(path: &Path, options: &Options) -> Result<FileList, TreeError> {
    let Scanned { list, mut faults } = scan_all(path, options)?;
    faults.sort_by(|a, b| a.path().cmp(b.path()));
    match faults.into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok(list),
    }
}

/// Files, and what does not fit the rules.
pub(crate) struct Scanned {
    pub(crate) list: FileList,
    pub(crate) faults: Vec<TreeError>,
}

/// Lists the files, and collects links, special files and bad names instead of stopping there.
pub(crate) fn scan_all(path: &Path, options: &Options) -> Result<Scanned, TreeError> {
    let root = Root::at(path)?;
    let mut exclusions = options.exclusions.clone();
    for path in &options.leave_out {
        if let Some(path) = root.relative(path) {
            exclusions.add_exact(&path);
        }
    }
    if root.is_file() {
        let file = root.single()?;
        let list = FileList {
            root,
            files: vec![file],
            exclusions,
            outside: Vec::new(),
        };
        return Ok(Scanned {
            list,
            faults: Vec::new(),
        });
    }
    let walked = walk::walk(&root, options, &exclusions)?;
    let walk::Walked {
        mut files,
        faults,
        mut outside,
        ..
    } = walked;
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    outside.sort_unstable();
    Ok(Scanned {
        list: FileList {
            root,
            files,
            exclusions,
            outside,
        },
        faults,
    })
}

/// Why a tree cannot be listed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The system says no in another way.
    #[error("{path}: {errno}")]
    Io {
        /// The file or folder.
        path: String,
        /// The system's error.
        errno: Errno,
    },
    /// A symbolic link, and links are rejected.
    #[error("{path}: is a symbolic link")]
    Link {
        /// The link.
        path: String,
    },
    /// A followed link leads back to a folder that it lies in.
    #[error("{path}: is a symbolic link to a folder that it lies in")]
    LinkCycle {
        /// The link.
        path: String,
    },
    /// A followed link leads to nothing.
    #[error("{path}: is a symbolic link to nothing")]
    LinkDangling {
        /// The link.
        path: String,
    },
    /// A followed link leads out of the tree.
    #[error("{path}: is a symbolic link out of the tree, to {}", target.display())]
    LinkOutside {
        /// The link.
        path: String,
        /// Where it leads.
        target: PathBuf,
    },
    /// A name that is not a canonical path in UTF-8 that a manifest can hold.
    #[error("{path}: {fault}")]
    Name {
        /// The path, with replacement characters where it is not UTF-8.
        path: String,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// No such file or folder.
    #[error("{path}: there is no such file or folder")]
    NotFound {
        /// What was asked for.
        path: String,
    },
    /// Reading is not permitted.
    #[error("{path}: permission denied")]
    PermissionDenied {
        /// The file or folder.
        path: String,
    },
    /// Neither file, folder nor link: a socket, pipe or device.
    #[error("{path}: is neither a file nor a folder")]
    Special {
        /// What it is.
        path: String,
    },
    /// Folders nested deeper than the limit.
    #[error("{path}: is nested deeper than {limit} folders")]
    TooDeep {
        /// The folder.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// More files than the limit.
    #[error("there are more than {limit} files")]
    TooManyFiles {
        /// The limit.
        limit: usize,
    },
    /// More folders than the limit, counted once for each way that links lead to them.
    #[error("there are more than {limit} folders")]
    TooManyFolders {
        /// The limit.
        limit: usize,
    },
    /// It was there when its folder was read, and is gone now.
    #[error("{path}: vanished while the tree was read")]
    Vanished {
        /// What is gone.
        path: String,
    },
}

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameFault {
    /// Its bytes are not UTF-8, so that a manifest cannot hold them.
    #[error("the name is not valid UTF-8")]
    NotUtf8,
    /// It does not fit into a manifest for another reason.
    #[error("the name does not fit into a manifest: {0}")]
    Path(PathFault),
}

impl TreeError {
    /// Returns the path that it is about; empty for the whole tree.
    pub fn path(&self) -> &str {
        match self {
            Self::Io { path, .. }
            | Self::Link { path }
            | Self::LinkCycle { path }
            | Self::LinkDangling { path }
            | Self::LinkOutside { path, .. }
            | Self::Name { path, .. }
            | Self::NotFound { path }
            | Self::PermissionDenied { path }
            | Self::Special { path }
            | Self::TooDeep { path, .. }
            | Self::Vanished { path } => path,
            Self::TooManyFiles { .. } | Self::TooManyFolders { .. } => "",
        }
    }

    // For something that was found in a folder before.
    pub(crate) fn from_errno(path: &str, errno: Errno) -> Self {
        let path = path.to_owned();
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::STALE => Self::Vanished { path },
            Errno::ACCESS | Errno::PERM => Self::PermissionDenied { path },
            Errno::LOOP => Self::Link { path },
            Errno::NXIO => Self::Special { path },
            errno => Self::Io { path, errno },
        }
    }
}

#[cfg(test)]
mod tests;
