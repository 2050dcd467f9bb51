//! Which names a configuration may instantiate.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::text::danger;

/// The list, as it is part of the rule set's digest.
pub(in crate::text) const DATA: &str = include_str!("../../../data/text/targets.toml");

/// Where a name stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// A class of a package that is listed.
    Allowed,
    /// Known to do this.
    Denied(&'static str),
    /// Nobody listed it.
    Unknown,
}

/// Returns where a dotted name stands.
pub(super) fn standing(name: &str) -> Standing {
    if LIST.functions.contains(name) {
        return Standing::Allowed;
    }
    // Any part of the way may be the module.
    for (at, _) in name.match_indices('.') {
        let (module, rest) = name.split_at_checked(at).unwrap_or((name, ""));
        if let Some(does) = danger(module, rest.trim_start_matches('.')) {
            return Standing::Denied(does);
        }
    }
    if let Some(does) = danger("builtins", name) {
        return Standing::Denied(does);
    }
    let Some((module, class)) = name.rsplit_once('.') else {
        return Standing::Unknown;
    };
    let is_class = class.starts_with(|c: char| c.is_ascii_uppercase())
        && class.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let plain = module
        .split('.')
        .all(|part| !part.starts_with('_') && !part.is_empty());
    let mut above = Some(module);
    while let Some(at) = above {
        if is_class && plain && LIST.packages.contains(at) {
            return Standing::Allowed;
        }
        above = at.rsplit_once('.').map(|(above, _)| above);
    }
    Standing::Unknown
}

/// Returns true if pipelines take their parts from it.
pub(super) fn is_library(name: &str) -> bool {
    LIST.libraries
        .contains(name.split('.').next().unwrap_or(name))
}

static LIST: LazyLock<List> = LazyLock::new(|| toml::from_str(DATA).unwrap_or_default());

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    packages: HashSet<String>,
    functions: HashSet<String>,
    libraries: HashSet<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_where_they_should() {
        assert!(!LIST.packages.is_empty());
        for name in [
            "torch.nn.Linear",
            "nemo.collections.asr.modules.ConformerEncoder",
            "torch.optim.lr_scheduler.CosineAnnealingLR",
            "builtins.dict",
        ] {
            assert_eq!(standing(name), Standing::Allowed, "{name}");
        }
        for name in [
            "os.system",
            "builtins.eval",
            "subprocess.Popen",
            "torch.load",
            "eval",
            "torch.hub.load",
            "os.path.join",
        ] {
            assert!(matches!(standing(name), Standing::Denied(_)), "{name}");
        }
        for name in [
            "my.module.Thing",
            "torch.nn.functional.linear",
            "nemo._private.X",
            "transformers.pipeline",
        ] {
            assert_eq!(standing(name), Standing::Unknown, "{name}");
        }
    }
}
