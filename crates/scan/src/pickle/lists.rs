//! Which globals are known, and for what.
//!
//! Three tiers. **Allowed**: exactly this module and this name, for these uses; never everything
//! below a module, since numpy, torch and pandas all hold loaders and shells. **Denied**: known to
//! run, load, read or send; by module with all below it, or by name. **Unknown**: everything else,
//! judged by what is done with it.
//!
//! The lists are data (`data/pickle`), part of the program, and covered by the digest of the rule
//! set: a verdict depends on nothing that is installed on the machine that scans.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use custos_core::finding::Severity;
use serde::Deserialize;

/// What an allowed global may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Uses(u8);

impl Uses {
    /// A class: named, and instantiated with plain arguments.
    pub(super) const TYPE: Self = Self(1);
    /// A function: called with plain arguments.
    pub(super) const CALL: Self = Self(1 << 1);
    /// Its objects take items by key.
    pub(super) const MAPPING: Self = Self(1 << 2);
    /// Its objects take items at their end.
    pub(super) const SEQUENCE: Self = Self(1 << 3);
    /// Only under a condition that the machine knows by name.
    pub(super) const GUARDED: Self = Self(1 << 4);

    /// A class: objects of it are made without a call of its initialiser, and given their state.
    pub(super) const OBJECT: Self = Self(1 << 5);

