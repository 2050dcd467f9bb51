//! The environment of a step: what it sees, and what it never sees.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// The environment variables of a step.
///
/// Keys and passwords of Custos and cosign are taken out whatever the caller says: a step must
/// not be able to sign for itself. Only names are ever recorded.
#[derive(Clone, PartialEq, Eq)]
pub struct Environment(BTreeMap<OsString, OsString>);

/// Which variables of the caller a step sees.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keep {
    /// All but the secrets of Custos and cosign.
    All,
    /// Those of these names, less the same secrets.
    Only(Vec<OsString>),
}

impl Environment {
    /// Returns an environment without variables.
    pub const fn empty() -> Self {
        Self(BTreeMap::new())
    }

    /// Returns what is left of the caller's variables.
    pub fn from_caller(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        keep: &Keep,
    ) -> Self {
        let wanted = |name: &OsString| match keep {
            Keep::All => true,
            Keep::Only(names) => names.contains(name),
        };
        let kept = variables
            .into_iter()
            .filter(|(name, _)| wanted(name) && !is_secret(name));
        Self(kept.collect())
    }

    /// Returns it with one more variable, unless that is one that no step sees.
    pub fn with(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let name = name.into();
        if !is_secret(&name) {
            self.0.insert(name, value.into());
        }
        self
    }

    /// Returns it with a variable, unless it is there already.
    pub(super) fn or(mut self, name: &str, value: &str) -> Self {
        self.0.entry(name.into()).or_insert_with(|| value.into());
        self
    }

    /// Returns it with a variable of ours.
    pub(super) fn marked(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Returns the value of a variable.
    pub(super) fn value(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Returns the folders in which programs are looked for.
    pub fn search_path(&self) -> Option<&OsStr> {
        self.value("PATH")
    }

    /// Returns the names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.0
            .keys()
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    /// Iterates over names and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.0.iter()
    }
}

// Values stay out of logs and panics.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn is_secret(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    ["CUSTOS_", "COSIGN_", "SIGSTORE_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || matches!(
            &*name,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN" | "ACTIONS_ID_TOKEN_REQUEST_URL"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Vec<(OsString, OsString)> {
        [
            "PATH",
            "HOME",
            "CUSTOS_PASSWORD",
            "COSIGN_PASSWORD",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        ]
        .map(|name| (name.into(), "value".into()))
        .into()
    }

    #[test]
    fn secrets_of_signing_never_pass() {
        let all = Environment::from_caller(caller(), &Keep::All);
        assert_eq!(all.names(), ["HOME", "PATH"]);
        let asked = Keep::Only(vec!["COSIGN_PASSWORD".into(), "PATH".into()]);
        assert_eq!(Environment::from_caller(caller(), &asked).names(), ["PATH"]);
        assert_eq!(
            Environment::empty().with("CUSTOS_KEY", "x").names(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn values_are_not_shown() {
        let shown = format!("{:?}", Environment::empty().with("TOKEN", "hunter2"));
        assert_eq!(shown, r#"{"TOKEN"}"#);
    }
}
