//! Which names a configuration may give: by lists that are part of the rule set.

use std::collections::HashSet;
use std::sync::LazyLock;

use custos_core::finding::Severity;
use serde::Deserialize;

use crate::pickle;

/// The list as it is shipped.
pub(super) static FILE: &str = include_str!("../../../data/keras/names.toml");

static LISTS: LazyLock<Lists> = LazyLock::new(|| {
    // A test reads the list; one that is broken would allow nothing.
    toml::from_str(FILE).unwrap_or_default()
});

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    packages: Vec<String>,
    parts: HashSet<String>,
    parts_of: HashSet<String>,
    gadgets: HashSet<String>,
    code: HashSet<String>,
    classes: HashSet<String>,
    functions: HashSet<String>,
    computing: Vec<String>,
    standard: HashSet<String>,
}

/// What a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// A part of a model.
    Ordinary,
    /// Something of Keras that reads, writes, sends or loads.
    Gadget,
    /// Something of Keras that no model is made of.
    Inner,
    /// Something that is known to hurt.
    Danger(&'static str, Severity),
    /// Something of Python's standard library.
    Standard,
    /// Something that whoever made the model wrote.
    Custom,
}

/// Returns what `module` and `name` are.
pub(super) fn standing(module: &str, name: &str) -> Standing {
    let last = name.rsplit('.').next().unwrap_or(name);
    if let Some(below) = within_keras(module) {
        let mut parts: Vec<&str> = below.split('.').filter(|part| !part.is_empty()).collect();
        parts
            .retain(|part| !matches!(*part, "src" | "api" | "_tf_keras" | "keras" | "_v1" | "_v2"));
        let dotted = [parts.as_slice(), &name.split('.').collect::<Vec<_>>()]
            .concat()
            .join(".");
        return if is_gadget(last) {
            Standing::Gadget
        } else if LISTS.parts_of.contains(&dotted) {
            Standing::Ordinary
        } else if name.contains('.') || name.starts_with("__") {
            Standing::Gadget
        } else if parts.first().is_none_or(|part| LISTS.parts.contains(*part)) {
            Standing::Ordinary
        } else {
            Standing::Inner
        };
    }
    if let Some((does, severity)) = pickle::danger(module, name) {
        return Standing::Danger(does, severity);
    }
    let top = module.split('.').next().unwrap_or(module);
    if LISTS.standard.contains(top) {
        Standing::Standard
    } else {
        Standing::Custom
    }
}

// What of a module's name is behind the package of Keras.
fn within_keras(module: &str) -> Option<&str> {
    LISTS.packages.iter().find_map(|package| {
        let rest = module.strip_prefix(package.as_str())?;
        (rest.is_empty() || rest.starts_with('.')).then_some(rest)
    })
}

/// Returns true if a function of Keras of this name reads, writes, sends or loads.
pub(super) fn is_gadget(name: &str) -> bool {
    LISTS.gadgets.contains(name)
}

/// Returns true if Keras finds a class or function of this name without being told where it is.
pub(super) fn is_own(name: &str) -> bool {
    LISTS.classes.contains(name) || LISTS.functions.contains(name)
}

/// Returns true if a module is a part of TensorFlow whose functions only compute.
pub(super) fn is_computing(module: &str) -> bool {
    LISTS.computing.iter().any(|one| one == module)
}

/// Returns true if compiled code that uses this name does more than compute.
pub(super) fn is_code_danger(name: &str) -> bool {
    LISTS.code.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_where_they_should() {
        let lists: Lists = toml::from_str(FILE).unwrap();
        assert!(lists.packages.iter().any(|one| one == "keras"));
        for (module, name, expected) in [
            ("keras", "Sequential", Standing::Ordinary),
            ("keras.layers", "Dense", Standing::Ordinary),
            (
                "keras.src.models.functional",
                "Functional",
                Standing::Ordinary,
            ),
            (
                "keras.src.engine.functional",
                "Functional",
                Standing::Ordinary,
            ),
            ("tensorflow.keras.layers", "Dense", Standing::Ordinary),
            (
                "tensorflow.python.keras.engine.sequential",
                "Sequential",
                Standing::Ordinary,
            ),
            ("keras.utils", "FeatureSpace", Standing::Ordinary),
            ("keras.utils", "get_file", Standing::Gadget),
            ("keras.src.utils.file_utils", "get_file", Standing::Gadget),
            (
                "keras.config",
                "enable_unsafe_deserialization",
                Standing::Gadget,
            ),
            ("keras.layers", "os.system", Standing::Gadget),
            ("keras.utils", "something", Standing::Inner),
            ("kerasx", "Dense", Standing::Custom),
            ("keras_evil.layers", "Dense", Standing::Custom),
            ("shlex", "quote", Standing::Standard),
            ("mine.layers", "Layer", Standing::Custom),
        ] {
            assert_eq!(standing(module, name), expected, "{module} {name}");
        }
        for (module, name) in [
            ("os", "system"),
            ("builtins", "eval"),
            ("subprocess", "Popen"),
        ] {
            assert!(
                matches!(standing(module, name), Standing::Danger(..)),
                "{module} {name}"
            );
        }
        assert_eq!(standing("builtins", "swish"), Standing::Custom);
        assert!(is_own("Dense") && is_own("relu") && is_own("mse") && !is_own("Dense2"));
        assert!(is_computing("tensorflow.nn") && !is_computing("tensorflow.io"));
    }
}