    /// Returns these and others.
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns true if one of these is allowed.
    pub(super) const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Why a global is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Danger {
    /// What it does: `runs commands`.
    pub(super) does: &'static str,
    /// How bad a call is.
    pub(super) severity: Severity,
}

/// Where a global stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// For these uses.
    Allowed(Uses),
    /// For this reason.
    Denied(&'static Danger),
    /// Nobody listed it.
    Unknown,
}

/// Returns where a global stands, as a loader would find it.
pub(super) fn standing(module: &str, name: &str) -> Standing {
    // A denial wins: what is denied by name stays so whatever another list says.
    if let Some(danger) = LISTS.danger(module, name) {
        return Standing::Denied(danger);
    }
    let names = LISTS.allowed.get(module);
    let listed = names.and_then(|names| names.get(name)).copied();
    // Classes that a TorchScript archive brings along lie below this name, which no package has.
    let own = || (module.split('.').next() == Some("__torch__")).then_some(Uses::OBJECT);
    match listed.or_else(|| LISTS.object(module, name)).or_else(own) {
        Some(uses) => Standing::Allowed(uses),
        None => Standing::Unknown,
    }
}

/// Returns module and name as loaders map them below protocol 3, if they do.
pub(super) fn mapped(module: &str, name: &str) -> Option<(&'static str, String)> {
    if let Some((module, name)) = LISTS.names.get(&(module, name)) {
        return Some((module, (*name).to_owned()));
    }
    let module = LISTS.modules.get(module)?;
    Some((module, name.to_owned()))
}

/// The files that the lists come from, in a fixed order: they are part of the rule set's digest.
pub(crate) const FILES: [&str; 8] = [
    include_str!("../../data/python2-names.toml"),
    include_str!("../../data/pickle/deny.toml"),
    include_str!("../../data/pickle/allow/python.toml"),
    include_str!("../../data/pickle/allow/numpy.toml"),
    include_str!("../../data/pickle/allow/torch.toml"),
    include_str!("../../data/pickle/allow/sklearn.toml"),
    include_str!("../../data/pickle/allow/others.toml"),
    include_str!("../../data/pickle/objects.txt"),
];

static LISTS: LazyLock<Lists> = LazyLock::new(|| Lists::read(&FILES));

struct Lists {
    allowed: HashMap<&'static str, HashMap<&'static str, Uses>>,
    objects: HashMap<&'static str, &'static str>,
    // `None`: what is denied above does not reach here.
    denied_modules: HashMap<&'static str, Option<&'static Danger>>,
    denied_names: HashMap<&'static str, HashMap<&'static str, &'static Danger>>,
    // Names that are denied wherever they are.
    denied_anywhere: HashMap<&'static str, &'static Danger>,
    modules: HashMap<&'static str, &'static str>,
    names: HashMap<(&'static str, &'static str), (&'static str, &'static str)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    modules: BTreeMap<String, String>,
    names: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deny {
    danger: Vec<DenyEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DenyEntry {
    does: String,
    severity: Severity,
    #[serde(default)]
    modules: Vec<String>,
    // Modules below these that the denial does not reach.
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    names: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    anywhere: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allow {
    module: Vec<AllowEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowEntry {
    // The same names in each of these: a module that moved is spelled both ways.
    names: Vec<String>,
    #[serde(default)]
    types: Vec<String>,
    #[serde(default)]
    calls: Vec<String>,
    #[serde(default)]
    mappings: Vec<String>,
    #[serde(default)]
    sequences: Vec<String>,
    #[serde(default)]
    guarded: Vec<String>,
    // Classes whose initialiser may not be called.
    #[serde(default)]
    objects: Vec<String>,
}

impl Lists {
    // A list that does not parse is a fault of the program, found by the first test that runs;
    // then nothing is allowed.
    fn read(files: &[&'static str]) -> Self {
        let mut lists = Self {
            allowed: HashMap::new(),
            objects: HashMap::new(),
            denied_modules: HashMap::new(),
            denied_names: HashMap::new(),
            denied_anywhere: HashMap::new(),
            modules: HashMap::new(),
            names: HashMap::new(),
        };
        let Some((objects, files)) = files.split_last() else {
            return lists;
        };
        let mut files = files.iter();
        if let Some(Ok(mapping)) = files.next().map(|text| toml::from_str::<Mapping>(text)) {
            lists.map(mapping);
        }
        if let Some(Ok(deny)) = files.next().map(|text| toml::from_str::<Deny>(text)) {
            for entry in deny.danger {
                lists.deny(entry);
            }
        }
        for text in files {
            for entry in toml::from_str::<Allow>(text)
                .into_iter()
                .flat_map(|file| file.module)
            {
                lists.allow(&entry);
            }
        }
        lists.objects(objects);
        lists
    }

    // A line is a module and the classes in it: these lists are long, and taken apart only where
    // one of their modules is met.
    fn objects(&mut self, text: &'static str) {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        self.objects
            .extend(lines.filter_map(|line| line.split_once(' ')));
    }

    fn object(&self, module: &str, name: &str) -> Option<Uses> {
        let (_, uses) = self
            .objects
            .get(module)?
            .split(' ')
            .map(|entry| entry.split_once('=').unwrap_or((entry, "")))
            .find(|(listed, _)| *listed == name)?;
        Some(match uses {
            "mapping" => Uses::OBJECT.and(Uses::MAPPING),
            "sequence" => Uses::OBJECT.and(Uses::SEQUENCE),
            "type" => Uses::OBJECT.and(Uses::TYPE),
            _ => Uses::OBJECT,
        })
    }

    fn map(&mut self, mapping: Mapping) {
        for (from, to) in mapping.modules {
            self.modules.insert(kept(from), kept(to));
        }
        for (from, to) in mapping.names {
            if let (Some(from), Some(to)) = (kept(from).split_once(':'), kept(to).split_once(':')) {
                self.names.insert(from, to);
            }
        }
    }

    fn deny(&mut self, entry: DenyEntry) {
        let danger: &'static Danger = Box::leak(Box::new(Danger {
            does: kept(entry.does),
            severity: entry.severity,
        }));
        for module in entry.modules {
            self.denied_modules.insert(kept(module), Some(danger));
        }
        for module in entry.except {
            self.denied_modules.insert(kept(module), None);
        }
        for (module, names) in entry.names {
            let into = self.denied_names.entry(kept(module)).or_default();
            into.extend(names.into_iter().map(|name| (kept(name), danger)));
        }
        let anywhere = entry.anywhere.into_iter().map(|name| (kept(name), danger));
        self.denied_anywhere.extend(anywhere);
    }

    fn allow(&mut self, entry: &AllowEntry) {
        let groups = [
            (&entry.types, Uses::TYPE),
            (&entry.calls, Uses::CALL),
            (&entry.mappings, Uses::TYPE.and(Uses::MAPPING)),
            (&entry.sequences, Uses::TYPE.and(Uses::SEQUENCE)),
            (&entry.guarded, Uses::GUARDED),
            (&entry.objects, Uses::OBJECT),
        ];
        for module in &entry.names {
            let into = self.allowed.entry(kept(module.clone())).or_default();
            for (names, uses) in groups {
                for name in names {
                    let known = into.entry(kept(name.clone())).or_default();
                    *known = known.and(uses);
                }
            }
        }
    }

    fn danger(&self, module: &str, name: &str) -> Option<&'static Danger> {
        let by_name = self
            .denied_names
            .get(module)
            .and_then(|names| names.get(name));
        // `os` with all below it: `os.path`, too.
        let mut above = Some(module);
        let mut by_module = None;
        while let (Some(at), None) = (above, by_module) {
            by_module = self.denied_modules.get(at).copied();
            above = at.rsplit_once('.').map(|(above, _)| above);
        }
        let anywhere = || {
            let last = name.rsplit('.').next().unwrap_or(name);
            self.denied_anywhere.get(last)
        };
        by_name
            .copied()
            .or(by_module.flatten())
            .or_else(|| anywhere().copied())
    }
}

// Read once in the life of the program.
fn kept(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_parses_and_says_something() {
        toml::from_str::<Mapping>(FILES[0]).unwrap();
        assert!(!toml::from_str::<Deny>(FILES[1]).unwrap().danger.is_empty());
        for text in &FILES[2..7] {
            let file = toml::from_str::<Allow>(text).unwrap();
            for entry in &file.module {
                let listed = [
                    &entry.types,
                    &entry.calls,
                    &entry.mappings,
                    &entry.sequences,
                    &entry.guarded,
                    &entry.objects,
                ];
                assert!(
                    listed.iter().any(|names| !names.is_empty()),
                    "{:?}",
                    entry.names
                );
            }
        }
    }

    #[test]
    fn nothing_is_allowed_that_is_denied() {
        for (module, names) in &LISTS.allowed {
            for name in names.keys() {
                assert_eq!(LISTS.danger(module, name), None, "{module}.{name}");
            }
        }
    }

    #[test]
    fn denials_reach_below_a_module_and_no_further() {
        for (module, name) in [
            ("os", "system"),
            ("os.path", "join"),
            ("posix", "system"),
            ("builtins", "eval"),
            ("__builtin__", "eval"),
            ("subprocess", "Popen"),
            ("asyncio.unix_events", "_UnixSubprocessTransport"),
            ("anything", "__import__"),
            ("numpy.testing._private.utils", "runstring"),
        ] {
            assert!(
                matches!(standing(module, name), Standing::Denied(_)),
                "{module}.{name}"
            );
        }
        for (module, name) in [("osmium", "Node"), ("my.os", "x"), ("builtin", "evaluate")] {
            assert_eq!(standing(module, name), Standing::Unknown, "{module}.{name}");
        }
        assert!(matches!(
            standing("collections", "OrderedDict"),
            Standing::Allowed(_)
        ));
        assert_eq!(standing("collections", "OrderedDict "), Standing::Unknown);
        assert_eq!(
            standing("collections.abc", "OrderedDict"),
            Standing::Unknown
        );
    }

    #[test]
    fn names_of_python_2_are_mapped() {
        assert_eq!(
            mapped("__builtin__", "reduce"),
            Some(("functools", "reduce".into()))
        );
        assert_eq!(
            mapped("commands", "getoutput"),
            Some(("subprocess", "getoutput".into()))
        );
        assert_eq!(mapped("numpy", "dtype"), None);
    }
}
