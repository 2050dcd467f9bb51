//! What lies beside a file that is scanned: weights that a graph refers to, programs that a
//! configuration names.

use crate::source::ReadAt;

/// Files beside the one that is scanned. Names are relative to its folder, with `/`.
pub trait Neighbours {
    /// Returns what is there under a name, without following links. Names that lead out of what
    /// is scanned are answered with [`Neighbour::Outside`].
    fn find(&self, name: &str) -> Neighbour;

    /// Returns the names of files that may be graphs whose values it holds: in its folder and in the
    /// two around that.
    fn graphs(&self) -> Vec<String> {
        Vec::new()
    }

    /// Opens one of them, or another of which the name is guessed.
    fn open(&self, name: &str) -> Option<Box<dyn ReadAt + '_>> {
        let _ = name;
        None
    }
}

/// What is under a name beside a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Neighbour {
    /// A file of so many bytes.
    File(u64),
    /// A folder.
    Folder,
    /// A symbolic link, or something behind one.
    Link,
    /// Nothing.
    Missing,
    /// The name leads out of what is scanned, and was not followed.
    Outside,
}
