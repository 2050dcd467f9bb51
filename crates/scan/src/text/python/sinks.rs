//! What functions of Python do, by their full names.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use serde::Deserialize;

/// The list, as it is part of the rule set's digest.
pub(in crate::text) const DATA: &str = include_str!("../../../data/text/python.toml");

/// What a function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Decodes,
    /// Reads from another machine, and says nothing by itself.
    Fetches,
    LoadsNative,
    Removes,
    RunsCommand,
    /// Runs a file by its name.
    RunsFile,
    RunsText,
    /// Sends something through what is open already.
    Sends,
    Speaks,
    TakesOver,
    TellsSecrets,
    Unpickles,
}

/// Returns what a function of this name does, if it is listed.
pub(super) fn kind(path: &str) -> Option<Kind> {
    let listed = LIST.get(path).copied();
    listed.or_else(|| {
        // Functions of libraries, whichever way the library was loaded.
        let (_, name) = path.strip_prefix("ctypes.")?.rsplit_once('.')?;
        LIST.get(&format!("ctypes.*.{name}")).copied()
    })
}

/// Returns true if a function of this module, or of this object of one, is listed.
pub(super) fn has_module(module: &str) -> bool {
    MODULES.contains(module)
}

// All that listed names begin with.
static MODULES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let prefixes = LIST.keys().flat_map(|path| {
        let dots = path.match_indices('.');
        dots.filter_map(|(at, _)| path.get(..at))
    });
    // Those of libraries are listed without the way to them.
    let libraries = ["ctypes.cdll", "ctypes.windll", "ctypes.pythonapi"];
    prefixes.chain(libraries).collect()
});

static LIST: LazyLock<HashMap<String, Kind>> = LazyLock::new(|| {
    let list: List = toml::from_str(DATA).unwrap_or_default();
    let mut kinds = HashMap::new();
    for entry in list.kind {
        for name in entry.names {
            // The first that is listed says what it is: `marshal.loads` decodes, too.
            kinds.entry(name).or_insert(entry.kind);
        }
    }
    kinds
});

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    kind: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kind: Kind,
    names: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_parses() {
        assert_eq!(kind("os.system"), Some(Kind::RunsCommand));
        assert_eq!(kind("marshal.loads"), Some(Kind::Unpickles));
        assert_eq!(kind("ctypes.CDLL().system"), Some(Kind::RunsCommand));
        assert_eq!(kind("ctypes.CDLL().strlen"), None);
        assert_eq!(kind("os.path.join"), None);
    }
}
