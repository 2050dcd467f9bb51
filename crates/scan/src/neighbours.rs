//! What lies beside a file that is scanned: weights that a graph refers to, programs that a
//! configuration names.

use std::collections::BTreeMap;

use crate::graphs::values;
use crate::source::ReadAt;
use crate::sources::Item;

/// Most graphs that are looked through around a file.
const MAX_AROUND: usize = 1_000;

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

/// The items that may be graphs with values in other files, by the names that people know them by.
#[derive(Debug)]
pub struct Graphs(BTreeMap<String, usize>);

impl Graphs {
    /// Finds them.
    pub fn of(items: &[Item]) -> Self {
        let graphs = items.iter().enumerate();
        let graphs = graphs.filter(|(_, item)| values::may_be_graph(&item.path));
        Self(
            graphs
                .map(|(index, item)| (item.path.clone(), index))
                .collect(),
        )
    }

    /// Returns the names of those in the folder of a file, and in the two around that.
    pub fn around(&self, path: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut here = folder_of(path);
        for up in ["", "../", "../../"] {
            let graphs = self.0.range(here.to_owned()..);
            let graphs = graphs.map_while(|(path, _)| path.strip_prefix(here));
            let graphs = graphs.filter(|name| values::is_graph(name));
            let own = graphs.take(MAX_AROUND).filter(|name| !name.contains('/'));
            names.extend(own.map(|name| format!("{up}{name}")));
            let Some(above) = here.strip_suffix('/') else {
                break;
            };
            here = folder_of(above);
        }
        names
    }

    /// Returns the number of the one with a name that counts from the folder of a file.
    pub fn find(&self, path: &str, name: &str) -> Option<usize> {
        self.0.get(&values::beside(path, name)?).copied()
    }
}

// What is before the name of a file: nothing, or something with a `/` at its end.
fn folder_of(path: &str) -> &str {
    let end = path.rfind('/').map_or(0, |at| at.saturating_add(1));
    path.get(..end).unwrap_or_default()
}
