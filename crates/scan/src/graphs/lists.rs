//! The operators that a verdict depends on: `data/graphs/operators.toml`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use custos_core::finding::Severity;
use serde::Deserialize;

/// The list as it is shipped.
pub(crate) static LIST: &str = include_str!("../../data/graphs/operators.toml");

/// Operators of all frameworks.
#[derive(Default, Deserialize)]
pub(crate) struct Operators {
    /// Domains and operators of ONNX.
    pub(crate) onnx: Onnx,
    /// Operators of TensorFlow Lite.
    pub(crate) tflite: Known,
    /// Namespaces of operators of `ExecuTorch`.
    pub(crate) executorch: Known,
    tensorflow: Vec<Group>,
    paddle: Vec<Group>,
}

/// Domains and operators of ONNX.
#[derive(Default, Deserialize)]
pub(crate) struct Onnx {
    standard: Vec<String>,
    libraries: Vec<String>,
    python: Vec<String>,
}

/// Names that are known.
#[derive(Default, Deserialize)]
pub(crate) struct Known {
    known: Vec<String>,
}

impl Known {
    /// Returns true if a name is known.
    pub(crate) fn is_known(&self, name: &str) -> bool {
        self.known.iter().any(|one| one == name)
    }
}

#[derive(Deserialize)]
struct Group {
    severity: Severity,
    why: String,
    names: Vec<String>,
}

/// What an operator does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effect {
    /// How bad that is.
    pub(crate) severity: Severity,
    /// What it does, in words that follow its name.
    pub(crate) why: &'static str,
}

/// Returns the list.
pub(crate) fn operators() -> &'static Operators {
    static READ: OnceLock<Operators> = OnceLock::new();
    // A test reads the list; it is part of the program.
    READ.get_or_init(|| toml::from_str(LIST).unwrap_or_default())
}

/// Returns what an operator of TensorFlow does, if that could hurt.
pub(crate) fn tensorflow(name: &str) -> Option<Effect> {
    static NAMES: OnceLock<BTreeMap<&'static str, Effect>> = OnceLock::new();
    let names = NAMES.get_or_init(|| effects(&operators().tensorflow));
    names.get(name).copied()
}

/// Returns what an operator of `PaddlePaddle` does, if that could hurt.
pub(crate) fn paddle(name: &str) -> Option<Effect> {
    static NAMES: OnceLock<BTreeMap<&'static str, Effect>> = OnceLock::new();
    let names = NAMES.get_or_init(|| effects(&operators().paddle));
    names.get(name).copied()
}

fn effects(groups: &'static [Group]) -> BTreeMap<&'static str, Effect> {
    let of = |group: &'static Group| {
        let effect = Effect {
            severity: group.severity,
            why: &group.why,
        };
        group.names.iter().map(move |name| (name.as_str(), effect))
    };
    groups.iter().flat_map(of).collect()
}

impl Onnx {
    /// Returns true if runtimes bring the operators of a domain along.
    pub(crate) fn is_standard(&self, domain: &str) -> bool {
        contains(&self.standard, domain)
    }

    /// Returns true if the operators of a domain come with a library that is well known.
    pub(crate) fn is_library(&self, domain: &str) -> bool {
        contains(&self.libraries, domain)
    }

    /// Returns true if an operator runs a program in Python.
    pub(crate) fn is_python(&self, operator: &str) -> bool {
        self.python.iter().any(|one| one == operator)
    }
}

fn contains(list: &[String], domain: &str) -> bool {
    list.iter().any(|one| match one.strip_suffix(".*") {
        Some(above) => domain
            .strip_prefix(above)
            .is_some_and(|rest| rest.starts_with('.')),
        None => one == domain,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read() {
        let list: Operators = toml::from_str(LIST).unwrap();
        assert!(list.onnx.is_standard("") && list.onnx.is_standard("com.microsoft.nchwc"));
        assert!(!list.onnx.is_standard("com.microsoftish") && list.onnx.is_library("mmcv"));
        assert!(list.onnx.is_python("PyOp"));
        assert_eq!(tensorflow("ReadFile").unwrap().severity, Severity::High);
        assert!(tensorflow("Assert").is_none());
    }
}
